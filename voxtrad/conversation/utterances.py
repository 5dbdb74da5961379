"""What a piece of recognised speech tells about the turn: is it complete, is it more than a "mm-hmm".

Pure functions on text; the word lists are in `vocabulary.py`. Who decides with them is `turns.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from voxtrad.conversation.vocabulary import (
    ALPHABET,
    ANNOUNCED,
    ASKS_FOR_NUMBER,
    ATS,
    BACKCHANNELS,
    COMPLETE,
    DIGIT_WORDS,
    DOTS,
    ENDINGS,
    GOING_ON,
    INSTEAD,
    JOINERS,
    LARGER,
    PHRASES,
    SHORT_WORDS,
    SPELLED,
    TRAILING,
    UNSPACED,
)

_FILLERS = frozenset("yes yeah sure okay ok ja oui sí si sì sim".split())

_WORD = re.compile(r"[\w'@.+-]*\w[\w'@.+-]*")
_BETWEEN_SENTENCES = re.compile(r"(?<=[.!?…])\s+")
_STOP = re.compile(r"[.!?。！？؟।…]\s*$")


def words(text: str) -> list[str]:
    """The words of a text, in lower case, without punctuation around them."""
    return [match.group().strip(".-'").lower() for match in _WORD.finditer(text)]


def same_words(one: str, other: str) -> bool:
    """Whether two transcripts say the same, whatever their case and punctuation."""
    return words(one) == words(other)


def begins(text: str, known: str) -> bool:
    """Whether a transcript says the beginning of another, or all of it."""
    said = words(text)
    return bool(said) and words(known)[: len(said)] == said


def beyond(known: str, text: str) -> str | None:
    """The rest of a transcript that begins with words known already; None where it begins otherwise."""
    found = list(_WORD.finditer(text))
    expected = words(known)
    if not expected or words(text)[: len(expected)] != expected:
        return None
    return text[found[len(expected) - 1].end() :].lstrip(" .,;:!?")


def overlap(one: str, other: str) -> float:
    """The share of the words of `one` that `other` says too, in any order: 0 to 1."""
    spoken, known = words(one), set(words(other))
    return sum(word in known for word in spoken) / len(spoken) if spoken else 0.0


def echoes(text: str, agent_text: str) -> bool:
    """Whether a transcript is what the agent itself has just said, as a recogniser hears it on a line with echo."""
    spoken, said = words(text), words(agent_text)
    if not spoken or len(said) < len(spoken):
        return False
    if any(said[i : i + len(spoken)] == spoken for i in range(len(said) - len(spoken) + 1)):
        return True
    return len(spoken) >= 4 and overlap(text, agent_text) >= 0.8


class Backchannel:
    """The words and sounds with which a listener says "go on"; `ignore` says which, instead of the usual ones."""

    def __init__(self, language: str, ignore: Iterable[str] | None = None) -> None:
        listed = BACKCHANNELS.get(_base(language), ()) if ignore is None else ignore
        self._phrases = {tuple(words(phrase)) for phrase in listed} - {()}
        self._longest = max(map(len, self._phrases), default=0)
        self._beginnings = {phrase[:n] for phrase in self._phrases for n in range(1, len(phrase))}
        self._unspaced = _base(language) in UNSPACED
        self._sounds = tuple(phrase[0] for phrase in self._phrases if len(phrase) == 1)

    def content_words(self, text: str, *, more_to_come: bool = False) -> int:
        """How many words of a transcript are more than backchannel.

        `more_to_come`: it is a partial one, so an "I" at its end may become an "I see".
        """
        spoken = words(text)
        count = position = 0
        while position < len(spoken):
            for length in range(min(self._longest, len(spoken) - position), 0, -1):
                if tuple(spoken[position : position + length]) in self._phrases:
                    position += length
                    break
            else:
                if more_to_come and self._may_become(spoken[position:]):
                    break
                count += self._words_in(spoken[position]) if self._unspaced else 1
                position += 1
        return count

    def _may_become(self, rest: list[str]) -> bool:
        """Whether backchannel may begin with this."""
        if self._unspaced and len(rest) == 1:
            return any(phrase[0].startswith(rest[0]) for phrase in self._phrases)
        return tuple(rest) in self._beginnings

    def _words_in(self, run: str) -> int:
        """In a language without spaces, a run of signs: a word has two of them, as a rule."""
        if self._in_a_row(run):
            return 0
        return 1 if run.isascii() else max(1, len(run) // 2)

    def _in_a_row(self, run: str) -> bool:
        """Whether a run is nothing but backchannel. No regular expression: one sound may be another one twice, and then
        there are too many ways to read a long run of them."""
        reached = {0}
        for at in range(len(run)):
            if at in reached:
                reached.update(at + len(sound) for sound in self._sounds if run.startswith(sound, at))
        return len(run) in reached


def asks_for_dictation(agent_text: str, language: str) -> bool:
    """Whether the agent's last words ask for something that is dictated: a number, a spelling, an address."""
    pattern = ASKS_FOR_NUMBER.get(_base(language))
    last = _BETWEEN_SENTENCES.split(agent_text.strip())[-1]
    return bool(pattern and pattern.search(last))


