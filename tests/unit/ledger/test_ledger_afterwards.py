"""What comes after a call's end: numbered on, as private as the call; and recordings, which go with the record."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.ledger.support import WHO, Clock, ended, house, receiving, said, started
from voxtrad.api.watch import Watch
from voxtrad.events.bus import Bus
from voxtrad.events.types import AgentSpeechStarted, CallAnalyzed, RecordingReady
from voxtrad.ledger.ledger import Ledger, open_ledger
from voxtrad.ledger.privacy import Privacy
from voxtrad.ledger.queries import show_call
from voxtrad.ledger.recordings import FOLDER
from voxtrad.ledger.room import Limits
from voxtrad.ledger.schema import DamagedDatabase
from voxtrad.ledger.store import Settings, Store
from voxtrad.outbound.delivery import Endpoint

NOBODY_LISTENS = Endpoint("crm", "http://127.0.0.1:1/", ("whsec_c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0",), ("*",))
LOCATION = "/v1/calls/c_1/recording"


def analyzed(agent: str = "support") -> CallAnalyzed:
    fields = {"order_id": "A17", "phone": "0207 123 4567"}
    return CallAnalyzed(
        call_id="c_1", agent=agent, summary="Rang about 471108.", fields=fields, success=True, reason="Told 471108."
    )


def ready() -> RecordingReady:
    return RecordingReady(**WHO, location=LOCATION, seconds=61.5)


async def record_of(ledger: Ledger, call_id: str = "c_1") -> dict[str, Any]:
    await ledger.flush()
    found = await ledger.read(lambda db: show_call(db, call_id))
    assert found is not None
    return found


async def test_late_events_are_numbered_on_and_stand_in_the_record(tmp_path: Path) -> None:
    async with (
        receiving() as receiver,
        house(tmp_path, receiver.endpoint(events=("call.*", "recording.ready"))) as here,
    ):
        for event in (started(), ended()):
            here.ledger.record(event)
        await here.settled()
        here.ledger.record(ready())
        here.ledger.record(analyzed())
        await here.settled()
        record = await record_of(here.ledger)
    assert [received.type for received in receiver.received] == [
        "call.started", "call.ended", "recording.ready", "call.analyzed",
    ]  # fmt: skip
    assert receiver.sequences() == [1, 2, 3, 4]
    assert record["recording"] == {"location": LOCATION, "seconds": 61.5}
    assert record["analysis"]["fields"]["order_id"] == "A17" and record["analysis"]["success"] is True
    assert record["state"] == "ended" and record["outcome"] == "completed"


async def test_late_events_are_numbered_on_though_the_file_was_lost(tmp_path: Path) -> None:
    async with open_ledger(tmp_path, Settings((NOBODY_LISTENS,))) as ledger:
        for event in (started(), said("hello"), ended()):
            ledger.record(event)
        await ledger.flush()
        broken = iter([True])

        def breaks_once(store: Store) -> None:
            if next(broken, False):
                raise DamagedDatabase("as SQLite says when it meets a torn page")

        await ledger._do(breaks_once)
        assert ledger.stats().set_aside == 1
        ledger.record(analyzed())
        await ledger.flush()
        rows = await ledger.read(lambda db: db.execute("SELECT type, sequence FROM outbox ORDER BY id").fetchall())
    assert [tuple(row) for row in rows][-1] == ("call.analyzed", 4)


@pytest.mark.parametrize(
    ("level", "summary", "fields"),
    [
        ("full", "Rang about 471108.", {"order_id": "A17", "phone": "0207 123 4567"}),
        ("redacted", "Rang about [number].", {"order_id": "A17", "phone": "[number]"}),
        ("none", "", {}),
    ],
)
async def test_an_analysis_is_as_private_as_the_strictest_agent_of_the_call(
    level: Privacy, summary: str, fields: dict[str, str], tmp_path: Path
) -> None:
    levels: dict[str, Privacy] = {"support": level, "sales": "full"}
    bus, watch = Bus(), Watch(lambda agent: levels[agent])
    watch.watch(bus)
    async with open_ledger(tmp_path, Settings((NOBODY_LISTENS,), levels)) as ledger:
        for event in (started(), said("471108", agent="sales"), ended(agent="sales"), analyzed("sales")):
            ledger.record(event)
            bus.publish(event)
        found = (await record_of(ledger))["analysis"]
        bodies = await ledger.read(lambda db: [bytes(row["body"]) for row in db.execute("SELECT body FROM outbox")])
    shown = watch.after(0)[-1].event
    assert isinstance(shown, CallAnalyzed)
    for given in (found, shown.data()):
        assert (given["summary"], dict(given["fields"]), given["success"]) == (summary, fields, True)
    assert (b"471108" in b"".join(bodies)) == (level == "full")


# --- recordings -------------------------------------------------------------------------------------------------------


def make_recording(data_dir: Path, call_id: str, at: float | None = None) -> Path:
    path = data_dir / FOLDER / f"{call_id}.wav"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"RIFF")
    if at is not None:
        os.utime(path, (at, at))
    return path


async def test_a_recording_goes_with_its_call(tmp_path: Path) -> None:
    async with open_ledger(tmp_path, Settings()) as ledger:
        for event in (started("c_1"), ended("c_1"), started("c_2")):
            ledger.record(event)
        path, running, stray = (make_recording(tmp_path, call_id) for call_id in ("c_1", "c_2", "c_3"))
        assert await ledger.recording("c_1") == path
        assert await ledger.delete_call("c_1") == "deleted"
        assert await ledger.delete_call("c_1") == "unknown"
        assert await ledger.recording("c_1") is None
        assert await ledger.delete_call("c_2") == "running"
        assert await ledger.delete_call("c_3") == "deleted", "a recording whose record was lost can be deleted too"
        assert (path.exists(), running.exists(), stray.exists()) == (False, True, False)


@pytest.mark.parametrize("call_id", ["../voxtrad.db", "..", "c_1/../../x", "c_" + "a" * 200, ""])
async def test_only_calls_have_recordings(call_id: str, tmp_path: Path) -> None:
    async with open_ledger(tmp_path, Settings()) as ledger:
        (tmp_path / "x.wav").touch()  # nothing else runs
        assert await ledger.recording(call_id) is None
        assert await ledger.delete_call(call_id) == "unknown"
        assert (tmp_path / "x.wav").exists()


async def test_retention_deletes_recordings(tmp_path: Path) -> None:
    clock = Clock()
    async with open_ledger(tmp_path, Settings(retention=100.0), clock=clock) as ledger:
        for event in (started("c_1"), ended("c_1", timestamp=clock.now)):
            ledger.record(event)
        mine, stray = make_recording(tmp_path, "c_1"), make_recording(tmp_path, "c_9", clock.now - 50)
        await ledger._do(Store.keep_house)
        assert mine.exists() and stray.exists()
        clock.advance(60)
        await ledger._do(Store.keep_house)
        assert mine.exists() and not stray.exists()
        clock.advance(60)
        await ledger._do(Store.keep_house)
        assert not mine.exists()


async def test_a_record_that_has_no_room_takes_its_recording_with_it(tmp_path: Path) -> None:
    async with open_ledger(tmp_path, Settings(), limits=Limits(rows=100)) as ledger:
        path = make_recording(tmp_path, "c_1")
        ledger.record(started("c_1"))
        for number in range(120):
            ledger.record(said(str(number)))
        ledger.record(ended("c_1"))
        await ledger.flush()
        await ledger._do(Store.keep_house)
        assert not path.exists() and ledger.stats().dropped_records == 1


# --- what is dropped, and how long a crashed call was -----------------------------------------------------------------


async def test_what_an_endpoint_is_never_sent_is_counted(tmp_path: Path) -> None:
    calls = Endpoint("calls", NOBODY_LISTENS.url, NOBODY_LISTENS.secrets, ("call.*",))
    async with open_ledger(tmp_path, Settings((NOBODY_LISTENS, calls)), limits=Limits(rows=100)) as ledger:
        ledger.record(started())
        for _ in range(60):
            ledger.record(AgentSpeechStarted(**WHO))
        await ledger.flush()
        await ledger._do(Store.keep_house)
        stats = ledger.stats()
    assert stats.dropped_speech > 0
    assert dict(stats.lost) == {"crm": stats.dropped_speech}


async def test_a_crashed_call_lasted_as_long_as_its_server_was_alive(tmp_path: Path) -> None:
    clock = Clock()
    began = clock.now
    async with open_ledger(tmp_path, Settings(), clock=clock) as ledger:
        ledger.record(started(timestamp=began))
        await ledger.flush()
        clock.advance(1800)  # half an hour in which nothing happened: a talk with somebody else
        await ledger._do(Store.beat)
    clock.advance(86_400)
    async with open_ledger(tmp_path, Settings(), clock=clock) as ledger:
        record = await record_of(ledger)
        assert record["outcome"] == "crashed" and record["duration"] == pytest.approx(1800, abs=1)
        assert await ledger.read(_instances) == 0


async def test_a_server_with_calls_gives_signs_of_life(tmp_path: Path) -> None:
    async with open_ledger(tmp_path, Settings()) as ledger:
        await ledger.flush()
        assert await ledger.read(_instances) == 0, "none without a call"
        ledger.record(started())
        async with asyncio.timeout(30):
            while not await ledger.read(_instances):
                await ledger.flush()


def _instances(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM instances").fetchone()[0])
