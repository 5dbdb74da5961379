"""The open database: applies events to records and outbox, all of a batch in one transaction.

Used by one thread, the writer's. A `Store` lives as long as its connection; what must outlive a lost file (the numbers
given out, the calls that run) is in `Memory`, which the writer hands to the next one.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import structlog

from voxtrad.config.models import Config
from voxtrad.events.types import CallEnded, CallStarted, Event, PromisedEvent
from voxtrad.ledger import recordings
from voxtrad.ledger.outbox import OutboxTable, wants
from voxtrad.ledger.privacy import Privacy, redact, strictest
from voxtrad.ledger.records import CallsTable
from voxtrad.ledger.room import Dropped, Limits, keep_house
from voxtrad.ledger.schema import DamagedDatabase, open_database
from voxtrad.outbound.delivery import Endpoint

log = structlog.stdlib.get_logger(__name__)


KNOWN_AFTERWARDS = 500
"""Calls that have ended and are remembered."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What of the configuration the ledger goes by; a reload gives it new ones."""

    endpoints: tuple[Endpoint, ...] = ()
    privacy: Mapping[str, Privacy] = field(default_factory=dict)
    """By agent; `full` for one that is not named."""
    retention: float = 30 * 86400.0
    """Seconds."""

    @classmethod
    def from_config(cls, config: Config) -> Settings:
        return cls(
            endpoints=tuple(Endpoint.from_config(webhook) for webhook in config.webhooks),
            privacy={name: agent.privacy for name, agent in config.agents.items()},
            retention=config.server.retention,
        )


@dataclass(slots=True)
class Memory:
    """What the writer knows beside the file."""

    instance: str = field(default_factory=lambda: uuid.uuid4().hex)
    begun: bool = False
    """This run has done what is done once, at start."""
    settings: Settings = field(default_factory=Settings)
    running: dict[str, CallStarted] = field(default_factory=dict)
    """Calls of this run of the server, with their first event as it was kept."""
    levels: dict[str, Privacy] = field(default_factory=dict)
    """The strictest privacy of the agents that a call has had, running or just over."""
    over: dict[str, None] = field(default_factory=dict)
    """The calls that ended last, in order: of some a recording or an analysis is still to come."""
    numbers: dict[tuple[str, str], int] = field(default_factory=dict)
    """The last number that was given out, by endpoint and running call."""
    expired: dict[str, int] = field(default_factory=dict)
    """Dead letters by age so far, by endpoint."""
    dropped: Dropped = field(default_factory=Dropped)
    refused: int = 0
    """Events that could not be written, or came twice where there must be one."""

    def forget(self, call_id: str) -> None:
        """Nothing more is to be expected of a call."""
        self.over.pop(call_id, None)
        self.levels.pop(call_id, None)
        for endpoint in self.settings.endpoints:
            self.numbers.pop((endpoint.name, call_id), None)

    def copy(self) -> Memory:
        return replace(
            self,
            running=dict(self.running),
            levels=dict(self.levels),
            over=dict(self.over),
            numbers=dict(self.numbers),
            expired=dict(self.expired),
        )