@dataclass(frozen=True, slots=True)
class Unfinished:
    """Why a transcript sounds as if the caller will go on."""

    reason: str
    dictating: bool = False
    """Digits or letters are under way: they come with pauses of a second, but not of three."""


def unfinished(text: str, language: str, *, punctuates: bool, dictation_asked: bool) -> Unfinished | None:
    """Whether a transcript sounds as if the caller will go on; None where it sounds complete.

    `punctuates`: the recogniser sets full stops, so a missing one means something. `dictation_asked`: the agent has
    just asked for a number or a spelling.
    """
    base = _base(language)
    spoken = words(text)
    if not spoken:
        return None
    last = spoken[-1]
    stopped = bool(_STOP.search(text))
    joined = " ".join(spoken)
    if text.rstrip().endswith((INSTEAD, GOING_ON)):
        return Unfinished("a number or spelling is being dictated", dictating=True)
    if joined in ANNOUNCED.get(base, ()) or _ends_in(joined, PHRASES.get(base, ())):
        return Unfinished(f"ends in '{' '.join(spoken[-3:])}'")
    if _ends_in(joined, COMPLETE.get(base, ())):
        return None
    if last in TRAILING.get(base, frozenset()) and not (stopped and punctuates):
        return Unfinished(f"ends in '{last}'")
    if _dictated(spoken, base, dictation_asked) and not (stopped and punctuates and not dictation_asked):
        return Unfinished("a number or spelling is being dictated", dictating=True)
    if dictation_asked and last in _FILLERS:
        return Unfinished("the agent asked for a number and it has not come yet")
    if punctuates and not stopped and len(spoken) > 1:
        return Unfinished("no full stop yet", dictating=dictation_asked)
    return None


def _ends_in(joined: str, phrases: Iterable[str]) -> bool:
    return any(joined == phrase or joined.endswith(" " + phrase) for phrase in phrases)


def _dictated(spoken: list[str], base: str, asked: bool) -> bool:
    """The last two words are digits or letters; one is enough where the agent has asked for such."""
    if _spelled(spoken, base) or _in_an_address(spoken, base, asked):
        return True
    digits = DIGIT_WORDS.get(base, frozenset()) | (LARGER.get(base, frozenset()) if asked else frozenset())
    tail = spoken[-1:] if asked and len(spoken[-1]) > 1 else spoken[-2:]
    if len(tail) < 2 and not asked:
        return False
    return all(word in digits or word.isdigit() or len(word) == 1 or "@" in word for word in tail)


def _spelled(spoken: list[str], base: str) -> bool:
    """It ends in "bravo charlie", or in "B as in boy"."""
    if len(spoken) > 1 and all(word in ALPHABET or (len(word) == 1 and word.isalpha()) for word in spoken[-2:]):
        return True
    before, words_too = " ".join(spoken[-4:-1]), SHORT_WORDS.get(base, frozenset())
    return any(
        before.endswith(f" {like}") and len(letter := before.removesuffix(f" {like}").split()[-1]) == 1
        and letter.isalpha() and (letter not in words_too or " " in like)
        for like in SPELLED.get(base, ())
    )  # fmt: skip


def _in_an_address(spoken: list[str], base: str, asked: bool) -> bool:
    """A mail address is being said ("john dot smith at"), and has not come to its end yet."""
    dot, ats, last = DOTS.get(base, ""), ATS.get(base, frozenset()), spoken[-1]
    dots = [at for at, word in enumerate(spoken) if word == dot]
    signs = [at for at, word in enumerate(spoken) if word in ats or "@" in word]
    # "At" and "point" are words as well: it takes more to know them for signs.
    if not ((asked and (dots or signs)) or (dots and (base == "en" or signs))):
        return False
    if last == dot or last in ats or last in JOINERS:
        return True
    if not signs:
        return last not in ENDINGS
    host = spoken[signs[-1]].partition("@")[2]
    return last == "co" or not ("." in host or dots[-1:] > signs[-1:])


def _base(language: str) -> str:
    return language.replace("_", "-").split("-", 1)[0].lower()
