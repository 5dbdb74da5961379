"""What is wrong with a configuration and where, and how that is shown: as text, JSON or GitHub annotations.

A diagnostic is complete when it leaves this room: its excerpt shows the line with a caret and never a secret.
"""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from voxtrad.errors import VoxtradError

Severity = Literal["error", "warning"]
Loc = tuple[str | int, ...]
"""A path in the configuration: keys and indices."""


@dataclass(frozen=True, slots=True)
class Place:
    """A stretch of a line in a file; line and column count from 1."""

    file: Path
    line: int
    column: int
    width: int = 1

    def __str__(self) -> str:
        return f"{shown_path(self.file)}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing that is wrong, or (a warning) likely not meant."""

    message: str
    place: Place | None = None
    path: str = ""
    """Where in the configuration: `agents.support.tools[2]`."""
    suggestion: str | None = None
    """What was probably meant."""
    hint: str | None = None
    """What to do about it."""
    severity: Severity = "error"
    excerpt: str | None = None
    """The line with its number, and a caret below."""

    @property
    def text(self) -> str:
        """The message with the suggestion."""
        return self.message if self.suggestion is None else f"{self.message} (did you mean '{self.suggestion}'?)"

    def __str__(self) -> str:
        parts = [str(self.place) if self.place else "", self.path, self.text]
        return ": ".join(part for part in parts if part)


class ConfigError(VoxtradError):
    """The configuration is not valid; `diagnostics` say all that is wrong with it, `files` which files took part and
    `patterns` which include patterns, so that what is to be mended can be watched."""

    def __init__(
        self, diagnostics: Sequence[Diagnostic], files: Iterable[Path] = (), patterns: Iterable[Path] = ()
    ) -> None:
        self.diagnostics = tuple(diagnostics)
        self.files = frozenset(files)
        self.patterns = frozenset(patterns)
        errors = [d for d in self.diagnostics if d.severity == "error"]
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        super().__init__(f"{errors[0] if errors else 'invalid'}{more}", hint="voxtrad check shows them all")


def shown_path(file: Path) -> str:
    """A file as a person in the working directory would name it."""
    straight = Path(os.path.normpath(file))
    try:
        return str(straight.relative_to(Path.cwd()))
    except ValueError:
        return str(straight)


def show_loc(loc: Iterable[str | int]) -> str:
    """`agents.support.tools[2]`; keys that are no plain words stand in quotes."""
    shown = ""
    for part in loc:
        if isinstance(part, int):
            shown += f"[{part}]"
        else:
            key = part if part.replace("_", "").replace("-", "").isalnum() else json.dumps(part, ensure_ascii=False)
            shown += f".{key}" if shown else key
    return shown


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """The known word that is most like this one, if any is."""
    candidates = list(known)
    lowered = {candidate.lower(): candidate for candidate in candidates}
    matches = difflib.get_close_matches(word.lower()[:80], list(lowered), n=1, cutoff=0.6)
    return lowered[matches[0]] if matches else None


def excerpt(line: str, number: int, start: int, width: int) -> str:
    """The line with its number and carets below a stretch of it (from 0); a long line is cut around that."""
    shown = "".join(character if character.isprintable() else " " for character in line)
    offset = max(0, start - 60) if len(shown) > 110 else 0
    piece = shown[offset : offset + 110]
    if offset:
        piece = "…" + piece[1:]
    if len(shown) > offset + 110:
        piece = piece[:-1] + "…"
    caret = "^" * max(1, min(width, len(piece) - (start - offset)))
    gutter = f"{number:5} | "
    return f"{gutter}{piece.rstrip()}\n{' ' * (len(gutter) - 2)}| {' ' * (start - offset)}{caret}"


# --- formats ----------------------------------------------------------------------------------------------------------


def as_text(diagnostics: Sequence[Diagnostic], *, color: bool = False) -> str:
    """One paragraph a diagnostic."""
    return "\n".join(_paragraph(d, color) for d in diagnostics)


def as_json(diagnostics: Sequence[Diagnostic]) -> str:
    """A list of objects with severity, file, line, column, path, message, suggestion and hint."""
    return json.dumps([_record(d) for d in diagnostics], indent=2, ensure_ascii=False)


def as_github(diagnostics: Sequence[Diagnostic]) -> str:
    """Workflow commands that GitHub shows beside the changed lines."""
    return "\n".join(_command(d) for d in diagnostics)


def _paragraph(diagnostic: Diagnostic, color: bool) -> str:
    bold, red, yellow, dim, off = ("\x1b[1m", "\x1b[31m", "\x1b[33m", "\x1b[2m", "\x1b[0m") if color else [""] * 5
    tone = red if diagnostic.severity == "error" else yellow
    place = f"{bold}{diagnostic.place}:{off} " if diagnostic.place else ""
    path = f"{diagnostic.path}: " if diagnostic.path else ""
    warning = "warning: " if diagnostic.severity == "warning" else ""
    lines = [f"{place}{path}{tone}{warning}{diagnostic.text}{off}"]
    if diagnostic.excerpt:
        lines.append(f"{dim}{diagnostic.excerpt}{off}")
    if diagnostic.hint:
        lines.append(f"      = {diagnostic.hint}")
    return "\n".join(lines)


def _record(diagnostic: Diagnostic) -> dict[str, object]:
    place = diagnostic.place
    return {
        "severity": diagnostic.severity,
        "file": shown_path(place.file) if place else None,
        "line": place.line if place else None,
        "column": place.column if place else None,
        "path": diagnostic.path,
        "message": diagnostic.message,
        "suggestion": diagnostic.suggestion,
        "hint": diagnostic.hint,
    }


def _command(diagnostic: Diagnostic) -> str:
    place = diagnostic.place
    properties = {"title": "voxtrad"}
    if place:
        properties = {
            "file": shown_path(place.file),
            "line": str(place.line),
            "col": str(place.column),
            "endColumn": str(place.column + place.width),
            **properties,
        }
    shown = ",".join(f"{key}={_escaped(value, ',:')}" for key, value in properties.items())
    path = f"{diagnostic.path}: " if diagnostic.path else ""
    hint = f"\n{diagnostic.hint}" if diagnostic.hint else ""
    return f"::{diagnostic.severity} {shown}::{_escaped(path + diagnostic.text + hint)}"


def _escaped(text: str, more: str = "") -> str:
    for character in "%\r\n" + more:
        text = text.replace(character, f"%{ord(character):02X}")
    return text
