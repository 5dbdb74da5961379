"""The record of a call: what is kept while it runs, and what is read out of it afterwards.

Kept are the events, as they were after `privacy`; transcript, tools, timeline and figures are folded out of them by
`build_record`, a pure function, so that nothing is stored twice and a call that crashed has a record as well.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from statistics import quantiles
from typing import Literal, cast

from voxtrad.events.types import (
    JSON,
    AgentResponse,
    BargeIn,
    CallAnalyzed,
    CallAnswered,
    CallEnded,
    CallStarted,
    Decision,
    Event,
    PromisedEvent,
    RecordingReady,
    TokensUsed,
    ToolCalled,
    ToolCompleted,
    TurnEnded,
    UserTranscript,
    UserTranscriptPartial,
)
from voxtrad.ledger.outbox import iso, to_json
from voxtrad.ledger.privacy import Privacy, redact

_ENVELOPE = frozenset({"call_id", "timestamp", "agent"})
_INTERNAL = {Decision: "decision", TokensUsed: "tokens"}
_Lines = Sequence[Mapping[str, JSON]]
_CRASHED = "the server stopped during the call"


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of a call as it is kept."""

    at: float
    """Seconds since 1970."""
    type: str
    data: Mapping[str, JSON]


def entry_of(event: Event) -> Entry | None:
    """What a call's record keeps of an event; nothing of partial transcripts and of most internal ones."""
    if isinstance(event, UserTranscriptPartial):
        return None
    if isinstance(event, PromisedEvent):
        data = {name: value for name, value in event.data().items() if name not in _ENVELOPE}
        return Entry(event.timestamp, event.name, data)
    for kind, name in _INTERNAL.items():
        if isinstance(event, kind):
            values = {f.name: getattr(event, f.name) for f in fields(event) if f.name not in _ENVELOPE}
            return Entry(event.timestamp, name, values)
    return None


class CallsTable:
    """Writes records. All runs inside the writer's transaction and thread."""

    def __init__(self, connection: sqlite3.Connection, instance: str) -> None:
        self._db = connection
        self._instance = instance

    def begin(self, event: CallStarted, privacy: Privacy) -> bool:
        """Open a record. False when the call has one already."""
        done = self._db.execute(
            "INSERT INTO calls (id, instance, agent, direction, caller, dialled, channel, linkedid, privacy, started)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (
                event.call_id, self._instance, event.agent, event.direction, event.caller, event.dialled,
                event.channel, event.linkedid, privacy, event.timestamp,
            ),
        )  # fmt: skip
        return done.rowcount > 0

    def keep(self, event: Event) -> None:
        """Add an event to its call's record, if there is one."""
        if isinstance(event, CallAnswered):
            self._db.execute("UPDATE calls SET answered = ? WHERE id = ?", (event.timestamp, event.call_id))
        if entry := entry_of(event):
            self._db.execute(
                "INSERT INTO entries (call_id, at, type, data) SELECT id, ?, ?, ? FROM calls WHERE id = ?",
                (entry.at, entry.type, to_json(entry.data), event.call_id),
            )

    def end(self, event: CallEnded) -> bool:
        """Close a record. False when the call has ended before: there is one `call.ended` for each call."""
        done = self._db.execute(
            "UPDATE calls SET ended = ?, outcome = ?, reason = ?, duration = ?, talk_time = ?, agent = ?"
            " WHERE id = ? AND ended IS NULL",
            (
                event.timestamp, event.outcome, event.reason, event.duration, event.talk_time, event.agent,
                event.call_id,
            ),
        )  # fmt: skip
        return done.rowcount > 0 or self.privacy(event.call_id) is None

    def privacy(self, call_id: str) -> Privacy | None:
        """The level of a call that has a record."""
        row = self._db.execute("SELECT privacy FROM calls WHERE id = ?", (call_id,)).fetchone()
        return None if row is None else row["privacy"]

    def tighten(self, call_id: str, privacy: Privacy) -> None:
        self._db.execute("UPDATE calls SET privacy = ? WHERE id = ?", (privacy, call_id))

    def crashed(self, *, now: float) -> list[CallEnded]:
        """The ends that calls of earlier runs of the server never got."""
        rows = self._db.execute(
            "SELECT calls.*, instances.seen FROM calls LEFT JOIN instances ON instances.id = instance"
            " WHERE ended IS NULL AND instance <> ? ORDER BY started",
            (self._instance,),
        ).fetchall()
        return [crash_of(row, read_entries(self._db, row["id"]), now=now) for row in rows]

    def seen(self, now: float) -> None:
        """This run of the server is alive, and so are its calls."""
        self._db.execute(
            "INSERT INTO instances VALUES (?, ?) ON CONFLICT DO UPDATE SET seen = excluded.seen", (self._instance, now)
        )

    def forget_instances(self) -> None:
        """Earlier runs of the server have no open calls any more."""
        self._db.execute("DELETE FROM instances WHERE id <> ?", (self._instance,))

    def delete(self, call_id: str) -> Literal["deleted", "unknown", "running"]:
        """Forget a call, with all that is owed of it to endpoints. One that runs stays."""
        row = self._db.execute("SELECT ended FROM calls WHERE id = ?", (call_id,)).fetchone()
        if row is None:
            return "unknown"
        if row["ended"] is None:
            return "running"
        for statement in (
            "DELETE FROM outbox WHERE call_id = ?",
            "DELETE FROM sequences WHERE call_id = ?",
            "DELETE FROM entries WHERE call_id = ?",
            "DELETE FROM calls WHERE id = ?",
        ):
            self._db.execute(statement, (call_id,))
        return "deleted"


