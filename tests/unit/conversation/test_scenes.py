"""Scenes of a conversation in virtual time: whole calls, and their ends."""

from __future__ import annotations

from dataclasses import replace

import pytest
from stage import FOREVER, Caller, Job, Model, Recogniser, Synthesis, asks, hangs_up_after, later, play, timeline

from voxtrad.cli.timeline import line
from voxtrad.conversation.call import Call
from voxtrad.events.types import (
    AgentSpeechEnded,
    AgentSpeechStarted,
    CallStarted,
    DeadAir,
    Decision,
    DtmfReceived,
    LatencyAdded,
    SilenceDetected,
    StageMeasured,
    TurnEnded,
)
from voxtrad.leg import LegGone
from voxtrad.telephony.simulated import SimulatedLeg, SimulatedPort
from voxtrad.tools.base import EndCall, Outcome

pytestmark = pytest.mark.virtual_time


async def test_greeting_question_answer() -> None:
    async def scene(caller: Caller) -> None:
        await caller.quiet()
        await caller.says("where is my order")
        await caller.answered()

    played = await play(scene, config={"greeting": "Hello, this is Acme."}, model=Model([["It was sent today."]]))
    assert played.turns() == ["where is my order"]
    assert played.dialogue() == [
        ("assistant", "Hello, this is Acme."),
        ("user", "where is my order"),
        ("assistant", "It was sent today."),
    ]
    assert played.ended.outcome == "caller_hangup"
    assert played.ended.latency["turns"] == 1
    assert [entry["speaker"] for entry in played.ended.transcript] == ["agent", "caller", "agent"]


async def test_every_stage_of_a_turn_is_measured() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.answered()

    played = await play(
        scene, stt=Recogniser(delay=0.2), model=Model([["It was sent today."]], delay=0.25), voice=Synthesis(delay=0.1)
    )
    stages = {event.stage: event.seconds for event in played.of(StageMeasured)}
    assert stages["endpointing"] == pytest.approx(0.5, abs=0.021)
    assert stages["stt_final"] == pytest.approx(0.4, abs=0.021)  # 200 ms without voice, then the recogniser's delay
    assert stages["llm_first_token"] == pytest.approx(0.25, abs=0.001)
    assert stages["llm_first_sentence"] == pytest.approx(0.25 + 4 * 0.02, abs=0.001)
    assert stages["tts_first_byte"] == pytest.approx(0.1, abs=0.001)
    assert stages["playout"] == pytest.approx(0.0, abs=0.001)
    (turn,) = played.of(TurnEnded)
    assert turn.latency == pytest.approx(0.5 + 0.33 + 0.1, abs=0.03)
    assert dict(turn.stages) == stages
    (added,) = played.of(LatencyAdded)
    assert added.seconds == pytest.approx(0.0, abs=0.001)
    assert "endpointing 5" in timeline(played)


async def test_agent_listens_first_without_a_greeting_and_answers_without_a_lead_in() -> None:
    async def scene(caller: Caller) -> None:
        await caller.waits(3)
        await caller.says("hello there")
        await caller.answered()

    played = await play(scene, model=Model([["Good morning."]], delay=0.0), voice=Synthesis(delay=0.0))
    (start, _), *_ = played.agent_spans
    assert start - played.caller_spans[0][1] < 0.6


async def test_timeline_says_each_thing_once_and_why() -> None:
    async def scene(caller: Caller) -> None:
        await caller.answered()
        await caller.says("where is my order")
        await caller.answered()

    played = await play(scene, config={"greeting": "Hello."})
    printed = [told for at, event in played.log if (told := line(event, at))]
    told = [each.split("ms", 1)[1].split() for each in printed]
    assert [" ".join(words[:2]).rstrip(":") for words in told] == [
        "call 100", "call answered", "agent speaks", "agent spoke", "agent “Hello.”", "· speech_started",
        "· speech_ended", "· end_turn", "caller “where", "agent speaks", "agent spoke", "agent “All", "turn answered",
        "call ended",
    ]  # fmt: skip
    (answered,) = [event for event in played.of(Decision) if event.what == "answered_turn"]
    assert answered.at == pytest.approx(played.agent_spans[1][0], abs=0.05)
    at, told_of = str(line(answered, 99.0)).split(" ms  turn     ")
    assert float(at.replace(",", "")) == pytest.approx(answered.at * 1000, abs=1), "when the answer was heard"
    assert told_of.startswith("answered after ") and "endpointing 5" in told_of
    for decision in played.of(Decision):
        assert decision.reason and decision.at >= 0


