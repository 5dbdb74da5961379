"""The test phone's door and the console's files, on a real server: who comes in, and what no page can break."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.unit.api.running_server import READER, TOKEN, TOKENS, Running, running, write_config
from voxtrad.api.house import MOST_WAITING
from voxtrad.events.types import AgentSpeechEnded, AgentSpeechStarted, CallEnded, CallStarted, DtmfReceived

FRAME = bytes(640)


def offered(token: str) -> tuple[str, ...]:
    return ("voxtrad.phone", f"bearer.{base64.urlsafe_b64encode(token.encode()).decode().rstrip('=')}")


class Phone:
    """A page: sends its microphone's silence, plays at once what it is sent, and says so."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.told: list[dict[str, Any]] = []
        self.played = 0
        self._epoch = 0
        self._samples = 0
        self._news = asyncio.Event()
        self._over = False

    async def read(self) -> None:
        async for message in self.socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                self.played += len(message.data) // 2
                self._samples += len(message.data) // 2
                await self.say(type="played", epoch=self._epoch, samples=self._samples)
            else:
                told = json.loads(message.data)
                self.told.append(told)
                if told["type"] == "flush":
                    self._epoch = told["epoch"]
                    await self.say(type="flushed", epoch=self._epoch, samples=self._samples)
                    self._samples = 0
            self._news.set()
        self._over = True
        self._news.set()

    async def say(self, **message: object) -> None:
        if not self.socket.closed:
            await self.socket.send_str(json.dumps(message))

    async def microphone(self) -> None:
        while not self.socket.closed:
            await self.socket.send_bytes(FRAME)
            await asyncio.sleep(0.02)

    async def hears(self, kind: str) -> dict[str, Any]:
        """What the page is told by the first message of a kind; `audio` is the first sound."""
        async with asyncio.timeout(30):
            while True:
                if kind == "audio" and self.played:
                    return {}
                for message in self.told:
                    if message["type"] == kind:
                        return message
                assert not self._over, f"no {kind}, but {self.told}"
                self._news.clear()
                await self._news.wait()


@asynccontextmanager
async def phone(house: Running, *, agent: str = "support", **more: Any) -> AsyncIterator[Phone]:
    more.setdefault("protocols", ("voxtrad.phone",))
    async with house.http.ws_connect(f"{house.url}/v1/phone", **more) as socket:
        page = Phone(socket)
        await page.say(type="start", agent=agent, rate=16000)
        async with asyncio.TaskGroup() as group:
            work = [group.create_task(page.read()), group.create_task(page.microphone())]
            try:
                yield page
            finally:
                for task in work:
                    task.cancel()


async def refused(house: Running, **more: Any) -> int:
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await house.http.ws_connect(f"{house.url}/v1/phone", **more)
    return caught.value.status


# --- a call -----------------------------------------------------------------------------------------------------------


async def test_a_page_calls_an_agent_and_hangs_up(tmp_path: Path) -> None:
    async with running(write_config(tmp_path)) as house:
        async with phone(house) as page:
            told = await page.hears("call")
            await page.hears("answered")
            await page.hears("audio")
            shown = await house.ask("GET", f"/v1/calls/{told['id']}")
            assert (shown.json["channel"], shown.json["linkedid"]) == (f"Browser/{told['leg']}", told["leg"])
            await page.say(type="digit", digit="7")
            await house.happened(DtmfReceived)
            await page.say(type="hangup")
            assert (await page.hears("ended"))["cause"] == "the page has hung up"
        await house.happened(CallEnded)
        (ended,) = [event for event in house.events if isinstance(event, CallEnded)]
        assert (ended.outcome, ended.reason) == ("caller_hangup", "the page has hung up")


async def test_a_page_that_vanishes_and_one_that_an_operator_hangs_up(tmp_path: Path) -> None:
    async with running(write_config(tmp_path)) as house:
        async with phone(house) as page:
            await page.hears("audio")
        await house.happened(CallEnded)
        house.events.clear()
        async with phone(house) as page:
            call = (await page.hears("call"))["id"]
            await page.hears("audio")
            assert (await house.ask("POST", f"/v1/calls/{call}/hangup")).status == 204
            await page.hears("ended")
        assert not house.server.core.switchboard.calls


async def test_another_agent_takes_over(tmp_path: Path) -> None:
    async with running(write_config(tmp_path, more="  colleague: {agent: support}")) as house:
        async with phone(house) as page:
            call = (await page.hears("call"))["id"]
            await page.hears("audio")
            await house.happened(AgentSpeechEnded)
            done = await house.ask("POST", f"/v1/calls/{call}/transfer", {"destination": "colleague"})
            assert done.status == 204, done.json
            await page.hears("hold")
            house.events.clear()
            await house.happened(AgentSpeechStarted, AgentSpeechEnded)
        await house.happened(CallEnded)
        (ended,) = [event for event in house.events if isinstance(event, CallEnded)]
        assert ended.outcome == "caller_hangup", ended.reason


