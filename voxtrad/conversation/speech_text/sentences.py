"""Where a text that is still being written can be cut into pieces for the voice: early at first, then by sentences.

Whether a full stop ends a sentence is left to `sentencex`, which knows the abbreviations of some 300 languages; it sees
whole texts, so what is here is the stream: what is undecided until more has come, and pieces that are neither late nor
endless. The pieces do not depend on how the text was split into deltas.
"""

from __future__ import annotations

import re
import unicodedata

import sentencex

CLAUSE = 20
WIDE_CLAUSE = 10
"""Characters of a clause that is long enough to begin with; of one in Chinese or Japanese."""
LONGEST = 250
"""Characters after which a text without a stop is cut between words."""

_WIDE = "。！？｡।॥۔؟።។"
_WIDE_CLAUSES = "，、；："
_CLOSERS = "\"'”’»›)]}」』）】》"
_CANDIDATE = re.compile(rf"\n|[.!?…{_WIDE}]{{1,8}}[{re.escape(_CLOSERS)}]{{0,4}}|[,;:—،؛{_WIDE_CLAUSES}]")
_MARGIN = 20
"""A stop so near to `LONGEST` is not looked at, so that it cannot still be undecided when the limit is reached."""
_WORD = re.compile(r"\S{1,30}")
_LIST_MARKER = re.compile(r"\s*(\d{1,3}|[A-Za-z])\.")
_BLANK = re.compile(r"[^\S\n]*")
_CLAUSE_END = re.compile(rf"[,;:—،؛]\s|[{_WIDE_CLAUSES}]")

# What sentencex gets wrong and a caller would hear: words that may end a sentence, which it takes for abbreviations
# (before a digit they may be), and abbreviations that it lacks.
_NOT_ABBREVIATED = {
    "en": frozenset("no me ok may art ill miss id min ext la ida".split()),
    "de": frozenset("mich art".split()),
    "fr": frozenset(["art"]),
    "es": frozenset("no bien mar art".split()),
    "it": frozenset("no fa va via mai mar sol art".split()),
    "nl": frozenset("al min u art".split()),
    "pt": frozenset(["art"]),
}
_ABBREVIATED = {
    "fr": frozenset("m mm mme mlle c.-à-d".split()),
    "nl": frozenset(["mevr"]),
    "ru": frozenset("е т.е".split()),
    "hi": frozenset(["डॉ"]),
}
_ADDRESS = re.compile(r"\S*\w{2}\.[^\W\d]{2,}\.")
"""`example.fr.` at the end of a sentence: no abbreviation, whatever `fr.` is."""
_LETTERS = re.compile(r"(?:[^\W\d]\.){2,}")
_QUOTES = re.compile(r"[\"“”„«»‹›()\[\]]|(?<!\w)['‘’‚]")
"""What sentencex would not cut within; a voice may pause there."""
_LONE_QUOTES = re.compile(r"(?:[\"“”„«»‹›()\[\]][^\S\n]+){1,3}")