@pytest.mark.parametrize("lead_in", ["0s", "300ms", "1s"])
async def test_greeting_has_a_lead_in(lead_in: str) -> None:
    async def scene(caller: Caller) -> None:
        await caller.answered()

    played = await play(scene, config={"greeting": {"text": "Hello.", "lead_in": lead_in}}, cached=["Hello."])
    seconds = {"0s": 0.0, "300ms": 0.3, "1s": 1.0}[lead_in]
    (start, _), *_ = played.agent_spans
    assert seconds <= start < seconds + 0.05, "cached audio starts within 50 ms of being due"


async def test_what_is_kept_is_of_the_agents_language() -> None:
    async def scene(caller: Caller) -> None:
        await caller.answered()

    played = await play(scene, config={"greeting": "Hallo.", "language": "de"}, cached=["Hallo."])
    assert played.said() == ["Hallo."] and played.voice.spoken == []


async def test_what_is_slow_to_come_needs_no_lead_in() -> None:
    async def scene(caller: Caller) -> None:
        await caller.answered()

    played = await play(scene, config={"greeting": "Hello."}, voice=Synthesis(delay=0.5))
    (start, _), *_ = played.agent_spans
    assert start == pytest.approx(0.5, abs=0.05)


async def test_silent_caller_is_asked_and_in_the_end_hung_up() -> None:
    async def scene(caller: Caller) -> None:
        await caller.waits(300)

    played = await play(scene, config={"greeting": "Hello."})
    assert played.voice.spoken == ["Hello.", "Are you still there?"]
    assert played.said() == ["Hello.", "Are you still there?", "Are you still there?"]
    assert played.ended.outcome == "idle"
    assert 30 < played.ended.duration < 40
    assert len(played.of(SilenceDetected)) == 3
    gaps = [b[0] - a[1] for a, b in zip(played.agent_spans, played.agent_spans[1:], strict=False)]
    assert all(10.0 <= gap < 10.3 for gap in gaps), "counted from the end of the agent's speech"


@pytest.mark.parametrize("then", ["hangup", "continue", {"continue": {"context": "night", "extension": "7"}}])
async def test_idle_then(then: object) -> None:
    async def scene(caller: Caller) -> None:
        await caller.waits(300)

    played = await play(scene, config={"idle": {"after": 2, "say": [], "then": then}})
    assert played.ended.outcome == "idle"
    assert (played.leg.proceeded is None) == (then == "hangup")
    if isinstance(then, dict):
        assert played.leg.proceeded is not None and played.leg.proceeded.context == "night"


async def test_caller_who_talks_is_never_nudged() -> None:
    async def scene(caller: Caller) -> None:
        for _ in range(4):
            await caller.says("and then I went to the shop and " * 4)
            await caller.waits(1.0)
        await caller.says("that is all")
        await caller.answered()

    played = await play(scene, config={"idle": {"after": 3}})
    assert not played.of(SilenceDetected)
    assert len(played.turns()) == 1


@pytest.mark.parametrize(
    ("after", "most", "say"), [(2.0, 1, ["Hello?"]), (4.0, 3, ["One?", "Two?"]), (6.0, 0, ["Hm?"])]
)
async def test_idle_is_the_agents_own_choice(after: float, most: int, say: list[str]) -> None:
    async def scene(caller: Caller) -> None:
        await caller.waits(120)

    played = await play(scene, config={"idle": {"after": after, "max": most, "say": say}})
    assert played.said() == [*say, *[say[-1]] * most][:most]
    starts = [0.0, *(end for _, end in played.agent_spans)]
    assert [b[0] - a for a, b in zip(starts, played.agent_spans, strict=False)] == pytest.approx(
        [after] * most, abs=0.3
    )
    assert played.ended.outcome == "idle"