class Store:
    """See the module. Methods raise what `sqlite3` raises; `memory` is as of the last transaction that succeeded."""

    def __init__(self, path: Path, memory: Memory, *, clock: Callable[[], float], limits: Limits) -> None:
        self.memory = memory
        self._data_dir = path.parent
        self._clock = clock
        self._limits = limits
        self.db = open_database(path)
        self.outbox = OutboxTable(self.db)
        self.calls = CallsTable(self.db, memory.instance)
        self.touched: set[str] = set()
        """Endpoints for which this transaction made something due."""

    def close(self) -> None:
        with suppress(sqlite3.Error):  # its last checkpoint meets what made us close it
            self.db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, also of the memory."""
        before = self.memory
        self.memory = before.copy()
        self.touched.clear()
        try:
            self.db.execute("BEGIN IMMEDIATE")
            yield
            self.db.execute("COMMIT")
        except BaseException:
            self.memory = before
            if self.db.in_transaction:  # some errors have ended it already
                self.db.execute("ROLLBACK")
            raise

    @contextmanager
    def part(self) -> Iterator[None]:
        """One job of a transaction, undone alone when it fails."""
        self.db.execute("SAVEPOINT part")
        try:
            yield
        except BaseException:
            if self.db.in_transaction:
                self.db.execute("ROLLBACK TO part")
                self.db.execute("RELEASE part")
            raise
        self.db.execute("RELEASE part")

    # --- jobs ---------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """The first job of an opened file. Of a lost one: know again the calls that are running.

        Once in a run: end what an earlier one left open, and try at once all that is undelivered.
        """
        self.outbox.configure(self.memory.settings.endpoints, enable=False)
        for started in self.memory.running.values():
            self.calls.begin(started, self.memory.levels[started.call_id])
        if not self.memory.begun:
            for ended in self.calls.crashed(now=self._clock()):
                self._write(ended, "full")  # what it holds was redacted when it happened
            self.calls.forget_instances()
            self.hurry()
            self.memory.begun = True

    def configure(self, settings: Settings) -> None:
        """Go by new settings, and take back endpoints that answered 410. What is kept too long by them goes at once."""
        shorter = settings.retention < self.memory.settings.retention
        self.memory.settings = settings
        self.outbox.configure(settings.endpoints, enable=True)
        self._touch(None)
        if shorter:
            self.keep_house()

    def hurry(self, endpoint: str | None = None) -> None:
        """Try now what waits for its next try; for all endpoints or one."""
        self.outbox.hurry(now=self._clock(), endpoint=endpoint)
        self._touch(endpoint)

    def enable(self, endpoint: str) -> bool:
        """Take back an endpoint that answered 410, and try all that waits for it. False when it is not known."""
        known = self.outbox.enable(endpoint)
        self.hurry(endpoint)
        return known

    def replay(self, endpoint: str | None, message_id: str | None) -> int:
        """Put dead letters back: all, an endpoint's, or one. Returns how many."""
        count = self.outbox.replay(now=self._clock(), endpoint=endpoint, message_id=message_id)
        self._touch(None)
        return count

    def record(self, event: Event) -> None:
        """Keep an event and owe it to the endpoints that want it, as far as the call's privacy lets it be kept."""
        level = self._level(event)
        self._write(redact(event, level), level)

    def delete_call(self, call_id: str) -> Literal["deleted", "unknown", "running"]:
        """Forget an ended call, its recording, and all that is owed of it to endpoints. One that runs stays."""
        done = self.calls.delete(call_id)
        if done != "running" and recordings.remove(self._data_dir, [call_id]):
            return "deleted"
        return done

    def beat(self) -> None:
        """Note that the server is alive, with its calls."""
        self.calls.seen(self._clock())

    def keep_house(self) -> None:
        done = keep_house(self.db, now=self._clock(), retention=self.memory.settings.retention, limits=self._limits)
        for endpoint, count in done.expired.items():
            self.memory.expired[endpoint] = self.memory.expired.get(endpoint, 0) + count
        recordings.remove(self._data_dir, done.forgotten)
        recordings.remove_older(self._data_dir, self._clock() - self.memory.settings.retention)
        if done.dropped != Dropped():
            self.memory.dropped += done.dropped
            log.error(
                "the database is full: something was dropped before its time",
                undelivered=dict(done.dropped.owed),
                records=done.dropped.records,
            )

    def check(self) -> None:
        """Raise `DamagedDatabase` when the file is damaged where nothing has looked yet."""
        found = self.db.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise DamagedDatabase(found)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _level(self, event: Event) -> Privacy:
        """What may be kept: as the strictest agent that the call has had so far wants it."""
        memory, call_id = self.memory, event.call_id
        agent = memory.settings.privacy.get(event.agent, "full")
        before = memory.levels.get(call_id) or self.calls.privacy(call_id)
        level = strictest(agent, before or "full")
        if call_id in memory.levels and level != before:
            memory.levels[call_id] = level
            self.calls.tighten(call_id, level)
        return level

    def _write(self, event: Event, level: Privacy) -> None:
        memory, call_id = self.memory, event.call_id
        if isinstance(event, CallStarted):
            if not self.calls.begin(event, level):
                return self._refuse(event)
            memory.running[call_id] = event
            memory.levels[call_id] = level
        if isinstance(event, CallEnded) and not self.calls.end(event):
            return self._refuse(event)
        self.calls.keep(event)
        if isinstance(event, PromisedEvent):
            self._owe(event)
        if isinstance(event, CallEnded):
            memory.running.pop(call_id, None)
            memory.over[call_id] = None
            for old in list(memory.over)[:-KNOWN_AFTERWARDS]:
                memory.forget(old)
        return None

    def _owe(self, event: PromisedEvent) -> None:
        memory, now = self.memory, self._clock()
        for endpoint in memory.settings.endpoints:
            if not wants(endpoint.events, event.name):
                continue
            key = endpoint.name, event.call_id
            self.touched.add(endpoint.name)
            sequence = self.outbox.append(event, endpoint, now=now, known=memory.numbers.get(key, 0))
            if sequence is not None and (event.call_id in memory.running or event.call_id in memory.over):
                memory.numbers[key] = sequence

    def _touch(self, endpoint: str | None) -> None:
        self.touched.update([endpoint] if endpoint else [known.name for known in self.memory.settings.endpoints])

    def _refuse(self, event: Event) -> None:
        self.memory.refused += 1
        log.error(
            "a second event of a kind of which there is one, not kept", call_id=event.call_id, type=type(event).__name__
        )
