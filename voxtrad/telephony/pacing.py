"""What ports of every kind share: the clock tick of 20 ms, the far side's frames with silence where none come, and a
wake-up for whoever waits for progress.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

from voxtrad.leg import FRAME_MS

FRAME = FRAME_MS / 1000

GRACE = 3 * FRAME
"""Seconds that a frame may be late before silence stands in for it."""

_INBOX_FRAMES = 250  # a consumer that is 5 s behind is broken: then the oldest frames go


class Metronome:
    """One tick of 20 ms for all ports: one timer, not one per call. Drift-free, and at rest while there is no port."""

    def __init__(self) -> None:
        self._ticks: dict[object, Callable[[float], object]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0

    def add(self, owner: object, tick: Callable[[float], object]) -> None:
        """Call `tick(now)` every 20 ms. It must not raise."""
        self._ticks[owner] = tick
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._due = loop.time() + FRAME
            self._timer = loop.call_at(self._due, self._beat, loop)

    @property
    def resting(self) -> bool:
        return self._timer is None

    def remove(self, owner: object) -> None:
        self._ticks.pop(owner, None)
        if not self._ticks and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _beat(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        self._due += FRAME * max(1, int((now - self._due) / FRAME))  # beats that were missed are not made up
        self._timer = loop.call_at(self._due, self._beat, loop)
        for tick in tuple(self._ticks.values()):
            tick(now)


class Inbox:
    """The far side's audio as frames of 20 ms, with silence made from the clock where nothing comes."""

    def __init__(self, frame_bytes: int, now: float) -> None:
        self._frame_bytes = frame_bytes
        self._silence = bytes(frame_bytes)
        self._frames: deque[bytes] = deque()
        self._rest = b""
        self._covered = now
        """Up to when there is audio."""
        self._silent = False
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False
        self.dropped = 0
        """Frames thrown away because nobody took them."""

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, pcm: bytes, now: float) -> None:
        """Audio came, in pieces of any size."""
        self._covered, self._silent = now, False
        size = self._frame_bytes
        if len(pcm) == size and not self._rest:
            self._push(pcm)
            return
        pcm = self._rest + pcm
        whole = len(pcm) - len(pcm) % size
        for start in range(0, whole, size):
            self._push(pcm[start : start + size])
        self._rest = pcm[whole:]

    def tick(self, now: float, grace: float = GRACE) -> bool:
        """Make silence for the time in which nothing came, where that is `grace` seconds; says whether it did."""
        gap = now - self._covered
        making = gap >= (FRAME if self._silent else max(GRACE, grace)) - 0.001
        if making:
            frames = int((gap + 0.001) / FRAME)
            self._covered += frames * FRAME
            self._silent = True
            for _ in range(min(frames, _INBOX_FRAMES)):
                self._push(self._silence)
        return making

    @property
    def due(self) -> float:
        """When silence is to be made, if nothing comes until then."""
        return self._covered + (FRAME if self._silent else GRACE)

    def close(self) -> None:
        self._closed = True
        self._wake()

    async def frames(self) -> AsyncIterator[bytes]:
        while True:
            while self._frames:
                yield self._frames.popleft()
            if self._closed:
                return
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def _push(self, frame: bytes) -> None:
        if len(self._frames) >= _INBOX_FRAMES:
            self._frames.popleft()
            self.dropped += 1
        self._frames.append(frame)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Watchdog:
    """Has an inbox make silence where nothing else ticks. Its timer is set when it rings, not when audio comes: as long
    as audio comes it wakes the loop up for every third frame only."""

    def __init__(self, inbox: Inbox) -> None:
        self._loop = asyncio.get_running_loop()
        self._inbox = inbox
        self._timer = self._loop.call_at(inbox.due, self._look)

    def stop(self) -> None:
        self._timer.cancel()

    def _look(self) -> None:
        self._inbox.tick(self._loop.time())
        self._timer = self._loop.call_at(self._inbox.due, self._look)


class Pulse:
    """Wakes all who wait for something to have changed; each then looks again for itself."""

    def __init__(self) -> None:
        self._waiters: list[asyncio.Future[None]] = []

    def fire(self) -> None:
        if self._waiters:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    async def wait(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter
