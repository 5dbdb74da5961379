"""The analysis after a call: what the model is asked, what of its answer is taken, and what is told when it fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stage import FOREVER, Caller, Model, play

from tests.fakes.anthropic_server import Text as AnthropicText
from tests.fakes.anthropic_server import fake_anthropic
from tests.fakes.openai_server import Text as OpenAIText
from tests.fakes.openai_server import fake_openai
from tests.unit.providers.benches import KEY, make
from voxtrad.config.models import AnalysisConfig
from voxtrad.conversation.analysis import Analysis, AnalysisFailed, Analyst, schema_of
from voxtrad.events.types import CallAnalyzed, CallEnded, ErrorOccurred, RecordingReady, TokensUsed
from voxtrad.providers.base import Unreachable, Usage

SAID = [
    {"speaker": "agent", "text": "How can I\nhelp?", "at": 0.5, "interrupted": False},
    {"speaker": "caller", "text": "Where is order A17?", "at": 2.0},
]
RIGHT = {"summary": "Asked for an order.", "fields": {"order_id": "A17"}, "success": False, "reason": "Nobody knew."}


def wants(**more: Any) -> AnalysisConfig:
    values: dict[str, Any] = {
        "llm": ("scripted",),
        "summary": True,
        "fields": {"order_id": {"type": "string"}},
        "success": "The caller got an answer.",
    }
    return AnalysisConfig.model_construct(**(values | more))


def nothing(usage: Usage) -> None:
    pass


async def test_openai_and_anthropic_answer_by_the_same_protocol() -> None:
    text = json.dumps(RIGHT)
    used: list[Usage] = []
    async with fake_openai(OpenAIText([text[:9], text[9:]]), key=KEY) as server:
        llm = make("llm", "openai", {"base_url": server.url, "api_key": KEY}, {"model": "gpt-x"})
        assert await Analyst(llm, wants()).analyse(SAID, {}, used.append) == Analysis(**RIGHT)
        await llm.aclose()
    async with fake_anthropic(AnthropicText([text[:9], text[9:]]), key=KEY) as server:
        llm = make("llm", "anthropic", {"base_url": server.url, "api_key": KEY}, {"model": "claude-x"})
        assert await Analyst(llm, wants()).analyse(SAID, {}, used.append) == Analysis(**RIGHT)
        await llm.aclose()
    assert len(used) == 2 and all(usage.completion_tokens for usage in used)


@pytest.mark.virtual_time
async def test_what_is_asked() -> None:
    model = Model([[json.dumps(RIGHT)]])
    await Analyst(model, wants()).analyse(SAID, {}, nothing)
    system, user = model.asked[0]
    assert user.content == "Agent: How can I help?\nCaller: Where is order A17?"
    assert "The caller got an answer." in system.content and json.dumps(schema_of(wants())) in system.content


@pytest.mark.virtual_time
@pytest.mark.parametrize(
    ("first", "told"),
    [
        ("I am sorry.", "no JSON object"),
        ('{"summary":', "no JSON object"),
        ('{"summary": nope}', "cannot be read"),
        (json.dumps({**RIGHT, "fields": {"order_id": 17}}), "order_id"),
        (json.dumps({**RIGHT, "more": 1}), "more"),
        (json.dumps({"summary": "x"}), "'fields' is a required property"),
        ("{" * 100_000 + "}", "cannot be read"),
    ],
)
async def test_what_does_not_fit_is_asked_for_once_more(first: str, told: str) -> None:
    model = Model([[first], ["```json\n" + json.dumps(RIGHT) + "\n```"]], pace=0.0)
    assert await Analyst(model, wants()).analyse(SAID, {}, nothing) == Analysis(**RIGHT)
    assert model.asked[1][2].content.strip() == first and told in model.asked[1][3].content
    model = Model([[first], [first], [json.dumps(RIGHT)]], pace=0.0)
    with pytest.raises(AnalysisFailed, match="twice"):
        await Analyst(model, wants()).analyse(SAID, {}, nothing)
    assert len(model.asked) == 2


@pytest.mark.virtual_time
async def test_only_what_is_wanted_is_asked_for_and_a_field_may_be_unknown() -> None:
    config = wants(summary=False, success=None)
    assert await Analyst(Model([['{"fields": {"order_id": null}}']]), config).analyse(SAID, {}, nothing) == Analysis(
        None, {"order_id": None}, None, ""
    )
    config = wants(fields={}, success=None)
    assert await Analyst(Model([['{"summary": "x"}']]), config).analyse(SAID, {}, nothing) == Analysis(
        "x", {}, None, ""
    )


@pytest.mark.virtual_time
@pytest.mark.parametrize(
    ("answer", "why"), [([FOREVER], "no analysis in 60 s"), ([Unreachable("gone", provider="model")], "gone")]
)
async def test_a_model_that_fails(answer: list[Any], why: str) -> None:
    model = Model([answer])
    with pytest.raises(AnalysisFailed, match=why):
        await Analyst(model, wants()).analyse(SAID, {}, nothing)
    assert len(model.asked) == 1


@settings(deadline=None)
@given(st.text() | st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_whatever_a_model_writes_is_an_analysis_or_a_reason(answer: str) -> None:
    found = Analyst(Model(), wants())._read(answer)
    assert isinstance(found, Analysis) or found


async def asks(caller: Caller) -> None:
    await caller.answered()
    await caller.says("where is order A17")
    await caller.answered()


@pytest.mark.virtual_time
async def test_after_the_call() -> None:
    analyst = Analyst(Model([[json.dumps(RIGHT)]], name="reader"), wants())
    played = await play(asks, config={"greeting": "Hello."}, analyst=analyst)
    (analyzed,) = played.of(CallAnalyzed)
    assert analyzed.data() == {"call_id": "c_1", "agent": "support", **RIGHT}
    order = [type(event) for event in played.events]
    assert order.index(CallEnded) < order.index(CallAnalyzed)
    assert not played.of(ErrorOccurred)
    assert analyst.model.asked[0][1].content.startswith("Agent: Hello.\nCaller: where is order A17")  # type: ignore[attr-defined]  # it is ours


@pytest.mark.virtual_time
async def test_a_failure_is_an_event_and_a_silent_caller_is_not_analysed() -> None:
    broken = Analyst(Model([[Unreachable("gone", provider="model")]]), wants())
    played = await play(asks, config={"greeting": "Hello."}, analyst=broken)
    (error,) = played.of(ErrorOccurred)
    assert (error.where, error.message) == ("analysis", "gone") and not played.of(CallAnalyzed)

    unused = Model()
    played = await play(Caller.answered, config={"greeting": "Hello."}, analyst=Analyst(unused, wants()))
    assert not unused.asked and not played.of(CallAnalyzed)
    assert not played.of(TokensUsed)


@pytest.mark.virtual_time
async def test_a_reference_that_leads_nowhere_costs_the_analysis_only() -> None:
    fields = {"order_id": {"$ref": "#/$defs/nowhere"}}
    with pytest.raises(AnalysisFailed, match="nowhere"):
        await Analyst(Model([[json.dumps(RIGHT)]]), wants(fields=fields)).analyse(SAID, {}, nothing)


@pytest.mark.virtual_time
async def test_an_analysis_that_breaks_does_not_cost_the_recording(tmp_path: Path) -> None:
    class Broken(Analyst):
        async def analyse(self, *_: Any) -> Analysis:
            raise ZeroDivisionError("a bug")

    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.answered()

    played = await play(scene, config={"record": True}, analyst=Broken(Model(), wants()), recordings=tmp_path)
    (error,) = played.of(ErrorOccurred)
    assert error.where == "wrap_up" and "ZeroDivisionError" in error.message
    assert len(played.of(RecordingReady)) == 1
