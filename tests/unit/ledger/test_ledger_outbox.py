"""The outbox's table by itself: who wants what, how a body looks, and order and numbers whatever happens."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ledger.support import SECRET, said, started
from voxtrad.events.types import ToolCompleted
from voxtrad.ledger.outbox import OutboxTable, encode, iso, wants
from voxtrad.ledger.schema import migrate
from voxtrad.outbound.delivery import Endpoint
from voxtrad.outbound.schedule import Answer, judge

NOW = 1_800_000_000.0
ENDPOINT = Endpoint("crm", "http://127.0.0.1/", (SECRET,), ("*",), max_age=1e9)


def database() -> sqlite3.Connection:
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.row_factory = sqlite3.Row
    migrate(db)
    return db


def test_wildcards() -> None:
    assert wants(["*"], "call.ended")
    assert wants(["call.*"], "call.ended")
    assert wants(["user.*"], "user.speech.started")
    assert wants(["user.speech.*"], "user.speech.started")
    assert wants(["barge_in"], "barge_in")
    assert not wants(["call.*"], "callback")
    assert not wants(["call"], "call.ended")
    assert not wants([], "call.ended")


def test_partial_transcripts_only_where_asked_for_by_name() -> None:
    partial = "user.transcript.partial"
    assert wants(["call.*", partial], partial)
    assert not any(wants([pattern], partial) for pattern in ("*", "user.*", "user.transcript.*", "user.transcript"))


def test_a_body() -> None:
    assert iso(0.125) == "1970-01-01T00:00:00.125Z"
    body = json.loads(encode(said("Grüße"), 7))
    assert list(body) == ["type", "timestamp", "data"]
    assert list(body["data"])[:2] == ["call_id", "sequence"]
    assert body["data"]["sequence"] == 7
    assert "Grüße" in encode(said("Grüße"), 7).decode()
    assert "sequence" not in json.loads(encode(said("x"), None))["data"]


JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(JSON_LIKE, st.text(st.characters(codec=None, exclude_categories=())))
@settings(deadline=None)
def test_any_result_of_a_tool_becomes_a_body_that_every_parser_reads(result: object, tool: str) -> None:
    event = ToolCompleted(
        call_id="c", agent="a", tool=tool, tool_call_id="t", outcome="ok", duration=float("nan"), result=result
    )  # type: ignore[arg-type]  # any JSON, NaN and half surrogates as well
    body = encode(event, 1).decode("utf-8")
    json.loads(body, parse_constant=lambda name: 1 / 0)


@dataclass
class Step:
    """Something that happens: an event on a call, an attempt with its answer, time, a restart, a bulk operation."""

    what: str
    value: int


STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(["event", "event", "attempt", "attempt", "attempt", "time", "restart", "replay", "expire"]),
        st.integers(0, 9),
    ),
    max_size=60,
)


@given(STEPS, st.sets(st.integers(1, 12)))
@settings(deadline=None, max_examples=150)
def test_whatever_happens_numbers_have_no_gaps_and_all_arrives_in_the_end(steps: list[Step], poison: set[int]) -> None:
    """Messages whose number is in `poison` are refused until the end; others fail one time in five."""
    db, now = database(), NOW
    outbox = OutboxTable(db)
    sent: dict[str, list[int]] = {}
    delivered: dict[str, set[int]] = {}
    tries: dict[tuple[str, int], int] = {}

    def attempt(luck: int, *, kind: bool = False) -> bool:
        due = outbox.due("crm", now=now, limit=10, busy=())
        assert len({message.call_id for message in due.messages}) == len(due.messages)
        if not due.messages:
            return False
        message = due.messages[luck % len(due.messages)]
        number = json.loads(message.body)["data"]["sequence"]
        earlier = set(range(1, number)) - delivered.get(message.call_id, set())
        assert all(tries.get((message.call_id, other), 0) >= 2 for other in earlier), "overtook a fresh one"
        fails = not kind and (number in poison or luck % 5 == 0)
        tries[message.call_id, number] = tries.get((message.call_id, number), 0) + 1
        verdict = judge(message.progress, Answer(500 if fails else 200), now=now, luck=0.5)
        outbox.settle("crm", message.id, verdict, now=now)
        if not fails:
            delivered.setdefault(message.call_id, set()).add(number)
        return True

    for step in steps:
        match step.what:
            case "event":
                call_id = f"c_{step.value % 3}"
                number = outbox.append(said("x", call_id), ENDPOINT, now=now)
                assert number == len(sent.setdefault(call_id, [])) + 1
                sent[call_id].append(number)
            case "attempt":
                attempt(step.value)
            case "time":
                now += (1, 6, 400, 40_000)[step.value % 4]
            case "restart":
                outbox.hurry(now=now)
            case "replay":
                outbox.replay(now=now, endpoint=None, message_id=None)
            case "expire":
                outbox.expire(now=now)
        holders = db.execute("SELECT call_id FROM outbox WHERE state = 'waiting' AND step < 2").fetchall()
        assert len({row["call_id"] for row in holders}) == len(holders)

    outbox.hurry(now=now)
    while attempt(1, kind=True):
        pass
    outbox.replay(now=now, endpoint=None, message_id=None)
    while attempt(1, kind=True):
        pass
    assert {call: set(numbers) for call, numbers in sent.items()} == delivered
    assert outbox.counts().undelivered == 0


def test_looking_for_what_is_due_uses_an_index() -> None:
    db = database()
    plan = db.execute(
        "EXPLAIN QUERY PLAN SELECT message_id FROM outbox WHERE endpoint = 'a' AND state = 'waiting' AND due <= 1"
        " AND expires > 1 ORDER BY due, id LIMIT 5"
    ).fetchall()
    assert any("outbox_due" in row["detail"] for row in plan)
    assert not any("TEMP B-TREE" in row["detail"] for row in plan)


def test_a_limit_is_kept_and_busy_calls_are_left_out() -> None:
    outbox = OutboxTable(database())
    for number in range(5):
        outbox.append(started(f"c_{number}"), ENDPOINT, now=NOW)
    due = outbox.due("crm", now=NOW, limit=2, busy={"c_0", "c_2"})
    assert [message.call_id for message in due.messages] == ["c_1", "c_3"]
    assert outbox.due("crm", now=NOW - 1, limit=2, busy=()).next == NOW
