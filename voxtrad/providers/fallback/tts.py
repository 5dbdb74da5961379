"""Voices that stand in for each other, from sentence to sentence."""

from __future__ import annotations

import copy
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import cast

from voxtrad.audio.codec import Codec
from voxtrad.finishing import finished
from voxtrad.providers.base import ProviderError, SpeechChunk, TextToSpeech, TTSCapabilities, Voice
from voxtrad.providers.fallback.circle import (
    AUDIO_THEN,
    Circle,
    Deadlines,
    Nobody,
    Observer,
    again,
    attempts,
    within,
)
from voxtrad.providers.opening import close, open_voice


class FallbackTTS:
    """Text to speech made of several. It sounds, and is cached, like the first of them."""

    def __init__(
        self,
        providers: Sequence[TextToSpeech],
        *,
        deadlines: Deadlines | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._deadlines = deadlines or Deadlines()
        self._circle = Circle("tts", providers, observer or Nobody(), probe_tts)

    @property
    def name(self) -> str:
        return self._circle.providers[0].name

    @property
    def capabilities(self) -> TTSCapabilities:
        """The first one's, and whatever one of them makes of G.711."""
        every = [provider.capabilities for provider in self._circle.providers]
        return replace(every[0], codecs=frozenset().union(*(each.codecs for each in every)))

    @property
    def fingerprint(self) -> str:
        return self._circle.providers[0].fingerprint

    def hurried(self, left: Callable[[], float]) -> FallbackTTS:
        """See `Substitutes`."""
        mine = copy.copy(self)
        mine._deadlines = self._deadlines.for_call(left)
        return mine

    async def open(self, *, rate: int, language: str, codec: Codec = "linear") -> FallbackVoice:
        """Connect to the first that answers. Raises the error of the last that was tried."""

        async def voice_of(provider: TextToSpeech) -> Voice:
            return await open_voice(provider, rate=rate, language=language, codec=codec)

        voice = FallbackVoice(self._circle, self._deadlines, voice_of)
        await voice.connect()
        return voice

    async def aclose(self) -> None:
        """End the probing. The providers belong to who made them."""
        await self._circle.aclose()


class FallbackVoice:
    """One call's synthesis. The voices of a call are opened when they are first needed and kept."""

    def __init__(
        self,
        circle: Circle[TextToSpeech],
        deadlines: Deadlines,
        voice_of: Callable[[TextToSpeech], Awaitable[Voice]],
    ) -> None:
        self._circle = circle
        self._deadlines = deadlines
        self._voice_of = voice_of
        self._voices: dict[int, Voice] = {}

    async def connect(self) -> None:
        order = self._circle.order()
        for position, index in enumerate(order):
            then = order[position + 1] if position + 1 < len(order) else None
            try:
                await self._voice(index, last=then is None)
                return
            except ProviderError as error:
                self._circle.failed(index, error, then=then)
                if then is None:
                    raise

    async def synthesize(self, text: str) -> AsyncIterator[SpeechChunk]:
        """Speak one sentence. Who fails before any audio of it is replaced at once; a lone voice whose connection broke
        is asked once more. Who breaks off in the middle leaves it cut short, and the next sentence is another's: nobody
        wants to hear the half of it twice.
        """
        for index, then in attempts(self._circle.order()):
            name = self._circle.providers[index].name
            other = then if then != index else None
            heard = False
            try:
                voice = await self._voice(index, last=other is None)
                stream = cast("AsyncGenerator[SpeechChunk, None]", voice.synthesize(text))
                async with aclosing(stream):
                    async with within(self._limit(self._deadlines.first_audio, other), name, "the first audio"):
                        chunk = await anext(stream, None)
                    self._circle.worked(index)
                    while chunk is not None:
                        heard = heard or bool(chunk.pcm)
                        yield chunk if index == 0 else replace(chunk, own=False, provider=name)
                        async with within(self._limit(self._deadlines.next_audio, other), name, "more audio"):
                            chunk = await anext(stream, None)
                return
            except ProviderError as error:
                self._circle.failed(index, error, then=other)
                await self._drop(index)
                if then is None or (then == index and (heard or not again(error))):
                    raise
                if heard:
                    yield SpeechChunk(b"", own=False)
                    return

    async def aclose(self) -> None:
        await finished(self._close())

    async def _close(self) -> None:
        for index in list(self._voices):
            await self._drop(index)

    async def _voice(self, index: int, *, last: bool) -> Voice:
        if index not in self._voices:
            provider = self._circle.providers[index]
            limit = self._limit(self._deadlines.connect, None if last else index)
            async with within(limit, provider.name, "connecting"):
                self._voices[index] = await self._voice_of(provider)
        return self._voices[index]

    def _limit(self, usual: float, then: int | None) -> float | None:
        return self._deadlines.within(usual, then=AUDIO_THEN) if then is not None else None

    async def _drop(self, index: int) -> None:
        """A connection that broke is not used again."""
        if (voice := self._voices.pop(index, None)) is not None:
            await close(voice, self._circle.providers[index].name)


async def probe_tts(provider: TextToSpeech) -> None:
    """Have a word spoken and take the first audio of it. Raises `ProviderError` where none comes."""
    voice = await provider.open(rate=8000, language="en")
    try:
        stream = cast("AsyncGenerator[SpeechChunk, None]", voice.synthesize("Hello."))
        async with aclosing(stream):
            await anext(stream, None)
    finally:
        await voice.aclose()
