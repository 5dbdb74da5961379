"""SIPp, for telephones that do what baresip cannot: a scenario played to the letter, in step with the PBX."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from pbx import Pbx, free_port


@dataclass(frozen=True)
class Sipp:
    """One SIPp under way at `port`; its scenario's `<log>` goes to `log`."""

    port: int
    log: Path
    _screen: Path
    _process: asyncio.subprocess.Process

    def check(self) -> None:
        """Raises `RuntimeError` when it has ended."""
        if self._process.returncode is not None:
            raise RuntimeError(f"SIPp ended with {self._process.returncode}: {self._said()}")

    async def done(self) -> None:
        """Wait until the scenario was played to its end; raises `RuntimeError` when the PBX did not play along."""
        async with asyncio.timeout(30):
            if await self._process.wait() != 0:
                raise RuntimeError(f"SIPp ended with {self._process.returncode}: {self._said()}")

    def _said(self) -> str:
        return self._screen.read_text(errors="replace")[-2000:]


@contextlib.asynccontextmanager
async def sipp(pbx: Pbx, scenario: str, *arguments: str) -> AsyncIterator[Sipp]:
    """Plays a scenario until the context ends."""
    folder, port, root = pbx.root.scratch("sipp"), free_port(socket.SOCK_DGRAM), pbx.root
    file, log, screen = folder / "scenario.xml", folder / "log", folder / "screen"
    file.write_text(scenario)
    with screen.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *root.command(
                "sipp", "-sf", root.inside(file), "-i", "127.0.0.1", "-p", str(port), "-nostdin",
                "-trace_logs", "-log_file", root.inside(log), *arguments,
            ),
            stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        yield Sipp(port, log, screen, process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        shutil.rmtree(folder, ignore_errors=True)
