"""Questions to the database: lists of calls and of messages, one call's record. Reading only.

Each takes a read-only connection, so that the API (`Ledger.read`) and the commands ask the same way, beside a running
server or without one.
"""

from __future__ import annotations

import base64
import binascii
import json
import sqlite3
from dataclasses import dataclass
from typing import Literal, cast

from voxtrad.events.types import JSON
from voxtrad.ledger.outbox import iso
from voxtrad.ledger.records import build_record, read_entries, summary
from voxtrad.ledger.schema import LedgerError

MAX_PAGE = 500


class BadCursor(LedgerError):
    """The `after` of a page is not one that was given out."""


@dataclass(frozen=True, slots=True)
class Page:
    items: list[dict[str, JSON]]
    next: str | None
    """Pass as `after` for the page that follows; None on the last."""


@dataclass(frozen=True, slots=True)
class CallFilter:
    """Which calls, newest first. What is None does not matter."""

    agent: str | None = None
    outcome: str | None = None
    state: Literal["running", "ended"] | None = None
    number: str | None = None
    """Of the caller or dialled; a part of it will do."""
    since: float | None = None
    """Rang at or after; seconds since 1970, like `until`."""
    until: float | None = None
    after: str | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class MessageFilter:
    """Which messages of the outbox, newest first."""

    endpoint: str | None = None
    state: Literal["waiting", "delivered", "dead"] | None = None
    call_id: str | None = None
    after: str | None = None
    limit: int = 50


def list_calls(db: sqlite3.Connection, wanted: CallFilter) -> Page:
    """Raises `BadCursor`."""
    started, call_id = _cursor(wanted.after, (float, str)) or (None, None)
    limit = _limit(wanted.limit)
    rows = db.execute(
        "SELECT * FROM calls WHERE (:agent IS NULL OR agent = :agent) AND (:outcome IS NULL OR outcome = :outcome)"
        " AND (:state IS NULL OR (ended IS NULL) = (:state = 'running'))"
        " AND (:number IS NULL OR instr(caller, :number) OR instr(dialled, :number))"
        " AND started >= ifnull(:since, started) AND started < ifnull(:until, started + 1)"
        " AND (:started IS NULL OR (started, id) < (:started, :id)) ORDER BY started DESC, id DESC LIMIT :limit",
        {
            "agent": wanted.agent, "outcome": wanted.outcome, "state": wanted.state, "number": wanted.number,
            "since": wanted.since, "until": wanted.until, "started": started, "id": call_id, "limit": limit + 1,
        },
    ).fetchall()  # fmt: skip
    more = [rows[limit - 1]["started"], rows[limit - 1]["id"]] if len(rows) > limit else None
    return Page([summary(row) for row in rows[:limit]], _encode_cursor(more))


def show_call(db: sqlite3.Connection, call_id: str) -> dict[str, JSON] | None:
    """A call's record, also while it runs; None for an unknown call."""
    row = db.execute("SELECT * FROM calls WHERE id = ?", (call_id,)).fetchone()
    return None if row is None else build_record(row, read_entries(db, call_id))


def crashed_since(db: sqlite3.Connection, since: float) -> list[tuple[str, str]]:
    """Agent and direction of the calls of an earlier run whose end was written at or after `since`."""
    rows = db.execute("SELECT agent, direction FROM calls WHERE outcome = 'crashed' AND ended >= ?", (since,))
    return [(row["agent"], row["direction"]) for row in rows]


def list_messages(db: sqlite3.Connection, wanted: MessageFilter) -> Page:
    """Raises `BadCursor`. What was delivered is listed for a day."""
    (row_id,) = _cursor(wanted.after, (int,)) or (None,)
    limit = _limit(wanted.limit)
    rows = db.execute(
        "SELECT * FROM outbox WHERE (:endpoint IS NULL OR endpoint = :endpoint)"
        " AND (:call_id IS NULL OR call_id = :call_id)"
        " AND (:state IS NULL OR (CASE state WHEN 'held' THEN 'waiting' ELSE state END) = :state)"
        " AND (:id IS NULL OR id < :id) ORDER BY id DESC LIMIT :limit",
        {
            "endpoint": wanted.endpoint, "call_id": wanted.call_id, "state": wanted.state, "id": row_id,
            "limit": limit + 1,
        },
    ).fetchall()  # fmt: skip
    more = [rows[limit - 1]["id"]] if len(rows) > limit else None
    return Page([_message(row) for row in rows[:limit]], _encode_cursor(more))


def list_endpoints(db: sqlite3.Connection) -> list[dict[str, JSON]]:
    """The endpoints that were ever configured, with what waits for each and since when one is disabled."""
    rows = db.execute(
        "SELECT name, disabled, answer, count(id) FILTER (WHERE state IN ('waiting', 'held')) AS waiting,"
        " count(id) FILTER (WHERE state = 'dead') AS dead FROM endpoints"
        " LEFT JOIN (SELECT id, endpoint, state FROM outbox) ON endpoint = name GROUP BY name ORDER BY name"
    )
    return [
        {
            "name": row["name"], "waiting": row["waiting"], "dead": row["dead"],
            "disabled": None if row["disabled"] is None else iso(row["disabled"]), "answer": row["answer"],
        }
        for row in rows
    ]  # fmt: skip


def _message(row: sqlite3.Row) -> dict[str, JSON]:
    waits = row["state"] in ("waiting", "held")
    return {
        "id": row["message_id"], "endpoint": row["endpoint"], "type": row["type"], "call_id": row["call_id"],
        "sequence": row["sequence"], "state": "waiting" if waits else row["state"], "attempts": row["attempts"],
        "answer": row["answer"], "queued": iso(row["queued"]), "due": iso(row["due"]) if waits else None,
        "settled": None if row["settled"] is None else iso(row["settled"]),
    }  # fmt: skip


def _limit(wanted: int) -> int:
    return max(1, min(wanted, MAX_PAGE))


def _encode_cursor(values: list[JSON] | None) -> str | None:
    return None if values is None else base64.urlsafe_b64encode(json.dumps(values).encode()).decode()


def _cursor(text: str | None, kinds: tuple[type, ...]) -> tuple[float | int | str, ...] | None:
    if text is None:
        return None
    try:
        values = json.loads(base64.urlsafe_b64decode(text.encode()))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise BadCursor("not a page's cursor") from error
    fits = isinstance(values, list) and len(values) == len(kinds)
    if not fits or not all(type(value) is kind for value, kind in zip(values, kinds, strict=True)):
        raise BadCursor("not a page's cursor")
    return tuple(cast("list[float | int | str]", values))
