"""A server that speaks AssemblyAI's streaming API (v3).

Shapes follow AssemblyAI's pages "Message sequence" and "Common session errors and closures"; every message passes the
SDK's own types. As there, a refusal is an Error message and a close frame after the handshake, and a piece of audio
shorter than 50 ms or longer than a second ends the session.
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
from assemblyai.streaming.v3 import BeginEvent, TerminationEvent, TurnEvent
from assemblyai.streaming.v3.models import ErrorEvent, ForceEndpoint, SpeechStartedEvent, TerminateSession
from pydantic import BaseModel

from tests.fakes.g711 import linear
from tests.fakes.loudness import loud_bytes

JSONDict = dict[str, Any]
Behaviour = Literal["well", "cut", "malformed", "odd shape", "no handshake", "no begin", "silent after a word"]


@dataclass
class FakeAssemblyAI:
    """What the server is to do, and what it was asked."""

    url: str = ""
    behaviour: Behaviour = "well"
    status: int = 101
    refusal: tuple[int, str] | None = None
    """Say this error and close with its code, in place of the session's beginning."""
    key: str | None = None
    text: str = "goodbye"
    formatted: str = "Goodbye."
    enough: int = 8000
    """Bytes of audio after which something is heard."""
    threshold: int = 0
    """Hear only pieces with a sample this loud; 0 hears silence too, for tests that send nothing else."""
    queries: list[dict[str, str]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    texts: list[JSONDict] = field(default_factory=list)
    pieces: list[int] = field(default_factory=list)
    raw: bytearray = field(default_factory=bytearray)
    """The audio as it came."""
    closed: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def fake_assemblyai(**settings: Any) -> AsyncIterator[FakeAssemblyAI]:
    fake = FakeAssemblyAI(**settings)
    app = web.Application()
    app.router.add_get("/v3/ws", partial(_stream, fake))
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        await runner.cleanup()


async def _stream(fake: FakeAssemblyAI, request: web.Request) -> web.StreamResponse:
    fake.queries.append(dict(request.query))
    fake.headers.append(dict(request.headers))
    if fake.behaviour == "no handshake":
        await asyncio.Event().wait()
    if fake.status != 101:
        return web.json_response({"error": "no"}, status=fake.status, headers={"Retry-After": "3"})
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    session = _Session(fake, socket, request)
    try:
        if fake.key is not None and request.headers.get("Authorization") != fake.key:
            await session.refuse(1008, "Unauthorized Connection: Missing Authorization header")
        elif fake.refusal is not None:
            await session.refuse(*fake.refusal)
        elif fake.behaviour != "no begin":
            await session.say(BeginEvent, id="de5d9927-73a6-4be8-b52d-b4c07be37e6b", expires_at=1759796682)
        async for message in socket:
            if message.type == WSMsgType.BINARY:
                await session.audio(message.data)
            elif message.type == WSMsgType.TEXT:
                await session.control(json.loads(message.data))
    finally:
        fake.closed.set()
    return socket


class _Session:
    def __init__(self, fake: FakeAssemblyAI, socket: web.WebSocketResponse, request: web.Request) -> None:
        self.fake = fake
        self.socket = socket
        self.request = request
        self.rate = int(request.query["sample_rate"])
        self.formats = request.query.get("format_turns") == "true"
        self.forced = request.query.get("end_of_turn_confidence_threshold") == "1.0"
        self.heard = 0
        self.order = 0

    async def say(self, kind: type[BaseModel], **fields: Any) -> None:
        message = {"type": kind.__name__.removesuffix("Event"), **fields}
        kind.model_validate(message)
        await self.socket.send_str(json.dumps(message))

    async def refuse(self, code: int, reason: str) -> None:
        await self.say(ErrorEvent, error_code=code, error=reason)
        await self.socket.close(code=code, message=reason.encode())

    async def audio(self, sent: bytes) -> None:
        self.fake.raw += sent
        pcm = linear(sent, self.request.query["encoding"])
        size = len(pcm)
        self.fake.pieces.append(size)
        milliseconds = size / 2 / self.rate * 1000
        if not 50 <= milliseconds <= 1000:
            await self.refuse(3007, f"Input duration violation: {milliseconds} ms. Expected between 50 and 1000 ms")
            return
        match self.fake.behaviour:
            case "cut":
                assert self.request.transport is not None
                self.request.transport.abort()
                return
            case "malformed":
                await self.socket.send_str("{not json")
            case "odd shape":
                await self.socket.send_str(json.dumps({"type": "Turn", "transcript": 7}))
        loud = loud_bytes(pcm, self.fake.threshold)
        if not loud:
            return
        if not self.heard:
            await self.say(SpeechStartedEvent, timestamp=1920)
            if self.fake.behaviour == "silent after a word":
                await self.turn(self.fake.text[:1], transcript="")
        self.heard += loud
        if self.heard < self.fake.enough or self.fake.behaviour == "silent after a word":
            return
        await self.turn(self.fake.text[:1], transcript="")
        await self.turn(self.fake.text)
        if not self.forced:
            await self.turn(self.fake.text, utterance=self.fake.text)
            await self.end()

    async def control(self, message: JSONDict) -> None:
        self.fake.texts.append(message)
        match message["type"]:
            case "ForceEndpoint":
                ForceEndpoint.model_validate(message)
                if self.heard >= self.fake.enough:
                    await self.end()
            case "Terminate":
                TerminateSession.model_validate(message)
                await self.say(TerminationEvent, audio_duration_seconds=1, session_duration_seconds=1)
                await self.socket.close(code=1000)
            case other:
                await self.refuse(3006, f"Invalid Message Type: {other}")

    async def end(self) -> None:
        await self.turn(self.fake.text, utterance=self.fake.text, end=True)
        if self.formats:
            await self.turn(self.fake.formatted, utterance=self.fake.formatted, end=True, formatted=True)
        self.heard = 0
        self.order += 1

    async def turn(
        self, text: str, transcript: str | None = None, utterance: str = "", end: bool = False, formatted: bool = False
    ) -> None:
        sure = 0.9 if end else 0.02
        spoken = [
            {"start": 1920, "end": 2000, "text": word, "confidence": 0.87, "word_is_final": transcript is None}
            for word in text.split()
        ]
        await self.say(
            TurnEvent,
            turn_order=self.order,
            turn_is_formatted=formatted,
            end_of_turn=end,
            transcript=text if transcript is None else transcript,
            end_of_turn_confidence=sure,
            words=spoken,
            utterance=utterance,
        )
