"""What the disk can do: full, locked, damaged, gone. Calls never notice; what could be kept is kept and delivered."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ledger.support import SECRET, WHO, house, receiving, said, started
from tests.ledger.support import ended as call_ended
from voxtrad.events.types import AgentSpeechStarted, ToolCompleted
from voxtrad.ledger.backlog import Room
from voxtrad.ledger.ledger import Ledger, open_ledger
from voxtrad.ledger.queries import CallFilter, MessageFilter, list_calls, list_messages
from voxtrad.ledger.room import Limits
from voxtrad.ledger.schema import FILE_NAME, DamagedDatabase, LedgerError
from voxtrad.ledger.store import Settings, Store
from voxtrad.outbound.delivery import Endpoint

NOBODY_LISTENS = Endpoint("crm", "http://127.0.0.1:1/", (SECRET,), ("*",))


def set_aside(data_dir: Path) -> list[bytes]:
    return [file.read_bytes() for file in data_dir.glob(FILE_NAME + ".damaged-*")]


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Another program holds the database for writing."""
    other = sqlite3.connect(data_dir / FILE_NAME, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


async def until(ledger: Ledger, what: str) -> None:
    """Wait until the writer reports trouble."""
    async with asyncio.timeout(20):
        while what not in ledger.stats().failing:
            await asyncio.to_thread(lambda: None)


async def test_a_locked_database_holds_up_nothing_and_loses_nothing(tmp_path: Path) -> None:
    async with receiving() as receiver, house(tmp_path, receiver.endpoint()) as here:
        here.ledger.record(started())
        await here.settled()
        with locked(tmp_path):
            for number in range(2000):
                here.ledger.record(said(str(number)))
            await until(here.ledger, "locked")
            here.ledger.record(call_ended())
            assert here.ledger.stats().unwritten > 0
            calls = await here.ledger.read(lambda db: list_calls(db, CallFilter()))
            assert len(calls.items) == 1, "reading goes on"
        await here.ledger.flush()
        assert here.ledger.stats().failing == ""
        assert here.ledger.stats().failures > 0
        messages = await here.ledger.read(
            lambda db: db.execute("SELECT count(*), max(sequence) FROM outbox").fetchone()
        )
        assert tuple(messages) == (2002, 2002)


async def test_memory_is_bounded_while_the_database_is_locked(tmp_path: Path) -> None:
    async with open_ledger(tmp_path, Settings((NOBODY_LISTENS,)), room=Room(events=100)) as ledger:
        ledger.record(started())
        await ledger.flush()
        with locked(tmp_path):
            await_locked = asyncio.create_task(until(ledger, "locked"))
            for _ in range(300):
                ledger.record(AgentSpeechStarted(**WHO))
            for number in range(50):
                ledger.record(said(str(number)))
            await await_locked
            ledger.record(call_ended())
        await ledger.flush()
        rows = await ledger.read(lambda db: db.execute("SELECT type, sequence FROM outbox ORDER BY id").fetchall())
        stats = ledger.stats()
    assert [row["sequence"] for row in rows] == list(range(1, len(rows) + 1)), "what was dropped had no number yet"
    assert sum(row["type"] == "user.transcript" for row in rows) == 50
    assert rows[-1]["type"] == "call.ended"
    assert len(rows) + stats.dropped_unwritten == 1 + 300 + 50 + 1
    assert stats.dropped_unwritten > 0


async def test_a_file_that_is_no_database_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"this is not a database" * 500)  # nothing else runs yet
    async with receiving() as receiver, house(tmp_path, receiver.endpoint()) as here:
        here.ledger.record(started())
        await here.settled()
        assert receiver.sequences() == [1]
        assert here.ledger.stats().set_aside == 1
    assert set_aside(tmp_path) == [b"this is not a database" * 500]


async def test_a_file_that_breaks_while_calls_run_is_replaced_and_numbers_go_on(tmp_path: Path) -> None:
    async with receiving() as receiver, house(tmp_path, receiver.endpoint()) as here:
        here.ledger.record(started())
        here.ledger.record(said("before"))
        await here.settled()

        broken = iter([True])

        def breaks_once(store: Store) -> None:
            if next(broken, False):
                raise DamagedDatabase("as SQLite says when it meets a torn page")

        here.ledger.record(said("in the same batch"))
        await here.ledger._do(breaks_once)
        here.ledger.record(call_ended())
        await here.settled()
        calls = (await here.ledger.read(lambda db: list_calls(db, CallFilter()))).items
    assert receiver.sequences() == [1, 2, 3, 4]
    assert here.ledger.stats().set_aside == 1
    assert [(call["id"], call["outcome"]) for call in calls] == [("c_1", "completed")]


