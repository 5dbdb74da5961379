"""From YAML to tools."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from voxtrad.config.loader import load
from voxtrad.outbound.client import OutboundClient
from voxtrad.providers.base import JSON, ToolSpec
from voxtrad.providers.registry import provider_types
from voxtrad.tools.base import CallActions, Declared, Outcome, Proceed, Tool, ToolContext, ToolOptions
from voxtrad.tools.http import BadRequestTemplate
from voxtrad.tools.limits import Limited
from voxtrad.tools.registry import build_tools, mcp_server
from voxtrad.tools.webhook import WebhookTool

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

Build = Callable[..., Mapping[str, Tool]]


@pytest.fixture
def build(tmp_path: Path, client: OutboundClient) -> Build:
    def build(tools: str, names: str, built: dict[str, Tool] | None = None) -> Mapping[str, Tool]:
        path = tmp_path / "voxtrad.yaml"
        path.write_text(
            "agents: {support: {stt: sphinx, llm: {provider: scripted, rules: [], otherwise: a}, tts: espeak,"
            " handler: a.b:c, variables: {city: Cork}, tools: [" + names + "]}}\n"
            "destinations: {billing: {dial: PJSIP/1, description: invoices}, sales: {continue: {}}}\n"
            "tools:\n" + textwrap.indent(textwrap.dedent(tools).replace("SECRET", SECRET), "  ")
        )
        config = load(path, provider_types=provider_types(), environment={}, not_yet=()).config
        return build_tools(config, config.agents["support"], client=client, built=built)

    return build


async def test_a_webhook_with_everything(build: Build) -> None:
    tool = build(
        """
        lookup:
          description: Fetch an order.
          parameters: {id: {type: string, required: true}}
          webhook: {url: "http://127.0.0.1:9/x", secret: [SECRET, SECRET]}
          fixed: {caller: "{{ call.from }}"}
          timeout: 3s
          say: One moment, {{ vars.city }}.
          when: vars.city
          sequential: true
          confirm: true
        """,
        "lookup",
    )["lookup"]
    assert isinstance(tool, WebhookTool)
    assert (tool.spec.name, tool.spec.description) == ("lookup", "Fetch an order.")
    assert tool.spec.parameters["required"] == ["id"]
    options = tool.options
    assert (options.timeout, options.sequential, options.confirm) == (3.0, True, True)
    assert options.say is not None and options.say.render(vars={"city": "Cork"}) == "One moment, Cork."
    assert options.fixed is not None and options.fixed.render(call={"from": "1"}) == {"caller": "1"}
    assert options.when is not None and options.when.holds(vars={"city": "Cork"})


async def test_each_kind_is_made(build: Build) -> None:
    tools = build(
        """
        plain: {description: a, webhook: {url: "http://127.0.0.1:9/x", secret: SECRET}}
        weather: {description: b, http: {url: "https://api.example/{{ args.city }}", headers: {X: "1"}, select: a.b},
                  parameters: {city: {type: string}}}
        mine: {description: c}
        human: {builtin: transfer, destinations: [billing]}
        anywhere: {builtin: transfer}
        pin: {builtin: collect_digits, length: 4, sensitive: true, terminator: null}
        note: {builtin: set_variable, variables: [city]}
        mailbox: {builtin: voicemail, continue: {context: vm, extension: 100}}
        jingle: {builtin: play, media: "https://files.example/a.wav"}
        monkeys: {builtin: play, media: "sound:tt-monkeys"}
        """,
        "plain, weather, mine, human, anywhere, pin, note, mailbox, jingle, monkeys, end_call, send_dtmf, wait",
    )
    assert list(tools) == [tool.spec.name for tool in tools.values()]
    assert len(tools) == 13
    assert isinstance(tools["mine"], Declared)
    assert "['billing']" in str(tools["human"].spec.parameters) and "invoices" in str(tools["human"].spec.parameters)
    assert "['billing', 'sales']" in str(tools["anywhere"].spec.parameters)
    assert tools["pin"].options.sensitive and tools["pin"].options.timeout == 30
    for tool in tools.values():
        assert tool.spec.description


async def test_what_is_fixed_no_model_sees(build: Build) -> None:
    given = (
        "parameters: {id: {type: string, required: true}, caller: {type: string, required: true}}, fixed: {caller: x}"
    )
    tools = build(
        f"""
        lookup: {{description: a, webhook: {{url: "http://127.0.0.1:9/x", secret: SECRET}}, {given}, concurrency: 2}}
        weather: {{description: b, http: {{url: "https://api.example/"}}, {given}}}
        mine: {{description: c, {given}}}
        human: {{builtin: transfer, fixed: {{destination: billing}}, concurrency: 2}}
        note: {{builtin: set_variable, variables: [city], fixed: {{name: city}}}}
        """,
        "lookup, weather, mine, human, note",
    )
    for name in ("lookup", "weather", "mine"):
        parameters = tools[name].spec.parameters
        assert parameters["properties"] == {"id": {"type": "string"}}, name
        assert list(parameters["required"]) == ["id"], name
    assert tools["human"].spec.parameters["properties"] == {}
    assert list(tools["note"].spec.parameters["properties"]) == ["value"]


async def test_voicemail_leads_where_the_configuration_says(
    build: Build, context: Callable[..., ToolContext], caller: Any
) -> None:
    tools = build("m: {builtin: voicemail, continue: {context: vm, extension: 100, priority: 2}}", "m")
    assert (await tools["m"].run({}, context(), caller)).then == Proceed("vm", "100", 2)


@pytest.mark.parametrize(
    ("tools", "error"),
    [
        ("x: {description: a, http: {url: 'https://h/{% if args %}{% endif %}'}}", BadRequestTemplate),
    ],
)
async def test_what_cannot_be_made(build: Build, tools: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        build(tools, "x")


async def test_agents_share_a_tool(build: Build) -> None:
    built: dict[str, Tool] = {}
    tools = "x: {description: a, concurrency: 2, webhook: {url: 'http://127.0.0.1:9/', secret: SECRET}}"
    first, second = build(tools, "x", built), build(tools, "x, end_call", built)
    assert first["x"] is second["x"]
    assert isinstance(first["x"], Limited)


async def test_concurrency(context: Callable[..., ToolContext], caller: CallActions) -> None:
    under_way: list[JSON] = []
    may_end: dict[JSON, asyncio.Event] = {n: asyncio.Event() for n in range(7)}

    class Busy:
        spec = ToolSpec("busy", "", {"type": "object"})
        options = ToolOptions()

        async def run(self, arguments: Mapping[str, JSON], context: ToolContext, actions: CallActions) -> Outcome:
            under_way.append(n := arguments["n"])
            await may_end[n].wait()
            under_way.remove(n)
            return Outcome(n)

    tool = Limited(Busy(), asyncio.Semaphore(2))

    async def everybody_had_a_chance() -> None:
        for _ in range(20):  # each step of a call is one round of the loop; nothing here waits for anything else
            await asyncio.sleep(0)

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        calls = [group.create_task(tool.run({"n": n}, context(), caller)) for n in range(7)]
        for n in range(7):
            await everybody_had_a_chance()
            assert under_way == list(range(7))[n : n + 2]  # in the order they came
            may_end[n].set()
    assert [call.result().result for call in calls] == list(range(7))


async def test_mcp_tools_come_and_go(tmp_path: Path, client: OutboundClient) -> None:
    path = tmp_path / "voxtrad.yaml"
    path.write_text(
        """
agents:
  support: {stt: sphinx, llm: {provider: scripted, rules: [], otherwise: a}, tts: espeak, tools: [end_call, crm]}
tools:
  crm: {mcp: {command: [crm-server, --stdio], env: {KEY: secret}, tools: [find]}, fixed: {a: b}, concurrency: 3}
"""
    )
    config = load(path, provider_types=provider_types(), environment={}, not_yet=()).config
    servers = {"crm": mcp_server(config.tools["crm"])}  # type: ignore[arg-type]  # it is one
    tools = build_tools(config, config.agents["support"], client=client, servers=servers)
    assert list(tools) == ["end_call"]
    servers["crm"].tools["crm_find"] = Declared(ToolSpec("crm_find", "", {}))
    assert set(tools) == {"end_call", "crm_find"}
    servers["crm"].tools.clear()
    assert "crm_find" not in tools
