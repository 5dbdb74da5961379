"""Keeps secrets out of the lines that diagnostics show: what stands under a key that names a secret is not shown.

References such as `${env:KEY}` are no secrets and stay; they say more than they give away.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from voxtrad.config.tree import Mapping, Tree, walk

MASK = "***"

_SECRET_KEY = re.compile(
    r"(?:.*[_-])?(?:password|passwd|pass|secret|token|credentials?|authorization|cookie)|.+[_-]?key|headers|env",
    re.IGNORECASE,
)
_KEY = re.compile(r"""(?P<quote>["']?)(?P<key>[\w-]+)(?P=quote)[ \t]*:(?=[ \t]|$)[ \t]*""")
_QUOTED = re.compile(r""""(?:[^"\\]|\\.)*"?|'(?:[^']|'')*'?""")
_REFERENCE = re.compile(r"""["']?\$\{(?:env|file):[^}:]*\}["']?""")
_USERINFO = re.compile(r"""://[^/\s@"']+@""")
_OPENS_VALUE = ("", "|", ">", "|-", ">-", "|+", ">+")


def names_secret(key: str) -> bool:
    """Whether a key of this name holds a secret."""
    return _SECRET_KEY.fullmatch(key) is not None


def secret_places(tree: Tree) -> dict[tuple[Path, int], int]:
    """File and line -> the column (from 0) where something begins that stands below a secret key."""
    found: dict[tuple[Path, int], int] = {}
    for loc, node, _ in walk(tree):
        if not any(isinstance(part, str) and names_secret(part) for part in loc):
            continue
        places = [entry.key for entry in node.entries.values()] if isinstance(node, Mapping) else [node.place]
        for place in places:
            where = (place.file, place.line)
            found[where] = min(found.get(where, place.column - 1), place.column - 1)
    return found


def masked_line(lines: Sequence[str], number: int, secret_from: int | None) -> str:
    """Line `number` (from 1) without the secrets in it; from column `secret_from` (from 0) on it is known to be one."""
    line = lines[number - 1]
    shown = _USERINFO.sub(f"://{MASK}@", _without_values(line))
    if shown != line:
        return shown
    if secret_from is None and _continues_secret(line, lines[max(0, number - 6) : number - 1]):
        secret_from = len(line) - len(line.lstrip())
    return line if secret_from is None else line[:secret_from] + _hidden(line[secret_from:])


def mask_after_key(line: str, column: int) -> str:
    """The line with the value of the key at `column` (from 0) hidden, whatever the key is called."""
    match = _KEY.match(line, column)
    return line if match is None else line[: match.end()] + _hidden(line[match.end() :])


def _without_values(line: str) -> str:
    """The line with the values of its secret keys hidden."""
    shown, position = "", 0
    for match in _KEY.finditer(line):
        if match.start() >= position and names_secret(match["key"]):
            end = _value_end(line, match.end())
            shown += line[position : match.end()] + _hidden(line[match.end() : end])
            position = end
    return shown + line[position:]


def _value_end(line: str, start: int) -> int:
    """Where a value ends: at its quote, within `{}` at the next comma or bracket, otherwise with the line."""
    if match := _QUOTED.match(line, start) or _REFERENCE.match(line, start):
        return match.end()
    in_flow = line[:start].count("{") > line[:start].count("}")
    end = re.search(r"[,}]", line[start:]) if in_flow and line[start : start + 1] not in "{[" else None
    return start + end.start() if end else len(line)


def _hidden(value: str) -> str:
    bare = value.strip()
    return value if bare in _OPENS_VALUE or bare[0] in "&*#" or _REFERENCE.match(bare) else MASK


def _continues_secret(line: str, above: Sequence[str]) -> bool:
    """Whether the nearest line above that is less indented opens a secret, as `token:` does for the line below it."""
    indent = len(line) - len(line.lstrip())
    for other in reversed(above):
        if other.strip() and len(other) - len(other.lstrip(" -")) < indent:
            key = _KEY.search(other)
            return key is not None and names_secret(key["key"]) and other[key.end() :].strip() in _OPENS_VALUE
    return False
