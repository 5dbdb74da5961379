"""A call that is cancelled at any moment gives back what it counted for: room for calls, and its configuration."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from stage import RATE, LoudIsSpeech, Model, Recogniser, Synthesis, agent_config, tone

from voxtrad.conversation.dialogue import converse
from voxtrad.conversation.plan import Plan, Providers
from voxtrad.conversation.speech_cache import SpeechCache
from voxtrad.events.types import CallEnded, CallStarted, Event
from voxtrad.leg import Leg, LegInfo, Reach
from voxtrad.providers.base import JSON
from voxtrad.switchboard import Refused, Switchboard
from voxtrad.telephony.simulated import SimulatedLeg
from voxtrad.tools.runner import ToolRunner

pytestmark = pytest.mark.virtual_time

INFO = LegInfo(id="leg", channel="Simulated/1", caller="100", dialled="1000")
MOMENTS = [(seconds / 4, turns) for seconds in range(20) for turns in range(6)]
"""Seconds, and turns of the loop after them, until a call is cancelled."""


class Front:
    """One agent; finding it, and giving the configuration up, takes a few turns of the loop."""

    max_calls = 1

    def __init__(self, recordings: Path) -> None:
        self.live = 0
        self._recordings = recordings

    async def plan(self, call_id: str, leg: Leg) -> Plan:
        for _ in range(3):
            await asyncio.sleep(0)
        return self.plan_for("support", call_id, {})

    def plan_for(self, agent: str, call_id: str, variables: Mapping[str, JSON]) -> Plan:
        if agent != "support":
            raise KeyError(agent)
        return Plan(
            call_id=call_id,
            config=agent_config(name=agent, greeting="Good day.", record=True),
            providers=Providers(Recogniser(), Model(), Synthesis(), LoudIsSpeech()),
            dialogue=converse,
            kept=SpeechCache(None).voice,
            toolbox=lambda facts, actions, group: ToolRunner(
                {}, call=facts, actions=actions, group=group, publish=lambda event: None
            ),
            handover=_nowhere,
            variables=variables,
            recordings=self._recordings,
        )

    def begin(self) -> None:
        self.live += 1

    async def end(self) -> None:
        self.live -= 1
        for _ in range(3):
            await asyncio.sleep(0)


async def _nowhere(call: object, leg: Leg, name: str) -> None:
    raise AssertionError(name)


async def caller(leg: SimulatedLeg) -> None:
    leg.port.caller_says(tone(0.5))
    await asyncio.sleep(3.0)


@pytest.mark.parametrize("made", [False, True])
async def test_room_and_configuration_are_given_back(made: bool, tmp_path: Path) -> None:
    over = 0
    for seconds, turns in MOMENTS:
        events: list[Event] = []
        clock = asyncio.get_running_loop().time
        front = Front(tmp_path)
        board = Switchboard(front, publish=events.append, clock=clock, on_rejected=lambda why: None)
        leg = SimulatedLeg(INFO, caller, rate=RATE, clock=clock)

        @contextlib.asynccontextmanager
        async def connect(leg: SimulatedLeg = leg) -> AsyncIterator[Leg]:
            await asyncio.sleep(0.5)
            try:
                yield leg
            finally:
                await leg.release()

        async def make(board: Switchboard = board) -> None:
            async with board.placed("c_1", Reach(INFO, connect), "support", {}) as session:
                await board.make(session)

        work = asyncio.create_task(make() if made else board.take(leg))
        await asyncio.sleep(seconds)
        for _ in range(turns):
            await asyncio.sleep(0)
        assert len(board.calls) <= 1
        over += not work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
        await leg.release()
        assert not board.calls and not board.wrapping_up and not front.live, (seconds, turns)
        kinds = [type(event) for event in events]
        assert kinds.count(CallEnded) == kinds.count(CallStarted), (seconds, turns)
        assert await board.drain(0.0)
        with pytest.raises(Refused):
            async with board.placed("c_2", Reach(INFO, connect), "support", {}):
                raise AssertionError
        assert asyncio.all_tasks() == {asyncio.current_task()}
    assert 0 < over < len(MOMENTS)
