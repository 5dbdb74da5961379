"""kill -9 of a real `voxtrad serve` with calls in it, at random moments: what it promised is delivered after all."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tests.bench import load
from tests.bench.process import ROOT, Helper, running
from tests.ledger.support import SECRET, Received, Receiver, complete, open_calls, receiving, written
from tests.serving.process import COMMAND, Served, served
from voxtrad.ledger.ledger import ask
from voxtrad.ledger.schema import FILE_NAME

PATIENCE = 120.0
LONGEST = 3.0
"""Seconds of a call: its greeting, and a turn."""


@contextlib.asynccontextmanager
async def doomed(config: Path, modules: str) -> AsyncIterator[Served]:
    """`voxtrad serve`, killed when the block is left."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", COMMAND, "serve", "-c", str(config),
        cwd=config.parent, stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": modules, "VOXTRAD_LOG_FORMAT": "json"},
    )  # fmt: skip
    server = Served(process)
    reading = asyncio.create_task(server.read())
    try:
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        code = await process.wait()
        await reading
    assert code == -9, f"it ended by itself ({code}):\n{''.join(server.printed)}"


async def now_and_then(_: Received) -> web.StreamResponse:
    """Some are answered after a while, some are refused: so there is always something left to deliver."""
    await asyncio.sleep(random.expovariate(20))
    return web.Response(status=503 if random.random() < 0.1 else 204)


async def killed_in_the_middle(server: Served, pbx: Helper, receiver: Receiver, hang_up: bool) -> None:
    """Calls come in, and the server has until a random moment; where they are hung up, a moment more."""
    await server.until("connected to Asterisk")
    before = len(receiver.received)
    await pbx.post("/bench/ring?count=3")
    await receiver.has(before + 1)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(random.uniform(0.0, LONGEST)):
            await server.process.wait()
    if hang_up:
        await pbx.post("/bench/hangup")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(random.uniform(0.0, 0.3)):
                await server.process.wait()


def left(data_dir: Path) -> int:
    """How many messages wait for their delivery."""
    return ask(
        data_dir / FILE_NAME,
        lambda db: db.execute("SELECT count(*) FROM outbox WHERE state IN ('waiting', 'held')").fetchone()[0],
    )


async def survives(folder: Path, kills: int) -> None:
    site, data_dir, said = folder / "site", folder / "site/var", folder / "speech.raw"
    said.write_bytes(await load.speech())
    promised: set[str] = set()
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as http,
        receiving() as everything,
        receiving() as calls,
        running("tests.bench.vendors", http=http) as vendors,
        running("tests.bench.pbx", str(said), http=http) as pbx,
    ):
        config = load.site(site, load.AGENT.format(vendors=vendors.url) + hooks(everything, calls), pbx)
        modules = os.pathsep.join((str(site), str(ROOT)))
        everything.answer = calls.answer = now_and_then
        for number in range(kills):
            async with doomed(config, modules) as server:
                await killed_in_the_middle(server, pbx, everything, hang_up=number > 0 and random.random() < 0.5)
            promised |= written(data_dir)
            await pbx.post("/bench/hangup")
        everything.answer = calls.answer = None
        async with served(config, PYTHONPATH=modules), asyncio.timeout(PATIENCE):
            while left(data_dir) or open_calls(data_dir):  # noqa: ASYNC110 - another process, seen from outside
                await asyncio.sleep(0.1)
        promised |= written(data_dir)
    assert len(promised) > 10 * kills
    assert {received.id for receiver in (everything, calls) for received in receiver.received} >= promised
    kinds = complete(everything)
    assert complete(calls).keys() == kinds.keys()
    assert len(kinds) >= kills
    outcomes = {one.event["data"]["outcome"] for one in everything.received if one.type == "call.ended"}
    assert "crashed" in outcomes, outcomes


def hooks(everything: Receiver, calls: Receiver) -> str:
    return (
        "webhooks:\n"
        f"  - {{name: all, url: '{everything.url}', secret: '{SECRET}', events: ['*']}}\n"
        f"  - {{name: calls, url: '{calls.url}', secret: '{SECRET}', events: ['call.*']}}\n"
    )


async def test_five_kills(tmp_path: Path) -> None:
    await survives(tmp_path, 5)


@pytest.mark.long
async def test_fifty_kills(tmp_path: Path) -> None:
    await survives(tmp_path, 50)
