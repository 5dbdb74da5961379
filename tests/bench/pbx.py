"""A simulated PBX, in a process of its own: speaks ARI and chan_websocket as voxtrad uses them, and makes calls.

Source: "Asterisk REST Interface (ARI)" and "WebSocket Channel Driver" in the Asterisk documentation. The playout queue
is paced here, as chan_websocket does, and each call has its own phase within the 20 ms of a frame. Callers are on u-law
lines; media is carried so, or as linear PCM, as asked. `/bench/…` is for the benchmark: make calls, hang them up, tell
what the callers noted.

    python -m tests.bench.pbx SPEECH.raw        prints its port
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from time import monotonic
from typing import Any

import uvloop
from aiohttp import WSMsgType, web

from tests.bench.caller import Caller
from tests.bench.marks import FRAME, FRAME_BYTES, line_noise, read
from voxtrad.audio.g711 import decode_ulaw, encode_ulaw

VERSION = "22.10.1"
_XOFF, _XON, _MOST = 900, 800, 1000


class Media:
    """One media channel: its socket, the playout queue and the caller at the other end."""

    def __init__(self, call: Call, id: str, form: str) -> None:
        self.call = call
        self.id = id
        self.form = form
        self.connection = f"m-{id}"
        self.queue: deque[bytes | str] = deque()
        self.frames = 0
        self.paused = False
        self.off = False
        self.socket: web.WebSocketResponse | None = None
        self.late = 0.0
        """The most that a tick was late, in seconds: then this process is the bottleneck."""

    async def serve(self, request: web.Request, pbx: PBX) -> web.WebSocketResponse:
        socket = self.socket = web.WebSocketResponse(protocols=("media",), compress=False)
        await socket.prepare(request)
        start = {"event": "MEDIA_START", "optimal_frame_size": len(self._encode(bytes(FRAME_BYTES)))}
        start |= {"ptime": 20, "format": self.form}
        await socket.send_str(json.dumps(start))
        pbx.tell({"type": "StasisStart", "args": [], "channel": {"id": self.id, "name": f"WebSocket/{self.id}"}})
        playing = asyncio.create_task(self._play())
        try:
            async for message in socket:
                if message.type is WSMsgType.BINARY:
                    self._take(message.data)
                elif message.type is WSMsgType.TEXT:
                    await self._obey(json.loads(message.data))
        finally:
            playing.cancel()
        return socket

    def _encode(self, pcm: bytes) -> bytes:
        return encode_ulaw(pcm) if self.form == "ulaw" else pcm

    def _take(self, audio: bytes) -> None:
        if self.form == "ulaw":
            audio = decode_ulaw(audio)
        now = monotonic()
        self.call.caller.received(audio[:FRAME_BYTES], now)
        if self.call.greeted is None and read(audio[-FRAME_BYTES:]) is not None:
            self.call.greeted = now
        if self.frames >= _MOST:
            return
        for start in range(0, len(audio) - FRAME_BYTES + 1, FRAME_BYTES):
            self.queue.append(audio[start : start + FRAME_BYTES])
            self.frames += 1

    async def _obey(self, command: dict[str, Any]) -> None:
        now = monotonic()
        match command["command"]:
            case "FLUSH_MEDIA":
                if any(isinstance(item, bytes) and any(item) for item in itertools.islice(self.queue, 3)):
                    self.call.caller.told_to_stop(now)
                self.queue.clear()
                self.frames = 0
            case "PAUSE_MEDIA":
                self.paused = True
                self.call.caller.told_to_stop(now)
            case "CONTINUE_MEDIA":
                self.paused = False
            case "MARK_MEDIA":
                self.queue.append(str(command["correlation_id"]))
            case "GET_STATUS":
                await self._say("STATUS", queue_length=self.frames)

    async def _say(self, event: str, **more: object) -> None:
        assert self.socket is not None
        await self.socket.send_str(json.dumps({"event": event, **more}))

    async def _play(self) -> None:
        """20 ms at a time: a frame of the caller's out, a frame of the agent's heard."""
        caller, socket = self.call.caller, self.socket
        assert socket is not None
        due = monotonic() + random.uniform(0, FRAME)
        while not socket.closed:
            await asyncio.sleep(due - monotonic())
            now = monotonic()
            self.late = max(self.late, now - due)
            due += FRAME
            await socket.send_bytes(self._encode(caller.next_frame(now)))
            caller.heard(None if self.paused else await self._next(), now)
            if self.frames > _XOFF and not self.off:
                self.off = True
                await self._say("MEDIA_XOFF")
            elif self.frames < _XON and self.off:
                self.off = False
                await self._say("MEDIA_XON")

    async def _next(self) -> bytes | None:
        while self.queue:
            item = self.queue.popleft()
            if isinstance(item, bytes):
                self.frames -= 1
                return item
            await self._say("MEDIA_MARK_PROCESSED", correlation_id=item)
        return None


class Call:
    """One caller's channel in the application."""

    def __init__(self, number: int, caller: Caller) -> None:
        self.id = f"bench-{number}"
        self.caller = caller
        self.media: Media | None = None
        self.answered: float | None = None
        self.greeted: float | None = None
        """When the first sound came that is no silence."""

    @property
    def channel(self) -> dict[str, object]:
        return {
            "id": self.id, "name": f"PJSIP/bench-{self.id}", "caller": {"number": "+15550100", "name": ""},
            "dialplan": {"exten": "1000"},
        }  # fmt: skip


