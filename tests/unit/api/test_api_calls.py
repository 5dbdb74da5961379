"""Calls over HTTP: a real server, real calls without a PBX, the records they leave."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from tests.unit.api.running_server import TOKENS, running, write_config
from voxtrad.events.types import AgentResponse, AgentSpeechEnded, CallEnded
from voxtrad.leg import Leg, NotReached


async def test_a_call_is_listed_while_it_runs_and_afterwards(tmp_path: Path) -> None:
    async with running(write_config(tmp_path)) as house:
        assert (await house.ask("GET", "/v1/calls")).json == {"items": [], "next": None}
        async with house.call():
            await house.happened(AgentSpeechEnded)
            (live,) = (await house.ask("GET", "/v1/calls?state=running")).json["items"]
            assert (live["state"], live["agent"], live["from"], live["to"], live["ended"]) == (
                "in-progress", "support", "+442071234567", "1000", None,
            )  # fmt: skip
            assert (await house.ask("GET", f"/v1/calls/{live['id']}")).json["state"] == "in-progress"
            assert (await house.ask("GET", "/v1/calls?state=running&agent=sales")).json["items"] == []
            assert (await house.ask("GET", "/v1/calls?state=running&number=7123")).json["items"] == [live]
            assert (await house.ask("DELETE", f"/v1/calls/{live['id']}")).status == 409
        await house.server.ledger.flush()
        assert (await house.ask("GET", "/v1/calls?state=running")).json["items"] == []
        page = (await house.ask("GET", "/v1/calls?state=ended&outcome=caller_hangup")).json
        assert [call["id"] for call in page["items"]] == [live["id"]]
        record = (await house.ask("GET", f"/v1/calls/{live['id']}")).json
        assert [line["text"] for line in record["transcript"]] == ["Hello."]
        assert record["timeline"] and record["latency"] == {"turns": 0}
        assert (await house.ask("DELETE", f"/v1/calls/{live['id']}")).status == 204
        gone = await house.ask("GET", f"/v1/calls/{live['id']}")
        assert (gone.status, gone.type) == (404, "application/problem+json")
        assert (await house.ask("DELETE", f"/v1/calls/{live['id']}")).status == 404


async def test_pages_follow_each_other(tmp_path: Path) -> None:
    async with running(write_config(tmp_path)) as house:
        for number in range(3):
            async with house.call(caller=f"+4420712345{number:02}"):
                await house.happened(AgentSpeechEnded)
        await house.server.ledger.flush()
        first = (await house.ask("GET", "/v1/calls?limit=2")).json
        second = (await house.ask("GET", f"/v1/calls?limit=2&after={first['next']}")).json
        assert [call["from"][-2:] for call in first["items"] + second["items"]] == ["02", "01", "00"]
        assert second["next"] is None
        for query in (
            "limit=0",
            "limit=501",
            "state=nonsense",
            "page=2",
            "limit=1&limit=2",
            "since=now",
            "since=300",
            "until=2026-05-04T18:00:00",
        ):
            refused = await house.ask("GET", f"/v1/calls?{query}")
            assert (refused.status, refused.type) == (422, "application/problem+json"), query
        for query in (
            "since=0001-01-01T00:00:00%2B14:00",
            "since=9999-12-31T23:59:59-14:00",
            "since=2026-01-01T00:00:00Z",
        ):
            assert (await house.ask("GET", f"/v1/calls?{query}")).status == 200, query
        for query in ("after=%00", f"after={first['next']}&state=running"):
            assert (await house.ask("GET", f"/v1/calls?{query}")).status == 404, query


async def test_an_operator_speaks_transfers_and_hangs_up(tmp_path: Path) -> None:
    async with running(write_config(tmp_path, server=TOKENS)) as house:
        async with house.call() as leg:
            await house.happened(AgentSpeechEnded)
            (call_id,) = house.server.core.switchboard.calls
            said = await house.ask("POST", f"/v1/calls/{call_id}/say", {"text": " Your order has arrived. "})
            assert (said.status, said.json) == (200, {"heard": "Your order has arrived.", "interrupted": False})
            assert any(isinstance(e, AgentResponse) and "arrived" in e.text for e in house.events)
            spoke = 'voxtrad_provider_requests_total{kind="tts",outcome="ok",provider="espeak"}'
            assert await house.metric(spoke) >= 1
            nowhere = await house.ask("POST", f"/v1/calls/{call_id}/transfer", {"destination": "moon"})
            assert (nowhere.status, nowhere.json["destinations"]) == (404, ["reception"])
            sent = await house.ask("POST", f"/v1/calls/{call_id}/transfer", {"destination": "reception"})
            assert sent.status == 204
            await house.happened(CallEnded)
            assert leg.proceeded is not None and leg.proceeded.extension == "200"
        house.events.clear()
        async with house.call():
            await house.happened(AgentSpeechEnded)
            (call_id,) = house.server.core.switchboard.calls
            assert (await house.ask("POST", f"/v1/calls/{call_id}/hangup", {"reason": "a test"})).status == 204
            await house.happened(CallEnded)
        (ended,) = [event for event in house.events if isinstance(event, CallEnded)]
        assert (ended.outcome, ended.reason) == ("completed", "hung up by crm: a test")
        for deed in ("say", "transfer", "hangup"):
            body = {"say": {"text": "x"}, "transfer": {"destination": "reception"}, "hangup": {}}[deed]
            assert (await house.ask("POST", f"/v1/calls/{call_id}/{deed}", body)).status == 404


class Telephone:
    """Somebody's telephone: it rings until `refuses` is set."""

    def __init__(self) -> None:
        self.rings, self.refuses = asyncio.Event(), asyncio.Event()

    @contextlib.asynccontextmanager
    async def dial(self, endpoint: str, **how: object) -> AsyncIterator[Leg]:
        self.rings.set()
        await self.refuses.wait()
        raise NotReached("refused", "busy")
        yield  # type: ignore[unreachable]  # it is a generator


