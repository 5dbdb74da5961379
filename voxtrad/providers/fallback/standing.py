"""Which of several providers is asked next, and how long one that failed sits out. Pure: the time goes in.

The rules: the order of the configuration, without those who sit out; these after the others, as a last resort, the one
that has sat longest first. A failure costs 10 s, doubled each time up to five minutes (or what the vendor asks for); a
refused key costs for good, until the configuration is loaded again; a refused request costs nothing, for it is the
request's fault and not the provider's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from voxtrad.providers.base import BadKey, BadRequest, ProviderError, QuotaExceeded, RateLimited

FIRST_BENCH = 10.0
LONGEST_BENCH = 300.0


@dataclass(slots=True)
class _Seat:
    failures: int = 0
    until: float = -math.inf
    benched: bool = False


class Standing:
    """How the providers of a list stand, by their position in it."""

    def __init__(self, count: int) -> None:
        self._seats = [_Seat() for _ in range(count)]

    def order(self, now: float) -> list[int]:
        """Everybody, in the order in which they are to be tried."""
        fit = [index for index, seat in enumerate(self._seats) if not seat.benched or seat.until <= now]
        out = [index for index in range(len(self._seats)) if index not in fit]
        return [*fit, *sorted(out, key=lambda index: self._seats[index].until)]

    def worked(self, index: int) -> None:
        """It answered: forgotten is what was."""
        self._seats[index] = _Seat()

    def failed(self, index: int, error: ProviderError, now: float) -> None:
        """It failed with this error."""
        if isinstance(error, BadRequest):
            return
        seat = self._seats[index]
        seat.failures += 1
        seat.benched = True
        if isinstance(error, BadKey):
            seat.until = math.inf
        elif isinstance(error, QuotaExceeded):
            seat.until = now + LONGEST_BENCH
        else:
            asked = error.retry_after if isinstance(error, RateLimited) and error.retry_after else 0.0
            own = min(LONGEST_BENCH, FIRST_BENCH * 2.0 ** min(seat.failures - 1, 10))
            seat.until = now + max(own, min(asked, LONGEST_BENCH))

    def next_probe(self) -> tuple[int, float] | None:
        """Who is to be tried again first of those who sit out, and when; None where nobody is."""
        out = [(seat.until, index) for index, seat in enumerate(self._seats) if seat.benched and seat.until < math.inf]
        if not out:
            return None
        until, index = min(out)
        return index, until
