"""`voxtrad chat`: an agent in text, in a process of its own, with tools that are asked over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from standardwebhooks import Webhook

from tests.figures import tells

ROOT = Path(__file__).parents[3]
COMMAND = "import sys; from voxtrad.cli.main import main; sys.exit(main())"
SECRET = "whsec_dGhlIHNlY3JldCBvZiB0aGUgY2hhdCB0ZXN0cyAhIQ=="
CONFIG = """
server: {{data_dir: ./data}}
lookup: {{webhook: {{url: "{url}/lookup", secret: {secret}}}}}
agents:
  desk:
    greeting: "Hello {{{{ vars.name }}}}."
    variables: {{name: null, pin: null}}
    stt: sphinx
    tts: espeak
    tools: [order, pin, to, end_call, voicemail]
    llm:
      provider: scripted
      rules:
        - {{match: 'order (?P<id>\\w+)', tool: order, arguments: {{id: "{{{{ match.id }}}}"}}, say: "It is {{{{ result.status }}}}."}}
        - {{match: code, tool: pin, say: "Thank you."}}
        - {{match: 'bye', say: "Goodbye.", tool: end_call}}
        - {{match: 'message', tool: voicemail}}
        - {{match: 'to (?P<where>\\w+)', tool: to, arguments: {{destination: "{{{{ match.where }}}}"}}}}
      otherwise: "You said nothing I know."
  sales: {{stt: sphinx, tts: espeak, greeting: "Sales.", llm: {{provider: scripted, otherwise: "I sell."}}}}
  own: {{stt: sphinx, tts: espeak, llm: scripted, handler: "calls:talk"}}
tools:
  order: {{description: x, parameters: {{id: {{type: string, required: true}}}}, webhook: {{url: "{url}/order", secret: {secret}}}}}
  pin: {{builtin: collect_digits, length: 4, sensitive: true}}
  to: {{builtin: transfer}}
  voicemail: {{builtin: voicemail, continue: {{context: vm, extension: "99"}}}}
destinations:
  reception: {{dial: Local/200@office, mode: attended}}
  billing: {{continue: {{context: office, extension: "600", priority: 1}}}}
  sales: {{agent: sales}}
"""  # noqa: E501


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Path]:
    """A configuration whose tool and lookup are served."""

    async def order(request: web.Request) -> web.Response:
        asked = Webhook(SECRET).verify(await request.text(), dict(request.headers))
        if asked["data"]["tool"]["arguments"]["id"] == "slip":
            return web.json_response({"status": "on its way"})
        return web.json_response({"result": {"status": f"{asked['data']['tool']['arguments']['id']} is on its way"}})

    async def lookup(request: web.Request) -> web.Response:
        asked = Webhook(SECRET).verify(await request.text(), dict(request.headers))["data"]["call"]
        if asked["from"] == "666":
            return web.json_response({"reject": True})
        return web.json_response({"variables": {"name": "Ann"}})

    app = web.Application()
    app.router.add_post("/order", order)
    app.router.add_post("/lookup", lookup)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = "http://{}:{}".format(*runner.addresses[0][:2])
    (tmp_path / "voxtrad.yaml").write_text(CONFIG.format(url=url, secret=SECRET), encoding="utf-8")
    (tmp_path / "calls.py").write_text("async def talk(call): ...\n", encoding="utf-8")
    yield tmp_path
    await runner.cleanup()


async def chat(folder: Path, *typed: str, agent: str = "desk", options: tuple[str, ...] = ()) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", COMMAND, "chat", agent, "-c", "voxtrad.yaml", *options, cwd=folder,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    async with asyncio.timeout(60):
        output, _ = await process.communicate("".join(f"{line}\n" for line in typed).encode())
    assert "Traceback" not in output.decode()
    return process.returncode or 0, output.decode()


async def records(folder: Path, *typed: str) -> list[dict[str, Any]]:
    code, said = await chat(folder, *typed, options=("--json",))
    assert code == 0, said
    return [json.loads(line) for line in said.splitlines()]


async def test_what_is_wrong_with_a_tools_answer_is_shown(folder: Path) -> None:
    _, said = await chat(folder, "order slip")
    assert "the answer has none of action, error, result, say, variables" in said


async def test_a_conversation_with_its_tools(folder: Path) -> None:
    code, said = await chat(folder, "order A17", "", "what?", "bye", "more")
    lines = [line.rstrip() for line in said.splitlines()]
    assert (code, [line for line in lines if " ms: " not in line]) == (0, [
        "agent    Hello Ann.",
        "caller   order A17",
        "tool     order(id='A17')",
        "agent    It is A17 is on its way.",
        "caller",
        "caller   what?",
        "agent    You said nothing I know.",
        "caller   bye",
        "agent    Goodbye.",
        "tool     end_call()",
        "→        the agent hangs up",
    ])  # fmt: skip
    assert any(line.startswith("tool     order: ok in ") and '"status"' in line for line in lines)


async def test_it_ends_with_the_input(folder: Path) -> None:
    assert await chat(folder) == (0, "agent    Hello Ann.\ncaller   \n")


async def test_for_programs(folder: Path) -> None:
    told = await records(folder, "order A17")
    assert [one["who"] for one in told] == ["agent", "caller", "tool", "tool", "agent"]
    assert (told[2]["arguments"], told[3]["outcome"]) == ({"id": "A17"}, "ok")
    assert told[4]["text"] == "It is A17 is on its way."


@pytest.mark.parametrize(
    ("typed", "note"),
    [
        ("to reception", "to reception: Local/200@office is called (attended)"),
        ("to billing", "the call goes on in the dialplan, at office,600,1"),
        ("a message", "the call goes on in the dialplan, at vm,99"),
    ],
)
async def test_where_a_call_would_go_is_told(folder: Path, typed: str, note: str) -> None:
    told = await records(folder, typed, "and then?")
    assert told[-1] == {"who": "note", "text": note}


async def test_another_agent_takes_over(folder: Path) -> None:
    told = await records(folder, "to sales", "hello")
    told = [one for one in told if one["who"] != "tool"]
    assert [one["text"] for one in told[2:]] == ["to sales: the agent 'sales' takes over", "Sales.", "hello", "I sell."]


async def test_a_destination_that_is_not_there_leaves_everything_as_it_is(folder: Path) -> None:
    told = await records(folder, "to nowhere", "bye")
    assert told[-1]["text"] == "the agent hangs up"
    assert [one["who"] for one in told].count("error") == 1, told


async def test_keys_are_typed_and_stay_secret(folder: Path) -> None:
    told = await records(folder, "code", "12x34 5")
    assert {"who": "note", "text": "type keys, 4 at most, up to #"} in told
    assert [one["result"] for one in told if "result" in one] == [None], "a sensitive one says nothing"
    assert not tells("1234", json.dumps([one for one in told if one["who"] == "tool"]))


async def test_who_cannot_be_talked_to(folder: Path) -> None:
    code, said = await chat(folder, agent="dsek")
    assert (code, said) == (1, "voxtrad: there is no agent 'dsek'\n         did you mean 'desk'?\n")
    code, said = await chat(folder, agent="own")
    assert (code, said.splitlines()[1]) == (1, "         voxtrad call own")
    code, said = await chat(folder, options=("--from", "666"))
    assert (code, "the call is not taken: rejected" in said) == (1, True)
