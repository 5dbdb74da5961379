"""How long things are kept, and what goes when there is no room: the housekeeping of the database.

What is dropped is dropped in this order, oldest first: the log of what was delivered; undelivered speech events; dead
letters; records of calls; and only then other messages that somebody still waits for.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from voxtrad.ledger.made import forget_old
from voxtrad.ledger.outbox import OutboxTable

DELIVERED_KEPT = 86400.0
"""Seconds for which `voxtrad events list` still shows what was delivered."""
_CHUNK = 500
_DOWN_TO = 0.9


@dataclass(frozen=True, slots=True)
class Limits:
    """How large the database may grow."""

    rows: int = 2_000_000
    """Messages and record entries together."""
    bytes: int = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class Dropped:
    """What had to go undelivered or before its time."""

    speech: int = 0
    messages: int = 0
    """Other messages, dead letters among them."""
    records: int = 0
    owed: Mapping[str, int] = field(default_factory=dict)
    """Those of the messages that were still to be delivered, by endpoint."""

    def __add__(self, other: Dropped) -> Dropped:
        return Dropped(
            self.speech + other.speech,
            self.messages + other.messages,
            self.records + other.records,
            Counter(self.owed) + Counter(other.owed),
        )


@dataclass(frozen=True, slots=True)
class Housekeeping:
    """What a round did."""

    expired: dict[str, int] = field(default_factory=dict)
    """Messages that became dead letters by age, by endpoint."""
    dropped: Dropped = field(default_factory=Dropped)
    forgotten: tuple[str, ...] = ()
    """Calls whose records went."""


def keep_house(db: sqlite3.Connection, *, now: float, retention: float, limits: Limits) -> Housekeeping:
    """One round: give up what is too old, forget what was kept long enough, make room."""
    expired = OutboxTable(db).expire(now=now)
    forgotten = forget(db, now=now, retention=retention)
    return Housekeeping(expired, make_room(db, limits, forgotten), tuple(forgotten))


def forget(db: sqlite3.Connection, *, now: float, retention: float) -> list[str]:
    """Delete records of calls that ended longer ago than `retention` seconds, and old letters. Returns those calls."""
    forget_old(db, now=now)
    db.execute("DELETE FROM outbox WHERE state = 'delivered' AND settled < ?", (now - min(DELIVERED_KEPT, retention),))
    db.execute("DELETE FROM outbox WHERE state = 'dead' AND settled < ?", (now - retention,))
    forgotten: list[str] = []
    while gone := _delete_calls(db, "ended < ?", (now - retention,)):
        forgotten += gone
    return forgotten


def make_room(db: sqlite3.Connection, limits: Limits, forgotten: list[str]) -> Dropped:
    """Drop, in the order above, until there is room again; calls whose records go are added to `forgotten`."""
    if _use(db, limits) <= 1:
        return Dropped()

    owed: Counter[str] = Counter()

    def drop(where: str) -> int:
        done = 0
        while _use(db, limits) > _DOWN_TO:
            gone = db.execute(
                f"DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE {where} ORDER BY id LIMIT {_CHUNK})"
                " RETURNING endpoint, state"
            ).fetchall()
            if not gone:
                break
            owed.update(row["endpoint"] for row in gone if row["state"] in ("waiting", "held"))
            done += len(gone)
        return done

    drop("state = 'delivered'")
    speech = drop("speech AND state <> 'delivered'")
    messages = drop("state = 'dead'")
    records = 0
    while _use(db, limits) > _DOWN_TO and (gone := _delete_calls(db, "ended IS NOT NULL", ())):
        records += len(gone)
        forgotten += gone
    messages += drop("TRUE")
    OutboxTable(db).release_all()
    return Dropped(speech, messages, records, owed)


def _use(db: sqlite3.Connection, limits: Limits) -> float:
    """The larger part of a limit that is used up: 1 is full. Free pages inside the file are room."""
    pages, free, size = (
        db.execute(f"PRAGMA {what}").fetchone()[0] for what in ("page_count", "freelist_count", "page_size")
    )
    rows = db.execute("SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM entries)").fetchone()[0]
    return float(max((pages - free) * size / limits.bytes, rows / limits.rows))


def _delete_calls(db: sqlite3.Connection, where: str, values: tuple[float, ...]) -> list[str]:
    """Delete some of the oldest ended calls, and tell which. What is still owed of them to an endpoint stays."""
    ids = [
        (row["id"],)
        for row in db.execute(f"SELECT id FROM calls WHERE {where} ORDER BY ended LIMIT {_CHUNK // 10}", values)
    ]
    for table, column in (("entries", "call_id"), ("sequences", "call_id"), ("calls", "id")):
        db.executemany(f"DELETE FROM {table} WHERE {column} = ?", ids)
    return [call_id for (call_id,) in ids]
