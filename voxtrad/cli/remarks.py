"""What `check --online` and `doctor` have tried, as lines for people or for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable

from voxtrad.cli.common import wants_color
from voxtrad.remarks import Remark

_MARKS = {"ok": ("\x1b[32m", "✓"), "warning": ("\x1b[33m", "!"), "error": ("\x1b[31m", "✗")}


class Told:
    """Keeps remarks, and prints each as it comes where it is for people."""

    def __init__(self, *, printing: bool, only_ok: bool = False) -> None:
        """`only_ok` leaves what is not to be printed otherwise."""
        self.remarks: list[Remark] = []
        self._only_ok = only_ok
        self._printing = printing
        self._color = wants_color(sys.stdout)

    def __call__(self, remark: Remark) -> None:
        self.remarks.append(remark)
        if self._printing and (remark.level == "ok" or not self._only_ok):
            print(self._line(remark), flush=True)

    def title(self, text: str) -> None:
        if self._printing:
            print(f"\x1b[1m{text}\x1b[0m" if self._color else text, flush=True)

    @property
    def failed(self) -> bool:
        return any(remark.level == "error" for remark in self.remarks)

    def _line(self, remark: Remark) -> str:
        color, mark = _MARKS[remark.level]
        shown = f"{color}{mark}\x1b[0m" if self._color else mark
        hint = f"\n      = {remark.hint}" if remark.hint else ""
        return f"  {shown} {remark.path}: {remark.text}{hint}"


def as_json(remarks: Iterable[Remark]) -> str:
    """A list of objects with level, path, text and hint."""
    records = [{"level": r.level, "path": r.path, "text": r.text, "hint": r.hint} for r in remarks]
    return json.dumps(records, indent=2, ensure_ascii=False)
