"""Callers who are handed over by a whole server on a real Asterisk: to a second telephone, into the dialplan and back,
to another agent. Who calls is shown on the far telephone, records are right, and nothing is left over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from office import Company, Office, configuration, working
from pbx import MUSIC_HZ, Pbx, PbxAri
from refusing import refusing
from sipcaller import SipCaller, sip_caller, telephone
from test_asterisk_bridging import hears_tone, write
from tones import digits_in

from voxtrad.events.types import (
    AgentResponse,
    CallEnded,
    CallStarted,
    CallTransferred,
    DtmfReceived,
    TransferCompleted,
    TransferFailed,
    UserTranscript,
)

pytestmark = pytest.mark.asterisk

AGENT = """
    greeting: "0"
    stt: tones
    tts: tones
    vad: energy
    idle: {{after: 60s}}
    interrupt: {{enabled: false}}
    llm:
      provider: scripted
      rules:
        - {{match: 'order 1', say: "1", tool: transfer, arguments: {{destination: reception}}, on_error: "44"}}
      otherwise: "77"
    tools: [transfer]
  sales:
    greeting: "88"
    stt: tones
    tts: tones
    vad: energy
    llm: {{provider: scripted, rules: [], otherwise: "99"}}
destinations:
  reception: {destination}
"""


@pytest.fixture
async def company() -> AsyncIterator[Company]:
    async with Company().open() as company:
        yield company


def handing_to(destination: str, pbx: Pbx, company: Company, folder: Path, transport: str = "auto") -> Path:
    path = configuration(pbx, company, folder, "stt: tones", transport=transport)
    before, _, after = path.read_text().partition("    stt: tones\n")
    path.write_text(before + AGENT.format(destination=destination).lstrip("\n") + after)
    return path


async def asks_for_a_person(caller: SipCaller, office: Office) -> None:
    await caller.dial("1000")
    await office.next(AgentResponse, 1)
    await caller.say(write(caller, "1"))


async def still_talks_with_the_agent(caller: SipCaller, office: Office) -> None:
    """The agent has come back and said so; it hears the caller and answers."""
    await office.next(AgentResponse, 3)
    assert office.of(AgentResponse)[2].text == "44", office.story()
    before = caller.heard().size
    await caller.say(write(caller, "5"))
    await caller.hears(lambda heard: "77" in digits_in(heard[before:]))
    assert [event.text for event in office.of(UserTranscript)] == ["order 1", "order 5"], office.story()
    await caller.hang_up()
    ended = await office.next(CallEnded)
    assert ended.outcome == "caller_hangup", office.story()
    assert len(office.of(CallStarted)) == len(office.of(CallEnded)) == 1


async def talk(caller: SipCaller, phone: SipCaller) -> None:
    """Both hear each other."""
    one, other = write(caller, "246"), write(phone, "9753")
    async with asyncio.TaskGroup() as group:
        group.create_task(caller.say(one))
        group.create_task(phone.say(other))
        group.create_task(caller.hears(lambda heard: "753" in digits_in(heard)))
        group.create_task(phone.hears(lambda heard: "246" in digits_in(heard)))


def outcomes(office: Office) -> list[str]:
    return [e.outcome for e in office.events if isinstance(e, TransferCompleted | TransferFailed)]


async def records(pbx: Pbx, count: int) -> list[dict[str, str]]:
    """Asterisk writes a record a moment after the call."""
    async with asyncio.timeout(5):
        while len(found := pbx.cdr()) < count:  # noqa: ASYNC110 - another process's file
            await asyncio.sleep(0.02)
    return found


@pytest.mark.parametrize("endpoint", ["PJSIP/301", "Local/301@telephones"])
@pytest.mark.parametrize("transport", ["websocket", "audiosocket"])
async def test_blind(own_pbx: Pbx, company: Company, tmp_path: Path, endpoint: str, transport: str) -> None:
    config = handing_to(f"{{dial: {endpoint}}}", own_pbx, company, tmp_path, transport)
    async with own_pbx.ari() as ari, working(config) as office:
        async with sip_caller(own_pbx) as caller, telephone(own_pbx) as phone:
            await asks_for_a_person(caller, office)
            assert await phone.rings() == "Caller One <100>"
            await hears_tone(caller, 440, 480)
            await phone.pick_up()
            await talk(caller, phone)
            assert not [c for c in await ari.channels() if c.startswith(("WebSocket/", "AudioSocket/"))], "no pipeline"
            (session,) = office.server.core.switchboard.calls.values()
            assert session.call is not None and session.call.state == "handed-over"
            assert session.call.idle_monitor.suspended
            await phone.hang_up()
            await caller.ended.wait()
        ended = await office.next(CallEnded)
        assert ended.outcome == "transferred", office.story()
        assert outcomes(office) == ["answered"] and len(office.of(CallTransferred)) == 1
        assert [event.text for event in office.of(UserTranscript)] == ["order 1"]
        await ari.nothing_left()
        mine = [r for r in await records(own_pbx, 1) if r["channel"].startswith("PJSIP/100")]
        assert {(r["src"], r["dst"], r["disposition"]) for r in mine} == {("100", "1000", "ANSWERED")}
        assert mine[0]["clid"] == '"Caller One" <100>'
        assert mine[-1]["voxtrad_call_id"] == ended.call_id and mine[-1]["voxtrad_outcome"] == "transferred"
        metrics = office.server.metrics.exposition()[0].decode()
        assert 'voxtrad_transfers_total{destination="reception",outcome="answered"} 1.0' in metrics


async def test_the_agent_comes_back_when_the_person_leaves(
    pbx: Pbx, ari: PbxAri, company: Company, tmp_path: Path
) -> None:
    config = handing_to("{dial: PJSIP/301, after: agent, caller_hears: music}", pbx, company, tmp_path)
    async with working(config) as office:
        async with sip_caller(pbx) as caller, telephone(pbx) as phone:
            await asks_for_a_person(caller, office)
            await phone.rings()
            await hears_tone(caller, MUSIC_HZ)
            await phone.pick_up()
            await talk(caller, phone)
            await phone.hang_up()
            await office.next(AgentResponse, 3)
            await caller.say(write(caller, "5"))
            await caller.hears(lambda heard: "77" in digits_in(heard))
            await caller.hang_up()
        await office.next(CallEnded)
        assert [event.text for event in office.of(UserTranscript)] == ["order 1", "order 5"]
        await ari.nothing_left()


@pytest.mark.parametrize("key", ["1", "2", "", "hangup"])
async def test_attended(pbx: Pbx, ari: PbxAri, company: Company, tmp_path: Path, key: str) -> None:
    destination = "{dial: Local/301@telephones, mode: attended, brief: '3 {{ call.from }}', question: '6'}"
    config = handing_to(destination.replace("{{", "{{{{").replace("}}", "}}}}"), pbx, company, tmp_path)
    config.write_text(config.read_text().replace("{{{{", "{{").replace("}}}}", "}}"))
    async with working(config) as office:
        async with sip_caller(pbx) as caller, telephone(pbx) as phone:
            await asks_for_a_person(caller, office)
            assert await phone.rings() == "Caller One <100>"
            await phone.pick_up()
            await phone.hears(lambda heard: "31006" in digits_in(heard))  # who it is, and the question
            await hears_tone(caller, 440, 480)  # all the while
            match key:
                case "1":
                    await phone.press("1")
                    await office.next(TransferCompleted)
                    await talk(caller, phone)
                    await caller.hang_up()
                    async with asyncio.timeout(5):
                        await phone.ended.wait()
                    ended = await office.next(CallEnded)
                    assert ended.outcome == "transferred", office.story()
                case "2" | "":
                    if key:
                        await phone.press(key)
                    failed = await office.next(TransferFailed)
                    assert failed.outcome == ("declined" if key else "no_answer")
                    async with asyncio.timeout(5):
                        await phone.ended.wait()
                    await still_talks_with_the_agent(caller, office)
                case _:
                    await phone.hang_up()
                    failed = await office.next(TransferFailed)
                    assert failed.outcome == "declined"
                    await still_talks_with_the_agent(caller, office)
        await ari.nothing_left()


@pytest.mark.parametrize("endpoint", ["PJSIP/301", "Local/301@telephones"])
@pytest.mark.parametrize("what", ["busy", "no_answer", "unavailable"])
async def test_nobody_takes_the_call(
    pbx: Pbx, ari: PbxAri, company: Company, tmp_path: Path, endpoint: str, what: str
) -> None:
    if what == "unavailable":
        endpoint = endpoint.replace("301", "302")
    destination = f"{{dial: {endpoint}, timeout: 2s}}"
    async with working(handing_to(destination, pbx, company, tmp_path)) as office:
        async with sip_caller(pbx) as caller, telephone(pbx) as phone:
            await asks_for_a_person(caller, office)
            if what == "busy":
                await phone.rings()
                phone.refuse()
            await still_talks_with_the_agent(caller, office)
            assert outcomes(office) == [what]
        await ari.nothing_left()


REFUSALS = {
    "603 Decline": "declined",
    "486 Busy Here": "busy",
    "480 Temporarily Unavailable": "no_answer",
    "404 Not Found": "unavailable",
    "503 Service Unavailable": "unavailable",
}


@pytest.mark.parametrize("way", ["telephone", "local", "dialplan"])
@pytest.mark.parametrize("status", REFUSALS)
async def test_the_far_telephone_refuses(
    pbx: Pbx, ari: PbxAri, company: Company, tmp_path: Path, status: str, way: str
) -> None:
    async with refusing(pbx, status) as phone:
        extension = f"9{phone.port:05d}"
        destination = {
            "telephone": f"{{dial: 'PJSIP/301/sip:far@127.0.0.1:{phone.port}'}}",
            "local": f"{{dial: Local/{extension}@telephones}}",
            "dialplan": f"{{continue: {{context: voxtrad-transfer, extension: '{extension}', priority: 1}}}}",
        }[way]
        async with working(handing_to(destination, pbx, company, tmp_path)) as office:
            async with sip_caller(pbx) as caller:
                await asks_for_a_person(caller, office)
                await still_talks_with_the_agent(caller, office)
                assert outcomes(office) == [REFUSALS[status]], office.story()
            await ari.nothing_left()
        (shown,) = phone.shown()
        assert '"Caller One" <sip:100@' in shown, shown


@pytest.mark.parametrize("when", ["ringing", "briefing", "talking"])
async def test_the_caller_hangs_up(pbx: Pbx, ari: PbxAri, company: Company, tmp_path: Path, when: str) -> None:
    mode = ", mode: attended, question: '6'" if when == "briefing" else ""
    async with working(handing_to(f"{{dial: PJSIP/301{mode}}}", pbx, company, tmp_path)) as office:
        async with sip_caller(pbx) as caller, telephone(pbx) as phone:
            await asks_for_a_person(caller, office)
            await phone.rings()
            if when != "ringing":
                await phone.pick_up()
            if when == "briefing":
                await phone.hears(lambda heard: "6" in digits_in(heard))
            elif when == "talking":
                await talk(caller, phone)
            await caller.hang_up()
            async with asyncio.timeout(5):
                await phone.ended.wait()
        ended = await office.next(CallEnded)
        assert ended.outcome == ("transferred" if when == "talking" else "caller_hangup"), office.story()
        assert outcomes(office) == ["answered" if when == "talking" else "abandoned"]
        await ari.nothing_left()


@pytest.mark.parametrize("what", ["answered", "busy", "no_answer", "unavailable", "caller gone"])
async def test_into_the_dialplan_and_back(own_pbx: Pbx, company: Company, tmp_path: Path, what: str) -> None:
    extension = "302" if what == "unavailable" else "301"
    place = f'{{continue: {{context: voxtrad-transfer, extension: "{extension}", priority: 1}}}}'
    async with own_pbx.ari() as ari, working(handing_to(place, own_pbx, company, tmp_path)) as office:
        async with sip_caller(own_pbx) as caller, telephone(own_pbx) as phone:
            await asks_for_a_person(caller, office)
            if extension == "301":
                assert await phone.rings() == "Caller One <100>"
            match what:
                case "answered":
                    await phone.pick_up()
                    ended = await office.next(CallEnded)
                    assert ended.outcome == "transferred", office.story()
                    await talk(caller, phone)
                    await phone.hang_up()
                    await caller.ended.wait()
                case "caller gone":
                    await caller.hang_up()
                    ended = await office.next(CallEnded)
                    assert ended.outcome == "caller_hangup", office.story()
                    assert outcomes(office) == ["abandoned"]
                case _:
                    if what == "busy":
                        phone.refuse()
                    elif what == "no_answer":
                        await caller.press("42")
                    await still_talks_with_the_agent(caller, office)
                    assert outcomes(office) == [what]
                    assert not office.of(DtmfReceived), "keys that the dialplan was told are not ours"
        await ari.nothing_left()
        mine = [r for r in await records(own_pbx, 1) if r["channel"].startswith("PJSIP/100")]
        (event,) = office.of(CallEnded)
        assert mine[-1]["voxtrad_call_id"] == event.call_id and mine[-1]["src"] == "100"
        assert "Caller: order 1" in mine[-1]["voxtrad_summary"], mine


async def test_a_place_that_does_not_come_back_and_one_that_is_not_there(
    pbx: Pbx, ari: PbxAri, company: Company, tmp_path: Path
) -> None:
    place = "{continue: {context: arrive, extension: %s, priority: 1}}"
    async with working(handing_to(place % "given", pbx, company, tmp_path)) as office:
        async with sip_caller(pbx) as caller:
            await asks_for_a_person(caller, office)
            ended = await office.next(CallEnded)
            assert ended.outcome == "handed_over" and outcomes(office) == ["handed_over"], office.story()
            (channel,) = await ari.get("channels")  # type: ignore[misc]  # a list, as its name says
            assert channel["dialplan"]["context"] == "arrive" and channel["caller"]["number"] == "100"
            for name, value in (("VOXTRAD_CALL_ID", ended.call_id), ("VOXTRAD_OUTCOME", "handed_over")):
                found = await ari.get(f"channels/{channel['id']}/variable", variable=name)
                assert found == {"value": value}
        await ari.nothing_left()
    async with working(handing_to(place % "nowhere", pbx, company, tmp_path)) as office:
        async with sip_caller(pbx) as caller:
            await asks_for_a_person(caller, office)
            await still_talks_with_the_agent(caller, office)
            assert outcomes(office) == ["unavailable"]
        await ari.nothing_left()


async def test_another_agent(pbx: Pbx, ari: PbxAri, company: Company, tmp_path: Path) -> None:
    async with working(handing_to("{agent: sales}", pbx, company, tmp_path)) as office:
        async with sip_caller(pbx) as caller:
            await asks_for_a_person(caller, office)
            await caller.hears(lambda heard: digits_in(heard).endswith("88"))
            await caller.say(write(caller, "5"))
            await caller.hears(lambda heard: digits_in(heard).endswith("99"))
            await office.next(AgentResponse, 4)  # the end of the last tone is a part of the answer, too
            await caller.hang_up()
        ended = await office.next(CallEnded)
        assert ended.agent == "sales" and outcomes(office) == ["answered"], office.story()
        said: list[tuple[str, str]] = [(e.agent, e.text) for e in office.of(AgentResponse)]
        assert said == [("support", "0"), ("support", "1"), ("sales", "88"), ("sales", "99")]
        assert len(office.of(CallStarted)) == len(office.of(CallEnded)) == 1
        await ari.nothing_left()
