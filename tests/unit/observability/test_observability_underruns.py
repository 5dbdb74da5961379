"""A gap in the middle of a sentence is told, and nothing else is: the mouth on a simulated line, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from voxtrad.conversation.speaker import Speaker
from voxtrad.conversation.speech_cache import SpeechCache
from voxtrad.providers.base import SpeechChunk
from voxtrad.telephony.simulated import SimulatedPort

pytestmark = pytest.mark.virtual_time
HALF_SECOND = bytes(8000)


@dataclass
class Voice:
    """Gives half a second of audio, again after `stall` seconds, for every sentence; `before` each it takes a while."""

    stall: float
    before: float = 0.0

    async def synthesize(self, text: str) -> AsyncIterator[SpeechChunk]:
        await asyncio.sleep(self.before)
        yield SpeechChunk(HALF_SECOND)
        await asyncio.sleep(self.stall)
        yield SpeechChunk(HALF_SECOND)

    async def aclose(self) -> None:
        pass


class Audience:
    def __init__(self) -> None:
        self.starved = 0

    async def agent_audible(self, interruptible: bool) -> None:
        pass

    async def agent_filled(self) -> None:
        pass

    async def agent_played(self, text: str) -> None:
        pass

    def agent_starved(self) -> None:
        self.starved += 1


async def speak(voice: Voice, text: str, *, pause: float | None = None) -> int:
    """How often the caller heard a gap in the middle of a sentence."""
    loop, audience = asyncio.get_running_loop(), Audience()
    port = SimulatedPort(8000, loop.time)
    moving = asyncio.create_task(port.run())
    kept = SpeechCache(None).voice("none", "en", 8000)
    speaker = Speaker(port, voice, language="en", kept=kept, audience=audience, clock=loop.time)
    saying = asyncio.create_task(speaker.say(text))
    if pause is not None:
        await asyncio.sleep(pause)
        await speaker.pause()
        await asyncio.sleep(1.0)
        await speaker.resume()
    await saying
    await port.close()
    await moving
    return audience.starved


@pytest.mark.parametrize(
    ("case", "gaps"),
    [
        ({"voice": Voice(stall=0.0)}, 0),
        ({"voice": Voice(stall=0.3)}, 0),
        ({"voice": Voice(stall=0.9)}, 1),
        ({"voice": Voice(stall=0.0, before=2.0)}, 0),
        ({"voice": Voice(stall=0.3), "pause": 0.2}, 0),
        ({"voice": Voice(stall=0.9), "pause": 0.2}, 0),
    ],
    ids=["at once", "in time", "late", "late between sentences", "in time, and paused", "late, but paused meanwhile"],
)
async def test_gaps(case: dict[str, Any], gaps: int) -> None:
    assert await speak(text="This is one sentence. Here is another one.", **case) == gaps
