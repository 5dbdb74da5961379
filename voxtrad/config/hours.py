"""Opening hours: `Mon-Fri 09:00-17:30 Europe/London`, read once and asked for any moment.

Times are those of the wall clock in the named zone, so that opening hours stay the same through daylight saving.
A span that ends before it begins runs over midnight and belongs to the day it began on.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SPAN = re.compile(r"(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})", re.ASCII)


@dataclass(frozen=True, slots=True)
class OpeningHours:
    """One span of minutes on certain days of the week, in one time zone."""

    text: str
    days: frozenset[int]
    """Monday is 0."""
    start: int
    """Minutes since midnight."""
    end: int
    """Minutes since midnight, up to 1440; at or before `start` it is the next day's."""
    zone: str

    @property
    def timezone(self) -> ZoneInfo:
        return ZoneInfo(self.zone)

    def contains(self, moment: datetime) -> bool:
        """Whether an aware moment lies within the hours."""
        local = moment.astimezone(self.timezone)
        minute = local.hour * 60 + local.minute
        today, yesterday = local.weekday(), (local - timedelta(days=1)).weekday()
        if self.start < self.end:
            return today in self.days and self.start <= minute < self.end
        return (today in self.days and minute >= self.start) or (yesterday in self.days and minute < self.end)


def parse_hours(text: str) -> OpeningHours:
    """Reads `DAYS HH:MM-HH:MM ZONE`; days as in `Mon-Fri`, `Sat,Sun` or `daily`. Raises `ValueError` saying why."""
    parts = text.split()
    if len(parts) < 3:
        raise ValueError("write days, times and the time zone, like 'Mon-Fri 09:00-17:30 Europe/London'")
    zone = parts[-1]
    days = _days(parts[0])
    span = _SPAN.fullmatch(" ".join(parts[1:-1]))
    if span is None:
        raise ValueError("write the times like 09:00-17:30, and the time zone after them")
    start, end = _minutes(span[1], span[2]), _minutes(span[3], span[4])
    if start == end or start == 1440:
        raise ValueError("the times hold no minute; all day is 00:00-24:00")
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, LookupError):
        raise ValueError(f"'{zone}' is not a time zone; write one like Europe/London") from None
    return OpeningHours(text=text, days=days, start=start, end=end, zone=zone)


def _minutes(hours: str, minutes: str) -> int:
    total = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or total > 1440:
        raise ValueError(f"'{hours}:{minutes}' is not a time of day")
    return total


def _days(text: str) -> frozenset[int]:
    if text.lower() == "daily":
        return frozenset(range(7))
    days: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        begin = _day(first)
        end = _day(last) if dash else begin
        days.update((begin + step) % 7 for step in range((end - begin) % 7 + 1))
    return frozenset(days)


def _day(text: str) -> int:
    try:
        return _DAYS.index(text[:3].lower())
    except ValueError:
        raise ValueError(f"'{text}' is not a day; write Mon, Tue, Wed, Thu, Fri, Sat, Sun or daily") from None
