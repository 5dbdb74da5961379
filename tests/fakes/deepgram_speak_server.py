"""A server that speaks Deepgram's streaming text to speech (Aura).

Shapes follow the API reference ("Text to speech streaming") and the pages "Flush", "Clear" and "TTS Troubleshooting
WebSocket, NET, and DATA Errors"; every message passes the SDK's own types. Audio comes after Flush only, 50 ms of tone
for each character in pieces of odd length; the 21st Flush within a minute is refused with a warning and not answered,
and more than 2400 characters in one close the socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from aiohttp import WSMsgType, web
from deepgram.speak.v1.types import (
    SpeakV1Clear,
    SpeakV1Cleared,
    SpeakV1Close,
    SpeakV1Flush,
    SpeakV1Flushed,
    SpeakV1Metadata,
    SpeakV1Text,
    SpeakV1Warning,
)
from pydantic import BaseModel

from tests.fakes.g711 import speech

JSONDict = dict[str, Any]
Behaviour = Literal[
    "well", "stall", "cut", "malformed", "odd shape", "silent", "hang up after each", "hang up when asked again"
]

PER_CHARACTER = 0.05
MOST_FLUSHES, MOST_CHARACTERS = 20, 2400
_KINDS = {"Speak": SpeakV1Text, "Flush": SpeakV1Flush, "Clear": SpeakV1Clear, "Close": SpeakV1Close}


@dataclass
class FakeDeepgramSpeak:
    """What the server is to do, and what it was asked."""

    url: str = ""
    behaviour: Behaviour = "well"
    status: int = 101
    key: str | None = None
    queries: list[dict[str, str]] = field(default_factory=list)
    messages: list[JSONDict] = field(default_factory=list)
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    _live: list[asyncio.BaseTransport] = field(default_factory=list)

    def cut(self) -> None:
        """Every connection breaks, without a word."""
        for transport in self._live:
            assert isinstance(transport, asyncio.Transport)
            transport.abort()


@asynccontextmanager
async def fake_deepgram_speak(**settings: Any) -> AsyncIterator[FakeDeepgramSpeak]:
    fake = FakeDeepgramSpeak(**settings)
    app = web.Application()
    app.router.add_get("/v1/speak", partial(_speak, fake))
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        await runner.cleanup()


async def _speak(fake: FakeDeepgramSpeak, request: web.Request) -> web.StreamResponse:
    fake.queries.append(dict(request.query))
    if fake.key is not None and request.headers.get("Authorization") != f"Token {fake.key}":
        body = {"err_code": "INVALID_AUTH", "err_msg": "Invalid credentials.", "request_id": "r"}
        return web.json_response(body, status=401)
    if fake.status != 101:
        return web.json_response(
            {"err_code": "ERROR", "err_msg": "no", "request_id": "r"}, status=fake.status, headers={"Retry-After": "3"}
        )
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    assert request.transport is not None
    fake._live.append(request.transport)
    session = _Session(fake, socket, int(request.query["sample_rate"]), request)
    try:
        await session.run()
    finally:
        fake.closed.set()
    return socket


class _Session:
    def __init__(self, fake: FakeDeepgramSpeak, socket: web.WebSocketResponse, rate: int, request: web.Request) -> None:
        self.fake = fake
        self.socket = socket
        self.rate = rate
        self.request = request
        self.text = ""
        self.sequence = 0
        self.flushes = 0
        self.characters: list[tuple[float, int]] = []
        self.speaking: asyncio.Task[None] | None = None

    async def say(self, kind: type[BaseModel], **fields: Any) -> None:
        kind.model_validate(fields)
        await self.socket.send_str(json.dumps(fields))

    async def run(self) -> None:
        await self.say(
            SpeakV1Metadata, type="Metadata", request_id="r", model_name="aura", model_version="1", model_uuid="u"
        )
        async for message in self.socket:
            assert message.type == WSMsgType.TEXT
            asked = json.loads(message.data)
            _KINDS[asked["type"]].model_validate(asked)
            self.fake.messages.append(asked)
            await self.control(asked)
        await self.stop()

    async def control(self, asked: JSONDict) -> None:
        match asked["type"]:
            case "Speak":
                assert len(asked["text"]) <= 2000
                now = asyncio.get_running_loop().time()
                self.characters.append((now, len(asked["text"])))
                if sum(size for at, size in self.characters if now - at < 60) > MOST_CHARACTERS:
                    await self.socket.close(code=1008, message=b"DATA-0001")
                self.text += asked["text"]
            case "Flush":
                await self.flush()
            case "Clear":
                await self.stop()
                self.text = ""
                await self.say(SpeakV1Cleared, type="Cleared", sequence_id=self.next())
            case "Close":
                await self.socket.close(code=1000)

    def next(self) -> int:
        self.sequence += 1
        return self.sequence - 1

    async def stop(self) -> None:
        if self.speaking is not None:
            self.speaking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.speaking

    async def flush(self) -> None:
        self.flushes += 1
        match self.fake.behaviour:
            case "cut":
                assert self.request.transport is not None
                self.request.transport.abort()
            case "malformed":
                await self.socket.send_str("{not json")
            case "odd shape":
                await self.socket.send_str('{"type": "Other"}')
            case "silent":
                await self.say(SpeakV1Flushed, type="Flushed", sequence_id=self.next())
            case "stall":
                pass
            case "hang up when asked again" if self.flushes > 1:
                await self.socket.close(code=1011, message=b"NET-0001")
            case _ if self.flushes > MOST_FLUSHES:
                await self.say(SpeakV1Warning, type="Warning", code="W", description="too many flushes")
            case _:
                text, self.text = self.text, ""
                self.speaking = asyncio.create_task(self.speak(text))

    async def speak(self, text: str) -> None:
        with contextlib.suppress(ConnectionError):  # the listener may be gone
            await self.audio(text)

    async def audio(self, text: str) -> None:
        pcm = speech(int(len(text) * PER_CHARACTER * self.rate), self.request.query["encoding"])
        for start in range(0, len(pcm), 1001):  # an odd number: a sample is torn over two pieces
            await self.socket.send_bytes(pcm[start : start + 1001])
            await asyncio.sleep(0)
        await self.say(SpeakV1Flushed, type="Flushed", sequence_id=self.next())
        if self.fake.behaviour == "hang up after each":
            await self.socket.close(code=1000)
