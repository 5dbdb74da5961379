"""A server that speaks Cartesia's text to speech over a websocket.

Shapes follow the API reference, "Text to Speech (WebSocket)" (GenerationRequest, CancelContextRequest; chunk,
timestamps, done, error), and "API errors"; every message, both ways, passes the SDK's own types. 50 ms of tone for each
character, five characters a chunk.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from aiohttp import WSMsgType, web
from cartesia.types.generation_request import GenerationRequest
from cartesia.types.websocket_client_event import CancelContextRequest
from cartesia.types.websocket_response import Chunk, Done, Error, Timestamps
from pydantic import BaseModel

from tests.fakes.g711 import speech
from tests.fakes.idle import Idle

JSONDict = dict[str, Any]
Behaviour = Literal["well", "stall", "cut", "malformed", "not base64", "silent", "hang up after each"]
PER_CHARACTER = 0.05
IDLE = 300.0
"""Seconds without a message after which a socket is closed, by the reference of the endpoint."""


@dataclass
class FakeCartesia:
    url: str = ""
    behaviour: Behaviour = "well"
    status: int = 101
    key: str | None = None
    error: tuple[int, str, str] | None = None
    """Answer each request with this error: status, code, title."""
    queries: list[dict[str, str]] = field(default_factory=list)
    sockets: list[web.WebSocketResponse] = field(default_factory=list)
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a socket was opened."""
    ponged: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client answered a ping."""
    messages: list[JSONDict] = field(default_factory=list)


@asynccontextmanager
async def fake_cartesia(**settings: Any) -> AsyncIterator[FakeCartesia]:
    fake = FakeCartesia(**settings)
    app = web.Application()
    app.router.add_get("/tts/websocket", partial(_serve, fake))
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        await runner.cleanup()


async def _serve(fake: FakeCartesia, request: web.Request) -> web.StreamResponse:
    fake.queries.append(dict(request.query))
    assert request.query["cartesia_version"]
    refusal = {"error_code": None, "title": "no", "message": "no", "request_id": "r"}
    if fake.key is not None and request.headers.get("X-API-Key") != fake.key:
        return web.json_response(refusal, status=401)
    if fake.status != 101:
        return web.json_response(refusal, status=fake.status, headers={"Retry-After": "3"})
    socket = web.WebSocketResponse(autoping=False)
    await socket.prepare(request)
    fake.sockets.append(socket)
    fake.opened.set()
    speaking: dict[str, asyncio.Task[None]] = {}
    closing = Idle(socket, IDLE)
    async for message in socket:
        if message.type is WSMsgType.PONG:
            fake.ponged.set()
        if message.type is WSMsgType.PING:
            await socket.pong(message.data)
        if message.type != WSMsgType.TEXT:
            continue
        closing.heard()
        asked = json.loads(message.data)
        fake.messages.append(asked)
        context = asked["context_id"]
        if asked.get("cancel"):
            CancelContextRequest.model_validate(asked)
            speaking[context].cancel()
        elif fake.behaviour == "cut":
            assert request.transport is not None
            request.transport.abort()
        elif fake.behaviour == "malformed":
            await socket.send_str("{not json")
        elif fake.behaviour != "stall":
            GenerationRequest.model_validate(asked)
            speaking[context] = asyncio.create_task(_speak(fake, socket, asked))
    closing.stop()
    for task in speaking.values():
        task.cancel()
    return socket


async def _say(socket: web.WebSocketResponse, kind: type[BaseModel], message: JSONDict) -> None:
    kind.model_validate(message)
    await socket.send_json(message)


async def _speak(fake: FakeCartesia, socket: web.WebSocketResponse, asked: JSONDict) -> None:
    context = asked["context_id"]
    common = {"status_code": 206, "context_id": context}
    if fake.error is not None:
        status, code, title = fake.error
        told = {"title": title, "message": title, "error_code": code, "request_id": "r"}
        told |= {"type": "error", "done": True, "status_code": status, "context_id": context}
        await _say(socket, Error, told)
        return
    text, wanted = asked["transcript"], asked["output_format"]
    whole = speech(int(len(text) * PER_CHARACTER * wanted["sample_rate"]), wanted["encoding"])
    size = len(whole) // max(1, len(text))
    for start in range(0, 0 if fake.behaviour == "silent" else len(text), 5):
        sound = whole[start * size : (start + 5) * size]
        audio = "?" if fake.behaviour == "not base64" else base64.b64encode(sound).decode()
        await _say(socket, Chunk, {"type": "chunk", "data": audio, "done": False, "step_time": 12, **common})
        await asyncio.sleep(0)
    words = text.split()
    starts = [0.3 * index for index in range(len(words))]
    timestamps = {"words": words, "start": starts, "end": [start + 0.3 for start in starts]}
    await _say(socket, Timestamps, {"type": "timestamps", "done": False, "word_timestamps": timestamps, **common})
    await _say(socket, Done, {"type": "done", "done": True, **common})
    if fake.behaviour == "hang up after each":
        await socket.close(code=1000)
