"""Whole calls with a Python handler of one's own: the example of the reference, and handlers that are broken."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from premises import Premises, asks

from voxtrad.config.diagnostics import ConfigError
from voxtrad.events.types import AgentResponse, CallEnded, ErrorOccurred, ToolCalled, ToolCompleted

REFERENCE = Path(__file__).parents[2] / "voxtrad" / "config" / "reference.md"
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
    filler: []
    apology: "99"
    handler: {handler}
    tools: [look_up, end_call]
    llm:
      provider: scripted
      rules:
        - {{match: 'order 5', tool: end_call, say: "5"}}
        - match: 'order (?P<digits>\\d+)'
          tool: look_up
          arguments: {{order_id: "{{{{ match.digits }}}}"}}
          say: "It is {{{{ result.status }}}}, in {{{{ result.parcels }}}} parcels."
          on_error: "88"
tools:
  look_up: {{description: Fetch an order., parameters: {{order_id: {{type: string, maxLength: 4, required: true}}}}}}
"""


@pytest.fixture
def premises(tmp_path: Path) -> Iterator[Premises]:
    """Modules found beside its configuration are forgotten afterwards."""
    modules, path = set(sys.modules), list(sys.path)
    yield Premises(tmp_path)
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def write(premises: Premises, handler: str, **modules: str) -> None:
    folder = premises.path.parent
    premises.path.write_text(AGENT.format(data=folder / "data", handler=handler), encoding="utf-8")
    for name, code in modules.items():
        (folder / f"{name}.py").write_text(code, encoding="utf-8")


def example() -> str:
    (code,) = re.findall(
        r"```python\n(from voxtrad\.conversation\.call.*?)```", REFERENCE.read_text("utf-8"), re.DOTALL
    )
    return str(code)


async def test_the_example_of_the_reference(premises: Premises, capsys: pytest.CaptureFixture[str]) -> None:
    write(premises, "orders:handle", orders=example())
    async with premises.open():
        assert (await premises.call(asks("1234"))).digits == "12"
        assert (await premises.call(asks("5"))).digits == "15"
        assert (await premises.call(asks("12345"))).digits == "188"
    events = premises.events
    assert [event.text for event in events if isinstance(event, AgentResponse)] == [
        "1", "It is on its way, in 2 parcels.", "1", "5", "1", "88",
    ]  # fmt: skip
    assert [event.tool for event in events if isinstance(event, ToolCalled)] == ["look_up", "end_call", "look_up"]
    assert [event.outcome for event in events if isinstance(event, ToolCompleted)] == ["ok", "ok", "error"]
    assert [event.outcome for event in events if isinstance(event, CallEnded)] == [
        "caller_hangup", "completed", "caller_hangup",
    ]  # fmt: skip
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith("over:")]
    assert len(printed) == 3 and "completed" in printed[1] and "after 5 messages" in printed[0]


async def test_a_handler_that_breaks_apologises_and_its_farewell_is_said(premises: Premises) -> None:
    code = """
async def handle(call):
    @call.on_hangup
    async def note(call):
        call.agent.variables["ended"] = call.ending.outcome
        raise ZeroDivisionError(call.ending.outcome)

    await call.answer()
    raise KeyError("a bug")
"""
    write(premises, "broken:handle", broken=code)
    async with premises.open():
        assert (await premises.call(asks("1"))).digits == "99"
    (ended,) = [event for event in premises.events if isinstance(event, CallEnded)]
    assert ended.outcome == "failed" and "KeyError" in ended.reason
    errors = [(event.where, event.message) for event in premises.events if isinstance(event, ErrorOccurred)]
    assert errors == [
        ("conversation", "internal error: KeyError"),
        ("on_hangup", "internal error: ZeroDivisionError"),
    ]


@pytest.mark.parametrize(
    ("handler", "code", "told", "hint"),
    [
        (
            "nowhere_at_all:handle",
            "",
            "the module 'nowhere_at_all' cannot be imported",
            "beside the configuration file",
        ),
        ("one:handle", "async def handel(call): ...", "the module 'one' has no function 'handle'", "one.py"),
        ("one:handle", "def handle(call): ...", "'one:handle' is not a coroutine function", "async def handle(call)"),
        ("one:handle", "async def handle(): ...", "'one:handle' does not take a call", "async def handle(call)"),
        ("one:handle", "import nothing_like_it", "cannot be imported: ModuleNotFoundError", "installed package"),
        ("one:handle", "1 / 0", "cannot be imported: ZeroDivisionError", ""),
        ("one:handle", "def (", "cannot be imported: SyntaxError", ""),
    ],
)
async def test_what_is_wrong_with_a_handler_is_told_where_it_is_named(
    premises: Premises, handler: str, code: str, told: str, hint: str
) -> None:
    write(premises, handler, one=code)
    with pytest.raises(ConfigError) as caught:
        premises.read()
    (found,) = caught.value.diagnostics
    assert found.place is not None and (found.place.line, found.place.column) == (13, 14)
    assert found.path == "agents.a.handler" and told in found.message and hint in str(found.hint)
    assert found.excerpt is not None and f"handler: {handler}" in found.excerpt


async def test_a_reload_with_a_broken_handler_leaves_the_old_one_at_work(premises: Premises) -> None:
    answers = "async def handle(call):\n    await call.answer()\n    await call.say('7')\n"
    write(premises, "good:handle", good=answers)
    async with premises.open():
        premises.path.write_text(premises.path.read_text().replace("good:handle", "bad:handle"))
        result = await premises.server.reloader.reload("the test")
        assert not result.ok and "bad" in result.errors[0]
        assert (await premises.call(asks(""))).digits == "7"
        (premises.path.parent / "bad.py").write_text(answers.replace("7", "8"))
        assert (await premises.server.reloader.reload("the test")).ok
        assert (await premises.call(asks(""))).digits == "8"
