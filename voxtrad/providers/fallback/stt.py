"""Recognisers that stand in for each other, with the audio of the utterance under way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from voxtrad.providers.base import (
    ProviderError,
    SpeechToText,
    STTCapabilities,
    STTEvent,
    TranscriptStream,
    TurnSignal,
)
from voxtrad.providers.fallback.circle import Circle, Deadlines, Nobody, Observer, within

_CARRIED = 30.0
"""Seconds of the utterance under way that are kept for the next recogniser."""


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
        self._index = 0
        self._stream: TranscriptStream | None = None
        self._carried = bytearray()
        self._finalized = False
        self._closed = False

    async def connect(self) -> None:
        await self._open(self._circle.order())

    async def send(self, pcm: bytes) -> None:
        """Feed audio. A failure shows in `events`, which is where it is dealt with."""
        self._finalized = False
        self._carried += pcm
        del self._carried[: max(0, len(self._carried) - int(_CARRIED * self._rate) * 2)]
        if self._stream is not None:
            try:
                await self._stream.send(pcm)
            except ProviderError:
                return

    async def finalize(self) -> None:
        self._finalized = True
        if self._stream is not None:
            try:
                await self._stream.finalize()
            except ProviderError:
                return

    async def events(self) -> AsyncIterator[STTEvent]:
        """See `TranscriptStream.events`. Raises the error of the last that was tried."""
        while self._stream is not None:
            try:
                async for event in self._stream.events():
                    for told in self._told(event):
                        yield told
                return
            except ProviderError as error:
                if self._closed:
                    return
                await self._next(error)

    async def aclose(self) -> None:
        self._closed = True
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.aclose()

    def _told(self, event: STTEvent) -> list[STTEvent]:
        """The event as one who knows the declared capabilities expects it."""
        ends_turns = self._circle.providers[self._index].capabilities.end_of_turn
        if isinstance(event, TurnSignal):
            if event.kind == "end":
                self._carried.clear()
            return [event] if self._declared.end_of_turn else []
        if not event.final:
            return [event]
        finalized, self._finalized = self._finalized, False
        if finalized or event.text:
            self._carried.clear()
        if finalized and event.text and self._declared.end_of_turn and not ends_turns:
            return [event, TurnSignal("end", confidence=event.confidence)]
        return [event]

    async def _next(self, error: ProviderError) -> None:
        """The current one failed: go on with another, which hears the utterance under way from its beginning."""
        order = [index for index in self._circle.order() if index != self._index]
        self._circle.failed(self._index, error, then=order[0] if order else None)
        broken, self._stream = self._stream, None
        if broken is not None:
            await broken.aclose()
        if not order:
            raise error
        stream = await self._open(order)
        if self._carried and not self._closed:
            await stream.send(bytes(self._carried))
            if self._finalized:
                await stream.finalize()

    async def _open(self, order: Sequence[int]) -> TranscriptStream:
        for position, index in enumerate(order):
            then = order[position + 1] if position + 1 < len(order) else None
            provider = self._circle.providers[index]
            try:
                async with within(None if then is None else self._deadlines.connect, provider.name, "connecting"):
                    stream = await provider.open(rate=self._rate, language=self._language, hints=self._hints)
            except ProviderError as error:
                self._circle.failed(index, error, then=then)
                if then is None:
                    raise
            else:
                self._circle.worked(index)
                if self._closed:
                    await stream.aclose()
                else:
                    self._index, self._stream = index, stream
                return stream
        raise AssertionError("a list of providers is never empty")


async def probe_stt(provider: SpeechToText) -> None:
    """Connect and leave again. Raises `ProviderError` where it cannot."""
    stream = await provider.open(rate=8000, language="en")
    await stream.aclose()
