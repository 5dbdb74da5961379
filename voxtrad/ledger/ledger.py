"""The ledger as others see it: events go in without waiting, messages to deliver and answers to questions come out.

It is a subscriber of the bus (`record`), the outbox of `voxtrad.outbound.delivery`, and what the API and the metrics
ask. All writing is the writer's thread's; all reading runs in worker threads on connections of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, cast

from voxtrad.errors import in_words
from voxtrad.events.types import Decision, Event, PromisedEvent, TokensUsed
from voxtrad.ledger.backlog import Backlog, Room
from voxtrad.ledger.made import Made, forget, note
from voxtrad.ledger.outbox import wants
from voxtrad.ledger.recordings import recording_of
from voxtrad.ledger.room import Limits
from voxtrad.ledger.schema import FILE_NAME, LedgerError, is_damaged, make_private, open_read_only
from voxtrad.ledger.store import Memory, Settings, Store
from voxtrad.ledger.writer import AnyJob, Health, Job, Writer
from voxtrad.outbound.delivery import Due
from voxtrad.outbound.schedule import Verdict

T = TypeVar("T")

RECORDED: tuple[type[Event], ...] = (PromisedEvent, Decision, TokensUsed)
"""What to tap the bus for."""
LOCK_NAME = "voxtrad.lock"
GATHER = 0.02
"""Seconds after an event until the writer is woken. What happens at once is written at once; and its thread does not
compete with the loop in the moment in which an answer is begun."""


@dataclass(frozen=True, slots=True)
class Stats:
    """For metrics. What is counted in the database is a few seconds old; counters count since the start."""

    undelivered: int
    oldest: float
    """Age of the oldest undelivered message in seconds; 0 with none."""
    dead: Mapping[str, int]
    """Dead letters that are kept, by endpoint."""
    expired: Mapping[str, int]
    """Counter: messages that became dead letters by age, without an attempt at that moment; by endpoint."""
    disabled: frozenset[str]
    """Endpoints that answered 410."""
    unwritten: int
    """Events that wait in memory."""
    dropped_unwritten: int
    """Counter: events for which memory had no room."""
    dropped_speech: int
    """Counter: speech events that were dropped undelivered, as the database was full. So for messages and records."""
    dropped_messages: int
    dropped_records: int
    lost: Mapping[str, int]
    """Counter: events that an endpoint is never sent because they were dropped, by endpoint."""
    refused: int
    """Counter: events that could not be written for reasons of their own."""
    failures: int
    """Counter: transactions that failed (disk full, locked, damaged)."""
    set_aside: int
    """Counter: damaged files."""
    failing: str
    """Why nothing can be written now; empty when all is well."""


class InUse(LedgerError):
    """Another server runs with the same data directory."""


class Ledger:
    """Open with `open_ledger`."""

    def __init__(
        self, path: Path, settings: Settings, *, clock: Callable[[], float], limits: Limits, room: Room
    ) -> None:
        self._path = path
        self._clock = clock
        self._listeners: list[Callable[[Collection[str]], None]] = []
        self._health = Health(memory=Memory(settings=settings))
        self._backlog: Backlog[AnyJob] = Backlog(room)
        self._loop = asyncio.get_running_loop()
        self._stirring = False
        self._writer = Writer(
            path,
            self._backlog,
            lambda memory: Store(path, memory, clock=clock, limits=limits),
            health=self._health,
            written=self._on_written,
        )

    # --- events -------------------------------------------------------------------------------------------------------

    def record(self, event: Event) -> None:
        """Keep an event; of internal ones only those in `RECORDED`. Never waits and never raises."""
        if isinstance(event, RECORDED):
            self._backlog.put_event(event)
            if not self._stirring:
                self._stirring = True
                self._loop.call_later(GATHER, self._stir)

    def on_due(self, listener: Callable[[Collection[str]], None]) -> None:
        """Have `listener` called on the loop with the names of endpoints for which there is something new."""
        self._listeners.append(listener)

    async def flush(self) -> None:
        """Wait until everything recorded so far is on the disk. Raises `LedgerError` when the ledger is closed."""
        await self._do(lambda store: None)

    # --- the outbox of voxtrad.outbound.delivery ----------------------------------------------------------------------

    async def due(self, endpoint: str, *, now: float, limit: int, busy: Collection[str]) -> Due:
        return await self._do(lambda store: store.outbox.due(endpoint, now=now, limit=limit, busy=busy))

    async def settle(self, endpoint: str, message_id: str, verdict: Verdict, *, now: float) -> None:
        """Kept also where nobody waits for it any more: what was delivered is not to be delivered again."""
        await asyncio.shield(self._submit(lambda store: store.outbox.settle(endpoint, message_id, verdict, now=now)))

    async def hurry(self, endpoint: str) -> None:
        await self._do(lambda store: store.hurry(endpoint))

    # --- what people ask for ------------------------------------------------------------------------------------------

    def configure(self, settings: Settings) -> asyncio.Future[None]:
        """Go by a reloaded configuration, from the next event on; endpoints that answered 410 are taken back.

        What it returns is done when the disk has taken it.
        """
        return self._submit(lambda store: store.configure(settings))

    async def enable(self, endpoint: str) -> bool:
        """Take back an endpoint that answered 410 and try at once what waits for it. False for an unknown one."""
        return await self._do(lambda store: store.enable(endpoint))

    async def replay(self, *, endpoint: str | None = None, message_id: str | None = None) -> int:
        """Put dead letters back into the outbox: all, an endpoint's, or one. Returns how many."""
        return await self._do(lambda store: store.replay(endpoint, message_id))

    async def note_made(self, made: Made) -> Made:
        """Keep a call that is about to be made; returns it, or the one that was made before with its key.

        Cancelled, it keeps nothing: the thread may have noted it already, when nobody waits to make it any more.
        """
        try:
            return await self._do(lambda store: note(store.db, made))
        except asyncio.CancelledError:
            with contextlib.suppress(LedgerError):
                self._submit(lambda store: forget(store.db, made.call_id))
            raise

    async def delete_call(self, call_id: str) -> Literal["deleted", "unknown", "running"]:
        """Forget an ended call, with its recording and all that is still owed of it to endpoints."""
        return await self._do(lambda store: store.delete_call(call_id))

    async def recording(self, call_id: str) -> Path | None:
        """The file with a call's recording, if there is one."""
        return await asyncio.to_thread(recording_of, self._path.parent, call_id)

    async def read(self, question: Callable[[sqlite3.Connection], T]) -> T:
        """Ask one of `queries`. Raises `LedgerError` when the database cannot be read now."""
        try:
            return await asyncio.to_thread(ask, self._path, question)
        except sqlite3.Error as error:
            if is_damaged(error):
                self._submit(Store.check)  # so that the writer meets it too; nobody waits for it
            raise LedgerError(f"the database cannot be read now: {error}") from error

    def stats(self) -> Stats:
        health, memory, counts = self._health, self._health.memory, self._health.counts
        return Stats(
            undelivered=counts.undelivered,
            oldest=0.0 if counts.oldest is None else max(0.0, self._clock() - counts.oldest),
            dead=counts.dead,
            expired=memory.expired,
            disabled=counts.disabled,
            unwritten=self._backlog.events,
            dropped_unwritten=self._backlog.dropped,
            lost=self._lost(self._backlog.dropped_kinds),
            dropped_speech=memory.dropped.speech,
            dropped_messages=memory.dropped.messages,
            dropped_records=memory.dropped.records,
            refused=health.refused + memory.refused,
            failures=health.failures,
            set_aside=health.set_aside,
            failing=health.failing,
        )

    # --- inside -------------------------------------------------------------------------------------------------------

    def _stir(self) -> None:
        self._stirring = False
        self._backlog.stir()

    def _lost(self, unwritten: Mapping[type[Event], int]) -> dict[str, int]:
        """What was dropped, by the endpoints that wanted it."""
        memory = self._health.memory
        lost = Counter(memory.dropped.owed)
        for endpoint in memory.settings.endpoints:
            for kind, count in unwritten.items():
                if issubclass(kind, PromisedEvent) and wants(endpoint.events, kind.name):
                    lost[endpoint.name] += count
        return lost

    async def start(self) -> None:
        self._writer.start()
        await self._writer.opened

    async def close(self, timeout: float) -> None:
        await self._writer.close(timeout)

    def _submit(self, work: Callable[[Store], T]) -> asyncio.Future[T]:
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if not self._backlog.put_job(cast("AnyJob", Job(work, done))):
            raise LedgerError("the ledger is closed")
        return done

    async def _do(self, work: Callable[[Store], T]) -> T:
        return await self._submit(work)

    def _on_written(self, touched: frozenset[str]) -> None:
        if touched:
            for listener in self._listeners:
                listener(touched)


