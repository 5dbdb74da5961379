"""What the caller says aloud of a number that they were to key in, and that nobody may keep.

It is taken out where the recogniser's words come in, so that no turn, event, log, draft or model ever has it; other
words ("where do I find it?") go through. Which moments are meant is the call's to say.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import cache
from itertools import pairwise
from unicodedata import combining, normalize

from voxtrad.conversation.utterances import echoes, words
from voxtrad.conversation.vocabulary import (
    ATS,
    DIGIT_WORDS,
    DOTS,
    EVERYDAY_NUMBERS,
    GOING_ON,
    INSTEAD,
    JOINERS,
    JOINING,
    LARGER,
    PHRASES,
)
from voxtrad.providers.base import STTEvent, Transcript, TranscriptStream

_SIGNS = JOINERS | set(DOTS.values()) | set().union(*ATS.values())
_APART = re.compile(r"[-']")


def has_number(text: str, language: str) -> bool:
    """Whether a number is said in it. Without a list of a language's numbers, any word may be one."""
    base = language.partition("-")[0].lower()
    if any(character.isnumeric() for character in text):
        return True
    if base not in DIGIT_WORDS:
        return bool(words(text))
    number, everyday = _numbers_of(base)
    said = _without_phrases(text, base)
    if any(number.fullmatch(word) for word in said):
        return True
    # Those are everyday words as well: one that stands alone is a number, or two in a row.
    both = [word in everyday for word in said]
    return both == [True] or any(map(all, pairwise(both)))


def _without_phrases(text: str, base: str) -> list[str]:
    """The words, but for those of "one moment" and the like."""
    joined = f" {_plain(' '.join(words(text)))} "
    for phrase in PHRASES.get(base, ()):
        joined = joined.replace(f" {_plain(phrase)} ", " … ")
    return [part for word in joined.split() for part in _APART.split(word) if part]


@cache
def _numbers_of(base: str) -> tuple[re.Pattern[str], frozenset[str]]:
    """What is a number, be it of several joined to one word (`siebenundvierzig`), and what may be another word."""
    listed = (DIGIT_WORDS[base] | LARGER.get(base, frozenset())) - _SIGNS
    known, everyday = frozenset(map(_plain, listed)), EVERYDAY_NUMBERS.get(base, frozenset())
    one = "|".join(sorted(map(re.escape, known - everyday), key=len, reverse=True))
    if base not in JOINING:
        return re.compile(one), everyday
    among = "|".join(sorted(JOINING[base] | everyday, key=len, reverse=True))
    return re.compile(f"(?:{among})*(?:{one})(?:{one}|{among})*"), everyday


def _plain(text: str) -> str:
    """In lower case without accents, which recognisers leave out now and then."""
    return "".join(sign for sign in normalize("NFKD", text.casefold()) if not combining(sign))


class Discreet:
    """A recogniser's stream without such numbers, as long as `secret()`. What was begun then stays out to its end.

    Numbers in what the agent is `saying()`, as its echo on the line, are nobody's secret ("your four digit PIN").
    """

    def __init__(
        self, stream: TranscriptStream, language: str, *, secret: Callable[[], bool], saying: Callable[[], str]
    ) -> None:
        self._stream = stream
        self._language = language
        self._secret = secret
        self._saying = saying
        self._saying_it = False
        self._latest = ""
        self._shown = INSTEAD

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
        hidden = (
            (self._saying_it or self._secret())
            and has_number(event.text, self._language)
            and not (len(words(event.text)) > 1 and echoes(event.text, self._saying()))
        )
        if event.text:
            whole = event.final if isinstance(event, Transcript) else event.kind == "end"
            self._saying_it = hidden and not whole
        return replace(event, text=self._instead(event.text)) if hidden else event

    def _instead(self, text: str) -> str:
        if not self._saying_it:
            self._latest = ""
            return INSTEAD
        if text != self._latest:
            self._latest, self._shown = text, INSTEAD if self._shown == GOING_ON else GOING_ON
        return self._shown