class SentenceStream:
    """Cuts one text. The pieces joined are the text: white space belongs to the piece before it.

    A piece ends with a sentence or a line; until `CLAUSE` characters were given, with a clause too.
    """

    def __init__(self, language: str) -> None:
        self._language = re.split("[-_]", language)[0].lower()
        self._text = ""
        self._given = 0

    def push(self, delta: str) -> list[str]:
        """The pieces that are certain now."""
        self._text += delta
        return self._pieces(final=False)

    def flush(self) -> list[str]:
        """The rest: the text has ended."""
        pieces = self._pieces(final=True)
        if self._text:
            pieces.append(self._text)
        self._text = ""
        self._given = 0
        return pieces

    def _pieces(self, *, final: bool) -> list[str]:
        pieces = []
        while cut := self._next_cut(final):
            pieces.append(self._text[:cut])
            self._given += cut
            self._text = self._text[cut:]
        return pieces

    def _next_cut(self, final: bool) -> int:
        """Where the first piece ends; 0 while that is not known, and when the rest is the last piece."""
        text = self._text
        for candidate in _CANDIDATE.finditer(text):
            if candidate.start() > LONGEST - _MARGIN:
                break
            end = candidate.end()
            if candidate[0] != "\n":
                after = _blank_end(text, end)
                if after == len(text):
                    return 0  # what follows decides; and nothing follows the end
                verdict = text[after] != "\n" and self._ends_here(text, candidate[0], end, after, final)
                if verdict is None:
                    return 0
                if not verdict:
                    continue
                end = after
            if sayable(text[:end]):
                return end
        return _between_words(text) if len(text) > LONGEST else 0

    def _ends_here(self, text: str, stop: str, end: int, after: int, final: bool) -> bool | None:
        """Whether a piece ends with `stop`, up to `end`; what follows begins at `after`. `None`: not known yet."""
        spaced = after > end
        following = text[after]
        if stop in _WIDE_CLAUSES:
            return self._given < CLAUSE and len(text[:end].strip()) >= WIDE_CLAUSE
        if stop in ",;:—،؛":
            return self._given < CLAUSE and (spaced or stop == "—") and len(text[:end].strip()) >= CLAUSE
        quoted = stop[-1] in _CLOSERS
        if any(mark in _WIDE for mark in stop):
            return not (quoted and following in "とっ")  # "he said" in Japanese
        if not spaced:
            return False
        if "!" in stop or "?" in stop:
            return not (quoted and following.islower())
        return self._full_stop(text, end, after, final)

    def _full_stop(self, text: str, end: int, after: int, final: bool) -> bool | None:
        head = _QUOTES.sub("", text[:end])
        if _LIST_MARKER.fullmatch(head):
            return False
        last = head.rsplit(None, 1)[-1]
        stem = last.rstrip(".").lower()
        if stem in _ABBREVIATED.get(self._language, ()):
            return False
        if stem in _NOT_ABBREVIATED.get(self._language, ()):
            return not text[after].isdigit()
        if _ADDRESS.fullmatch(last):
            return True
        if _LETTERS.fullmatch(last) and text[after].islower():
            return False
        # A longer word is hardly an abbreviation or an ordinal, so one character of what follows will do.
        if len(stem) > 3 and stem.isalpha() and self._judged(head, text[after]):
            return True
        word = _WORD.match(text, _quotes_end(text, after))
        if word is None or (word.end() == len(text) and len(word[0]) < 30 and not final):
            return None
        return self._judged(head, _QUOTES.sub("", word[0]) + " ")

    def _judged(self, head: str, following: str) -> bool:
        whole = f"{head} {following}".encode("utf-8", "replace").decode()
        length = 0
        for sentence in sentencex.segment(self._language, whole):
            length += len(sentence)
            if length >= len(head):
                return length <= len(head) + 1
        return False


def sayable(text: str) -> bool:
    """Whether there is anything to say: a letter or a digit."""
    return any(map(str.isalnum, text))


def _blank_end(text: str, start: int) -> int:
    blank = _BLANK.match(text, start)
    return blank.end() if blank else start


def _quotes_end(text: str, start: int) -> int:
    """Where the next word begins: a quotation mark may stand by itself before it, as in French."""
    marks = _LONE_QUOTES.match(text, start)
    return marks.end() if marks else start


def _between_words(text: str) -> int:
    """The best place for a cut in the first `LONGEST` characters, in a text that has no stop there."""
    head = text[:LONGEST]
    clauses = [found.end() for found in _CLAUSE_END.finditer(head, LONGEST // 2)]
    if clauses:
        return clauses[-1]
    words = [found.end() for found in re.finditer(r"\s", head)]
    if words and sayable(head[: words[-1]]):
        return words[-1]
    cut = LONGEST
    while cut > LONGEST // 2 and (unicodedata.category(text[cut])[0] == "M" or "\u200d" in text[cut - 1 : cut + 1]):
        cut -= 1  # not between a letter and its marks
    return cut
