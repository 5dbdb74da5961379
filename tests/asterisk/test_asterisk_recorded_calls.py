"""Whole calls that a real Asterisk records for a whole server: with consent, sensitive keys, handover and analysis."""

from __future__ import annotations

import asyncio
import io
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import numpy as np
import pytest
from numpy.typing import NDArray
from office import Company, Office, configuration, working
from pbx import Pbx, PbxAri
from sipcaller import sip_caller, telephone
from test_asterisk_bridging import write
from test_asterisk_orphans import another_process, calls_written
from tones import digits_in

from tests.figures import tells
from voxtrad.events.types import (
    AgentResponse,
    CallAnalyzed,
    CallEnded,
    ErrorOccurred,
    RecordingReady,
    ToolCompleted,
    TransferCompleted,
    UserTranscript,
)
from voxtrad.ledger.queries import show_call

pytestmark = pytest.mark.asterisk

AGENT = """
    greeting: "5"
    record: {record}
    consent: "66"
    stt: tones
    tts: tones
    vad: energy
    idle: {{after: 60s}}
    interrupt: {{enabled: false}}
    variables: {{pin: null}}
    llm:
      provider: scripted
      rules:
        - {{match: 'order 1', tool: pin, say: "{{{{ result.entered }}}} 3"}}
        - {{match: 'order 2', tool: transfer, arguments: {{destination: reception}}}}
      otherwise: "77"
    analysis:
      llm: {{provider: scripted, rules: [], otherwise: '{{"summary": "Pressed keys."}}'}}
    tools: [pin, transfer]
destinations:
  reception: {{dial: PJSIP/301, record: {together}}}
"""


@pytest.fixture
async def company() -> AsyncIterator[Company]:
    async with Company().open() as company:
        yield company


def recorded(pbx: Pbx, company: Company, folder: Path, record: str, *, together: bool = False) -> Path:
    path = configuration(pbx, company, folder, "stt: tones")
    before, _, after = path.read_text().partition("    stt: tones\n")
    agent_text = AGENT.format(record=record, together=str(together).lower()).lstrip("\n")
    path.write_text(f"{before}{agent_text}{after}  pin: {{builtin: collect_digits, length: 4, sensitive: true}}\n")
    return path


async def fetch(office: Office, event: RecordingReady) -> tuple[NDArray[np.int16], NDArray[np.int16], int]:
    """The caller's side, what they heard, and the rate; by the API."""
    async with aiohttp.ClientSession(office.server.url) as http, http.get(event.location) as answer:
        assert (answer.status, answer.content_type) == (200, "audio/wav"), await answer.text()
        body = await answer.read()
    with wave.open(io.BytesIO(body)) as reader:
        both = np.frombuffer(reader.readframes(reader.getnframes()), dtype="<i2").reshape(-1, 2)
        return both[:, 0], both[:, 1], reader.getframerate()


def at_the_pbx(pbx: Pbx) -> list[str]:
    return [path.name for path in (pbx.folder / "spool/recording").iterdir()]


async def nothing_at_the_pbx(pbx: Pbx) -> None:
    """It is deleted there when it was told to be here."""
    async with asyncio.timeout(20):
        while at_the_pbx(pbx):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)


async def test_consent_sensitive_keys_and_deletion(pbx: Pbx, ari: PbxAri, company: Company, tmp_path: Path) -> None:
    config = recorded(pbx, company, tmp_path, "consent")
    async with working(config) as office, sip_caller(pbx) as caller:
        await caller.dial("1000")
        await caller.hears(lambda heard: "66" in digits_in(heard))
        await caller.press("1")
        await office.next(AgentResponse, 2)
        await caller.say(write(caller, "1"))
        await office.next(UserTranscript, 2)
        await caller.press("4711")
        await office.next(ToolCompleted)
        await office.next(AgentResponse, 3)
        await caller.say(write(caller, "8"))
        await office.next(AgentResponse, 4)
        await caller.hang_up()
        ready = await office.next(RecordingReady)
        analyzed = await office.next(CallAnalyzed)
        assert isinstance(ready, RecordingReady) and isinstance(analyzed, CallAnalyzed)
        left, right, rate = await fetch(office, ready)
        assert digits_in(left, rate) == "18", office.story()
        assert digits_in(right, rate) == "54377", office.story()
        assert analyzed.summary == "Pressed keys."
        kinds = [type(event) for event in office.events]
        assert kinds.index(CallEnded) < min(kinds.index(RecordingReady), kinds.index(CallAnalyzed))
        assert not any(tells("4711", str(event)) for event in office.events)
        await nothing_at_the_pbx(pbx)
        await ari.nothing_left()

        await office.server.ledger.flush()
        (file,) = list((tmp_path / "data/recordings").iterdir())
        async with aiohttp.ClientSession(office.server.url) as http:
            async with http.get(f"/v1/calls/{ready.call_id}") as answer:
                record = await answer.json()
            assert record["recording"]["location"] == ready.location
            assert record["analysis"]["summary"] == "Pressed keys."
            async with asyncio.timeout(20):
                while True:  # what is left of the wrap-up takes a moment
                    async with http.delete(f"/v1/calls/{ready.call_id}") as answer:
                        if answer.status != 409:
                            break
            assert answer.status == 204
            async with http.get(ready.location) as answer:
                assert answer.status == 404
        assert not file.exists()


