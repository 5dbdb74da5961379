"""Opening hours: `Mon-Fri 09:00-17:30 Europe/London`, read once and asked for any moment.

Times are those of the wall clock in the named zone, so that opening hours stay the same through daylight saving.
A span that ends before it begins runs over midnight and belongs to the day it began on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

from voxtrad.config.diagnostics import did_you_mean

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAY = 24 * 60
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

    def covers(self, other: OpeningHours) -> bool:
        """Whether every moment of the other hours lies within these, as far as one zone and one span tell."""
        over_midnight = self.start >= self.end
        return (
            self.zone == other.zone
            and self.days >= other.days
            and over_midnight == (other.start >= other.end)
            and self.start <= other.start
            and self.end >= other.end
        )


class HoursError(ValueError):
    """What was written is not hours; `problems` say each thing that is wrong with it."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


def parse_hours(text: str) -> OpeningHours:
    """Reads `DAYS HH:MM-HH:MM ZONE`; days as in `Mon-Fri`, `Sat,Sun` or `daily`. Raises `HoursError`."""
    parts = text.split()
    if len(parts) < 3:
        raise HoursError(["write days, times and the time zone, like 'Mon-Fri 09:00-17:30 Europe/London'"])
    zone, problems = parts[-1], list[str]()
    days = _days(parts[0], problems)
    start, end = _span(" ".join(parts[1:-1]), problems)
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, LookupError):
        meant = did_you_mean(zone, available_timezones())
        problems.append(f"'{zone}' is not a time zone; write one like {meant or 'Europe/London'}")
    if problems:
        raise HoursError(problems)
    return OpeningHours(text=text, days=days, start=start, end=end, zone=zone)


def _span(text: str, problems: list[str]) -> tuple[int, int]:
    span = _SPAN.fullmatch(text)
    if span is None:
        problems.append("write the times like 09:00-17:30, and the time zone after them")
        return 0, 0
    before = len(problems)
    start, end = _minutes(span[1], span[2], problems), _minutes(span[3], span[4], problems)
    if len(problems) == before and start in (end, _DAY):
        problems.append("the times hold no minute; all day is 00:00-24:00")
    return start, end


def _minutes(hours: str, minutes: str, problems: list[str]) -> int:
    total = int(hours) * 60 + int(minutes)
    if int(minutes) > 59 or total > _DAY:
        problems.append(f"'{hours}:{minutes}' is not a time of day")
    return total


def _days(text: str, problems: list[str]) -> frozenset[int]:
    if text.lower() == "daily":
        return frozenset(range(7))
    days: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        begin = _day(first, problems)
        end = _day(last, problems) if dash else begin
        days.update((begin + step) % 7 for step in range((end - begin) % 7 + 1))
    return frozenset(days)


def _day(text: str, problems: list[str]) -> int:
    """Monday is 0; its name may be cut to three letters or more."""
    if len(text) >= 3:
        for number, name in enumerate(_DAYS):
            if name.startswith(text.lower()):
                return number
    problems.append(f"'{text}' is not a day; write Mon, Tue, Wed, Thu, Fri, Sat, Sun or daily")
    return 0
