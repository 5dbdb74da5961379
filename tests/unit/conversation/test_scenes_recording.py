"""What is recorded of a call, and what is not: on a simulated leg, in virtual time."""

from __future__ import annotations

import stat
import wave
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from stage import RATE, Caller, Job, Model, asks, play

from voxtrad.conversation.call import Call
from voxtrad.events.types import CallAnswered, CallEnded, ErrorOccurred, RecordingReady
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
    from voxtrad.conversation.consent import ask_consent

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
