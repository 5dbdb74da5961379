"""Calls that a whole server makes over HTTP on a real Asterisk: a telephone rings, answers and talks with the agent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from office import Company, Office, configuration, working
from pbx import Pbx, PbxAri
from refusing import refusing
from sipcaller import telephone
from test_asterisk_bridging import write
from tones import digits_in

from voxtrad.events.types import AgentResponse, CallAnswered, CallEnded, CallStarted, RecordingReady, UserTranscript

pytestmark = pytest.mark.asterisk

AGENT = """
    variables: {code: "0"}
    greeting: "{{ vars.code }}"
    stt: tones
    tts: tones
    vad: energy
    idle: {after: 60s}
    record: true
    interrupt: {enabled: false}
    llm:
      provider: scripted
      rules: [{match: 'order 9', say: "8", tool: transfer, arguments: {destination: elsewhere}}]
      otherwise: "77"
    tools: [transfer]
"""
OUTBOUND = """
outbound: {endpoint: "Local/{number}@from-voxtrad", allow: ["3"], timeout: 10s}
destinations:
  elsewhere: {continue: {context: arrive, extension: given}}
"""


@pytest.fixture
async def company() -> AsyncIterator[Company]:
    async with Company().open() as company:
        yield company


@pytest.fixture(params=["websocket", "audiosocket"])
def config(request: Any, pbx: Pbx, company: Company, tmp_path: Path) -> Path:
    path = configuration(pbx, company, tmp_path, AGENT, transport=request.param)
    path.write_text(path.read_text() + OUTBOUND)
    return path


def to_telephones(config: Path) -> Path:
    """The same with another context and prefix for what is called."""
    config.write_text(config.read_text().replace("@from-voxtrad", "@telephones").replace('["3"]', '["9"]'))
    return config


async def order(office: Office, to: str, **more: object) -> tuple[int, Any]:
    body = {"to": to, "agent": "support", "variables": {"code": "123"}, **more}
    async with aiohttp.ClientSession() as http, http.post(f"{office.server.url}/v1/calls", json=body) as answer:
        return answer.status, await answer.json()


async def test_a_telephone_is_called_and_talks_with_the_agent(pbx: Pbx, ari: PbxAri, config: Path) -> None:
    async with working(config) as office, telephone(pbx, "301") as phone:
        status, made = await order(office, "301", caller_id="442079460000")
        assert status == 201
        assert "442079460000" in await phone.rings()
        await phone.pick_up()
        await phone.hears(lambda heard: digits_in(heard) == "123")
        await office.next(AgentResponse, 1)
        await phone.say(write(phone, "5"))
        await phone.hears(lambda heard: digits_in(heard) == "12377")
        started, answered = await office.next(CallStarted), await office.next(CallAnswered)
        assert started.call_id == answered.call_id == made["id"]  # type: ignore[attr-defined]
        assert (started.direction, started.caller, started.dialled) == ("outbound", "442079460000", "301")  # type: ignore[attr-defined]
        assert [event.text for event in office.of(UserTranscript)] == ["order 5"], office.story()  # type: ignore[attr-defined]
        await phone.hang_up()
        ended = await office.next(CallEnded)
        recorded = await office.next(RecordingReady)
        assert recorded.seconds > 1, office.story()  # type: ignore[attr-defined]
    assert ended.outcome == "caller_hangup", office.story()  # type: ignore[attr-defined]
    async with asyncio.timeout(20):
        while not (found := [row for row in pbx.cdr() if row["linkedid"] == started.linkedid]):  # type: ignore[attr-defined]  # noqa: ASYNC110 - another process's file
            await asyncio.sleep(0.02)
    assert found[0]["disposition"] == "ANSWERED"
    await ari.nothing_left()


async def test_whoever_was_called_can_be_led_on(pbx: Pbx, ari: PbxAri, config: Path) -> None:
    async with working(config) as office, telephone(pbx, "301") as phone:
        assert (await order(office, "301"))[0] == 201
        await phone.rings()
        await phone.pick_up()
        await office.next(AgentResponse, 1)
        await phone.say(write(phone, "9"))
        ended = await office.next(CallEnded)
        assert ended.outcome == "handed_over", office.story()  # type: ignore[attr-defined]
        await ari.has(channels=3)  # the telephone, and both ends of what leads to the dialplan
        assert not phone.ended.is_set()
        await phone.hang_up()
    await ari.nothing_left()


async def test_busy(pbx: Pbx, ari: PbxAri, config: Path) -> None:
    async with working(config) as office, telephone(pbx, "301") as phone:
        assert (await order(office, "301"))[0] == 201
        await phone.rings()
        phone.refuse()
        ended = await office.next(CallEnded)
    assert (ended.outcome, ended.talk_time) == ("busy", 0.0), office.story()  # type: ignore[attr-defined]
    await ari.nothing_left()


async def test_no_answer_and_nobody_there(pbx: Pbx, ari: PbxAri, config: Path) -> None:
    async with working(config) as office, telephone(pbx, "302") as phone:
        assert (await order(office, "302"))[0] == 201
        await phone.rings()
        ended = await office.next(CallEnded)
        assert ended.outcome == "no_answer", office.story()  # type: ignore[attr-defined]
        assert (await order(office, "3999"))[0] == 201  # the dialplan rings a telephone that there is not
        ended = await office.next(CallEnded, 2)
    assert ended.outcome == "unreachable", office.story()  # type: ignore[attr-defined]
    await ari.nothing_left()


@pytest.mark.parametrize(
    ("status", "outcome"), [("603 Decline", "declined"), ("480 Gone", "no_answer"), ("503 Unavailable", "unreachable")]
)
async def test_whoever_is_called_refuses(pbx: Pbx, ari: PbxAri, config: Path, status: str, outcome: str) -> None:
    async with working(to_telephones(config)) as office, refusing(pbx, status) as phone:
        assert (await order(office, f"9{phone.port:05d}", caller_id="442079460000"))[0] == 201
        ended = await office.next(CallEnded)
        assert (ended.outcome, ended.talk_time) == (outcome, 0.0), office.story()  # type: ignore[attr-defined]
        assert ["442079460000" in shown for shown in phone.shown()] == [True]
    await ari.nothing_left()


async def test_a_server_that_stops_hangs_up_what_rings(pbx: Pbx, ari: PbxAri, config: Path) -> None:
    async with telephone(pbx, "302") as phone:
        async with working(config) as office:
            assert (await order(office, "302"))[0] == 201
            await phone.rings()
        assert len(office.of(CallEnded)) == 1, office.story()
        await ari.nothing_left()


async def test_toll_fraud_is_refused_and_nothing_rings(ari: PbxAri, config: Path) -> None:
    async with working(config) as office:
        for number in ("+12125550100", "0012125550100", "900", "*72900", "1000"):
            assert (await order(office, number))[0] == 403, number
        assert (await order(office, "301@from-internal"))[0] == 422
        assert await ari.channels() == [] and not office.of(CallStarted)
