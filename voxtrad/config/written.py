"""YAML scalars as they were written: what the reader hands over, and what an unquoted one stands for.

A value remembers how it was written, so that `600` can be text, and in which folder, so that a path can count from it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    JSON = None | bool | int | float | str | Sequence["JSON"] | Mapping[str, "JSON"]
else:
    JSON = object  # pydantic would unroll the endless type; what is a JSON value is the reader's business


class WrittenText(str):
    """Text from a YAML file that remembers its folder and, when `${…}` was replaced in it, what was written there."""

    folder: Path | None = None
    written: str | None = None
    """The text before `${…}` was replaced; `None` where nothing was."""


class WrittenInt(int):
    """An integer that remembers how it was written, for where text is expected."""

    written: str

    def __str__(self) -> str:
        return self.written


class WrittenFloat(float):
    """A decimal number that remembers how it was written, for where text is expected."""

    written: str

    def __str__(self) -> str:
        return self.written


def read_plain(text: str) -> WrittenText | WrittenInt | WrittenFloat | bool | None:
    """What an unquoted YAML scalar stands for: `null`, `true`/`false`, a decimal number, or text.

    `+44`, `012`, `1_000`, `0x1F`, dates and times stay text, as do numbers too large to be meant as numbers.
    """
    if text in ("", "null", "~"):
        return None
    if text in ("true", "false"):
        return text == "true"
    if len(text) <= 18 and _INTEGER.fullmatch(text):
        integer = WrittenInt(text)
        integer.written = text
        return integer
    if len(text) <= 24 and _DECIMAL.fullmatch(text) and abs(float(text)) < 1e15:
        decimal = WrittenFloat(text)
        decimal.written = text
        return decimal
    return WrittenText(text)


def plain(value: object) -> JSON:
    """The same value without its memory of the file: dict, list, str, int, float, bool, None."""
    match value:
        case Mapping():
            return {str(k): plain(v) for k, v in value.items()}
        case list() | tuple():
            return [plain(v) for v in value]
        case None | bool():
            return value
        case int():
            return int(value)
        case float():
            return float(value)
        case _:
            return str.__str__(value) if isinstance(value, str) else str(value)


_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)", re.ASCII)
_DECIMAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?", re.ASCII)