@pytest.mark.parametrize("answer", ["2", "hangs up"])
async def test_without_consent_nothing_is_recorded(
    pbx: Pbx, ari: PbxAri, company: Company, tmp_path: Path, answer: str
) -> None:
    async with working(recorded(pbx, company, tmp_path, "consent")) as office, sip_caller(pbx) as caller:
        await caller.dial("1000")
        await caller.hears(lambda heard: "66" in digits_in(heard))
        if answer == "2":
            await caller.press("2")
            await office.next(AgentResponse, 2)
        await caller.hang_up()
        await office.next(CallEnded)
        await ari.nothing_left()
        assert not office.of(RecordingReady) and at_the_pbx(pbx) == []
    assert not (tmp_path / "data/recordings").exists()


@pytest.mark.parametrize("together", [True, False])
async def test_people_who_talk(pbx: Pbx, ari: PbxAri, company: Company, tmp_path: Path, together: bool) -> None:
    config = recorded(pbx, company, tmp_path, "on_answer", together=together)
    async with working(config) as office, telephone(pbx) as phone, sip_caller(pbx) as caller:
        await caller.dial("1000")
        await office.next(AgentResponse, 1)
        await caller.say(write(caller, "2"))
        await phone.rings()
        await phone.pick_up()
        await office.next(TransferCompleted)
        await caller.say(write(caller, "4"))
        await phone.hears(lambda heard: "4" in digits_in(heard))
        await phone.say(write(phone, "9"))
        await caller.hears(lambda heard: digits_in(heard).endswith("9"))
        await caller.hang_up()
        ready = await office.next(RecordingReady)
        assert isinstance(ready, RecordingReady)
        left, right, rate = await fetch(office, ready)
        assert digits_in(left, rate) == ("24" if together else "2"), office.story()
        assert ("9" in digits_in(right, rate)[1:]) == together
        await ari.nothing_left()


async def test_a_pbx_that_refuses_costs_the_call_nothing(own_pbx: Pbx, company: Company, tmp_path: Path) -> None:
    own_pbx.cli("module unload res_stasis_recording.so")
    (own_pbx.folder / "spool/recording").rmdir()
    (own_pbx.folder / "spool/recording").touch()
    async with working(recorded(own_pbx, company, tmp_path, "true")) as office, sip_caller(own_pbx) as caller:
        await caller.dial("1000")
        await office.next(AgentResponse, 1)
        await caller.say(write(caller, "8"))
        await office.next(AgentResponse, 2)
        await caller.hang_up()
        await office.next(CallEnded)
        (error,) = [event for event in office.of(ErrorOccurred) if isinstance(event, ErrorOccurred)]
        assert error.where == "recording" and "not recorded" in error.message, office.story()
        assert not office.of(RecordingReady)
        async with own_pbx.ari() as ari:
            await ari.nothing_left()


async def test_a_caller_whose_audio_broke_off_has_not_hung_up(own_pbx: Pbx, company: Company, tmp_path: Path) -> None:
    async with (
        working(recorded(own_pbx, company, tmp_path, "false")) as office,
        own_pbx.ari() as ari,
    ):
        await ari.call("1001", __MARK="lost")
        await office.next(AgentResponse, 1)
        (media,) = [name for name in await ari.channels() if name.startswith("WebSocket/")]
        own_pbx.cli(f"channel request hangup {media}")
        ended = await office.next(CallEnded)
        assert isinstance(ended, CallEnded)
        assert (ended.outcome, ended.reason) == ("failed", "the media connection was lost"), office.story()
        async with asyncio.timeout(20):
            while await ari.global_variable("CAME_BACK") != "FAILED-lost":  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.02)
        await ari.hang_up_all()


async def test_what_a_killed_server_recorded_is_fetched_by_the_next(
    pbx: Pbx, ari: PbxAri, company: Company, tmp_path: Path
) -> None:
    agent = """
        greeting: "A greeting that is recorded, and takes its time to be said to the end."
        stt: sphinx
        tts: espeak
        llm: {provider: scripted, rules: [], otherwise: "Yes."}
        record: true
    """
    config = configuration(pbx, company, tmp_path, agent)
    async with another_process(config) as server, sip_caller(pbx) as caller:
        await caller.dial("1000")
        await caller.hears_silence()
        await calls_written(tmp_path, 1)
        assert len(at_the_pbx(pbx)) == 2
        server.kill()
        await server.wait()
        async with working(config) as office:
            ready = await office.next(RecordingReady)
            assert isinstance(ready, RecordingReady) and ready.agent == "support"
            left, right, _ = await fetch(office, ready)
            assert np.abs(right.astype(np.int32)).max() > 2000 and left.size == pytest.approx(right.size, rel=0.02)
            await office.server.ledger.flush()
            record = await office.server.ledger.read(lambda db: show_call(db, ready.call_id))
            assert record is not None and record["outcome"] == "crashed"
            assert record["recording"] == {"location": ready.location, "seconds": ready.seconds}
            await nothing_at_the_pbx(pbx)
            await caller.hang_up()
            await ari.nothing_left()
