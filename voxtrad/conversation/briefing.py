"""The person who is called for a caller: told who it is and why, asked whether they take the call, and watched until
they leave."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from voxtrad.audio.frames import Framer
from voxtrad.leg import Digit, Leg, MediaPort, NotReached

ACCEPT, DECLINE = "1", "2"
ROUNDS = 3
"""How often the question is asked."""
PAUSE = 4.0
"""Seconds to answer it each time."""


class Person:
    """Somebody at the far end of a leg that was dialled."""

    def __init__(self, leg: Leg) -> None:
        self.leg = leg
        self.gone = asyncio.Event()
        self._keys: asyncio.Queue[str] = asyncio.Queue()

    async def watch(self) -> None:
        """Follows the leg to its end; to run from the answer on."""
        async for event in self.leg.events():
            if isinstance(event, Digit):
                self._keys.put_nowait(event.digit)
        self.gone.set()

    async def decides(self, words: str, question: str, say: Callable[[str, int], Awaitable[bytes]]) -> None:
        """Says the words and the question, the latter up to `ROUNDS` times, until a key is pressed.

        `say` gives a text's audio. Raises `NotReached` when the call is declined, nobody decides, or they hang up.
        """
        port = await self.leg.open_media()
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(self._ask(port, words, question, say))
            keyed = group.create_task(self._key())
            gone = group.create_task(self.gone.wait())
            tasks = (keyed, gone, asking)
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            accepted = keyed.result() if keyed.done() else None
            undecided = asking.done() and not asking.cancelled() and asking.exception() is None
            for task in tasks:
                task.cancel()
        if accepted is None:
            raise NotReached("nobody decided", "no_answer") if undecided else NotReached("hung up", "declined")
        if not accepted:
            raise NotReached("declined", "declined")

    async def _key(self) -> bool:
        while (key := await self._keys.get()) not in (ACCEPT, DECLINE):
            pass
        return key == ACCEPT

    async def _ask(
        self, port: MediaPort, words: str, question: str, say: Callable[[str, int], Awaitable[bytes]]
    ) -> None:
        for text in (f"{words} {question}".strip(), *[question] * (ROUNDS - 1)):
            framer = Framer(port.rate)
            pcm = await say(text, port.rate)
            await port.play(framer.push(pcm) + framer.flush())
            await port.drained()
            await asyncio.sleep(PAUSE)
