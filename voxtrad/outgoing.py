"""Calls that voxtrad makes: asked for over HTTP, bounded by `outbound:`, carried by the switchboard like any other.

A call counts, in the ledger, before anything rings: where it cannot be counted it is not made. Which numbers and how
many is decided by `allowance.py`.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, TypeVar

import structlog

from voxtrad.allowance import DAY, Allowance, LimitReached, NotAllowed, allowed_number
from voxtrad.config.models import Config, OutboundConfig
from voxtrad.errors import VoxtradError
from voxtrad.events.types import JSON, Rejection
from voxtrad.ledger.made import Made, made_since, made_with
from voxtrad.ledger.schema import LedgerError
from voxtrad.leg import Reach
from voxtrad.switchboard import Switchboard, new_call_id

COUNTING = 5.0
"""Seconds that the database has to count a call."""

T = TypeVar("T")
log = structlog.stdlib.get_logger(__name__)


class NoCalls(VoxtradError):
    """This server makes no calls: its configuration has no `outbound:`."""


class NoAgent(VoxtradError):
    """There is no such agent."""


class NoLine(VoxtradError):
    """The PBX is not connected."""


class KeyReused(VoxtradError):
    """The same key came with another order."""


class Outward(Protocol):
    """Who can reach a number (`telephony/asterisk`)."""

    @property
    def connected(self) -> bool: ...

    def reach(self, endpoint: str, number: str, *, timeout: float, caller: str, variables: Mapping[str, str]) -> Reach:
        """A call to a number by way of an endpoint, `timeout` seconds of ringing; nothing rings yet."""
        ...


class Book(Protocol):
    """Where calls are counted (`ledger/ledger.py`). Both raise `LedgerError`."""

    async def note_made(self, made: Made) -> Made: ...

    async def read(self, question: Callable[[sqlite3.Connection], T]) -> T: ...


@dataclass(frozen=True, slots=True)
class Order:
    """A call that somebody wants. `key` is theirs: who asks twice with one key makes one call."""

    to: str
    agent: str
    variables: Mapping[str, JSON] = field(default_factory=dict)
    caller_id: str = ""
    key: str | None = None

    def digest(self) -> str:
        """The same for two orders of the same."""
        said = [self.to, self.agent, dict(self.variables), self.caller_id]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Placed:
    """A call that rings, or one that was made before with the same key."""

    call_id: str
    again: bool = False


class Outgoing:
    """Makes calls while `run` runs."""

    def __init__(
        self,
        board: Switchboard,
        book: Book,
        config: Callable[[], Config],
        *,
        clock: Callable[[], float],
        date: Callable[[], float],
        on_rejected: Callable[[Rejection], None],
    ) -> None:
        """`clock` goes forward only, `date` is in seconds since 1970."""
        self.line: Outward | None = None
        self._board = board
        self._book = book
        self._config = config
        self._clock = clock
        self._date = date
        self._on_rejected = on_rejected
        self._group: asyncio.TaskGroup | None = None
        self._allowance: Allowance | None = None
        self._opening = asyncio.Lock()
        self._live = 0

    async def run(self) -> None:
        """Until cancelled; calls that go on then are ended."""
        async with asyncio.TaskGroup() as self._group:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self._group = None  # it takes no more, while those that it has are ended

    async def place(self, order: Order) -> Placed:
        """Make a call; returns when it is about to ring.

        Raises `NoCalls`, `NotAllowed`, `NoAgent`, `LimitReached`, `KeyReused`, `NoLine`, `Refused` (draining, no room)
        and `LedgerError`, where it cannot be counted.
        """
        config = self._config()
        if config.outbound is None:
            raise NoCalls("this server makes no calls: the configuration has no outbound:")
        if order.agent not in config.agents:
            raise NoAgent(f"there is no agent '{order.agent}'")
        try:
            number = allowed_number(order.to, config.outbound.allow, config.server.country)
        except NotAllowed as refused:
            log.warning("a call is not made", reason=refused.message, to=order.to)
            self._on_rejected("outbound_denied")
            raise
        if before := await self._made_before(order):
            return before
        allowance = await self._counted_before()
        if self._group is None or self.line is None or not self.line.connected:
            raise NoLine("the PBX is not connected")
        told: asyncio.Future[Placed] = asyncio.get_running_loop().create_future()
        making = self._group.create_task(
            self._make(self.line, allowance, config.outbound, order, number, told), name="outgoing call"
        )
        making.add_done_callback(lambda _: _tell(told, NoLine("the call was not made; the log says why")))
        return await told

    async def _counted_before(self) -> Allowance:
        async with self._opening:
            if self._allowance is None:
                self._allowance = Allowance(await self._book.read(partial(made_since, since=self._date() - DAY)))
            return self._allowance

    async def _made_before(self, order: Order) -> Placed | None:
        if order.key is None:
            return None
        before = await self._book.read(partial(made_with, key=order.key))
        if before is None:
            return None
        if before.asked != order.digest():
            raise KeyReused("this key came with another order before")
        return Placed(before.call_id, again=True)

    async def _make(
        self,
        line: Outward,
        allowance: Allowance,
        outbound: OutboundConfig,
        order: Order,
        number: str,
        told: asyncio.Future[Placed],
    ) -> None:
        """One call, from its counting to its end. What hinders it before it rings is `told`."""
        call_id = new_call_id()
        reach = line.reach(
            outbound.endpoint.replace("{number}", number),
            number,
            timeout=outbound.timeout,
            caller=order.caller_id,
            variables={"VOXTRAD_CALL_ID": call_id},
        )
        try:
            taken = allowance.take(outbound.limits, live=self._live, now=self._clock(), date=self._date())
        except LimitReached as reached:
            log.warning("a call is not made", reason=reached.message, to=number)
            self._on_rejected("outbound_limit")
            _tell(told, reached)
            return
        self._live += 1
        try:
            async with self._board.placed(call_id, reach, order.agent, order.variables) as session:
                made = await self._counted(Made(call_id, taken.date, order.digest(), order.key))
                if made.call_id != call_id:  # another request with this key came at the same time
                    allowance.give_back(taken)
                    same = made.asked == order.digest()
                    _tell(
                        told,
                        Placed(made.call_id, again=True) if same else KeyReused("this key came with another order"),
                    )
                    return
                _tell(told, Placed(call_id))
                await self._board.make(session)
        except VoxtradError as error:
            allowance.give_back(taken)
            _tell(told, error)
        except KeyError:  # a reload has come between
            allowance.give_back(taken)
            _tell(told, NoAgent(f"there is no agent '{order.agent}'"))
        except Exception:  # the outermost supervisor of a call that we make: no other is to end with it
            log.exception("a call that we make broke")
        finally:
            self._live -= 1

    async def _counted(self, made: Made) -> Made:
        try:
            async with asyncio.timeout(COUNTING):
                return await self._book.note_made(made)
        except TimeoutError as error:
            raise LedgerError(
                "the call is not made: it cannot be counted, the database cannot be written now"
            ) from error


def _tell(told: asyncio.Future[Placed], what: Placed | VoxtradError) -> None:
    if told.done():  # whoever asked is gone
        return
    if isinstance(what, Placed):
        told.set_result(what)
    else:
        told.set_exception(what)
