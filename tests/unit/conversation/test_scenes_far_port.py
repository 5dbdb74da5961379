"""Scenes behind a network: the PBX takes its time for each order, and what is decided meanwhile is not mixed up."""

from __future__ import annotations

import pytest
from stage import CHARS_PER_SECOND, Caller, Job, Model, asks, hangs_up_after, play, timeline

from voxtrad.events.types import AgentSpeechEnded, AgentSpeechStarted, BargeIn

pytestmark = [pytest.mark.virtual_time, pytest.mark.parametrize("lag", [0.01, 0.1])]

LONG = "This is a very long text that goes on and on. " * 12
STORY = "This is a long answer. It has several sentences. They are all of interest to you."


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("tenths", range(1, 100, 9))
async def test_interruption(lag: float, tenths: int, cached: bool) -> None:
    async def scene(caller: Caller) -> None:
        await caller.hears_agent()
        await caller.waits(tenths / 10)
        await caller.says("stop it please", 0.9)
        await caller.quiet(0.2)
        await caller.answered()

    played = await play(
        scene, lag=lag, config={"greeting": LONG}, cached=[LONG] if cached else [], model=Model([["Yes?"]])
    )
    assert played.turns() == ["stop it please"]
    assert played.said()[-1] == "Yes?"
    assert len(played.agent_spans) <= 3, timeline(played)
    heard = played.said()[0] if len(played.said()) == 2 else ""
    first = played.agent_spans[0]
    assert len(heard) == pytest.approx((first[1] - first[0]) * CHARS_PER_SECOND, abs=13)


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("tenths", range(1, 60, 7))
@pytest.mark.parametrize("seconds", [0.22, 0.4])
async def test_cough(lag: float, tenths: int, seconds: float, cached: bool) -> None:
    async def scene(caller: Caller) -> None:
        await caller.hears_agent()
        await caller.waits(tenths / 10)
        await caller.noise(seconds)
        await caller.quiet(1.5)

    played = await play(scene, lag=lag, config={"greeting": LONG}, cached=[LONG] if cached else [])
    assert played.said() == [LONG.strip()]
    spoken = sum(end - start for start, end in played.agent_spans)
    # Between sentences no space is spoken; what is said again from the beginning of a word comes on top.
    assert (len(LONG) - 12) / CHARS_PER_SECOND - 0.05 < spoken < len(LONG) / CHARS_PER_SECOND + 1.5


@pytest.mark.parametrize("tenths", range(0, 30, 2))
async def test_cough_that_becomes_a_word_while_the_agent_resumes(lag: float, tenths: int) -> None:
    async def scene(caller: Caller) -> None:
        await caller.hears_agent()
        await caller.waits(1.0)
        await caller.noise(0.3)
        await caller.waits(0.2 + tenths / 50)
        await caller.says("stop it please", 0.9, partial_after=0.05)
        await caller.quiet(0.2)
        await caller.answered()

    played = await play(scene, lag=lag, config={"greeting": LONG}, model=Model([["Yes?"]]))
    assert played.turns() == ["stop it please"]
    assert len(played.of(BargeIn)) == 1
    flushed = played.when("flush")[0]
    assert not any(start < flushed + 0.5 and end > flushed + 3 * lag + 0.1 for start, end in played.agent_spans)


@pytest.mark.parametrize("tenths", range(0, 150, 7))
async def test_hang_up(lag: float, tenths: int) -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.hears_agent()
        await caller.waits(1.0)
        await caller.says("uh-huh", 0.3)
        await caller.waits(1.5)
        await caller.says("no stop", 0.6)
        await caller.waits(1.0)
        caller.presses("12#")
        await caller.answered(5.0)

    played = await play(
        hangs_up_after(tenths / 10, scene),
        lag=lag,
        config={"greeting": "Hello, this is Acme."},
        tools=[Job(seconds=1.0)],
        model=Model([[asks()], [STORY], ["Sorry. " + STORY]]),
        dead_air=True,
    )
    assert played.ended.outcome == "caller_hangup"
    assert len(played.of(AgentSpeechStarted)) == len(played.of(AgentSpeechEnded))


async def test_noise_while_thinking(lag: float) -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.waits(0.7)
        await caller.noise(0.4)
        await caller.answered()

    for delay in (0.05, 0.1, 0.15, 0.2, 0.3, 0.6):
        played = await play(scene, lag=lag, model=Model([["It was sent."]], delay=delay))
        assert played.said() == ["It was sent."]
        assert len(played.model.asked) == 1


@pytest.mark.parametrize("heard", [False, True])
async def test_a_second_sound_while_the_agent_resumes_holds_it_again(lag: float, heard: bool) -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await (caller.hears_agent() if heard else caller.waits(0.55))
        await caller.waits(0.4 if heard else 0.0)
        await caller.noise(0.3 if heard else 0.1)
        await caller.waits(0.2 + n * 0.01)
        await caller.noise(0.9)
        await caller.waits(6)

    for n in range(60):
        played = await play(scene, lag=lag, model=Model([[LONG]]))
        start, end = played.caller_spans[-1]
        # Nobody is talked over but for as long as it takes to know it, and to tell it.
        over = sum(max(0.0, min(b, end) - max(a, start + 0.45 + 3 * lag)) for a, b in played.agent_spans)
        assert over < 0.1, f"{n}: the agent spoke for {over:.2f} s\n{timeline(played)}"
