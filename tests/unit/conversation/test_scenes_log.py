"""The line that a call leaves in the log when it is over."""

from __future__ import annotations

import pytest
import structlog
from stage import Caller, Model, play

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
