"""The switchboard: a leg rings, an agent takes it, and the call runs under supervision until nothing of it is left.

It knows which calls there are and whether there is room for another. Which agent takes a call is decided by
`routing.py`, how the call goes by `conversation/session.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from typing import Protocol

import structlog

from voxtrad.config.models import AgentConfig
from voxtrad.conversation.plan import Plan
from voxtrad.conversation.session import Session
from voxtrad.errors import VoxtradError
from voxtrad.events.types import Event, Rejection
from voxtrad.leg import Leg, LegError, Reach
from voxtrad.providers.base import JSON

log = structlog.stdlib.get_logger(__name__)


class Refused(VoxtradError):
    """No agent takes this call. `status` tells the dialplan why, in `VOXTRAD_STATUS`; `why` tells the metrics."""

    def __init__(self, message: str, status: str, why: Rejection) -> None:
        super().__init__(message)
        self.status = status
        self.why: Rejection = why


class Front(Protocol):
    """The agents of one configuration (`roster.py`)."""

    @property
    def max_calls(self) -> int: ...

    async def plan(self, call_id: str, leg: Leg) -> Plan:
        """Which agent takes a leg, and with what; may ask others while it rings. Raises `Refused`."""
        ...

    def plan_for(self, agent: str, call_id: str, variables: Mapping[str, JSON]) -> Plan:
        """What a call with this agent is done with. Raises `KeyError` for an agent that is not there."""
        ...

    def begin(self) -> None:
        """A call begins that keeps this configuration in use."""
        ...

    async def end(self) -> None:
        """That call is over."""
        ...


def new_call_id() -> str:
    return f"c_{secrets.token_hex(10)}"


class Switchboard:
    """All calls of the server. Telephony hands each leg to `take`, which returns when the call is over."""

    def __init__(
        self,
        front: Front,
        *,
        publish: Callable[[Event], None],
        clock: Callable[[], float],
        on_rejected: Callable[[Rejection], None],
    ) -> None:
        self._front = front
        self._publish = publish
        self._clock = clock
        self._on_rejected = on_rejected
        self._sessions: dict[str, Session] = {}
        self._wrapping: set[str] = set()
        self._ringing = 0
        """Legs for which an agent is being found."""
        self._changed = asyncio.Event()
        self._draining_since: float | None = None

    @property
    def calls(self) -> Mapping[str, Session]:
        """The live calls by their ids."""
        return self._sessions

    @property
    def wrapping_up(self) -> Collection[str]:
        """Calls that are over, and of which something is still to come: a recording, an analysis."""
        return self._wrapping

    @property
    def draining(self) -> bool:
        """Whether no more calls are taken."""
        return self._draining_since is not None

    @property
    def front(self) -> Front:
        """The agents that take the next call."""
        return self._front

    def replace(self, front: Front) -> None:
        """A new configuration, for the calls to come; live ones keep theirs."""
        self._front = front

    async def take(self, leg: Leg) -> None:
        """A leg rings: carry the call to its end. Cancelling it leaves the leg to its carrier."""
        call_id = new_call_id()
        with structlog.contextvars.bound_contextvars(call_id=call_id, privacy="full"):
            front = self._front
            front.begin()
            try:
                session = await self._carry(front, call_id, leg)
                await session.wrap_up()
            except Refused as refused:
                await self._turn_away(leg, refused)
            finally:
                self._wrapping.discard(call_id)
                self._changed.set()
                await front.end()

    async def _carry(self, front: Front, call_id: str, leg: Leg) -> Session:
        """From the ring to the end of the call, which then is no live one any more. Raises `Refused`."""
        try:
            session = await self._admit(front, call_id, leg)
            structlog.contextvars.bind_contextvars(privacy=session.plan.config.privacy)  # see observability/log.py
            await session.run()
        finally:
            if self._sessions.pop(call_id, None) is not None:
                self._wrapping.add(call_id)
            self._changed.set()
        return session

    @contextlib.asynccontextmanager
    async def placed(
        self, call_id: str, reach: Reach, agent: str, variables: Mapping[str, JSON]
    ) -> AsyncIterator[Session]:
        """A call that we make, which counts until the block is left; inside, `make` it.

        Raises `Refused`, and `KeyError` for an agent that is not there.
        """
        with structlog.contextvars.bound_contextvars(call_id=call_id, privacy="full"):
            front = self._front
            try:
                self._refuse_while_draining()
                self._refuse_when_full(front)
                plan = front.plan_for(agent, call_id, variables)
                self._refuse_a_busy_agent(plan)
            except Refused as refused:
                self._on_rejected(refused.why)
                raise
            front.begin()
            structlog.contextvars.bind_contextvars(privacy=plan.config.privacy)
            session = self._sessions[call_id] = self._session(reach, plan)
            try:
                yield session
            finally:
                self._sessions.pop(call_id, None)
                self._wrapping.discard(call_id)
                self._changed.set()
                await front.end()

    async def make(self, session: Session) -> None:
        """The call of a `placed` session, from its first ring until nothing of it is left to do."""
        call_id = session.plan.call_id
        try:
            await session.run()
        finally:
            self._sessions.pop(call_id, None)
            self._wrapping.add(call_id)
            self._changed.set()
        await session.wrap_up()

    def take_no_more(self) -> None:
        """Refuse new calls from now on. Said again, it changes nothing: `drain` counts from the first time."""
        if self._draining_since is None:
            self._draining_since = self._clock()

    async def drain(self, timeout: float) -> bool:
        """Take no more calls, and wait until the live ones have ended and are wrapped up. False where some had to be
        hung up: `timeout` seconds after the first `take_no_more`."""
        self.take_no_more()
        waited = self._clock() - (self._draining_since or 0.0)
        try:
            async with asyncio.timeout(timeout - waited):
                await self._empty()
        except TimeoutError:
            log.warning("calls are hung up: they did not end in time", calls=len(self._sessions), seconds=timeout)
            self._give_back_all()
            await self._empty()
            return False
        return True

    async def give_back(self) -> None:
        """Take no more calls, end the live ones, and wait until they have ended; not for what is to do after them."""
        self.take_no_more()
        self._give_back_all()
        while self._sessions:
            self._changed.clear()
            await self._changed.wait()

    def _give_back_all(self) -> None:
        for session in list(self._sessions.values()):
            session.give_back("the server stops")

    async def _empty(self) -> None:
        while self._sessions or self._ringing or self._wrapping:
            self._changed.clear()
            await self._changed.wait()

    async def _admit(self, front: Front, call_id: str, leg: Leg) -> Session:
        """A session for the leg, which counts from now on. Raises `Refused`."""
        self._refuse_while_draining()
        self._refuse_when_full(front)
        self._ringing += 1
        try:
            plan = await front.plan(call_id, leg)
        finally:
            self._ringing -= 1
        self._refuse_while_draining()
        self._refuse_a_busy_agent(plan)
        session = self._sessions[call_id] = self._session(leg, plan)
        return session

    def _refuse_while_draining(self) -> None:
        if self.draining:
            raise Refused("the server is draining", "BUSY", "draining")

    def _refuse_when_full(self, front: Front) -> None:
        if len(self._sessions) + self._ringing >= front.max_calls:
            message = f"{front.max_calls} calls are live, as many as server.max_calls allows"
            raise Refused(message, "BUSY", "max_calls")

    def _refuse_a_busy_agent(self, plan: Plan) -> None:
        if not self._has_room(plan.config):
            message = f"agent '{plan.config.name}' has {plan.config.max_calls} calls, as many as its max_calls allows"
            raise Refused(message, "BUSY", "agent_max_calls")

    def _has_room(self, agent: AgentConfig) -> bool:
        """Whether an agent may have one more call."""
        live = sum(session.agent == agent.name for session in self._sessions.values())
        return agent.max_calls is None or live < agent.max_calls

    def _session(self, leg: Leg | Reach, plan: Plan) -> Session:
        return Session(leg, plan, publish=self._publish, clock=self._clock, has_room=self._has_room)

    async def _turn_away(self, leg: Leg, refused: Refused) -> None:
        """Back to the dialplan, which knows what a caller shall hear."""
        info = leg.info
        log.warning("a call is not taken", reason=refused.message, caller=info.caller, dialled=info.dialled)
        self._on_rejected(refused.why)
        try:
            await leg.set_variables({"VOXTRAD_STATUS": refused.status})
            await leg.proceed(context=None, extension=None, priority=None)
        except LegError as error:
            log.info("the caller could not be led on", reason=error.message)
        finally:
            await leg.release()
