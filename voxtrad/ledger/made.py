"""Calls that voxtrad was asked to make, kept for a day whatever becomes of their records: they are counted by it.

A client's key makes asking twice one call.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

DAY = 86400.0


@dataclass(frozen=True, slots=True)
class Made:
    """One such call."""

    call_id: str
    at: float
    """Seconds since 1970."""
    asked: str
    """A digest of what was asked for."""
    key: str | None = None


def note(db: sqlite3.Connection, made: Made) -> Made:
    """Keep it. Returns it, or the one that was made before with its key."""
    before = made_with(db, made.key) if made.key is not None else None
    if before is not None:
        return before
    values = made.call_id, made.at, made.key, made.asked
    db.execute("INSERT INTO made (call_id, at, key, asked) VALUES (?, ?, ?, ?)", values)
    return made


def forget(db: sqlite3.Connection, call_id: str) -> None:
    """It was not made."""
    db.execute("DELETE FROM made WHERE call_id = ?", (call_id,))


def forget_old(db: sqlite3.Connection, *, now: float) -> None:
    """What is older than a day counts no more."""
    db.execute("DELETE FROM made WHERE at < ?", (now - DAY,))


def made_with(db: sqlite3.Connection, key: str) -> Made | None:
    """The call that was made with a key."""
    row = db.execute("SELECT call_id, at, asked, key FROM made WHERE key = ?", (key,)).fetchone()
    return None if row is None else Made(*row)


def made_since(db: sqlite3.Connection, *, since: float) -> list[float]:
    """When calls were made, seconds since 1970, the first one first."""
    return [row[0] for row in db.execute("SELECT at FROM made WHERE at >= ? ORDER BY at", (since,))]
