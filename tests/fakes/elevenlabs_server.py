"""A server that speaks ElevenLabs' multi-context websocket.

Shapes follow the API reference, "Multi-Context WebSocket" (its AsyncAPI: InitializeConnectionMulti, SendTextMulti,
CloseContextClient; AudioOutputMulti, FinalOutputMulti). A context must be opened with a single space, may not be the
sixth, and its audio comes only after a flush; 50 ms of tone for each character, five characters a message.
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
    queries: list[dict[str, str]] = field(default_factory=list)
    voices: list[str] = field(default_factory=list)
    messages: list[JSONDict] = field(default_factory=list)
    most_contexts: int = 0


@asynccontextmanager
async def fake_elevenlabs(**settings: Any) -> AsyncIterator[FakeElevenLabs]:
    fake = FakeElevenLabs(**settings)
    app = web.Application()
    app.router.add_get("/v1/text-to-speech/{voice}/multi-stream-input", partial(_speak, fake))
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        await runner.cleanup()


async def _speak(fake: FakeElevenLabs, request: web.Request) -> web.StreamResponse:
    fake.queries.append(dict(request.query))
    fake.voices.append(request.match_info["voice"])
    if fake.key is not None and request.headers.get("xi-api-key") != fake.key:
        return web.json_response({"detail": {"status": "invalid_api_key", "message": "Invalid API key"}}, status=401)
    if fake.status != 101:
        return web.json_response({"detail": {"status": "error", "message": "no"}}, status=fake.status)
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    rate = int(request.query["output_format"].removeprefix("pcm_"))
    texts: dict[str, str] = {}
    speaking: dict[str, asyncio.Task[None]] = {}
    async for message in socket:
        if message.type != WSMsgType.TEXT:
            continue
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
            speaking[context].add_done_callback(lambda _, ended=context: texts.pop(ended, None))
        elif context not in texts:
            assert asked["text"] == " ", "a context begins with a single space"
            texts[context] = ""
            fake.most_contexts = max(fake.most_contexts, len(texts))
            if len(texts) > 5:
                await socket.send_json({"error": "max_active_conversations", "message": "too many", "code": 1008})
                await socket.close(code=1008)
        else:
            texts[context] += asked["text"]
            if asked.get("flush"):
                spoken = _say(fake, socket, context, texts[context], rate)
                speaking[context] = asyncio.create_task(spoken)
    for task in speaking.values():
        task.cancel()
    return socket


async def _say(fake: FakeElevenLabs, socket: web.WebSocketResponse, context: str, text: str, rate: int) -> None:
    for start in range(0, len(text), 5):
        piece = text[start : start + 5]
        samples = int(len(piece) * PER_CHARACTER * rate)
        times = [int(1000 * PER_CHARACTER * index) for index in range(len(piece))]
        alignment = {
            "chars": list(piece),
            "charStartTimesMs": times,
            "charDurationsMs": [int(1000 * PER_CHARACTER)] * len(piece),
        }
        audio = "?" if fake.behaviour == "not base64" else base64.b64encode(b"\1\2" * samples).decode()
        await socket.send_json(
            {"audio": audio, "alignment": alignment, "normalizedAlignment": alignment, "contextId": context}
        )
        await asyncio.sleep(0)
    await socket.send_json({"isFinal": True, "contextId": context})
