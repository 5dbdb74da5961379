"""Whole calls with the tools of real MCP servers, made with the official SDK: a local program, and one over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from premises import Premises, asks

from voxtrad.events.types import ToolCompleted

EXAMPLE = str(Path(__file__).parents[1] / "unit" / "tools" / "mcp_example.py")
AGENT = """
server: {{listen: '127.0.0.1:0', data_dir: {data}, watch: false}}
agents:
  a:
    greeting: "1"
    stt: tones
    tts: tones
    vad: energy
    turn: {{min_silence: 0.3s}}
    interrupt: {{enabled: false}}
    idle: {{after: 60s}}
    filler: []
    tools: [{names}]
    llm:
      provider: scripted
      rules:
        - match: 'order (?P<digits>\\d+)'
          tool: crm_find_customer
          arguments: {{number: "{{{{ match.digits }}}}"}}
          say: "{{{{ result.number }}}}"
          on_error: "99"
tools:
  crm: {{mcp: {server}}}
"""


def write(premises: Premises, server: str, names: str = "crm") -> None:
    text = AGENT.format(data=premises.path.parent / "data", names=names, server=server)
    premises.path.write_text(text, encoding="utf-8")


@pytest.fixture
def premises(tmp_path: Path) -> Premises:
    return Premises(tmp_path)


@contextlib.asynccontextmanager
async def over_http() -> AsyncIterator[tuple[str, Callable[[], Awaitable[None]]]]:
    """Its URL, and what takes it down."""
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        port.listen()
        number = port.fileno()
        process = await asyncio.create_subprocess_exec(sys.executable, EXAMPLE, str(number), pass_fds=[number])

        async def stop() -> None:
            port.close()
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

        try:
            yield f"http://127.0.0.1:{port.getsockname()[1]}/mcp", stop
        finally:
            await stop()


def completed(premises: Premises) -> list[tuple[str, str]]:
    return [(event.tool, event.outcome) for event in premises.events if isinstance(event, ToolCompleted)]


async def connected(premises: Premises, tool: str = "crm_find_customer") -> None:
    """Wait until the server has its tools: a busy machine starts programs slowly."""
    (run,) = premises.server.core.servers.running
    async with asyncio.timeout(60):
        await run.connected.wait()
    assert tool in run.tools


@pytest.mark.parametrize("names", ["crm", "crm_find_customer"], ids=["all of its tools", "one of them"])
async def test_a_local_program(premises: Premises, names: str) -> None:
    write(premises, f"{{command: ['{sys.executable}', '{EXAMPLE}']}}", names)
    async with premises.open():
        await connected(premises)
        assert (await premises.call(asks("42"))).digits == "142"
        assert completed(premises) == [("crm_find_customer", "ok")]


async def test_over_http_and_a_server_that_dies(premises: Premises) -> None:
    async with over_http() as (url, stop):
        write(premises, f"{{url: '{url}', tools: [find_customer]}}")
        async with premises.open():
            await connected(premises)
            assert (await premises.call(asks("42"))).digits == "142"
            await stop()
            assert (await premises.call(asks("42"))).digits == "199"
            assert completed(premises) == [("crm_find_customer", "ok"), ("crm_find_customer", "error")]


async def test_a_reload_keeps_what_stays_and_ends_what_goes(premises: Premises) -> None:
    """A connection that the new configuration has too is not made again; a server that it lacks is stopped."""
    program = f"{{command: ['{sys.executable}', '{EXAMPLE}']}}"
    write(premises, program)
    async with premises.open():
        await connected(premises)
        (before,) = premises.server.core.servers.running
        write(premises, program, "crm_find_customer")
        assert (await premises.server.reloader.reload("the test")).ok
        assert premises.server.core.servers.running == [before] and before.connected.is_set()
        assert (await premises.call(asks("42"))).digits == "142"

        write(premises, f"{{command: ['{sys.executable}', '{EXAMPLE}'], env: {{REGION: emea}}}}")
        assert (await premises.server.reloader.reload("the test")).ok
        (after,) = premises.server.core.servers.running
        assert after is not before
        await connected(premises)
        assert (await premises.call(asks("42"))).digits == "142"

        premises.write()
        assert (await premises.server.reloader.reload("the test")).ok
        assert premises.server.core.servers.running == []


async def test_a_call_keeps_the_server_that_it_began_with(premises: Premises) -> None:
    write(premises, f"{{command: ['{sys.executable}', '{EXAMPLE}']}}")
    async with premises.open():
        await connected(premises)
        (before,) = premises.server.core.servers.running

        async def script(leg) -> None:  # type: ignore[no-untyped-def]  # a caller, as in premises.py
            premises.write()
            assert (await premises.server.reloader.reload("the test")).ok
            assert premises.server.core.servers.running == [before]
            await asks("42")(leg)

        assert (await premises.call(script)).digits == "142"
        assert premises.server.core.servers.running == []


async def test_a_server_that_is_not_there_stops_nothing(premises: Premises) -> None:
    write(premises, "{url: 'http://127.0.0.1:9/mcp'}")
    async with premises.open():
        assert (await premises.call(asks("42"))).digits == "199"
