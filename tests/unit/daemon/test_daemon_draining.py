"""A server that stops: how long live calls may still take, and what they are told when that is over."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.unit.api.running_server import running, write_config
from tests.unit.api.test_api_phone import phone
from voxtrad.events.types import AgentSpeechEnded, CallEnded
from voxtrad.leg import LegInfo
from voxtrad.switchboard import Switchboard
from voxtrad.telephony.simulated import SimulatedLeg


async def test_the_time_counts_from_the_first_request_to_drain(tmp_path: Path) -> None:
    """As in a pod that is replaced: first `voxtrad drain`, and when that has waited, SIGTERM."""
    async with running(write_config(tmp_path)) as house:
        core, loop, ahead = house.server.core, asyncio.get_running_loop(), 0.0
        board = Switchboard(
            core.roster,
            publish=core.bus.publish,
            clock=lambda: loop.time() + ahead,
            on_rejected=lambda why: None,
        )

        async def listens(leg: SimulatedLeg) -> None:
            await asyncio.Event().wait()

        info = LegInfo(id="1.1", channel="PJSIP/100-1", caller="100", dialled="1000", linkedid="1.1")
        taking = asyncio.create_task(board.take(SimulatedLeg(info, listens, rate=8000, clock=loop.time)))
        await house.happened(AgentSpeechEnded)
        board.take_no_more()
        ahead = 3500.0
        board.take_no_more()
        draining = asyncio.create_task(board.drain(3600.0))
        await asyncio.sleep(0)
        assert board.calls and not draining.done(), "a hundred seconds are left"
        draining.cancel()
        ahead = 3601.0
        async with asyncio.timeout(30):
            assert await board.drain(3600.0) is False
            await taking
        assert not board.calls
        (ended,) = [event for event in house.events if isinstance(event, CallEnded)]
        assert (ended.outcome, ended.reason) == ("failed", "the server stops")


async def test_told_twice_to_stop_a_test_phone_s_call_is_ended_too(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    config.write_text(config.read_text().replace("drain_timeout: 2s", "drain_timeout: 1h"))
    async with running(config) as house:
        async with phone(house) as page:
            await page.hears("audio")
            house.server.stop()
            house.server.stop()
            await page.hears("ended")
        await house.happened(CallEnded)
        (ended,) = [event for event in house.events if isinstance(event, CallEnded)]
        assert (ended.outcome, ended.reason) == ("failed", "the server stops")
