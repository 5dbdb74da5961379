"""The line that a call leaves in the log when it is over."""

from __future__ import annotations

import pytest
import structlog
from stage import Caller, LossyPort, Model, play

from voxtrad.events.types import AudioReceived

pytestmark = pytest.mark.virtual_time


async def test_how_a_call_went_in_few_numbers() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.hears_agent()
        await caller.waits(1.0)
        await caller.says("no the other one please")
        await caller.answered()

    with structlog.testing.capture_logs() as logs:
        played = await play(scene, model=Model([["It is " + "on its way to you " * 8], ["That one is here."]]))
    (ended,) = [line for line in logs if line["event"] == "call ended"]
    assert (ended["outcome"], ended["turns"], ended["interruptions"]) == ("caller_hangup", 2, 1)
    assert ended["latency_p95"] == played.ended.latency["p95"] and ended["seconds"] == played.ended.duration


async def test_a_call_without_a_turn_has_no_latency() -> None:
    with structlog.testing.capture_logs() as logs:
        await play(Caller.answered, config={"greeting": "Hello."})
    (ended,) = [line for line in logs if line["event"] == "call ended"]
    assert (ended["turns"], ended["latency_p95"], ended["interruptions"]) == (0, None, 0)


async def test_audio_that_is_lost_on_its_way_is_told_while_it_lasts() -> None:
    async def scene(caller: Caller) -> None:
        await caller.answered()
        await caller.waits(55)

    with structlog.testing.capture_logs() as logs:
        played = await play(scene, loss=(10, 12.0, 33.0), config={"idle": {"after": 90}}, dead_air=True)
    received = played.of(AudioReceived)
    assert len(received) >= 5  # as it happens, and not when all is over
    due, lost = sum(each.due for each in received), sum(each.lost for each in received)
    assert isinstance(played.leg.port, LossyPort)
    assert (due, lost) == (played.leg.port.reception.due, played.leg.port.reception.lost)  # to the last
    assert due > 0.9 * 55 * 50 and lost == pytest.approx(105, abs=2)
    (bad,), (good,) = played.when("audio_lost"), played.when("audio_whole")
    assert 12 < bad <= 25 and 33 < good <= 55
    (reason,) = played.reasons("audio_lost")
    assert "% of the caller's audio was lost" in reason
    (warned,) = [line for line in logs if line["event"] == "the caller is heard with gaps"]
    assert warned["reason"] == reason
    (ended,) = [line for line in logs if line["event"] == "call ended"]
    assert ended["audio_lost"] == f"{lost / due:.1%}"


async def test_a_line_that_loses_nothing_says_nothing_of_it() -> None:
    with structlog.testing.capture_logs() as logs:
        played = await play(Caller.answered, config={"greeting": "Hello."})
    assert not played.of(AudioReceived)
    assert all("audio_lost" not in line for line in logs)
