"""The one thread that writes: takes what waits, a batch at a time, and commits it as one transaction.

A disk that is full, locked or broken is met here and nowhere else: the batch goes back into the bounded queue and is
tried again, a damaged file is set aside and a new one begun. Nothing is raised into, or waited for by, the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar, TypeVarTuple

import structlog

from voxtrad.events.types import Event
from voxtrad.finishing import finished
from voxtrad.ledger.backlog import Backlog
from voxtrad.ledger.outbox import Counts
from voxtrad.ledger.schema import LedgerError, is_busy_or_full, is_damaged, is_out_of_reach
from voxtrad.ledger.store import Memory, Store

log = structlog.stdlib.get_logger(__name__)

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

BATCH = 1000
"""Jobs in one transaction at most."""
PACE = 0.02
"""Seconds between the beginnings of two commits at least: 50 a second, whatever the number of calls."""
HOUSEKEEPING = 60.0
"""Seconds between rounds of housekeeping."""
COUNTING = 5.0
"""Seconds between counts of what waits, for metrics."""
BEAT = 5.0
"""Seconds between signs of life while there are calls: how long a call lasted at least, should the server die."""
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 5.0


@dataclass(frozen=True, slots=True)
class Job(Generic[T]):
    """Work for the thread; `done` learns of it on the event loop, after the commit."""

    work: Callable[[Store], T]
    done: asyncio.Future[T]


AnyJob = Job[object]


@dataclass(slots=True)
class Health:
    """How the writing goes. Written by the thread, read by whoever measures."""

    failures: int = 0
    """Transactions that failed for a reason outside (full disk, lock, damage)."""
    set_aside: int = 0
    """Files that were damaged and replaced."""
    refused: int = 0
    """Events that made the writing itself fail."""
    failing: str = ""
    """Why nothing can be written at present; empty when all is well."""
    memory: Memory = field(default_factory=Memory)
    """As of the last commit."""
    counts: Counts = field(default_factory=Counts)
    """As of a few seconds ago."""


class Writer:
    """Runs the thread. `opened` is done when the file is open, or out of reach and tried again; it fails with
    `LedgerError` for a file of a newer voxtrad. `written` is told on the loop which endpoints have something due."""

    def __init__(
        self,
        path: Path,
        backlog: Backlog[AnyJob],
        open_store: Callable[[Memory], Store],
        *,
        health: Health,
        written: Callable[[frozenset[str]], None],
    ) -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._path = path
        self._backlog = backlog
        self._open_store = open_store
        self._health = health
        self._written = written
        self._loop = asyncio.get_running_loop()
        self._store: Store | None = None
        self._house_at = self._count_at = self._beat_at = 0.0
        self._uncounted = False
        self._closing = threading.Event()
        self._give_up_at = float("inf")
        self._thread = threading.Thread(target=self._run, name="ledger", daemon=True)

    def start(self) -> None:
        self._thread.start()

    async def close(self, timeout: float) -> None:
        """Write what waits, for `timeout` seconds at most. What cannot be written by then is lost, and logged."""
        self._give_up_at = time.monotonic() + timeout
        self._closing.set()
        self._backlog.close()
        await finished(asyncio.to_thread(self._thread.join))

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        wait = _FIRST_WAIT
        while True:
            began = time.monotonic()
            batch = self._backlog.take(BATCH, self._idle_until() - began) if self._store else []
            try:
                if self._store is None:
                    self._store = self._open()
                self._commit(self._store, batch, began)
            except Exception as error:  # noqa: BLE001  # the thread's own supervisor: no more than this batch fails
                if isinstance(error, LedgerError) and not self.opened.done():
                    self._tell(_fail, self.opened, error)
                    break
                self._backlog.give_back(batch)
                self._failed(error)
                if time.monotonic() >= self._give_up_at:
                    break
                self._tell(_finish, self.opened, None)
                self._pause(wait)
                wait = min(2 * wait, _LONGEST_WAIT)
            else:
                wait = _FIRST_WAIT
                if self._backlog.finished:
                    break
                self._pause(began + PACE - time.monotonic())
        self._finish()

    def _idle_until(self) -> float:
        until = min(self._house_at, self._count_at) if self._uncounted else self._house_at
        return min(until, self._beat_at) if self._health.memory.running else until

    def _open(self) -> Store:
        store = self._open_store(self._health.memory)
        try:
            with store.transaction():
                store.begin()
        except BaseException:
            store.close()
            raise
        self._health.memory = store.memory
        self._tell(_finish, self.opened, None)
        self._tell(self._written, frozenset(store.touched))
        return store

    def _commit(self, store: Store, batch: list[Event | AnyJob], now: float) -> None:
        results: list[tuple[AnyJob, object]] = []
        with store.transaction():
            for item in batch:
                if isinstance(item, Event):
                    self._part(store, partial(Store.record, event=item), about=type(item).__name__)
                elif not item.done.cancelled():
                    results.append((item, self._part(store, item.work, about="job")))
            if now >= self._beat_at and store.memory.running:
                self._part(store, Store.beat, about="a sign of life")
                self._beat_at = now + BEAT
            if now >= self._house_at:
                self._part(store, Store.keep_house, about="housekeeping")
                self._house_at = now + HOUSEKEEPING
        self._health.memory = store.memory
        if self._health.failing:
            self._health.failing = ""
            log.warning("the ledger is written again", waiting=self._backlog.events)
        self._tell(self._after, results, frozenset(store.touched))
        self._uncounted |= bool(batch)
        if now >= self._count_at:
            self._health.counts = store.outbox.counts()
            self._uncounted, self._count_at = False, now + COUNTING

    def _part(self, store: Store, work: Callable[[Store], object], *, about: str) -> object:
        """Do one thing; a failure that is its own fault becomes its result and harms nothing else."""
        try:
            with store.part():
                return work(store)
        except Exception as error:  # the part's own supervisor
            if is_out_of_reach(error):
                raise
            self._health.refused += 1
            log.exception("the ledger could not do a part of its work", part=about)
            return Failure(error)

    def _failed(self, error: Exception) -> None:
        self._health.failures += 1
        if not self._health.failing:
            log.error("the ledger cannot be written, will try again", error=str(error), kind=type(error).__name__)
        self._health.failing = str(error) or type(error).__name__
        if not is_out_of_reach(error):
            log.error("a bug in the ledger", exc_info=error)
        if self._store and not is_busy_or_full(error):
            self._store.close()
            self._store = None
        if is_damaged(error):
            self._set_aside()

    def _set_aside(self) -> None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        aside = self._path.with_name(f"{self._path.name}.damaged-{stamp}")
        try:
            self._path.rename(aside)
            for suffix in ("-wal", "-shm"):
                side = self._path.with_name(self._path.name + suffix)
                if side.exists():
                    side.rename(aside.with_name(aside.name + suffix))
        except OSError as error:
            log.error("the damaged database cannot be set aside", error=str(error))
            return
        self._health.set_aside += 1
        log.error("the database is damaged: it was set aside and a new one begun", kept_as=str(aside))

    def _pause(self, seconds: float) -> None:
        if seconds <= 0:
            return
        if self._closing.is_set():
            time.sleep(min(seconds, PACE))
        else:
            self._closing.wait(seconds)

    def _finish(self) -> None:
        left = self._backlog.take(sys.maxsize, 0.0)
        if lost := sum(isinstance(item, Event) for item in left):
            log.error("events are lost: they could not be written before the end", events=lost)
        for item in left:
            if not isinstance(item, Event):
                self._tell(_fail, item.done, LedgerError("the ledger is closed"))
        if self._store:
            self._store.close()

    # --- back on the loop ---------------------------------------------------------------------------------------------

    def _tell(self, callback: Callable[[*Ts], object], *args: *Ts) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(callback, *args)

    def _after(self, results: list[tuple[AnyJob, object]], touched: frozenset[str]) -> None:
        self._written(touched)
        for job, result in results:
            if isinstance(result, Failure):
                _fail(job.done, result.error)
            else:
                _finish(job.done, result)


@dataclass(frozen=True, slots=True)
class Failure:
    """The result of a job that raised."""

    error: Exception


def _finish(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[T], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
