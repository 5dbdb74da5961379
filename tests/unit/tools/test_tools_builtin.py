"""The built-in tools, run by the runner as a model would call them."""

from __future__ import annotations

import asyncio
import io
import json
import wave
from collections.abc import Mapping
from typing import Any

import pytest

from tests.figures import tells
from voxtrad.events.types import Event, PromisedEvent, SecurityDenied
from voxtrad.outbound.client import OutboundClient
from voxtrad.providers.base import JSON, ToolCall
from voxtrad.tools.base import EndCall, Proceed, Tool, ToolOptions, Transfer
from voxtrad.tools.builtin.collect_digits import CollectDigitsTool
from voxtrad.tools.builtin.end_call import EndCallTool
from voxtrad.tools.builtin.play import PlayTool
from voxtrad.tools.builtin.send_dtmf import SendDtmfTool
from voxtrad.tools.builtin.set_variable import SetVariableTool
from voxtrad.tools.builtin.transfer import TransferTool
from voxtrad.tools.builtin.voicemail import VoicemailTool
from voxtrad.tools.builtin.wait import WaitTool
from voxtrad.tools.runner import ToolAnswer, ToolRunner


class Use:
    """Runs one tool for one caller and keeps the events."""

    def __init__(self, facts: Mapping[str, str], caller: Any) -> None:
        self.facts, self.caller = facts, caller
        self.events: list[Event] = []

    async def __call__(self, tool: Tool, arguments: Mapping[str, JSON] | str = "") -> ToolAnswer:
        async with asyncio.TaskGroup() as group:
            runner = ToolRunner(
                {tool.spec.name: tool}, call=self.facts, destinations=["billing", "reception"], actions=self.caller,
                group=group, publish=self.events.append,
            )  # fmt: skip
            (running,) = runner.start([ToolCall("1", tool.spec.name, arguments)], {}, 1)
            return await running.answer()

    @property
    def denied(self) -> bool:
        return any(isinstance(event, SecurityDenied) for event in self.events)


@pytest.fixture
def use(facts: Mapping[str, str], caller: Any) -> Use:
    return Use(facts, caller)


async def test_end_call(use: Use) -> None:
    assert (await use(EndCallTool())).then == EndCall()
    assert "error" in (await use(EndCallTool(), {"reason": "x"})).result


async def test_names_and_descriptions_are_the_configurations(use: Use) -> None:
    tool = EndCallTool("bye", "Hang up politely.", ToolOptions(timeout=3))
    assert (tool.spec.name, tool.spec.description, tool.options.timeout) == ("bye", "Hang up politely.", 3)


async def test_transfer(use: Use) -> None:
    tool = TransferTool({"billing": "invoices", "reception": ""}, "escalate_to_human")
    assert (await use(tool, {"destination": "billing"})).then == Transfer("billing")
    assert "billing: invoices" in json.dumps(tool.spec.parameters)
    assert not use.denied


@pytest.mark.parametrize("destination", ["+19005550100", "PJSIP/attacker", "Billing", ""])
async def test_no_words_reach_another_destination(use: Use, destination: str) -> None:
    answer = await use(TransferTool({"billing": ""}), {"destination": destination})
    assert answer.then is None and "is not one of" in answer.result
    assert use.denied


async def test_voicemail(use: Use) -> None:
    place = Proceed("from-internal", "*98", 1)
    assert (await use(VoicemailTool(place))).then == place


async def test_set_variable(use: Use) -> None:
    tool = SetVariableTool(["city", "age"])
    assert (await use(tool, {"name": "city", "value": "Cork"})).variables == {"city": "Cork"}
    assert (await use(tool, {"name": "age", "value": 7})).variables == {"age": 7}
    assert not use.denied
    assert not (await use(tool, {"name": "verified", "value": True})).variables
    assert use.denied


@pytest.mark.parametrize("value", [None, {"a": 1}, ["x"], "x" * 1001])
async def test_set_variable_takes_plain_values(use: Use, value: Any) -> None:
    assert not (await use(SetVariableTool(["city"]), {"name": "city", "value": value})).variables


async def test_wait(use: Use, caller: Any) -> None:
    for arguments in ({}, {"seconds": 30}, {"seconds": 3600}):
        await use(WaitTool(120), arguments)
    assert caller.noted == [("hold", 120), ("hold", 30), ("hold", 120)]


async def test_send_dtmf(use: Use, caller: Any) -> None:
    assert (await use(SendDtmfTool(), {"digits": "12*#A"})).result == '{"status": "sent"}'
    for digits in ["", "12 3", "w", "x", "1" * 33, "1\n2", "١"]:
        assert "error" in (await use(SendDtmfTool(), {"digits": digits})).result
    await use(SendDtmfTool(), {"digits": "1\n"})
    assert caller.noted == [("send_digits", "12*#A"), ("send_digits", "1")]


async def test_collect_digits(use: Use, caller: Any) -> None:
    caller.keys = "1234#99"
    answer = await use(CollectDigitsTool(), {"prompt": "Your order number, please."})
    assert json.loads(answer.result) == {"digits": "1234", "complete": True}
    assert caller.noted == [("say", "Your order number, please."), ("collect_digits", (64, "#", 5.0, False))]


@pytest.mark.parametrize(
    ("length", "keys", "complete"), [(4, "1234", True), (4, "12", False), (None, "", False), (None, "7", True)]
)
async def test_whether_a_number_is_complete(
    use: Use, caller: Any, length: int | None, keys: str, complete: bool
) -> None:
    caller.keys = keys
    answer = await use(CollectDigitsTool(length=length, terminator=""))
    assert json.loads(answer.result) == {"digits": keys, "complete": complete}


async def test_a_sensitive_number_reaches_variables_only(use: Use, caller: Any) -> None:
    caller.keys = "4711"
    answer = await use(CollectDigitsTool(length=4, sensitive=True, name="pin"))
    assert answer.variables == {"pin": "4711"}
    assert json.loads(answer.result) == {"entered": 4, "complete": True}
    assert "4711" not in answer.result
    told = str([event.data() for event in use.events if isinstance(event, PromisedEvent)])
    assert not tells("4711", told)
    assert caller.noted == [("collect_digits", (4, "#", 5.0, True))]
    caller.keys = "47"
    assert not (await use(CollectDigitsTool(length=4, sensitive=True, name="pin"))).variables


async def test_play(use: Use, caller: Any, backend: Any, client: OutboundClient) -> None:
    pcm = bytes(range(200)) * 8
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(16000)
        writer.writeframes(pcm)
    backend.raw(file.getvalue(), content_type="audio/wav")
    await use(PlayTool(backend.url + "/jingle.wav", client=client))
    assert caller.noted == [("play", (pcm, 16000))]


async def test_play_a_sound_of_the_pbx(use: Use, caller: Any, client: OutboundClient) -> None:
    assert "played" in (await use(PlayTool("sound:digits/1", client=client))).result
    assert "not available" in (await use(PlayTool("sound:missing", client=client))).result
    assert caller.noted == [("play_sound", "digits/1")]


@pytest.mark.parametrize(("status", "body"), [(404, b""), (200, b"<html>"), (302, b""), (200, b"RIFF....WAVE")])
async def test_what_cannot_be_played(
    use: Use, caller: Any, backend: Any, client: OutboundClient, status: int, body: bytes
) -> None:
    backend.raw(body, status)
    assert "not available" in (await use(PlayTool(backend.url, client=client))).result
    assert not caller.noted
