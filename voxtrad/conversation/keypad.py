"""Digits that a tool collects from the caller's keypad, instead of their being a turn of the conversation."""

from __future__ import annotations

import asyncio


class KeyPad:
    """Takes keys until `length` of them came or the `terminator`, which does not count as one."""

    def __init__(self, length: int, terminator: str, *, sensitive: bool) -> None:
        self.digits = ""
        self.sensitive = sensitive
        self._length = length
        self._terminator = terminator
        self._complete = False
        self._pressed = asyncio.Event()

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
