"""Records of calls in a real database: what is kept, read, asked for, and forgotten."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ledger.support import SECRET, WHO, Clock, ended, said, started
from voxtrad.events.bus import Bus
from voxtrad.events.types import (
    AgentResponse,
    CallAnswered,
    Decision,
    Event,
    StageMeasured,
    TokensUsed,
    ToolCalled,
    ToolCompleted,
    TurnEnded,
    UserTranscriptPartial,
)
from voxtrad.ledger.ledger import RECORDED, InUse, Ledger, open_ledger
from voxtrad.ledger.queries import (
    BadCursor,
    CallFilter,
    MessageFilter,
    list_calls,
    list_endpoints,
    list_messages,
    show_call,
)
from voxtrad.ledger.schema import FILE_NAME
from voxtrad.ledger.store import Settings
from voxtrad.outbound.delivery import Endpoint

NOBODY_LISTENS = Endpoint("crm", "http://127.0.0.1:1/", (SECRET,), ("*",))


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    async with open_ledger(tmp_path, Settings(retention=1e12)) as ledger:
        yield ledger


async def show(ledger: Ledger, call_id: str = "c_1") -> dict[str, Any]:
    await ledger.flush()
    record = await ledger.read(lambda db: show_call(db, call_id))
    assert record is not None
    return record


async def calls(ledger: Ledger, **wanted: Any) -> list[str]:
    await ledger.flush()
    return [str(call["id"]) for call in (await ledger.read(lambda db: list_calls(db, CallFilter(**wanted)))).items]


def contents(directory: Path) -> list[bytes]:
    return [file.read_bytes() for file in directory.iterdir()]


def modes(directory: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in (directory, *directory.iterdir())}


def a_call(at: float) -> list[Event]:
    return [
        started(timestamp=at),
        CallAnswered(**WHO, timestamp=at + 1),
        Decision(**WHO, timestamp=at + 1, at=1.0, what="answered", reason=""),
        AgentResponse(**WHO, timestamp=at + 3, text="Hello, how can I", interrupted=True),
        UserTranscriptPartial(**WHO, timestamp=at + 3.5, text="where"),
        said("where is my order 471108?"),
        StageMeasured(**WHO, timestamp=at + 4, stage="stt_final", provider="sphinx", seconds=0.2),
        TokensUsed(**WHO, timestamp=at + 4, provider="openai", model="m", prompt_tokens=100, completion_tokens=7),
        TokensUsed(**WHO, timestamp=at + 5, provider="openai", model="m", prompt_tokens=130, completion_tokens=9),
        ToolCalled(**WHO, timestamp=at + 5, tool="lookup", tool_call_id="tc_1", arguments={"id": "471108"}),
        ToolCompleted(
            **WHO, timestamp=at + 5.4, tool="lookup", tool_call_id="tc_1", outcome="ok", duration=0.4, result={"a": 1}
        ),
        TurnEnded(**WHO, timestamp=at + 6, turn=1, latency=0.8),
        TurnEnded(**WHO, timestamp=at + 7, turn=2, latency=1.2, stages={"stt_final": 0.2}),
    ]


async def test_the_record_of_a_call_while_it_runs_and_after(ledger: Ledger) -> None:
    bus, at = Bus(), 1_800_000_000.0
    with bus.tap("ledger", RECORDED, ledger.record):
        for event in a_call(at):
            bus.publish(event)
        record = await show(ledger)
        assert record["state"] == "in-progress"
        assert record["latency"] == {"turns": 2, "p50": 1.0, "p95": 1.18, "max": 1.2}
        assert record["turns"][1] == {"at": 7.0, "turn": 2, "latency": 1.2, "stages": {"stt_final": 0.2}}
        bus.publish(ended(timestamp=at + 9, duration=9.0, talk_time=8.0))
    record = await show(ledger)
    assert record["state"] == "ended"
    assert (record["outcome"], record["duration"], record["talk_time"]) == ("completed", 9.0, 8.0)
    assert record["started"] == "2027-01-15T08:00:00.000Z"
    assert record["from"] == "+442071234567"
    assert [(line["speaker"], line["text"], line["interrupted"]) for line in record["transcript"]] == [
        ("agent", "Hello, how can I", True), ("caller", "where is my order 471108?", False),
    ]  # fmt: skip
    assert record["transcript"][0]["at"] == 3.0
    assert record["tools"] == [
        {
            "tool": "lookup", "tool_call_id": "tc_1", "at": 5.0, "arguments": {"id": "471108"}, "outcome": "ok",
            "duration": 0.4, "result": {"a": 1},
        }
    ]  # fmt: skip
    assert record["tokens"] == [
        {"provider": "openai", "model": "m", "prompt_tokens": 230, "completion_tokens": 16}
    ]  # fmt: skip
    assert {"at": 1.0, "what": "answered", "reason": ""} in record["timeline"]
    assert "user.transcript.partial" not in str(record)
    told = [(line["what"], line["reason"]) for line in record["timeline"]]
    for line in (("turn.ended", "1,200 ms"), ("tool.called", "lookup"), ("tool.completed", "lookup: ok")):
        assert line in told, told
    assert told[-1] == ("call.ended", f"{record['outcome']}: {record['reason']}")


async def test_the_transcript_of_call_ended_wins(ledger: Ledger) -> None:
    ledger.record(started())
    ledger.record(said("hello"))
    ledger.record(ended(transcript=[{"speaker": "caller", "text": "hello", "at": 0.25}], latency={"turns": 0}))
    record = await show(ledger)
    assert record["transcript"] == [{"speaker": "caller", "text": "hello", "at": 0.25, "interrupted": False}]


@pytest.mark.parametrize(
    ("privacy", "text", "caller", "arguments"),
    [
        ("full", "where is my order 471108?", "+442071234567", {"id": "471108"}),
        ("redacted", "where is my order [number]?", "+**********67", {"id": "[number]"}),
        ("none", "", "", {}),
    ],
)
async def test_privacy_in_the_record_and_in_the_outbox(
    tmp_path: Path, privacy: Any, text: str, caller: str, arguments: dict[str, str]
) -> None:
    async with open_ledger(tmp_path, Settings((NOBODY_LISTENS,), {"support": privacy})) as ledger:
        for event in a_call(1_800_000_000.0):
            ledger.record(event)
        record = await show(ledger)
        bodies = await ledger.read(lambda db: [row["body"].decode() for row in db.execute("SELECT body FROM outbox")])
    assert record["transcript"][1]["text"] == text
    assert record["from"] == caller
    assert record["tools"][0]["arguments"] == arguments
    assert record["privacy"] == privacy
    assert ("471108" in "".join(bodies)) == (privacy == "full")
    if privacy != "full":
        assert not any(b"471108" in content for content in contents(tmp_path))


async def test_a_call_is_kept_as_its_strictest_agent_so_far_wants_it(tmp_path: Path) -> None:
    settings = Settings(privacy={"support": "full", "payments": "none"})
    async with open_ledger(tmp_path, settings) as ledger:
        ledger.record(started())
        ledger.record(said("I want to pay"))
        ledger.record(said("4111 1111 1111 1111", agent="payments"))
        ledger.record(said("that was it", agent="support"))
        ledger.record(ended(transcript=[{"speaker": "caller", "text": "4111 1111 1111 1111", "at": 1.0}]))
        record = await show(ledger)
        assert [line["text"] for line in record["transcript"]] == ["I want to pay", "", ""]
        assert record["privacy"] == "none"
        ledger.record(said("afterthought", agent="support"))
        assert "afterthought" not in str(await show(ledger))


async def test_a_reload_may_make_a_running_call_stricter_never_looser(tmp_path: Path) -> None:
    async with open_ledger(tmp_path, Settings(privacy={"support": "redacted"})) as ledger:
        ledger.record(started())
        await ledger.configure(Settings(privacy={"support": "full"}))
        ledger.record(said("12345"))
        await ledger.configure(Settings(privacy={"support": "none"}))
        ledger.record(said("hello"))
        assert [line["text"] for line in (await show(ledger))["transcript"]] == ["[number]", ""]


async def test_there_is_one_end_for_each_start(ledger: Ledger) -> None:
    for event in (started(), started(), ended(), ended(outcome="failed")):
        ledger.record(event)
    record = await show(ledger)
    assert record["outcome"] == "completed"
    assert [line["what"] for line in record["timeline"]] == ["call.started", "call.ended"]
    assert ledger.stats().refused == 2


async def test_calls_of_a_dead_run_get_their_end_at_the_next_start(tmp_path: Path) -> None:
    settings = Settings((NOBODY_LISTENS,))
    at = 1_800_000_000.0
    async with open_ledger(tmp_path, settings) as ledger:
        for event in a_call(at)[:4]:
            ledger.record(event)
        ledger.record(started("c_2"))
        ledger.record(ended("c_2"))
    for _ in range(2):
        async with open_ledger(tmp_path, settings) as ledger:
            ledger.record(started("c_3"))
            record = await show(ledger)
            assert (await show(ledger, "c_2"))["outcome"] == "completed"
            ends = await ledger.read(
                lambda db: db.execute("SELECT call_id, sequence, body FROM outbox WHERE type = 'call.ended'").fetchall()
            )
    assert (record["outcome"], record["state"]) == ("crashed", "ended")
    assert (record["duration"], record["talk_time"]) == (3.0, 2.0)
    assert sorted((row["call_id"], row["sequence"]) for row in ends) == [("c_1", 4), ("c_2", 2), ("c_3", 2)]
    (body,) = [row["body"] for row in ends if row["call_id"] == "c_1"]
    assert b"Hello, how can I" in body


async def test_a_turn_that_was_gone_on_with_is_one_line_of_a_crashed_calls_transcript(tmp_path: Path) -> None:
    async with open_ledger(tmp_path, Settings((NOBODY_LISTENS,))) as ledger:
        ledger.record(started())
        ledger.record(said("hello"))
        ledger.record(said("where is my order"))
        ledger.record(replace(said("where is my order the red one"), merged=True))
    async with open_ledger(tmp_path, Settings((NOBODY_LISTENS,))) as ledger:
        record = await show(ledger)
    assert [line["text"] for line in record["transcript"]] == ["hello", "where is my order the red one"]


async def test_a_crashed_call_is_as_private_as_it_was(tmp_path: Path) -> None:
    async with open_ledger(tmp_path, Settings((NOBODY_LISTENS,), {"support": "none"})) as ledger:
        ledger.record(started())
        ledger.record(said("secret"))
    async with open_ledger(tmp_path, Settings((NOBODY_LISTENS,))) as ledger:
        record = await show(ledger)
        bodies = await ledger.read(lambda db: [bytes(row["body"]) for row in db.execute("SELECT body FROM outbox")])
    assert record["outcome"] == "crashed"
    assert b"secret" not in b"".join(bodies)
    assert b"server stopped" in b"".join(bodies)


async def test_a_data_dir_belongs_to_one_server_and_its_owner(tmp_path: Path) -> None:
    data_dir = tmp_path / "deep" / "var"
    async with open_ledger(data_dir, Settings()) as ledger:
        ledger.record(started())
        await ledger.flush()
        with pytest.raises(InUse):
            async with open_ledger(data_dir, Settings()):
                pass
        found = modes(data_dir)
    assert found.pop("var") == 0o700
    assert FILE_NAME in found
    assert set(found.values()) == {0o600}, found


async def test_a_data_dir_that_was_open_to_others_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)  # noqa: ASYNC240  # nothing else runs yet
    (tmp_path / FILE_NAME).touch(0o644)
    async with open_ledger(tmp_path, Settings()):
        found = modes(tmp_path)
    assert (found[tmp_path.name], found[FILE_NAME]) == (0o700, 0o600)


async def test_pages_and_filters(ledger: Ledger) -> None:
    for number in range(7):
        call_id, agent = f"c_{number}", "sales" if number % 2 else "support"
        ledger.record(started(call_id, agent, timestamp=1000.0 + number // 2, caller=f"+4420{number}"))
        if number < 5:
            ledger.record(ended(call_id, agent, outcome="failed" if number == 3 else "completed"))
    assert await calls(ledger) == [f"c_{number}" for number in (6, 5, 4, 3, 2, 1, 0)]
    assert await calls(ledger, agent="sales") == ["c_5", "c_3", "c_1"]
    assert await calls(ledger, outcome="failed") == ["c_3"]
    assert await calls(ledger, state="running") == ["c_6", "c_5"]
    assert await calls(ledger, state="ended", limit=1) == ["c_4"]
    assert await calls(ledger, number="202") == ["c_2"]
    assert await calls(ledger, since=1001.0, until=1002.0) == ["c_3", "c_2"]
    seen, after = [], None
    while True:
        wanted = CallFilter(after=after, limit=3)
        page = await ledger.read(lambda db, wanted=wanted: list_calls(db, wanted))  # type: ignore[misc]  # bound now
        seen += [call["id"] for call in page.items]
        after = page.next
        if after is None:
            break
    assert seen == [f"c_{number}" for number in (6, 5, 4, 3, 2, 1, 0)]
    assert await ledger.read(lambda db: show_call(db, "nobody")) is None


async def test_messages_and_endpoints_can_be_listed(tmp_path: Path) -> None:
    async with open_ledger(tmp_path, Settings((NOBODY_LISTENS,))) as ledger:
        for number in range(5):
            ledger.record(said("x", f"c_{number % 2}"))
        await ledger.flush()
        first = await ledger.read(lambda db: list_messages(db, MessageFilter(call_id="c_0", limit=2)))
        rest = await ledger.read(lambda db: list_messages(db, MessageFilter(call_id="c_0", limit=2, after=first.next)))
        assert [item["sequence"] for item in first.items + rest.items] == [3, 2, 1]
        assert rest.next is None
        assert {item["state"] for item in first.items} == {"waiting"}
        assert (await ledger.read(lambda db: list_messages(db, MessageFilter(state="dead")))).items == []
        assert await ledger.read(list_endpoints) == [
            {"name": "crm", "waiting": 5, "dead": 0, "disabled": None, "answer": ""}
        ]


async def test_any_cursor_is_a_page_or_refused(ledger: Ledger) -> None:
    await ledger.flush()

    @given(st.text(max_size=30) | st.sampled_from(["W10=", "WzFd", "eyJhIjoxfQ==", "WzEuMCwieCJd", "W25hbl0="]))
    @settings(deadline=None, max_examples=60)
    def any_cursor(text: str) -> None:
        for question in (
            lambda db: list_calls(db, CallFilter(after=text)),
            lambda db: list_messages(db, MessageFilter(after=text)),
        ):
            try:
                page = asyncio.run(ledger.read(question))
            except BadCursor:
                continue
            assert page.items == []

    await asyncio.to_thread(any_cursor)


async def test_a_call_can_be_deleted_with_all_that_is_owed_of_it(tmp_path: Path) -> None:
    async with open_ledger(tmp_path, Settings((NOBODY_LISTENS,))) as ledger:
        ledger.record(started())
        ledger.record(said("my name is Rumpelstiltskin"))
        assert await ledger.delete_call("c_1") == "running"
        ledger.record(ended())
        ledger.record(started("c_2"))
        assert await ledger.delete_call("c_1") == "deleted"
        assert await ledger.delete_call("c_1") == "unknown"
        assert await calls(ledger) == ["c_2"]
        left = await ledger.read(
            lambda db: [
                db.execute(f"SELECT count(*) FROM {table} WHERE call_id = 'c_1'").fetchone()[0]
                for table in ("outbox", "entries", "sequences")
            ]
        )
        assert left == [0, 0, 0]
    assert b"Rumpelstiltskin" not in (tmp_path / FILE_NAME).read_bytes()


async def test_a_shorter_retention_counts_at_once(tmp_path: Path) -> None:
    clock = Clock()
    async with open_ledger(tmp_path, Settings(retention=3600.0), clock=clock) as ledger:
        ledger.record(started("c_old"))
        ledger.record(ended("c_old", timestamp=clock.now))
        await ledger.flush()
        clock.advance(100)
        await ledger.configure(Settings(retention=3600.0))
        assert await calls(ledger) == ["c_old"]
        await ledger.configure(Settings(retention=60.0))
        assert not await calls(ledger)


async def test_records_are_kept_for_their_retention(tmp_path: Path) -> None:
    clock = Clock()
    settings = Settings((NOBODY_LISTENS,), retention=3600.0)
    async with open_ledger(tmp_path, settings, clock=clock) as ledger:
        ledger.record(started("c_old"))
        ledger.record(ended("c_old", timestamp=clock.now))
        ledger.record(started("c_running"))
        await ledger.flush()
    clock.advance(3500)
    async with open_ledger(tmp_path, settings, clock=clock) as ledger:
        assert await calls(ledger) == ["c_running", "c_old"]
    clock.advance(200)
    async with open_ledger(tmp_path, settings, clock=clock) as ledger:
        await ledger.flush()
        assert await calls(ledger) == ["c_running"]
        waiting = (await ledger.read(lambda db: list_messages(db, MessageFilter(call_id="c_old")))).items
        assert [item["state"] for item in waiting] == ["waiting", "waiting"], "what is owed is still owed"
