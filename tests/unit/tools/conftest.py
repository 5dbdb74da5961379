"""A back-end on loopback, a caller who notes what is done to them, and the facts of a call."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web

from voxtrad.leg import LegError
from voxtrad.outbound.client import OutboundClient
from voxtrad.tools.base import ToolContext

FACTS = {
    "id": "c_1", "agent": "support", "direction": "inbound", "from": "+15550100", "to": "1000",
    "channel": "PJSIP/100-1", "linkedid": "17.1",
}  # fmt: skip


@dataclass
class Caller:
    """Implements `CallActions`: a patient caller who keys in `keys`."""

    keys: str = ""
    noted: list[tuple[str, Any]] = field(default_factory=list)

    async def say(self, text: str) -> None:
        self.noted.append(("say", text))

    async def send_digits(self, digits: str) -> None:
        self.noted.append(("send_digits", digits))

    async def collect_digits(
        self, *, length: int, terminator: str, timeout: float, sensitive: bool, prompt: str = ""
    ) -> str:
        if prompt:
            self.noted.append(("say", prompt))
        self.noted.append(("collect_digits", (length, terminator, timeout, sensitive)))
        keys = self.keys.partition(terminator)[0] if terminator else self.keys
        return keys[:length]

    async def play(self, pcm: bytes, rate: int) -> None:
        self.noted.append(("play", (pcm, rate)))

    async def play_sound(self, name: str) -> None:
        if name == "missing":
            raise LegError("the PBX cannot play the sound 'missing'")
        self.noted.append(("play_sound", name))

    def hold(self, seconds: float) -> None:
        self.noted.append(("hold", seconds))


@pytest.fixture
def facts() -> Mapping[str, str]:
    return FACTS


@pytest.fixture
def caller() -> Caller:
    return Caller()


@pytest.fixture
def context() -> Callable[..., ToolContext]:
    def make(timeout: float = 5.0, **changed: Any) -> ToolContext:
        known: dict[str, Any] = {
            "call_id": "c_1", "agent": "support", "direction": "inbound", "caller": "+15550100", "dialled": "1000",
            "channel": "PJSIP/100-1", "linkedid": "17.1", "tool_call_id": "tc_1", "turn": 4,
            "variables": {"tier": "gold"},
        }  # fmt: skip
        return ToolContext(**known | {"deadline": asyncio.get_running_loop().time() + timeout} | changed)

    return make


@pytest.fixture
async def client() -> AsyncIterator[OutboundClient]:
    async with OutboundClient() as client:
        yield client


@dataclass
class Backend:
    """An HTTP server. Each answer is taken from `answers` in order, the last one for ever; requests are kept."""

    url: str = ""
    answers: list[Callable[[web.Request], Awaitable[web.StreamResponse]]] = field(default_factory=list)
    requests: list[tuple[Mapping[str, str], bytes]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    def json(self, value: object, status: int = 200) -> None:
        self.raw(json.dumps(value).encode(), status)

    def raw(self, body: bytes, status: int = 200, content_type: str = "application/json", **headers: str) -> None:
        async def answer(_: web.Request) -> web.StreamResponse:
            return web.Response(body=body, status=status, content_type=content_type, headers=headers)

        self.answers.append(answer)

    def then(self, answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> None:
        self.answers.append(answer)

    def hang(self) -> None:
        """Never answer; ends when the client leaves."""

        async def answer(request: web.Request) -> web.StreamResponse:
            await asyncio.Event().wait()
            raise AssertionError

        self.answers.append(answer)

    def reset(self) -> None:
        async def answer(request: web.Request) -> web.StreamResponse:
            assert request.transport is not None
            request.transport.abort()  # type: ignore[attr-defined]  # aiohttp types it as a plain transport
            return web.Response()

        self.answers.append(answer)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.headers, await request.read()))
        self.paths.append(f"{request.method} {request.raw_path}")
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer(request)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Backend]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        try:
            yield self
        finally:
            await runner.cleanup()


@pytest.fixture
async def backend() -> AsyncIterator[Backend]:
    async with Backend().serving() as backend:
        yield backend
