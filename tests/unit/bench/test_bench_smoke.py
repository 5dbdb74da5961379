"""The benchmark still works: its PBX, vendors and caller understand the server, and its figures come out. No speeds."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from tests.bench import quality
from tests.bench.figures import Level, Spread, of_level, report, table
from tests.bench.load import AGENT, server, speech
from tests.bench.process import cpu_seconds, memory_mb, running


async def two_turns(vendors: Any) -> dict[str, dict[str, float]]:
    """What the vendors noted until the second turn was asked for: the first one is over then."""
    noted: dict[str, dict[str, float]] = {}
    async with asyncio.timeout(90):
        while sum("asked" in seen for seen in noted.values()) < 2:
            await asyncio.sleep(0.2)
            for utterance, seen in (await vendors.get("/bench/log")).items():
                noted.setdefault(utterance, {}).update(seen)
    return noted


async def test_calls_are_measured(tmp_path):
    (tmp_path / "speech.raw").write_bytes(await speech())
    async with (
        aiohttp.ClientSession() as http,
        running("tests.bench.vendors", http=http) as vendors,
        running("tests.bench.pbx", str(tmp_path / "speech.raw"), http=http) as pbx,
    ):
        async with server(tmp_path / "calls", AGENT.format(vendors=vendors.url), pbx) as (daemon, ready):
            pid = daemon.process.pid
            await pbx.post("/bench/ring?count=1")
            noted = await two_turns(vendors)
            calls = await pbx.post("/bench/hangup")
            await pbx.get("/bench/gone")
            assert cpu_seconds(pid) > 0 and memory_mb(pid) > 0 and ready > 0
        level = of_level(Level(1, 1.0), calls, noted, 0.0)
        assert level.turns >= 1, (calls, noted)
        assert level.added.count == level.added_playing.count == level.turns
        assert level.greeted.count == 1
        async with running("tests.bench.relay", pbx.url, vendors.url, http=http):
            await pbx.get("/bench/ready")
            await pbx.post("/bench/ring?count=1")
            await pbx.post("/bench/hangup")
            await pbx.get("/bench/gone")
    printed = report({"levels": [level], "relay": [level], "start_ms": {"voxtrad": 1, "relay": 1},
                      "idle_mb": {"voxtrad": 1, "relay": 1}})  # fmt: skip
    assert str(level.added) in printed and "targets" in printed


@pytest.mark.asterisk
def test_turns_are_judged_and_no_detector_is_deaf_in_a_steady_noise():
    """On the PBX's own recorded prompts."""
    figures = quality.judge(1)
    assert {one.vad for one in figures} == set(quality.detectors())
    assert len(figures) == 7 * len(quality.detectors())
    for one in figures:
        if "babble" not in one.noise:
            assert (one.deaf, one.missed_ends, one.false_onsets) == (0, 0, 0), one
    assert "silero" in quality.report(figures)


def test_figures_of_nothing_are_printed_too():
    assert str(Spread.of([])) == "-"
    assert Spread.of([0.001, 0.003, 0.002]) == Spread(3, 2.0, 3.0, 3.0, 3.0)
    assert table([("a", "b"), (1, 22)]).splitlines()[2] == "1  22"
