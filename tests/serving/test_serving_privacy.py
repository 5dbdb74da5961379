"""What is kept of a call: its log as its agent's `privacy` allows, and nowhere a number that nobody may keep."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
from aiohttp import web
from premises import Premises, listens
from process import COMMAND, ROOT

from tests.asterisk.tones import tones_of
from tests.figures import tells
from voxtrad.events.types import ToolCompleted
from voxtrad.ledger.queries import show_call
from voxtrad.ledger.sensitive import HIDDEN
from voxtrad.telephony.simulated import SimulatedLeg

NUMBER = "442079460958"
CONFIG = """\
server: {{data_dir: ./data}}
agents:
  a: {{stt: sphinx, llm: scripted, tts: espeak, greeting: Hello., idle: {{after: 0.5s, say: ["Still there?"], max: 1}},
      privacy: {privacy}}}
"""


@pytest.mark.parametrize(("privacy", "shown"), [("full", "44207…58"), ("redacted", "*****…58"), ("none", "(hidden)")])
async def test_the_callers_number_in_the_log(tmp_path: Path, privacy: str, shown: str) -> None:
    (tmp_path / "voxtrad.yaml").write_text(CONFIG.format(privacy=privacy), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", COMMAND, "call", "a", "-v", "--from", NUMBER, "-c", "voxtrad.yaml",
        cwd=tmp_path, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    async with asyncio.timeout(60):
        _, log = await process.communicate()
    said = log.decode()
    assert process.returncode == 0, said
    assert shown in said and NUMBER not in said
    assert "privacy" not in said


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
    tools: [pin, pay]
    variables: {{pin: null}}
    llm:
      provider: scripted
      rules:
        - {{match: 'order 1$', tool: pin, say: "5"}}
        - {{match: 'order 2$', tool: pay, say: "{{{{ result.paid }}}}"}}
tools:
  pin: {{builtin: collect_digits, length: 4, sensitive: true}}
  pay:
    description: Pay.
    webhook: {{url: "{url}", secret: whsec_dGhlIHNlY3JldCBvZiB0aGUgdGVzdHMnIGNvbXBhbnk=}}
    fixed: {{pin: "{{{{ vars.pin }}}}"}}
"""


async def test_a_sensitive_number_that_a_webhook_answers_with_is_in_no_event_and_no_record(tmp_path: Path) -> None:
    got: list[str] = []

    async def pay(request: web.Request) -> web.Response:
        pin = (await request.json())["data"]["tool"]["arguments"]["pin"]
        got.append(pin)
        return web.json_response({"result": {"paid": 6, "with": pin, "as a number": int(pin), "text": f"pin {pin}."}})

    app = web.Application()
    app.router.add_post("/", pay)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    premises = Premises(tmp_path)
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    premises.path.write_text(AGENT.format(data=tmp_path / "data", url=url), encoding="utf-8")

    async def script(leg: SimulatedLeg) -> None:
        await listens(leg)
        await leg.say(tones_of("1"))
        (session,) = premises.server.core.switchboard.calls.values()
        await leg.until(lambda: session.call is not None and session.call.collecting)
        for key in "4711":
            leg.press(key)
        await listens(leg)
        await leg.say(tones_of("2"))
        await listens(leg)

    async with premises.open():
        heard = await premises.call(script)
        call_id = premises.events[0].call_id
        record = await premises.server.ledger.read(lambda db: show_call(db, call_id=call_id))
    await runner.cleanup()
    assert got == ["4711"] and heard.digits == "156"
    (_, paid) = [event for event in premises.events if isinstance(event, ToolCompleted)]
    assert paid.result == {"paid": 6, "with": HIDDEN, "as a number": HIDDEN, "text": f"pin {HIDDEN}."}
    assert not any(tells("4711", repr(event)) for event in premises.events)
    assert record is not None and HIDDEN in str(record) and not tells("4711", str(record))
