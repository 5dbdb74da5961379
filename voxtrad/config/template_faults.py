"""All that is wrong with the syntax of a template, of which Jinja2 tells the first: every tag is judged on its own.

What is left when the broken tags are taken out is a template again, so that the names in it can be judged, too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from voxtrad.config.templates import Template, TemplateSyntaxError

MAX_FAULTS = 20
"""More of one text nobody reads."""
_MAX_TAGS = 1000

_NESTED = "templates cannot include other templates"
_TAG = re.compile(
    r"""
    \{\#.*?(?P<comment>\#\}|\Z)
    | \{%[-+]?\s*raw\s*[-+]?%\}.*?(?:\{%[-+]?\s*endraw\s*[-+]?%\}|\Z)
    | (?P<opens>\{[{%])
      (?P<inside>(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\{(?![{%])(?:[^{}]|\{[^{}]*\})*\}|(?!\{[{%]|[%}]\}).)*+)
      (?P<closes>[%}]\})?
    """,
    re.DOTALL | re.VERBOSE,
)
_WORD = re.compile(r"[-+]?\s*(\w+)")
_CLOSED = ("include", "import", "from", "extends", "block")
_BRANCHES = {"else": ("if", "for"), "elif": ("if",)}
_NEUTRAL = {"for": "{% for _ in [] %}", "set": "{% set _ %}", "call": "{% call _() %}", "macro": "{% macro _() %}",
            "filter": "{% filter upper %}"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class TemplateFault:
    """A stretch of the text, and what is wrong with it."""

    message: str
    start: int
    width: int


@dataclass(frozen=True, slots=True)
class Mended:
    """A template's text with blanks for what is broken in it; its lines are those of the text."""

    faults: tuple[TemplateFault, ...]
    text: str


def mend(text: str) -> Mended:
    """Finds what does not compile, and leaves it out. A text that compiles has no faults."""
    try:
        Template(text)
    except TemplateSyntaxError as error:
        whole = error
    else:
        return Mended((), text)
    mender = _Mender(text)
    mender.judge()
    try:
        Template(mender.mended())
    except TemplateSyntaxError as error:
        # What no tag shows on its own, as where the whole is too complex: nothing of it can be judged.
        whole, left = error, ""
    else:
        left = mender.mended()
    told = sorted(mender.faults, key=lambda fault: fault.start)[:MAX_FAULTS]
    return Mended(tuple(told or [TemplateFault(in_words(whole.message), *_line(text, whole.line))]), left)


@dataclass(slots=True)
class _Open:
    """A block that waits for its end."""

    word: str
    start: int
    width: int
    otherwise: bool = False
    """Its `else` was there."""


class _Mender:
    """Goes through the tags once, with the blocks that are open."""

    def __init__(self, text: str) -> None:
        self.faults: list[TemplateFault] = []
        self._text = text
        self._pieces: list[str] = []
        """The text so far, tags and what stands between them."""
        self._open: list[_Open] = []
        self._unknown: set[str] = set()

    def judge(self) -> None:
        position = 0
        for count, tag in enumerate(_TAG.finditer(self._text)):
            self._pieces.append(self._text[position : tag.start()])
            self._pieces.append(self._judged(tag) if count < _MAX_TAGS else _blank(tag[0]))
            position = tag.end()
        self._pieces.append(self._text[position:])
        while self._open:
            self._pieces.append(self._left_open())

    def mended(self) -> str:
        return "".join(self._pieces)

    def _judged(self, tag: re.Match[str]) -> str:
        """What stands for the tag in a template that compiles: itself, or blanks."""
        if tag["opens"] is None:
            if tag["comment"] == "":
                return self._broken(tag, "'{#' is never closed by '#}'", width=2)
            return tag[0]
        closing = "}}" if tag["opens"] == "{{" else "%}"
        if tag["closes"] != closing:
            return self._broken(tag, f"'{tag['opens']}' is never closed by '{closing}'", width=2)
        if tag["opens"] == "{{":
            why = _refusal(tag[0])
            return tag[0] if why is None else self._broken(tag, why)
        word = _WORD.match(tag["inside"])
        return self._statement(tag, word[1] if word else "")

    def _statement(self, tag: re.Match[str], word: str) -> str:
        if word in _CLOSED:
            return self._broken(tag, _NESTED)
        if word.removeprefix("end") in (*self._unknown, *_CLOSED):
            return _blank(tag[0])
        if word.startswith("end"):
            return self._end(tag, word.removeprefix("end"))
        if word in _BRANCHES:
            return self._branch(tag, word)
        alone = _refusal(tag[0])
        if alone is None:
            return tag[0]
        why = _refusal(f"{tag[0]}{{% end{word} %}}")
        if word == "set" and "=" in tag["inside"]:
            return self._broken(tag, alone)
        if why is not None and (not word or "unknown tag" in why):
            self._unknown.add(word)
            return self._broken(tag, why)
        stands = tag[0] if why is None else _NEUTRAL.get(word, f"{{% {word} 0 %}}") + _breaks(tag[0])
        if why is not None:
            self._broken(tag, why)
        self._open.append(_Open(word, tag.start(), len(tag[0])))
        return stands

    def _branch(self, tag: re.Match[str], word: str) -> str:
        block = self._open[-1] if self._open else None
        if block is None or block.word not in _BRANCHES[word]:
            return self._broken(tag, f"'{word}' stands in no '{_BRANCHES[word][0]}'")
        if block.otherwise:
            return self._broken(tag, f"'{word}' stands behind an 'else'")
        block.otherwise = word == "else"
        why = _refusal(f"{{% if 0 %}}{tag[0]}{{% endif %}}")
        return tag[0] if why is None else self._broken(tag, why)

    def _end(self, tag: re.Match[str], word: str) -> str:
        if word not in [block.word for block in self._open]:
            return self._broken(tag, f"'end{word}' closes nothing")
        ends = ""
        while self._open[-1].word != word:
            ends += self._left_open()
        self._open.pop()
        return ends + tag[0]

    def _left_open(self) -> str:
        """The end that the innermost block lacks."""
        block = self._open.pop()
        message = f"'{block.word}' is never closed by 'end{block.word}'"
        self.faults.append(TemplateFault(message, block.start, block.width))
        return f"{{% end{block.word} %}}"

    def _broken(self, tag: re.Match[str], why: str, width: int | None = None) -> str:
        self.faults.append(TemplateFault(why, tag.start(), len(tag[0]) if width is None else width))
        return _blank(tag[0])


def _refusal(template: str) -> str | None:
    try:
        Template(template)
    except TemplateSyntaxError as error:
        return in_words(error.message)
    return None


def in_words(message: str) -> str:
    """Jinja2's words without its names for tokens."""
    message = re.sub(r"(token )?'end of print statement'", "'}}'", message)
    message = re.sub(r"(token )?'end of statement block'", "'%}'", message)
    message = re.sub(r"unexpected char (.*) at \d+$", r"unexpected character \1", message)
    return message[:1].lower() + message[1:]


def _line(text: str, line: int) -> tuple[int, int]:
    """Where a line begins, and how long it is."""
    lines = text.splitlines(keepends=True)
    before = lines[: max(0, min(line, len(lines)) - 1)]
    here = lines[len(before)].rstrip("\r\n") if len(lines) > len(before) else ""
    return sum(map(len, before)), max(1, len(here))


def _blank(tag: str) -> str:
    return re.sub(r"[^\r\n]", " ", tag)


def _breaks(tag: str) -> str:
    return "".join(re.findall(r"\r\n|[\r\n]", tag))
