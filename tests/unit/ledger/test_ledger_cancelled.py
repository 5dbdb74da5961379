"""What the writer's thread does for somebody who is cancelled while it is at it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from functools import partial
from pathlib import Path

from tests.ledger.support import SECRET, started
from voxtrad.ledger.ledger import Ledger, open_ledger
from voxtrad.ledger.made import Made, made_with
from voxtrad.ledger.store import Settings, Store
from voxtrad.outbound.delivery import Endpoint
from voxtrad.outbound.schedule import Delivered

NOBODY_LISTENS = Endpoint("crm", "http://127.0.0.1:1/", (SECRET,), ("*",))


class Gate:
    """A job of the ledger's that holds its thread."""

    def __init__(self, ledger: Ledger) -> None:
        self._reached, self._open = threading.Event(), threading.Event()
        self._done = ledger._submit(self._hold)

    def _hold(self, store: Store) -> None:
        self._reached.set()
        assert self._open.wait(20)

    async def reached(self) -> None:
        assert await asyncio.to_thread(self._reached.wait, 20)

    def open(self) -> None:
        self._open.set()


async def cancelled(task: asyncio.Task[object]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_a_call_that_nobody_makes_any_more_is_not_noted(tmp_path: Path) -> None:
    async with open_ledger(tmp_path, Settings()) as ledger:
        before = Gate(ledger)
        await before.reached()
        noting = asyncio.create_task(ledger.note_made(Made("c_1", 1e9, "digest", "a key")))
        await asyncio.sleep(0)
        after = Gate(ledger)  # of the same transaction
        before.open()
        await after.reached()
        await cancelled(noting)
        after.open()
        await ledger.flush()
        assert await ledger.read(partial(made_with, key="a key")) is None


async def test_what_was_delivered_is_kept_although_nobody_waits_for_it(tmp_path: Path) -> None:
    async with open_ledger(tmp_path, Settings(endpoints=(NOBODY_LISTENS,))) as ledger:
        ledger.record(started())
        await ledger.flush()
        (message,) = (await ledger.due("crm", now=time.time(), limit=9, busy=())).messages
        gate = Gate(ledger)
        await gate.reached()
        settling = asyncio.create_task(ledger.settle("crm", message.id, Delivered("200"), now=time.time()))
        await asyncio.sleep(0)
        await cancelled(settling)
        gate.open()
        assert not (await ledger.due("crm", now=time.time(), limit=9, busy=())).messages


async def test_closing_that_is_cancelled_waits_for_the_thread(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        ledger = await stack.enter_async_context(open_ledger(tmp_path, Settings()))
        gate = Gate(ledger)
        await gate.reached()
        closing = asyncio.create_task(stack.aclose())
        for _ in range(5):
            await asyncio.sleep(0)
        closing.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        assert not closing.done(), "another server could open it"
        gate.open()
        await cancelled(closing)
