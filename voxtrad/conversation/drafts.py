"""Speculative answers: the model is asked before the turn is certain, and the answer waits unheard until it is.

A draft runs no tool and says nothing. It is adopted if the turn turns out to say the same, dropped otherwise.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from voxtrad.conversation.utterances import same_words
from voxtrad.providers.base import LLMEvent


class Draft:
    """A model's answer to what the caller has probably said, collected while it is written.

    `asked_at` is when the model was asked, on the monotonic clock; `failed`: it gave an error, now or later in it.
    """

    def __init__(
        self, text: str, stream: AsyncGenerator[LLMEvent, None], group: asyncio.TaskGroup, asked_at: float
    ) -> None:
        self.text = text
        self.asked_at = asked_at
        self.failed = False
        self._events: asyncio.Queue[LLMEvent | Exception | None] = asyncio.Queue()
        self._task = group.create_task(self._collect(stream))

    def answers(self, text: str) -> bool:
        """Whether the turn, as it became, is what the draft answers."""
        return same_words(self.text, text)

    def drop(self) -> None:
        self._task.cancel()

    async def events(self) -> AsyncGenerator[LLMEvent, None]:
        """The answer, from its beginning. Closing it cancels the request; a failure of the model comes out here."""
        try:
            while (event := await self._events.get()) is not None:
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            self._task.cancel()

    async def _collect(self, stream: AsyncGenerator[LLMEvent, None]) -> None:
        try:
            async with contextlib.aclosing(stream):
                async for event in stream:
                    self._events.put_nowait(event)
            self._events.put_nowait(None)
        except Exception as error:  # noqa: BLE001 - it belongs to who adopts the draft, and to nobody if it is dropped
            self.failed = True
            self._events.put_nowait(error)
