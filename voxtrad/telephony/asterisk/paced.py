"""The audio of a leg over a transport on which nothing paces for us: the queue of the playout is here.

Exactly one frame goes out every 20 ms from the moment there is a port, silence where there is nothing to play, against
a schedule that does not drift. How frames come and go is the wire's business.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from voxtrad.audio.codec import Codec
from voxtrad.leg import LegGone
from voxtrad.telephony.asterisk.formats import Format
from voxtrad.telephony.asterisk.media import AHEAD_FRAMES
from voxtrad.telephony.pacing import FRAME, Metronome, Pulse

_CATCH_UP = 3  # frames sent at once at most, after the loop was held up: more would be a burst


class Wire(Protocol):
    """What a port sends its frames with. None of it waits."""

    @property
    def writable(self) -> bool:
        """Whether a frame can be sent now; while not, what is due waits."""
        ...

    def send(self, frame: bytes) -> None:
        """Send the next 20 ms, in the format of the wire."""
        ...

    def skip(self, count: int) -> None:
        """So many frames before the next one are never sent: their time has passed."""
        ...

    async def close(self) -> None:
        """Returns when nothing of it is left. May be called again."""
        ...


class Ears(Protocol):
    """What has come from the far side, as frames of linear PCM; `pacing.Inbox` is one."""

    @property
    def dropped(self) -> int: ...

    def tick(self, now: float) -> object: ...

    def frames(self) -> AsyncIterator[bytes]: ...

    def close(self) -> None: ...


class PacedPort:
    """A `MediaChannel`. Whoever has the wire tells `lost` when the far side has closed it."""

    def __init__(
        self, wire: Wire, ears: Ears, format: Format, metronome: Metronome, on_closed: Callable[[], None]
    ) -> None:
        self._wire = wire
        self._ears = ears
        self._format = format
        self._metronome = metronome
        self._on_closed = on_closed
        self._silence = format.coding.encode(bytes(format.pcm_bytes))
        self._waiting: deque[bytes] = deque()  # frames as they go out
        self._queued = 0
        self._paused = False
        self._closed = False
        self._epoch = 0  # grows with every flush
        self._progress = Pulse()
        self._due = asyncio.get_running_loop().time()
        """When the next frame has to go out."""
        self.late = 0
        """Frames that were never due to be sent because the loop was held up for longer than can be caught up."""
        metronome.add(self, self._tick)

    @property
    def rate(self) -> int:
        return self._format.rate

    @property
    def codec(self) -> Codec:
        return self._format.codec

    @property
    def queued(self) -> int:
        return self._queued

    @property
    def heard(self) -> int:
        return self._queued - len(self._waiting) * self._format.frame_samples

    @property
    def dropped(self) -> int:
        """Frames of the caller that nobody took."""
        return self._ears.dropped

    def frames(self) -> AsyncIterator[bytes]:
        return self._ears.frames()

    async def play(self, pcm: bytes) -> None:
        if len(pcm) % self._format.pcm_bytes:
            raise ValueError(f"{len(pcm)} bytes are no whole number of {self._format.pcm_bytes}-byte frames")
        epoch, size, samples = self._epoch, self._format.frame_bytes, self._format.frame_samples
        coded = self._format.coding.encode(pcm)
        for start in range(0, len(coded), size):
            while len(self._waiting) >= AHEAD_FRAMES and not self._closed and epoch == self._epoch:
                await self._progress.wait()
            if epoch != self._epoch:
                return  # flushed meanwhile: the rest of it is thrown away too
            if self._closed:
                break
            self._waiting.append(coded[start : start + size])
            self._queued += samples
        if self._closed:
            raise _gone()

    async def pause(self) -> None:
        self._check()
        self._paused = True

    async def resume(self) -> None:
        self._check()
        self._paused = False

    async def flush(self) -> int:
        self._epoch += 1
        self._paused = False
        self._queued = self.heard
        self._waiting.clear()
        self._progress.fire()
        return self._queued

    async def drained(self) -> None:
        epoch, target = self._epoch, self._queued
        while epoch == self._epoch and self.heard < target:
            self._check()
            await self._progress.wait()

    def end(self) -> None:
        self._on_closed = _nothing
        self.lost()

    async def close(self) -> None:
        self.end()
        await self._wire.close()

    def lost(self) -> None:
        """There is no far side any more."""
        if self._closed:
            return
        self._closed = True
        self._metronome.remove(self)
        self._ears.close()
        self._progress.fire()
        self._on_closed()

    def _tick(self, now: float) -> None:
        """Send what is due: one frame, or a few when the loop was late."""
        self._ears.tick(now)
        owed = math.floor((now - self._due + 0.001) / FRAME) + 1
        if owed > _CATCH_UP:
            missed = owed - _CATCH_UP
            self.late += missed
            self._due += missed * FRAME
            self._wire.skip(missed)
            owed = _CATCH_UP
        if owed <= 0 or not self._wire.writable:
            return
        self._due += owed * FRAME
        waiting = self._waiting
        for _ in range(owed):
            self._wire.send(waiting.popleft() if waiting and not self._paused else self._silence)
        if not self._paused:
            self._progress.fire()

    def _check(self) -> None:
        if self._closed:
            raise _gone()


def _gone() -> LegGone:
    return LegGone("the media connection is closed")


def _nothing() -> None:
    pass
