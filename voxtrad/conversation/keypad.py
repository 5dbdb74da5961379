"""The caller's keys: digits that a tool collects are no turn of the conversation, and nobody is told sensitive ones."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SURPLUS = 3.0
"""Seconds after the last key of a number in which one more still belongs to it: the terminator, a key too many."""
REST = 15.0
"""The same for a sensitive number that was not finished in time: what a slow caller still keys in of it is no less
secret, until they are asked for it again."""


class KeyPad:
    """Takes keys until `length` of them came or the `terminator`, which does not count as one."""

    def __init__(self, length: int, terminator: str, *, sensitive: bool) -> None:
        self.digits = ""
        self.sensitive = sensitive
        self._length = length
        self._terminator = terminator
        self._complete = False
        self._pressed = asyncio.Event()
        self._surplus_until = 0.0
        self._said_until = 0.0

    def press(self, digit: str) -> None:
        if digit == self._terminator:
            self._complete = True
        elif not self._complete:
            self.digits += digit
            self._complete = len(self.digits) >= self._length
        self._pressed.set()

    def close(self) -> None:
        """No more keys come."""
        self._complete = True
        self._pressed.set()

    def taken(self, now: float) -> None:
        """No more keys are awaited; what is pressed right after them is still of the number, and what is said then
        of one that was not finished."""
        self._said_until = now if self._complete else now + SURPLUS
        self._belongs(now)

    def _belongs(self, now: float) -> None:
        self._surplus_until = now + (REST if self.sensitive and not self._complete else SURPLUS)

    def swallows(self, now: float) -> bool:
        """Whether a key that is pressed now still belongs to the number that was taken."""
        if now >= self._surplus_until:
            return False
        self._belongs(now)
        return True

    def said(self, now: float) -> bool:
        """Whether a number that is said now may be the one that was taken, or to be keyed in."""
        return now < self._said_until

    async def collect(self, gap: float) -> str:
        """The digits, complete or after `gap` seconds without a key."""
        while not self._complete:
            self._pressed.clear()
            try:
                async with asyncio.timeout(gap):
                    await self._pressed.wait()
            except TimeoutError:
                break
        return self.digits


class Keys:
    """Where a key goes: into the number that is being collected, to the one before, or into the conversation."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._pad: KeyPad | None = None
        self._filled: KeyPad | None = None

    @property
    def collecting(self) -> bool:
        """Keys are awaited."""
        return self._pad is not None

    @property
    def secret(self) -> bool:
        """A number that the caller says now may be one that nobody may keep."""
        pad = self._pad or self._filled
        return pad is not None and pad.sensitive and (pad is self._pad or pad.said(self._clock()))

    @contextmanager
    def into(self, pad: KeyPad) -> Iterator[KeyPad]:
        """Keys that are pressed in the block are the number's. A number that is still being collected ends with what
        it has: the caller was asked anew, and there is one keypad."""
        if self._pad is not None:
            self._pad.close()
        self._pad = pad
        try:
            yield pad
        finally:
            pad.taken(self._clock())
            if self._pad is pad:
                self._pad, self._filled = None, pad

    def owner(self) -> KeyPad | None:
        """Whose a key is that is pressed now; None where it is the conversation's."""
        if self._pad is not None:
            return self._pad
        return self._filled if self._filled is not None and self._filled.swallows(self._clock()) else None

    def close(self) -> None:
        """No more keys come."""
        if self._pad is not None:
            self._pad.close()