# --- reading: pure, but for the row they come from --------------------------------------------------------------------


def read_entries(connection: sqlite3.Connection, call_id: str) -> list[Entry]:
    rows = connection.execute("SELECT at, type, data FROM entries WHERE call_id = ? ORDER BY id", (call_id,))
    return [Entry(row["at"], row["type"], json.loads(row["data"])) for row in rows]


def summary(call: sqlite3.Row) -> dict[str, JSON]:
    """A call in a list."""
    state = "ended" if call["ended"] is not None else "in-progress" if call["answered"] is not None else "ringing"
    return {
        "id": call["id"], "agent": call["agent"], "state": state, "direction": call["direction"],
        "from": call["caller"], "to": call["dialled"], "channel": call["channel"], "linkedid": call["linkedid"],
        "started": _when(call["started"]), "answered": _when(call["answered"]), "ended": _when(call["ended"]),
        "outcome": call["outcome"], "reason": call["reason"], "duration": call["duration"],
        "talk_time": call["talk_time"], "privacy": call["privacy"],
    }  # fmt: skip


def build_record(call: sqlite3.Row, entries: Sequence[Entry]) -> dict[str, JSON]:
    """Everything that is known of a call. Times inside it (`at`) are seconds since the ring."""
    started = float(call["started"])
    return summary(call) | {
        "transcript": transcript(entries, started),
        "tools": _tools(entries, started),
        "timeline": _timeline(entries, started),
        "turns": _turns(entries, started),
        "latency": _latency(entries),
        "tokens": _tokens(entries),
        "recording": _latest(entries, RecordingReady.name),
        "analysis": _latest(entries, CallAnalyzed.name),
    }


def transcript(entries: Iterable[Entry], started: float) -> list[dict[str, JSON]]:
    """Who said what when, and whether it was cut short."""
    spoken: list[dict[str, JSON]] = []
    for entry in entries:
        if entry.type == CallEnded.name and (said := cast("_Lines", entry.data["transcript"])):
            return [{**line, "interrupted": bool(line.get("interrupted"))} for line in said]
        if entry.type == UserTranscript.name and entry.data.get("merged"):
            beginning = next((line for line in reversed(spoken) if line["speaker"] == "caller"), None)
            spoken = [line for line in spoken if line is not beginning]
        if entry.type in (UserTranscript.name, AgentResponse.name):
            spoken.append({
                "speaker": "caller" if entry.type == UserTranscript.name else "agent",
                "text": entry.data["text"],
                "at": _since(entry, started),
                "interrupted": bool(entry.data.get("interrupted")),
            })  # fmt: skip
    return spoken


def crash_of(call: sqlite3.Row, entries: Sequence[Entry], *, now: float) -> CallEnded:
    """The end of a call whose server died: as long as something of it is known to have happened, or the server was
    alive."""
    started, answered = float(call["started"]), call["answered"]
    last = max([started, float(call["seen"] or started), *(entry.at for entry in entries)])
    ended = CallEnded(
        call_id=call["id"],
        agent=call["agent"],
        timestamp=now,
        outcome="crashed",
        reason=_CRASHED,
        duration=round(max(last - started, 0.0), 3),
        talk_time=0.0 if answered is None else round(max(last - float(answered), 0.0), 3),
        transcript=transcript(entries, started),
        latency=_latency(entries),
    )
    return replace(redact(ended, call["privacy"]), reason=_CRASHED)


def _since(entry: Entry, started: float) -> float:
    return round(max(entry.at - started, 0.0), 3)