def ask(path: Path, question: Callable[[sqlite3.Connection], T]) -> T:
    """Ask a question of the database at `path`, whoever writes it. Raises `LedgerError` and what `sqlite3` raises."""
    connection = open_read_only(path)
    try:
        return question(connection)
    finally:
        connection.close()


@asynccontextmanager
async def open_ledger(
    data_dir: Path,
    settings: Settings,
    *,
    clock: Callable[[], float] = time.time,
    limits: Limits | None = None,
    room: Room | None = None,
    close_timeout: float = 5.0,
) -> AsyncIterator[Ledger]:
    """Open the ledger in `data_dir`, which one server uses at a time; on leaving, write what waits and close it.

    A full disk or a damaged file is no reason to fail. Raises `LedgerError` when the directory cannot be used, another
    server uses it, or the database is of a newer voxtrad.
    """
    try:
        make_private(data_dir)
    except OSError as error:
        raise LedgerError(f"data_dir cannot be used: {data_dir}: {in_words(error)}") from error
    with only_one(data_dir):
        ledger = Ledger(data_dir / FILE_NAME, settings, clock=clock, limits=limits or Limits(), room=room or Room())
        try:
            await ledger.start()
            yield ledger
        finally:
            await ledger.close(close_timeout)


@contextmanager
def only_one(data_dir: Path) -> Iterator[None]:
    """Hold the lock that says: calls of any other run of the server are over. The kernel frees it with the process.

    Raises `InUse` while another holds it.
    """
    descriptor = os.open(data_dir / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InUse(
                f"another voxtrad is running with {data_dir}", hint="stop it, or give this one another data_dir"
            ) from error
        yield
    finally:
        os.close(descriptor)
