"""From text to audio: how far ahead a text is read, and when a sentence that looks whole is one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import cast

import pytest

from voxtrad.conversation.spoken import UtteranceAudio
from voxtrad.conversation.voicing import HESITATION, READ_AHEAD, Voicing
from voxtrad.leg import MediaPort
from voxtrad.providers.base import SpeechChunk

pytestmark = pytest.mark.virtual_time
RATE = 8000


class Port:
    """Nothing is played: all audio waits to be heard."""

    heard = queued = 0
    rate = RATE


class Nothing:
    """No audio is kept."""

    def get(self, text: str) -> bytes | None:
        return None

    def put(self, text: str, pcm: bytes) -> None:
        pass


class Voice:
    """Says a sentence in no time, or takes forever."""

    def __init__(self, *, stuck: bool = False) -> None:
        self.asked: list[str] = []
        self._stuck = stuck

    async def synthesize(self, text: str) -> AsyncIterator[SpeechChunk]:
        self.asked.append(text)
        if self._stuck:
            await asyncio.Event().wait()
        yield SpeechChunk(bytes(320))

    async def aclose(self) -> None:
        pass


class Written:
    """A text that is written piece by piece; numbers are seconds between them."""

    def __init__(self, *parts: str | float) -> None:
        self.read = 0
        self.closed = False
        self._parts = parts

    async def stream(self) -> AsyncGenerator[str, None]:
        try:
            for part in self._parts:
                if isinstance(part, str):
                    self.read += 1
                    yield part
                else:
                    await asyncio.sleep(part)
        finally:
            self.closed = True


def voicing(voice: Voice) -> Voicing:
    clock = asyncio.get_running_loop().time
    return Voicing(cast("MediaPort", Port()), voice, language="en", kept=Nothing(), news=asyncio.Event(), clock=clock)


async def composed(*parts: str | float) -> list[str]:
    """The sentences of a text, as the voice is asked for them."""
    voice = Voice()
    await voicing(voice).compose(UtteranceAudio(RATE, interruptible=True), Written(*parts).stream())
    return voice.asked


async def test_a_text_is_read_some_sentences_ahead_and_closed_at_once_when_it_is_not_wanted_any_more() -> None:
    written = Written(*(f"This is sentence number {number}. " for number in range(50)))
    text = written.stream()
    composing = asyncio.create_task(voicing(Voice(stuck=True)).compose(UtteranceAudio(RATE, interruptible=True), text))
    await asyncio.sleep(1)
    assert READ_AHEAD < written.read <= READ_AHEAD + 2
    assert not written.closed
    composing.cancel()
    await asyncio.wait([composing])
    assert written.closed


async def test_a_sentence_that_looks_whole_is_said_when_nothing_has_come_for_a_while_since_the_last_word() -> None:
    soon, late = HESITATION - 0.1, HESITATION + 0.1
    assert await composed("It was sent.", late, " Anything else?") == ["It was sent.", "Anything else?"]
    assert await composed("Visit example", soon, ".", soon, "com today.") == ["Visit example.com today."]
    assert await composed("It was sent", late, " today.") == ["It was sent today."]
