"""A server that is stopped, asked to hurry, or full, on a real Asterisk: nobody is cut off or left in silence."""

from __future__ import annotations

import asyncio
import contextlib
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from office import Company, configuration
from pbx import PASSWORD, Pbx, PbxAri

from tests.serving.process import COMMAND, ROOT, Served

pytestmark = pytest.mark.asterisk
AGENT = """
    greeting: Hello.
    stt: sphinx
    tts: espeak
    vad: energy
    llm: {provider: scripted, rules: [], otherwise: I see.}
    idle: {after: 300s}
"""


@pytest.fixture
async def company() -> AsyncIterator[Company]:
    async with Company().open() as company:
        yield company


@contextlib.asynccontextmanager
async def process(config: Path) -> AsyncIterator[Served]:
    """`voxtrad serve`, connected; to be stopped by the test."""
    made = await asyncio.create_subprocess_exec(
        sys.executable, "-c", COMMAND, "serve", "-c", str(config),
        stderr=asyncio.subprocess.PIPE, env={"PYTHONPATH": str(ROOT), "VOXTRAD_LOG_FORMAT": "json"},
    )  # fmt: skip
    server = Served(made)
    reading = asyncio.create_task(server.read())
    try:
        await server.until("connected to Asterisk")
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            made.kill()
        await made.wait()
        await reading
    assert "Traceback" not in "".join(server.printed), "".join(server.printed)


async def ready(server: Served) -> int:
    url = str(server.told("serving")[0]["url"])
    async with aiohttp.ClientSession() as http, http.get(f"{url}/ready") as answer:
        return answer.status


async def came_back(ari: PbxAri, what: str) -> None:
    """Wait until a caller is in the lines after `Stasis()`, with this `VOXTRAD_STATUS` and mark."""
    found = ""
    try:
        async with asyncio.timeout(20):
            while found != what:
                with contextlib.suppress(aiohttp.ClientResponseError):
                    found = await ari.global_variable("CAME_BACK")
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"{what} did not come back; {found or 'nobody'} did") from None


async def ended(server: Served) -> None:
    async with asyncio.timeout(20):
        assert await server.process.wait() == 0, "".join(server.printed)


async def test_a_server_that_is_stopped_lets_its_callers_finish(
    pbx: Pbx, ari: PbxAri, company: Company, tmp_path: Path
) -> None:
    async with process(configuration(pbx, company, tmp_path, AGENT)) as server:
        live = await ari.call("1001", __MARK="live1")
        await server.until("call")
        assert await ready(server) == 200
        server.process.terminate()
        await server.until("stopping")
        assert await ready(server) == 503
        await ari.call("1001", __MARK="late1")
        await came_back(ari, "BUSY-late1")
        assert server.process.returncode is None and not server.told("call ended")
        await ari.hang_up(live)
        await ended(server)
        assert server.told("call ended")[0]["outcome"] == "caller_hangup"


async def test_a_second_signal_leads_callers_on(pbx: Pbx, ari: PbxAri, company: Company, tmp_path: Path) -> None:
    async with process(configuration(pbx, company, tmp_path, AGENT)) as server:
        await ari.call("1001", __MARK="live2")
        await server.until("call")
        server.process.terminate()
        await server.until("stopping")
        server.process.terminate()
        await ended(server)
        await came_back(ari, "FAILED-live2")


async def test_a_full_server_sends_callers_back_busy(pbx: Pbx, ari: PbxAri, company: Company, tmp_path: Path) -> None:
    config = configuration(pbx, company, tmp_path, AGENT)
    config.write_text(config.read_text().replace("server: {", "server: {max_calls: 1, ", 1))
    async with process(config) as server:
        live = await ari.call("1001", __MARK="live3")
        await server.until("call")
        await ari.call("1001", __MARK="late3")
        await came_back(ari, "BUSY-late3")
        assert await ready(server) == 200, "full is not broken"
        await ari.hang_up(live)
        await server.until("call ended")
        next_one = await ari.call("1001", __MARK="next3")
        await server.until("routed", 2)
        await ari.hang_up(next_one)
        server.process.terminate()
        await ended(server)


async def test_nothing_of_it_is_for_others_eyes(pbx: Pbx, ari: PbxAri, company: Company, tmp_path: Path) -> None:
    """Files of the data folder are its owner's alone, and no secret stands in the list of processes."""
    async with process(configuration(pbx, company, tmp_path, AGENT)) as server:
        caller = await ari.call("1001", __MARK="seen")
        await server.until("call")
        data = tmp_path / "data"
        for path in (data, *data.rglob("*")):
            mode = stat.S_IMODE(path.stat().st_mode)
            assert mode & 0o077 == 0, f"{path}: {mode:o}"
        assert PASSWORD not in "".join(command_lines(server.process.pid))
        await ari.hang_up(caller)
        server.process.terminate()
        await ended(server)


def command_lines(pid: int) -> list[str]:
    """Of a process and its children, as everybody on the machine sees them."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [Path(f"/proc/{one}/cmdline").read_text() for one in (pid, *children)]
