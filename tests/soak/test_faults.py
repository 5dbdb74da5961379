"""What goes wrong around a server: it stays ready, calls go on, and the metrics tell what happened.

That Asterisk is restarted in the middle of calls is tried on a real one (tests/asterisk/test_asterisk_calls.py)."""

from __future__ import annotations

import asyncio
import resource
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.bench import load
from tests.bench.process import ROOT, Helper, running
from tests.serving.process import Served
from tests.unit.api.running_server import running as server_running
from tests.unit.api.running_server import write_config
from voxtrad.events.types import AgentSpeechEnded, CallEnded
from voxtrad.leg import LegInfo
from voxtrad.telephony.simulated import SimulatedLeg

PATIENCE = 60.0


@dataclass
class Site:
    """`voxtrad serve` in a process of its own, between a simulated PBX and vendors."""

    server: Served
    pbx: Helper
    http: aiohttp.ClientSession
    url: str

    @property
    def pid(self) -> int:
        return self.server.process.pid

    async def get(self, path: str) -> Any:
        async with self.http.get(self.url + path) as answer:
            assert answer.status == 200, (path, answer.status, await answer.text())
            return await answer.json()

    async def metric(self, series: str) -> float:
        async with self.http.get(f"{self.url}/metrics") as answer:
            found = dict(line.rpartition(" ")[::2] for line in (await answer.text()).splitlines())
        return float(found.get(series, 0.0))

    async def metrics_tell(self, series: str, enough: Callable[[float], bool]) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                while not enough(value := await self.metric(series)):  # noqa: ASYNC110 - another process, scraped
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"{series} is {value} after {PATIENCE} s") from None

    async def ring(self) -> None:
        await self.pbx.post("/bench/ring?count=1")

    async def turn(self) -> None:
        """A caller has been answered once more."""
        series = 'voxtrad_turn_latency_seconds_count{agent="bench"}'
        before = await self.metric(series)
        await self.metrics_tell(series, lambda now: now > before)

    async def hang_up(self, ended: int) -> None:
        """The caller hangs up; then so many calls have ended well."""
        await self.pbx.post("/bench/hangup")
        series = 'voxtrad_calls_total{agent="bench",direction="inbound",outcome="caller_hangup"}'
        await self.metrics_tell(series, lambda now: now == ended)


@asynccontextmanager
async def site(folder: Path, *, more: str = "", path: Path | None = None) -> AsyncIterator[Site]:
    said = folder / "speech.raw"
    said.write_bytes(await load.speech())
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as http,
        running("tests.bench.vendors", http=http) as vendors,
        running("tests.bench.pbx", str(said), http=http) as pbx,
        load.server(folder / "site", load.AGENT.format(vendors=vendors.url) + more, pbx, path=path) as (server, _),
    ):
        url = str((await server.until("serving"))["url"])
        yield Site(server, pbx, http, url)


WEBHOOKS = (
    'webhooks: [{name: crm, url: "http://127.0.0.1:9/events", secret: "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"}]\n'
)


async def test_an_endpoint_that_is_gone(tmp_path: Path) -> None:
    async with site(tmp_path, more=WEBHOOKS) as made:
        await made.ring()
        await made.turn()
        await made.hang_up(1)
        await made.metrics_tell('voxtrad_webhook_deliveries_total{endpoint="crm",outcome="retry"}', lambda n: n >= 1)
        await made.metrics_tell("voxtrad_webhook_queue_depth", lambda n: n >= 5)
        await made.metrics_tell("voxtrad_webhook_oldest_seconds", lambda n: n > 0)
        assert await made.get("/ready") == {"ready": True}


