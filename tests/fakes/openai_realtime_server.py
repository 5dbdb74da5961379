"""A server that speaks OpenAI's realtime transcription.

Shapes follow the guide "Realtime transcription" and the API reference, "Client events" and "Server events"; every
message, both ways, passes the SDK's own types. It takes no model in the URL, answers `session.update`, refuses a commit
of less than 100 ms, and completes the items that it is given out of order where the test wants that.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, Literal

from aiohttp import WSMsgType, web
from openai.types.realtime import (
    ConversationItemInputAudioTranscriptionCompletedEvent,
    ConversationItemInputAudioTranscriptionDeltaEvent,
    ConversationItemInputAudioTranscriptionFailedEvent,
    InputAudioBufferAppendEvent,
    InputAudioBufferCommitEvent,
    InputAudioBufferCommittedEvent,
    RealtimeErrorEvent,
    RealtimeTranscriptionSessionCreateRequest,
)
from pydantic import BaseModel

from tests.fakes.g711 import linear
from tests.fakes.loudness import loud_bytes

JSONDict = dict[str, Any]
Behaviour = Literal["well", "cut", "malformed", "odd shape", "no handshake", "no session", "silent", "failed"]
_TRANSCRIPTION = "conversation.item.input_audio_transcription"


@dataclass
class FakeRealtime:
    """What the server is to do, and what it was asked."""

    url: str = ""
    behaviour: Behaviour = "well"
    status: int = 101
    key: str | None = None
    error: JSONDict | None = None
    """Answer the session's update with this error."""
    hang_up: tuple[int, bytes] | None = None
    """Close with this code and reason instead of beginning a session."""
    failure: JSONDict = field(default_factory=lambda: {"type": "server_error", "code": None, "message": "no"})
    text: str = "goodbye"
    enough: int = 8000
    """Bytes of 16-bit audio after which something is heard."""
    threshold: int = 0
    sessions: list[JSONDict] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    queries: list[dict[str, str]] = field(default_factory=list)
    appended: list[int] = field(default_factory=list)
    commits: int = 0
    connections: int = 0
    raw: bytearray = field(default_factory=bytearray)
    """The audio as it came."""
    closed: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def fake_openai_realtime(**settings: Any) -> AsyncIterator[FakeRealtime]:
    fake = FakeRealtime(**settings)
    app = web.Application()
    app.router.add_get("/v1/realtime", partial(_serve, fake))
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield fake
    finally:
        await runner.cleanup()


async def _serve(fake: FakeRealtime, request: web.Request) -> web.StreamResponse:
    fake.queries.append(dict(request.query))
    fake.headers.append(dict(request.headers))
    fake.connections += 1
    if fake.behaviour == "no handshake":
        await asyncio.Event().wait()
    if fake.key is not None and request.headers.get("Authorization") != f"Bearer {fake.key}":
        return web.json_response({"error": {"message": "Incorrect API key", "code": "invalid_api_key"}}, status=401)
    if fake.status != 101:
        return web.json_response({"error": {"message": "no"}}, status=fake.status, headers={"Retry-After": "3"})
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    session = _Session(fake, socket, request)
    try:
        if fake.hang_up is not None:
            code, reason = fake.hang_up
            await socket.close(code=code, message=reason)
        elif fake.behaviour != "no session":
            await socket.send_json({"type": "session.created", "event_id": "e", "session": {"type": "transcription"}})
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                await session.take(message.json())
    finally:
        fake.closed.set()
    return socket


class _Session:
    def __init__(self, fake: FakeRealtime, socket: web.WebSocketResponse, request: web.Request) -> None:
        self.fake = fake
        self.socket = socket
        self.request = request
        self.items = count(1)
        self.item = f"item_{next(self.items)}"
        self.encoding = "audio/pcm"
        self.heard = self.buffered = 0

    async def say(self, kind: type[BaseModel], name: str, **fields: Any) -> None:
        message = {"type": name, "event_id": "event_1", **fields}
        kind.model_validate(message)
        await self.socket.send_json(message)

    async def take(self, event: JSONDict) -> None:
        match event["type"]:
            case "session.update":
                await self.update(event["session"])
            case "input_audio_buffer.append":
                InputAudioBufferAppendEvent.model_validate(event)
                await self.append(base64.b64decode(event["audio"], validate=True))
            case "input_audio_buffer.commit":
                InputAudioBufferCommitEvent.model_validate(event)
                await self.commit()
            case other:
                raise AssertionError(f"a client's event that there is none of: {other}")

    async def update(self, session: JSONDict) -> None:
        RealtimeTranscriptionSessionCreateRequest.model_validate(session)
        assert set(session) <= {"type", "audio", "include"}
        self.fake.sessions.append(session)
        self.encoding = session["audio"]["input"]["format"]["type"]
        if self.fake.error is not None:
            await self.say(RealtimeErrorEvent, "error", error=self.fake.error)
            return
        await self.socket.send_json({"type": "session.updated", "event_id": "e", "session": session})

    async def append(self, audio: bytes) -> None:
        self.fake.raw += audio
        pcm = linear(audio, self.encoding)
        self.fake.appended.append(len(pcm))
        self.buffered += len(pcm)
        match self.fake.behaviour:
            case "cut":
                assert self.request.transport is not None
                self.request.transport.abort()
                return
            case "malformed":
                await self.socket.send_str("{not json")
            case "odd shape":
                await self.socket.send_json({"type": f"{_TRANSCRIPTION}.delta", "item_id": "i", "delta": 7})
            case "silent":
                return
        before = self.heard >= self.fake.enough
        self.heard += loud_bytes(pcm, self.fake.threshold)
        if self.heard >= self.fake.enough and not before:
            for piece in (self.fake.text[:4], self.fake.text[4:]):
                await self.say(
                    ConversationItemInputAudioTranscriptionDeltaEvent,
                    f"{_TRANSCRIPTION}.delta",
                    item_id=self.item,
                    content_index=0,
                    delta=piece,
                )

    async def commit(self) -> None:
        self.fake.commits += 1
        rate = 24000 if self.encoding == "audio/pcm" else 8000
        if self.buffered < 0.1 * rate * 2:
            error = {
                "type": "invalid_request_error",
                "code": "input_audio_buffer_commit_empty",
                "message": "Error committing input audio buffer: buffer too small.",
            }
            await self.say(RealtimeErrorEvent, "error", error=error)
            return
        if self.fake.behaviour == "silent":
            return
        item, self.item = self.item, f"item_{next(self.items)}"
        text = self.fake.text if self.heard >= self.fake.enough else ""
        self.heard = self.buffered = 0
        await self.say(InputAudioBufferCommittedEvent, "input_audio_buffer.committed", item_id=item)
        if self.fake.behaviour == "failed":
            await self.say(
                ConversationItemInputAudioTranscriptionFailedEvent,
                f"{_TRANSCRIPTION}.failed",
                item_id=item,
                content_index=0,
                error=self.fake.failure,
            )
            return
        await self.say(
            ConversationItemInputAudioTranscriptionCompletedEvent,
            f"{_TRANSCRIPTION}.completed",
            item_id=item,
            content_index=0,
            transcript=text,
            usage={"type": "duration", "seconds": 1},
        )
