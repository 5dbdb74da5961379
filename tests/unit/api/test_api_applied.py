"""What a reload changes is in effect from then on: webhooks, tokens, metrics, the address for callbacks."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from aiohttp import web

from tests.unit.api.running_server import TOKEN, TOKENS, running, write_config

SECRET = "whsec_b25lIHNlY3JldCBvZiB0aGUgcmVsb2FkIHRlc3Rz"
OTHER = "tokens: [{name: crm, token: another-token-of-the-file, scopes: [read, reload]}]"


async def test_what_a_reload_brings_is_in_effect(tmp_path: Path) -> None:
    posted: asyncio.Queue[str] = asyncio.Queue()

    async def take(request: web.Request) -> web.Response:
        posted.put_nowait(json.loads(await request.read())["type"])
        return web.Response()

    app = web.Application()
    app.router.add_post("/", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    hook = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    try:
        async with running(write_config(tmp_path, server=TOKENS)) as house:
            write_config(
                tmp_path,
                server=f"{OTHER}\n  public_url: https://voice.example",
                top=f"webhooks: [{{name: late, url: '{hook}', secret: {SECRET}, events: [call.started]}}]",
            )
            result = await house.server.reloader.reload("the test")
            assert (result.ok, result.restart) == (True, ())
            assert (await house.ask("GET", "/v1/calls", token=TOKEN)).status == 401
            assert (await house.ask("GET", "/v1/calls", token="another-token-of-the-file")).status == 200
            assert house.server.callbacks.public_url == "https://voice.example"
            await house.metric('voxtrad_webhook_dead_letters_total{endpoint="late"}')
            async with house.call():
                async with asyncio.timeout(30):
                    assert await posted.get() == "call.started"
    finally:
        await runner.cleanup()