async def test_a_batch_that_fails_half_way_is_done_again_as_if_it_had_not_begun(tmp_path: Path) -> None:
    class Full(sqlite3.OperationalError):
        sqlite_errorcode = sqlite3.SQLITE_FULL

    fails = iter([True])

    def fails_once(_: Store) -> None:
        if next(fails, False):
            raise Full("database or disk is full")

    settings = Settings((NOBODY_LISTENS,), {"payments": "none"})
    async with open_ledger(tmp_path, settings) as ledger:
        ledger.record(started())
        await ledger.flush()
        ledger.record(said("4111 1111 1111 1111", agent="payments"))
        await ledger._do(fails_once)
        assert ledger.stats().failures == 1
        (call,) = (await ledger.read(lambda db: list_calls(db, CallFilter()))).items
        messages = (await ledger.read(lambda db: list_messages(db, MessageFilter()))).items
    assert call["privacy"] == "none"
    assert [message["sequence"] for message in messages] == [2, 1]


async def test_torn_pages_are_found_and_the_file_replaced(tmp_path: Path) -> None:
    async with open_ledger(tmp_path, Settings((NOBODY_LISTENS,))) as ledger:
        for number in range(300):
            ledger.record(started(f"c_{number}"))
            ledger.record(call_ended(f"c_{number}"))
    with (tmp_path / FILE_NAME).open("r+b") as file:  # nothing else runs
        size = file.seek(0, 2)
        file.seek(4096)
        file.write(b"\xa5" * (size - 4096))
    async with open_ledger(tmp_path, Settings((NOBODY_LISTENS,))) as ledger:
        ledger.record(started("c_new"))
        ledger.record(call_ended("c_new"))
        await ledger.flush()
        assert ledger.stats().set_aside == 1
        messages = (await ledger.read(lambda db: list_messages(db, MessageFilter()))).items
    assert [(message["call_id"], message["sequence"]) for message in messages] == [("c_new", 2), ("c_new", 1)]


async def test_what_only_a_reader_meets_the_writer_learns_of(tmp_path: Path) -> None:
    async with open_ledger(tmp_path, Settings()) as ledger:
        ledger.record(started())
        await ledger.flush()
        checked = asyncio.Event()
        real, loop = Store.check, asyncio.get_running_loop()

        def damaged(db: sqlite3.Connection) -> None:
            raise DamagedDatabase("as SQLite says when it meets a torn page")

        def check(store: Store) -> None:
            real(store)
            loop.call_soon_threadsafe(checked.set)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Store, "check", check)
            with pytest.raises(LedgerError, match="cannot be read"):
                await ledger.read(damaged)
            async with asyncio.timeout(20):
                await checked.wait()


async def test_an_event_that_cannot_be_written_harms_no_other(tmp_path: Path) -> None:
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    bad = ToolCompleted(**WHO, tool="t", tool_call_id="t", outcome="ok", duration=0.1, result=nested)  # type: ignore[arg-type]  # deep JSON
    async with open_ledger(tmp_path, Settings((NOBODY_LISTENS,))) as ledger:
        ledger.record(started())
        ledger.record(bad)
        ledger.record(call_ended())
        await ledger.flush()
        rows = (await ledger.read(lambda db: list_messages(db, MessageFilter()))).items
        assert [(row["type"], row["sequence"]) for row in rows] == [("call.ended", 2), ("call.started", 1)]
        assert ledger.stats().refused == 1


async def test_a_job_that_fails_fails_alone(tmp_path: Path) -> None:
    def fails(store: Store) -> None:
        store.db.execute("DELETE FROM calls")
        raise ZeroDivisionError

    async with open_ledger(tmp_path, Settings()) as ledger:
        ledger.record(started())
        with pytest.raises(ZeroDivisionError):
            await ledger._do(fails)
        assert len((await ledger.read(lambda db: list_calls(db, CallFilter()))).items) == 1


