"""A back-end in another language, written from the documentation alone: its tools work on whole calls."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import playwright
import pytest
from premises import Premises, listens

from tests.asterisk.tones import tones_of
from voxtrad.events.types import AgentResponse
from voxtrad.telephony.simulated import SimulatedLeg

BACK_END = Path(__file__).with_name("back_end.cjs")
NODE = Path(playwright.__file__).with_name("driver") / "node"
"""The Node that drives the browser of other tests: it is wherever the tests are."""
SECRET = "whsec_dGhlIHNlY3JldCBvZiB0aGUgdGVzdHMnIGNvbXBhbnk="
AGENT = """
server: {{listen: '127.0.0.1:0', data_dir: {data}, watch: false}}
agents:
  a:
    greeting: "1"
    stt: tones
    tts: tones
    vad: energy
    turn: {{min_silence: 0.3s}}
    interrupt: {{enabled: false}}
    idle: {{after: 60s}}
    filler: []
    variables: {{city: null}}
    tools: [busy, slow]
    llm:
      provider: scripted
      rules:
        - {{match: 'order 1$', tool: busy, say: "{{{{ result.parcels }}}}", on_error: "9"}}
        - {{match: 'order 2$', tool: slow, say: "{{{{ result.parcels }}}}", on_error: "9"}}
tools:
  busy:
    description: Look it up.
    webhook: {{url: "http://127.0.0.1:{port}/", secret: {secret}}}
    fixed: {{where: Köln}}
    idempotent: true
  slow:
    description: Look it up, and take your time.
    webhook: {{url: "http://127.0.0.1:{port}/", secret: {secret}}}
    fixed: {{where: "{{{{ vars.city }}}}"}}
"""


@pytest.fixture
async def node() -> AsyncIterator[asyncio.StreamReader]:
    """The back-end's output, the port first."""
    process = await asyncio.create_subprocess_exec(NODE, str(BACK_END), SECRET, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    yield process.stdout
    process.kill()
    await process.wait()


async def test_a_back_end_in_node_answers_at_the_second_try_and_later(
    tmp_path: Path, node: asyncio.StreamReader
) -> None:
    premises = Premises(tmp_path)
    text = AGENT.format(data=tmp_path / "data", port=int(await node.readline()), secret=SECRET)
    premises.path.write_text(text, encoding="utf-8")

    async def script(leg: SimulatedLeg) -> None:
        await listens(leg)
        for digit in ("1", "2"):
            await leg.say(tones_of(digit))
            await listens(leg)
        await leg.until(lambda: sum(isinstance(event, AgentResponse) for event in premises.events) == 4)

    async with asyncio.timeout(60), premises.open():
        heard = await premises.call(script)
    lines = [json.loads(await node.readline()) for _ in range(8)]
    first, second, third, *later = lines
    assert heard.digits == "1758"
    assert [line["attempt"] for line in (first, second, third)] == [1, 2, 1]
    assert first["id"] == second["id"] != third["id"] and first["same"] and second["same"] and third["same"]
    assert first["type"] == "tool.call" and [line["given"] for line in (first, third)] == [{"where": "Köln"}] * 2
    assert [line["later"] for line in later] == [422, 404, 415, 204, 404], "only what is taken uses the token up"
    assert {line["type"] for line in later if line["later"] != 204} == {"application/problem+json; charset=utf-8"}
