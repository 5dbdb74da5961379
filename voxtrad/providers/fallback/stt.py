"""Recognisers that stand in for each other, with the audio of the utterance under way.

One that fails is replaced by the next, which hears that audio from its beginning. One that says nothing is doubted
(`doubt.py`) and the next is asked for its opinion: if it hears words, it takes over.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace

from voxtrad.audio.levels import dbfs
from voxtrad.providers.base import (
    ProviderError,
    ProviderTimeout,
    SpeechToText,
    STTCapabilities,
    STTEvent,
    Transcript,
    TranscriptStream,
    TurnSignal,
    Unreachable,
)
from voxtrad.providers.fallback.circle import Circle, Deadlines, Nobody, Observer, within
from voxtrad.providers.fallback.doubt import Doubt

_CARRIED = 30.0
"""Seconds of the utterance under way that are kept for the next recogniser."""
_QUIET = -50.0
"""dBFS up to which audio is the silence of a telephone line."""
_PROBED = 8000
"""Samples per second of a probe, and the bytes of it: half a second."""
_PROVEN = 10.0
"""Seconds for which a recogniser must have been at it, or have said something, to be connected to again."""


class FallbackSTT:
    """Speech to text made of several. It can what the first can; where another stands in, the stream fills the gap."""

    def __init__(
        self,
        providers: Sequence[SpeechToText],
        *,
        deadlines: Deadlines | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._deadlines = deadlines or Deadlines()
        self._circle = Circle("stt", providers, observer or Nobody(), probe_stt)

    @property
    def name(self) -> str:
        return self._circle.providers[0].name

    @property
    def capabilities(self) -> STTCapabilities:
        """The first one's; but full stops count only where all set them, and one waits as long as the slowest needs."""
        every = [provider.capabilities for provider in self._circle.providers]
        return replace(
            every[0],
            punctuates=all(each.punctuates for each in every),
            final_delay=max(each.final_delay for each in every),
        )

    async def open(self, *, rate: int, language: str, hints: Sequence[str] = ()) -> FallbackStream:
        """Connect to the first that answers. Raises the error of the last that was tried."""
        stream = FallbackStream(self._circle, self._deadlines, self.capabilities, rate, language, hints)
        await stream.connect()
        return stream

    async def aclose(self) -> None:
        """End the probing. The providers belong to who made them."""
        await self._circle.aclose()


class _Line:
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
        self.since = _now()
        declared = provider.capabilities
        self.doubt = Doubt(final_delay=declared.final_delay, ends_turns=declared.end_of_turn, alone=alone)
        self.task: asyncio.Task[None] | None = None

    @property
    def proven(self) -> bool:
        return self.spoke or _now() - self.since >= _PROVEN

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
        task, self.task = self.task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        stream, self.stream = self.stream, None
        if stream is not None:
            await stream.aclose()


_News = tuple[_Line | None, STTEvent | BaseException | None]
"""What a line has said, why it broke, or that it has ended; without a line, that there may be something to look at."""


