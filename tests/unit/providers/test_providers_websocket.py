"""Opening a websocket: what goes wrong there is told without the headers of the request, which hold the key."""

from __future__ import annotations

import pytest
from aiohttp import web

from tests.unit.providers.test_providers_contract import KEY, traces
from voxtrad.providers.base import Unreachable
from voxtrad.providers.websocket import Sockets


async def test_a_server_that_leads_on_and_on_is_told_without_the_key():
    async def lead_on(request: web.Request) -> web.Response:
        raise web.HTTPFound(request.path)

    app = web.Application()
    app.router.add_get("/", lead_on)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    sockets = Sockets("a", 20)
    with pytest.raises(Unreachable) as raised:
        await sockets.open(f"ws://127.0.0.1:{runner.addresses[0][1]}/", query={}, headers={"X-API-Key": KEY})
    assert KEY not in traces(raised.value)
    await sockets.aclose()
    await runner.cleanup()
