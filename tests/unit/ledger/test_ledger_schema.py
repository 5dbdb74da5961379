"""Migrations: from every schema that was ever released to the newest, all or nothing, never backwards."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from voxtrad.ledger.ledger import open_ledger
from voxtrad.ledger.queries import CallFilter, MessageFilter, list_calls, list_messages, show_call
from voxtrad.ledger.schema import FILE_NAME, MIGRATIONS, LedgerError, migrate, open_database, open_read_only
from voxtrad.ledger.store import Settings

SCHEMAS = Path(__file__).parent / "schemas"
RELEASED = sorted(int(file.stem) for file in SCHEMAS.glob("*.sql"))


def tables(db: sqlite3.Connection) -> set[tuple[str, str]]:
    return {(name, sql) for name, sql in db.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")}


def test_every_schema_that_was_released_has_an_example() -> None:
    assert list(range(1, len(MIGRATIONS) + 1)) == RELEASED


@pytest.mark.parametrize("version", [0, *RELEASED])
async def test_an_upgrade_keeps_what_was_there(tmp_path: Path, version: int) -> None:
    path = tmp_path / FILE_NAME
    with sqlite3.connect(path) as db:
        if version:
            db.executescript((SCHEMAS / f"{version}.sql").read_text())
    async with open_ledger(tmp_path, Settings(retention=1e12)) as ledger:
        await ledger.flush()
        calls = (await ledger.read(lambda db: list_calls(db, CallFilter()))).items
        record = await ledger.read(lambda db: show_call(db, "c_done"))
        waiting = (await ledger.read(lambda db: list_messages(db, MessageFilter(state="waiting")))).items
        upgraded = await ledger.read(tables)
    fresh = sqlite3.connect(":memory:")
    migrate(fresh)
    assert upgraded == tables(fresh)
    if version:
        assert {call["id"]: call["outcome"] for call in calls} == {"c_done": "completed", "c_open": "crashed"}
        assert record is not None
        assert record["transcript"] == [{"speaker": "caller", "text": "hello", "at": 1.0, "interrupted": False}]
        assert [item["type"] for item in waiting] == ["call.ended"]


def test_a_migration_that_fails_leaves_all_as_it_was() -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    migrate(db, ["CREATE TABLE a (x)"])
    before = tables(db)
    with pytest.raises(sqlite3.OperationalError):
        migrate(db, ["CREATE TABLE a (x)", "CREATE TABLE b (x); CREATE TABLE a (x)"])
    assert tables(db) == before
    assert db.execute("PRAGMA user_version").fetchone() == (1,)
    migrate(db, ["CREATE TABLE a (x)", "CREATE TABLE b (x)"])
    assert db.execute("PRAGMA user_version").fetchone() == (2,)


async def test_a_database_of_a_newer_voxtrad_is_not_touched(tmp_path: Path) -> None:
    db = open_database(tmp_path / FILE_NAME)
    db.execute("PRAGMA user_version = 999")
    db.close()
    with pytest.raises(LedgerError, match="999"):
        async with open_ledger(tmp_path, Settings()):
            pass
    with pytest.raises(LedgerError, match="999"):
        open_read_only(tmp_path / FILE_NAME)


def test_reading_does_no_harm(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="no database"):
        open_read_only(tmp_path / FILE_NAME)
    open_database(tmp_path / FILE_NAME).close()
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        open_read_only(tmp_path / FILE_NAME).execute("DELETE FROM calls")
