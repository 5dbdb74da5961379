"""Where a part of a text stands in its file, whatever quotes, escapes, indentation and folding did to it there.

A text and how it is spelled have the same characters in the same order, apart from white space and escapes: so the
place of a character is found by counting those before it that are no white space.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from voxtrad.config.diagnostics import Place

Style = Literal["plain", "'", '"', "block", "file"]


@dataclass(frozen=True, slots=True)
class Spelling:
    """How a text is written in its file."""

    style: Style
    lines: Sequence[str]
    """All lines of the file."""
    end: tuple[int, int]
    """Line and column behind it, from 0."""


Unit = tuple[int, int, int]
"""Of one character: its line and column, from 0, and in how many it is written."""

_LEAD = re.compile(r"(?:[&!]\S*\s+)*")
_ESCAPE = re.compile(r"\\(?:x(?P<x>\w{2})|u(?P<u>\w{4})|U(?P<U>\w{8})|(?P<one>.)|$)")
_WHITE = frozenset(" \ttnrvfN_LP")
"""What stands behind the backslash of white space."""
_NEW_LINE = re.compile(r"\r\n|[\r\n]")


def place_in(text: str, place: Place, spelling: Spelling, start: int, width: int) -> Place | None:
    """The place of a stretch of a text that stands at `place`, of its first line where it goes over several."""
    before = sum(not character.isspace() for character in text[:start])
    here = sum(not character.isspace() for character in text[start : start + width])
    units = list(islice(_units(place, spelling), before, before + max(1, here)))
    if not units:
        return None
    line, column, _ = units[0]
    end = max(at + size for on, at, size in units if on == line)
    return Place(place.file, line + 1, column + 1, end - column)


def stretch(text: str, line: int, part: str) -> tuple[int, int]:
    """Start and width of a name (`call`, `vars.company`) on a line of a text, from 1; else of the line."""
    starts = [0, *(match.end() for match in _NEW_LINE.finditer(text)), len(text) + 1]
    begin, end = starts[min(line, len(starts) - 1) - 1], starts[min(line, len(starts) - 1)]
    space, dot, attribute = part.partition(".")
    name = re.escape(attribute)
    pattern = re.escape(space) + (rf"\s*(?:\.\s*{name}|\[\s*[\"']{name}[\"']\s*\])" if dot else "")
    found = re.compile(rf"(?<![\w.]){pattern}(?!\w)").search(text, begin)
    if found is not None and found.start() < end:
        return found.start(), len(found[0])
    return begin, max(1, len(text[begin:end].rstrip()))


def _units(place: Place, spelling: Spelling) -> Iterator[Unit]:
    """Every character that is no white space."""
    first, last = place.line - 1, min(spelling.end[0], len(spelling.lines) - 1)
    if spelling.style == "block":
        first += 1
    for number in range(first, last + 1):
        line = spelling.lines[number]
        begin = _begin(line, place, spelling) if number == place.line - 1 else 0
        end = spelling.end[1] if number == spelling.end[0] else len(line)
        if number == spelling.end[0] and spelling.style in ("'", '"'):
            end -= 1
        for column, size, white in _characters(line, begin, end, spelling.style):
            if not white:
                yield number, column, size


def _begin(line: str, place: Place, spelling: Spelling) -> int:
    if spelling.style in ("block", "file"):
        return 0
    begin = place.column - 1
    if lead := _LEAD.match(line, begin):
        begin = lead.end()
    return begin if spelling.style == "plain" else begin + 1


def _characters(line: str, begin: int, end: int, style: Style) -> Iterator[tuple[int, int, bool]]:
    """Column, size and whether it is white space, of each character of a line."""
    column = begin
    while column < end:
        size, white = 1, line[column].isspace()
        if style == "'" and line.startswith("''", column):
            size = 2
        elif style == '"' and (escape := _ESCAPE.match(line, column)):
            size, white = len(escape[0]), _is_white(escape)
        yield column, size, white
        column += size


def _is_white(escape: re.Match[str]) -> bool:
    code = escape["x"] or escape["u"] or escape["U"]
    if code is not None:
        return chr(int(code, 16)).isspace()
    return escape["one"] is None or escape["one"] in _WHITE
