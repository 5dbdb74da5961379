"""The words for the embedded recogniser: a small language model made of hints, and spoken digits as numerals.

Pure functions. The model makes three kinds of utterance likely: the hints, alone or in a sentence one says on the
telephone; digits and (where hinted) letters in a row; short answers such as yes and no. All else is left to the
recogniser's garbage phones.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

DIGITS: Final = ("zero", "oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEENS: Final = (
    *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
TENS: Final = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
LETTERS: Final = tuple("abcdefghijklmnopqrstuvwxyz")

_BEFORE: Final = (
    *("i want to talk to a", "i want to talk to", "i would like to speak to a", "i would like to speak with"),
    *("can i speak to a", "can i talk to", "could i speak to", "i want", "i need", "i need a", "i would like"),
    *("where is my", "what is the status of my", "what is the status of", "what is my", "i have a question about my"),
    *("i am calling about my", "it is about my", "i need help with my", "my", "please", "yes", "no"),
)
"""What a caller may say before the thing that matters."""

_ALONE: Final = (
    *("yes", "no", "yes please", "no thank you", "thank you", "thanks", "okay", "please", "hello", "hello there", "hi"),
    *("sorry", "what", "help", "good morning", "i do not know", "that is right", "that is all", "nothing else"),
    *("goodbye", "bye", "thank you goodbye"),
)


@dataclass(frozen=True, slots=True)
class Words:
    """What a recogniser is told to expect."""

    arpa: str
    """A trigram model in ARPA format. Letters are written with a full stop: `a.` is the letter, `a` the article."""
    vocabulary: frozenset[str]


def candidates(hints: Sequence[str]) -> frozenset[str]:
    """All words that `expect` would like to know the pronunciation of; letters with their full stop."""
    hinted = {word for hint in hints for word in _spoken(hint)}
    fixed = {word for text in (*_BEFORE, *_ALONE) for word in text.split()}
    letters = {f"{letter}." for letter in LETTERS}
    return frozenset({*hinted, *fixed, *letters, *DIGITS, *TEENS, *TENS})


def expect(hints: Sequence[str], known: Iterable[str]) -> tuple[Words, frozenset[str]]:
    """The language model for these hints, and the words of them that are not `known` (left out with their hint)."""
    known = set(known)
    phrases = {normal for hint in hints if (normal := " ".join(_spoken(hint)))}
    unknown = frozenset(word for phrase in phrases for word in phrase.split() if word not in known)
    phrases = {phrase for phrase in phrases if unknown.isdisjoint(phrase.split())}
    letters = [f"{letter}." for letter in LETTERS if letter in phrases and f"{letter}." in known]
    if "bye" in phrases and "goodbye" in known:
        phrases.add("goodbye")  # what people say; a rule that waits for "bye" takes it too
    phrases -= {*LETTERS, *DIGITS, *TEENS, *TENS}
    sentences: defaultdict[tuple[str, ...], float] = defaultdict(float)
    for weight, sentence in _sentences(sorted(phrases), letters):
        sentences[sentence] += weight
    words = frozenset(word for sentence in sentences for word in sentence)
    return Words(_arpa(sentences), words), unknown


def _spoken(text: str) -> Iterator[str]:
    for word in re.findall(r"[a-z']+|[0-9]", text.lower().replace("’", "'")):
        yield DIGITS[int(word) + (word != "0")] if word.isdigit() else word.strip("'")


Weighted = Iterator[tuple[float, tuple[str, ...]]]


def _sentences(phrases: Sequence[str], letters: Sequence[str]) -> Weighted:
    """Utterances and how likely each is: hints 60 %, numbers alone 20 %, short answers 20 %."""
    codes = list(_codes(letters))
    for phrase in phrases:
        words = tuple(phrase.split())
        share = 60 / len(phrases)
        yield 0.25 * share, words
        yield 0.05 * share, (*words, "please")
        for before in _BEFORE:
            yield 0.5 * share / len(_BEFORE), (*before.split(), *words)
        for weight, code in codes:
            yield 0.2 * share * weight, (*words, *code)
    for text in _ALONE:
        yield 20 / len(_ALONE), tuple(text.split())
    for weight, code in codes:
        yield 20 * weight, code


def _codes(letters: Sequence[str]) -> Weighted:
    """Numbers, and numbers with letters, as they are dictated. The weights add up to about 1."""
    for a in DIGITS:
        for b in DIGITS:
            yield 0.1 / len(DIGITS) ** 2, (a, b)
            for c in DIGITS:
                yield 0.5 / len(DIGITS) ** 3, (a, b, c)
    for digit in DIGITS:
        yield 0.1 / len(DIGITS), (digit,)
    for number in (*TEENS, *TENS):
        yield 0.1 / len(TEENS + TENS), (number,)
    for ten in TENS:
        for digit in DIGITS[2:]:
            yield 0.1 / len(TENS) / 9, (ten, digit)
    for letter in letters:
        share = 0.3 / len(letters)
        for number in (*TEENS, *TENS):
            yield 0.3 * share / len(TEENS + TENS), (letter, number)
        for ten in TENS:
            for digit in DIGITS[2:]:
                yield 0.2 * share / len(TENS) / 9, (letter, ten, digit)
        for digit in DIGITS:
            yield 0.4 * share / len(DIGITS), (letter, digit)
        for other in letters:
            yield 0.1 * share / len(letters), (letter, other)


_UNSEEN = 0.1
"""How much of the probability after any two words is left to words that no utterance above has there."""


def _arpa(sentences: Mapping[tuple[str, ...], float]) -> str:
    """A trigram model with backing off, in the ARPA format."""
    grams: list[defaultdict[tuple[str, ...], float]] = [defaultdict(float), defaultdict(float), defaultdict(float)]
    for sentence, count in sentences.items():
        marked = ("<s>", *sentence, "</s>")
        for order, counts in enumerate(grams, 1):
            for at in range(len(marked) - order + 1):
                counts[marked[at : at + order]] += count
    del grams[0][("<s>",)]
    total = sum(grams[0].values())
    probability = {gram: count / total for gram, count in grams[0].items()}
    backoff: dict[tuple[str, ...], float] = {}
    for counts in grams[1:]:
        following: dict[tuple[str, ...], list[tuple[str, float]]] = {}
        for gram, count in counts.items():
            following.setdefault(gram[:-1], []).append((gram[-1], count))
        for context, nexts in following.items():
            seen = sum(count for _, count in nexts)
            for word, count in nexts:
                probability[(*context, word)] = (1 - _UNSEEN) * count / seen
            shorter = sum(probability[(*context[1:], word)] for word, _ in nexts)
            backoff[context] = _UNSEEN / max(1 - shorter, 1e-4)
    probability[("<s>",)] = 1e-20
    lines = ["\\data\\"]
    orders = [sorted(gram for gram in probability if len(gram) == order) for order in (1, 2, 3)]
    lines += [f"ngram {order}={len(found)}" for order, found in enumerate(orders, 1)]
    for order, found in enumerate(orders, 1):
        lines += ["", f"\\{order}-grams:"]
        for gram in found:
            line = f"{math.log10(probability[gram]):.4f} {' '.join(gram)}"
            if order < 3 and gram[-1] != "</s>":
                line += f" {math.log10(backoff.get(gram, 1.0)):.4f}"
            lines.append(line)
    return "\n".join([*lines, "", "\\end\\", ""])


# --- numerals ---------------------------------------------------------------------------------------------------------

_VALUE: Final = {
    **{word: str(max(0, index - 1)) for index, word in enumerate(DIGITS)},
    **{word: str(10 + index) for index, word in enumerate(TEENS)},
}
_REPEAT: Final = {"double": 2, "triple": 3}


def numerals(text: str) -> str:
    """Spoken digits and letters in a row as they are written: `order a. one two double three` is `order A1233`.

    A lone `oh` stays, and a lone `one` with words after it (`one moment`).
    """
    words = text.split()
    out: list[str] = []
    at = 0
    while at < len(words):
        code, end = _code(words, at)
        lone = words[at] if end == at + 1 else ""
        if not code or lone in ("oh", *_REPEAT) or (lone == "one" and end < len(words)):
            out.append(words[at][0].upper() if _is_letter(words[at]) else words[at])
            at += 1
        else:
            out.append(code)
            at = end
    return " ".join(out)


def letters_plain(text: str) -> str:
    """The text with the recogniser's letters (`a.`) as single capitals."""
    return " ".join(word[0].upper() if _is_letter(word) else word for word in text.split())


def _is_letter(word: str) -> bool:
    return len(word) == 2 and word[0].isalpha() and word[1] == "."


def _code(words: Sequence[str], start: int) -> tuple[str, int]:
    """The longest code from `start` as written, and where it ends; an empty one where none begins."""
    out = ""
    at = start
    while at < len(words):
        word, after = words[at], words[at + 1 : at + 2]
        one_to_nine = bool(after) and after[0] in DIGITS[2:]
        if word in TENS:
            tens = str(TENS.index(word) + 2)
            out += tens + (_VALUE[after[0]] if one_to_nine else "0")
            at += 1 + one_to_nine
        elif word in _REPEAT and after and after[0] in _VALUE:
            out += _VALUE[after[0]] * _REPEAT[word]
            at += 2
        elif word in _VALUE:
            out += _VALUE[word]
            at += 1
        elif _is_letter(word):
            out += word[0].upper()
            at += 1
        else:
            break
    return out, at
