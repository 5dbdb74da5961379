"""Built-in tools on a real Asterisk: what the caller hears and presses, and what comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web
from numpy.typing import NDArray
from office import Company, configuration, working
from pbx import Pbx, PbxAri
from sipcaller import sip_caller
from tones import digits_in, tones_of

from voxtrad.audio.wav import WavWriter
from voxtrad.events.types import (
    AgentResponse,
    CallAnswered,
    CallEnded,
    DtmfReceived,
    ToolCalled,
    ToolCompleted,
    UserTranscript,
)

pytestmark = pytest.mark.asterisk

AGENT = """
    stt: tones
    tts: tones
    vad: energy
    variables: {{pin: null, mood: null}}
    llm:
      provider: scripted
      rules:
        - {{match: 'order 1$', tool: pin, say: "{{{{ result.entered }}}} 5", on_error: "9"}}
        - {{match: 'order 2$', tool: send_dtmf, arguments: {{digits: "42#"}}, say: "2"}}
        - {{match: 'order 3$', tool: jingle, say: "{{{{ result.status | length }}}}"}}
        - match: 'order 4$'
          tool: note
          arguments: {{name: mood, value: "77"}}
          say: "{{{{ result.status | length }}}}"
        - {{match: 'order 5$', tool: leave_message, say: "5"}}
        - {{match: 'order 6$', tool: end_call, say: "66"}}
    tools: [pin, send_dtmf, jingle, note, leave_message, end_call]
tools:
  pin: {{builtin: collect_digits, length: 4, sensitive: true}}
  jingle: {{builtin: play, media: "{jingle}"}}
  note: {{builtin: set_variable, variables: [mood]}}
  leave_message: {{builtin: voicemail, continue: {{context: arrive, extension: given, priority: 1}}}}
"""


@pytest.fixture
async def company() -> AsyncIterator[Company]:
    async with Company().open() as company:
        yield company


@pytest.fixture
async def jingle(tmp_path: Path) -> AsyncIterator[str]:
    """The URL of a WAV file that sounds like 3 1 3."""
    path = _wav("313", tmp_path)

    async def answer(request: web.Request) -> web.FileResponse:
        return web.FileResponse(path)

    app = web.Application()
    app.router.add_get("/jingle.wav", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/jingle.wav"
    await runner.cleanup()


def _wav(digits: str, folder: Path) -> Path:
    path = folder / f"{digits}.wav"
    writer = WavWriter(path, 8000)
    writer.write(tones_of(digits))
    writer.close()
    return path


async def test_built_in_tools(pbx: Pbx, ari: PbxAri, company: Company, jingle: str, tmp_path: Path) -> None:
    config = configuration(pbx, company, tmp_path, AGENT.format(jingle=jingle).split("tools:\n  pin")[0])
    config.write_text(config.read_text() + "  pin" + AGENT.format(jingle=jingle).split("tools:\n  pin")[1])
    async with working(config) as office, sip_caller(pbx) as caller:
        await caller.dial("1000")
        await office.next(CallAnswered)

        async def asks(digit: str, answers: int) -> str:
            """Say a digit and wait for the agent's next answer; what the caller has heard since."""
            before = caller.heard().size
            await caller.say(_wav(digit, tmp_path))
            await office.next(AgentResponse, answers)
            heard = await caller.hears(lambda samples: len(digits_in(samples[before:])) > 0)
            return digits_in(heard[before:])

        collecting = asyncio.create_task(asks("1", 1))
        await office.next(UserTranscript, 1)
        await caller.press("4711")
        assert (await collecting).startswith("4"), office.story() + repr(office.of(DtmfReceived))
        collected = office.of(ToolCompleted)[0]
        assert collected.outcome == "ok", office.story()
        (session,) = office.server.core.switchboard.calls.values()
        assert session.call is not None and session.call.agent.variables["pin"] == "4711"
        told = repr(office.events) + repr(session.call.agent.history)
        assert "4711" not in told and {event.digit for event in office.of(DtmfReceived)} == {"*"}

        await asks("3", 2)
        assert office.of(ToolCompleted)[1].outcome == "ok", office.story()
        assert "313" in digits_in(caller.heard())

        assert await asks("4", 3) == "5"  # noted
        assert session.call.agent.variables["mood"] == "77"

        await asks("2", 4)
        assert office.of(ToolCompleted)[3].outcome == "ok", office.story()

        await caller.say(_wav("5", tmp_path))
        ended = await office.next(CallEnded)
        assert ended.outcome == "handed_over", office.story()
        (channel,) = await ari.get("channels")  # type: ignore[misc]  # a list, as its name says
        assert channel["dialplan"]["context"] == "arrive" and channel["caller"]["number"] == "100"
        await caller.hang_up()
    await ari.nothing_left()