class PBX:
    """The exchange: all calls, all media, one subscriber."""

    def __init__(self, speech: bytes, noise: Sequence[bytes]) -> None:
        self._speech = speech
        self._noise = noise
        self._ids: Iterator[int] = itertools.count(1)
        self._numbers = itertools.count(1)
        self.calls: dict[str, Call] = {}
        self.media: dict[str, Media] = {}
        self.subscribed = asyncio.Event()
        self.subscribed_at = 0.0
        self._events: web.WebSocketResponse | None = None
        self._outbox: asyncio.Queue[dict[str, object]] = asyncio.Queue()
        self._last: deque[Call] = deque()

    def tell(self, event: dict[str, object]) -> None:
        self._outbox.put_nowait(event)

    def over(self, channel: dict[str, object]) -> None:
        for kind in ("StasisEnd", "ChannelDestroyed"):
            self.tell({"type": kind, "channel": channel, "cause": 16, "cause_txt": "Normal Clearing"})

    async def events(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.subscribed_at = monotonic()
        self.subscribed.set()

        async def send() -> None:
            while True:
                await socket.send_str(json.dumps(await self._outbox.get()))

        sending = asyncio.create_task(send())
        try:
            async for _ in socket:
                pass
        finally:
            sending.cancel()
            self.subscribed.clear()
        return socket

    # --- ARI ----------------------------------------------------------------------------------------------------------

    async def info(self, request: web.Request) -> web.Response:
        return web.json_response({"system": {"version": VERSION}})

    async def module(self, request: web.Request) -> web.Response:
        if request.match_info["name"] != "chan_websocket.so":
            return web.json_response({"message": "no such module"}, status=404)
        return web.json_response({"name": "chan_websocket.so", "status": "Running"})

    async def application(self, request: web.Request) -> web.Response:
        return web.json_response({"channel_ids": [*self.calls, *self.media]})

    async def variable(self, request: web.Request) -> web.Response:
        if request.query["variable"] == "CHANNEL(audionativeformat)":
            return web.json_response({"value": "(ulaw)"})
        return web.json_response({"message": "not set"}, status=404)

    async def external_media(self, request: web.Request) -> web.Response:
        asked = await request.json()
        waiting = [call for call in self.calls.values() if call.media is None]
        form = asked.get("format", "slin")
        if form not in ("slin", "ulaw"):
            return web.json_response({"message": f"no channel of format {form} is made here"}, status=400)
        media = Media(waiting[0], asked["channelId"], form)
        waiting[0].media = self.media[media.id] = media
        variables = {"MEDIA_WEBSOCKET_CONNECTION_ID": media.connection}
        return web.json_response({"id": media.id, "channelvars": variables})

    async def connect(self, request: web.Request) -> web.StreamResponse:
        for media in self.media.values():
            if media.connection == request.match_info["id"]:
                return await media.serve(request, self)
        return web.Response(status=404)

    async def answer(self, request: web.Request) -> web.Response:
        if call := self.calls.get(request.match_info["id"]):
            call.answered = monotonic()
        return web.Response(status=204)

    async def nothing(self, request: web.Request) -> web.Response:
        """A request whose effect nobody here depends on."""
        return web.Response(status=204)

    async def end_channel(self, request: web.Request) -> web.Response:
        id = request.match_info["id"]
        if media := self.media.pop(id, None):
            if media.socket is not None:
                await media.socket.close()
        elif call := self.calls.pop(id, None):
            self.over(call.channel)
        else:
            return web.json_response({"message": "no such channel"}, status=404)
        return web.Response(status=204)

    # --- the benchmark's side -----------------------------------------------------------------------------------------

    async def ready(self, request: web.Request) -> web.Response:
        await self.subscribed.wait()
        return web.json_response({"at": self.subscribed_at})

    async def ring(self, request: web.Request) -> web.Response:
        for _ in range(int(request.query["count"])):
            number = next(self._numbers)
            call = Call(number, Caller(self._ids, self._speech, self._noise, number))
            self.calls[call.id] = call
            self.tell({"type": "StasisStart", "args": [], "channel": call.channel})
            await asyncio.sleep(0.02)
        return web.Response()

    async def hang_up(self, request: web.Request) -> web.Response:
        """End all calls, and tell what their callers noted."""
        calls, self.calls = list(self.calls.values()), {}
        noted = {
            "utterances": [asdict(utterance) for call in calls for utterance in call.caller.utterances],
            "greeted": [call.greeted - call.answered for call in calls if call.greeted and call.answered],
            "frames": [call.caller.frames for call in calls],
            "late": max((call.media.late for call in calls if call.media is not None), default=0.0),
        }
        for call in calls:
            self.over(call.channel)
        return web.json_response(noted)

    async def gone(self, request: web.Request) -> web.Response:
        """Wait until the other side has cleared all media away."""
        while self.media:  # noqa: ASYNC110 - the other side is another process
            await asyncio.sleep(0.05)
        return web.Response()


def application(pbx: PBX) -> web.Application:
    app = web.Application()
    app.add_routes([
        web.get("/ari/events", pbx.events),
        web.get("/ari/asterisk/info", pbx.info),
        web.get("/ari/asterisk/modules/{name}", pbx.module),
        web.get("/ari/applications/{app}", pbx.application),
        web.post("/ari/channels/externalMedia", pbx.external_media),
        web.get("/ari/channels/{id}/variable", pbx.variable),
        web.post("/ari/channels/{id}/answer", pbx.answer),
        web.post("/ari/channels/{id}/{what}", pbx.nothing),
        web.delete("/ari/channels/{id}", pbx.end_channel),
        web.post("/ari/bridges/{id}", pbx.nothing),
        web.post("/ari/bridges/{id}/{what}", pbx.nothing),
        web.delete("/ari/bridges/{id}", pbx.nothing),
        web.get("/media/{id}", pbx.connect),
        web.get("/bench/ready", pbx.ready),
        web.post("/bench/ring", pbx.ring),
        web.post("/bench/hangup", pbx.hang_up),
        web.get("/bench/gone", pbx.gone),
    ])  # fmt: skip
    return app


async def main(speech: Path) -> None:
    from tests.bench.process import serve_until_told

    said = _by_telephone(speech.read_bytes())  # noqa: ASYNC240 - at start
    await serve_until_told(application(PBX(said, [_by_telephone(frame) for frame in line_noise(500)])))


def _by_telephone(pcm: bytes) -> bytes:
    return decode_ulaw(encode_ulaw(pcm))


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1])))
