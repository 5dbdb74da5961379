"""The caller lookup against real HTTP servers that verify what they are sent, and answers of every kind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook

from voxtrad.config.models import LookupConfig
from voxtrad.config.templates import Template, literal
from voxtrad.leg import LegInfo
from voxtrad.lookup import NOTHING, Found, Lookup, read_answer
from voxtrad.outbound.client import Answer, BadAnswer, OutboundClient

SECRET = "whsec_dGhlIHNlY3JldCBvZiB0aGUgbG9va3VwIHRlc3Rz"
INFO = LegInfo(
    id="17.1", channel="PJSIP/100-1", caller="+15550100", dialled="1000", caller_name="Ann", linkedid="17.1",
    variables={"TIER": "gold"},
)  # fmt: skip
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Desk:
    """The program that is asked; `answer` is what it does next."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.url = ""
        self.answer: Handler = self.nothing

    @staticmethod
    async def nothing(request: web.Request) -> web.Response:
        return web.Response(status=204)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        Webhook(SECRET).verify(body, dict(request.headers))
        self.asked.append(json.loads(body))
        return await self.answer(request)

    def says(self, status: int = 200, **answer: Any) -> None:
        async def handler(request: web.Request) -> web.Response:
            return web.json_response(answer, status=status)

        self.answer = handler


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    app = web.Application()
    app.router.add_post("/caller", desk.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    desk.url = f"http://{host}:{port}/caller"
    yield desk
    await runner.cleanup()


async def ask(url: str, *, agent: str | None = "support", timeout: str = "5s") -> Found:
    config = LookupConfig.model_validate({"webhook": {"url": url, "secret": SECRET}, "timeout": timeout})
    async with OutboundClient() as client:
        return await Lookup(config, client).ask("c_1", INFO, agent)


async def test_it_is_told_who_calls_whom_and_signed(desk: Desk) -> None:
    assert await ask(desk.url) == NOTHING
    (asked,) = desk.asked
    assert asked["type"] == "call.lookup" and asked["timestamp"].endswith("Z")
    assert asked["data"] == {
        "call": {
            "id": "c_1", "agent": "support", "direction": "inbound", "from": "+15550100", "from_name": "Ann",
            "to": "1000", "channel": "PJSIP/100-1", "linkedid": "17.1", "variables": {"TIER": "gold"},
        },
        "timeout_ms": 5000,
    }  # fmt: skip


async def test_what_it_says(desk: Desk) -> None:
    desk.says(variables={"name": "Ann", "n": 1}, agent="sales", greeting="Hello {{ Ann }}", unknown=True)
    found = await ask(desk.url, agent=None)
    assert found == Found("sales", "Hello {{ Ann }}", {"name": "Ann", "n": 1}, None)
    assert desk.asked[0]["data"]["call"]["agent"] is None


@pytest.mark.parametrize(
    ("reject", "why"),
    [(True, "the caller lookup says so"), ("on the list", "on the list"), (False, None), (None, None), ("", None)],
)
async def test_it_may_refuse_a_call(desk: Desk, reject: object, why: str | None) -> None:
    desk.says(reject=reject)
    assert (await ask(desk.url)).reject == why


@pytest.mark.parametrize(
    "answer",
    [
        {"variables": []}, {"variables": "x"}, {"agent": 1}, {"agent": {}}, {"greeting": ["x"]}, {"reject": 1},
        {"reject": {"why": "x"}},
    ],
)  # fmt: skip
async def test_an_answer_that_breaks_the_contract_is_none(desk: Desk, answer: dict[str, Any]) -> None:
    desk.says(**answer)
    assert await ask(desk.url) == NOTHING


@pytest.mark.parametrize("status", [201, 202, 301, 400, 401, 404, 410, 429, 500, 503])
async def test_any_other_status_is_no_answer(desk: Desk, status: int) -> None:
    desk.says(status, reject=True)
    assert await ask(desk.url) == NOTHING


async def test_a_call_goes_on_without_an_answer_in_time(desk: Desk) -> None:
    gone = asyncio.Event()

    async def never(request: web.Request) -> web.Response:
        try:
            await asyncio.Event().wait()
        finally:
            gone.set()
        raise AssertionError

    desk.answer = never
    assert await ask(desk.url, timeout="0.2s") == NOTHING
    assert len(desk.asked) == 1


async def test_a_call_goes_on_where_nobody_listens() -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await ask(f"http://127.0.0.1:{port}/") == NOTHING
    server.close()
    await server.wait_closed()
    assert await ask(f"http://127.0.0.1:{port}/") == NOTHING


async def test_an_endless_answer_is_cut(desk: Desk) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" " * 65536)

    desk.answer = endless
    assert await ask(desk.url) == NOTHING


JSONS = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
ANSWERS = st.one_of(
    st.binary(),
    JSONS.map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries({}, optional=dict.fromkeys(("variables", "agent", "greeting", "reject"), JSONS)).map(
        lambda value: json.dumps(value).encode()
    ),
)


@settings(deadline=None)
@given(st.integers(100, 599), ANSWERS)
def test_whatever_comes_is_understood_or_refused(status: int, body: bytes) -> None:
    try:
        found = read_answer(Answer(status, {}, body))
    except BadAnswer:
        return
    assert found.agent is None or found.agent
    assert found.greeting is None or found.greeting
    assert status in (200, 204)


@settings(deadline=None)
@given(st.text() | st.sampled_from(["{{ vars.x }}", "}} {{", "{% raw %}", "{#", "a\\'\"{{\n\U0001f600", "{{ '}}' }}"]))
def test_a_greeting_from_elsewhere_is_said_as_it_is(words: str) -> None:
    assert Template(literal(words)).render(vars={"x": "secret"}) == words