async def test_so_many_silent_phones_and_no_more(tmp_path: Path) -> None:
    async with running(write_config(tmp_path)) as house, AsyncExitStack() as stack:
        waiting = [
            await stack.enter_async_context(house.http.ws_connect(f"{house.url}/v1/phone")) for _ in range(MOST_WAITING)
        ]
        assert await refused(house) == 503
        await waiting[0].send_str('{"type": "start", "agent": "nobody", "rate": 16000}')
        async with asyncio.timeout(20):
            assert json.loads((await waiting[0].receive()).data)["type"] == "ended"
        async with phone(house) as page:
            await page.hears("audio")


async def test_there_is_no_such_agent_and_no_room(tmp_path: Path) -> None:
    async with running(write_config(tmp_path)) as house:
        async with phone(house, agent="nobody") as page:
            assert (await page.hears("ended"))["cause"] == "there is no agent 'nobody'"
        house.server.core.switchboard.take_no_more()
        async with phone(house) as page:
            assert (await page.hears("status"))["status"] == "BUSY"
            await page.hears("ended")
        assert not [event for event in house.events if isinstance(event, CallStarted)]


# --- who comes in -----------------------------------------------------------------------------------------------------


async def test_the_door_is_shut_without_the_scope(tmp_path: Path) -> None:
    async with running(write_config(tmp_path, server=TOKENS)) as house:
        assert await refused(house) == 401
        assert await refused(house, protocols=offered("a-wrong-one")) == 401
        assert await refused(house, protocols=offered(READER)) == 403
        assert await refused(house, protocols=("voxtrad.phone", "bearer.%%%")) == 401
        async with phone(house, protocols=offered(TOKEN)) as page:
            await page.hears("answered")


async def test_other_sites_pages_get_no_phone(tmp_path: Path) -> None:
    config = write_config(tmp_path, server=f"public_url: https://voice.example\n  {TOKENS}")
    async with running(config) as house:
        for origin in ("https://evil.example", "null", "file://", "http://127.0.0.1", "http://[", f"{house.url}.evil"):
            assert await refused(house, origin=origin, protocols=offered(TOKEN)) == 403, origin
        for origin in (house.url, house.url.upper(), "https://voice.example"):
            async with phone(house, origin=origin, protocols=offered(TOKEN)) as page:
                await page.hears("call")


async def test_it_is_a_websocket(tmp_path: Path) -> None:
    async with running(write_config(tmp_path)) as house:
        answer = await house.ask("GET", "/v1/phone")
        assert (answer.status, answer.type) == (426, "application/problem+json")


# --- what no page can break -------------------------------------------------------------------------------------------

texts = st.text(max_size=200) | st.sampled_from(
    [
        '{"type": "start", "agent": "support"}', '{"type": "played", "epoch": 0, "samples": 99999999999}',
        '{"type": "flushed", "epoch": 1, "samples": 3}', '{"type": "digit", "digit": "12"}',
        '{"type": "digit", "digit": "#"}', '{"type": "played"}', "[" * 10_000, "\0",
    ]
)  # fmt: skip
messages = st.lists(texts | st.binary(max_size=3000) | st.just(b"\0" * 40_000), min_size=1, max_size=6)


async def test_whatever_a_page_sends_the_server_stays_and_the_call_ends(tmp_path: Path) -> None:
    async with running(write_config(tmp_path)) as house:
        loop = asyncio.get_running_loop()

        async def send(sent: list[str | bytes], started: bool) -> None:
            async with house.http.ws_connect(f"{house.url}/v1/phone") as socket:
                if started:
                    await socket.send_str('{"type": "start", "agent": "support", "rate": 44100}')
                for message in sent:
                    if socket.closed:
                        break
                    await (socket.send_str(message) if isinstance(message, str) else socket.send_bytes(message))

        @settings(deadline=None, max_examples=25, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
        @given(messages, st.booleans())
        def ask(sent: list[str | bytes], started: bool) -> None:
            asyncio.run_coroutine_threadsafe(send(sent, started), loop).result(60)

        await asyncio.to_thread(ask)
        async with asyncio.timeout(30):
            await house.server.core.switchboard.drain(30)
            while left := [task for task in asyncio.all_tasks() if task.get_name().startswith("phone")]:
                await asyncio.wait(left)
        assert not [event for event in house.events if isinstance(event, CallEnded) and event.outcome == "failed"]
        assert (await house.ask("GET", "/live")).status == 200


# --- the page ---------------------------------------------------------------------------------------------------------


async def test_the_page_is_open_and_bound_to_this_server(tmp_path: Path) -> None:
    async with running(write_config(tmp_path, server=TOKENS)) as house:
        page = await house.ask("GET", "/", token="")
        assert (page.status, page.type) == (200, "text/html")
        policy = page.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
        assert page.headers["X-Content-Type-Options"] == "nosniff"
        again = await house.ask("GET", "/", token="", headers={"If-None-Match": page.headers["Etag"]})
        assert (again.status, again.json) == (304, "")
        assert (await house.ask("GET", "/v1/agents", token="")).status == 401


async def test_only_the_page_s_own_files_are_served(tmp_path: Path) -> None:
    async with running(write_config(tmp_path)) as house:
        for path in ("/console/", "/console/../app.py", "/console/%2e%2e/app.py", "/console/index.html", "/app.py"):
            assert (await house.ask("GET", path)).status == 404, path
