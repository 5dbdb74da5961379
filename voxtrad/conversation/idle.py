"""When waiting has an end: for a caller who says nothing, and in a session that nobody is in any more.

Pure: it is told what happens, and asked what follows. `dialogue.py` asks about silences, `session.py` about the rest.

A session's participant is the party whose call it is: the caller, or whom we called, on whatever carries them (the test
phone is one, a console that watches or listens is none). Whoever was dialled for them is hung up when they leave.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from math import inf

FAREWELL = 5.0
"""Seconds that a dialogue has to end by itself after the call is over."""
EMPTY = 30.0
"""Seconds after which a session without a participant ends, whatever is still under way in it."""


class IdleMonitor:
    """One call's. Setting `suspended` holds it: nobody is asked whether they are still there, and the session goes on
    when its participant has left. A handover suspends it by itself while it lasts.

    `waiting` tells whether it is the caller who waits: for what a tool is to bring.
    """

    def __init__(
        self,
        prompts: Sequence[str],
        most: int,
        clock: Callable[[], float],
        waiting: Callable[[], bool] = lambda: False,
    ) -> None:
        self.on_change: Callable[[], None] = lambda: None
        """Called when `left_of` may have another answer."""
        self.on_hold = False
        """The caller has put the agent on hold, and does not hear it."""
        self._prompts = prompts
        self._most = most
        self._clock = clock
        self._waiting = waiting
        self._nudges = 0
        self._held_until = 0.0
        self._suspended = False
        self._handovers = 0
        self._alone = self._dismissed = False
        self._since = inf
        """When the call was over, or a hold after it."""

    @property
    def suspended(self) -> bool:
        """Whether it is held."""
        return self._suspended or self._handovers > 0

    @suspended.setter
    def suspended(self, value: bool) -> None:
        if self._holds and not value:
            self._since = self._clock()
        self._suspended = value
        self.on_change()

    @contextlib.contextmanager
    def handing_over(self) -> Iterator[None]:
        """The caller is on the way to others meanwhile, or with them."""
        self._handovers += 1
        try:
            yield
        finally:
            self._handovers -= 1

    # --- a caller who is silent ---------------------------------------------------------------------------------------

    @property
    def patient(self) -> bool:
        """A silence means nothing: nobody is asked whether they are still there."""
        return self.suspended or self.on_hold or self._waiting() or self._clock() < self._held_until

    def hold(self, seconds: float) -> None:
        """Be patient for so long, or until the caller is heard."""
        self._held_until = self._clock() + seconds

    def silent(self) -> str | None:
        """Nobody has spoken for the agreed time: what to say now, or None when it was asked often enough."""
        if self._nudges >= self._most or not self._prompts:
            return None
        prompt = self._prompts[min(self._nudges, len(self._prompts) - 1)]
        self._nudges += 1
        return prompt

    def heard(self) -> None:
        """The caller is there."""
        self._nudges = 0
        self._held_until = 0.0

    # --- a session without a participant ------------------------------------------------------------------------------

    def over(self) -> None:
        """The call is over, whoever ended it: what is under way in it is to end."""
        self._since = self._clock()
        self.on_change()

    def left(self) -> None:
        """Its participant has hung up, or was led elsewhere: nobody hears that the session goes on."""
        self._alone = True
        self.on_change()

    def dismiss(self) -> None:
        """The house wants it to end (an administrator, a server that stops, `max_duration`): nothing holds it."""
        if self._holds:
            self._since = self._clock()
        self._dismissed = True
        self.on_change()

    def left_of(self, seconds: float) -> float:
        """How many of so many seconds after the call's end remain: infinitely many while it is not over, or held."""
        return inf if self._holds else self._since + seconds - self._clock()

    @property
    def _holds(self) -> bool:
        """A handler wants the session to go on. A handover that was cut off does not: it ends with the call."""
        return self._alone and self._suspended and not self._dismissed
