"""A real Chromium before a real server. Where no Chromium can be had the tests are skipped with the reason, and with
CI=true that is a failure."""

from __future__ import annotations

import os
import subprocess
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from operator_page import PATIENCE, ROOT, Premises
from playwright.async_api import expect

from voxtrad.audio.resample import Resampler
from voxtrad.audio.wav import read_wav

RATE = 48000


@pytest.fixture(scope="session", autouse=True)
def patience() -> None:
    """Every wait for something on a page is a long one."""
    expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The program's path."""
    script = Path(__file__).with_name("provision.sh")
    made = subprocess.run([script], capture_output=True, text=True)
    if made.returncode == 0:
        return made.stdout.strip()
    reason = (made.stderr.strip().splitlines() or [f"provision.sh ended with {made.returncode}"])[-1]
    if os.environ.get("CI") == "true":
        pytest.exit(f"tests in a real Chromium cannot run: {reason}", returncode=4)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def microphone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Chromium's microphone hears: a recorded question after 7 s of silence, again and again."""
    question = read_wav(ROOT / "config/demo/order.wav")
    resampler = Resampler(question.rate, RATE)
    spoken = resampler.push(question.pcm) + resampler.flush()
    path = tmp_path_factory.mktemp("microphone") / "question.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(bytes(2 * RATE * 7) + spoken + bytes(2 * RATE * 10))
    return path


@pytest.fixture
async def orders() -> AsyncIterator[str]:
    """The program that the starter's tool asks."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"result": {"status": "on its way"}})

    app = web.Application()
    app.router.add_post("/tools/lookup_order", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


@pytest.fixture
def premises(tmp_path: Path, chromium: str, microphone: Path, orders: str) -> Premises:
    """The starter configuration, to be served and looked at."""
    return Premises(tmp_path / "starter", chromium, microphone, orders)
