"""Another agent takes a call over, as long as it may have one more."""

from __future__ import annotations

import asyncio
from pathlib import Path

from premises import Premises, asks, listens

from voxtrad.events.types import TransferCompleted, TransferFailed
from voxtrad.telephony.simulated import SimulatedLeg

AGENTS = """
server: {{listen: '127.0.0.1:0', data_dir: {data}, watch: false}}
x-common: &common
  stt: tones
  tts: tones
  vad: energy
  turn: {{min_silence: 0.3s}}
  interrupt: {{enabled: false}}
  idle: {{after: 60s}}
  filler: []
routes: [{{to: "2", agent: b}}, {{agent: a}}]
agents:
  a:
    <<: *common
    greeting: "1"
    tools: [transfer]
    llm: {{provider: scripted, rules: [{{match: order, tool: transfer, arguments: {{destination: b}}, on_error: "6"}}]}}
  b: {{<<: *common, greeting: "3", max_calls: 1, llm: {{provider: scripted, rules: [], otherwise: "4"}}}}
destinations: {{b: {{agent: b}}}}
"""


async def test_an_agent_takes_over_no_more_calls_than_it_may_have(tmp_path: Path) -> None:
    premises = Premises(tmp_path)
    premises.path.write_text(AGENTS.format(data=tmp_path / "data"), encoding="utf-8")
    async with premises.open():
        talking, finish = asyncio.Event(), asyncio.Event()

        async def stays(leg: SimulatedLeg) -> None:
            await listens(leg)
            talking.set()
            await finish.wait()

        first = asyncio.create_task(premises.call(stays, dialled="2"))
        async with asyncio.timeout(30):
            await talking.wait()
        assert (await premises.call(asks("7"))).digits == "16", "the other agent is busy, and the caller is told"
        assert [event.outcome for event in premises.events if isinstance(event, TransferFailed)] == ["busy"]
        finish.set()
        assert (await first).digits == "3"

        assert (await premises.call(asks("7"))).digits == "13", "now it takes the call over"
        assert [event.outcome for event in premises.events if isinstance(event, TransferCompleted)] == ["answered"]
        assert (await premises.call(listens, dialled="2")).digits == "3", "and has room again once that is over"
