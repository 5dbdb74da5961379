"""A server that speaks Deepgram's live protocols: v1 (Nova) and v2 (Flux).

Shapes follow the API reference ("Live audio", "Turn-based audio (Flux)") and the page on errors; every message passes
the SDK's own types. It hears a word in every second of audio, or what the test gives it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from aiohttp import WSMsgType, web
from deepgram.listen.v1.types import ListenV1Error, ListenV1Metadata, ListenV1Results
from deepgram.listen.v2.types import ListenV2Connected, ListenV2FatalError, ListenV2TurnInfo

from tests.fakes.g711 import linear
from tests.fakes.idle import Idle
from tests.fakes.loudness import loud_bytes

JSONDict = dict[str, Any]

Behaviour = Literal[
    "well",
    "cut",
    "malformed",
    "odd shape",
    "error",
    "silent",
    "silent once",
    "silent after a word",
    "close 1011",
    "close 1008",
    "no handshake",
]

IDLE = 10.0
"""Seconds without audio or KeepAlive after which a stream is closed, by the page "Audio keep alive"."""


@dataclass
class FakeDeepgram:
    """What the server is to do, and what it was asked."""

    url: str = ""
    behaviour: Behaviour = "well"
    status: int = 101
    """Answer the handshake with this status."""
    key: str | None = None
    text: str = "goodbye"
    enough: int = 8000
    """Bytes of audio after which something is heard."""
    threshold: int = 0
    """Hear only pieces with a sample this loud; 0 hears silence too, for tests that send nothing else."""
    queries: list[list[tuple[str, str]]] = field(default_factory=list)
    texts: list[JSONDict] = field(default_factory=list)
    """Control messages from the client."""
    audio: int = 0
    """Bytes of audio, as 16-bit samples."""
    raw: bytearray = field(default_factory=bytearray)
    """The audio as it came."""
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a stream has ended."""
    controlled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a control message has come."""


@asynccontextmanager
async def fake_deepgram(**settings: Any) -> AsyncIterator[FakeDeepgram]:
    fake = FakeDeepgram(**settings)
    app = web.Application()
    app.router.add_get("/v1/listen", partial(_listen, fake, _Nova))
    app.router.add_get("/v2/listen", partial(_listen, fake, _Flux))
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        await runner.cleanup()


async def _listen(fake: FakeDeepgram, version: type[_Nova] | type[_Flux], request: web.Request) -> web.StreamResponse:
    fake.queries.append(list(request.query.items()))
    if fake.behaviour == "no handshake":
        await asyncio.Event().wait()
    if fake.key is not None and request.headers.get("Authorization") != f"Token {fake.key}":
        body = {"err_code": "INVALID_AUTH", "err_msg": "Invalid credentials.", "request_id": "r"}
        return web.json_response(body, status=401)
    if fake.status != 101:
        return web.json_response(
            {"err_code": "ERROR", "err_msg": "no", "request_id": "r"}, status=fake.status, headers={"Retry-After": "3"}
        )
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    stream, encoding = version(fake, socket, int(request.query["sample_rate"])), request.query["encoding"]
    closing = Idle(socket, IDLE, code=1011, reason=b"NET-0001")
    try:
        await stream.greet()
        async for message in socket:
            closing.heard()
            if message.type == WSMsgType.BINARY:
                fake.raw += message.data
                pcm = linear(message.data, encoding)
                fake.audio += len(pcm)
                if fake.behaviour == "cut":
                    assert request.transport is not None
                    request.transport.abort()
                    break
                if size := loud_bytes(pcm, fake.threshold):
                    await stream.audio(size)
                else:
                    await stream.silence(len(pcm))
            elif message.type == WSMsgType.TEXT:
                control = json.loads(message.data)
                fake.texts.append(control)
                fake.controlled.set()
                if control["type"] == "CloseStream":
                    await stream.goodbye()
                    await socket.close(code=1000)
                else:
                    await stream.control(control["type"])
    finally:
        closing.stop()
        fake.closed.set()
    return socket


class _Stream:
    def __init__(self, fake: FakeDeepgram, socket: web.WebSocketResponse, rate: int) -> None:
        self.quarter = rate // 4 * 2
        self.fake = fake
        self.socket = socket
        self.heard = 0
        self.sequence = 0

    async def silence(self, size: int) -> None:
        """v1 says nothing of it."""

    async def misbehave(self, error: JSONDict) -> bool:
        """Whether the trouble that was asked for was made."""
        match self.fake.behaviour:
            case "malformed":
                await self.socket.send_str("{not json")
            case "odd shape":
                await self.socket.send_str(json.dumps({"type": "Results", "channel": {"alternatives": []}, "event": 1}))
            case "error":
                await self.socket.send_str(json.dumps(error))
            case "close 1011":
                await self.socket.close(code=1011, message=b"NET-0001")
            case "close 1008":
                await self.socket.close(code=1008, message=b"DATA-0000")
            case "silent":
                pass
            case "silent once":
                return len(self.fake.queries) == 1
            case _:
                return False
        return True


class _Nova(_Stream):
    async def greet(self) -> None:
        """v1 says nothing until it hears something."""

    async def audio(self, size: int) -> None:
        error = {"type": "Error", "variant": "Internal", "description": "something broke"}
        ListenV1Error.model_validate(error)
        if await self.misbehave(error):
            return
        self.heard += size
        if self.heard >= self.fake.enough:
            await self.results(self.fake.text, is_final=False)

    async def control(self, kind: str) -> None:
        if kind == "Finalize" and self.heard >= self.fake.enough:
            await self.results(self.fake.text, is_final=True, from_finalize=True)
            self.heard = 0

    async def goodbye(self) -> None:
        metadata = {
            "type": "Metadata",
            "transaction_key": "deprecated",
            "request_id": "r",
            "sha256": "0",
            "created": "2026-01-01T00:00:00.000Z",
            "duration": 1.0,
            "channels": 1,
        }
        ListenV1Metadata.model_validate(metadata)
        await self.socket.send_str(json.dumps(metadata))

    async def results(self, text: str, *, is_final: bool, from_finalize: bool = False) -> None:
        words = [{"word": w, "start": 0.0, "end": 0.1, "confidence": 0.98} for w in text.split()]
        message = {
            "type": "Results",
            "channel_index": [0, 1],
            "duration": 1.0,
            "start": 0.0,
            "is_final": is_final,
            "speech_final": False,
            "channel": {"alternatives": [{"transcript": text, "confidence": 0.98, "words": words}]},
            "metadata": {
                "request_id": "r",
                "model_info": {"name": "general-nova-3", "version": "1", "arch": "nova-3"},
                "model_uuid": "u",
            },
            "from_finalize": from_finalize,
        }
        ListenV1Results.model_validate(message)
        await self.socket.send_str(json.dumps(message))


class _Flux(_Stream):
    turn = 0
    passed = 0

    async def greet(self) -> None:
        message = {"type": "Connected", "request_id": "r", "sequence_id": self.next()}
        ListenV2Connected.model_validate(message)
        await self.socket.send_str(json.dumps(message))

    def next(self) -> int:
        self.sequence += 1
        return self.sequence - 1

    async def audio(self, size: int) -> None:
        error = {"type": "Error", "sequence_id": 1, "code": "INTERNAL_SERVER_ERROR", "description": "something broke"}
        ListenV2FatalError.model_validate(error)
        if await self.misbehave(error):
            return
        started = self.heard
        self.heard += size
        if not started:
            await self.info("StartOfTurn", self.fake.text[:1])
        if self.fake.behaviour == "silent after a word":
            return
        if self.heard >= self.fake.enough:
            self.heard = 0
            await self.info("EagerEndOfTurn", self.fake.text)
            await self.info("TurnResumed", self.fake.text)
            await self.info("Update", self.fake.text)
            await self.info("EagerEndOfTurn", self.fake.text)
            await self.info("EndOfTurn", self.fake.text)
            self.turn += 1

    async def silence(self, size: int) -> None:
        """Every quarter of a second is told of, whatever was in it."""
        self.passed += size
        if self.passed >= self.quarter and self.fake.behaviour == "well":
            self.passed = 0
            await self.info("Update", self.fake.text[:1] if self.heard else "")

    async def control(self, kind: str) -> None:
        """Flux has no message that this server would need to answer."""

    async def goodbye(self) -> None:
        """Flux closes without a word."""

    async def info(self, event: str, text: str) -> None:
        message = {
            "type": "TurnInfo",
            "request_id": "r",
            "sequence_id": self.next(),
            "event": event,
            "turn_index": self.turn,
            "audio_window_start": 0.0,
            "audio_window_end": 1.0,
            "transcript": text,
            "words": [{"word": word, "confidence": 0.9} for word in text.split()],
            "end_of_turn_confidence": 0.8,
        }
        ListenV2TurnInfo.model_validate(message)
        await self.socket.send_str(json.dumps(message))
