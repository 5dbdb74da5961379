"""Minutes in a call in which nothing is said: no connection is lost by it, by the rules of the vendors' servers."""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.fakes.line import Line
from tests.unit.providers.benches import EMBEDDED, LLM, STT, TTS
from voxtrad.providers.base import Message, Transcript

pytestmark = pytest.mark.virtual_time

PAUSES = [12.0, 70.0, 170.0]
"""Seconds."""
EACH = {"wyoming"}
"""Those whose protocol takes a connection for each utterance or sentence; the next is opened ahead."""


@pytest.fixture(autouse=True)
async def pools_see_the_pauses(monkeypatch):
    """Pools of connections look at the machine's own clock, which does not jump."""
    monkeypatch.setattr(time, "monotonic", asyncio.get_running_loop().time)


def networked(benches):
    return [name for name in benches if name not in EMBEDDED | EACH]


@pytest.mark.parametrize("name", networked(LLM))
async def test_a_model(name):
    async with Line() as line, LLM[name]("none", line) as llm:
        await llm.warm()
        for pause in PAUSES:
            await asyncio.sleep(pause)
            assert [event async for event in llm.stream([Message("user", "hello")])]
        assert line.connections == 1


@pytest.mark.parametrize("name", networked(TTS))
async def test_a_voice(name):
    async with Line() as line, TTS[name]("none", line) as tts:
        voice = await tts.open(rate=8000, language="en")
        for pause in PAUSES:
            await asyncio.sleep(pause)
            assert [chunk async for chunk in voice.synthesize("Yes, it is.")]
        assert line.connections == 1
        await voice.aclose()


@pytest.mark.parametrize("name", networked(STT))
async def test_a_recogniser(name):
    """It is given no audio: as one that hears speech only, and as all where others talk with the caller."""
    async with Line() as line, STT[name]("none", line) as stt:
        stream = await stt.open(rate=8000, language="en", hints=["goodbye"])
        events = stream.events()
        for pause in PAUSES:
            await asyncio.sleep(pause)
            for _ in range(60):
                await stream.send(b"\0\x20" * 160)
            await stream.finalize()
            async for event in events:
                if isinstance(event, Transcript) and event.final and event.text:
                    break
        assert line.connections == 1
        await stream.aclose()
