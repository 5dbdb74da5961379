"""The outbox's table: which endpoint is owed which message, numbered, and what became of it.

Of one call an endpoint has at most one message that holds back others: `waiting`, in its first `HOLDS_FOR` tries. Those
behind it are `held` until it is delivered or goes its own slow way; so looking for what is due never wades through a
backlog. All runs inside the writer's transaction and thread.
"""

from __future__ import annotations

import json
import sqlite3
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isfinite

from voxtrad.events.types import JSON, PromisedEvent
from voxtrad.outbound.delivery import Due, Endpoint, Message
from voxtrad.outbound.schedule import HOLDS_FOR, Dead, Delivered, Gone, Progress, Retry, Verdict

PARTIAL = "user.transcript.partial"
SPEECH = frozenset({
    PARTIAL, "user.speech.started", "user.speech.ended", "agent.speech.started", "agent.speech.ended", "agent.thinking",
    "silence.detected",
})  # fmt: skip
"""Events that tell of sounds rather than of words or deeds: where there is no room they are dropped first."""


def wants(patterns: Sequence[str], name: str) -> bool:
    """Whether an endpoint with these patterns is sent events of this name."""
    if name in patterns:
        return True
    return name != PARTIAL and any(
        pattern == "*" or (pattern.endswith(".*") and name.startswith(pattern[:-1])) for pattern in patterns
    )


def encode(event: PromisedEvent, sequence: int | None) -> bytes:
    """The body that is signed and sent. Raises `RecursionError` for data nested past what Python writes."""
    data: dict[str, JSON] = {"call_id": event.call_id}
    if sequence is not None:
        data["sequence"] = sequence
    return to_json({"type": event.name, "timestamp": iso(event.timestamp), "data": data | event.data()}).encode()


