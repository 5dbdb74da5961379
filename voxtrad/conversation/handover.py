"""Handing a caller on: to a place in the dialplan, to another agent, or to a person who is called and bridged.

Each way tells what came of it. Where nobody took the caller the agent comes back to them, in the same conversation,
and `HandoverFailed` says why. Only destinations of the configuration can be reached, whatever anybody says.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Coroutine, Mapping
from typing import Protocol, TypeVar

import structlog

from voxtrad.config.models import AgentConfig, AgentDestination, ContinueDestination, Destination, DialDestination
from voxtrad.config.templates import TemplateRenderError
from voxtrad.conversation.agent import Agent
from voxtrad.conversation.briefing import Person
from voxtrad.conversation.call import Call
from voxtrad.conversation.failures import single
from voxtrad.conversation.plan import Plan
from voxtrad.conversation.summary import summary_of
from voxtrad.errors import VoxtradError
from voxtrad.leg import Dialer, Leg, LegError, LegGone, NotReached, Refusal
from voxtrad.providers.base import JSON, ProviderError

SUMMARY = 3.0
"""Seconds that a summary may take while the caller waits for it."""
BRIEF = 8.0
"""Seconds that it may take while somebody's telephone rings."""
SPEECH = 10.0
"""Seconds that a brief may take to be synthesized."""
VISIT = 600.0
"""Seconds after which a caller in the dialplan is not expected back any more."""

_WORDS: Mapping[Refusal, str] = {
    "busy": "the line is busy",
    "no_answer": "nobody answered",
    "unavailable": "it cannot be reached",
    "declined": "the call was declined",
    "failed": "it could not be reached",
}

T = TypeVar("T")
log = structlog.stdlib.get_logger(__name__)


class HandoverFailed(VoxtradError):
    """The caller was not handed over, and is still here. The message is for the model."""

    def __init__(self, message: str, why: Refusal = "failed") -> None:
        super().__init__(message)
        self.why: Refusal = why


class Planner(Protocol):
    """Who makes the plans of agents (`roster.py`)."""

    def __call__(self, agent: str, call_id: str, variables: Mapping[str, JSON]) -> Plan:
        """What a call with this agent is done with. Raises `KeyError` for an agent that is not there."""
        ...


class Switch:
    """The destinations of the configuration, the only places a call can be sent to."""

    def __init__(self, destinations: Mapping[str, Destination], plan: Planner) -> None:
        self._destinations = destinations
        self._plan = plan

    async def __call__(self, call: Call, leg: Leg, name: str) -> None:
        """Send the call to a destination; returns when the call is over, or when the agent is back after a person.

        Raises `HandoverFailed`; then the call is still here.
        """
        destination = self._destinations.get(name)
        if destination is None:
            call.reporter.transfer_denied(name)
            raise HandoverFailed(f"there is no destination '{name[:64]}'", "unavailable")
        call.reporter.transfer_started(name)
        handover = _Handover(call, leg, name)
        try:
            match destination:
                case ContinueDestination():
                    work = handover.lead_on(destination)
                case AgentDestination():
                    work = handover.change_agents(destination, self._plan)
                case DialDestination():
                    work = handover.connect(destination)
            await unless_over(call, work)
        except NotReached as refused:
            log.info("nobody took the caller", to=name, why=refused.why, reason=refused.message)
            raise self._failed(call, name, refused.why) from refused
        except LegGone:
            pass  # the caller has hung up meanwhile, which whoever watches the leg tells
        except LegError as error:
            log.warning("the caller could not be handed over", to=name, reason=error.message)
            raise self._failed(call, name, "failed") from error
        except BaseException:  # cancelled, or broken
            handover.conclude()
            raise
        handover.conclude()

    @staticmethod
    def _failed(call: Call, name: str, why: Refusal) -> HandoverFailed:
        call.reporter.transfer_failed(name, why)
        return HandoverFailed(f"{name}: {_WORDS[why]}", why)


async def take_over(agent: Agent, config: AgentConfig, call_id: str, to: AgentDestination, planner: Planner) -> Plan:
    """What the agent that takes over works with: told what has happened, and with the variables that were set."""
    own = config.variables
    carried = {name: value for name, value in agent.variables.items() if name not in own or own[name] != value}
    summary = await summary_of(agent, within=SUMMARY)
    told = f"You take over a call that '{agent.name}' had until now. The caller has been told." + (
        f" What has happened so far: {summary}" if summary else ""
    )
    return planner(to.agent, call_id, carried).for_takeover(told)


