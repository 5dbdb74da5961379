"""A whole server without a PBX, on real files: simulated callers, and providers that note what becomes of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from tests.asterisk.tones import ToneReader, ToneVoice, digits_in, tones_of
from voxtrad.config.loader import Loaded, load
from voxtrad.daemon import Server
from voxtrad.events.types import Event
from voxtrad.handlers import check_handlers
from voxtrad.leg import LegInfo
from voxtrad.providers.base import ProviderType
from voxtrad.providers.registry import provider_types
from voxtrad.telephony.simulated import SimulatedLeg

RATE = 8000
AGENT = """
    greeting: "{greeting}"
    stt: tones
    tts: {{provider: tones, edition: "{edition}"}}
    vad: energy
    turn: {{min_silence: 0.3s}}
    interrupt: {{enabled: false}}
    idle: {{after: 60s}}
    filler: []
    llm: {{provider: scripted, rules: [{{match: 'order', say: "{answer}"}}]}}
"""


class _Nothing(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Edition(_Nothing):
    edition: str = ""
    """What sets the provider of one configuration apart from that of another."""


@dataclass
class Voices:
    """The voices that were built, by their edition, and those of them that were closed."""

    built: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)

    @property
    def open(self) -> list[str]:
        left = list(self.built)
        for edition in self.closed:
            left.remove(edition)
        return left


class _NotedVoice(ToneVoice):
    def __init__(self, voices: Voices, edition: str) -> None:
        super().__init__()
        self._voices = voices
        self._edition = edition
        voices.built.append(edition)

    async def aclose(self) -> None:
        self._voices.closed.append(self._edition)


def types_noting(voices: Voices) -> dict[str, dict[str, object]]:
    """The installation's LLMs and VADs, and `tones` for the rest."""
    installed = provider_types()

    def voice(name: str, connection: _Nothing, options: _Edition) -> _NotedVoice:
        return _NotedVoice(voices, options.edition)

    return {
        "stt": {"tones": ProviderType("stt", _Nothing, _Nothing, lambda name, connection, options: ToneReader())},
        "llm": {"scripted": installed["llm"]["scripted"]},
        "tts": {"tones": ProviderType("tts", _Nothing, _Edition, voice)},
        "vad": {"energy": installed["vad"]["energy"]},
    }


@dataclass
class Heard:
    """What became of a caller."""

    leg: SimulatedLeg

    @property
    def digits(self) -> str:
        return digits_in(np.frombuffer(bytes(self.leg.port.agent_track), dtype="<i2"), RATE)


Script = Callable[[SimulatedLeg], Awaitable[None]]


class Premises:
    """The server, its files and its callers."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "voxtrad.yaml"
        self.voices = Voices()
        self.types = types_noting(self.voices)
        self.events: list[Event] = []
        self.server: Server

    def write(self, *, greeting: str = "1", answer: str = "2", edition: str = "first", more: str = "") -> None:
        """The configuration: one agent, `a`, who takes all calls, and whatever is given beside it."""
        agent = AGENT.format(greeting=greeting, answer=answer, edition=edition)
        head = f"server: {{listen: '127.0.0.1:0', data_dir: {self.path.parent / 'data'}, watch: false}}\n"
        self.path.write_text(f"{head}{more}agents:\n  a:{agent}", encoding="utf-8")

    def read(self) -> Loaded:
        loaded = load(self.path, provider_types=self.types)  # type: ignore[arg-type]  # as much of types as is needed
        check_handlers(loaded)
        return loaded

    async def reload(self, **what: str) -> None:
        self.write(**what)
        result = await self.server.reloader.reload("the test")
        assert result.ok, result.errors

    async def call(self, script: Script, **info: str) -> Heard:
        """A call from its ring to its end; `script` is the caller, from the answer on."""
        facts = LegInfo(**{"id": "1.1", "channel": "Simulated/1", "caller": "+15550100", "dialled": "1000", **info})  # type: ignore[arg-type]  # texts only
        leg = SimulatedLeg(facts, script, rate=RATE, clock=asyncio.get_running_loop().time)
        await self.server.core.switchboard.take(leg)
        return Heard(leg)

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[Premises]:
        """Run the server; nothing of it may be left in the process afterwards, and no provider open."""
        before = asyncio.all_tasks()
        self.server = Server(self.read(), self.read, types=self.types)  # type: ignore[arg-type]  # as above
        self.server.core.bus.tap("test", (Event,), self.events.append)
        run = asyncio.create_task(self.server.run())
        starting = asyncio.create_task(self.server.started.wait())
        await asyncio.wait([run, starting], return_when=asyncio.FIRST_COMPLETED)
        try:
            assert starting.done()
            yield self
        finally:
            starting.cancel()
            self.server.stop()
            self.server.stop()
            await run
        left = [task for task in asyncio.all_tasks() - before if _is_ours(task)]
        assert not left, f"left in the process: {left}"
        assert self.voices.open == []


def _is_ours(task: asyncio.Task[object]) -> bool:
    """Whether a task runs the server's code, and not that of somebody it talked to."""
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and "/voxtrad/" in code.co_filename


async def listens(leg: SimulatedLeg) -> None:
    """A caller who hears the greeting and hangs up."""
    await leg.spoken_to()
    await leg.quiet(0.3)


def asks(digits: str, times: int = 1) -> Script:
    """A caller who hears the greeting, says digits, and hears the answer, so many times."""

    async def script(leg: SimulatedLeg) -> None:
        await listens(leg)
        for _ in range(times):
            await leg.say(tones_of(digits, RATE))
            await listens(leg)

    return script
