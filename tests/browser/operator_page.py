"""The starter configuration, served by a process of its own, and an operator with a browser and a microphone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from playwright.async_api import Page, async_playwright

from tests.serving.process import served
from voxtrad.cli.main import main

ROOT = Path(__file__).parents[2]
PATIENCE = 60_000
"""Milliseconds that a page may take on a machine that has other things to do."""


class Operator:
    """A page, what its console said, and whom it asked."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.complaints: list[str] = []
        self.hosts: set[str] = set()
        page.on(
            "console", lambda said: self.complaints.append(said.text) if said.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self._asked(request.url))
        page.on("websocket", lambda socket: self._asked(socket.url))

    def _asked(self, url: str) -> None:
        self.hosts.add(urlsplit(url).netloc or urlsplit(url).path)

    async def open(self, section: str = "") -> None:
        await self.page.goto(f"{self.url}/{section}")

    async def tab_to(self, name: str) -> None:
        """Go on with the Tab key until something of that name has the focus."""
        met = []
        for _ in range(40):
            await self.page.keyboard.press("Tab")
            focus = "(document.activeElement?.labels?.[0] ?? document.activeElement)?.innerText ?? ''"
            met.append(str(await self.page.evaluate(focus)).strip())
            if met[-1] == name:
                return
        raise AssertionError(f"the Tab key does not lead to {name!r}, but to {met}")

    async def loudest(self, who: str) -> float:
        peak = await self.page.get_by_role("meter", name=f"{who}: level").get_attribute("data-peak")
        return float(peak or 0)


class Premises:
    def __init__(self, folder: Path, chromium: str, microphone: Path, orders: str) -> None:
        self.folder = folder
        self.config = folder / "voxtrad.yaml"
        self._chromium = chromium
        self._microphone = microphone
        self._orders = orders
        assert main(["init", str(folder)]) == 0
        self.change(self.config, r"127\.0\.0\.1:8088", "127.0.0.1:1")  # no PBX
        self.change(self.config, r"listen: \S+", "listen: 127.0.0.1:0")

    def change(self, path: Path, pattern: str, by: str) -> None:
        text, count = re.subn(pattern, lambda _: by, path.read_text(encoding="utf-8"), count=1)
        assert count == 1, f"{path.name} has no {pattern}"
        path.write_text(text, encoding="utf-8")

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Operator]:
        """The running server, and a page before it."""
        async with served(self.config, TOOLS_URL=self._orders) as server:
            url = str((await server.until("serving"))["url"])
            async with looking(self._chromium, url, self._microphone) as operator:
                yield operator


@contextlib.asynccontextmanager
async def looking(chromium: str, url: str, microphone: Path) -> AsyncIterator[Operator]:
    """A page before a server; what its microphone hears is in a file."""
    fake = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    flags = ["--no-sandbox", *fake, f"--use-file-for-fake-audio-capture={microphone}"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=flags)
        try:
            context = await browser.new_context(permissions=["microphone"])
            context.set_default_timeout(PATIENCE)
            yield Operator(await context.new_page(), url)
        finally:
            await browser.close()


async def call_and_hang_up(url: str) -> str:
    """A call that was: its id. Some of the greeting is heard."""
    async with aiohttp.ClientSession() as http, http.ws_connect(f"{url}/v1/phone") as socket, asyncio.timeout(60):
        await socket.send_json({"type": "start", "agent": "support", "rate": 16000})
        call = samples = 0
        async for message in socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                samples += len(message.data) // 2
                await socket.send_json({"type": "played", "epoch": 0, "samples": samples})
            elif (told := json.loads(message.data))["type"] == "call":
                call = told["id"]
            if call and samples > 16000:
                await socket.send_json({"type": "hangup"})
        assert call
        return str(call)
