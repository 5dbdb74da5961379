"""What is recorded of a call, and what is not: on a simulated leg, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import stat
import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from stage import RATE, Caller, Job, Model, agent_config, asks, play, tone

from voxtrad.conversation.call import Call
from voxtrad.conversation.consent import ask_consent
from voxtrad.conversation.recorder import Recorder
from voxtrad.conversation.report import Reporter
from voxtrad.events.types import CallAnswered, CallEnded, Decision, ErrorOccurred, Event, RecordingReady
from voxtrad.leg import LegError, LegInfo
from voxtrad.telephony.simulated import SimulatedLeg
from voxtrad.tools.base import CallActions, Outcome

pytestmark = pytest.mark.virtual_time


def tracks(folder: Path) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """The caller's side and the agent's."""
    with wave.open(str(folder / "c_1.wav")) as reader:
        assert (reader.getnchannels(), reader.getframerate()) == (2, RATE)
        both = np.frombuffer(reader.readframes(reader.getnframes()), dtype="<i2").reshape(-1, 2)
    return both[:, 0], both[:, 1]


def files(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def heard(track: NDArray[np.int16]) -> float:
    """Seconds of sound."""
    return float(np.count_nonzero(np.abs(track.astype(np.int32)) > 100)) / RATE


async def talk(caller: Caller) -> None:
    await caller.answered()
    await caller.says("where is my order")
    await caller.answered()


@pytest.mark.parametrize("record", [True, "on_answer"])
async def test_both_sides_are_recorded(record: object, tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    played = await play(talk, config={"record": record, "greeting": "Hello."}, recordings=folder)
    caller, agent = tracks(folder)
    assert caller.size == agent.size
    assert caller.tobytes() in bytes(played.leg.port.caller_track)
    assert agent.tobytes() in bytes(played.leg.port.agent_track)
    assert heard(caller) > 0.5 and heard(agent) > 0.5
    (ready,) = played.of(RecordingReady)
    assert ready.location == "/v1/calls/c_1/recording" and ready.seconds == pytest.approx(caller.size / RATE, abs=0.01)
    order = [type(event) for event in played.events]
    assert order.index(CallEnded) < order.index(RecordingReady), "the end of a call does not wait for its recording"
    path = folder / "c_1.wav"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert files(folder) == ["c_1.wav"], "no half of a file is left"


@pytest.mark.parametrize(
    "config", [{"record": False}, {"record": True, "privacy": "none"}, {"record": "consent", "privacy": "none"}]
)
async def test_nothing_is_recorded(config: dict[str, object], tmp_path: Path) -> None:
    played = await play(talk, config={"greeting": "Hello.", "consent": "May I?", **config}, recordings=tmp_path)
    assert played.leg.recording is None and not played.of(RecordingReady) and not files(tmp_path)


def answers(*words: str, key: str = "") -> object:
    async def scene(caller: Caller) -> None:
        for said in words:
            await caller.answered()
            await caller.says(said)
        if key:
            await caller.hears_agent()
            await caller.waits(1.0)
            caller.presses(key)
        await caller.answered(3.0)

    return scene


@pytest.mark.parametrize(
    ("scene", "agreed"),
    [
        (answers("yes of course"), True),
        (answers(key="1"), True),
        (answers("what is that for", "okay then"), True),
        (answers("no thank you"), False),
        (answers(key="2"), False),
        (answers("what is that for", "I see"), False),
    ],
)
async def test_consent(scene: object, agreed: bool, tmp_path: Path) -> None:
    played = await play(
        scene,  # type: ignore[arg-type]  # a scene
        config={"record": "consent", "consent": "May I record this call?", "greeting": "How can I help?"},
        recordings=tmp_path,
    )
    assert bool(played.of(RecordingReady)) == agreed == bool(files(tmp_path)), played.decided()
    assert played.said()[0].startswith("May I") and played.said()[-1] == "How can I help?"
    assert played.reasons("recording") == (["begins"] if agreed else [])
    assert played.reasons("consent") == ["the caller agrees to a recording" if agreed else "no recording"]
    if agreed:
        _, agent = tracks(tmp_path)
        question = played.agent_spans[0]
        recorded = agent.size / RATE
        assert recorded < len(played.leg.port.agent_track) / 2 / RATE - question[1], "nothing from before the yes"


async def test_a_caller_who_hangs_up_at_the_question_is_not_recorded(tmp_path: Path) -> None:
    async def scene(caller: Caller) -> None:
        await caller.hears_agent()

    played = await play(scene, config={"record": "consent", "consent": "May I?"}, recordings=tmp_path)
    assert not played.of(RecordingReady) and not files(tmp_path)
    assert played.ended.outcome == "caller_hangup"


async def test_sensitive_keys_are_silence(tmp_path: Path) -> None:
    async def scene(caller: Caller) -> None:
        await caller.answered()
        await caller.says("my number")
        while "collecting" not in story:
            await caller.waits(0.1)
        caller.presses("4711")
        await caller.noise(1.0)
        await caller.answered()
        await caller.says("thank you")
        await caller.answered()

    story: list[str] = []

    async def collect(actions: CallActions) -> Outcome:
        story.append("collecting")
        digits = await actions.collect_digits(length=5, terminator="#", timeout=1.0, sensitive=True)
        return Outcome({"status": "entered"}, variables={"pin": digits})

    played = await play(
        scene,
        config={"record": True, "greeting": "Hello.", "variables": {"pin": None}},
        model=Model([[asks("look_up")], ["Thank you."], ["Bye."]]),
        tools=[Job(work=collect)],
        recordings=tmp_path,
    )
    caller, _ = tracks(tmp_path)
    assert played.call.agent.variables["pin"] == "4711"
    assert played.reasons("recording") == ["begins", "paused", "resumed"]
    assert heard(caller) == pytest.approx(
        heard(np.frombuffer(bytes(played.leg.port.caller_track), "<i2")) - 1.0, abs=0.1
    )
    assert caller.size * 2 == len(played.leg.port.caller_track), "the time is kept"


@pytest.mark.parametrize("given_up", [False, True])
async def test_a_sensitive_number_that_is_said_aloud_is_silence_to_its_end(tmp_path: Path, given_up: bool) -> None:
    async def scene(caller: Caller) -> None:
        await caller.answered()
        await caller.says("my number")
        while "collecting" not in story:
            await caller.waits(0.1)
        await caller.waits(0.5)
        await caller.says("four seven one one", 3.0)
        await caller.answered()
        await caller.says("thank you", 1.0)
        await caller.answered()

    story: list[str] = []

    async def collect(actions: CallActions) -> Outcome:
        story.append("collecting")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0 if given_up else None):
                await actions.collect_digits(length=4, terminator="#", timeout=9 if given_up else 1.0, sensitive=True)
        return Outcome({"status": "nothing entered"})

    played = await play(
        scene,
        config={"record": True, "greeting": "Hello."},
        model=Model([[asks("look_up")], ["Please key it in."], ["Bye."]]),
        tools=[Job(work=collect)],
        recordings=tmp_path,
    )
    caller, _ = tracks(tmp_path)
    said = heard(np.frombuffer(bytes(played.leg.port.caller_track), "<i2"))
    assert heard(caller) == pytest.approx(said - 3.0, abs=0.1)
    assert played.reasons("recording") == ["begins", "paused", "resumed"]


async def test_a_carrier_that_refuses_costs_the_call_nothing(tmp_path: Path) -> None:
    played = await play(
        talk, config={"record": True, "greeting": "Hello."}, recordings=tmp_path, unrecordable="no such module"
    )
    (error,) = played.of(ErrorOccurred)
    assert error.where == "recording" and "no such module" in error.message
    assert played.ended.outcome == "caller_hangup" and played.said() == ["Hello.", "All right."]
    assert not played.of(RecordingReady)


async def test_a_disk_that_refuses_is_told(tmp_path: Path) -> None:
    (tmp_path / "recordings").write_text("in the way")
    played = await play(talk, config={"record": True, "greeting": "Hello."}, recordings=tmp_path / "recordings")
    (error,) = played.of(ErrorOccurred)
    assert error.where == "recording" and "could not be kept" in error.message
    order = [type(event) for event in played.events]
    assert order.index(CallAnswered) < order.index(CallEnded) < order.index(ErrorOccurred)


async def test_a_handler_asks_itself(tmp_path: Path) -> None:
    asked: list[bool] = []

    async def handler(call: Call) -> None:
        await call.answer()
        asked.append(await ask_consent(call))
        asked.append(await ask_consent(call))
        await call.say("Goodbye.")
        await call.hangup()

    async def scene(caller: Caller) -> None:
        await caller.answered()
        await caller.says("yes")
        await caller.answered(3.0)

    played = await play(scene, config={"record": "consent", "consent": "May I?"}, dialogue=handler, recordings=tmp_path)
    assert asked == [True, True] and played.said() == ["May I?", "Goodbye."]
    assert played.of(RecordingReady)


# --- one recording, several agents ------------------------------------------------------------------------------------


class Stage:
    """A recorder on a leg whose audio runs."""

    def __init__(self, folder: Path) -> None:
        loop = asyncio.get_running_loop()
        self.events: list[Event] = []
        info = LegInfo(id="leg", channel="Simulated/1", caller="100", dialled="1000")
        self.leg = SimulatedLeg(info, self._silent, rate=RATE, clock=loop.time)
        reporter = Reporter("c_1", "support", publish=self.events.append, clock=loop.time, providers={})
        self.recorder = Recorder(self.leg, folder, reporter)

    async def _silent(self, leg: SimulatedLeg) -> None:
        await asyncio.Event().wait()

    async def speak(self) -> None:
        """A second of sound."""
        await self.leg.say(tone(1.0))

    async def over(self) -> list[str]:
        """The call ends; what was told."""
        await self.recorder.stop()
        await self.recorder.keep()
        await self.leg.release()
        return [type(event).__name__ for event in self.events if not isinstance(event, Decision)]


@pytest.mark.parametrize(
    ("second", "seconds", "told"),
    [
        ({"record": True}, 2.0, ["RecordingReady"]),
        ({"record": False}, 1.0, ["RecordingReady"]),
        ({"record": "consent"}, 1.0, ["RecordingReady"]),
        ({"record": False, "privacy": "none"}, None, []),
        ({"record": True, "privacy": "none"}, None, []),
        ({"record": True, "privacy": "redacted"}, 2.0, ["RecordingReady"]),
    ],
)
async def test_each_agent_decides_for_itself_and_the_strictest_for_the_call(
    second: dict[str, object], seconds: float | None, told: list[str], tmp_path: Path
) -> None:
    stage = Stage(tmp_path)
    await stage.leg.open_media()
    await stage.recorder.for_agent(agent_config(record=True), "ring")
    await stage.speak()
    await stage.recorder.for_agent(agent_config(**second), "answer")
    await stage.speak()
    assert await stage.over() == told
    if seconds is None:
        assert files(tmp_path) == []
    else:
        caller, _ = tracks(tmp_path)
        assert heard(caller) == pytest.approx(seconds, abs=0.1) and caller.size >= 2 * RATE


async def test_an_agent_that_records_takes_over_from_one_that_does_not(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    await stage.leg.open_media()
    await stage.recorder.for_agent(agent_config(record=False), "answer")
    await stage.speak()
    assert stage.leg.recording is None
    await stage.recorder.for_agent(agent_config(record="on_answer"), "answer")
    await stage.speak()
    await stage.recorder.for_agent(agent_config(record="on_answer"), "answer")
    async with stage.recorder.without("sensitive"):
        await stage.recorder.others_talk(True)
        await stage.speak()
    await stage.speak()
    await stage.recorder.others_talk(True, record=True)
    await stage.speak()
    assert await stage.over() == ["RecordingReady"]
    assert heard(tracks(tmp_path)[0]) == pytest.approx(2.0, abs=0.1)


async def test_what_cannot_be_paused_is_recorded_no_further(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    await stage.leg.open_media()
    await stage.recorder.for_agent(agent_config(record=True), "ring")
    await stage.speak()
    assert stage.leg.recording is not None

    async def refuse() -> None:
        raise LegError("the PBX does not answer")

    stage.leg.recording.pause = refuse  # type: ignore[method-assign]  # a PBX in trouble
    async with stage.recorder.without("sensitive"):
        await stage.speak()
    await stage.speak()
    assert await stage.over() == ["ErrorOccurred", "RecordingReady"]
    assert tracks(tmp_path)[0].size == pytest.approx(RATE, rel=0.05)


async def test_a_wrap_up_has_an_end(tmp_path: Path) -> None:
    async def scene(caller: Caller) -> None:
        await caller.answered()
        assert caller.leg.recording is not None

        async def never(path: Path) -> float:
            await asyncio.Event().wait()
            return 0.0

        caller.leg.recording.save = never  # type: ignore[method-assign]  # a PBX that does not answer

    played = await play(scene, config={"record": True, "greeting": "Hello."}, recordings=tmp_path)
    (error,) = played.of(ErrorOccurred)
    assert error.where == "wrap_up" and "120 s" in error.message
    assert played.ended.outcome == "caller_hangup" and not played.of(RecordingReady)


async def test_what_breaks_in_a_wrap_up_is_told_and_harms_nothing(tmp_path: Path) -> None:
    async def scene(caller: Caller) -> None:
        await caller.answered()
        assert caller.leg.recording is not None

        async def broken(path: Path) -> float:
            raise RuntimeError("a fault of ours")

        caller.leg.recording.save = broken  # type: ignore[method-assign]  # a fault

    played = await play(scene, config={"record": True, "greeting": "Hello."}, recordings=tmp_path)
    (error,) = played.of(ErrorOccurred)
    assert (error.where, error.message) == ("wrap_up", "internal error: RuntimeError")
