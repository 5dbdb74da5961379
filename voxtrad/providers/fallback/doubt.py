"""Whether a recogniser that says nothing is to be doubted. Pure: the time goes in.

The rules: once the caller has stopped, something is to come within half as long again as is usual for the recogniser,
and at least a second: a final transcript, or anything at all of one that ends turns itself, unless it came before. A
partial one wins it that time again. One without another has twice that time: to ask the same one again is work for one
that may only be slow. Where nothing comes it is doubted, and somebody else is asked. If they hear no
words either there were none, and the recogniser is believed for five seconds, each time twice as long up to a minute,
until it is heard with words again: a noisy line must not cost a connection for every noise.
"""

from __future__ import annotations

from math import inf

LEAST_PATIENCE = 1.0
SHORTEST = 0.5
"""Seconds of audio since the last transcript in which there may be a word."""
FIRST_TRUST = 5.0
LONGEST_TRUST = 60.0


class Doubt:
    """What is thought of one recogniser. `ends_turns`: it tells ends of turns itself; `alone`: there is no other."""

    def __init__(self, *, final_delay: float, ends_turns: bool, alone: bool = False) -> None:
        self._patience = max(LEAST_PATIENCE, 1.5 * final_delay) * (2 if alone else 1)
        self._ends_turns = ends_turns
        self._alive = False
        self._wordless = 0
        self._trusted_until = -inf
        self.due: float | None = None
        """When it is to be doubted, if nothing comes; None while nothing is awaited."""

    def asked(self, now: float, *, seconds: float) -> None:
        """The caller has stopped, after so many seconds of audio since the last transcript."""
        if seconds >= SHORTEST and now >= self._trusted_until and not (self._ends_turns and self._alive):
            self.due = now + self._patience

    def heard(self, now: float, *, words: bool, final: bool) -> None:
        """It has said something; `final` ends the utterance or the turn."""
        self._alive = not final
        if final or self._ends_turns:
            self.due = None
        elif self.due is not None:
            self.due = now + self._patience
        if words:
            self._wordless, self._trusted_until = 0, -inf

    def doubted(self) -> None:
        """Somebody else has been asked."""
        self.due = None

    def unfounded(self, now: float) -> None:
        """Nobody else heard any words."""
        self._trusted_until = now + min(LONGEST_TRUST, FIRST_TRUST * 2.0 ** min(self._wordless, 10))
        self._wordless += 1
