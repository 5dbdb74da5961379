"""One run: PBX and vendors start, `voxtrad serve` between them, level after level, then the bare relay likewise."""

from __future__ import annotations

import asyncio
import contextlib
import os
import statistics
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp

from tests.bench.figures import Level, of_level
from tests.bench.marks import RATE
from tests.bench.process import ROOT, Helper, cpu_seconds, memory_mb, running
from tests.serving.process import Served, served
from voxtrad.providers.tts.espeak import Espeak, EspeakOptions

SAID = "Where is the parcel that you sent me?"
_SETTLE = 4.0
"""Seconds after the calls were made before anything is measured: greetings are over by then."""
_CONFIG = """\
version: 1
asterisk: {{url: "{pbx}", username: bench, password: bench}}
server: {{listen: "127.0.0.1:0", data_dir: {data}, max_calls: 1000}}
"""
AGENT = """\
providers:
  bench_stt: {{type: bench, base_url: "{vendors}/stt"}}
  bench_tts: {{type: bench, base_url: "{vendors}/tts"}}
  model: {{type: openai, base_url: "{vendors}/v1"}}
agents:
  bench:
    greeting: Hello, how can I help you?
    prompt: You help callers of a parcel service.
    stt: bench_stt
    llm: {{provider: model, model: bench}}
    tts: bench_tts
    filler: []
    idle: {{after: 10m}}
"""
_DEFAULTS = """\
agents:
  defaults: {greeting: Hello., stt: sphinx, tts: espeak, llm: {provider: scripted, otherwise: Well.}}
"""


@dataclass(frozen=True)
class Plan:
    """So many calls, for so many seconds."""

    levels: Sequence[tuple[int, float]] = ((1, 60.0), (10, 30.0), (50, 30.0), (100, 30.0))
    relay: Sequence[tuple[int, float]] = ((1, 60.0), (10, 20.0), (50, 20.0), (100, 20.0))
    starts: int = 3


async def run(plan: Plan, tell: Callable[[str], None]) -> dict[str, Any]:
    """Everything that is measured with calls. Takes as long as the plan says and some 30 s."""
    with tempfile.TemporaryDirectory(prefix="voxtrad-bench-") as name:
        folder = Path(name)
        (folder / "speech.raw").write_bytes(await speech())
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as http,
            running("tests.bench.vendors", http=http) as vendors,
            running("tests.bench.pbx", str(folder / "speech.raw"), http=http) as pbx,
        ):
            tell("start-up and idle memory")
            starts, idle = [], 0.0
            for number in range(plan.starts):
                began = monotonic()
                async with server(folder / f"start{number}", _DEFAULTS, pbx) as (daemon, ready):
                    starts.append(ready - began)
                    await asyncio.sleep(2)  # what is prepared in advance is in place then
                    idle = memory_mb(daemon.process.pid)
            levels = []
            agent = AGENT.format(vendors=vendors.url)
            async with server(folder / "calls", agent, pbx) as (daemon, _):
                pid = daemon.process.pid
                await _measure(pid, pbx, vendors, 2, 3.0)  # what the first calls import is not theirs
                base = memory_mb(pid)
                for calls, seconds in plan.levels:
                    tell(f"{calls} calls for {seconds:.0f} s")
                    levels.append(await _measure(pid, pbx, vendors, calls, seconds, base))
            bare = []
            began = monotonic()
            async with running("tests.bench.relay", pbx.url, vendors.url, http=http) as relay:
                relay_start = float(str((await pbx.get("/bench/ready"))["at"])) - began
                relay_idle = memory_mb(relay.pid)
                await _measure(relay.pid, pbx, vendors, 2, 1.0)
                base = memory_mb(relay.pid)
                for calls, seconds in plan.relay:
                    tell(f"relay: {calls} calls for {seconds:.0f} s")
                    bare.append(await _measure(relay.pid, pbx, vendors, calls, seconds, base))
    return {
        "levels": levels,
        "relay": bare,
        "start_ms": {"voxtrad": 1000 * statistics.median(starts or [0.0]), "relay": 1000 * relay_start},
        "idle_mb": {"voxtrad": idle, "relay": relay_idle},
    }


async def _measure(pid: int, pbx: Helper, vendors: Helper, calls: int, seconds: float, base: float = 0.0) -> Level:
    await vendors.get("/bench/log")
    await pbx.post(f"/bench/ring?count={calls}")
    await asyncio.sleep(_SETTLE)
    since, cpu = monotonic(), cpu_seconds(pid)
    await asyncio.sleep(seconds)
    cpu = cpu_seconds(pid) - cpu
    lasted = monotonic() - since
    level = Level(calls, round(lasted, 1), cpu_per_call=round(100 * cpu / lasted / calls, 3))
    level.memory_per_call = round((memory_mb(pid) - base) / calls, 2)
    noted = await pbx.post("/bench/hangup")
    log: Any = await vendors.get("/bench/log")
    await pbx.get("/bench/gone")
    return of_level(level, noted, log, since)


@contextlib.asynccontextmanager
async def server(
    folder: Path, agents: str, pbx: Helper, *, path: Path | None = None
) -> AsyncIterator[tuple[Served, float]]:
    """A real server that knows the plugin, and when the PBX had it as subscriber. `path` has more modules."""
    config = site(folder, agents, pbx)
    modules = os.pathsep.join(str(one) for one in (path, folder, ROOT) if one is not None)
    async with served(config, PYTHONPATH=modules) as daemon:
        ready = await pbx.get("/bench/ready")
        await daemon.until("connected to Asterisk")
        yield daemon, float(str(ready["at"]))


def site(folder: Path, agents: str, pbx: Helper) -> Path:
    """A folder with a configuration, whose path this gives, and the plugin."""
    folder.mkdir()
    config = folder / "voxtrad.yaml"
    config.write_text(_CONFIG.format(pbx=pbx.url, data=folder / "var") + agents, encoding="utf-8")
    _plug_in(folder)
    return config


def _plug_in(folder: Path) -> None:
    """Make the vendors' providers known as an installed package's entry points."""
    about = folder / "voxtrad_bench-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: voxtrad-bench\nVersion: 1.0\n", encoding="utf-8")
    points = "[voxtrad.stt]\nbench = tests.bench.plugin:STT\n[voxtrad.tts]\nbench = tests.bench.plugin:TTS\n"
    (about / "entry_points.txt").write_text(points, encoding="utf-8")


async def speech() -> bytes:
    """The built-in voice says what all callers say, without the silence around it."""
    espeak = Espeak("espeak", EspeakOptions())
    voice = await espeak.open(rate=RATE, language="en")
    pcm = b"".join([chunk.pcm async for chunk in voice.synthesize(SAID)])
    await espeak.aclose()
    loud = [
        at for at in range(0, len(pcm) - 1, 2) if abs(int.from_bytes(pcm[at : at + 2], "little", signed=True)) > 600
    ]
    return pcm[loud[0] : loud[-1]]
