"""A hundred reloads while somebody is told something by telephone: not a tone is lost; the next call has the change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from office import Company, Office, configuration, working
from pbx import Pbx, PbxAri
from sipcaller import sip_caller
from tones import digits_in

from voxtrad.events.types import CallEnded, CallStarted

pytestmark = pytest.mark.asterisk
LONG = "1234567890" * 4
AGENT = """
    greeting: "{greeting}"
    stt: tones
    tts: tones
    vad: energy
    interrupt: {{enabled: false}}
    llm: {{provider: scripted, otherwise: "0"}}
"""


@pytest.fixture
async def company() -> AsyncIterator[Company]:
    async with Company().open() as company:
        yield company


@pytest.mark.parametrize("transport", ["websocket", "audiosocket"])
async def test_the_caller_hears_every_tone(
    pbx: Pbx, ari: PbxAri, company: Company, tmp_path: Path, transport: str
) -> None:
    def write(greeting: str) -> Path:
        return configuration(pbx, company, tmp_path, AGENT.format(greeting=greeting), transport=transport)

    async def reload(office: Office) -> None:
        for count in range(100):
            write(str(count % 10) * 3)
            result = await office.server.reloader.reload("the test")
            assert result.ok, result.errors
            assert result.restart == ()

    async with working(write(LONG)) as office:
        async with sip_caller(pbx) as caller:
            await caller.dial("1000")
            await caller.hears(lambda samples: len(digits_in(samples)) >= 2)
            reloading = asyncio.create_task(reload(office))
            heard = await caller.hears(lambda samples: len(digits_in(samples)) >= len(LONG))
            await reloading
            assert digits_in(heard) == LONG
            await caller.hang_up()
        await office.next(CallEnded)
        async with sip_caller(pbx) as caller:
            await caller.dial("1000")
            await caller.hears(lambda samples: digits_in(samples) == "999")
            await caller.hang_up()
        await office.next(CallEnded, 2)
        await ari.nothing_left()


async def test_a_route_on_a_new_channel_variable_is_in_effect_for_the_next_call(
    pbx: Pbx, ari: PbxAri, company: Company, tmp_path: Path
) -> None:
    """The dialplan sets TIER all along; the server reads it of the channel once a route asks for it."""
    path = configuration(pbx, company, tmp_path, AGENT.format(greeting="123"))
    async with working(path) as office:

        async def taken_by(count: int) -> str:
            async with sip_caller(pbx) as caller:
                await caller.dial("1002")
                started = await office.next(CallStarted, count)
                await caller.hang_up()
            await office.next(CallEnded, count)
            assert isinstance(started, CallStarted)
            return started.agent

        assert await taken_by(1) == "support"
        text = path.read_text(encoding="utf-8")
        gold = f"  gold:{AGENT.format(greeting='456')}"
        text = text.replace("routes:\n", "routes:\n  - {variables: {TIER: gold}, agent: gold}\n")
        path.write_text(text.replace("agents:\n", f"agents:\n{gold}"), encoding="utf-8")
        result = await office.server.reloader.reload("the test")
        assert result.ok, result.errors
        assert await taken_by(2) == "gold"
        await ari.nothing_left()
