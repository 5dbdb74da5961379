"""A page in a browser as a leg: the test phone. The page queues and paces the playout, and reports what was heard.

This room knows neither HTTP nor who may call: `api/phone.py` opens the door and hands a socket in. What a page says is
not trusted: a report beyond what was sent counts for no more, and a page that stops playing has hung up.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Protocol

from voxtrad.audio.codec import Codec
from voxtrad.audio.frames import frame_bytes
from voxtrad.audio.resample import Resampler
from voxtrad.leg import Dialer, Digit, Ended, Hears, Leg, LegError, LegEvent, LegGone, LegInfo, MediaPort, Visit
from voxtrad.telephony.browser_messages import RATE, BadMessage, Flushed, HungUp, Message, Played, Pressed, tell
from voxtrad.telephony.pacing import Inbox, Metronome, Pulse

AHEAD = 2 * RATE
"""Samples (2 s) that may wait in the page."""
PIECE = 5 * frame_bytes(RATE)
"""Bytes (100 ms) of one message of audio."""
FLUSH = 1.0
"""Seconds for the page to tell what was heard; then the estimate counts."""
STALLED = 10.0
"""Seconds without a report while there is something to play, after which the page is taken for gone."""
SENT = 10.0
"""Seconds for a message to be taken by the network; then the page is taken for gone."""
_LEAD = 0.25  # seconds that the estimate may run ahead of the page's last report
_MOST_DIGITS = 64


class Wire(Protocol):
    """The page's end of the socket. Sending raises `ConnectionError` when it is gone."""

    async def send_bytes(self, data: bytes) -> None: ...

    async def send_str(self, data: str) -> None: ...


class Playout:
    """What a page has heard of what it was sent: by its reports, and between them by the clock. Pure.

    Positions are in samples and count only audio that was not thrown away.
    """

    def __init__(self, now: float, epoch: int = 0) -> None:
        self.queued = 0
        self.confirmed = 0
        """What the page has reported."""
        self.epoch = epoch
        self.told_at = now
        """When the page last reported, or audio came to an empty queue."""
        self.paused = False
        self.began = 0
        """Where the epoch begins."""
        self._base = 0  # where the estimate starts from, at `told_at`
        self._floor = 0  # what was given out as heard: it never goes back

    def heard(self, now: float) -> int:
        if not self.paused:
            guess = self._base + round(min(now - self.told_at, _LEAD) * RATE)
            self._floor = max(self._floor, min(self.queued, guess))
        return self._floor

    @property
    def empty(self) -> bool:
        return self.confirmed == self.queued

    def add(self, samples: int, now: float) -> None:
        """Audio was sent."""
        if self.empty:
            self._base, self.told_at = self.queued, now
        self.queued += samples

    def played(self, epoch: int, samples: int, now: float) -> None:
        """The page reports. What it says of another epoch, or beyond what it was sent, does not count."""
        if epoch != self.epoch:
            return
        self.confirmed = max(self.confirmed, min(self.queued, self.began + samples))
        self._base, self.told_at = self.confirmed, now
        self._floor = max(self._floor, self.confirmed)

    def pause(self, now: float) -> None:
        self.heard(now)
        self.paused = True

    def resume(self, now: float) -> None:
        if self.paused:
            self.paused, self._base, self.told_at = False, self._floor, now

    def flush(self, now: float) -> int:
        """All that waits is thrown away. Returns what was heard, as estimated."""
        heard = self.heard(now)
        self.epoch += 1
        self.queued = self.confirmed = self.began = self._base = heard
        self.told_at, self.paused = now, False
        return heard

    def correct(self, samples: int) -> None:
        """The last flush's estimate was so much too low: everything after it moves."""
        self.queued += samples
        self.confirmed += samples
        self.began += samples
        self._base += samples
        self._floor += samples


