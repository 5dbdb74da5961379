"""A whole server in this process between a simulated PBX and simulated vendors, and what of it can leak."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.bench.load import AGENT, speech
from tests.bench.plugin import STT, TTS
from tests.bench.process import Helper, memory_mb, running
from voxtrad.config.loader import Loaded, load
from voxtrad.daemon import Server
from voxtrad.events.types import Event
from voxtrad.providers.registry import provider_types

PATIENCE = 60.0
_CONFIG = """\
version: 1
asterisk: {{url: "{pbx}", username: bench, password: bench}}
server: {{listen: "127.0.0.1:0", data_dir: {data}, max_calls: {max_calls}, watch: false}}
"""
_PER_CALL = ("voxtrad.conversation.", "voxtrad.telephony.", "tests.bench.plugin")
"""Where the things of one call come from; what belongs to the server is there before and after."""


@dataclass(frozen=True)
class Held:
    """What the process holds."""

    tasks: Counter[str]
    descriptors: int
    threads: int
    objects: Counter[str]
    megabytes: float

    @classmethod
    def now(cls) -> Held:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        kinds = Counter(
            f"{type(thing).__module__}.{type(thing).__qualname__}"
            for thing in gc.get_objects()
            if str(type(thing).__module__).startswith(_PER_CALL)
        )
        return cls(
            Counter(task.get_name() for task in asyncio.all_tasks() if not task.get_name().startswith("Task-")),
            len(list(Path("/proc/self/fd").iterdir())),
            len(list(Path("/proc/self/task").iterdir())),
            kinds,
            memory_mb(os.getpid()),
        )

    def more_than(self, before: Held) -> str:
        """What there is more than before, memory aside; empty when nothing is."""
        found = [f"tasks {self.tasks - before.tasks}"] if self.tasks - before.tasks else []
        found += [f"objects {self.objects - before.objects}"] if self.objects - before.objects else []
        for what in ("descriptors", "threads"):
            if getattr(self, what) > getattr(before, what):
                found.append(f"{what} {getattr(self, what)} instead of {getattr(before, what)}")
        return ", ".join(found)


class Ward:
    """The server, and callers for it."""

    def __init__(self, server: Server, pbx: Helper) -> None:
        self.server = server
        self.pbx = pbx
        self.counts: Counter[str] = Counter()
        """Events so far, by their type."""
        self._news = asyncio.Event()

    def take(self, event: Event) -> None:
        self.counts[type(event).__name__] += 1
        self._news.set()

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                while not condition():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"waited {PATIENCE} s for {what}; so far: {dict(self.counts)}") from None

    async def calls(self, count: int, until: str, each: int = 1) -> None:
        """So many calls at once; they are hung up when each of them has had `each` such events."""
        ended, before = self.counts["CallEnded"], self.counts[until]
        await self.pbx.post(f"/bench/ring?count={count}")
        await self.until(lambda: self.counts[until] >= before + count * each, f"{count * each} more of {until}")
        await self.pbx.post("/bench/hangup")
        await self.until(lambda: self.counts["CallEnded"] >= ended + count, f"the end of {count} calls")
        async with asyncio.timeout(PATIENCE):
            await self.pbx.get("/bench/gone")

    async def quiet(self) -> None:
        """Nothing of any call is left to do."""
        telephony, board = self.server.telephony, self.server.core.switchboard
        assert telephony is not None
        async with asyncio.timeout(PATIENCE):
            while telephony.live_legs or board.calls or board.wrapping_up:  # noqa: ASYNC110 - of several rooms
                await asyncio.sleep(0.02)
        await self.server.ledger.flush()

    async def back_to(self, before: Held) -> Held:
        """Wait until there is no more than before: idle connections are closed after a while, worker threads stay."""
        await self.quiet()
        loop = asyncio.get_running_loop()
        due = loop.time() + PATIENCE
        while more := (now := Held.now()).more_than(before):
            assert loop.time() < due, f"left after the calls: {more}"
            await asyncio.sleep(0.5)
        return now


@contextlib.asynccontextmanager
async def ward(folder: Path, *, max_calls: int = 100) -> AsyncIterator[Ward]:
    """The server, connected to the PBX."""
    said = folder / "speech.raw"
    said.write_bytes(await speech())
    installed = provider_types()
    types = {
        "stt": {"bench": STT}, "tts": {"bench": TTS}, "vad": {"webrtc": installed["vad"]["webrtc"]},
        "llm": {"openai": installed["llm"]["openai"]},
    }  # fmt: skip
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as http,
        running("tests.bench.vendors", http=http) as vendors,
        running("tests.bench.pbx", str(said), http=http) as pbx,
    ):
        config = folder / "voxtrad.yaml"
        config.write_text(
            _CONFIG.format(pbx=pbx.url, data=folder / "var", max_calls=max_calls) + AGENT.format(vendors=vendors.url)
        )

        def read() -> Loaded:
            return load(config, provider_types=types)

        server = Server(read(), read, types=types)
        made = Ward(server, pbx)
        server.core.bus.tap("ward", (Event,), made.take)
        run = asyncio.create_task(server.run(), name="server")
        try:
            await server.started.wait()
            assert server.telephony is not None
            async with asyncio.timeout(PATIENCE):
                await server.telephony.wait_ready()
            yield made
        finally:
            server.stop()
            server.stop()
            await run
