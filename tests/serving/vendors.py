"""Calls through vendors' local servers: a configuration with any of them in any place, a caller, and what was heard."""

from __future__ import annotations

import asyncio
import json
import wave
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import numpy as np

from tests.fakes.anthropic_server import fake_anthropic
from tests.fakes.line import Line
from tests.fakes.openai_server import fake_openai
from tests.fakes.wyoming_server import fake_wyoming
from voxtrad.config.loader import load
from voxtrad.core import Core
from voxtrad.events.types import AgentResponse, CallEnded, CallFailed, Event, UserTranscript
from voxtrad.leg import LegInfo
from voxtrad.providers.registry import provider_types
from voxtrad.telephony.simulated import SimulatedLeg

RATE = 8000
LOUD = 500
FRAME = RATE // 50
KEY = "secret-key-0123456789"
SPEECH = Path(__file__).parents[1] / "unit" / "providers" / "speech" / "goodbye.wav"


def goodbye() -> bytes:
    with wave.open(str(SPEECH)) as file:
        return file.readframes(file.getnframes())


def loud_frames(pcm: bytes) -> np.ndarray[Any, np.dtype[np.bool_]]:
    samples = np.frombuffer(pcm[: len(pcm) // (2 * FRAME) * 2 * FRAME], dtype="<i2").astype(int)
    return np.asarray(np.abs(samples).reshape(-1, FRAME).max(axis=1) >= LOUD)


ENOUGH = int(loud_frames(goodbye()).sum() * 2 * FRAME)
"""Bytes of speech after which a server that ends turns has heard the word."""

HEARS = {"enough": ENOUGH, "threshold": LOUD}

Fake = Callable[..., AbstractAsyncContextManager[Any]]


class VendorPremises:
    """A configuration whose providers are local servers, and the calls that it takes."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "voxtrad.yaml"
        self.stack = AsyncExitStack()
        self.providers: dict[str, object] = {}
        self.events: list[Event] = []
        self.lines: dict[str, Line] = {}
        self.connections: list[dict[str, int]] = []
        """How many connections each vendor had been asked for: when the first turn began, and after each."""

    async def serve(self, fake: Fake, type: str, **settings: object) -> str:
        """Run a vendor's server; its name in the configuration."""
        if fake is fake_openai:
            server = await self.stack.enter_async_context(fake(*settings.get("answers", ())))
            server.transcript = "goodbye"
            server.speech = b"\x10\x27" * 24000
        elif fake is fake_anthropic:
            server = await self.stack.enter_async_context(fake(*settings.get("answers", ())))
        else:
            server = await self.stack.enter_async_context(fake(**settings))
        name = f"{type}-{len(self.providers)}"
        line = self.lines[name] = await self.stack.enter_async_context(Line())
        url = await line.to(server.uri if fake is fake_wyoming else server.url)
        where = {"uri": url} if fake is fake_wyoming else {"base_url": url, "api_key": KEY}
        self.providers[name] = {"type": type, **where}
        return name

    async def call(
        self, stt: object, llm: object, tts: object, *, turns: int = 1, patience: float = 0.5, **more: object
    ) -> SimulatedLeg:
        """A caller hears the greeting, says goodbye and hears the answer, so many times.

        `patience` is the silence after which the caller takes it that all was said; `more` are other keys of the agent.
        """
        agent = {
            "greeting": "Hi, it is me.",
            "stt": stt,
            "llm": llm,
            "tts": tts,
            "vad": "energy",
            "turn": {"min_silence": "0.3s"},
            "interrupt": {"enabled": False},
            "idle": {"after": "60s"},
            "filler": [],
            **more,
        }
        server = {"listen": "127.0.0.1:0", "data_dir": str(self.path.parent / "data")}
        document = {"server": server, "providers": self.providers, "agents": {"a": agent}}
        self.path.write_text(json.dumps(document), encoding="utf-8")

        async def script(leg: SimulatedLeg) -> None:
            await leg.spoken_to()
            await leg.quiet(0.5)
            self._count()
            for _ in range(turns):
                await leg.say(goodbye())
                await leg.spoken_to()
                await leg.quiet(patience)
                self._count()

        loaded = load(self.path, provider_types=provider_types())
        assert loaded.config is not None, loaded
        async with Core(loaded.config, keep_speech=False) as core:
            core.bus.tap("test", (Event,), self.events.append)
            facts = LegInfo(id="1.1", channel="Simulated/1", caller="+15550100", dialled="1000")
            leg = SimulatedLeg(facts, script, rate=RATE, clock=asyncio.get_running_loop().time)
            await core.switchboard.take(leg)
        return leg

    def _count(self) -> None:
        self.connections.append({name: line.connections for name, line in self.lines.items()})

    def said(self) -> tuple[list[str], list[str]]:
        """What the caller was understood to say, and what the agent answered after its greeting."""
        assert not [event for event in self.events if isinstance(event, CallFailed)]
        assert [event for event in self.events if isinstance(event, CallEnded)]
        heard = [event.text for event in self.events if isinstance(event, UserTranscript)]
        answers = [event.text for event in self.events if isinstance(event, AgentResponse)]
        return heard, [answer for answer in answers if answer != "Hi, it is me."]


def tone(leg: SimulatedLeg) -> int:
    return int(np.count_nonzero(np.frombuffer(bytes(leg.port.agent_track), dtype="<i2"))) / RATE


def longest_silence(leg: SimulatedLeg) -> float:
    """Seconds in which nobody was heard, from the agent's first sound to its last."""
    agent = np.frombuffer(bytes(leg.port.agent_track), dtype="<i2") != 0
    caller = np.abs(np.frombuffer(bytes(leg.port.caller_track), dtype="<i2").astype(int)) >= LOUD
    length = min(agent.size, caller.size)
    agent, caller = agent[:length], caller[:length]
    sounds = np.flatnonzero(agent | caller)
    first, last = np.flatnonzero(agent)[[0, -1]]
    sounds = sounds[(sounds >= first) & (sounds <= last)]
    return float(np.diff(sounds).max()) / RATE
