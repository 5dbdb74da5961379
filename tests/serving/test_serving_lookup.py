"""The caller lookup on real calls: what it says decides the call, what it does not say changes nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from premises import Heard, Premises, asks, listens
from standardwebhooks import Webhook

from voxtrad.telephony.simulated import Place

SECRET = "whsec_dGhlIHNlY3JldCBvZiB0aGUgbG9va3VwIG9uIGNhbGxz"
OTHERS = """
  b:
    greeting: "{{ vars.code }}5"
    variables: {code: null}
    stt: tones
    tts: tones
    vad: energy
    llm: {provider: scripted, otherwise: "0"}
"""


class Desk:
    """The program that is asked. It answers with `says`, once it may."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.says: dict[str, Any] = {}
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.was_asked = asyncio.Event()
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        Webhook(SECRET).verify(body, dict(request.headers))
        self.asked.append(json.loads(body)["data"]["call"])
        self.was_asked.set()
        await self.may_answer.wait()
        return web.json_response(self.says)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    desk = Desk()
    app = web.Application()
    app.router.add_post("/", desk.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    desk.url = "http://{}:{}/".format(*runner.addresses[0][:2])
    yield desk
    await runner.cleanup()


@pytest.fixture
def premises(tmp_path: Path, desk: Desk) -> Premises:
    return with_lookup(Premises(tmp_path), desk)


def with_lookup(premises: Premises, desk: Desk, *, timeout: str = "10s", more: str = "") -> Premises:
    lookup = f"lookup: {{webhook: {{url: '{desk.url}', secret: {SECRET}}}, timeout: {timeout}}}\n"
    premises.write(greeting="123", answer="4", more=lookup + "routes: [{agent: a}]\n" + more)
    with premises.path.open("a", encoding="utf-8") as file:
        file.write(OTHERS)
    return premises


def turned_away(heard: Heard) -> str:
    """The status with which a call went on in the dialplan."""
    assert heard.leg.proceeded == Place(None, None, None)
    assert heard.digits == ""
    return heard.leg.variables["VOXTRAD_STATUS"]


async def test_it_chooses_the_agent_its_variables_and_its_greeting(premises: Premises, desk: Desk) -> None:
    async with premises.open():
        assert (await premises.call(listens)).digits == "123"
        assert desk.asked[0]["from"] == "+15550100" and desk.asked[0]["agent"] == "a"
        desk.says = {"agent": "b", "variables": {"code": "78"}}
        assert (await premises.call(listens)).digits == "785"
        desk.says = {"greeting": "9{{ 1 }}"}
        assert (await premises.call(listens)).digits == "91"
        desk.says = {"agent": "nobody"}
        assert (await premises.call(asks("99"))).digits == "1234"


async def test_it_may_refuse_a_call(premises: Premises, desk: Desk) -> None:
    desk.says = {"reject": "a known nuisance"}
    async with premises.open():
        assert turned_away(await premises.call(listens)) == "REJECTED"
        assert premises.events == []


async def test_a_call_goes_on_without_an_answer(premises: Premises, desk: Desk) -> None:
    desk.may_answer.clear()
    with_lookup(premises, desk, timeout="0.1s")
    async with premises.open():
        assert (await premises.call(listens)).digits == "123"
        desk.may_answer.set()


async def test_calls_that_ring_take_up_room(premises: Premises, desk: Desk) -> None:
    text = premises.path.read_text(encoding="utf-8")
    premises.path.write_text(text.replace("watch: false", "watch: false, max_calls: 1"), encoding="utf-8")
    desk.may_answer.clear()
    async with premises.open():
        first = asyncio.create_task(premises.call(listens))
        await desk.was_asked.wait()
        assert turned_away(await premises.call(listens)) == "BUSY"
        desk.may_answer.set()
        assert (await first).digits == "123"


async def test_a_call_that_rings_while_the_server_drains(premises: Premises, desk: Desk) -> None:
    desk.may_answer.clear()
    async with premises.open():
        first = asyncio.create_task(premises.call(listens))
        await desk.was_asked.wait()
        draining = asyncio.create_task(premises.server.core.switchboard.drain(30))
        await asyncio.sleep(0)
        desk.may_answer.set()
        assert turned_away(await first) == "BUSY"
        assert await draining


async def test_a_call_that_rings_keeps_its_providers_through_a_reload(premises: Premises, desk: Desk) -> None:
    desk.may_answer.clear()
    async with premises.open():
        first = asyncio.create_task(premises.call(listens))
        await desk.was_asked.wait()
        await premises.reload(greeting="5", edition="second")
        assert "first" in premises.voices.open
        desk.may_answer.set()
        assert (await first).digits == "123"
        assert premises.voices.open == ["second"]