PATIENT = """
    stt: tones
    tts: tones
    vad: energy
    idle: {after: 1.5s, say: ["8"], max: 5}
    llm:
      provider: scripted
      rules:
        - {match: 'order 1$', tool: goodbye, say: "{{ result.status | length }}", on_error: "9"}
        - {match: 'order 2$', tool: nothing, say: "4", on_error: "9"}
        - {match: 'order 3$', tool: number, arguments: {prompt: "2727272727"}, say: "{{ result.digits }}"}
        - {match: 'order 4$', tool: wait, arguments: {seconds: 4}, say: "7"}
        - {match: 'order 5$', tool: end_call, say: "66"}
    tools: [goodbye, nothing, number, wait, end_call]
"""
PATIENT_TOOLS = """
  goodbye: {builtin: play, media: "sound:vm-goodbye"}
  nothing: {builtin: play, media: "sound:there/is/none"}
  number: {builtin: collect_digits, length: 3}
"""


def loud(samples: NDArray[np.int16]) -> float:
    """Seconds of sound in it."""
    return float(np.count_nonzero(np.abs(samples[: samples.size // 80 * 80].reshape(-1, 80)).max(axis=1) > 800) / 100)


async def test_sounds_of_the_pbx_keys_into_a_prompt_waiting_and_goodbye(
    pbx: Pbx, ari: PbxAri, company: Company, tmp_path: Path
) -> None:
    config = configuration(pbx, company, tmp_path, PATIENT)
    config.write_text(config.read_text() + PATIENT_TOOLS.strip("\n"))
    async with working(config) as office, sip_caller(pbx) as caller:
        await caller.dial("1000")
        await office.next(CallAnswered)

        async def answer(digit: str) -> ToolCompleted:
            """Say a digit; the tool that it has run. Nudges come whenever the caller takes their time."""
            done = len(office.of(ToolCompleted))
            await caller.say(_wav(digit, tmp_path))
            await office.next(ToolCompleted, done + 1)
            return office.of(ToolCompleted)[done]

        before = caller.heard().size
        assert (await answer("1")).outcome == "ok", office.story()
        assert loud(caller.heard()[before:]) > 0.4, "the sound was not heard"
        assert (await answer("2")).outcome == "error", office.story()

        collecting = asyncio.create_task(answer("3"))
        await office.next(ToolCalled, 3)
        await caller.hears_sound(caller.heard().size)
        await caller.press("47")
        await caller.press("1")
        collected = await collecting
        assert collected.result == {"digits": "471", "complete": True}, office.story()

        waiting = await answer("4")
        nudged = len([event for event in office.of(AgentResponse) if event.text == "8"])
        async with asyncio.timeout(30):
            while len(nudges := [event for event in office.of(AgentResponse) if event.text == "8"]) == nudged:
                await office.next(AgentResponse, len(office.of(AgentResponse)) + 1)
        assert nudges[-1].timestamp - waiting.timestamp > 3.9, office.story()

        await caller.say(_wav("5", tmp_path))
        ended = await office.next(CallEnded)
        assert ended.outcome == "completed", office.story()
        assert digits_in(caller.heard()).endswith("66")
    await ari.nothing_left()
