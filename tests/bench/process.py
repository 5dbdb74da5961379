"""The processes of a run: started, waited for, measured from outside (Linux's /proc), and ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import web

ROOT = Path(__file__).parents[2]
_TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


async def serve_until_told(app: web.Application) -> None:
    """Serve on a free port, print it, and end when the standard input does."""
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await until_told()
    await runner.cleanup()


async def until_told() -> None:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


@dataclass
class Helper:
    """A process that serves HTTP to this one."""

    pid: int
    url: str
    http: aiohttp.ClientSession

    async def get(self, path: str) -> dict[str, object]:
        async with self.http.get(self.url + path) as answer:
            found: dict[str, object] = await answer.json(content_type=None)
            return found

    async def post(self, path: str) -> dict[str, object]:
        async with self.http.post(self.url + path) as answer:
            found: dict[str, object] = await answer.json(content_type=None)
            return found or {}


@contextlib.asynccontextmanager
async def running(
    module: str, *arguments: str, http: aiohttp.ClientSession, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Helper]:
    """`python -m module`, until the block is left. It prints a line when it is ready: its port, where it has one."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
    )  # fmt: skip
    assert process.stdout is not None and process.stdin is not None
    try:
        ready = (await process.stdout.readline()).decode().strip()
        if not ready:
            raise RuntimeError(f"{module} has ended: {await process.wait()}")
        yield Helper(process.pid, f"http://127.0.0.1:{ready}", http)
        process.stdin.close()
        async with asyncio.timeout(10):
            await process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and its ended children, in user and kernel mode."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / _TICK


def memory_mb(pid: int) -> float:
    """Resident memory of a process and its living children."""
    kilobytes = 0
    for one in (pid, *_children(pid)):
        for line in Path(f"/proc/{one}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmRSS:"):
                kilobytes += int(line.split()[1])
    return kilobytes / 1024


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [int(child) for child in found]
