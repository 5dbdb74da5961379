"""A whole voxtrad on a real Asterisk, and the company it works for: a tool server that checks signatures."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from textwrap import dedent

from aiohttp import web
from pbx import PASSWORD, USERNAME, Pbx
from standardwebhooks import Webhook
from tones import KeptVoice, with_tones

from voxtrad.cli.timeline import line
from voxtrad.config.loader import Loaded, load
from voxtrad.daemon import Server
from voxtrad.events.types import Event
from voxtrad.providers.registry import provider_types

SECRET = "whsec_dGhlIHNlY3JldCBvZiB0aGUgdGVzdHMnIGNvbXBhbnk="
EventType = type[Event]


class Company:
    """Answers `lookup_order` and keeps what it was asked; every request must be signed."""

    def __init__(self) -> None:
        self.asked: list[dict[str, object]] = []
        self.statuses: dict[str, str] = {}
        self._url = ""

    @property
    def url(self) -> str:
        return self._url

    async def _lookup(self, request: web.Request) -> web.Response:
        body = await request.read()
        Webhook(SECRET).verify(body, dict(request.headers))
        asked = json.loads(body)
        self.asked.append(asked["data"])
        number = str(asked["data"]["tool"]["arguments"]["order_id"])
        return web.json_response({"result": {"status": self.statuses.get(number, "on its way"), "number": number}})

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Company]:
        app = web.Application()
        app.router.add_post("/tools/lookup_order", self._lookup)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self._url = f"http://{host}:{port}/tools/lookup_order"
        try:
            yield self
        finally:
            await runner.cleanup()


class Office:
    """A running server, and all that happened on its calls."""

    def __init__(self, server: Server, kept: KeptVoice) -> None:
        self.server = server
        self.kept = kept
        self.events: list[Event] = []
        self._news = asyncio.Event()

    def take(self, event: Event) -> None:
        self.events.append(event)
        self._news.set()

    def of(self, kind: EventType) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, condition: Callable[[], bool], timeout: float = 30.0) -> None:
        """Wait until what has happened makes something true."""
        try:
            async with asyncio.timeout(timeout):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"it did not happen; what did:\n{self.story()}") from None

    def story(self) -> str:
        """What has happened, for whoever reads a failure."""
        began = {e.call_id: e.timestamp for e in reversed(self.events)}
        lines = ((e.call_id, line(e, e.timestamp - began[e.call_id])) for e in self.events)
        return "\n".join(f"{call_id}  {text}" for call_id, text in lines if text)

    async def next(self, kind: EventType, count: int = 1, timeout: float = 30.0) -> Event:
        """The event of a kind that makes it `count`."""
        await self.until(lambda: len(self.of(kind)) >= count, timeout)
        return self.of(kind)[count - 1]


def configuration(
    pbx: Pbx, company: Company, folder: Path, agent: str, *, transport: str = "auto", url: str = "", rtp: str = "{}"
) -> Path:
    """A configuration on disk; `agent` and `rtp` are the YAML of keys below these, `url` is another way to the PBX."""
    path = folder / "voxtrad.yaml"
    agent_text = dedent(agent).strip().replace("\n", "\n    ")
    path.write_text(
        f"""\
version: 1
asterisk:
  url: {url or pbx.url}
  username: {USERNAME}
  password: {PASSWORD}
  app: {pbx.app}
  media: {{transport: {transport}, audiosocket: {{listen: "127.0.0.1:0"}}, rtp: {rtp}}}
server: {{listen: "127.0.0.1:0", data_dir: {folder / "data"}}}
routes:
  - {{agent: support}}
agents:
  support:
    {agent_text}
tools:
  lookup_order:
    description: Look an order up.
    parameters: {{order_id: {{type: string, required: true}}}}
    webhook: {{url: "{company.url}", secret: "{SECRET}"}}
"""
    )
    return path


@contextlib.asynccontextmanager
async def working(config: Path) -> AsyncIterator[Office]:
    """Run a server until the block is left; nothing of it may be left in the process then."""
    before = asyncio.all_tasks()
    installed = provider_types()
    kept = KeptVoice(installed)
    types = with_tones(installed, kept)

    def read() -> Loaded:
        return load(config, provider_types=types)

    server = Server(read(), read, types=types)
    office = Office(server, kept)
    server.core.bus.tap("test", (Event,), office.take)
    run = asyncio.create_task(server.run())
    try:
        await server.started.wait()
        assert server.telephony is not None
        async with asyncio.timeout(20):
            await server.telephony.wait_ready()
        yield office
    finally:
        server.stop()
        server.stop()
        await run
    left = asyncio.all_tasks() - before
    assert not left, f"left in the process: {left}"
