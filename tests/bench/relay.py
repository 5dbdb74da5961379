"""The yardstick: a bare program between PBX and vendors, on the same turns. What it costs, any such server costs here.

It forwards the caller's frames to the recogniser and runs the WebRTC detector on them; half a second after the caller's
last voiced frame it asks the model, has the first sentences spoken, and forwards the audio. Nothing of voxtrad is in
it: no state, no events, no interruption, and it knows by the marks in the audio what the caller said.

    python -m tests.bench.relay PBX_URL VENDOR_URL
"""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from collections import deque

import aiohttp
import uvloop
import webrtcvad

from tests.bench.caller import MIN_SILENCE
from tests.bench.marks import RATE, read, word
from tests.bench.process import until_told

_STOPPED = 10
"""Frames without voice after which the recogniser is asked for its final transcript."""


class Carried:
    """One call."""

    def __init__(self, http: aiohttp.ClientSession, pbx: str, vendors: str) -> None:
        self._http = http
        self._pbx = pbx
        self._vendors = vendors
        self._answering: asyncio.Task[None] | None = None
        self._waiting: deque[str] = deque()
        """Sentences that follow the one that is being spoken."""
        self._speaks = False

    async def run(self) -> None:
        """Until it is cancelled."""
        id = f"relay-{uuid.uuid4().hex}"
        async with self._http.post(f"{self._pbx}/ari/channels/externalMedia", json={"channelId": id}) as answer:
            connection = (await answer.json())["channelvars"]["MEDIA_WEBSOCKET_CONNECTION_ID"]
        try:
            async with (
                self._http.ws_connect(f"{self._pbx}/media/{connection}", protocols=("media",)) as media,
                self._http.ws_connect(f"{self._vendors}/stt", compress=0) as recogniser,
                self._http.ws_connect(f"{self._vendors}/tts", compress=0) as voice,
            ):
                speaking = asyncio.create_task(self._speak(voice, media))
                reading = asyncio.create_task(_drain(recogniser))
                await self._say(voice, "Hello, how can I help you?")
                try:
                    await self._hear(media, recogniser, voice)
                finally:
                    for task in (speaking, reading, self._answering):
                        if task is not None:
                            task.cancel()
        finally:
            await self._http.delete(f"{self._pbx}/ari/channels/{id}")

    async def _hear(
        self,
        media: aiohttp.ClientWebSocketResponse,
        recogniser: aiohttp.ClientWebSocketResponse,
        voice: aiohttp.ClientWebSocketResponse,
    ) -> None:
        vad = webrtcvad.Vad(2)
        utterance = answered = silent = 0
        async for message in media:
            if message.type is not aiohttp.WSMsgType.BINARY:
                continue
            frame = message.data
            if (mark := read(frame)) is not None:
                utterance = mark.utterance
            silent = 0 if vad.is_speech(frame, RATE) else silent + 1
            await recogniser.send_bytes(frame)
            if utterance != answered and silent == _STOPPED:
                await recogniser.send_str("finalize")
            elif utterance != answered and silent == MIN_SILENCE:
                answered = utterance
                if self._answering is not None:
                    self._answering.cancel()
                self._answering = asyncio.create_task(self._answer(utterance, voice))

    async def _answer(self, utterance: int, voice: aiohttp.ClientWebSocketResponse) -> None:
        messages = [{"role": "user", "content": f"where is the parcel {word(utterance)} please"}]
        asked = {"model": "bench", "messages": messages, "stream": True}
        sentence = ""
        async with self._http.post(f"{self._vendors}/v1/chat/completions", json=asked) as answer:
            async for line in answer.content:
                if not line.startswith(b"data: {"):
                    continue
                sentence += json.loads(line[6:])["choices"][0]["delta"].get("content", "")
                said, stop, rest = sentence.rpartition(".")
                if stop:
                    await self._say(voice, said + stop)
                    sentence = rest

    async def _say(self, voice: aiohttp.ClientWebSocketResponse, text: str) -> None:
        if self._speaks:
            self._waiting.append(text)
        else:
            self._speaks = True
            await voice.send_str(json.dumps({"text": text, "id": 1}))

    async def _speak(self, voice: aiohttp.ClientWebSocketResponse, media: aiohttp.ClientWebSocketResponse) -> None:
        async for message in voice:
            if message.type is aiohttp.WSMsgType.BINARY:
                await media.send_bytes(message.data)
            elif "end" in json.loads(message.data):
                self._speaks = False
                if self._waiting:
                    await self._say(voice, self._waiting.popleft())


async def _drain(socket: aiohttp.ClientWebSocketResponse) -> None:
    async for _ in socket:
        pass


async def main(pbx: str, vendors: str) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http, asyncio.TaskGroup() as calls:  # noqa: SIM117
        async with http.ws_connect(f"{pbx}/ari/events") as events:
            print("ready", flush=True)
            told = asyncio.create_task(until_told())
            told.add_done_callback(lambda _: asyncio.ensure_future(events.close()))
            carried: dict[str, asyncio.Task[None]] = {}
            async for message in events:
                event = message.json()
                id = event["channel"]["id"]
                if event["type"] == "StasisStart" and id.startswith("bench-"):
                    carried[id] = calls.create_task(Carried(http, pbx, vendors).run())
                elif event["type"] == "StasisEnd" and id in carried:
                    carried.pop(id).cancel()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:3]))
