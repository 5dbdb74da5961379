"""kill -9 of a real process at random moments: what was written is delivered, numbered without gaps, ended once."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

import pytest
from aiohttp import web

from tests.ledger.support import Received, Receiver, complete, open_calls, receiving, written

CHILD = Path(__file__).with_name("crashing.py")


async def moody(_: Received) -> web.StreamResponse:
    """Most are taken, some at once, some after a while; some are refused."""
    if random.random() < 0.3:
        await asyncio.sleep(random.expovariate(30))
    return web.Response(status=503 if random.random() < 0.1 else 204)


async def spawn(data_dir: Path, what: str, *receivers: Receiver) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, str(CHILD), str(data_dir), what, *(receiver.url for receiver in receivers),
        cwd=CHILD.parents[2], env={"PYTHONPATH": str(CHILD.parents[2])}, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def kill_at_a_random_moment(process: asyncio.subprocess.Process) -> None:
    if random.random() < 0.85:  # else while it starts
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    try:
        async with asyncio.timeout(random.uniform(0.0, 0.5)):
            await process.wait()
    except TimeoutError:
        process.kill()
    assert await process.wait() == -9


async def survives(data_dir: Path, kills: int) -> None:
    promised: set[str] = set()
    async with receiving() as everything, receiving() as calls:
        everything.answer = calls.answer = moody
        for _ in range(kills):
            process = await spawn(data_dir, "calls", everything, calls)
            await kill_at_a_random_moment(process)
            promised |= written(data_dir)
        everything.answer = calls.answer = None
        process = await spawn(data_dir, "drain", everything, calls)
        async with asyncio.timeout(120):
            assert await process.wait() == 0
        promised |= written(data_dir)
    assert promised
    assert {received.id for receiver in (everything, calls) for received in receiver.received} >= promised
    for receiver in (everything, calls):
        check(receiver)
    assert open_calls(data_dir) == 0


def check(receiver: Receiver) -> None:
    kinds = complete(receiver)
    assert len(kinds) > 5, "too few calls to say anything"
    assert sum(kind["call.analyzed"] for kind in kinds.values()), "what comes after a call's end came too"


async def test_five_kills(tmp_path: Path) -> None:
    await survives(tmp_path / "var", 5)


@pytest.mark.long
async def test_fifty_kills(tmp_path: Path) -> None:
    await survives(tmp_path / "var", 50)
