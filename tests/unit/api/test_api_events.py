"""Live events as server-sent events, and the webhooks' backlog, on a real server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog

from tests.ledger.support import SECRET, ended, said, started
from tests.unit.api.running_server import TOKEN, TOKENS, Running, running, write_config
from voxtrad.api import events
from voxtrad.api.house import MOST_STREAMS
from voxtrad.api.problems import Problem
from voxtrad.api.seats import Seats
from voxtrad.api.watch import Lost, Watch
from voxtrad.events.types import AgentSpeechEnded, UserTranscriptPartial
from voxtrad.outbound.schedule import Dead, Gone


class Reader:
    """Reads a stream as a browser's EventSource does."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer
        self.last = ""
        self.comments: list[str] = []

    async def next(self) -> tuple[str, Any]:
        """The next event's name and data."""
        name, data = "message", ""
        async with asyncio.timeout(10):
            while True:
                line = (await self._answer.content.readline()).decode()
                if not line:
                    raise EOFError
                field, _, value = line.rstrip("\n").partition(":")
                match field:
                    case "" if line.startswith(":"):
                        self.comments.append(value.strip())
                    case "id":
                        self.last = value.strip()
                    case "event":
                        name = value.strip()
                    case "data":
                        data += value.strip()
                    case "" if data:
                        return name, json.loads(data)
                    case _:
                        pass


@asynccontextmanager
async def reading(house: Running, query: str = "", last: str | None = None) -> AsyncIterator[Reader]:
    headers = {"Authorization": f"Bearer {TOKEN}"} | ({"Last-Event-ID": last} if last is not None else {})
    async with house.http.get(f"{house.url}/v1/events{query}", headers=headers) as answer:
        assert (answer.status, answer.content_type) == (200, "text/event-stream")
        yield Reader(answer)


async def test_so_many_streams_and_no_more(tmp_path: Path) -> None:
    async with running(write_config(tmp_path, server=TOKENS)) as house, AsyncExitStack() as stack:
        for _ in range(MOST_STREAMS):
            await stack.enter_async_context(reading(house))
        refused = await house.ask("GET", "/v1/events")
        assert (refused.status, refused.type, "Retry-After" in refused.headers) == (
            503,
            "application/problem+json",
            True,
        )
        assert (await house.ask("GET", "/v1/calls")).status == 200
    seats = Seats(1, "of them are open")
    for _ in range(2):
        with seats.one(), pytest.raises(Problem), seats.one():
            pass


async def test_a_call_is_told_as_it_happens(tmp_path: Path) -> None:
    async with running(write_config(tmp_path)) as house, reading(house) as reader:
        async with house.call():
            await house.happened(AgentSpeechEnded)
        names = []
        while not names or names[-1] != "call.ended":
            _, event = await reader.next()
            names.append(event["type"])
        assert names[0] == "call.started" and "agent.response" in names and "call.answered" in names
        assert set(event) == {"type", "timestamp", "data"} and event["data"]["outcome"] == "caller_hangup"


async def test_a_reader_comes_back_and_misses_nothing(tmp_path: Path) -> None:
    async with running(write_config(tmp_path)) as house:
        publish = house.server.core.bus.publish
        async with reading(house) as reader:
            publish(started())
            assert (await reader.next())[1]["type"] == "call.started"
        publish(said("first"))
        publish(said("second"))
        async with reading(house, last=reader.last) as again:
            assert [(await again.next())[1]["data"]["text"] for _ in range(2)] == ["first", "second"]
        async with reading(house, last="another-run-7") as lost:
            assert (await lost.next())[0] == "gap"
            assert (await lost.next())[1]["type"] == "call.started", "then all that is kept"


async def test_only_what_was_asked_for(tmp_path: Path) -> None:
    async with running(write_config(tmp_path)) as house:
        publish = house.server.core.bus.publish
        async with (
            reading(house, "?types=call.*&call_id=c_2") as calls,
            reading(house, "?types=user.transcript.partial,call.ended&agent=support") as partials,
        ):
            for call_id in ("c_1", "c_2"):
                publish(started(call_id))
                publish(UserTranscriptPartial(call_id=call_id, agent="support", text="wh"))
                publish(said("where?", call_id))
                publish(ended(call_id))
            assert [(await calls.next())[1]["data"]["call_id"] for _ in range(2)] == ["c_2", "c_2"]
            assert [(await partials.next())[1]["type"] for _ in range(2)] == ["user.transcript.partial", "call.ended"]
        refused = await house.ask("GET", "/v1/events?types=call.*,nonsense")
        assert (refused.status, refused.type) == (422, "application/problem+json")


async def test_privacy_holds_for_live_events(tmp_path: Path) -> None:
    async with running(write_config(tmp_path, agent="privacy: redacted")) as house, reading(house) as reader:
        house.server.core.bus.publish(started())
        house.server.core.bus.publish(said("my number is 020 7123 4567"))
        assert (await reader.next())[1]["data"]["from"] == "+**********67"
        assert (await reader.next())[1]["data"]["text"] == "my number is [number]"


