"""Calls that the server makes, from the request to the record: a line without a PBX, everything else is real."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.unit.api.running_server import TOKENS, Answer, Running, running, write_config
from voxtrad.events.types import AgentSpeechEnded, CallAnswered, CallEnded, CallStarted
from voxtrad.leg import Leg, LegError, LegInfo, NotReached, Reach, Refusal
from voxtrad.outgoing import NoLine, Order
from voxtrad.telephony.simulated import SimulatedLeg

ALLOWED = 'outbound: {endpoint: "Local/{number}@from-voxtrad", allow: ["+44", "2"]}'
LIMITED = ALLOWED.replace('"2"]', '"2"], limits: {per_minute: 2, concurrent: 1, per_day: 3}')


class Line:
    """Somebody at the other end: answers, and does what the script says, or does not."""

    def __init__(self, does: Callable[[SimulatedLeg], Awaitable[None]] | None = None, why: Refusal = "busy") -> None:
        self.connected = True
        self.does = does
        self.why = why
        self.breaks: Exception | None = None
        self.answers = asyncio.Event()
        self.answers.set()
        self.rung: list[dict[str, Any]] = []
        self.ringing = 0

    def reach(self, endpoint: str, number: str, *, timeout: float, caller: str, variables: Mapping[str, str]) -> Reach:
        info = LegInfo("out-1", endpoint, caller, number, direction="outbound", linkedid="out-1")

        @contextlib.asynccontextmanager
        async def connect() -> AsyncIterator[Leg]:
            self.rung.append({"endpoint": endpoint, "timeout": timeout, "caller": caller, "variables": dict(variables)})
            self.ringing += 1
            try:
                await self.answers.wait()
            finally:
                self.ringing -= 1
            if self.breaks is not None:
                raise self.breaks
            if self.does is None:
                raise NotReached(f"{endpoint}: {self.why}", self.why)
            leg = SimulatedLeg(info, self.does, rate=8000, clock=asyncio.get_running_loop().time)
            try:
                yield leg
            finally:
                await leg.release()

        return Reach(info, connect)


async def listens(leg: SimulatedLeg) -> None:
    """Hears the greeting out, and hangs up."""
    await leg.spoken_to()
    await leg.quiet(0.5)


@contextlib.asynccontextmanager
async def house(tmp_path: Path, line: Line, *, more: str = ALLOWED, server: str = TOKENS) -> AsyncIterator[Running]:
    async with running(write_config(tmp_path, server=f"{server}\n  country: GB", more=more)) as house:
        house.server.outgoing.line = line
        yield house


async def order(house: Running, to: str = "02071234567", **more: Any) -> Answer:
    headers = more.pop("headers", {})
    return await house.ask("POST", "/v1/calls", {"to": to, "agent": "support", **more}, headers=headers)


async def test_a_call_is_made_answered_and_recorded(tmp_path: Path) -> None:
    line = Line(listens)
    async with house(tmp_path, line) as server:
        made = await order(server, caller_id="+442079460000", variables={"name": "Ada"})
        call_id = made.json["id"]
        assert (made.status, made.headers["Location"]) == (201, f"/v1/calls/{call_id}")
        assert (await server.ask("GET", made.headers["Location"])).status == 200
        await server.happened(CallStarted, CallAnswered, AgentSpeechEnded, CallEnded)
        (started,) = [event for event in server.events if isinstance(event, CallStarted)]
        assert (started.direction, started.caller, started.dialled) == ("outbound", "+442079460000", "+442071234567")
        assert line.rung == [
            {
                "endpoint": "Local/+442071234567@from-voxtrad",
                "timeout": 45.0,
                "caller": "+442079460000",
                "variables": {"VOXTRAD_CALL_ID": call_id},
            }
        ]
        await server.server.ledger.flush()
        record = (await server.ask("GET", f"/v1/calls/{call_id}")).json
        assert (record["direction"], record["outcome"], record["to"]) == ("outbound", "caller_hangup", "+442071234567")
        assert record["transcript"][0]["text"] == "Hello."
        series = 'voxtrad_calls_total{agent="support",direction="outbound",outcome="caller_hangup"}'
        assert await server.metric(series) == 1


@pytest.mark.parametrize(
    ("why", "outcome"),
    [("busy", "busy"), ("no_answer", "no_answer"), ("declined", "declined"), ("unavailable", "unreachable")],
)
async def test_nobody_takes_it(tmp_path: Path, why: Refusal, outcome: str) -> None:
    async with house(tmp_path, Line(why=why)) as server:
        assert (await order(server)).status == 201
        await server.happened(CallStarted, CallEnded)
        (ended,) = [event for event in server.events if isinstance(event, CallEnded)]
        assert (ended.outcome, ended.talk_time) == (outcome, 0.0)
        assert not server.server.core.switchboard.calls
        series = f'voxtrad_calls_total{{agent="support",direction="outbound",outcome="{outcome}"}}'
        assert await server.metric(series) == 1


@pytest.mark.parametrize("error", [LegError("the PBX is gone"), RuntimeError("a bug")])
async def test_a_line_that_breaks_ends_its_call_and_nothing_else(tmp_path: Path, error: Exception) -> None:
    line = Line(listens)
    line.breaks = error
    async with house(tmp_path, line) as server:
        assert (await order(server)).status == 201
        await server.happened(CallEnded)
        (ended,) = [event for event in server.events if isinstance(event, CallEnded)]
        assert ended.outcome == "failed"
        line.breaks = None
        server.events.clear()
        assert (await order(server)).status == 201
        await server.happened(AgentSpeechEnded, CallEnded)


async def test_it_can_be_hung_up_while_it_rings_and_draining_waits_for_it(tmp_path: Path) -> None:
    line = Line(listens)
    line.answers.clear()
    async with house(tmp_path, line) as server:
        call_id = (await order(server)).json["id"]
        await server.happened(CallStarted)
        assert (await server.ask("POST", f"/v1/calls/{call_id}/say", {"text": "x"})).status == 409
        assert (await server.ask("POST", f"/v1/calls/{call_id}/hangup")).status == 204
        await server.happened(CallEnded)
        (ended,) = [event for event in server.events if isinstance(event, CallEnded)]
        assert (ended.outcome, ended.reason, line.ringing) == ("completed", "hung up by crm", 0)
        assert (await order(server)).status == 201  # rings when the server stops
    assert line.ringing == 0
    assert len([event for event in server.events if isinstance(event, CallEnded)]) == 2


async def test_what_may_not_be_called_is_not(tmp_path: Path) -> None:
    line = Line(listens)
    async with house(tmp_path, line) as server:
        for to in ("+12125550100", "0012125550100", "*72442071234567", "900"):
            refused = await order(server, to)
            assert (refused.status, refused.type) == (403, "application/problem+json"), to
        for body in (
            {"to": "20 0", "agent": "support"},
            {"to": "200&PJSIP/trunk", "agent": "support"},
            {"to": "200", "agent": "support", "caller_id": '1" <2>'},
            {"to": "200", "agent": "support", "endpoint": "PJSIP/trunk/1"},
            {"to": "200"},
        ):
            assert (await server.ask("POST", "/v1/calls", body)).status == 422, body
        assert (await server.ask("POST", "/v1/calls", {"to": "200", "agent": "nobody"})).status == 404
        assert (await server.ask("POST", "/v1/calls", {"to": "200", "agent": "support"}, token="")).status == 401
        assert not line.rung
        assert await server.metric('voxtrad_calls_rejected_total{reason="outbound_denied"}') == 4


async def test_without_outbound_without_a_line_and_while_draining_there_are_no_calls(tmp_path: Path) -> None:
    line = Line(listens)
    async with house(tmp_path, line, more="") as server:
        refused = await order(server)
        assert (refused.status, line.rung) == (403, [])
        assert "outbound" in refused.json["detail"]
    async with house(tmp_path, line) as server:
        line.connected = False
        assert (await order(server)).status == 503
        line.connected = True
        assert (await server.ask("POST", "/v1/drain")).status == 200
        assert (await order(server)).status == 503
        assert await server.metric('voxtrad_calls_rejected_total{reason="draining"}') == 1
    assert not line.rung


async def test_limits_hold_also_after_a_restart_and_whatever_becomes_of_the_records(tmp_path: Path) -> None:
    line = Line(listens)
    line.answers.clear()
    async with house(tmp_path, line, more=LIMITED) as server:
        first = await order(server)
        refused = await order(server)
        assert (first.status, refused.status, refused.json["limit"]) == (201, 429, "concurrent")
        line.answers.set()
        await server.happened(CallEnded)
        server.events.clear()
        assert (await order(server)).status == 201
        await server.happened(CallEnded)
        refused = await order(server)
        assert (refused.status, refused.json["limit"]) == (429, "per_minute")
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        assert await server.metric('voxtrad_calls_rejected_total{reason="outbound_limit"}') == 2
        await server.server.ledger.flush()
        assert (await server.ask("DELETE", f"/v1/calls/{first.json['id']}")).status == 204
    async with house(tmp_path, line, more=LIMITED) as server:
        assert (await order(server)).status == 201
        await server.happened(CallEnded)
        refused = await order(server)
        assert (refused.status, refused.json["limit"]) == (429, "per_day")
        assert 86_000 <= int(refused.headers["Retry-After"]) <= 86_400
    assert len(line.rung) == 3


async def test_asking_twice_with_one_key_makes_one_call(tmp_path: Path) -> None:
    line = Line(listens)
    key = {"headers": {"Idempotency-Key": "order-17"}}
    async with house(tmp_path, line, more=LIMITED) as server:
        first, second = await asyncio.gather(order(server, **key), order(server, **key))
        # At the same time the other one may meet the limit of one call at once, and asks again.
        assert {first.status, second.status} <= {201, 429}
        again = await order(server, **key)
        assert again.status == 201
        made = {answer.json["id"] for answer in (first, second, again) if answer.status == 201}
        assert len(made) == 1
        assert again.headers["Idempotency-Replayed"] == "true"
        assert (await order(server, "200", **key)).status == 422
        assert (await order(server, headers={"Idempotency-Key": "x" * 256})).status == 422
        await server.happened(CallEnded)
    async with house(tmp_path, line, more=LIMITED) as server:
        assert (await order(server, **key)).json["id"] in made
    assert len(line.rung) == 1


async def test_what_cannot_be_counted_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxtrad.outgoing.COUNTING", 0.2)
    line = Line(listens)
    async with house(tmp_path, line) as server:
        await server.server.ledger.flush()
        locked = sqlite3.connect(tmp_path / "var/voxtrad.db", isolation_level=None)
        locked.execute("BEGIN EXCLUSIVE")
        try:
            refused = await order(server)
        finally:
            locked.execute("ROLLBACK")
            locked.close()
        assert (refused.status, line.rung) == (503, [])
        assert (await order(server)).status == 201
        await server.happened(CallEnded)


async def test_whoever_asks_as_the_server_stops_is_told(tmp_path: Path) -> None:
    async with house(tmp_path, Line()) as server:
        outgoing = server.server.outgoing
        await outgoing._counted_before()
        (running,) = (task for task in asyncio.all_tasks() if task.get_name() == "outgoing calls")
        wanted = Order("02071234567", "support")
        asking = asyncio.create_task(outgoing.place(wanted))
        running.cancel()  # in the turn of the loop in which the call's task is made
        async with asyncio.timeout(5):
            with pytest.raises(NoLine):
                await asking
            with pytest.raises(NoLine):
                await outgoing.place(wanted)
