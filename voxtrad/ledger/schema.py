"""The database's schema, as the migrations that lead to it, and the opening of the file.

A migration that was released is never changed; what comes later is another one. Each runs in a transaction of its own
with the new number, so that a crash leaves the old schema or the new one.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Sequence
from pathlib import Path

from voxtrad.errors import VoxtradError

FILE_NAME = "voxtrad.db"

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE calls (
        id TEXT PRIMARY KEY,
        instance TEXT NOT NULL,             -- the run of the server that took the call
        agent TEXT NOT NULL,
        direction TEXT NOT NULL,
        caller TEXT NOT NULL,
        dialled TEXT NOT NULL,
        channel TEXT NOT NULL,
        linkedid TEXT NOT NULL,
        privacy TEXT NOT NULL,
        started REAL NOT NULL,              -- times are seconds since 1970
        answered REAL,
        ended REAL,
        outcome TEXT,
        reason TEXT,
        duration REAL,
        talk_time REAL
    ) STRICT;
    CREATE INDEX calls_by_start ON calls (started, id);
    CREATE INDEX calls_by_end ON calls (ended);

    CREATE TABLE entries (                  -- what happened on a call, in order
        id INTEGER PRIMARY KEY,
        call_id TEXT NOT NULL,
        at REAL NOT NULL,
        type TEXT NOT NULL,
        data TEXT NOT NULL
    ) STRICT;
    CREATE INDEX entries_by_call ON entries (call_id, id);

    CREATE TABLE outbox (                   -- one event for one endpoint
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        message_id TEXT NOT NULL UNIQUE,
        endpoint TEXT NOT NULL,
        call_id TEXT NOT NULL,
        sequence INTEGER,
        type TEXT NOT NULL,
        speech INTEGER NOT NULL,            -- may be dropped first
        body BLOB NOT NULL,                 -- emptied on delivery
        state TEXT NOT NULL,                -- waiting, held (behind an earlier one of its call), delivered, dead
        attempts INTEGER NOT NULL DEFAULT 0,
        step INTEGER NOT NULL DEFAULT 0,
        queued REAL NOT NULL,
        due REAL NOT NULL,
        planned REAL NOT NULL,
        not_before REAL NOT NULL DEFAULT 0,
        expires REAL NOT NULL,
        settled REAL,
        answer TEXT NOT NULL DEFAULT ''     -- to the last attempt
    ) STRICT;
    CREATE INDEX outbox_due ON outbox (endpoint, due, id) WHERE state = 'waiting';
    CREATE INDEX outbox_undelivered ON outbox (endpoint, call_id, id) WHERE state IN ('waiting', 'held');
    CREATE INDEX outbox_expires ON outbox (expires) WHERE state IN ('waiting', 'held');
    CREATE INDEX outbox_by_state ON outbox (state, id);
    CREATE INDEX outbox_by_call ON outbox (call_id);

    CREATE TABLE sequences (
        endpoint TEXT NOT NULL,
        call_id TEXT NOT NULL,
        last INTEGER NOT NULL,
        PRIMARY KEY (endpoint, call_id)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX sequences_by_call ON sequences (call_id);

    CREATE TABLE endpoints (
        name TEXT PRIMARY KEY,
        url TEXT NOT NULL,
        disabled REAL,                      -- since when, after a 410
        answer TEXT NOT NULL DEFAULT ''
    ) STRICT;
    """,
    """
    CREATE TABLE instances (                -- runs of the server that have calls
        id TEXT PRIMARY KEY,
        seen REAL NOT NULL                  -- when this one was alive for sure
    ) STRICT, WITHOUT ROWID;
    """,
    """
    CREATE TABLE made (                     -- calls that voxtrad was asked to make, for a day
        call_id TEXT PRIMARY KEY,
        at REAL NOT NULL,
        key TEXT UNIQUE,                    -- who asks twice with one key makes one call
        asked TEXT NOT NULL                 -- a digest of what was asked for
    ) STRICT;
    CREATE INDEX made_by_time ON made (at);
    """,
)


class LedgerError(VoxtradError):
    """The ledger cannot be opened or used. Never raised into a call."""


class DamagedDatabase(sqlite3.DatabaseError):
    """A check found what no statement has met yet."""

    sqlite_errorcode = sqlite3.SQLITE_CORRUPT


def open_database(path: Path) -> sqlite3.Connection:
    """Open the file for writing, make or migrate its tables. Only its owner may read it.

    Raises `LedgerError` for a file of a newer voxtrad, and what `sqlite3` raises.
    """
    path.touch(mode=0o600, exist_ok=True)
    path.chmod(0o600)
    connection = sqlite3.connect(path, timeout=1.0, isolation_level=None, check_same_thread=False)
    try:
        connection.row_factory = sqlite3.Row
        connection.execute("PRAGMA journal_mode = WAL")
        # A row must be on the disk before the first attempt: numbers that were sent are never given out again.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        connection.execute("PRAGMA secure_delete = FAST")
        migrate(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def open_read_only(path: Path) -> sqlite3.Connection:
    """A connection that can do no harm, beside a running server or without one. Raises `LedgerError`."""
    if not path.exists():
        raise LedgerError(f"there is no database at {path}", hint="has the server run with this configuration?")
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1.0)
        connection.row_factory = sqlite3.Row
        version = connection.execute("PRAGMA user_version").fetchone()[0]
    except sqlite3.Error as error:
        raise LedgerError(f"cannot read {path}: {error}") from error
    if version != len(MIGRATIONS):
        connection.close()
        raise LedgerError(f"{path} has schema {version}, this voxtrad reads {len(MIGRATIONS)}")
    return connection


def migrate(connection: sqlite3.Connection, migrations: Sequence[str] = MIGRATIONS) -> None:
    """Bring the tables from whatever version they have to the newest. Raises `LedgerError` when they are newer."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > len(migrations):
        raise LedgerError(
            f"the database has schema {version}, this voxtrad knows {len(migrations)}",
            hint="it was written by a newer voxtrad: install that one, or give another data_dir",
        )
    for number, script in enumerate(migrations[version:], version + 1):
        try:
            # executescript would commit first: the transaction is part of the script
            connection.executescript(f"BEGIN IMMEDIATE;\n{script};\nPRAGMA user_version = {number};\nCOMMIT;")
        except sqlite3.Error:
            if connection.in_transaction:
                connection.rollback()
            raise


def make_private(directory: Path) -> None:
    """Make the data directory, for its owner alone; one that exists and is ours is closed to others. Raises OSError."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = directory.stat()
    if facts.st_mode & 0o077 and facts.st_uid == os.geteuid() and not facts.st_mode & stat.S_ISVTX:
        directory.chmod(0o700)  # not a shared place like /tmp


def is_damaged(error: Exception) -> bool:
    """Whether an error means that the file itself is broken."""
    return _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_out_of_reach(error: Exception) -> bool:
    """Whether an error has its cause outside (a full disk, another's lock, a damaged file): the same may work later."""
    return isinstance(error, OSError) or _code(error) in _OUT_OF_REACH or is_damaged(error)


def is_busy_or_full(error: Exception) -> bool:
    """Whether the connection is as good as before."""
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL)


_OUT_OF_REACH = (
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PROTOCOL,
)  # fmt: skip


def _code(error: Exception) -> int | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
