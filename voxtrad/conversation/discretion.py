"""What the caller says aloud of a number that they were to key in, and that nobody may keep.

It is taken out where the recogniser's words come in, so that no turn, event, log, draft or model ever has it; other
words ("where do I find it?") go through. Which moments are meant is the call's to say.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from voxtrad.conversation.utterances import words
from voxtrad.conversation.vocabulary import ATS, DIGIT_WORDS, DOTS, JOINERS, LARGER
from voxtrad.providers.base import STTEvent, Transcript, TranscriptStream

INSTEAD = "[a number, said aloud instead of keyed in]"
"""What stands in the place of all that was said with it: words that were misheard ("won", "for") are of it, too."""

_SIGNS = JOINERS | set(DOTS.values()) | set().union(*ATS.values())
_ARTICLES = frozenset("oh o one un uno um een".split())
"""Numbers that are everyday words as well: two of them are of a number, or one that stands alone."""
_COMPOUNDING = frozenset({"de", "es", "it", "nl"})
"""Languages that join numbers to one word: `siebenundvierzig`."""
_PART = 4
"""Letters of a number that is looked for inside of words."""


def has_number(text: str, language: str) -> bool:
    """Whether a number is said in it. Without a list of a language's numbers, any word may be one."""
    said, base = words(text), language.partition("-")[0].lower()
    if any(character.isnumeric() for character in text) or (said and base not in DIGIT_WORDS):
        return True
    numbers = (DIGIT_WORDS.get(base, frozenset()) | LARGER.get(base, frozenset())) - _SIGNS - _ARTICLES
    parts = [number for number in numbers if len(number) >= _PART] if base in _COMPOUNDING else []
    for word in said:
        if not numbers.isdisjoint(word.split("-")) or any(part in word for part in parts):
            return True
    everyday = sum(word in _ARTICLES for word in said)
    return everyday > 1 or (everyday == 1 and len(said) == 1)


class Discreet:
    """A recogniser's stream without such numbers, as long as `secret()`. What was begun then stays out to its end."""

    def __init__(self, stream: TranscriptStream, language: str, secret: Callable[[], bool]) -> None:
        self._stream = stream
        self._language = language
        self._secret = secret
        self._saying_it = False

    async def send(self, pcm: bytes) -> None:
        await self._stream.send(pcm)

    async def finalize(self) -> None:
        await self._stream.finalize()

    async def events(self) -> AsyncIterator[STTEvent]:
        async for event in self._stream.events():
            yield self._without(event)

    async def aclose(self) -> None:
        await self._stream.aclose()

    def _without(self, event: STTEvent) -> STTEvent:
        hidden = (self._saying_it or self._secret()) and has_number(event.text, self._language)
        if event.text:
            whole = event.final if isinstance(event, Transcript) else event.kind == "end"
            self._saying_it = hidden and not whole
        return replace(event, text=INSTEAD) if hidden else event
