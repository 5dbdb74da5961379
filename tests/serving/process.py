"""A real `voxtrad serve` in a process of its own, whose log is read line by line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
COMMAND = "import sys; from voxtrad.cli.main import main; sys.exit(main())"
Line = dict[str, Any]


class Served:
    """A running server: what it has logged, and what it printed besides."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[Line] = []
        self.printed: list[str] = []
        self._news = asyncio.Event()
        self._over = False

    async def read(self) -> None:
        assert self.process.stderr is not None
        async for raw in self.process.stderr:
            text = raw.decode()
            self.printed.append(text)
            with contextlib.suppress(ValueError):
                self.lines.append(json.loads(text))
            self._news.set()
        self._over = True
        self._news.set()

    def told(self, event: str) -> list[Line]:
        """The lines whose message begins so."""
        return [line for line in self.lines if str(line["event"]).startswith(event)]

    async def until(self, event: str, count: int = 1) -> Line:
        """The line that makes it `count` of a message."""
        await self._until(lambda: len(self.told(event)) >= count, event)
        return self.told(event)[count - 1]

    async def _until(self, condition: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(30):
                while not condition():
                    assert not self._over, f"it ended before {what!r}:\n{''.join(self.printed)}"
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"never told: {what!r}; but:\n{''.join(self.printed)}") from None

    def hang_up_signal(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    async def reloaded(self, change: Callable[[], object], event: str = "reloaded") -> Line:
        """Change files, send SIGHUP, and wait for what becomes of it."""
        before = len(self.told(event))
        change()
        self.hang_up_signal()
        return await self.until(event, before + 1)


@contextlib.asynccontextmanager
async def served(config: Path, *, within: Sequence[str] = (), **environment: str) -> AsyncIterator[Served]:
    """`voxtrad serve` until the block is left, within another command where one is given; it must end well then."""
    process = await asyncio.create_subprocess_exec(
        *within, sys.executable, "-c", COMMAND, "serve", "-c", str(config),
        cwd=config.parent, stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "VOXTRAD_LOG_FORMAT": "json", **environment},
    )  # fmt: skip
    server = Served(process)
    reading = asyncio.create_task(server.read())
    try:
        await server.until("serving")
        yield server
        process.terminate()
        async with asyncio.timeout(20):
            assert await process.wait() == 0, "".join(server.printed)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await reading
    assert "Traceback" not in "".join(server.printed), "".join(server.printed)
