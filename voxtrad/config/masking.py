"""Keeps secrets out of the lines that diagnostics show: what stands under a key that names a secret is not shown.

References such as `${env:KEY}` are no secrets and stay; they say more than they give away.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from voxtrad.config.diagnostics import Loc
from voxtrad.config.tree import Mapping, Scalar, Tree, walk

MASK = "***"

Span = tuple[int, int]
"""Columns of a line, from 0: the first that is hidden and the first that is not any more."""

_SECRET_KEY = re.compile(
    r"(?:.*[_-])?(?:password|passwd|pass|secret|token|credentials?|authorization|cookie)|.+[_-]?key|headers|env",
    re.IGNORECASE,
)
_KEY = re.compile(r"""(?P<quote>["']?)(?P<key>[\w-]+)(?P=quote)[ \t]*:(?=[ \t]|$)[ \t]*""")
_QUOTED = re.compile(r""""(?:[^"\\]|\\.)*"?|'(?:[^']|'')*'?""")
_REFERENCE = re.compile(r"""["']?\$\{(?:(?!:-)[^}])*\}["']?""")
_USERINFO = re.compile(r"""(?<=://)[^/\s@"']+(?=@)""")
_RUN_ON = re.compile(r"""(?:^|(?<!\$)\{|,|- )[ \t]*["']?(?P<key>[\w-]+)["']?(?::(?=[^\s:])|[ \t]+(?=[^\s:,}\]#]))""")
"""A key whose value was meant to follow: the colon is missing, or the blank behind it."""
_QUERY = re.compile(r"""(?<=[?&])(?P<key>[\w.-]+)=(?P<value>(?!\$\{|\{\{)[^&\s"'#]+)""")
_ANCHOR = re.compile(r"&\S+\s*")
_NO_VALUE = re.compile(r"\*|#(?=\s|#|$)")
"""An alias or a comment; what follows a `#` without a blank may have been meant for the value."""
_OPENS_VALUE = ("", "|", ">", "|-", ">-", "|+", ">+")


def names_secret(key: str) -> bool:
    """Whether a key of this name holds a secret."""
    return _SECRET_KEY.fullmatch(key) is not None


def secret_places(tree: Tree) -> dict[tuple[Path, int], int]:
    """File and line -> the column (from 0) where something begins that stands below a secret key."""
    found: dict[tuple[Path, int], int] = {}
    for loc, node, _ in walk(tree):
        if not any(isinstance(part, str) and names_secret(part) for part in loc) and not _instead(loc, node):
            continue
        places = [entry.key for entry in node.entries.values()] if isinstance(node, Mapping) else [node.place]
        for place in places:
            where = (place.file, place.line)
            found[where] = min(found.get(where, place.column - 1), place.column - 1)
    return found


def _instead(loc: Loc, node: Tree) -> bool:
    """Whether a scalar stands where a mapping with a secret belongs, and may be that secret."""
    if not isinstance(node, Scalar) or not isinstance(node.value, str) or node.value == "auto":
        return False
    if loc[:2] == ("server", "tokens"):
        return "name" not in loc[2:] and "scopes" not in loc[2:]
    return loc[:1] == ("providers",) and (len(loc) == 2 or (len(loc) == 3 and isinstance(loc[2], int)))


def in_query(url: str) -> list[Span]:
    """Values under secret names in the query of a URL, wherever in a text it stands."""
    found = [match for match in _QUERY.finditer(url) if names_secret(match["key"]) or match["key"].lower() == "key"]
    return [match.span("value") for match in found]


def secret_spans(
    lines: Sequence[str], number: int, *, known_from: int | None = None, strangers: Iterable[int] = ()
) -> list[Span]:
    """What to hide of line `number` (from 1).

    `known_from` is a column from which it is known to be secret; `strangers` are columns of keys that nobody knows, so
    that their values may be.
    """
    line = lines[number - 1]
    keys = [match for match in _KEY.finditer(line) if names_secret(match["key"]) or match.start() in strangers]
    spans = [(match.end(), _value_end(line, match.end())) for match in keys]
    meant = [match for match in _RUN_ON.finditer(line) if names_secret(match["key"])]
    spans += [(match.end(), _value_end(line, match.end())) for match in meant]
    spans += [match.span() for match in _USERINFO.finditer(line)]
    spans += in_query(line)
    if not spans and known_from is None and _continues_secret(line, lines[max(0, number - 6) : number - 1]):
        known_from = len(line) - len(line.lstrip())
    if known_from is not None and not any(start <= known_from for start, _ in spans):
        spans.append((known_from, len(line)))
    return [span for span in _apart(spans) if _worth_hiding(line[slice(*span)])]


def masked(line: str, spans: Sequence[Span], column: int, width: int) -> tuple[str, int, int]:
    """The line with the spans hidden, and where a stretch of it (column from 0, width) is then."""
    shown, position, end = "", 0, column + width
    new_column, new_end = column, end
    for start, stop in spans:
        shown += line[position:start] + MASK
        shift = len(MASK) - (stop - start)
        new_column = _shifted(column, start, stop, new_column, shift)
        new_end = _shifted(end, start, stop, new_end, shift, at_end=True)
        position = stop
    return shown + line[position:], new_column, max(1, new_end - new_column)


def _shifted(column: int, start: int, stop: int, now: int, shift: int, *, at_end: bool = False) -> int:
    """Where a column that is at `now` so far comes to stand when `start` to `stop` is replaced by the mask."""
    if column >= stop:
        return now + shift
    if column <= start:
        return now
    return now - (column - start) + (len(MASK) if at_end else 0)


def _apart(spans: Iterable[Span]) -> list[Span]:
    """In their order, without those that begin inside another."""
    apart: list[Span] = []
    for start, stop in sorted(spans):
        if not apart or start >= apart[-1][1]:
            apart.append((start, stop))
    return apart


def _value_end(line: str, start: int) -> int:
    """Where a value ends: at its quote, within `{}` at the next comma or bracket, otherwise with the line."""
    if match := _QUOTED.match(line, start) or _REFERENCE.match(line, start):
        return match.end()
    in_flow = line[:start].count("{") > line[:start].count("}")
    end = re.search(r"[,}]", line[start:]) if in_flow and line[start : start + 1] not in "{[" else None
    return start + end.start() if end else len(line)


def _worth_hiding(value: str) -> bool:
    bare = _ANCHOR.sub("", value.strip(), count=1) if value.strip().startswith("&") else value.strip()
    return bare not in _OPENS_VALUE and _NO_VALUE.match(bare) is None and _REFERENCE.match(bare) is None


def _continues_secret(line: str, above: Sequence[str]) -> bool:
    """Whether the nearest line above that is less indented opens a secret, as `token:` does for the line below it."""
    indent = len(line) - len(line.lstrip())
    for other in reversed(above):
        if other.strip() and len(other) - len(other.lstrip(" -")) < indent:
            key = _KEY.search(other)
            return key is not None and names_secret(key["key"]) and other[key.end() :].strip() in _OPENS_VALUE
    return False
