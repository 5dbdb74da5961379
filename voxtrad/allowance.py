"""Which numbers may be called, and how many calls may be made: what bounds the cost of a stolen token.

Pure: facts, the limits and the time go in, a decision comes out. Who makes the calls is `outgoing.py`.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from voxtrad.config.models import OutboundLimits
from voxtrad.config.numbers import canonical, number_matches
from voxtrad.errors import VoxtradError

MINUTE, DAY = 60.0, 86400.0
_NUMBER = re.compile(r"\+[0-9]{3,15}|[0-9]{1,15}")


class NotAllowed(VoxtradError):
    """The number is none, or not one of those that may be called."""


class LimitReached(VoxtradError):
    """No more calls may be made now. `again` is in how many seconds one may be."""

    def __init__(self, which: Literal["per_minute", "concurrent", "per_day"], message: str, again: float) -> None:
        super().__init__(message)
        self.which = which
        self.again = again


def allowed_number(written: str, allow: Sequence[str], country: str | None) -> str:
    """The number to dial, in E.164 where it is one of the public network. Raises `NotAllowed`.

    Feature codes (`*72…`) are no numbers. What is compared with the prefixes is what is dialled.
    """
    number = canonical(written, country)
    if _NUMBER.fullmatch(number) is None:
        raise NotAllowed("this is no telephone number")
    if not any(prefix == "*" or number_matches(f"{prefix}*", number, country) for prefix in allow):
        raise NotAllowed("no prefix in outbound.allow allows this number")
    return number


@dataclass(frozen=True, slots=True)
class Taken:
    """A call that counts."""

    now: float
    date: float


class Allowance:
    """Counts the calls that were made. `now` is in seconds of a clock that only goes forward, `date` in those since
    1970: a day outlives the process."""

    def __init__(self, made: Iterable[float] = ()) -> None:
        """`made` are the dates of the last day's calls."""
        self._minute: deque[float] = deque()
        self._day = deque(sorted(made))

    def take(self, limits: OutboundLimits, *, live: int, now: float, date: float) -> Taken:
        """Count a call while `live` others go on. Raises `LimitReached`."""
        while self._minute and self._minute[0] <= now - MINUTE:
            self._minute.popleft()
        while self._day and self._day[0] <= date - DAY:
            self._day.popleft()
        if len(self._day) >= limits.per_day:
            # The one that must become a day old first.
            again = self._day[len(self._day) - limits.per_day] + DAY - date
            raise LimitReached("per_day", f"{limits.per_day} calls were made in a day (outbound.limits)", again)
        if len(self._minute) >= limits.per_minute:
            again = self._minute[len(self._minute) - limits.per_minute] + MINUTE - now
            raise LimitReached(
                "per_minute", f"{limits.per_minute} calls were made in a minute (outbound.limits)", again
            )
        if live >= limits.concurrent:
            raise LimitReached("concurrent", f"{live} calls are being made or go on (outbound.limits)", 5.0)
        self._minute.append(now)
        self._day.append(date)
        return Taken(now, date)

    def give_back(self, taken: Taken) -> None:
        """That call was not made after all."""
        for kept, value in ((self._minute, taken.now), (self._day, taken.date)):
            if value in kept:
                kept.remove(value)