@pytest.mark.long
async def test_a_full_disk(tmp_path: Path) -> None:
    """Files of the process may not grow any more, as on a full disk, and then they may again."""
    async with site(tmp_path, more=WEBHOOKS) as made:
        await made.ring()
        await made.turn()
        resource.prlimit(made.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        await made.turn()
        await made.hang_up(1)
        await made.ring()
        await made.turn()
        await made.hang_up(2)
        await made.server.until("the ledger cannot be written")
        assert await made.get("/ready") == {"ready": True}
        assert (await made.get("/v1/calls?state=running"))["items"] == []
        resource.prlimit(made.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await made.server.until("the ledger is written again")
        async with asyncio.timeout(PATIENCE):
            while len(kept := (await made.get("/v1/calls?state=ended"))["items"]) < 2:  # noqa: ASYNC110 - another process, asked
                await asyncio.sleep(0.1)
        assert [call["outcome"] for call in kept] == ["caller_hangup"] * 2


@pytest.mark.long
@pytest.mark.parametrize("jump", [signal.SIGUSR1, signal.SIGUSR2], ids=["a day on", "two days back"])
async def test_a_clock_that_jumps(tmp_path: Path, jump: signal.Signals) -> None:
    async with site(tmp_path, more=WEBHOOKS, path=ROOT / "tests/soak") as made:
        await made.ring()
        await made.turn()
        made.server.process.send_signal(jump)
        await made.turn()
        await made.hang_up(1)
        await made.ring()
        await made.turn()
        await made.hang_up(2)
        async with asyncio.timeout(PATIENCE):
            while len(kept := (await made.get("/v1/calls?state=ended"))["items"]) < 2:  # noqa: ASYNC110 - another process, asked
                await asyncio.sleep(0.1)
        assert all(0 < call["talk_time"] <= call["duration"] < 1000 for call in kept), kept
        assert await made.metric('voxtrad_call_duration_seconds_bucket{agent="bench",le="+Inf"}') == 2
        assert await made.metric('voxtrad_call_duration_seconds_sum{agent="bench"}') < 1000
        assert await made.get("/ready") == {"ready": True}


GONE = 'providers: {openai: {api_key: "sk-test", base_url: "http://127.0.0.1:9/v1", timeout: 2s}}\nagents:'
LEAD_ON = "on_failure: {continue: {context: office, extension: '200'}}"
SCRIPTED = """llm:
      provider: scripted
      rules: [{match: bye, say: Goodbye., tool: end_call}]
      otherwise: I see."""


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("stt", "stt: sphinx", "stt: openai"),
        ("llm", SCRIPTED, "llm: {provider: openai, model: gpt-4o-mini}"),
        ("tts", "tts: espeak", "tts: openai"),
    ],
)
async def test_a_vendor_that_is_gone(tmp_path: Path, kind: str, before: str, after: str) -> None:
    config = write_config(tmp_path, agent=LEAD_ON)
    text = config.read_text()
    assert before in text
    config.write_text(text.replace(before, after).replace("agents:", GONE, 1))
    word = await load.speech()
    async with server_running(config) as house:
        async with house.call() as leg:
            if kind != "tts":
                await house.happened(AgentSpeechEnded)
                await leg.say(word)
            await house.happened(CallEnded)
        (ended,) = [event for event in house.events if isinstance(event, CallEnded)]
        assert ended.outcome in ("failed", "handed_over"), ended
        assert leg.proceeded is not None and leg.proceeded.context == "office"
        gone = f'voxtrad_provider_requests_total{{kind="{kind}",outcome="unreachable",provider="openai"}}'
        assert await house.metric(gone) >= 1
        assert (await house.ask("GET", "/ready")).status == 200


async def test_a_thousand_callers_for_whom_there_is_no_room(tmp_path: Path) -> None:
    clock = asyncio.get_running_loop().time
    config = write_config(tmp_path)
    config.write_text(config.read_text().replace("max_calls: 4", "max_calls: 1"))

    async def waits(leg: SimulatedLeg) -> None:
        await leg.until(lambda: leg.ended)

    async with server_running(config) as house:
        async with house.call() as live:
            await house.happened(AgentSpeechEnded)
            board = house.server.core.switchboard
            info = LegInfo(id="2", channel="PJSIP/2", caller="+442079460001", dialled="1000")
            legs = [SimulatedLeg(info, waits, rate=8000, clock=clock) for _ in range(1000)]
            async with asyncio.TaskGroup() as group:
                for leg in legs:
                    group.create_task(board.take(leg))
            assert {leg.variables["VOXTRAD_STATUS"] for leg in legs} == {"BUSY"}
            assert all(leg.proceeded is not None for leg in legs)
            assert await house.metric('voxtrad_calls_rejected_total{reason="max_calls"}') == 1000
            assert await house.metric("voxtrad_calls_active") == 1
            assert (await house.ask("GET", "/ready")).status == 200
            assert not live.ended
        await house.happened(CallEnded)
