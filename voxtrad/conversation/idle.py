"""Silence of the caller: when to ask whether somebody is still there, and when to give up."""

from __future__ import annotations

from collections.abc import Callable, Sequence


class IdleMonitor:
    """Counts the silences in a row. Setting `suspended` holds it, as while people talk to each other.

    `waiting` tells whether it is the caller who waits: for what a tool is to bring.
    """

    def __init__(
        self,
        prompts: Sequence[str],
        most: int,
        clock: Callable[[], float],
        waiting: Callable[[], bool] = lambda: False,
    ) -> None:
        self._prompts = prompts
        self._most = most
        self._clock = clock
        self._waiting = waiting
        self._nudges = 0
        self._held_until = 0.0
        self._suspended = False

    @property
    def suspended(self) -> bool:
        """Nobody is asked whether they are still there."""
        return self._suspended or self._waiting() or self._clock() < self._held_until

    @suspended.setter
    def suspended(self, value: bool) -> None:
        self._suspended = value

    def hold(self, seconds: float) -> None:
        """Suspend for so long, or until the caller is heard."""
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
