"""A conversation by keyboard: the agent with its prompt, model and tools as on a call, and a person who types.

Nothing is heard or spoken. What needs a telephone, as keys, sounds and where a caller is sent, is told to the person.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol

from voxtrad.config.models import AgentDestination, ContinueDestination, Destination, DialDestination
from voxtrad.config.templates import Template
from voxtrad.conversation.agent import Agent
from voxtrad.conversation.handover import Planner, take_over
from voxtrad.conversation.plan import Plan
from voxtrad.conversation.reply import Reply
from voxtrad.conversation.spoken import Spoken
from voxtrad.events.types import Event
from voxtrad.leg import LegInfo
from voxtrad.providers.base import ProviderError


class Person(Protocol):
    """Who sits in the caller's place."""

    def reads(self, piece: str) -> None:
        """A piece of what the agent says, as it is written; empty at the end of all that it says now."""
        ...

    def learns(self, what: str) -> None:
        """What would happen on a call, in a few words."""
        ...

    async def types(self) -> str | None:
        """What the person says next; None when there is nobody any more."""
        ...


class TypedCall:
    """Also what tools may do with the caller (`tools.base`), as far as a keyboard goes."""

    def __init__(
        self,
        person: Person,
        info: LegInfo,
        *,
        destinations: Mapping[str, Destination],
        planner: Planner,
        publish: Callable[[Event], None],
        clock: Callable[[], float],
    ) -> None:
        self._person = person
        self._info = info
        self._destinations = destinations
        self._planner = planner
        self._publish = publish
        self._clock = clock
        self._plan: Plan
        self._agent: Agent
        self._next: Plan | None
        """Who talks next: the same, another, or nobody."""

    async def run(self, plan: Plan) -> None:
        """Talk until the person leaves or the agent ends it. Raises `TemplateRenderError` for a greeting."""
        async with asyncio.TaskGroup() as group:
            now: Plan | None = plan
            while now is not None:
                self._plan, self._next = now, now
                self._agent = now.agent(
                    self._info, now.providers.llm, self, group, publish=self._publish, clock=self._clock
                )
                await self._greet()
                while self._next is now:
                    await self._turn()
                now = self._next

    async def _greet(self) -> None:
        words = None if self._plan.taking_over else self._info.greeting
        words = words or Template(self._plan.config.greeting.text).render(**self._agent.namespaces())
        if words:
            await self.say(words)
            self._agent.writer.said(words, interrupted=False)
        elif self._plan.taking_over:
            await self._answer(self._agent.stream(""))

    async def _turn(self) -> None:
        typed = await self._person.types()
        if typed is None:
            self._next = None
        elif text := typed.strip():
            await self._answer(self._agent.stream(text))

    async def _answer(self, reply: Reply) -> None:
        error: ProviderError | None = None
        try:
            async for piece in reply:
                self._person.reads(piece)
        except ProviderError as failed:
            error = failed
        finally:
            await reply.aclose()
            reply.settle(Spoken(reply.text, reply.text, interrupted=False, error=error))
        self._person.reads("")
        if error is not None:
            self._person.learns(f"there is no answer: {error.provider}: {error.message}")
        if reply.tool_calls:
            self._person.learns("a handler would run: " + ", ".join(call.name for call in reply.tool_calls))
        if reply.then is not None:
            await reply.then.perform(self)

    # --- what becomes of the call -------------------------------------------------------------------------------------

    async def hangup(self) -> None:
        self._person.learns("the agent hangs up")
        self._next = None

    async def proceed(self, *, context: str | None, extension: str | None, priority: int | None) -> None:
        place = ",".join(str(part) for part in (context, extension, priority) if part is not None)
        self._person.learns(f"the call goes on in the dialplan, {f'at {place}' if place else 'after Stasis()'}")
        self._next = None

    async def transfer(self, destination: str) -> None:
        match self._destinations.get(destination):
            case AgentDestination() as other:
                self._person.learns(f"to {destination}: the agent '{other.agent}' takes over")
                plan = self._plan
                self._next = await take_over(self._agent, plan.config, plan.call_id, other, self._planner)
            case DialDestination() as somebody:
                self._person.learns(f"to {destination}: {somebody.dial} is called ({somebody.mode})")
                self._next = None
            case ContinueDestination(continue_=place):
                await self.proceed(context=place.context, extension=place.extension, priority=place.priority)
            case None:
                self._person.learns(f"there is no destination '{destination}'")

    # --- what a tool does with the caller -----------------------------------------------------------------------------

    async def say(self, text: str) -> None:
        self._person.reads(text)
        self._person.reads("")

    async def send_digits(self, digits: str) -> None:
        self._person.learns(f"keys are sent: {digits}")

    async def collect_digits(
        self, *, length: int, terminator: str, timeout: float, sensitive: bool, prompt: str = ""
    ) -> str:
        if prompt:
            await self.say(prompt)
        self._person.learns(f"type keys, {length} at most{f', up to {terminator}' if terminator else ''}")
        typed = await self._person.types() or ""
        keys = "".join(key for key in typed.upper() if key in "0123456789*#ABCD")
        return (keys.partition(terminator)[0] if terminator else keys)[:length]

    async def play(self, pcm: bytes, rate: int) -> None:
        self._person.learns(f"{len(pcm) / 2 / rate:.1f} s of audio are played")

    async def play_sound(self, name: str) -> None:
        self._person.learns(f"the PBX's sound '{name}' is played")

    def hold(self, seconds: float) -> None:
        self._person.learns(f"the caller is left alone for {seconds:g} s")