class FallbackStream:
    """One call's recognition, by one provider after the other."""

    def __init__(
        self,
        circle: Circle[SpeechToText],
        deadlines: Deadlines,
        capabilities: STTCapabilities,
        rate: int,
        language: str,
        hints: Sequence[str],
    ) -> None:
        self._circle = circle
        self._deadlines = deadlines
        self._declared = capabilities
        self._rate = rate
        self._language = language
        self._hints = hints
        self._line: _Line | None = None
        self._second: _Line | None = None
        """Whose opinion is asked, while the other is doubted."""
        self._opinion_due = 0.0
        self._news: asyncio.Queue[_News] = asyncio.Queue()
        self._carried = bytearray()
        self._position = 0
        self._finalized = False
        self._closed = False

    async def connect(self) -> None:
        self._line = await self._open(self._circle.order())

    async def send(self, pcm: bytes) -> None:
        """Feed audio. A failure shows in `events`, which is where it is dealt with."""
        self._finalized = self._finalized and self._declared.continuous
        self._position += len(pcm)
        self._carried += pcm
        del self._carried[: max(0, len(self._carried) - int(_CARRIED * self._rate) * 2)]
        for line in (self._line, self._second):
            if line is not None and line.live:
                line.given = self._position
                await line.send(pcm)

    async def finalize(self) -> None:
        self._finalized = True
        for line in (self._line, self._second):
            if line is not None and line.live:
                await line.finalize()
        if self._line is not None and self._second is None:
            self._await_final(self._line)

    async def events(self) -> AsyncIterator[STTEvent]:
        """See `TranscriptStream.events`. Raises the error of the last that was tried."""
        while self._line is not None:
            line, news = await self._next_news()
            if line is None or (line is not self._line and line is not self._second):
                await self._look()
            elif isinstance(news, BaseException) and not isinstance(news, ProviderError):
                raise news
            elif line is self._second:
                if isinstance(news, ProviderError) or news is None:
                    if news is not None and line.index != self._line.index:
                        self._circle.failed(line.index, news, then=None)
                    await self._dismiss()
                elif _heard_nothing(news):
                    self._carried.clear()
                    await self._dismiss()
                elif _words(news):
                    await self._promote(line)
                    for told in self._told(line, news):
                        yield told
            elif isinstance(news, ProviderError):
                await self._replace(line, news)
            elif news is None:
                return
            else:
                await self._note(line, news)
                for told in self._told(line, news):
                    yield told

    async def aclose(self) -> None:
        self._closed = True
        lines, self._line, self._second = (self._line, self._second), None, None
        for line in lines:
            if line is not None:
                await line.aclose()
        self._news.put_nowait((None, None))

    # --- one that says nothing ----------------------------------------------------------------------------------------

    def _await_final(self, line: _Line) -> None:
        line.doubt.asked(_now(), seconds=len(self._carried) / 2 / self._rate)
        if line.doubt.due is not None:
            self._news.put_nowait((None, None))

    async def _next_news(self) -> _News:
        """What is told next; nothing when it is time to look."""
        due = self._opinion_due if self._second is not None else self._line.doubt.due if self._line else None
        try:
            async with asyncio.timeout_at(due):
                return await self._news.get()
        except TimeoutError:
            return None, None

    async def _look(self) -> None:
        if self._second is not None:
            if _now() >= self._opinion_due:
                await self._dismiss()
        elif self._line is not None and self._line.doubt.due is not None and _now() >= self._line.doubt.due:
            self._ask_another(self._line)

    def _ask_another(self, line: _Line) -> None:
        """The next in the list; where there is none, the same one, by another connection."""
        line.doubt.doubted()
        index = next((index for index in self._circle.order() if index != line.index), line.index)
        second = self._line_to(index)
        self._opinion_due = _now() + self._deadlines.connect + max(2.0, 2 * second.provider.capabilities.final_delay)
        self._second = second
        self._start(second, self._connect_and_read(second))

    async def _connect_and_read(self, line: _Line) -> None:
        async with within(self._deadlines.connect, line.provider.name, "connecting"):
            line.stream = await line.provider.open(rate=self._rate, language=self._language, hints=self._hints)
        await self._catch_up(line)
        await self._read(line, line.stream)

    async def _dismiss(self) -> None:
        """There were no words, by the second opinion, or it has none."""
        second, self._second = self._second, None
        if self._line is not None:
            self._line.doubt.unfounded(_now())
        if second is not None:
            await second.aclose()

    async def _promote(self, second: _Line) -> None:
        """It heard words where the other was silent: from now on it is the one."""
        silent, self._line, self._second = self._line, second, None
        if silent is not None:
            error = ProviderTimeout("it said nothing where there were words", provider=silent.provider.name)
            self._circle.failed(silent.index, error, then=second.index if second.index != silent.index else None)
            await silent.aclose()
        self._circle.worked(second.index)
        second.spoke = True

    async def _note(self, line: _Line, event: STTEvent) -> None:
        """It is alive."""
        if not line.spoke and not line.provider.capabilities.continuous:
            self._circle.worked(line.index)
        line.spoke = True
        final = event.final if isinstance(event, Transcript) else event.kind == "end"
        line.doubt.heard(_now(), words=_words(event), final=final)
        if (second := self._second) is not None and (final or _words(event)):
            self._second = None
            await second.aclose()
            if not final:
                self._await_final(line)

    # --- one that fails -----------------------------------------------------------------------------------------------

    async def _replace(self, broken: _Line, error: ProviderError) -> None:
        """Go on with another, which hears the utterance under way from its beginning; at last with the same again."""
        second, self._second = self._second, None
        order = [index for index in self._circle.order() if index != broken.index]
        then = second.index if second is not None else order[0] if order else None
        self._circle.failed(broken.index, error, then=then if then != broken.index else None)
        await broken.aclose()
        if second is not None:
            self._line = second
            return
        if broken.proven and error.retryable:
            order.append(broken.index)
        if not order:
            raise error
        line = await self._open(order)
        if self._closed:
            await line.aclose()
        else:
            self._line = line

    async def _open(self, order: Sequence[int]) -> _Line:
        for position, index in enumerate(order):
            then = order[position + 1] if position + 1 < len(order) else None
            line = self._line_to(index)
            name = line.provider.name
            try:
                async with within(None if then is None else self._deadlines.connect, name, "connecting"):
                    line.stream = await line.provider.open(rate=self._rate, language=self._language, hints=self._hints)
            except ProviderError as error:
                self._circle.failed(index, error, then=then)
                if then is None:
                    raise
            else:
                if line.provider.capabilities.continuous:  # for others connecting proves nothing
                    self._circle.worked(index)
                await self._catch_up(line)
                self._start(line, self._read(line, line.stream))
                return line
        raise AssertionError("a list of providers is never empty")

    # --- lines --------------------------------------------------------------------------------------------------------

    def _line_to(self, index: int) -> _Line:
        begins = silence_before(bytes(self._carried), self._rate)
        providers = self._circle.providers
        given = self._position - len(self._carried) + begins
        return _Line(index, providers[index], given, alone=len(providers) == 1)

    async def _catch_up(self, line: _Line) -> None:
        """Give it the audio of the utterance under way, and what comes meanwhile."""
        while line.given < self._position:
            missing = bytes(self._carried[-(self._position - line.given) :])
            line.given = self._position
            await line.send(missing)
        line.live = True
        if self._finalized:
            line.late = True
            await line.finalize()
            if line is not self._second:
                self._await_final(line)

    async def _read(self, line: _Line, stream: TranscriptStream) -> None:
        async for event in stream.events():
            self._news.put_nowait((line, event))

    def _start(self, line: _Line, work: Coroutine[None, None, None]) -> None:
        def over(task: asyncio.Task[None]) -> None:
            if not task.cancelled():
                self._news.put_nowait((line, task.exception()))

        line.task = asyncio.create_task(work, name=f"stt-{line.provider.name}-events")
        line.task.add_done_callback(over)

    def _told(self, line: _Line, event: STTEvent) -> list[STTEvent]:
        """The event as one who knows the declared capabilities expects it."""
        if isinstance(event, TurnSignal):
            if event.kind == "end":
                self._carried.clear()
                self._finalized = line.late = False
            return [event] if self._declared.end_of_turn else []
        if not event.final:
            return [event] if not line.late else []
        line.late = False
        finalized, self._finalized = self._finalized, False
        if finalized or event.text:
            self._carried.clear()
        if finalized and event.text and self._declared.end_of_turn and not line.provider.capabilities.end_of_turn:
            return [event, TurnSignal("end", confidence=event.confidence)]
        return [event]


def silence_before(pcm: bytes, rate: int) -> int:
    """How many bytes come before the first sound and half a second before that; none where there is no sound."""
    frame = rate // 50 * 2
    for at in range(0, len(pcm) - frame + 1, frame):
        if dbfs(pcm[at : at + frame]) > _QUIET:
            return max(0, at - 25 * frame)
    return 0


def _words(event: STTEvent) -> bool:
    return bool(event.text)


def _heard_nothing(event: STTEvent) -> bool:
    return isinstance(event, Transcript) and event.final and not event.text


async def probe_stt(provider: SpeechToText) -> None:
    """Connect and leave again; who is asked anew for each utterance has to answer one. Raises `ProviderError`."""
    stream = await provider.open(rate=_PROBED, language="en")
    try:
        if not provider.capabilities.continuous:
            await stream.send(bytes(_PROBED))
            await stream.finalize()
            await _first_final(stream.events(), provider.name)
    finally:
        await stream.aclose()


async def _first_final(events: AsyncIterator[STTEvent], provider: str) -> None:
    async for event in events:
        if isinstance(event, Transcript) and event.final:
            return
    raise Unreachable("it ended without an answer", provider=provider)


def _now() -> float:
    return asyncio.get_running_loop().time()
