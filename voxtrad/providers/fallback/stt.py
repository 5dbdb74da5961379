"""Recognisers that stand in for each other, with the audio of the utterance under way.

One that fails is replaced by the next, which hears that audio from its beginning. One that says nothing is doubted
(`doubt.py`) and the next is asked for its opinion: if it hears words, it takes over.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial

from voxtrad.audio.codec import Codec
from voxtrad.finishing import finished
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
from voxtrad.providers.fallback.circle import Circle, Deadlines, Nobody, Observer, again, within
from voxtrad.providers.fallback.lines import Carried, Line
from voxtrad.providers.opening import open_stream

_PROBED = 8000
"""Samples per second of a probe, and the bytes of it: half a second."""
_TRIES = 2
"""How often one may break that has proven nothing before."""


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
            wideband=any(each.wideband for each in every),
            codecs=frozenset().union(*(each.codecs for each in every)),
        )

    async def open(
        self, *, rate: int, language: str, hints: Sequence[str] = (), codec: Codec = "linear"
    ) -> FallbackStream:
        """Connect to the first that answers. Raises the error of the last that was tried."""

        async def stream_of(provider: SpeechToText) -> TranscriptStream:
            return await open_stream(provider, rate=rate, language=language, hints=hints, codec=codec)

        stream = FallbackStream(self._circle, self._deadlines, self.capabilities, rate, stream_of)
        await stream.connect()
        return stream

    async def aclose(self) -> None:
        """End the probing. The providers belong to who made them."""
        await self._circle.aclose()


_News = tuple[Line | None, STTEvent | BaseException | None]
"""What a line has said, why it broke, or that it has ended; without a line, that there may be something to look at."""


class FallbackStream:
    """One call's recognition, by one provider after the other."""

    def __init__(
        self,
        circle: Circle[SpeechToText],
        deadlines: Deadlines,
        capabilities: STTCapabilities,
        rate: int,
        stream_of: Callable[[SpeechToText], Awaitable[TranscriptStream]],
    ) -> None:
        self._circle = circle
        self._deadlines = deadlines
        self._declared = capabilities
        self._stream_of = stream_of
        self._line: Line | None = None
        self._second: Line | None = None
        """Whose opinion is asked, while the other is doubted."""
        self._opinion_due = 0.0
        self._stopped_since = False
        """The caller has spoken again since it was asked."""
        self._news: asyncio.Queue[_News] = asyncio.Queue()
        self._carried = Carried(rate)
        self._finalized = False
        self._closed = False
        self._broke: Counter[int] = Counter()

    async def connect(self) -> None:
        self._line = await self._open(self._circle.order())

    async def send(self, pcm: bytes) -> None:
        """Feed audio. A failure shows in `events`, which is where it is dealt with."""
        self._finalized = self._finalized and self._declared.continuous
        self._carried.add(pcm)
        for line in (self._line, self._second):
            if line is not None and line.live:
                line.given = self._carried.position
                await line.send(pcm)

    async def finalize(self) -> None:
        self._finalized = True
        for line in (self._line, self._second):
            if line is not None and line.live:
                await line.finalize()
        if self._line is not None and self._second is None:
            self._await_final(self._line)
        elif self._second is not None and self._second.live:
            self._stopped_since = True
            self._opinion_due = min(self._opinion_due, _now() + self._second.doubt.patience)
            self._tell(None)

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
                    await self._promote(line, news)
                    for told in self._told(line, news):
                        yield _signed(told, line)
            elif isinstance(news, ProviderError):
                await self._replace(line, news)
            elif news is None:
                return
            else:
                await self._note(line, news)
                for told in self._told(line, news):
                    yield _signed(told, line)

    async def aclose(self) -> None:
        self._closed = True
        await finished(self._close())

    async def _close(self) -> None:
        lines, self._line, self._second = (self._line, self._second), None, None
        for line in lines:
            if line is not None:
                await line.aclose()
        self._tell(None)

    # --- one that says nothing ----------------------------------------------------------------------------------------

    def _await_final(self, line: Line) -> None:
        line.doubt.asked(_now(), seconds=self._carried.seconds)
        if line.doubt.due is not None:
            self._tell(None)

    async def _next_news(self) -> _News:
        """What is told next; nothing when it is time to look."""
        due = self._opinion_due if self._second is not None else self._line.doubt.due if self._line else None
        try:
            async with asyncio.timeout_at(due):
                return await self._news.get()
        except TimeoutError:
            return None, None

    async def _look(self) -> None:
        line, second = self._line, self._second
        if line is None:
            return
        if second is None:
            if line.doubt.due is not None and _now() >= line.doubt.due:
                self._ask_another(line)
        elif _now() >= self._opinion_due:
            await self._disregard(line, second)

    async def _disregard(self, line: Line, second: Line) -> None:
        """It has not said anything either. Of two such to the same recogniser the newer is the likelier to hear."""
        if second.live and second.index == line.index:
            second.doubt = line.doubt
            self._line, self._second, line = second, line, second
        await self._dismiss(mute=True)
        if self._stopped_since and not line.doubt.trusts(_now()):
            self._ask_another(line)

    def _ask_another(self, line: Line) -> None:
        """The next in the list; where there is none, the same one, by another connection."""
        line.doubt.doubted()
        self._stopped_since = False
        index = next((index for index in self._circle.order() if index != line.index), line.index)
        second = self._line_to(index)
        self._opinion_due = _now() + self._deadlines.connect + max(2.0, 2 * second.provider.capabilities.final_delay)
        self._second = second
        second.start(self._connect_and_read(second), partial(self._tell, second))

    async def _connect_and_read(self, line: Line) -> None:
        async with within(self._deadlines.connect, line.provider.name, "connecting"):
            await line.open(self._stream_of)
        await self._catch_up(line)
        await self._read(line)

    async def _dismiss(self, *, mute: bool = False) -> None:
        """There were no words, by the second opinion, or it has none; `mute`: it has said nothing."""
        second, self._second = self._second, None
        if self._line is not None:
            self._line.doubt.unfounded(_now(), mute=mute)
        if second is not None:
            await second.aclose()

    async def _promote(self, second: Line, event: STTEvent) -> None:
        """It heard words where the other was silent: from now on it is the one."""
        silent, self._line, self._second = self._line, second, None
        if silent is not None:
            error = ProviderTimeout("it said nothing where there were words", provider=silent.provider.name)
            self._circle.failed(silent.index, error, then=second.index if second.index != silent.index else None)
            await silent.aclose()
        self._circle.worked(second.index)
        second.spoke = True
        second.doubt.heard(_now(), words=True, final=_ends(event))
        if not _ends(event):
            self._await_final(second)

    async def _note(self, line: Line, event: STTEvent) -> None:
        """It is alive."""
        if not line.spoke and not line.provider.capabilities.continuous:
            self._circle.worked(line.index)
        line.spoke = True
        final = _ends(event)
        line.doubt.heard(_now(), words=_words(event), final=final)
        if (second := self._second) is not None and (final or _words(event)):
            self._second = None
            await second.aclose()
            if not final:
                self._await_final(line)

    # --- one that fails -----------------------------------------------------------------------------------------------

    async def _replace(self, broken: Line, error: ProviderError) -> None:
        """Go on with another, which hears the utterance under way from its beginning; at last with the same again."""
        second, self._second = self._second, None
        order = self._still_to_try(broken, error)
        then = second.index if second is not None else order[0] if order else None
        self._circle.failed(broken.index, error, then=then if then != broken.index else None)
        if second is not None:
            self._line = second
        await broken.aclose()
        if second is not None:
            return
        if not order:
            raise error
        line = await self._open(order)
        if self._closed:
            await line.aclose()
        else:
            self._line = line

    def _still_to_try(self, broken: Line, error: ProviderError) -> list[int]:
        """The others, and the same one again where that may help. Since anybody has worked nobody breaks three times,
        nor twice where it was refused: who only accepts a connection to close it must not be asked for ever.
        """
        if broken.proven:
            self._broke.clear()
        self._broke[broken.index] += 1 if again(error) or (broken.proven and error.retryable) else _TRIES
        order = [index for index in self._circle.order() if index != broken.index]
        return [index for index in (*order, broken.index) if self._broke[index] < _TRIES]

    async def _open(self, order: Sequence[int]) -> Line:
        for position, index in enumerate(order):
            then = order[position + 1] if position + 1 < len(order) else None
            line = self._line_to(index)
            name = line.provider.name
            try:
                async with within(None if then is None else self._deadlines.connect, name, "connecting"):
                    await line.open(self._stream_of)
            except ProviderError as error:
                self._circle.failed(index, error, then=then)
                if then is None:
                    raise
            else:
                if line.provider.capabilities.continuous:  # for others connecting proves nothing
                    self._circle.worked(index)
                try:
                    await self._catch_up(line)
                except BaseException:  # the call has ended: nobody else knows of this connection yet
                    await line.aclose()
                    raise
                line.start(self._read(line), partial(self._tell, line))
                return line
        raise AssertionError("a list of providers is never empty")

    # --- lines --------------------------------------------------------------------------------------------------------

    def _line_to(self, index: int) -> Line:
        providers = self._circle.providers
        return Line(index, providers[index], self._carried.begins(), alone=len(providers) == 1)

    async def _catch_up(self, line: Line) -> None:
        await line.catch_up(self._carried)
        if self._finalized:
            line.late = True
            await line.finalize()
            if line is not self._second:
                self._await_final(line)

    async def _read(self, line: Line) -> None:
        await line.read(partial(self._tell, line))

    def _tell(self, line: Line | None, news: STTEvent | BaseException | None = None) -> None:
        self._news.put_nowait((line, news))

    def _told(self, line: Line, event: STTEvent) -> list[STTEvent]:
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


def _signed(event: STTEvent, line: Line) -> STTEvent:
    return event if line.index == 0 else replace(event, provider=line.provider.name)


def _words(event: STTEvent) -> bool:
    return bool(event.text)


def _ends(event: STTEvent) -> bool:
    """Whether nothing more is to come of what was said."""
    return event.final if isinstance(event, Transcript) else event.kind == "end"


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