class _Handover:
    """One call on its way to one destination."""

    def __init__(self, call: Call, leg: Leg, name: str) -> None:
        self._call = call
        self._leg = leg
        self._name = name
        self.completed = False
        """Somebody, or something, has the caller."""

    def _complete(self, outcome: str) -> None:
        self.completed = True
        self._call.reporter.transfer_completed(self._name, outcome)

    def conclude(self) -> None:
        """Nothing more comes of it. The leg may have told that the caller is led on before whoever asked for it is."""
        if not self.completed and self._call.fate.led_on:
            self._complete("handed_over")
        elif not self.completed:
            self._call.reporter.transfer_failed(self._name, "abandoned")

    async def _mark(self, outcome: str, summary: str) -> None:
        """Leave what is known on the channel and in its CDR, for the dialplan and for records."""
        await self._leg.set_variables(
            {
                "VOXTRAD_CALL_ID": self._call.id,
                "VOXTRAD_OUTCOME": outcome,
                "VOXTRAD_SUMMARY": self._call.reporter.sensitive.text(summary) if self._call.privacy == "full" else "",
            }
        )

    # --- into the dialplan --------------------------------------------------------------------------------------------

    async def lead_on(self, to: ContinueDestination) -> None:
        call, place, reason = self._call, to.continue_, f"to {self._name}"
        await self._mark("handed_over", await summary_of(call.agent, within=SUMMARY))
        if place.context is None:
            await call.proceed(extension=place.extension, priority=place.priority, reason=reason)
            self._complete("handed_over")
            return
        call.fate.leads_on(reason)
        await call.leave("silence")
        try:
            what = await self._leg.visit(
                context=place.context, extension=place.extension, priority=place.priority, within=VISIT
            )
        except LegGone:
            raise
        except LegError:
            call.fate.leads_on(None)
            await call.come_back()
            raise
        self._complete("answered" if what == "answered" else "handed_over")
        call.ended("transferred" if what == "answered" else "handed_over", reason, state="handed-over")

    # --- to another agent ---------------------------------------------------------------------------------------------

    async def change_agents(self, to: AgentDestination, planner: Planner) -> None:
        call = self._call
        plan = await take_over(call.agent, call.config, call.id, to, planner)
        if not call.has_room(plan.config):
            raise NotReached(f"the agent '{to.agent}' has as many calls as its max_calls allows", "busy")
        call.successor = plan  # counts as its call from here on
        try:
            await call.leave("silence")
        except BaseException:
            call.successor = None
            raise
        self._complete("answered")
        call.ended("handed_over", f"to {self._name}", state="handed-over")

    # --- to a person --------------------------------------------------------------------------------------------------

    async def connect(self, to: DialDestination) -> None:
        call, dialer = self._call, self._leg.dialer
        if dialer is None:
            raise NotReached("nobody can be called from here", "unavailable")
        await call.leave(to.caller_hears)
        try:
            async with asyncio.TaskGroup() as group:
                await self._talk(to, dialer, group)
        except BaseExceptionGroup as errors:
            await call.come_back()
            error = single(errors)
            if isinstance(error, LegGone) and call.ending is None:  # it is the other leg: the agent could come back
                raise NotReached("the person has hung up", "declined") from error
            raise error from None
        if to.after == "agent" and call.line is not None and call.ending is None:
            what = f"The caller has talked with {self._name}, who has left. You are with the caller again: say so."
            tell(call.agent, self._name, {"status": what})
            await call.come_back()
        else:
            call.ended("transferred", f"the talk with {self._name} is over")

    async def _talk(self, to: DialDestination, dialer: Dialer, group: asyncio.TaskGroup) -> None:
        """From the ring to the person's leaving. Raises `NotReached`, and `LegGone` for either of the two."""
        call, leg = self._call, self._leg
        words = group.create_task(self._words(to)) if to.mode == "attended" else None
        async with dialer.dial(
            to.dial,
            timeout=to.timeout,
            caller=leg.info.caller,
            caller_name=leg.info.caller_name,
            beside=leg.info,
            variables={"VOXTRAD_CALL_ID": call.id},
        ) as other:
            person = Person(other)
            group.create_task(person.watch())
            if words is not None:
                await person.decides(await words, call.render(to.question), self._voice)
            await call.recorder.others_talk(True, record=to.record)
            await leg.bridge_with(other)
            call.fate.others_talk()
            self._complete("answered")
            with contextlib.suppress(LegError):
                await self._mark("transferred", "" if words is None else words.result())
            await person.gone.wait()

    async def _words(self, to: DialDestination) -> str:
        """What the person is told."""
        if to.brief == "auto":
            return await summary_of(self._call.agent, within=BRIEF)
        try:
            return self._call.render(to.brief)
        except TemplateRenderError as error:
            log.warning("a brief cannot be rendered", to=self._name, reason=error.message)
            return ""

    async def _voice(self, text: str, rate: int) -> bytes:
        speech = self._call.speech
        try:
            if speech is not None:
                return await speech(text, rate, within=SPEECH)
        except (ProviderError, TimeoutError) as error:
            raise NotReached(f"no voice for the brief: {error}", "failed") from error
        raise NotReached("no voice for the brief", "failed")


def tell(agent: Agent, destination: str, what: Mapping[str, JSON]) -> None:
    """Let the model know what came of a handover: in the result of the tool call that wanted it, or else by a note."""
    for message in reversed(agent.history):
        if message.role == "user":
            break
        for call in message.tool_calls:
            if isinstance(call.arguments, Mapping) and destination in call.arguments.values():
                agent.writer.tool_result(call.id, json.dumps(what))
                return
    agent.writer.note(f"What came of the handover: {json.dumps(what)}")


async def unless_over(call: Call, work: Coroutine[object, object, T]) -> T | None:
    """Do something unless, or until, the call is over. What it raises is raised, also then."""
    async with asyncio.TaskGroup() as group:
        over = group.create_task(call.over.wait())
        doing = group.create_task(_caught(work))
        await asyncio.wait([over, doing], return_when=asyncio.FIRST_COMPLETED)
        over.cancel()
        if not doing.done():
            doing.cancel()
    if doing.cancelled():
        return None
    result, error = doing.result()
    if error is not None:
        raise error
    return result


async def _caught(work: Awaitable[T]) -> tuple[T | None, VoxtradError | None]:
    """What comes of something, an expected failure included: a task group would wrap it."""
    try:
        return await work, None
    except VoxtradError as error:
        return None, error
