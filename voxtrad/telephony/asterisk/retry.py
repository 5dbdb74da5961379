"""When to try again: after a lost connection, and after another client took the application. Pure."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Delays that double from `first` to `at_most`, each shortened by up to half so that servers keep out of step."""

    def __init__(self, first: float, at_most: float, chance: Callable[[], float] = random.random) -> None:
        self._first = first
        self._at_most = at_most
        self._chance = chance
        self._attempts = 0

    def next(self) -> float:
        """Seconds to wait before the next attempt."""
        delay = min(self._at_most, self._first * 2.0 ** min(self._attempts, 60))
        self._attempts += 1
        return float(delay * (1.0 - 0.5 * self._chance()))

    def reset(self) -> None:
        self._attempts = 0


class TakeBack:
    """When to take the application back from another client.

    Asterisk gives an application to whoever subscribed last. The usual cause is a second server by mistake, or a tool
    that somebody opened for a minute. So it is taken back, but two servers must not fight in a tight loop: the delay
    starts at `first`, doubles each time the application is lost again, up to twelve times `first`, and begins anew only
    after it was held for `settled` seconds. With the default of 5 s that is at most 12 times in the first minute and
    once a minute in the end.
    """

    def __init__(self, first: float, settled: float = 600.0) -> None:
        self._first = first
        self._settled = settled
        self._losses = 0

    def next(self, held: float) -> float:
        """Seconds to wait, after the application was held for `held` seconds."""
        if held >= self._settled:
            self._losses = 0
        delay = min(self._first * 12.0, self._first * 2.0 ** min(self._losses, 60))
        self._losses += 1
        return float(delay)
