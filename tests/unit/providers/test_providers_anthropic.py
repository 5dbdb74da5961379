"""Anthropic through the real SDK: streaming, tools, conversations as its API takes them, errors."""

from __future__ import annotations

import sys
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.anthropic_server import Error, StreamError, Text, Tools, _wrong, fake_anthropic
from tests.unit.providers.benches import KEY, make
from voxtrad.providers.base import (
    BadKey,
    BadRequest,
    Message,
    ProviderTimeout,
    QuotaExceeded,
    RateLimited,
    TextDelta,
    ToolCall,
    ToolSpec,
    Unreachable,
    Usage,
)
from voxtrad.providers.extras import MissingExtra
from voxtrad.providers.llm.anthropic import split

HELLO = [Message("system", "Be brief."), Message("user", "hello")]
WEATHER = ToolSpec("weather", "Tells the weather.", {"type": "object", "properties": {"city": {"type": "string"}}})


def build(server, **options):
    return make("llm", "anthropic", {"base_url": server.url, "api_key": KEY, "timeout": 20}, options)


async def events_of(llm, messages=HELLO, tools=()):
    return [event async for event in llm.stream(messages, tools)]


async def test_text_and_usage_come_as_they_are_written():
    async with fake_anthropic(key=KEY) as server:
        llm = build(server, model="claude-x", thinking="disabled")
        await llm.warm()
        assert await events_of(llm) == [
            TextDelta("Hello"),
            TextDelta(" there."),
            Usage(30, 15, "anthropic", "claude-x"),
        ]
        assert len(server.connections) == 1
        [asked] = server.requests
        assert asked["system"] == [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
        assert (asked["model"], asked["max_tokens"], asked["thinking"]) == ("claude-x", 1024, {"type": "disabled"})
        assert "tools" not in asked
        await llm.aclose()


async def test_tool_calls_are_given_whole_and_answered():
    calls = [
        ("toolu_1", "weather", ['{"city": "Ro', 'me"}']),
        ("toolu_2", "weather", []),
        ("toolu_3", "weather", ["{"]),
    ]
    async with fake_anthropic(Tools(calls, "Let me see."), Text(["Sunny."])) as server:
        llm = build(server, cache_prompt=False, parallel_tool_calls=False)
        events = await events_of(llm, HELLO, [WEATHER])
        asked = [event for event in events if isinstance(event, ToolCall)]
        assert asked == [
            ToolCall("toolu_1", "weather", {"city": "Rome"}),
            ToolCall("toolu_2", "weather", {}),
            ToolCall("toolu_3", "weather", "{"),
        ]
        answers = [Message("tool", "sun", tool_call_id=call.id) for call in asked]
        history = [*HELLO, Message("assistant", "Let me see.", tool_calls=tuple(asked)), *answers]
        assert TextDelta("Sunny.") in await events_of(llm, history, [WEATHER])
        second = server.requests[1]
        assert [block["tool_use_id"] for block in second["messages"][-1]["content"]] == [
            "toolu_1",
            "toolu_2",
            "toolu_3",
        ]
        assert second["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
        assert second["tools"][0]["input_schema"] == WEATHER.parameters
        await llm.aclose()


def test_the_agent_may_speak_first_and_what_was_cut_off_is_marked():
    system, said = split(
        [
            Message("system", "Be brief."),
            Message("assistant", "Hello, how can", interrupted=True),
            Message("assistant", ""),
            Message("user", "my order"),
            Message("system", "It is late."),
        ]
    )
    assert system == "Be brief."
    assert [(m["role"], [b["text"] for b in m["content"]]) for m in said] == [
        ("user", ["(A caller is on the line.)"]),
        ("assistant", ["Hello, how can —"]),
        ("user", ["my order", "<system>It is late.</system>"]),
    ]


ROLES = st.sampled_from(["system", "user", "assistant"])
SAID = st.builds(Message, ROLES, st.text(max_size=5), interrupted=st.booleans())


@given(st.lists(SAID, max_size=8))
@settings(deadline=None)
def test_every_conversation_is_one_that_the_api_takes(messages):
    _, said = split(messages)
    assert _wrong({"max_tokens": 1, "messages": said}) is None
    roles = [message["role"] for message in said]
    assert all(one != two for one, two in pairwise(roles))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Error(400, "invalid_request_error", "max_tokens"), BadRequest),
        (Error(400, "invalid_request_error", "Your credit balance is too low"), QuotaExceeded),
        (Error(402, "billing_error"), QuotaExceeded),
        (Error(403, "permission_error"), BadKey),
        (Error(404, "not_found_error", "model: claude-x"), BadRequest),
        (Error(504, "timeout_error"), ProviderTimeout),
        (Error(500, "api_error"), Unreachable),
        (StreamError("overloaded_error"), Unreachable),
        (StreamError("rate_limit_error"), RateLimited),
        (Text(["Hel"], end=False), Unreachable),
    ],
)
async def test_errors_are_typed(answer, error):
    async with fake_anthropic(answer) as server:
        llm = build(server)
        with pytest.raises(error) as raised:
            await events_of(llm)
        assert type(raised.value) is error
        await llm.aclose()


async def test_a_rate_limit_says_when_to_come_back():
    async with fake_anthropic(Error(429, "rate_limit_error", headers={"retry-after": "7"})) as server:
        llm = build(server)
        with pytest.raises(RateLimited) as raised:
            await events_of(llm)
        assert raised.value.retry_after == 7
        await llm.aclose()


async def test_a_closed_stream_ends_the_request():
    async with fake_anthropic(Text(["word "] * 100_000)) as server:
        llm = build(server)
        stream = llm.stream(HELLO)
        await anext(stream)
        await stream.aclose()
        await server.abandoned.wait()
        await llm.aclose()


def test_without_the_sdk_the_line_that_installs_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "anthropic", None)
    with pytest.raises(MissingExtra) as raised:
        make("llm", "anthropic", {"api_key": KEY}, {})
    assert raised.value.hint == "pip install 'voxtrad[anthropic]'"
