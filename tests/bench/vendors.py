"""The vendors, in a process of their own: a recogniser, a model that speaks OpenAI's API, and a voice, each with a
delay. They note when they were asked and when they answered, by the number of the caller's utterance.

    python -m tests.bench.vendors        prints its port
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from time import monotonic

import uvloop
from aiohttp import WSMsgType, web

from tests.bench.marks import FRAME, marked, number, read, voice, word

STT_FINAL, LLM_FIRST, TTS_FIRST = 0.1, 0.15, 0.08
"""Seconds that each vendor takes: as fast as any, so that nothing of voxtrad hides behind them."""
_PARTIAL_EVERY = 18
"""Frames of an utterance between partial transcripts."""
_TOKEN = 0.015
_PER_CHARACTER = 0.04
_CHUNK = 10
"""Frames of speech in a message; they are sent four times as fast as they play."""


class Vendors:
    def __init__(self) -> None:
        self.noted: dict[int, dict[str, float]] = defaultdict(dict)

    def note(self, utterance: int, what: str) -> None:
        """The first time counts."""
        if utterance:
            self.noted[utterance].setdefault(what, monotonic())

    async def log(self, request: web.Request) -> web.Response:
        noted, self.noted = self.noted, defaultdict(dict)
        return web.json_response(noted)

    # --- recognition --------------------------------------------------------------------------------------------------

    async def listen(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        utterance = frames = 0
        async with asyncio.TaskGroup() as group:
            async for message in socket:
                if message.type is WSMsgType.BINARY:
                    if (mark := read(message.data)) is None:
                        continue
                    utterance, frames = mark.utterance, frames + 1
                    if frames % _PARTIAL_EVERY == 0:
                        await socket.send_str(json.dumps({"partial": f"where is the parcel {word(utterance)}"}))
                elif message.type is WSMsgType.TEXT:
                    self.note(utterance, "finalize")
                    group.create_task(self._final(socket, utterance if frames else 0))
                    frames = 0
        return socket

    async def _final(self, socket: web.WebSocketResponse, utterance: int) -> None:
        await asyncio.sleep(STT_FINAL)
        if not socket.closed:
            self.note(utterance, "final")
            text = f"where is the parcel {word(utterance)} please" if utterance else ""
            await socket.send_str(json.dumps({"final": text}))

    # --- the model ----------------------------------------------------------------------------------------------------

    async def head(self, request: web.Request) -> web.Response:
        return web.Response(status=404)

    async def chat(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        utterance = number(asked["messages"][-1]["content"])
        self.note(utterance, "asked")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await asyncio.sleep(LLM_FIRST)
        name = word(utterance)
        first, *rest = f"The parcel {name} is on its journey. You", *f" will have {name} at home by noon.".split(" ")
        self.note(utterance, "sentence")
        await response.write(_chunk({"role": "assistant", "content": first}))
        for token in rest[1:]:
            await asyncio.sleep(_TOKEN)
            await response.write(_chunk({"content": f" {token}"}))
        await response.write(_chunk({}, "stop") + b"data: [DONE]\n\n")
        return response

    # --- the voice ----------------------------------------------------------------------------------------------------

    async def speak(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        sentences: dict[int, int] = defaultdict(int)
        speaking: asyncio.Task[None] | None = None
        try:
            async for message in socket:
                if message.type is not WSMsgType.TEXT:
                    continue
                if speaking is not None:
                    speaking.cancel()
                asked = json.loads(message.data)
                if (text := asked.get("text")) is None:
                    continue
                utterance = number(text)
                self.note(utterance, "speak")
                speaking = asyncio.create_task(self._say(socket, asked["id"], text, utterance, sentences[utterance]))
                sentences[utterance] += 1
        finally:
            if speaking is not None:
                speaking.cancel()
        return socket

    async def _say(self, socket: web.WebSocketResponse, id: int, text: str, utterance: int, sentence: int) -> None:
        await asyncio.sleep(TTS_FIRST)
        frames = marked(voice(round(len(text) * _PER_CHARACTER, 1)), utterance, sentence)
        await socket.send_str(json.dumps({"begin": id}))
        self.note(utterance, "audio")
        for start in range(0, len(frames), _CHUNK):
            await socket.send_bytes(b"".join(frames[start : start + _CHUNK]))
            await asyncio.sleep(_CHUNK * FRAME / 4)
        await socket.send_str(json.dumps({"end": id}))


def _chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "bench", "choices": [choice]}
    return f"data: {json.dumps(chunk)}\n\n".encode()


async def main() -> None:
    from tests.bench.process import serve_until_told

    vendors = Vendors()
    app = web.Application()
    app.add_routes([
        web.get("/stt", vendors.listen),
        web.get("/tts", vendors.speak),
        web.head("/v1/", vendors.head),
        web.post("/v1/chat/completions", vendors.chat),
        web.get("/bench/log", vendors.log),
    ])  # fmt: skip
    await serve_until_told(app)


if __name__ == "__main__":
    uvloop.run(main())
