"""A real server on a free port, its configuration on disk, and calls without a PBX; for tests of API and metrics."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from voxtrad.config.loader import Loaded, load
from voxtrad.daemon import Server
from voxtrad.events.types import Event
from voxtrad.leg import LegInfo
from voxtrad.providers.registry import provider_types
from voxtrad.telephony.simulated import SimulatedLeg

TOKEN = "a-token-that-may-do-everything"
READER = "a-token-that-may-read"
CONFIG = """
version: 1
server:
  listen: "{listen}"
  data_dir: ./var
  watch: false
  max_calls: 4
  drain_timeout: 2s
  {server}
{top}
agents:
  support:
    greeting: Hello.
    stt: sphinx
    tts: espeak
    vad: energy
    idle: {{after: 30s}}
    llm:
      provider: scripted
      rules: [{{match: bye, say: Goodbye., tool: end_call}}]
      otherwise: I see.
    tools: [end_call]
    variables: {{note: "${{env:NOTE:-a note}}", api_token: hush}}
    {agent}
destinations:
  reception: {{continue: {{context: office, extension: "200"}}}}
{more}
"""
TOKENS = (
    f"tokens: [{{name: crm, token: {TOKEN}, scopes: [read, calls, events, reload]}}, {{name: eye, token: {READER}}}]"
)


def write_config(
    folder: Path, *, listen: str = "127.0.0.1:0", server: str = "", top: str = "", agent: str = "", more: str = ""
) -> Path:
    path = folder / "voxtrad.yaml"
    path.write_text(CONFIG.format(listen=listen, server=server, top=top, agent=agent, more=more))
    return path


@dataclass
class Answer:
    status: int
    type: str
    json: Any
    headers: dict[str, str] = field(repr=False)


class Running:
    """The server, and a client of its API."""

    def __init__(self, server: Server, http: aiohttp.ClientSession) -> None:
        self.server = server
        self.http = http
        self.events: list[Event] = []
        self._news = asyncio.Condition()
        self._told: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return self.server.url

    async def ask(self, method: str, path: str, body: object = None, *, token: str = TOKEN, **more: Any) -> Answer:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= more.pop("headers", {})
        if body is not None:
            more["json"] = body
        async with self.http.request(method, self.url + path, headers=headers, **more) as answer:
            text = await answer.text()
            found = await answer.json(content_type=None) if text and "json" in answer.content_type else text
            return Answer(answer.status, answer.content_type, found, dict(answer.headers))

    async def metric(self, line: str) -> float:
        """The value of a series, written as in the exposition."""
        for found in str((await self.ask("GET", "/metrics")).json).splitlines():
            name, _, value = found.rpartition(" ")
            if name == line:
                return float(value)
        raise AssertionError(f"there is no series {line}")

    def take(self, event: Event) -> None:
        self.events.append(event)
        self._stir()

    def _stir(self) -> None:
        async def notify() -> None:
            async with self._news:
                self._news.notify_all()

        task = asyncio.ensure_future(notify())
        self._told.add(task)
        task.add_done_callback(self._told.discard)

    async def happened(self, *types: type[Event]) -> None:
        """Wait until there was an event of each type."""
        async with asyncio.timeout(20), self._news:
            await self._news.wait_for(lambda: all(any(isinstance(e, t) for e in self.events) for t in types))

    @asynccontextmanager
    async def call(self, caller: str = "+442071234567", **info: Any) -> AsyncIterator[SimulatedLeg]:
        """A live call, until the block is left: then the caller hangs up."""
        over = asyncio.Event()

        async def wait(leg: SimulatedLeg) -> None:
            await over.wait()

        leg = SimulatedLeg(
            LegInfo(id="1.1", channel="PJSIP/100-0000001f", caller=caller, dialled="1000", linkedid="1.1", **info),
            wait,
            rate=8000,
            clock=asyncio.get_running_loop().time,
        )
        taking = asyncio.create_task(self.server.core.switchboard.take(leg))
        try:
            yield leg
        finally:
            over.set()
            async with asyncio.timeout(20):
                await taking


@asynccontextmanager
async def running(config: Path, change: Callable[[Server], None] = lambda server: None) -> AsyncIterator[Running]:
    """Run a server with this configuration."""
    types = provider_types()

    def read() -> Loaded:
        return load(config, provider_types=types)

    server = Server(read(), read, types=types)
    change(server)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as http:
        found = Running(server, http)
        server.core.bus.tap("test", (Event,), found.take)
        run = asyncio.create_task(server.run())
        started = asyncio.create_task(server.started.wait())
        try:
            await asyncio.wait([run, started], return_when=asyncio.FIRST_COMPLETED)
            if run.done():
                await run
            yield found
        finally:
            started.cancel()
            server.stop()
            server.stop()
            if not run.done():
                async with asyncio.timeout(20):
                    await run


@contextmanager
def in_thread(config: Path) -> Iterator[Server]:
    """The same in a thread with a loop of its own, for clients that block."""
    loop = asyncio.new_event_loop()
    ready, leave = threading.Event(), asyncio.Event()
    found: list[Server] = []

    async def serve() -> None:
        async with running(config) as house:
            found.append(house.server)
            ready.set()
            await leave.wait()

    def work() -> None:
        try:
            loop.run_until_complete(serve())
        finally:
            ready.set()
            loop.close()

    thread = threading.Thread(target=work, name="server")
    thread.start()
    try:
        ready.wait()
        yield found[0]
    finally:
        loop.call_soon_threadsafe(leave.set)
        thread.join()
