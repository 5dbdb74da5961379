"""Scenes of a conversation in virtual time: what a caller does, and what voxtrad makes of it."""

from __future__ import annotations

import pytest
from stage import Caller, Model, Played, Recogniser, Synthesis, play, timeline

from voxtrad.events.types import AgentResponse, BargeIn, CallEnded, UserTranscript

pytestmark = pytest.mark.virtual_time


def texts(played: Played) -> list[str]:
    return [event.text for event in played.of(UserTranscript)]


async def test_greeting_question_answer() -> None:
    async def scene(caller: Caller) -> None:
        await caller.quiet()
        await caller.says("where is my order")
        await caller.hears_agent()
        await caller.quiet()

    played = await play(scene, config={"greeting": "Hello, this is Acme."}, model=Model([["It was sent today."]]))
    assert texts(played) == ["where is my order"]
    assert played.dialogue() == [
        ("assistant", "Hello, this is Acme."),
        ("user", "where is my order"),
        ("assistant", "It was sent today."),
    ]
    (ended,) = played.of(CallEnded)
    assert ended.outcome == "caller_hangup"
    assert ended.latency["turns"] == 1


async def test_barge_in_keeps_what_was_heard() -> None:
    long = "This is a very long text that goes on and on. " * 6

    async def scene(caller: Caller) -> None:
        await caller.says("tell me")
        await caller.hears_agent()
        await caller.waits(2.0)
        await caller.says("stop it please")
        await caller.hears_agent()
        await caller.quiet()

    played = await play(scene, model=Model([[long], ["Sorry."]]))
    print(timeline(played))
    (barge_in,) = played.of(BargeIn)
    assert 0 < len(barge_in.heard) < len(long) / 3
    first = played.of(AgentResponse)[0]
    assert first.interrupted and first.text == barge_in.heard.strip()
    assert played.dialogue()[1] == ("assistant", barge_in.heard.strip())
    assert played.call.agent.history[1].interrupted
    assert texts(played) == ["tell me", "stop it please"]
    assert barge_in.stop_ms <= 350
    assert played.model.cancelled + len(played.voice.spoken) > 0


async def test_backchannel_pauses_and_goes_on() -> None:
    text = "This is a long answer. It has several sentences. They are all of interest to you."

    async def scene(caller: Caller) -> None:
        await caller.says("tell me")
        await caller.hears_agent()
        await caller.waits(1.0)
        await caller.says("uh-huh", 0.4)
        await caller.quiet(2.5)

    played = await play(scene, model=Model([[text]]))
    assert not played.of(BargeIn)
    assert [event.text for event in played.of(AgentResponse)] == [text]
    assert texts(played) == ["tell me"]


async def test_cough_costs_well_under_a_second() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("tell me")
        await caller.hears_agent()
        await caller.waits(1.0)
        await caller.noise(0.3)
        await caller.quiet(2.5)

    played = await play(scene, model=Model([["This is a long answer, of which every word matters to you."]]))
    assert not played.of(BargeIn)
    assert not played.of(AgentResponse)[0].interrupted


async def test_caller_goes_on_while_the_agent_thinks() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("I want to order a pizza")
        await caller.waits(0.8)
        await caller.says("and a salad please")
        await caller.hears_agent()
        await caller.quiet()

    played = await play(scene, model=Model([["A pizza."], ["A pizza and a salad."]], delay=1.5))
    assert texts(played) == ["I want to order a pizza", "I want to order a pizza and a salad please"]
    assert played.dialogue() == [
        ("user", "I want to order a pizza and a salad please"),
        ("assistant", "A pizza and a salad."),
    ]
    assert played.model.cancelled == 1


async def test_late_final_is_waited_for_and_no_final_is_not() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("<nothing>", 1.0)
        await caller.waits(2.0)
        await caller.says("is anybody there")
        await caller.hears_agent()
        await caller.quiet()

    played = await play(scene, stt=Recogniser(delay=1.2))
    assert texts(played) == ["is anybody there"]


async def test_filler_while_the_model_takes_long() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.hears_agent()
        await caller.quiet(3)

    played = await play(scene, config={"filler": ["One moment."]}, model=Model([[4.0, "It was sent."]]))
    assert played.voice.spoken[0] == "One moment."
    assert played.dialogue()[-1] == ("assistant", "It was sent.")


async def test_broken_model_apologises_and_leads_on() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.waits(20)

    sorry = "I am sorry, something is not working here."
    played = await play(scene, model=Model([[ConnectionResetError("gone")]]), cached=[sorry])
    (ended,) = played.of(CallEnded)
    assert ended.outcome == "failed"
    assert played.leg.proceeded is not None
    assert len(played.leg.port.agent_track.strip(b"\0")) / 16000 > 2


async def test_silent_caller_is_asked_and_in_the_end_hung_up() -> None:
    async def scene(caller: Caller) -> None:
        await caller.waits(300)

    played = await play(scene, config={"greeting": "Hello."})
    assert played.voice.spoken == ["Hello.", "Are you still there?"]
    (ended,) = played.of(CallEnded)
    assert ended.outcome == "idle"
    assert 30 < ended.duration < 40


@pytest.mark.parametrize("tenths", range(0, 80, 3))
async def test_hang_up_at_any_moment(tenths: int) -> None:
    async def scene(caller: Caller) -> None:
        await caller.waits(tenths / 10)

    played = await play(
        scene,
        config={"greeting": "Hello, this is Acme."},
        voice=Synthesis(),
        model=Model([["A long answer that nobody waits for."]]),
    )
    (ended,) = played.of(CallEnded)
    assert ended.outcome == "caller_hangup"
