"""The media websocket against a server of ours: nothing of it is left, whenever it is cancelled."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from voxtrad.telephony.asterisk.ari import Ari, open_session
from voxtrad.telephony.asterisk.formats import FORMATS
from voxtrad.telephony.asterisk.settings import AsteriskSettings
from voxtrad.telephony.asterisk.websocket import WebSocketTransport

STEPS = 12
"""Turns of the loop after which it is cancelled."""


class PbxSide:
    """Answers `externalMedia` and takes the connection, the way Asterisk does."""

    def __init__(self) -> None:
        self.connections = 0
        self.changed = asyncio.Event()
        self.sends_on = False
        """It heeds nothing that we say, and sends audio for as long as it can."""

    async def external_media(self, request: web.Request) -> web.Response:
        return web.json_response({"channelvars": {"MEDIA_WEBSOCKET_CONNECTION_ID": "secret"}})

    async def media(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=("media",))
        await socket.prepare(request)
        self.connections += 1
        await socket.send_str(json.dumps({"event": "MEDIA_START", "optimal_frame_size": 320, "ptime": 20}))
        if self.sends_on:
            with contextlib.suppress(ConnectionError):
                while True:
                    await socket.send_bytes(bytes(320))
                    await asyncio.sleep(0.02)
        async for _ in socket:
            pass
        self.connections -= 1
        self.changed.set()
        return socket

    async def all_gone(self) -> None:
        async with asyncio.timeout(5):
            while self.connections:
                self.changed.clear()
                await self.changed.wait()


@contextlib.asynccontextmanager
async def transport_to(pbx: PbxSide) -> AsyncIterator[WebSocketTransport]:
    app = web.Application()
    app.router.add_post("/ari/channels/externalMedia", pbx.external_media)
    app.router.add_get("/media/secret", pbx.media)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, number = runner.addresses[0][:2]
    settings = AsteriskSettings(instance="t", url=f"http://{host}:{number}")
    async with open_session() as http:
        yield WebSocketTransport(Ari(http, settings), settings)
    await runner.cleanup()


def running() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("media-websocket")]


@pytest.mark.parametrize("again", [False, True])
async def test_closing_that_is_cancelled_closes_it(again: bool) -> None:
    pbx = PbxSide()
    async with transport_to(pbx) as transport:
        for steps in range(1, STEPS):
            port = await transport.open("voxtrad-t-media-1", FORMATS["slin"], lambda: None)
            closing = asyncio.create_task(port.close())
            for _ in range(steps):
                await asyncio.sleep(0)
            closing.cancel()
            if again:
                await asyncio.sleep(0)
                closing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await closing
            await pbx.all_gone()
            assert not running()


async def test_an_asterisk_that_sends_on_instead_of_closing_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxtrad.telephony.asterisk.websocket._CLOSE_TIMEOUT", 0.2)
    pbx = PbxSide()
    pbx.sends_on = True
    async with transport_to(pbx) as transport:
        port = await transport.open("voxtrad-t-media-1", FORMATS["slin"], lambda: None)
        async with asyncio.timeout(5):
            await asyncio.wait([asyncio.create_task(port.close())])
        assert not running()
        await pbx.all_gone()
