"""What recognisers that stand in for each other hand on: the audio of the utterance under way, and who is given it.

A `Line` is a connection to one of them, with the task that reads from it. Which of them is believed, and who is asked
next, is decided in `stt.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress

from voxtrad.audio.levels import dbfs
from voxtrad.finishing import finished
from voxtrad.providers.base import ProviderError, SpeechToText, STTEvent, TranscriptStream
from voxtrad.providers.fallback.doubt import Doubt
from voxtrad.providers.opening import close

_KEPT = 30.0
"""Seconds of the utterance under way that are kept for the next recogniser."""
_QUIET = -50.0
"""dBFS up to which audio is the silence of a telephone line."""
_PROVEN = 10.0
"""Seconds for which a recogniser must have been at it, or have said something, to be connected to again."""


class Carried:
    """The audio of the utterance under way; `position` counts the bytes of the whole call."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._pcm = bytearray()
        self.position = 0

    @property
    def seconds(self) -> float:
        return len(self._pcm) / 2 / self._rate

    def add(self, pcm: bytes) -> None:
        self.position += len(pcm)
        self._pcm += pcm
        del self._pcm[: max(0, len(self._pcm) - int(_KEPT * self._rate) * 2)]

    def begins(self) -> int:
        """The position from which a recogniser is given it."""
        return self.position - len(self._pcm) + silence_before(bytes(self._pcm), self._rate)

    def since(self, position: int) -> bytes:
        return bytes(self._pcm[-(self.position - position) :])

    def clear(self) -> None:
        """The utterance is over."""
        self._pcm.clear()


class Line:
    """A connection to one of the recognisers, and the task that reads from it."""

    def __init__(self, index: int, provider: SpeechToText, given: int, *, alone: bool) -> None:
        self.index = index
        self.provider = provider
        self.stream: TranscriptStream | None = None
        self.given = given
        """How far into the call's audio it was given it, in bytes."""
        self.live = False
        """It has had all that came before, and is given what comes now."""
        self.late = False
        """It is asked about an utterance that is over: its first guesses would be taken for all that was said."""
        self.spoke = False
        declared = provider.capabilities
        self.doubt = Doubt(
            final_delay=declared.final_delay,
            ends_turns=declared.end_of_turn,
            turn_silence=declared.turn_silence,
            alone=alone,
        )
        self._since = _now()
        self._task: asyncio.Task[None] | None = None

    @property
    def proven(self) -> bool:
        return self.spoke or _now() - self._since >= _PROVEN

    async def open(self, stream_of: Callable[[SpeechToText], Awaitable[TranscriptStream]]) -> None:
        """Connect. Raises `ProviderError`."""
        self.stream = await stream_of(self.provider)

    async def catch_up(self, carried: Carried) -> None:
        """Give it the audio of the utterance under way, and what comes meanwhile."""
        while self.given < carried.position:
            missing = carried.since(self.given)
            self.given = carried.position
            await self.send(missing)
        self.live = True

    def start(self, work: Coroutine[None, None, None], told: Callable[[BaseException | None], None]) -> None:
        """Read from it, which is `work`; how that ended is told, unless it was closed."""

        def over(task: asyncio.Task[None]) -> None:
            if not task.cancelled():
                told(task.exception())

        self._task = asyncio.create_task(work, name=f"stt-{self.provider.name}-events")
        self._task.add_done_callback(over)

    async def read(self, told: Callable[[STTEvent], None]) -> None:
        """Raises `ProviderError` when it breaks."""
        assert self.stream is not None
        async for event in self.stream.events():
            told(event)

    async def send(self, pcm: bytes) -> None:
        """A failure shows in what is read."""
        if self.stream is not None:
            with suppress(ProviderError):
                await self.stream.send(pcm)

    async def finalize(self) -> None:
        if self.stream is not None:
            with suppress(ProviderError):
                await self.stream.finalize()

    async def aclose(self) -> None:
        self.live = False
        await finished(self._close())

    async def _close(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        stream, self.stream = self.stream, None
        if stream is not None:
            await close(stream, self.provider.name)


def silence_before(pcm: bytes, rate: int) -> int:
    """How many bytes come before the first sound and half a second before that; none where there is no sound."""
    frame = rate // 50 * 2
    for at in range(0, len(pcm) - frame + 1, frame):
        if dbfs(pcm[at : at + frame]) > _QUIET:
            return max(0, at - 25 * frame)
    return 0


def _now() -> float:
    return asyncio.get_running_loop().time()
