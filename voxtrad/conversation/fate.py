"""What becomes of a call: whether it rings, goes on, is with others or is over, and what its end means.

Pure: no leg and no sound. Who does what a state demands is `call.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from voxtrad.events.types import Outcome

State = Literal["ringing", "in-progress", "handed-over", "ended"]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call ended: a word for metrics and records, and the reason for a person."""

    outcome: Outcome
    reason: str


class Fate:
    """One call's."""

    def __init__(self) -> None:
        self.state: State = "ringing"
        self.ending: Ending | None = None
        self.led_on = False
        """Whether it is over because its leg was handed back to the dialplan, as was wanted."""
        self._leaving: Ending | None = None
        self._failure: str | None = None

    def begin(self) -> None:
        """The caller is with the agent: answered, or back from others."""
        self.state = "in-progress"

    def others_talk(self) -> None:
        """The caller talks with somebody else."""
        self.state = "handed-over"

    def leads_on(self, reason: str | None, outcome: Outcome = "handed_over") -> None:
        """What it means when the leg is handed back to the dialplan from now on; with None, nothing is expected."""
        self._leaving = Ending(outcome, reason) if reason is not None else None

    def failing(self, reason: str) -> None:
        """The conversation broke: whatever becomes of the caller now, the call has failed."""
        self._failure = reason

    def end(self, outcome: Outcome, reason: str, state: State = "ended") -> bool:
        """The call is over. The first reason counts: False where it was over already."""
        if self.ending is not None:
            return False
        if self._leaving is not None and outcome == "handed_over":
            outcome, reason, state = self._leaving.outcome, self._leaving.reason, "handed-over"
            self.led_on = True
        if self.state == "handed-over" and outcome == "caller_hangup":
            outcome = "transferred"
        if self._failure is not None and outcome != "caller_hangup":
            outcome, reason = "failed", f"{self._failure}; {reason}" if reason != self._failure else reason
        self.ending = Ending(outcome, reason)
        self.state = state
        return True
