"""Numbers of one call that nobody may keep, and how they are taken out of what is told of it, wherever they turn up.

A caller has keyed them in, and a tool's answer may hold them, or the agent's own words. Pure, but for the numbers,
which live as long as the call. What an agent's `privacy` hides besides is `privacy.py`'s.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import TypeVar

from voxtrad.events.types import JSON, Event
from voxtrad.ledger.privacy import HARMLESS

HIDDEN = "[sensitive]"
LEAST = 3
"""Digits: shorter numbers stand in every second sentence, and tell nobody anything."""

_APART = r"(?:[\s\u2010-\u2015-]|[,.]\s)?"
"""Between two digits. No comma or point alone: `1.20` is an amount, and not 120."""

EventT = TypeVar("EventT", bound=Event)


class Sensitive:
    """A number is found as itself, not within a longer one; digits may stand apart (`4111 1111`, `4111-1111`), or be
    told one by one (`4, 7, 1, 1`), as a model writes what is to be spoken."""

    __slots__ = ("_found", "_keys", "_numbers")

    def __init__(self) -> None:
        self._keys: frozenset[str] = frozenset()
        self._numbers: frozenset[int] = frozenset()
        self._found: re.Pattern[str] | None = None

    def add(self, keys: str) -> None:
        """Hide this number from now on."""
        if sum(key.isdigit() for key in keys) < LEAST or keys in self._keys:
            return
        self._keys |= {keys}
        self._numbers = frozenset(int(known) for known in self._keys if known.isdecimal())
        spelled = (_APART.join(map(re.escape, known)) for known in sorted(self._keys, key=len, reverse=True))
        self._found = re.compile(rf"(?<!\d)(?:{'|'.join(spelled)})(?!\d)")

    def without(self, event: EventT) -> EventT:
        """The event as it may be told."""
        if self._found is None:
            return event
        changes = {
            field.name: self.value(found)
            for field in fields(event)
            if field.name not in HARMLESS
            and (isinstance(found := getattr(event, field.name), str | Mapping | Sequence) or field.name == "result")
        }
        return replace(event, **changes)  # type: ignore[arg-type]  # the names are the event's own, the types are kept

    def value(self, value: JSON) -> JSON:
        """Text, or JSON that may hold such a number, as text or as a number."""
        match value:
            case str():
                return self.text(value)
            case bool() | float() | None:
                return value
            case int():
                return HIDDEN if value in self._numbers else value
            case Mapping():
                return {self.text(key): self.value(item) for key, item in value.items()}
            case _:
                return [self.value(item) for item in value]

    def text(self, text: str) -> str:
        return self._found.sub(HIDDEN, text) if self._found is not None else text