async def test_a_caller_who_puts_the_agent_on_hold_is_asked_nothing_until_they_are_back() -> None:
    async def scene(caller: Caller) -> None:
        await caller.answered()
        caller.leg.put_on_hold(True)
        await caller.waits(125)
        caller.leg.put_on_hold(False)
        await caller.waits(100)

    played = await play(scene, config={"greeting": "Hello.", "idle": {"after": 10, "max": 1}})
    assert played.said() == ["Hello.", "Are you still there?"]
    asked = played.agent_spans[1][0]
    assert 136 < asked < 137, timeline(played)
    assert played.ended.outcome == "idle"
    assert ("hold", "the caller put the agent on hold") in [(d.what, d.reason) for d in played.of(Decision)]
    assert not played.of(DeadAir)


async def test_a_slow_answer_is_not_filled_for_a_caller_who_has_put_the_agent_on_hold() -> None:
    async def scene(caller: Caller) -> None:
        await caller.answered()
        await caller.says("where is my order")
        await caller.waits(0.7)
        caller.leg.put_on_hold(True)
        await caller.waits(30)

    played = await play(
        hangs_up_after(14, scene), config={"greeting": "Hello."}, model=Model([[FOREVER]]), dead_air=True
    )
    assert played.said() == ["Hello."]
    assert not played.of(DeadAir)


async def test_idle_can_be_switched_off() -> None:
    async def scene(caller: Caller) -> None:
        await caller.waits(400)

    played = await play(
        hangs_up_after(400, scene), config={"greeting": "Hello.", "idle": {"enabled": False, "after": 2}}
    )
    assert played.said() == ["Hello."]
    assert not played.of(SilenceDetected)
    assert played.ended.outcome == "caller_hangup"


@pytest.mark.parametrize(("most", "asked"), [(2, ["Are you still there?"]), (0, [])])
async def test_a_noise_that_cuts_the_agent_off_is_no_end_of_it_with_idle_off(most: int, asked: list[str]) -> None:
    async def scene(caller: Caller) -> None:
        await caller.hears_agent()
        await caller.waits(1.0)
        await caller.noise(1.5, level=0.9)
        await caller.waits(60)

    greeting = "Hello, this is Acme, and there is a lot to say before you can speak."
    played = await play(
        hangs_up_after(60, scene), config={"greeting": greeting, "idle": {"enabled": False, "max": most}}
    )
    assert played.said()[1:] == asked
    assert played.ended.outcome == "caller_hangup"


async def test_speech_and_keys_reset_the_idle_count() -> None:
    async def scene(caller: Caller) -> None:
        for _ in range(3):
            await caller.hears_agent()
            await caller.quiet(1.0)
            await caller.says("I am here")
            await caller.answered()
        caller.presses("5")
        await caller.waits(200)

    played = await play(scene, config={"idle": {"after": 5, "max": 1}})
    assert played.said().count("Are you still there?") == 4
    assert played.ended.outcome == "idle"


async def test_call_lasts_no_longer_than_allowed() -> None:
    async def scene(caller: Caller) -> None:
        while True:
            await caller.says("tell me more")
            await caller.answered()

    played = await play(scene, config={"max_duration": "20s"}, model=Model(otherwise=["There is a lot to say. " * 3]))
    assert played.ended.outcome == "max_duration"
    assert played.ended.duration == pytest.approx(20, abs=0.5)
    assert played.reasons("max_duration") == ["the call lasted 20 s"]


async def test_tools_that_raise_a_timeout_are_not_the_end_of_the_call() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.answered()

    job = Job(outcome=TimeoutError("the tool's own"))
    played = await play(scene, tools=[job], model=Model([[asks()], ["I cannot see it."]]))
    assert played.ended.outcome == "caller_hangup"
    assert played.said() == ["I cannot see it."]


# --- ends -------------------------------------------------------------------------------------------------------------


def end_call() -> Job:
    return Job("end_call", outcome=Outcome({"status": "ok"}, then=EndCall()))