def _when(timestamp: float | None) -> str | None:
    return None if timestamp is None else iso(timestamp)


def _tools(entries: Iterable[Entry], started: float) -> list[JSON]:
    tools: dict[JSON, dict[str, JSON]] = {}
    for entry in entries:
        if entry.type == ToolCalled.name:
            tools[entry.data["tool_call_id"]] = {"at": _since(entry, started), **entry.data, "outcome": None}
        elif entry.type == ToolCompleted.name:
            tools.setdefault(entry.data["tool_call_id"], {"at": _since(entry, started)}).update(entry.data)
    return list(tools.values())


_TOLD_BY_EVENTS = frozenset({
    "speech_started", "speech_ended", "silence", "answered_turn", "transfer", "transferred",
    "transfer_failed",
})  # fmt: skip
"""Decisions that an event tells as well, by the name that live events, webhooks and metrics know."""


def _timeline(entries: Iterable[Entry], started: float) -> list[JSON]:
    """What happened, each thing once: every event by its name, without the words, when it was told live, too; and
    the decisions that no event tells, as they were taken."""
    line: list[dict[str, JSON]] = []
    for entry in entries:
        if entry.type == "decision":
            if entry.data["what"] not in _TOLD_BY_EVENTS:
                line.append({"at": entry.data["at"], "what": entry.data["what"], "reason": entry.data["reason"]})
        elif entry.type != "tokens":
            line.append({"at": _since(entry, started), "what": entry.type, "reason": _in_short(entry.type, entry.data)})
    line.sort(key=lambda item: cast("float", item["at"]))
    return [*line]


def _in_short(kind: str, data: Mapping[str, JSON]) -> str:
    """What an event says, in a few words; the console says the same of a live one (`call-board.js`)."""
    if kind == TurnEnded.name:
        return _ms(data["latency"])
    if kind == BargeIn.name:
        return f"{data['reason']} ({float(cast('float', data['stop_ms'])):.0f} ms)"
    if kind == ToolCalled.name:
        return str(data["tool"])
    if kind == ToolCompleted.name:
        return f"{data['tool']}: {data['outcome']}"
    if kind == CallEnded.name:
        return f"{data['outcome']}: {data['reason']}"
    if data.get("destination"):
        return ": ".join(str(data[name]) for name in ("destination", "outcome") if data.get(name))
    for name in ("digit", "reason", "message"):
        if data.get(name):
            return str(data[name])
    return _ms(data.get("duration", data.get("seconds")))


def _ms(seconds: JSON) -> str:
    if not isinstance(seconds, int | float):
        return ""
    return f"{seconds:.1f} s" if seconds >= 10 else f"{seconds * 1000:,.0f} ms"


def _turns(entries: Iterable[Entry], started: float) -> list[JSON]:
    """How long each answer took, by stages, in seconds."""
    return [{"at": _since(entry, started), **entry.data} for entry in entries if entry.type == TurnEnded.name]


def _latency(entries: Iterable[Entry]) -> dict[str, JSON]:
    """Turn latency in seconds, as `call.ended` has it."""
    measured: list[float] = []
    for entry in entries:
        if entry.type == CallEnded.name and (figures := cast("Mapping[str, JSON]", entry.data["latency"])):
            return dict(figures)
        if entry.type == TurnEnded.name:
            measured.append(cast("float", entry.data["latency"]))
    if not measured:
        return {"turns": 0}
    cuts = quantiles(measured, n=20, method="inclusive") if len(measured) > 1 else measured * 19
    return {
        "turns": len(measured),
        "p50": round(cuts[9], 3),
        "p95": round(cuts[18], 3),
        "max": round(max(measured), 3),
    }


def _latest(entries: Iterable[Entry], kind: str) -> dict[str, JSON] | None:
    """What the last event of a kind said."""
    return next((dict(entry.data) for entry in reversed(list(entries)) if entry.type == kind), None)


def _tokens(entries: Iterable[Entry]) -> list[JSON]:
    """Added up by provider and model."""
    sums: dict[tuple[JSON, JSON], dict[str, JSON]] = {}
    for entry in entries:
        if entry.type == "tokens":
            data = entry.data
            total = sums.setdefault(
                (data["provider"], data["model"]),
                {"provider": data["provider"], "model": data["model"], "prompt_tokens": 0, "completion_tokens": 0},
            )
            for kind in ("prompt_tokens", "completion_tokens"):
                total[kind] = cast("int", total[kind]) + cast("int", data[kind])
    return list(sums.values())
