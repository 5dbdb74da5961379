"""When a webhook message is tried again, and when it is given up: facts and the time go in, a verdict comes out.

Pure: no clock, no socket, no store. `delivery.py` makes the attempts and the ledger keeps what is decided here.
Source of the delays: "Standard Webhooks" specification, section "Deliverability and reliability".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Literal

MINUTE, HOUR = 60.0, 3600.0
DELAYS = (0.0, 5.0, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR)
"""Seconds before each try, counted from the one before it."""
JITTER = 0.1
"""A delay is stretched or shortened by up to this part of it, so that messages that failed together part company."""
HOLDS_FOR = 2
"""Tries for which a message holds back the later ones of its call. Then they go past it: `sequence` tells the order,
and a message that its receiver cannot digest does not keep `call.ended` from it for days."""
LONGEST_WAIT = 24 * HOUR
"""A `Retry-After` beyond this is taken as this."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What an attempt brought: a status, or in `error` why there is none."""

    status: int | None = None
    retry_after: str | None = None
    """The header as it came."""
    error: str = ""

    @property
    def ok(self) -> bool:
        """2xx. A redirect is a failure: it would carry a caller's words to where nobody configured them to go."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def summary(self) -> str:
        """For an administrator: `HTTP 503`, `connection refused`."""
        return self.error or f"HTTP {self.status}"


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a message stands in its schedule. Times are wall-clock seconds since 1970."""

    step: int
    """Failed tries so far that counted: the next try is `DELAYS[step]`'s."""
    planned: float
    """When the schedule wants that try. A try before it (at start, after an outage) costs no step when it fails."""
    expires: float
    """When the message is too old to be of use (`max_age`)."""


@dataclass(frozen=True, slots=True)
class Delivered:
    summary: str


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again at `planned`. `not_before` is what the receiver asked for: no start and no recovery goes below it."""

    step: int
    planned: float
    not_before: float
    summary: str


@dataclass(frozen=True, slots=True)
class Dead:
    """Given up: it goes to the dead letters."""

    summary: str


@dataclass(frozen=True, slots=True)
class Gone:
    """410: the receiver wants nothing more. The endpoint is disabled and the message waits for what becomes of it."""

    summary: str


Verdict = Delivered | Retry | Dead | Gone
Outcome = Literal["delivered", "retry", "dead", "gone"]


def judge(progress: Progress, answer: Answer, *, now: float, luck: float) -> Verdict:
    """What becomes of a message after an attempt that ended at `now`. `luck` in [0, 1) places it within the jitter."""
    if answer.ok:
        return Delivered(answer.summary)
    if answer.status == 410:
        return Gone(answer.summary)
    not_before = now + min(parse_retry_after(answer.retry_after, now=now), LONGEST_WAIT)
    if now < progress.planned:
        step, planned = progress.step, progress.planned
    else:
        step = progress.step + 1
        if step >= len(DELAYS):
            return Dead(answer.summary)
        planned = now + DELAYS[step] * (1 + JITTER * (2 * luck - 1))
    planned = max(planned, not_before)
    if planned >= progress.expires:
        return Dead(answer.summary)
    return Retry(step, planned, not_before, answer.summary)


def parse_retry_after(header: str | None, *, now: float) -> float:
    """Seconds that a `Retry-After` header asks for (RFC 9110, section 10.2.3); 0 where it asks for nothing."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), 1e9)
    try:
        return max(0.0, parsedate_to_datetime(text).replace(tzinfo=UTC).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return 0.0
