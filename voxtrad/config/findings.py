"""What a check finds: something wrong at a path of the configuration. Where that stands in a file is told elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from voxtrad.config.diagnostics import Loc, Severity, did_you_mean


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong at a path of the configuration."""

    loc: Loc
    message: str
    suggestion: str | None = None
    hint: str | None = None
    severity: Severity = "error"
    line: int = 0
    """The line of the text, from 1, and `part`, what to point at there; 0 is all of it."""
    part: str = ""
    at_key: bool = False
    """It is about the key, not the value."""
    among: str | None = None
    """The section in whose names it looked: when all of that is broken, there is no telling."""
    needs: tuple[Loc, ...] = ()
    """What else it looked at: when that is broken, there is no telling."""


AS_A_LIST = "several are written as a list: [{}]"
"""What to say of a text with commas in it."""


def unknown(loc: Loc, what: str, name: str, known: Iterable[str]) -> Finding:
    """A name that refers to nothing, with those that were likely meant."""
    known = list(known)
    if "," in name:
        return Finding(loc, f"unknown {what} '{name}'", hint=AS_A_LIST.format(name), among=f"{what}s")
    suggestion = did_you_mean(name, known)
    hint = f"there are: {', '.join(known)}" if suggestion is None and 0 < len(known) <= 12 else None
    hint = hint or (f"there are none: add one under {what}s:" if not known else None)
    return Finding(loc, f"unknown {what} '{name}'", suggestion, hint, among=f"{what}s")
