"""What regular expressions wait for, as words and phrases: hints for a speech recogniser.

Literal words, alternatives and optional parts are spelled out. What takes any word or digit becomes the spoken digits,
and the letters where it takes letters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from re import _parser  # type: ignore[attr-defined]  # the parser of `re` itself; the stubs leave it out
from typing import Final, cast

_DIGITS: Final = ("zero", "oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_LETTERS: Final = tuple("abcdefghijklmnopqrstuvwxyz")

_MOST = 200
"""Spellings of one expression that are looked at; what has more is too free to be a hint."""

_ANY, _NUMBER = "\ue000", "\ue001"
"""Stand for a part that takes any letters or digits, or digits alone."""


def hints_of(patterns: Iterable[str]) -> tuple[str, ...]:
    """Words and phrases that the expressions match, in order and each once. The expressions must compile."""
    found: dict[str, None] = {}
    for pattern in patterns:
        for spelling in _spellings(cast("Sequence[_Node]", _parser.parse(pattern, re.IGNORECASE))):
            for piece in re.split(f"[{_ANY}{_NUMBER}]", spelling):
                if phrase := " ".join(re.findall(r"[^\W_]+(?:['’][^\W_]+)*", piece.lower())):
                    found[phrase] = None
            if _ANY in spelling or _NUMBER in spelling:
                found.update(dict.fromkeys(_DIGITS))
            if _ANY in spelling:
                found.update(dict.fromkeys(_LETTERS))
    return tuple(found)


_Node = tuple[object, object]
"""An operation and its argument, as `re` parses them."""


def _spellings(nodes: Sequence[_Node]) -> list[str]:
    """The texts that a sequence of nodes matches."""
    texts = [""]
    for node in nodes:
        ways = _ways(node)
        texts = [text + way for text in texts for way in ways][:_MOST]
    return texts


def _ways(node: _Node) -> list[str]:
    operation, argument = str(node[0]), node[1]
    match operation:
        case "LITERAL":
            return [chr(cast("int", argument))]
        case "BRANCH":
            _, branches = cast("tuple[object, list[Sequence[_Node]]]", argument)
            return [text for branch in branches for text in _spellings(branch)]
        case "SUBPATTERN" | "ATOMIC_GROUP":
            inner = argument[-1] if isinstance(argument, tuple) else argument
            return _spellings(cast("Sequence[_Node]", inner))
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            least, _, body = cast("tuple[int, object, Sequence[_Node]]", argument)
            return [*([""] if least == 0 else []), *_spellings(body)]
        case "IN":
            return _class(cast("Sequence[_Node]", argument))
        case "ANY" | "NOT_LITERAL":
            return [" "]  # anything at all is nothing to listen for
        case _:  # anchors, look-arounds, back references: nothing that is said
            return [""]


def _class(members: Sequence[_Node]) -> list[str]:
    """A character class: its letters where they are few, else what it takes."""
    if all(str(operation) == "LITERAL" for operation, _ in members) and len(members) <= 3:
        return [chr(cast("int", argument)) for _, argument in members]
    names = {str(argument) for operation, argument in members if str(operation) in ("CATEGORY", "RANGE")}
    if names and names <= {"CATEGORY_DIGIT", "(48, 57)"}:
        return [_NUMBER]
    return [" "] if names <= {"CATEGORY_SPACE", "CATEGORY_NOT_WORD", "CATEGORY_NOT_DIGIT"} else [_ANY]
