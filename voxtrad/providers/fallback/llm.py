"""Language models that stand in for each other, inside the same turn."""

from __future__ import annotations

import copy
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import cast

from voxtrad.providers.base import (
    JSON,
    LanguageModel,
    LLMEvent,
    Message,
    ProviderError,
    TextDelta,
    ToolCall,
    ToolSpec,
)
from voxtrad.providers.fallback.circle import (
    TOKEN_THEN,
    Circle,
    Deadlines,
    Nobody,
    Observer,
    again,
    attempts,
    within,
)

_GO_ON = Message(
    "system",
    "Your last message was cut off by a technical fault. Go on from exactly where it stopped, without repeating it.",
)


class FallbackLLM:
    """A language model made of several.

    One that fails before it wrote anything is replaced by the next as if nothing had been; a lone one whose connection
    broke is asked once more. One that breaks off in the middle of its text is replaced too: the next is asked to go on
    from there. After a tool call there is no going back, and the error is raised.
    """

    def __init__(
        self,
        providers: Sequence[LanguageModel],
        *,
        deadlines: Deadlines | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._deadlines = deadlines or Deadlines()
        self._circle = Circle("llm", providers, observer or Nobody(), probe_llm)

    @property
    def name(self) -> str:
        return self._circle.providers[0].name

    def hurried(self, left: Callable[[], float]) -> FallbackLLM:
        """See `Substitutes`."""
        mine = copy.copy(self)
        mine._deadlines = self._deadlines.for_call(left)
        return mine

    async def stream(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec] = (),
        *,
        variables: Mapping[str, Mapping[str, JSON]] | None = None,
    ) -> AsyncIterator[LLMEvent]:
        """See `LanguageModel.stream`. Raises the error of the last that was tried."""
        written = ""
        for index, then in attempts(self._circle.order()):
            other = then if then != index else None
            provider = self._circle.providers[index]
            asked = [*messages, Message("assistant", written), _GO_ON] if written.strip() else messages
            called = False
            stream = cast("AsyncGenerator[LLMEvent, None]", provider.stream(asked, tools, variables=variables))
            try:
                async with aclosing(stream):
                    async with within(
                        self._limit(self._deadlines.first_token, other), provider.name, "the first token"
                    ):
                        event = await anext(stream, None)
                    self._circle.worked(index)
                    while event is not None:
                        if isinstance(event, TextDelta):
                            written += event.text
                            event = event if index == 0 else replace(event, provider=provider.name)
                        called = called or isinstance(event, ToolCall)
                        yield event
                        last = None if called else then
                        async with within(
                            self._limit(self._deadlines.next_token, last), provider.name, "the next words"
                        ):
                            event = await anext(stream, None)
                return
            except ProviderError as error:
                self._circle.failed(index, error, then=None if called else other)
                if called or then is None or (then == index and (written or not again(error))):
                    raise

    def _limit(self, usual: float, then: int | None) -> float | None:
        return self._deadlines.within(usual, then=TOKEN_THEN) if then is not None else None

    async def warm(self) -> None:
        """Open the connection of the one that would be asked now."""
        await self._circle.providers[self._circle.order()[0]].warm()

    async def aclose(self) -> None:
        """End the probing. The providers belong to who made them."""
        await self._circle.aclose()


_TOOL = ToolSpec("hang_up", "End the call.", {"type": "object", "properties": {}})


async def probe_llm(provider: LanguageModel, *, tool: bool = False) -> None:
    """Ask for a word, with a `tool` at hand or without, and take the first of the answer.

    The background probe goes without: a model that refuses tools (a refused request) does not sit out for it, nor is it
    kept out by it, so that there is nothing a tool could find out.
    Raises `ProviderError` where it does not answer.
    """
    tools = [_TOOL] if tool else []
    stream = cast("AsyncGenerator[LLMEvent, None]", provider.stream([Message("user", "Hi.")], tools))
    async with aclosing(stream):
        await anext(stream, None)
