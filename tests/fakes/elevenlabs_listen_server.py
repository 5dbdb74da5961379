"""A server that speaks ElevenLabs' realtime transcription (Scribe) with the manual commit strategy.

Shapes follow the API reference, "Realtime" (its AsyncAPI: InputAudioChunkPayload; SessionStartedPayload,
PartialTranscriptPayload, CommittedTranscriptPayload and the errors), and the "Realtime event reference"; every message
passes the SDK's own types. As there, a refusal is a message after the handshake, and a commit of less than 0.3 s of
audio is not carried out.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from aiohttp import WSMsgType, web
from elevenlabs.types import (
    CommittedTranscriptPayload,
    CommittedTranscriptWithTimestampsPayload,
    InputAudioChunkPayload,
    PartialTranscriptPayload,
    ScribeErrorPayload,
    ScribeInsufficientAudioActivityErrorPayload,
    ScribeThrottledErrorPayload,
    SessionStartedPayload,
)
from pydantic import BaseModel

from tests.fakes.g711 import linear
from tests.fakes.loudness import loud_bytes

Behaviour = Literal["well", "cut", "malformed", "odd shape", "no handshake", "no begin", "silent", "hang up on silence"]


@dataclass
class FakeScribe:
    """What the server is to do, and what it was asked."""

    url: str = ""
    behaviour: Behaviour = "well"
    status: int = 101
    refusal: tuple[str, str] | None = None
    """Say this error in place of the session's beginning, and close."""
    key: str | None = None
    text: str = "goodbye"
    enough: int = 8000
    """Bytes of audio after which something is heard."""
    threshold: int = 0
    """Hear only pieces with a sample this loud; 0 hears silence too, for tests that send nothing else."""
    queries: list[list[tuple[str, str]]] = field(default_factory=list)
    chunks: list[tuple[int, bool]] = field(default_factory=list)
    """Bytes of each piece, and whether it was to be committed."""
    connections: int = 0
    connected: asyncio.Event = field(default_factory=asyncio.Event)
    raw: bytearray = field(default_factory=bytearray)
    """The audio as it came."""
    closed: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def fake_scribe(**settings: Any) -> AsyncIterator[FakeScribe]:
    fake = FakeScribe(**settings)
    app = web.Application()
    app.router.add_get("/v1/speech-to-text/realtime", partial(_listen, fake))
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        await runner.cleanup()


async def _listen(fake: FakeScribe, request: web.Request) -> web.StreamResponse:
    fake.queries.append(list(request.query.items()))
    fake.connections += 1
    fake.connected.set()
    if fake.behaviour == "no handshake":
        await asyncio.Event().wait()
    if fake.status != 101:
        return web.json_response(
            {"detail": {"status": "error", "message": "no"}}, status=fake.status, headers={"Retry-After": "3"}
        )
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    session = _Session(fake, socket, request)
    try:
        if fake.key is not None and request.headers.get("xi-api-key") != fake.key:
            await session.refuse("auth_error", "You must be authenticated to use this endpoint.")
        elif fake.refusal is not None:
            await session.refuse(*fake.refusal)
        elif fake.behaviour != "no begin":
            config = {"sample_rate": session.rate, "audio_format": request.query["audio_format"]}
            await session.say(
                SessionStartedPayload, "session_started", session_id="8c1b", config={**config, "model_id": "scribe"}
            )
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                await session.audio(message.json())
    finally:
        fake.closed.set()
    return socket


class _Session:
    def __init__(self, fake: FakeScribe, socket: web.WebSocketResponse, request: web.Request) -> None:
        assert request.query["commit_strategy"] == "manual"
        self.fake = fake
        self.socket = socket
        self.request = request
        self.encoding, _, rate = request.query["audio_format"].partition("_")
        self.rate = int(rate)
        self.heard = 0
        self.uncommitted = 0

    async def say(self, kind: type[BaseModel], name: str, **fields: Any) -> None:
        message = {"message_type": name, **fields}
        kind.model_validate(message)
        await self.socket.send_json(message)

    async def refuse(self, name: str, error: str) -> None:
        await self.say(ScribeErrorPayload, "error", error=error) if name == "error" else await self.socket.send_json(
            {"message_type": name, "error": error}
        )
        await self.socket.close(code=1008 if name == "auth_error" else 1000, message=name.encode())

    async def audio(self, message: dict[str, Any]) -> None:
        InputAudioChunkPayload.model_validate(message)
        assert message["sample_rate"] == self.rate
        sent = base64.b64decode(message["audio_base_64"], validate=True)
        self.fake.raw += sent
        pcm = linear(sent, self.encoding)
        self.fake.chunks.append((len(pcm), message["commit"]))
        self.uncommitted += len(pcm)
        match self.fake.behaviour:
            case "cut":
                assert self.request.transport is not None
                self.request.transport.abort()
                return
            case "malformed":
                await self.socket.send_str("{not json")
            case "odd shape":
                await self.socket.send_json({"message_type": "partial_transcript", "text": 7})
            case "silent":
                return
        if size := loud_bytes(pcm, self.fake.threshold):
            self.heard += size
            if self.heard >= self.fake.enough:
                await self.say(PartialTranscriptPayload, "partial_transcript", text=self.fake.text)
        if message["commit"]:
            await self.commit()

    async def commit(self) -> None:
        if self.uncommitted < 0.3 * self.rate * 2:
            error = f"Commit request ignored: only {self.uncommitted} bytes of uncommitted audio."
            await self.say(ScribeThrottledErrorPayload, "commit_throttled", error=error)
            return
        if self.fake.behaviour == "hang up on silence" and self.heard < self.fake.enough:
            name, error = "insufficient_audio_activity", "Insufficient audio activity."
            await self.say(ScribeInsufficientAudioActivityErrorPayload, name, error=error)
            await self.socket.close(code=1000, message=name.encode())
            return
        text = self.fake.text if self.heard >= self.fake.enough else ""
        await self.say(CommittedTranscriptPayload, "committed_transcript", text=text)
        # It has been seen to come where it was not asked for, too.
        await self.say(CommittedTranscriptWithTimestampsPayload, "committed_transcript_with_timestamps", text=text)
        self.heard = self.uncommitted = 0