async def test_goodbye_is_heard_and_then_the_agent_hangs_up() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("that was all")
        await caller.waits(60)

    played = await play(scene, tools=[end_call()], model=Model([["Goodbye, and thank you.", asks("end_call")]]))
    assert played.said() == ["Goodbye, and thank you."]
    assert played.ended.outcome == "completed"
    assert len(played.leg.port.agent_track) / 2 / 8000 - played.agent_spans[-1][1] < 0.1


@pytest.mark.parametrize("after", [0.1, 0.5, 1.0, 1.3, 1.45])
async def test_speaking_up_during_the_goodbye_keeps_the_call(after: float) -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("that was all")
        await caller.hears_agent()
        await caller.waits(after)
        await caller.says("one more thing please", 1.0)
        await caller.answered()
        await caller.waits(1)

    goodbye = "Goodbye, and thank you."  # 1.5 s
    played = await play(
        scene, tools=[end_call()], model=Model([[goodbye, asks("end_call")], ["What can I do for you?"]])
    )
    assert played.turns() == ["that was all", "one more thing please"]
    assert played.said()[-1] == "What can I do for you?"
    assert played.ended.outcome == "caller_hangup"


async def test_noise_at_the_end_of_the_goodbye_does_not_keep_the_call() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("that was all")
        await caller.hears_agent()
        await caller.waits(1.4)
        await caller.noise(0.3)
        await caller.waits(60)

    played = await play(scene, tools=[end_call()], model=Model([["Goodbye, and thank you.", asks("end_call")]]))
    assert played.ended.outcome == "completed"
    assert played.ended.duration < 10


LONG = "A long answer that goes on and on, of which nobody knows the end. It has two sentences. And a third."


async def talk(caller: Caller) -> None:
    await caller.quiet(0.3)
    await caller.says("where is my order")
    await caller.hears_agent()
    await caller.waits(1.0)
    await caller.says("uh-huh", 0.3)
    await caller.waits(1.5)
    await caller.says("no stop", 0.6)
    await caller.waits(1.0)
    await caller.says("and tell me about the other one", 1.5)
    caller.presses("12#")
    await caller.waits(4.0)
    await caller.answered()


@pytest.mark.parametrize("tenths", range(0, 200, 2))
async def test_caller_hangs_up_at_any_moment(tenths: int) -> None:
    played = await play(
        hangs_up_after(tenths / 10, talk),
        config={"greeting": "Hello, this is Acme.", "filler": ["One moment."]},
        tools=[Job(seconds=2.5, say="I am looking.")],
        model=Model([[asks()], [LONG], ["Sorry. " + LONG], [LONG]], delay=0.7),
        dead_air=True,
    )
    assert played.ended.outcome == "caller_hangup"
    assert len(played.of(CallStarted)) == 1
    assert len(played.of(AgentSpeechStarted)) == len(played.of(AgentSpeechEnded))
    assert played.stt.closed
    ended = played.at(type(played.ended))[0]
    assert all(span[1] <= ended + 0.03 for span in played.agent_spans), "nothing is said after the end"


@pytest.mark.parametrize("tenths", range(0, 160, 4))
async def test_we_hang_up_at_any_moment(tenths: int) -> None:
    """An administrator ends the call, whatever is going on in it."""

    async def scene(caller: Caller) -> None:
        await talk(caller)
        await caller.waits(30)

    def limit(seconds: float) -> dict[str, object]:
        return {"greeting": "Hello, this is Acme.", "max_duration": max(0.05, seconds)}

    played = await play(
        scene,
        config=limit(tenths / 10),
        tools=[Job(seconds=2.5)],
        model=Model([[asks()], [LONG], ["Sorry. " + LONG], [LONG]], delay=0.7),
        dead_air=True,
    )
    assert played.ended.outcome == "max_duration"
    assert played.ended.duration == pytest.approx(max(0.05, tenths / 10), abs=0.1)


async def test_what_was_said_last_is_not_lost() -> None:
    async def scene(caller: Caller) -> None:
        await caller.quiet()
        await caller.says("thank you and goodbye")
        await caller.waits(0.35)

    played = await play(scene, config={"greeting": "Hello."})
    assert played.turns() == ["thank you and goodbye"]
    assert played.dialogue()[-1] == ("user", "thank you and goodbye")
    assert played.decided()[-1] == "left_unanswered"


