"""A server that speaks ElevenLabs' multi-context websocket, and its HTTP stream.

Shapes follow the API reference, "Multi-Context WebSocket" (its AsyncAPI: InitializeConnectionMulti, SendTextMulti,
CloseContextClient; AudioOutputMulti, FinalOutputMulti), "Stream speech" and the page "Errors"; every message of the
socket passes the SDK's own types. A context must be opened with a single space, may not be the sixth, and its audio
comes only after a flush; 50 ms of tone for each character, five characters a message. Over HTTP it comes in odd pieces.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle, islice
from typing import Any, Literal

from aiohttp import WSMsgType, web
from elevenlabs.types import (
    AudioOutputMulti,
    CloseContext,
    FinalOutputMulti,
    InitializeConnectionMulti,
    SendTextMulti,
)

from tests.fakes.idle import Idle

JSONDict = dict[str, Any]
Behaviour = Literal["well", "stall", "cut", "malformed", "not base64", "error"]

PER_CHARACTER = 0.05


@dataclass
class FakeElevenLabs:
    url: str = ""
    behaviour: Behaviour = "well"
    status: int = 101
    key: str | None = None
    error: tuple[str, str] = ("quota_exceeded", "This request exceeds your quota.")
    codes: bytes = b"\x10"
    """What it says in u-law."""
    queries: list[dict[str, str]] = field(default_factory=list)
    voices: list[str] = field(default_factory=list)
    sockets: list[web.WebSocketResponse] = field(default_factory=list)
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a socket was opened."""
    ponged: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client answered a ping."""
    messages: list[JSONDict] = field(default_factory=list)
    """What came over the socket, or in the bodies of requests."""
    connections: set[tuple[str, int]] = field(default_factory=set)
    """The clients' ends of the connections that sockets and requests came by."""
    most_contexts: int = 0


@asynccontextmanager
async def fake_elevenlabs(**settings: Any) -> AsyncIterator[FakeElevenLabs]:
    fake = FakeElevenLabs(**settings)
    app = web.Application()
    app.router.add_get("/v1/text-to-speech/{voice}/multi-stream-input", partial(_speak, fake))
    app.router.add_post("/v1/text-to-speech/{voice}/stream", partial(_stream, fake))
    app.router.add_head("/", partial(_head, fake))
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        await runner.cleanup()


async def _head(fake: FakeElevenLabs, request: web.Request) -> web.Response:
    _note(fake, request)
    return web.Response(status=404)


def _note(fake: FakeElevenLabs, request: web.Request) -> None:
    assert request.transport is not None
    fake.connections.add(request.transport.get_extra_info("peername")[:2])


def _refused(fake: FakeElevenLabs, request: web.Request) -> web.Response | None:
    _note(fake, request)
    fake.queries.append(dict(request.query))
    fake.voices.append(request.match_info["voice"])
    if fake.key is not None and request.headers.get("xi-api-key") != fake.key:
        return web.json_response({"detail": {"status": "invalid_api_key", "message": "Invalid API key"}}, status=401)
    if fake.status != 101:
        return web.json_response(
            {"detail": {"status": "error", "message": "no"}}, status=fake.status, headers={"Retry-After": "3"}
        )
    return None


def tone(seconds: float, output_format: str, codes: bytes) -> bytes:
    """Audio in one of the vendor's formats; in u-law these codes, over and over."""
    encoding, _, rate = output_format.partition("_")
    samples = int(seconds * int(rate))
    return bytes(islice(cycle(codes), samples)) if encoding == "ulaw" else b"\x01\x02" * samples


async def _stream(fake: FakeElevenLabs, request: web.Request) -> web.StreamResponse:
    if (refused := _refused(fake, request)) is not None:
        return refused
    asked = await request.json()
    fake.messages.append(asked)
    if fake.behaviour == "error":
        code, said = fake.error
        return web.json_response({"detail": {"status": code, "message": said}}, status=401)
    if fake.behaviour == "malformed":
        return web.json_response({"audio": "none"})
    response = web.StreamResponse(headers={"Content-Type": "audio/basic"})
    await response.prepare(request)
    audio = tone(len(asked["text"]) * PER_CHARACTER, request.query["output_format"], fake.codes)
    if fake.behaviour != "well":
        audio = audio[:600]
    for start in range(0, len(audio), 1001):
        await response.write(audio[start : start + 1001])
    if fake.behaviour == "stall":
        await asyncio.Event().wait()
    if fake.behaviour == "cut":
        assert request.transport is not None
        request.transport.abort()
    return response


async def _speak(fake: FakeElevenLabs, request: web.Request) -> web.StreamResponse:
    if (refused := _refused(fake, request)) is not None:
        return refused
    idle = float(request.query.get("inactivity_timeout", 20))
    socket = web.WebSocketResponse(autoping=False)
    await socket.prepare(request)
    fake.sockets.append(socket)
    fake.opened.set()
    output_format = request.query["output_format"]
    texts: dict[str, str] = {}
    speaking: dict[str, asyncio.Task[None]] = {}
    closing = Idle(socket, idle)
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
        if fake.behaviour == "cut":
            assert request.transport is not None
            request.transport.abort()
            break
        if fake.behaviour == "malformed":
            await socket.send_str("{not json")
        elif fake.behaviour == "error":
            code, said = fake.error
            await socket.send_json({"message": said, "error": code, "code": 1008})
            await socket.close(code=1008, message=code.encode())
        elif fake.behaviour == "stall":
            continue
        elif asked.get("close_context"):
            CloseContext.model_validate(asked)
            speaking[context].add_done_callback(lambda _, ended=context: texts.pop(ended, None))
        elif context not in texts:
            InitializeConnectionMulti.model_validate(asked)
            texts[context] = ""
            fake.most_contexts = max(fake.most_contexts, len(texts))
            if len(texts) > 5:
                await socket.send_json({"error": "max_active_conversations", "message": "too many", "code": 1008})
                await socket.close(code=1008)
        else:
            SendTextMulti.model_validate(asked)
            texts[context] += asked["text"]
            if asked.get("flush"):
                spoken = _say(fake, socket, context, texts[context], output_format)
                speaking[context] = asyncio.create_task(spoken)
    closing.stop()
    for task in speaking.values():
        task.cancel()
    return socket


async def _say(
    fake: FakeElevenLabs, socket: web.WebSocketResponse, context: str, text: str, output_format: str
) -> None:
    for start in range(0, len(text), 5):
        piece = text[start : start + 5]
        sound = tone(len(piece) * PER_CHARACTER, output_format, fake.codes)
        times = [int(1000 * PER_CHARACTER * index) for index in range(len(piece))]
        alignment = {
            "chars": list(piece),
            "charStartTimesMs": times,
            "charDurationsMs": [int(1000 * PER_CHARACTER)] * len(piece),
        }
        audio = "?" if fake.behaviour == "not base64" else base64.b64encode(sound).decode()
        spoken = {"audio": audio, "alignment": alignment, "normalizedAlignment": alignment, "contextId": context}
        AudioOutputMulti.model_validate(spoken)
        await socket.send_json(spoken)
        await asyncio.sleep(0)
    last = {"isFinal": True, "contextId": context}
    FinalOutputMulti.model_validate(last)
    await socket.send_json(last)