async def test_a_transfer_while_another_rings_is_refused(tmp_path: Path) -> None:
    config = write_config(tmp_path, server=TOKENS, more="  person: {dial: PJSIP/200, timeout: 60}")
    async with running(config) as house, house.call() as leg:
        leg.dialer = telephone = Telephone()
        await house.happened(AgentSpeechEnded)
        (call_id,) = house.server.core.switchboard.calls
        path = f"/v1/calls/{call_id}/transfer"
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            first = group.create_task(house.ask("POST", path, {"destination": "person"}))
            await telephone.rings.wait()
            second = await house.ask("POST", path, {"destination": "reception"})
            assert (second.status, "already" in second.json["detail"]) == (409, True)
            assert leg.proceeded is None
            telephone.refuses.set()
        assert (first.result().status, "busy" in first.result().json["detail"]) == (409, True)
        assert (await house.ask("POST", path, {"destination": "reception"})).status == 204
        await house.happened(CallEnded)
        assert leg.proceeded is not None and leg.proceeded.extension == "200"


async def test_privacy_holds_for_live_calls(tmp_path: Path) -> None:
    async with running(write_config(tmp_path, agent="privacy: redacted")) as house, house.call():
        await house.happened(AgentSpeechEnded)
        (live,) = (await house.ask("GET", "/v1/calls?state=running")).json["items"]
        assert (live["from"], live["to"], live["privacy"]) == ("+**********67", "1000", "redacted")


async def test_making_calls_is_refused(tmp_path: Path) -> None:
    async with running(write_config(tmp_path)) as house:
        refused = await house.ask("POST", "/v1/calls", {"to": "+442071234567", "agent": "support"})
        assert (refused.status, refused.type) == (403, "application/problem+json")
        assert "outbound" in refused.json["detail"]


async def test_a_late_result_needs_its_one_use_token(tmp_path: Path) -> None:
    async with running(write_config(tmp_path, server=TOKENS)) as house:
        with house.server.callbacks.expect("c_1", "tc_1") as callback:
            path = "/v1/calls/c_1/tools/tc_1/result"
            assert callback.url == house.url + path
            assert (await house.ask("POST", path, {"result": 1}, token="")).status == 401
            assert (await house.ask("POST", path, {"result": 1}, token="wrong")).status == 404
            for slip in (
                {"say": 5},
                {"status": "sent"},
                {},
                {"action": {}},
                {"action": {"transfer": "reception", "end_call": True}},
                {"error": {"message": ""}},
            ):
                refused = await house.ask("POST", path, slip, token=callback.token)
                assert (refused.status, bool(refused.json["detail"])) == (422, True), slip
            body = {"result": {"status": "sent"}, "say": "It is sent.", "more": [1]}
            assert (await house.ask("POST", path, body, token=callback.token)).status == 204
            async with asyncio.timeout(5):
                assert await callback.result() == body
            assert (await house.ask("POST", path, body, token=callback.token)).status == 404
        with house.server.callbacks.expect("c_1", "tc_1") as callback:
            body = {"error": {"message": "sold out"}}
            assert (await house.ask("POST", path, body, token=callback.token)).status == 204, "a failure is a result"


async def test_a_database_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    async with running(write_config(tmp_path)) as house:
        await house.server.ledger.flush()
        for file in (tmp_path / "var").glob("voxtrad.db*"):
            file.rename(file.with_suffix(".gone"))
        answer = await house.ask("GET", "/v1/calls")
        assert (answer.status, answer.type) == (503, "application/problem+json")
        assert (await house.ask("GET", "/v1/calls?state=running")).status == 200