async def test_tool_under_way_at_the_hang_up_may_finish_and_a_long_one_is_stopped() -> None:
    for seconds, done in ((5.0, 1), (50.0, 0)):

        async def scene(caller: Caller) -> None:
            await caller.says("send the parcel")
            await caller.waits(2.0)

        job = Job(seconds=seconds)
        played = await play(scene, tools=[job], model=Model([[asks()]]))
        assert job.done == done
        assert played.ended.duration < 6, "the time after the hang-up is no part of the call"


async def test_caller_is_gone_before_the_answer() -> None:
    async def scene(caller: Caller) -> None: ...

    stt = Recogniser(opening=1.0)

    async def gone(call: Call) -> None:
        raise LegGone("the caller is gone")

    played = await play(scene, stt=stt, dialogue=gone)
    assert played.ended.outcome == "caller_hangup"
    assert not played.decided("answered")


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("keys", "turn", "at_once"), [("1234#", "1234", True), ("42", "42", False), ("#", "#", False)])
async def test_keys_are_a_turn(keys: str, turn: str, at_once: bool) -> None:
    async def scene(caller: Caller) -> None:
        await caller.quiet()
        caller.presses(keys)
        await caller.answered()

    played = await play(scene, config={"greeting": "Please enter your order number."})
    assert played.turns() == [turn]
    assert [event.digit for event in played.of(DtmfReceived)] == list(keys)
    pressed = played.at(DtmfReceived)[-1]
    assert (played.when("end_turn")[0] - pressed < 0.1) == at_once


@pytest.mark.parametrize("tenths", [1, 5, 9, 12, 15])
async def test_key_while_the_caller_speaks(tenths: int) -> None:
    """Words and keys are both heard, whichever came when."""

    async def scene(caller: Caller) -> None:
        later(tenths / 10, caller.leg.press, "7")
        await caller.says("my number is on the keys", 1.2)
        await caller.answered()
        await caller.quiet(3.0)

    played = await play(scene)
    told = " ".join(content for role, content in played.dialogue() if role == "user")
    assert sorted(told.split()) == sorted("my number is on the keys 7".split())
    assert [event.digit for event in played.of(DtmfReceived)] == ["7"]


async def test_key_interrupts_the_agent() -> None:
    async def scene(caller: Caller) -> None:
        await caller.hears_agent()
        await caller.waits(1)
        caller.presses("2#")
        await caller.quiet(0.3)
        await caller.answered()

    menu = "For sales press one. For support press two. For anything else stay on the line."
    played = await play(scene, config={"greeting": menu})
    assert played.turns() == ["2"]
    assert played.said()[0] != menu
    assert played.call.agent.history[0].interrupted
    assert played.agent_spans[0][1] < played.at(DtmfReceived)[0] + 0.05


async def test_key_while_the_agent_thinks_belongs_to_the_turn() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("my number is on the keys")
        await caller.waits(1.0)
        caller.presses("77#")
        await caller.answered()

    played = await play(scene, model=Model([["What is it?"], ["Thank you."]], delay=1.5))
    assert played.turns()[-1] == "my number is on the keys 77"
    assert played.dialogue() == [("user", "my number is on the keys 77"), ("assistant", "Thank you.")]


async def test_stalled_model_of_a_caller_who_hangs_up() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("hello")
        await caller.waits(8)

    played = await play(scene, model=Model([[FOREVER]]))
    assert played.ended.outcome == "caller_hangup"
    assert played.model.cancelled == 1


@pytest.mark.parametrize("wideband", [True, False])
async def test_the_line_is_no_wider_than_the_recogniser_hears(wideband: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    opens = SimulatedLeg.open_media

    async def open_media(leg: SimulatedLeg, *, wideband: bool = True) -> SimulatedPort:
        asked.append(wideband)
        return await opens(leg, wideband=wideband)

    async def scene(caller: Caller) -> None:
        await caller.hears_agent()

    monkeypatch.setattr(SimulatedLeg, "open_media", open_media)
    stt = Recogniser()
    stt.capabilities = replace(stt.capabilities, wideband=wideband)
    await play(scene, stt=stt)
    assert asked == [wideband]
