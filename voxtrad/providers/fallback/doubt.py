"""Whether a recogniser that says nothing is to be doubted. Pure: the time goes in.

The rules: once the caller has stopped, a final transcript is to come within half as long again as is usual for the
recogniser, and at least a second; a partial one wins it that time again, and a caller who says more ("Hello?") does
not. One without another has twice that time: to ask the same one again is work for one that may only be slow. One that
ends turns itself is to end the turn instead. In the middle of one it has the silence that it declares on top, alone or
not, for it has shown that it is not slow; and as long as it has heard no words any sign of life is an answer, for to it
there is no turn.

Where nothing comes it is doubted, and somebody else is asked. If they hear no words either there were none, and the
recogniser is believed for five seconds, each time twice as long up to a minute, until it is heard with words again: a
noisy line must not cost a connection for every noise. The first time that they say nothing at all, that they cannot
hear either is as likely, and it is not believed for it.
"""

from __future__ import annotations

from math import inf

LEAST_PATIENCE = 1.0
SHORTEST = 0.5
"""Seconds of audio since the last transcript in which there may be a word."""
FIRST_TRUST = 5.0
LONGEST_TRUST = 60.0


class Doubt:
    """What is thought of one recogniser. `ends_turns`: it tells ends of turns itself, after up to `turn_silence`
    seconds without a word; `alone`: there is no other.
    """

    def __init__(self, *, final_delay: float, ends_turns: bool, turn_silence: float = 0.0, alone: bool = False) -> None:
        patience = max(LEAST_PATIENCE, 1.5 * final_delay)
        self._patience = patience * (2 if alone else 1)
        self._patience_in_turn = patience + turn_silence
        self._ends_turns = ends_turns
        self._in_turn = False
        """It has told words whose turn has not ended."""
        self._wordless = 0
        self._trusted_until = -inf
        self.due: float | None = None
        """When it is to be doubted, if nothing comes; None while nothing is awaited."""

    def asked(self, now: float, *, seconds: float) -> None:
        """The caller has stopped, after so many seconds of audio since the last transcript."""
        if seconds >= SHORTEST and not self.trusts(now):
            self.due = min(now + self.patience, inf if self.due is None else self.due)

    def heard(self, now: float, *, words: bool, final: bool) -> None:
        """It has said something; `final` ends the utterance or the turn."""
        self._in_turn = (self._in_turn or words) and not final
        if final or (self._ends_turns and not self._in_turn):
            self.due = None
        elif self.due is not None:
            self.due = now + self.patience
        if words:
            self._wordless, self._trusted_until = 0, -inf

    def doubted(self) -> None:
        """Somebody else has been asked."""
        self.due = None

    def unfounded(self, now: float, *, mute: bool = False) -> None:
        """Nobody else heard any words; `mute`: nor said so."""
        if self._wordless or not mute:
            self._trusted_until = now + min(LONGEST_TRUST, FIRST_TRUST * 2.0 ** min(self._wordless, 10))
        self._wordless += 1

    def trusts(self, now: float) -> bool:
        """Whether it is believed, whatever it does not say."""
        return now < self._trusted_until

    @property
    def patience(self) -> float:
        """Seconds in which something is to come."""
        return self._patience_in_turn if self._ends_turns and self._in_turn else self._patience
