"""A whole call with a tool that answers later: 202 first, then the result by the callback that it was given."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from premises import Premises, listens

from tests.asterisk.tones import tones_of
from voxtrad.events.types import CallEnded, TurnEnded
from voxtrad.telephony.simulated import SimulatedLeg

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
    tools: [look_up]
    llm:
      provider: scripted
      rules: [{{match: order, tool: look_up, say: "{{{{ result.parcels }}}}", on_error: "9"}}]
tools:
  look_up:
    description: Look it up.
    webhook: {{url: "{url}", secret: whsec_dGhlIHNlY3JldCBvZiB0aGUgdGVzdHMnIGNvbXBhbnk=}}
"""


class BackEnd:
    """Takes the work on with 202, and posts the result when it is told to."""

    def __init__(self) -> None:
        self.url = ""
        self.callback: dict[str, str] = {}

    async def take(self, request: web.Request) -> web.Response:
        self.callback = (await request.json())["data"]["callback"]
        return web.json_response({"say": "5"}, status=202)

    async def post(self, body: dict[str, Any]) -> int:
        headers = {"Authorization": f"Bearer {self.callback['token']}"}
        async with (
            aiohttp.ClientSession() as http,
            http.post(self.callback["url"], json=body, headers=headers) as answer,
        ):
            return answer.status


@pytest.fixture
async def back_end() -> AsyncIterator[BackEnd]:
    back_end = BackEnd()
    app = web.Application()
    app.router.add_post("/", back_end.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    back_end.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    yield back_end
    await runner.cleanup()


@pytest.mark.parametrize(
    ("body", "digits", "outcome"),
    [
        ({"result": {"parcels": 7}}, "157", "caller_hangup"),
        ({"error": {"message": "lost"}}, "159", "caller_hangup"),
        ({"result": {}, "say": "8", "action": {"end_call": True}}, "158", "completed"),
    ],
)
async def test_the_result_is_told_when_it_comes_though_nobody_asks(
    tmp_path: Path, back_end: BackEnd, body: dict[str, Any], digits: str, outcome: str
) -> None:
    premises = Premises(tmp_path)
    premises.path.write_text(AGENT.format(data=tmp_path / "data", url=back_end.url), encoding="utf-8")
    posted: list[int] = []

    async def script(leg: SimulatedLeg) -> None:
        await listens(leg)
        await leg.say(tones_of("3"))
        await listens(leg)
        posted.append(await back_end.post(body))
        posted.append(await back_end.post(body))
        await listens(leg)

    async with premises.open():
        heard = await premises.call(script)
    assert posted == [204, 404], "the token is good for one answer"
    assert heard.digits == digits
    (ended,) = [event for event in premises.events if isinstance(event, CallEnded)]
    assert ended.outcome == outcome
    assert len([event for event in premises.events if isinstance(event, TurnEnded)]) == 1
