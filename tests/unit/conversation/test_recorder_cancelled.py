"""What is recorded follows what may be, whenever whoever asked for silence or for sound is cancelled."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from stage import agent_config

from voxtrad.conversation.recorder import Recorder
from voxtrad.conversation.report import Reporter
from voxtrad.events.types import Event, RecordingReady
from voxtrad.telephony.simulated import SimulatedLeg

STEPS = 40


class Tape:
    """A recording whose PBX takes a few turns of the loop for each change; whoever is not waited for is not heard."""

    def __init__(self) -> None:
        self.silent = False
        self.changing = False

    async def record(self, name: str) -> "Tape":
        return self

    async def pause(self) -> None:
        await self._change(True)

    async def resume(self) -> None:
        await self._change(False)

    async def _change(self, silent: bool) -> None:
        assert not self.changing, "one after the other"
        self.changing = True
        for _ in range(4):
            await asyncio.sleep(0)
        self.silent, self.changing = silent, False

    async def stop(self) -> None: ...

    async def save(self, path: Path) -> float:
        return 1.0

    async def discard(self) -> None: ...


async def keys(recorder: Recorder, tape: Tape) -> None:
    async with recorder.without("sensitive"):
        assert tape.silent
        await asyncio.sleep(0)


async def others(recorder: Recorder, tape: Tape) -> None:
    await recorder.others_talk(True)
    assert tape.silent
    await recorder.others_talk(False)


@pytest.mark.parametrize("work", [keys, others])
async def test_silence_ends_when_it_is_cancelled(work: Callable[[Recorder, Tape], Awaitable[None]]) -> None:
    for steps in range(STEPS):
        tape = Tape()
        leg: SimulatedLeg = tape  # type: ignore[assignment]  # all that a recorder needs of one
        clock = asyncio.get_running_loop().time
        reporter = Reporter("c_1", "a", publish=lambda event: None, clock=clock, providers={})
        recorder = Recorder(leg, Path("/nowhere"), reporter)
        await recorder.for_agent(agent_config(record=True), "ring")
        working = asyncio.ensure_future(work(recorder, tape))
        for _ in range(steps):
            await asyncio.sleep(0)
        working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working
        assert tape.silent == bool(recorder._reasons), steps
        if work is keys:
            assert not tape.silent, steps
        async with recorder.without("sensitive"):
            assert tape.silent, steps
        await recorder.others_talk(False)
        assert not tape.silent, steps


class AtThePbx(Tape):
    """It takes a few turns of the loop to be fetched, and to be deleted."""

    def __init__(self) -> None:
        super().__init__()
        self.there = True
        self.fetched = False

    async def record(self, name: str) -> "AtThePbx":
        return self

    async def save(self, path: Path) -> float:
        await self._change(False)
        self.fetched = True
        return 1.0

    async def discard(self) -> None:
        self.there = False
        await self._change(False)


async def test_a_recording_that_is_not_at_the_pbx_any_more_was_told() -> None:
    told = 0
    for steps in range(1, 12):
        tape = AtThePbx()
        leg: SimulatedLeg = tape  # type: ignore[assignment]
        clock = asyncio.get_running_loop().time
        events: list[Event] = []
        reporter = Reporter("c_1", "a", publish=events.append, clock=clock, providers={})
        recorder = Recorder(leg, Path("/nowhere"), reporter)
        await recorder.for_agent(agent_config(record=True), "ring")
        await recorder.stop()
        keeping = asyncio.create_task(recorder.keep())
        for _ in range(steps):
            await asyncio.sleep(0)
        keeping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping
        ready = [event for event in events if isinstance(event, RecordingReady)]
        assert len(ready) == 1 if not tape.there else not ready, steps
        told += len(ready)
    assert 0 < told < 11