def iso(timestamp: float) -> str:
    """`2026-03-01T09:30:00.125Z`."""
    return datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_json(value: JSON) -> str:
    """JSON that any parser reads: no NaN (null instead), no half surrogate pairs (`?`)."""
    text = json.dumps(_plain(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace").decode()


def _plain(value: JSON) -> JSON:
    match value:
        case str() | bool() | int() | None:
            return value
        case float():
            return value if isfinite(value) else None
        case Mapping():
            return {str(key): _plain(item) for key, item in value.items()}
        case _:
            return [_plain(item) for item in value]


@dataclass(frozen=True, slots=True)
class Counts:
    """What is in the outbox."""

    undelivered: int = 0
    oldest: float | None = None
    """Since when the oldest undelivered message waits, in seconds since 1970."""
    dead: Mapping[str, int] = field(default_factory=dict)
    """Dead letters by endpoint."""
    disabled: frozenset[str] = frozenset()
    """Endpoints that answered 410."""


class OutboxTable:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    # --- in -----------------------------------------------------------------------------------------------------------

    def append(self, event: PromisedEvent, endpoint: Endpoint, *, now: float, known: int = 0) -> int | None:
        """Owe `endpoint` this event, with the next number of its call, which is returned; partials have none.

        `known` is the last number given out as the caller remembers it, for when the file has lost count.
        """
        sequence = None if event.name == PARTIAL else self._next_number(endpoint.name, event.call_id, known)
        self._db.execute(
            "INSERT INTO outbox (message_id, endpoint, call_id, sequence, type, speech, body, state, queued, due,"
            " planned, expires) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                f"msg_{uuid.uuid4().hex}", endpoint.name, event.call_id, sequence, event.name, event.name in SPEECH,
                encode(event, sequence), "held" if self._is_held(endpoint.name, event.call_id) else "waiting",
                now, now, now, now + endpoint.max_age,
            ),
        )  # fmt: skip
        return sequence

    def _next_number(self, endpoint: str, call_id: str, known: int) -> int:
        row = self._db.execute(
            "INSERT INTO sequences VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET last = last + 1 RETURNING last",
            (endpoint, call_id, known + 1),
        ).fetchone()
        return int(row["last"])

    def _is_held(self, endpoint: str, call_id: str) -> bool:
        row = self._db.execute(
            "SELECT 1 FROM outbox WHERE endpoint = ? AND call_id = ? AND state IN ('waiting', 'held')"
            " AND (state = 'held' OR step < ?) LIMIT 1",
            (endpoint, call_id, HOLDS_FOR),
        ).fetchone()
        return row is not None

    # --- out ----------------------------------------------------------------------------------------------------------

    def due(self, endpoint: str, *, now: float, limit: int, busy: Collection[str]) -> Due:
        """See `voxtrad.outbound.delivery.Outbox.due`."""
        if self._db.execute("SELECT 1 FROM endpoints WHERE name = ? AND disabled IS NOT NULL", (endpoint,)).fetchone():
            return Due((), None)
        rows = self._db.execute(
            "SELECT message_id, call_id, body, step, planned, expires FROM outbox"
            " WHERE endpoint = ? AND state = 'waiting' AND due <= ? AND expires > ?"
            " AND call_id NOT IN (SELECT value FROM json_each(?)) ORDER BY due, id LIMIT ?",
            (endpoint, now, now, json.dumps(list(busy)), limit),
        )
        first: dict[str, Message] = {}
        for row in rows:
            progress = Progress(row["step"], row["planned"], row["expires"])
            first.setdefault(row["call_id"], Message(row["message_id"], row["call_id"], row["body"], progress))
        upcoming = self._db.execute(
            "SELECT MIN(due) AS due FROM outbox WHERE endpoint = ? AND state = 'waiting' AND due > ?", (endpoint, now)
        ).fetchone()
        return Due(tuple(first.values()), upcoming["due"])

    def settle(self, endpoint: str, message_id: str, verdict: Verdict, *, now: float) -> None:
        """See `voxtrad.outbound.delivery.Outbox.settle`. A message that is not there any more is no error."""
        row = self._db.execute(
            "UPDATE outbox SET attempts = attempts + 1, answer = ? WHERE message_id = ? AND endpoint = ?"
            " AND state = 'waiting' RETURNING id, call_id",
            (verdict.summary, message_id, endpoint),
        ).fetchone()
        if row is None:
            return
        match verdict:
            case Delivered():
                self._db.execute(
                    "UPDATE outbox SET state = 'delivered', body = x'', settled = ? WHERE id = ?", (now, row["id"])
                )
            case Dead():
                self._db.execute("UPDATE outbox SET state = 'dead', settled = ? WHERE id = ?", (now, row["id"]))
            case Retry():
                self._db.execute(
                    "UPDATE outbox SET step = ?, due = ?, planned = ?, not_before = ? WHERE id = ?",
                    (verdict.step, verdict.planned, verdict.planned, verdict.not_before, row["id"]),
                )
            case Gone():
                self._db.execute(
                    "UPDATE endpoints SET disabled = ?, answer = ? WHERE name = ?", (now, verdict.summary, endpoint)
                )
        self._release(endpoint, row["call_id"])

    def hurry(self, *, now: float, endpoint: str | None = None) -> None:
        """Make due what waits for a later try, except where the receiver asked for that time."""
        self._db.execute(
            "UPDATE outbox SET due = min(due, max(?, not_before))"
            " WHERE state = 'waiting' AND endpoint = ifnull(?, endpoint)",
            (now, endpoint),
        )

    def _release(self, endpoint: str, call_id: str) -> None:
        """Let the next one of the call go, unless another holds it."""
        self._db.execute(
            "UPDATE outbox SET state = 'waiting' WHERE id = ("
            " SELECT min(id) FROM outbox WHERE endpoint = :endpoint AND call_id = :call_id AND state = 'held')"
            " AND NOT EXISTS (SELECT 1 FROM outbox WHERE endpoint = :endpoint AND call_id = :call_id"
            " AND state = 'waiting' AND step < :holds)",
            {"endpoint": endpoint, "call_id": call_id, "holds": HOLDS_FOR},
        )

    def release_all(self) -> None:
        """The same for every call, after messages went away in bulk."""
        held = self._db.execute("SELECT DISTINCT endpoint, call_id FROM outbox WHERE state = 'held'").fetchall()
        for row in held:
            self._release(row["endpoint"], row["call_id"])

    # --- what people do -----------------------------------------------------------------------------------------------

    def configure(self, endpoints: Sequence[Endpoint], *, enable: bool) -> None:
        """Know the endpoints. One that is disabled stays so unless `enable` is given or its URL is another now."""
        for endpoint in endpoints:
            self._db.execute(
                "INSERT INTO endpoints (name, url) VALUES (:name, :url) ON CONFLICT DO UPDATE"
                " SET disabled = CASE WHEN :enable OR url <> :url THEN NULL ELSE disabled END, url = :url",
                {"name": endpoint.name, "url": endpoint.url, "enable": enable},
            )

    def enable(self, endpoint: str) -> bool:
        """Take a disabled endpoint back. False when there is none of this name."""
        known = self._db.execute("UPDATE endpoints SET disabled = NULL, answer = '' WHERE name = ?", (endpoint,))
        return known.rowcount > 0

    def replay(self, *, now: float, endpoint: str | None, message_id: str | None) -> int:
        """Put dead letters back, from the first try on and with their full time. Returns how many."""
        revived = self._db.execute(
            "UPDATE outbox SET state = 'held', step = 0, due = :now, planned = :now, not_before = 0, settled = NULL,"
            " expires = :now + (expires - queued), queued = :now WHERE state = 'dead'"
            " AND endpoint = ifnull(:endpoint, endpoint) AND message_id = ifnull(:message_id, message_id)",
            {"now": now, "endpoint": endpoint, "message_id": message_id},
        )
        self.release_all()
        return revived.rowcount

    # --- what time does -----------------------------------------------------------------------------------------------

    def expire(self, *, now: float) -> dict[str, int]:
        """Move what has become too old to the dead letters. Returns how many for which endpoint."""
        rows = self._db.execute(
            "UPDATE outbox SET state = 'dead', settled = ?, answer = ifnull(nullif(answer, ''), 'too old')"
            " WHERE state IN ('waiting', 'held') AND expires <= ? RETURNING endpoint",
            (now, now),
        ).fetchall()
        if rows:
            self.release_all()
        counts: dict[str, int] = {}
        for row in rows:
            counts[row["endpoint"]] = counts.get(row["endpoint"], 0) + 1
        return counts

    def counts(self) -> Counts:
        waiting = self._db.execute(
            "SELECT count(*) AS number, min(queued) AS oldest FROM outbox WHERE state IN ('waiting', 'held')"
        ).fetchone()
        dead = self._db.execute(
            "SELECT endpoint, count(*) AS number FROM outbox WHERE state = 'dead' GROUP BY endpoint"
        )
        disabled = self._db.execute("SELECT name FROM endpoints WHERE disabled IS NOT NULL")
        return Counts(
            waiting["number"],
            waiting["oldest"],
            {row["endpoint"]: row["number"] for row in dead},
            frozenset(row["name"] for row in disabled),
        )
