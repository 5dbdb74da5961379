"""The image's health check, against servers that live, that are ill and that are not there; and Asterisk's start."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web

ROOT = Path(__file__).parents[3]


async def healthy(**environment: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(ROOT / "deploy/docker/health.py"), env={**os.environ, **environment},
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, told = await process.communicate()
    return process.returncode or 0, told.decode()


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
async def test_it_says_what_live_says(status: int, code: int) -> None:
    async def live(request: web.Request) -> web.Response:
        return web.Response(status=status)

    app = web.Application()
    app.router.add_get("/live", live)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        assert (await healthy(VOXTRAD_LISTEN=f"0.0.0.0:{port}"))[0] == code
        assert (await healthy(VOXTRAD_HEALTH_URL=f"http://localhost:{port}/live"))[0] == code
        gone = port
    finally:
        await runner.cleanup()
    code, told = await healthy(VOXTRAD_LISTEN=f"[::]:{gone}")
    assert code == 1 and told.startswith(f"http://127.0.0.1:{gone}/live: ")


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({"PBX_ADDRESS": "192.168.1.10"}, "SIP_PASSWORD"),
        ({"PBX_ADDRESS": "0.0.0.0", "SIP_PASSWORD": "voxtrad"}, "SIP_PASSWORD"),
        ({"SIP_PASSWORD": "a;b"}, "SIP_PASSWORD may hold only"),
        ({"SIP_PASSWORD": "a#b"}, "SIP_PASSWORD may hold only"),
        ({"ASTERISK_ARI_PASSWORD": "a\nb"}, "ASTERISK_ARI_PASSWORD may hold only"),
    ],
)
def test_asterisk_does_not_start_with_passwords_that_are_known_or_break_its_files(
    environment: dict[str, str], why: str
) -> None:
    started = subprocess.run(
        ["sh", ROOT / "deploy/asterisk/start.sh"], capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert started.returncode == 1
    assert why in started.stderr
