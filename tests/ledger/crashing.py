"""A process that takes calls and delivers their events until it is killed.

`python crashing.py DATA_DIR calls|drain URL URL`: the first URL is sent everything, the second what happens to calls;
`drain` takes no calls and ends when all is delivered.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

from tests.ledger.support import SECRET, WHO, ended, house, said, started
from voxtrad.events.types import AgentSpeechStarted, CallAnalyzed, Decision, RecordingReady
from voxtrad.ledger.ledger import Ledger
from voxtrad.outbound.delivery import Endpoint


async def call(ledger: Ledger) -> None:
    call_id = f"c_{random.getrandbits(64):x}"
    who = WHO | {"call_id": call_id}
    ledger.record(started(call_id))
    for number in range(random.randrange(8)):
        await asyncio.sleep(random.expovariate(100))
        ledger.record(AgentSpeechStarted(**who))
        ledger.record(Decision(**who, at=float(number), what="end_turn", reason="silence"))
        ledger.record(said(f"turn {number}", call_id))
    await asyncio.sleep(random.expovariate(50))
    ledger.record(ended(call_id))
    await asyncio.sleep(random.expovariate(50))  # its recording is fetched, its transcript analysed
    if random.random() < 0.7:
        ledger.record(RecordingReady(**who, location=f"/v1/calls/{call_id}/recording", seconds=1.0))
    if random.random() < 0.7:
        ledger.record(CallAnalyzed(**who, summary="a call", fields={}, success=None, reason=""))


async def main(data_dir: Path, what: str, everything: str, calls: str) -> None:
    endpoints = (Endpoint("all", everything, (SECRET,), ("*",)), Endpoint("calls", calls, (SECRET,), ("call.*",)))
    async with house(data_dir, *endpoints) as here:
        print("ready", flush=True)
        if what == "drain":
            await here.settled()
            return
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(call(here.ledger))
                await asyncio.sleep(random.expovariate(100))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), *sys.argv[2:5]))