async def test_silence_is_filled_with_heartbeats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT", 0.05)
    async with running(write_config(tmp_path)) as house, reading(house, "?types=call.ended") as reader:
        house.server.core.bus.publish(started())  # not asked for
        while not (reader.comments and reader.last.endswith("-1")):
            line = (await reader._answer.content.readline()).decode()
            if line.startswith(":"):
                reader.comments.append(line)
            elif line.startswith("id:"):
                reader.last = line[3:].strip()
        house.server.core.bus.publish(ended())
        assert (await reader.next())[1]["type"] == "call.ended"


async def test_who_does_not_read_is_dropped_and_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "PATIENCE", 0.3)
    async with running(write_config(tmp_path)) as house, reading(house) as quick:
        host, port = house.url.removeprefix("http://").split(":")
        slow, writer = await asyncio.open_connection(host, int(port), limit=1024)
        writer.write(f"GET /v1/events HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        await slow.readuntil(b"retry: 2000")
        words, sent = "x" * 20_000, 0
        with structlog.testing.capture_logs() as lines:
            async with asyncio.timeout(20):
                while not any("dropped" in line["event"] for line in lines):
                    house.server.core.bus.publish(said(words))
                    sent += 1
                    await quick.next()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await slow.readexactly(sent * len(words))
        writer.close()


async def test_the_server_stops_though_somebody_listens(tmp_path: Path) -> None:
    async with running(write_config(tmp_path)) as house, reading(house) as reader:
        house.server.stop()
        with pytest.raises(EOFError):
            await reader.next()


def test_what_is_kept_is_bounded() -> None:
    watch = Watch(lambda agent: "full", kept=3)
    assert (watch.newest, watch.oldest, watch.after(0)) == (0, 1, [])
    for number in range(5):
        watch.take(said(str(number)))
    assert [kept.number for kept in watch.after(2)] == [3, 4, 5]
    assert [kept.number for kept in watch.after(2, most=1)] == [3]
    assert watch.position(watch.identify(5)) == 5
    with pytest.raises(Lost):
        watch.after(1)
    for identity in ("", "-", watch.identify(6), watch.identify(-1), watch.identify(10**30), "x-1", "٣"):
        with pytest.raises(Lost):
            watch.position(identity)


async def test_a_strict_agent_hides_what_was_told_before_the_next_one(tmp_path: Path) -> None:
    watch = Watch(lambda agent: "none" if agent == "strict" else "full")
    watch.take(started(agent="open"))
    watch.take(said("12345", agent="strict"))
    watch.take(said("67890", agent="open"))
    first, *others = [json.loads(kept.body)["data"] for kept in watch.after(0)]
    assert first["from"] == "+442071234567"
    assert [event["text"] for event in others] == ["", ""]
    assert watch.live["c_1"].level == "none"


# --- webhooks ---------------------------------------------------------------------------------------------------------


async def test_the_backlog_of_webhooks(tmp_path: Path) -> None:
    top = f'webhooks: [{{name: crm, url: "http://127.0.0.1:1/", secret: {SECRET}, events: ["call.*"]}}]'
    async with running(write_config(tmp_path, server=TOKENS, top=top)) as house:
        ledger = house.server.ledger
        for event in (started(), ended(), started("c_2"), ended("c_2")):
            ledger.record(event)
        await ledger.flush()
        house.server.delivery.configure([])  # from here on the test settles
        ids = await ledger.read(
            lambda db: [row["message_id"] for row in db.execute("SELECT * FROM outbox ORDER BY id")]
        )
        await ledger.settle("crm", ids[0], Dead("HTTP 500"), now=4e9)
        await ledger.settle("crm", ids[2], Dead("HTTP 500"), now=4e9)
        await ledger.settle("crm", ids[3], Gone("HTTP 410"), now=4e9)
        (endpoint,) = (await house.ask("GET", "/v1/events/endpoints")).json["items"]
        assert (endpoint["name"], endpoint["dead"], endpoint["waiting"]) == ("crm", 2, 2)
        assert endpoint["disabled"] is not None and endpoint["answer"] == "HTTP 410"
        page = (await house.ask("GET", "/v1/events/messages?state=dead&limit=1")).json
        more = (await house.ask("GET", f"/v1/events/messages?state=dead&after={page['next']}")).json
        assert [item["id"] for item in page["items"] + more["items"]] == [ids[2], ids[0]]
        assert (await house.ask("GET", "/v1/events/messages?after=nonsense")).status == 404
        assert (await house.ask("POST", "/v1/events/replay", {"id": ids[0]})).json == {"replayed": 1}
        assert (await house.ask("POST", "/v1/events/replay", {})).json == {"replayed": 1}
        enabled = await house.ask("POST", "/v1/events/endpoints/crm/enable")
        assert (enabled.status, enabled.json) == (200, {"enabled": "crm"})
        assert (await house.ask("POST", "/v1/events/endpoints/nobody/enable")).status == 404
        (endpoint,) = (await house.ask("GET", "/v1/events/endpoints")).json["items"]
        assert (endpoint["dead"], endpoint["disabled"]) == (0, None)