async def test_a_closed_ledger_says_so_and_record_still_does_not_raise(tmp_path: Path) -> None:
    async with open_ledger(tmp_path, Settings()) as ledger:
        pass
    ledger.record(started())
    with pytest.raises(LedgerError, match="closed"):
        await ledger.flush()


async def test_closing_does_not_wait_for_ever_for_a_locked_database(tmp_path: Path) -> None:
    async with open_ledger(tmp_path, Settings(), close_timeout=0.1) as ledger:
        await ledger.flush()
        lock = locked(tmp_path)
        lock.__enter__()
        ledger.record(started())
        waiting = asyncio.create_task(ledger.flush())
        await until(ledger, "locked")
    with pytest.raises(LedgerError, match="closed"):
        await waiting
    lock.__exit__(None, None, None)


async def test_a_data_dir_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()  # nothing else runs yet
    with pytest.raises(LedgerError, match="data_dir"):
        async with open_ledger(tmp_path / "file" / "var", Settings()):
            pass


async def test_the_store_is_bounded_and_speech_goes_first(tmp_path: Path) -> None:
    limits = Limits(rows=200)
    async with open_ledger(tmp_path, Settings((NOBODY_LISTENS,)), limits=limits) as ledger:
        ledger.record(started())
        for _ in range(150):
            ledger.record(AgentSpeechStarted(**WHO))
            ledger.record(said("kept"))
        ledger.record(call_ended())
        await ledger.flush()
        await ledger._do(Store.keep_house)
        rows = await ledger.read(
            lambda db: db.execute("SELECT type, count(*) AS n FROM outbox GROUP BY type").fetchall()
        )
        kept = {row["type"]: row["n"] for row in rows}
        stats = ledger.stats()
        held = await ledger.read(
            lambda db: db.execute("SELECT count(*) FROM outbox WHERE state = 'waiting'").fetchone()[0]
        )
    assert kept == {"call.started": 1, "user.transcript": 150, "call.ended": 1}
    assert stats.dropped_speech == 150
    assert stats.dropped_messages == 0
    assert stats.dropped_records == 1, "then the record went, as messages alone are nearly all there is room for"
    assert held == 1, "the first that is left can go"


async def test_the_file_stays_within_its_bytes(tmp_path: Path) -> None:
    limits = Limits(bytes=1_000_000)
    async with open_ledger(tmp_path, Settings((NOBODY_LISTENS,)), limits=limits) as ledger:
        for number in range(40):
            ledger.record(started(f"c_{number}"))
            for _ in range(10):
                ledger.record(said("x" * 5000, f"c_{number}"))
            ledger.record(call_ended(f"c_{number}"))
            await ledger.flush()
            await ledger._do(Store.keep_house)
        stats = ledger.stats()
        newest = (await ledger.read(lambda db: list_messages(db, MessageFilter(limit=1)))).items[0]
    assert stats.dropped_messages > 100
    assert newest["call_id"] == "c_39", "the newest stay"
    assert (tmp_path / FILE_NAME).stat().st_size < 1_500_000  # nothing else runs


FULL_DISK = """
import asyncio, resource, signal, sys
from pathlib import Path
from tests.ledger.support import *

async def main(data_dir: Path) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    async with receiving() as receiver, house(data_dir, receiver.endpoint()) as here:
        here.ledger.record(started())
        await here.settled()
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
        for number in range(100):
            here.ledger.record(said("x" * 10_000))
        while not here.ledger.stats().failing:
            await asyncio.to_thread(lambda: None)
        print("failing:", here.ledger.stats().failing)
        here.ledger.record(ended())
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await here.settled()
        assert here.ledger.stats().failing == "", here.ledger.stats()
        print("sequences:", receiver.sequences() == list(range(1, 103)))

asyncio.run(main(Path(sys.argv[1])))
"""


def test_a_full_disk_delays_delivery_and_loses_nothing(tmp_path: Path) -> None:
    """In a process of its own, whose files may not grow: writing fails as on a full disk, until they may again."""
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert "failing: disk I/O error" in done.stdout or "failing: database or disk is full" in done.stdout, done
    assert "sequences: True" in done.stdout, done