class BrowserPort:
    """A `MediaPort` whose playout queue is in the page."""

    def __init__(self, wire: Wire, microphone: int, lost: Callable[[str], None], epoch: int = 0) -> None:
        """`microphone` is the rate of what the page sends; `lost` is told why there is no page any more. `epoch` is
        the page's last flush."""
        self._loop = asyncio.get_running_loop()
        self._wire = wire
        self._lost = lost
        self._resampler = Resampler(microphone, RATE)
        self._size = frame_bytes(RATE)
        self._inbox = Inbox(self._size, self._loop.time())
        self._playout = Playout(self._loop.time(), epoch)
        self._sending = asyncio.Lock()
        self._progress = Pulse()
        self._answer: asyncio.Future[int] | None = None
        self._closed = False
        self._metronome = Metronome()
        self._metronome.add(self, self._tick)

    @property
    def rate(self) -> int:
        return RATE

    @property
    def codec(self) -> Codec:
        return "linear"

    @property
    def queued(self) -> int:
        return self._playout.queued

    @property
    def heard(self) -> int:
        return self._playout.heard(self._loop.time())

    @property
    def epoch(self) -> int:
        """How often the page was told to flush."""
        return self._playout.epoch

    def frames(self) -> AsyncIterator[bytes]:
        return self._inbox.frames()

    async def play(self, pcm: bytes) -> None:
        if len(pcm) % self._size:
            raise ValueError(f"{len(pcm)} bytes are no whole number of {self._size}-byte frames")
        playout, epoch = self._playout, self._playout.epoch
        for start in range(0, len(pcm), PIECE):
            piece = pcm[start : start + PIECE]
            while playout.queued - playout.confirmed >= AHEAD and not self._closed and epoch == playout.epoch:
                await self._progress.wait()
            async with self._sending:
                if epoch != playout.epoch:
                    return  # flushed meanwhile: the rest of it is thrown away too
                self._check()
                playout.add(len(piece) // 2, self._loop.time())
                await self._send(piece)
        self._check()

    async def pause(self) -> None:
        if not self._playout.paused:
            self._playout.pause(self._loop.time())
            async with self._sending:
                await self._send(tell("pause"))

    async def resume(self) -> None:
        if self._playout.paused:
            self._playout.resume(self._loop.time())
            async with self._sending:
                await self._send(tell("resume"))

    async def flush(self) -> int:
        playout = self._playout
        if self._closed or (playout.empty and not playout.paused):
            return playout.heard(self._loop.time())
        sent, confirmed, began = playout.queued, playout.confirmed, playout.began
        estimate = playout.flush(self._loop.time())
        epoch = playout.epoch
        answer = self._answer = self._loop.create_future()
        self._progress.fire()
        try:
            async with asyncio.timeout(FLUSH):
                async with self._sending:
                    await self._send(tell("flush", epoch=epoch))
                heard: int = min(sent, max(confirmed, began + await answer))
        except (TimeoutError, LegGone):
            return estimate
        if playout.epoch == epoch:
            playout.correct(heard - estimate)
            self._progress.fire()
        return heard

    async def drained(self) -> None:
        playout = self._playout
        epoch, target = playout.epoch, playout.queued
        while epoch == playout.epoch and playout.confirmed < target:
            self._check()
            await self._progress.wait()

    # --- from the page ------------------------------------------------------------------------------------------------

    def hear(self, pcm: bytes) -> None:
        """The microphone's audio, in pieces of any size."""
        self._inbox.put(self._resampler.push(pcm), self._loop.time())

    def report(self, message: Played | Flushed) -> None:
        if isinstance(message, Played):
            self._playout.played(message.epoch, message.samples, self._loop.time())
            self._progress.fire()
        elif self._answer is not None and message.epoch == self._playout.epoch and not self._answer.done():
            self._answer.set_result(message.samples)

    def close(self) -> None:
        """`frames` ends, and `play` raises from now on. May be called again."""
        if self._closed:
            return
        self._closed = True
        self._metronome.remove(self)
        self._playout.pause(self._loop.time())
        self._inbox.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(_gone())
        self._progress.fire()

    def _tick(self, now: float) -> None:
        self._inbox.tick(now)
        playout = self._playout
        if not playout.empty and not playout.paused and now - playout.told_at > STALLED:
            self._lost("the page has stopped playing")

    async def _send(self, message: bytes | str) -> None:
        self._check()
        await send(self._wire, message, self._lost)

    def _check(self) -> None:
        if self._closed:
            raise _gone()


class BrowserLeg:
    """A page that calls an agent. Digits and the end come from `take`, which whoever reads the socket calls."""

    def __init__(self, wire: Wire, info: LegInfo, *, microphone: int) -> None:
        """`microphone` is the rate of what the page sends, in samples per second."""
        self._wire = wire
        self._info = info
        self._microphone = microphone
        self._events: asyncio.Queue[LegEvent] = asyncio.Queue()
        self._port: BrowserPort | None = None
        self._epoch = 0
        self._cause: str | None = None
        self.taken = asyncio.Event()
        """Set when somebody opens the page's audio: the call was taken."""

    @property
    def info(self) -> LegInfo:
        return self._info

    @property
    def cause(self) -> str | None:
        """Why the leg has ended; None while it has not."""
        return self._cause

    @property
    def dialer(self) -> Dialer | None:
        return None

    async def events(self) -> AsyncIterator[LegEvent]:
        while True:
            event = await self._events.get()
            yield event
            if isinstance(event, Ended):
                return

    async def answer(self) -> None:
        await self._tell("answered")

    async def open_media(self, *, wideband: bool = True) -> MediaPort:
        self._check()
        if self._port is not None:
            raise LegError("audio is connected already")
        if self.taken.is_set():  # again, after a hold: what the page has and reports of before is over
            self._epoch += 1
            await self._tell("flush", epoch=self._epoch)
        self._port = BrowserPort(self._wire, self._microphone, self.end, self._epoch)
        self.taken.set()
        return self._port

    async def hold(self, hears: Hears) -> None:
        await self._close_media()
        await self._tell("hold", hears=hears)

    async def bridge_with(self, other: Leg) -> None:
        raise LegError("a page cannot be connected with another leg")

    async def send_digits(self, digits: str) -> None:
        await self._tell("digits", digits=digits)

    async def set_variables(self, variables: Mapping[str, str]) -> None:
        self._check()
        if status := variables.get("VOXTRAD_STATUS"):
            await self._tell("status", status=status)

    async def proceed(self, *, context: str | None, extension: str | None, priority: int | None) -> None:
        await self._tell("led-on", context=context, extension=extension, priority=priority)
        self.end("led on: a page has no dialplan", handed_back=True)

    async def visit(self, *, context: str, extension: str | None, priority: int | None, within: float) -> Visit:
        await self.proceed(context=context, extension=extension, priority=priority)
        return "left"

    async def hang_up(self, cause: str = "normal") -> None:
        self.end(cause)

    async def let_go(self) -> None:
        await self.release()  # a page has no dialplan

    async def release(self) -> None:
        self.end("released")

    # --- from the page ------------------------------------------------------------------------------------------------

    def take(self, message: Message) -> None:
        """Obey a message. Raises `BadMessage` for one that has no place here."""
        match message:
            case Played() | Flushed():
                if self._port is not None:
                    self._port.report(message)
            case Pressed():
                if self._cause is None and self._events.qsize() < _MOST_DIGITS:
                    self._events.put_nowait(Digit(message.digit))
            case HungUp():
                self.end("the page has hung up")
            case _:
                raise BadMessage("the call has started already")

    def hear(self, pcm: bytes) -> None:
        """The microphone's audio; dropped while nobody listens. Raises `BadMessage` for half a sample."""
        if len(pcm) % 2:
            raise BadMessage("audio that is torn in the middle of a sample")
        if self._port is not None:
            self._port.hear(pcm)

    def end(self, cause: str, *, handed_back: bool = False) -> None:
        """The leg is over, by either side."""
        if self._cause is not None:
            return
        self._cause = cause
        self._events.put_nowait(Ended(cause, handed_back))
        if self._port is not None:
            self._port.close()

    # ------------------------------------------------------------------------------------------------------------------

    async def _close_media(self) -> None:
        port, self._port = self._port, None
        if port is not None:
            try:
                with contextlib.suppress(LegGone):
                    await port.flush()
            finally:
                self._epoch = port.epoch
                port.close()

    async def _tell(self, kind: str, **more: str | int | None) -> None:
        self._check()
        await send(self._wire, tell(kind, **more), self.end)

    def _check(self) -> None:
        if self._cause is not None:
            raise _gone()


async def send(wire: Wire, message: bytes | str, lost: Callable[[str], None]) -> None:
    """Raises `LegGone`, having told so, for a page that is gone or does not take what it is sent."""
    try:
        async with asyncio.timeout(SENT):
            await (wire.send_bytes(message) if isinstance(message, bytes) else wire.send_str(message))
    except (TimeoutError, ConnectionError) as error:
        lost("the page is gone")
        raise _gone() from error


def _gone() -> LegGone:
    return LegGone("the page is gone")
