"""Many calls, hung up at every stage, and what the server holds after them: as much as before."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path

import pytest

from tests.soak.ward import Held, Ward, ward

STAGES = ("CallStarted", "CallAnswered", "AgentSpeechStarted", "AgentSpeechEnded")


async def one_after_another(ward: Ward, count: int) -> None:
    for _, stage in zip(range(count), cycle(STAGES), strict=False):
        await ward.calls(1, stage)


async def one_call_is_seen(ward: Ward, before: Held) -> None:
    """Where this fails nothing that is left after a call would be found either."""
    answered = ward.counts["CallAnswered"]
    await ward.pbx.post("/bench/ring?count=1")
    await ward.until(lambda: ward.counts["CallAnswered"] > answered, "an answer")
    seen = Held.now().more_than(before)
    assert "objects" in seen and "tasks" in seen and "descriptors" in seen, seen
    await ward.calls(0, "CallStarted")
    await ward.quiet()


async def soak(ward: Ward, *, alone: int, rounds: int, at_once: int = 10, turns: int = 1, megabytes: float) -> None:
    await one_after_another(ward, len(STAGES))
    await ward.calls(at_once, "TurnEnded")  # what the first calls import, connect and start is not theirs
    await ward.quiet()
    before = Held.now()
    await one_call_is_seen(ward, before)
    await one_after_another(ward, alone)
    for _ in range(rounds):
        await ward.calls(at_once, "TurnEnded", turns)
    after = await ward.back_to(before)
    assert after.megabytes < before.megabytes + megabytes, f"{before.megabytes:.1f} MB, then {after.megabytes:.1f} MB"
    calls = len(STAGES) + 1 + alone + at_once * (rounds + 1)
    assert ward.counts["CallStarted"] == ward.counts["CallEnded"] == calls
    assert ward.counts["CallFailed"] == 0
    assert ward.server.not_ready() == []


async def test_a_short_one(tmp_path: Path) -> None:
    async with ward(tmp_path) as made:
        await soak(made, alone=8, rounds=1, megabytes=20)


@pytest.mark.long
async def test_200_calls_one_after_another(tmp_path: Path) -> None:
    async with ward(tmp_path) as made:
        await soak(made, alone=200, rounds=0, megabytes=30)


@pytest.mark.long
async def test_10_at_a_time_for_minutes(tmp_path: Path) -> None:
    async with ward(tmp_path) as made:
        await soak(made, alone=0, rounds=10, turns=4, megabytes=30)
