"""Digits that a tool collects from the caller's keypad, instead of their being a turn of the conversation."""

from __future__ import annotations

import asyncio

SURPLUS = 3.0
"""Seconds after the last key of a number in which one more still belongs to it: the terminator, a key too many."""


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

    def done(self, now: float) -> None:
        """The number is taken; what is pressed right after it is no turn either."""
        self._surplus_until = now + SURPLUS

    def swallows(self, now: float) -> bool:
        """Whether a key that is pressed now still belongs to the number that was taken."""
        if now >= self._surplus_until:
            return False
        self.done(now)
        return True

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
