"""Media over chan_websocket: we connect to the PBX's HTTP port, it queues and paces the playout.

Source: "WebSocket Channel Driver" in the Asterisk documentation, and what was measured on Asterisk 22.10: a flush
leaves a paused queue paused (so CONTINUE follows every FLUSH), marks do not report after a flush, a tail shorter than a
frame is dropped, whole messages are dropped past 1,000 waiting frames, a message over 65,500 bytes ends the call. And
while its queue is empty the caller is sent nothing at all: trunks give up a call without RTP, and clip the first word
after a gap. So silence is queued whenever there is nothing to play, and flushed when there is.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

import aiohttp
import structlog

from voxtrad.audio.codec import Codec
from voxtrad.finishing import finished
from voxtrad.leg import FRAME_MS, LegError, LegGone
from voxtrad.telephony.asterisk import control
from voxtrad.telephony.asterisk.ari import Ari, AriError, describe
from voxtrad.telephony.asterisk.control import ControlError, DriverError, FlowControl, MarkProcessed, MediaStart, Status
from voxtrad.telephony.asterisk.formats import Format
from voxtrad.telephony.asterisk.media import AHEAD_FRAMES, MediaChannel
from voxtrad.telephony.asterisk.playhead import Playhead
from voxtrad.telephony.asterisk.settings import AsteriskSettings, TransportName
from voxtrad.telephony.pacing import FRAME, Inbox, Pulse, Watchdog

log = structlog.stdlib.get_logger(__name__)

_PIECE_BYTES = 8000  # low-memory builds of Asterisk take no more in one message
_SILENCE_FRAMES = 12  # queued at a time, and again when less than _SILENCE_LEFT seconds of it are left
_SILENCE_LEFT = 0.08
_START_TIMEOUT = 5.0
_STATUS_TIMEOUT = 1.0
_CLOSE_TIMEOUT = 2.0
_HEARTBEAT = 20.0


class WebSocketTransport:
    """Makes media channels that we connect to."""

    name: TransportName = "websocket"

    def __init__(self, ari: Ari, settings: AsteriskSettings) -> None:
        self._ari = ari
        self._settings = settings

    async def open(self, channel_id: str, format: Format, on_closed: Callable[[], None]) -> MediaChannel:
        made = await self._ari.post(
            "channels/externalMedia",
            {
                "channelId": channel_id, "app": self._settings.app, "external_host": "INCOMING",
                "transport": "websocket", "encapsulation": "none", "connection_type": "server",
                "format": format.name, "transport_data": "f(json)",
                "variables": {"VOXTRAD_OWNER": self._settings.instance},
            },
        )  # fmt: skip
        variables = made.get("channelvars") if isinstance(made, Mapping) else None
        secret = variables.get("MEDIA_WEBSOCKET_CONNECTION_ID") if isinstance(variables, Mapping) else None
        if not isinstance(secret, str):
            raise AriError("Asterisk made a media channel without a connection id")
        try:
            async with asyncio.timeout(_START_TIMEOUT):
                socket = await self._connect(secret)
                try:
                    first = await _first_message(socket)
                except BaseException:
                    await socket.close()
                    raise
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            # The connection id is all that protects the audio: the address that holds it is not for a message.
            reason = f"status {error.status}" if isinstance(error, aiohttp.WSServerHandshakeError) else describe(error)
            raise LegError(f"the media websocket could not be opened: {reason}") from None
        if first != MediaStart(format.frame_bytes, FRAME_MS):
            await socket.close()
            raise LegError(f"the media websocket has frames we cannot use: {first}")
        return WebSocketPort(socket, format, on_closed)

    async def _connect(self, secret: str) -> aiohttp.ClientWebSocketResponse:
        return await self._ari.http.ws_connect(
            self._ari.websocket_url("media", secret),
            protocols=("media",),
            heartbeat=_HEARTBEAT,
            timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
        )


async def _first_message(socket: aiohttp.ClientWebSocketResponse) -> control.ControlMessage:
    try:
        return control.parse_control(await socket.receive_str())
    except (ControlError, aiohttp.WSMessageTypeError) as error:
        raise LegError(f"the media websocket did not start with MEDIA_START: {error}") from None


@dataclass(slots=True)
class _Inquiry:
    """A `GET_STATUS` under way: what was queued when it was sent, and who waits for the position."""

    queued: int
    epoch: int
    answer: asyncio.Future[int] | None


class WebSocketPort:
    """A `MediaChannel` whose playout queue is in Asterisk. Asterisk answers in the order we send."""

    def __init__(
        self,
        socket: aiohttp.ClientWebSocketResponse,
        format: Format,
        on_closed: Callable[[], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket = socket
        self._rate = format.rate
        self._codec = format.codec
        self._coding = format.coding
        self._frame_samples = format.frame_samples
        self._piece_samples = _PIECE_BYTES // format.frame_bytes * format.frame_samples
        self._ahead = AHEAD_FRAMES * self._frame_samples
        self._on_closed = on_closed
        self._playhead = Playhead(format.rate)
        self._inbox = Inbox(format.pcm_bytes, self._loop.time())
        self._progress = Pulse()
        self._sending = asyncio.Lock()
        self._may_send = True
        self._closed = False
        self._paused = False
        self._epoch = 0  # grows with every flush
        self._marks: deque[int] = deque()  # ids of the marks in `_playhead`, as they will report
        self._last_mark = 0
        self._inquiries: deque[_Inquiry] = deque()
        self._silence = self._coding.encode(bytes(_SILENCE_FRAMES * format.pcm_bytes))
        self._silent_until = 0.0  # Asterisk's queue holds silence, and nothing else, until then
        self._watchdog = Watchdog(self._inbox)
        self._reader = asyncio.create_task(self._read(), name="media-websocket")
        self._filler = asyncio.create_task(self._fill_silence(), name="media-websocket-silence")

    @property
    def rate(self) -> int:
        return self._rate

    @property
    def codec(self) -> Codec:
        return self._codec

    @property
    def queued(self) -> int:
        return self._playhead.queued

    @property
    def heard(self) -> int:
        return self._playhead.heard(self._loop.time())

    @property
    def dropped(self) -> int:
        """Frames of the caller that nobody took."""
        return self._inbox.dropped

    def frames(self) -> AsyncIterator[bytes]:
        return self._inbox.frames()

    async def play(self, pcm: bytes) -> None:
        if len(pcm) % (2 * self._frame_samples):
            raise ValueError(f"{len(pcm)} bytes are no whole number of {2 * self._frame_samples}-byte frames")
        epoch = self._epoch
        for start in range(0, len(pcm), 2 * self._piece_samples):
            piece = pcm[start : start + 2 * self._piece_samples]
            while not self._has_room(len(piece) // 2) and not self._closed and epoch == self._epoch:
                await self._progress.wait()
            async with self._sending:
                if epoch != self._epoch:
                    return  # flushed meanwhile: the rest of it is thrown away too
                now = self._loop.time()
                if self._silent_until > now:
                    await self._send(control.command("FLUSH_MEDIA"))
                self._silent_until = 0.0
                self._playhead.add(len(piece) // 2, now)
                await self._send(self._coding.encode(piece))
                if self._playhead.unmarked >= self._rate // 2:
                    await self._send_mark()
        if self._closed:
            raise _gone()

    async def pause(self) -> None:
        if not self._paused:
            self._paused = True
            self._playhead.pause(self._loop.time())
            async with self._sending:
                await self._send(control.command("PAUSE_MEDIA"))
                if not self._idle:
                    await self._inquire(self._playhead.queued, None)

    async def resume(self) -> None:
        if self._paused:
            self._paused = False
            async with self._sending:
                await self._send(control.command("CONTINUE_MEDIA"))
                self._playhead.resume(self._loop.time())
        self._progress.fire()

    async def flush(self) -> int:
        self._epoch += 1
        self._progress.fire()
        if self._closed or (self._idle and not self._paused):
            return self._playhead.flush(self._loop.time())
        self._paused = False
        async with self._sending:
            answer: asyncio.Future[int] = self._loop.create_future()
            queued, idle = self._playhead.queued, self._idle
            self._marks.clear()
            self._silent_until = 0.0
            estimate = self._playhead.flush(self._loop.time())
            try:
                if not idle:
                    await self._inquire(queued, answer)
                await self._send(control.command("FLUSH_MEDIA"))
                await self._send(control.command("CONTINUE_MEDIA"))
            except LegGone:
                return estimate
        self._may_send = True
        self._progress.fire()
        if idle:
            return estimate
        try:
            async with asyncio.timeout(_STATUS_TIMEOUT):
                waiting = await answer
        except TimeoutError:
            log.warning("Asterisk did not tell the length of its media queue in time")
            return estimate
        except LegGone:
            return estimate
        heard = max(0, queued - waiting * self._frame_samples)
        self._playhead.correct(heard - estimate)
        return heard

    async def drained(self) -> None:
        epoch = self._epoch
        async with self._sending:
            if epoch == self._epoch and self._playhead.unmarked:
                await self._send_mark()
            last = self._last_mark
        while epoch == self._epoch and self._marks and self._marks[0] <= last:
            if self._closed:
                raise _gone()
            await self._progress.wait()

    def end(self) -> None:
        self._on_closed = _nothing
        self._lost()

    async def close(self) -> None:
        self.end()
        await finished(self._close())

    async def _close(self) -> None:
        with contextlib.suppress(TimeoutError):  # it waits for the answer for as long as anything else comes
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                await self._socket.close()
        await asyncio.gather(self._reader, self._filler)

    # --- from Asterisk ------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        time, put, decode = self._loop.time, self._inbox.put, self._coding.decode
        try:
            async for message in self._socket:
                if message.type is aiohttp.WSMsgType.BINARY:
                    put(decode(message.data), time())
                elif message.type is aiohttp.WSMsgType.TEXT:
                    self._obey(message.data)
        finally:
            self._lost()
            self._on_closed()

    def _obey(self, text: str) -> None:
        try:
            message = control.parse_control(text)
        except ControlError as error:
            log.warning("a control message of the media websocket could not be read", reason=error.message)
            return
        match message:
            case MarkProcessed(identity):
                self._reached(identity)
            case Status(waiting):
                self._answered(waiting)
            case FlowControl(may_send):
                self._may_send = may_send
                self._progress.fire()
            case DriverError(reason):
                log.warning("chan_websocket refused a command", reason=reason)
            case _:
                pass  # digits come from ARI's events too, on every transport

    def _reached(self, identity: int) -> None:
        reached = 0
        while self._marks and self._marks[0] <= identity:
            self._marks.popleft()
            reached += 1
        self._playhead.marks_reached(reached, self._loop.time())
        self._progress.fire()

    def _answered(self, waiting: int) -> None:
        if not self._inquiries:
            return
        inquiry = self._inquiries.popleft()
        if inquiry.answer is not None:
            if not inquiry.answer.done():
                inquiry.answer.set_result(waiting)
        elif inquiry.epoch == self._epoch:
            self._playhead.at(inquiry.queued - waiting * self._frame_samples, self._loop.time())

    def _lost(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._watchdog.stop()
        self._playhead.pause(self._loop.time())
        self._inbox.close()
        while self._inquiries:
            inquiry = self._inquiries.popleft()
            if inquiry.answer is not None and not inquiry.answer.done():
                inquiry.answer.set_exception(_gone())
        self._progress.fire()

    # --- silence ------------------------------------------------------------------------------------------------------

    @property
    def _idle(self) -> bool:
        """Whether all that was played is known to have been heard: then only silence may be in Asterisk's queue."""
        return self._playhead.confirmed == self._playhead.queued

    async def _fill_silence(self) -> None:
        while not self._closed:
            try:
                async with self._sending:
                    wait = await self._fill()
            except LegGone:
                return
            try:
                async with asyncio.timeout(wait):
                    await self._progress.wait()
            except TimeoutError:
                pass

    async def _fill(self) -> float | None:
        """Queue silence if it is time for it. Returns in how many seconds to look again; `None` is after a change."""
        now = self._loop.time()
        if self._paused:
            return None
        if not self._idle:
            left = self._playhead.queued - self._playhead.heard(now)
            if left or not self._playhead.unmarked:
                return left / self._rate + FRAME
            await self._send_mark()  # at the estimated end of the speech; its report tells that it has been heard
            return None
        if self._silent_until - now < _SILENCE_LEFT:
            self._silent_until = max(now, self._silent_until) + _SILENCE_FRAMES * FRAME
            await self._send(self._silence)
        return self._silent_until - now - _SILENCE_LEFT

    # --- to Asterisk: only with `_sending` held -----------------------------------------------------------------------

    def _has_room(self, samples: int) -> bool:
        return self._may_send and self.queued - self.heard + samples <= self._ahead

    async def _send(self, message: bytes | str) -> None:
        if self._closed:
            raise _gone()
        try:
            if isinstance(message, bytes):
                await self._socket.send_bytes(message)
            else:
                await self._socket.send_str(message)
        except (aiohttp.ClientError, ConnectionError) as error:
            raise _gone() from error

    async def _send_mark(self) -> None:
        self._last_mark += 1
        self._playhead.mark()
        self._marks.append(self._last_mark)
        await self._send(control.mark(self._last_mark))

    async def _inquire(self, queued: int, answer: asyncio.Future[int] | None) -> None:
        self._inquiries.append(_Inquiry(queued, self._epoch, answer))
        await self._send(control.command("GET_STATUS"))


def _gone() -> LegGone:
    return LegGone("the media connection is closed")


def _nothing() -> None:
    pass
