"""Whole calls through vendors' protocols: every provider in its place once, and one call in which each stage dies."""

from __future__ import annotations

import asyncio
import json
import wave
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fakes import anthropic_server
from tests.fakes.anthropic_server import fake_anthropic
from tests.fakes.assemblyai_server import fake_assemblyai
from tests.fakes.cartesia_server import fake_cartesia
from tests.fakes.deepgram_server import fake_deepgram
from tests.fakes.deepgram_speak_server import fake_deepgram_speak
from tests.fakes.elevenlabs_listen_server import fake_scribe
from tests.fakes.elevenlabs_server import fake_elevenlabs
from tests.fakes.openai_realtime_server import fake_openai_realtime
from tests.fakes.openai_server import Cut, Text, fake_openai
from tests.fakes.wyoming_server import fake_wyoming
from voxtrad.config.loader import load
from voxtrad.daemon import Core
from voxtrad.events.types import AgentResponse, CallEnded, CallFailed, Event, UserTranscript
from voxtrad.leg import LegInfo
from voxtrad.providers.registry import provider_types
from voxtrad.telephony.simulated import SimulatedLeg

pytestmark = pytest.mark.virtual_time

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
STT: dict[str, tuple[Fake, str, dict[str, object]]] = {
    "deepgram": (fake_deepgram, "deepgram", {}),
    "flux": (fake_deepgram, "deepgram", {"model": "flux-general-en"}),
    "assemblyai": (fake_assemblyai, "assemblyai", {}),
    "assemblyai without turns": (fake_assemblyai, "assemblyai", {"ends_turns": False}),
    "elevenlabs": (fake_scribe, "elevenlabs", {}),
    "openai": (fake_openai, "openai", {}),
    "openai realtime": (fake_openai_realtime, "openai", {"realtime": True}),
    "wyoming": (fake_wyoming, "wyoming", {}),
}
LLM: dict[str, Fake] = {"openai": fake_openai, "anthropic": fake_anthropic}
TTS: dict[str, tuple[Fake, str, dict[str, object]]] = {
    "elevenlabs": (fake_elevenlabs, "elevenlabs", {}),
    "elevenlabs over http": (fake_elevenlabs, "elevenlabs", {"transport": "http", "encoding": "ulaw"}),
    "deepgram": (fake_deepgram_speak, "deepgram", {}),
    "openai": (fake_openai, "openai", {}),
    "wyoming": (fake_wyoming, "wyoming", {}),
    "cartesia": (fake_cartesia, "cartesia", {}),
}


class Premises:
    """A configuration whose providers are local servers, and the calls that it takes."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "voxtrad.yaml"
        self.stack = AsyncExitStack()
        self.providers: dict[str, object] = {}
        self.events: list[Event] = []

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
        where = {"uri": server.uri} if fake is fake_wyoming else {"base_url": server.url, "api_key": KEY}
        self.providers[name] = {"type": type, **where}
        return name

    async def call(self, stt: object, llm: object, tts: object) -> SimulatedLeg:
        """A caller hears the greeting, says goodbye and hears the answer."""
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
        }
        server = {"listen": "127.0.0.1:0", "data_dir": str(self.path.parent / "data")}
        document = {"server": server, "providers": self.providers, "agents": {"a": agent}}
        self.path.write_text(json.dumps(document), encoding="utf-8")

        async def script(leg: SimulatedLeg) -> None:
            await leg.spoken_to()
            await leg.quiet(0.5)
            await leg.say(goodbye())
            await leg.spoken_to()
            await leg.quiet(0.5)

        loaded = load(self.path, provider_types=provider_types())
        assert loaded.config is not None, loaded
        async with Core(loaded.config, keep_speech=False) as core:
            core.bus.tap("test", (Event,), self.events.append)
            facts = LegInfo(id="1.1", channel="Simulated/1", caller="+15550100", dialled="1000")
            leg = SimulatedLeg(facts, script, rate=RATE, clock=asyncio.get_running_loop().time)
            await core.switchboard.take(leg)
        return leg

    def said(self) -> tuple[list[str], list[str]]:
        """What the caller was understood to say, and what the agent answered after its greeting."""
        assert not [event for event in self.events if isinstance(event, CallFailed)]
        assert [event for event in self.events if isinstance(event, CallEnded)]
        heard = [event.text for event in self.events if isinstance(event, UserTranscript)]
        answers = [event.text for event in self.events if isinstance(event, AgentResponse)]
        return heard, [answer for answer in answers if answer != "Hi, it is me."]


@pytest.fixture
async def premises(tmp_path: Path):
    made = Premises(tmp_path)
    async with made.stack:
        yield made


def tone(leg: SimulatedLeg) -> int:
    return int(np.count_nonzero(np.frombuffer(bytes(leg.port.agent_track), dtype="<i2"))) / RATE


async def whole_call(
    premises: Premises, *, stt: str = "deepgram", llm: str = "openai", tts: str = "elevenlabs"
) -> None:
    fake, type, options = STT[stt]
    hears = {} if fake in (fake_openai, fake_wyoming) else HEARS
    ears = await premises.serve(fake, type, **hears)
    mind = await premises.serve(LLM[llm], llm)
    voice, voice_type, voice_options = TTS[tts]
    mouth = await premises.serve(voice, voice_type)
    leg = await premises.call({"provider": ears, **options}, mind, {"provider": mouth, **voice_options})
    assert premises.said() == (["goodbye"], ["Hello there."])
    assert tone(leg) > 1.0


@pytest.mark.parametrize("name", STT)
async def test_a_call_with_each_recogniser(premises: Premises, name: str) -> None:
    await whole_call(premises, stt=name)


@pytest.mark.parametrize("name", LLM)
async def test_a_call_with_each_model(premises: Premises, name: str) -> None:
    await whole_call(premises, llm=name)


@pytest.mark.parametrize("name", TTS)
async def test_a_call_with_each_voice(premises: Premises, name: str) -> None:
    await whole_call(premises, tts=name)


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


async def test_a_call_in_which_each_stage_dies_once_is_finished_by_those_that_stand_in(premises: Premises) -> None:
    """The recogniser's socket breaks in the caller's word, the model's connection in its first, the voice stalls."""
    ears = [
        await premises.serve(fake_deepgram, "deepgram", behaviour="cut", **HEARS),
        await premises.serve(fake_assemblyai, "assemblyai", **HEARS),
    ]
    mind = [
        await premises.serve(fake_openai, "openai", answers=[Cut([]), Text(["not me"])]),
        await premises.serve(fake_anthropic, "anthropic", answers=[anthropic_server.Text(["Hello", " there."])]),
    ]
    mouth = [
        await premises.serve(fake_elevenlabs, "elevenlabs", behaviour="stall"),
        await premises.serve(fake_deepgram_speak, "deepgram"),
    ]
    leg = await premises.call(ears, mind, mouth)
    assert premises.said() == (["goodbye"], ["Hello there."])
    assert longest_silence(leg) < 4.0
