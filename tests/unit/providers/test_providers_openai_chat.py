"""Chat completions through the real SDK against a server that speaks the published protocol."""

from __future__ import annotations

import asyncio
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai.types.chat.chat_completion_chunk import ChoiceDeltaToolCall, ChoiceDeltaToolCallFunction
from pydantic import ValidationError

from tests.fakes.openai_server import Chunks, Cut, Error, Stall, StreamError, Text, Tools, fake_openai
from voxtrad.providers.base import (
    BadKey,
    BadRequest,
    MalformedAnswer,
    Message,
    ProviderError,
    ProviderTimeout,
    QuotaExceeded,
    RateLimited,
    TextDelta,
    ToolCall,
    ToolSpec,
    Unreachable,
    Usage,
)
from voxtrad.providers.llm.openai import PROVIDER, OpenAIChatOptions, ToolCalls
from voxtrad.providers.vendors.openai import OpenAIConnection

KEY = "sk-secret-0123456789"
HELLO = [Message("user", "hello")]
LOOKUP = ToolSpec("lookup", "Look up.", {"type": "object", "properties": {"id": {"type": "string"}}})


def build(fake, *, timeout=5.0, key=KEY, **options):
    connection = OpenAIConnection.model_validate({"base_url": fake.url, "api_key": key, "timeout": timeout})
    return PROVIDER.build("openai", connection, OpenAIChatOptions.model_validate(options))


async def events_of(llm, messages=HELLO, tools=()):
    events = [event async for event in llm.stream(messages, tools)]
    await llm.aclose()
    return events


async def test_text_comes_as_it_is_written_and_usage_last():
    async with fake_openai(Text(["Hel", "lo", " there."], usage=(11, 4)), key=KEY) as fake:
        llm = build(fake, model="gpt-x")
        said = [TextDelta("Hel"), TextDelta("lo"), TextDelta(" there.")]
        assert await events_of(llm) == [*said, Usage(11, 4, "openai", "gpt-x")]


async def test_the_first_text_is_handed_on_before_the_answer_is_complete():
    async with fake_openai(Stall(["Hel"])) as fake:
        llm = build(fake)
        stream = llm.stream(HELLO)
        assert await anext(stream) == TextDelta("Hel")
        await stream.aclose()
        await asyncio.wait_for(fake.abandoned.wait(), 5)  # closing the stream ends the request
        await llm.aclose()


async def test_tool_calls_are_put_together_from_odd_pieces():
    calls = [("call_1", "lookup", ['{"', 'id": ', '"A1', '7"}']), ("call_2", "other", ["", "{}"])]
    async with fake_openai(Tools(calls, text="One moment.")) as fake:
        assert await events_of(build(fake, model="gpt-x"), tools=[LOOKUP]) == [
            TextDelta("One moment."),
            ToolCall("call_1", "lookup", {"id": "A17"}),
            ToolCall("call_2", "other", {}),
            Usage(30, 9, "openai", "gpt-x"),
        ]
        assert fake.requests[0]["tools"][0]["function"]["parameters"] == LOOKUP.parameters


async def test_arguments_that_are_no_object_are_given_as_text():
    async with fake_openai(Tools([("a", "lookup", ['{"id": ']), ("b", "lookup", ["[1]"])])) as fake:
        first, second, _ = await events_of(build(fake), tools=[LOOKUP])
        assert (first.arguments, second.arguments) == ('{"id": ', "[1]")


@pytest.mark.parametrize("text", ['{"id": NaN}', '{"id": -Infinity}', '{"id": ' + "[" * 100_000, "9" * 5000])
async def test_arguments_that_no_json_parser_reads_are_given_as_text(text):
    async with fake_openai(Tools([("a", "lookup", [text])])) as fake:
        call, _ = await events_of(build(fake), tools=[LOOKUP])
        assert call.arguments == text


def piece(index, id=None, name=None, arguments=None):
    function = (
        None if name is None and arguments is None else ChoiceDeltaToolCallFunction(name=name, arguments=arguments)
    )
    return ChoiceDeltaToolCall.model_construct(index=index, id=id, function=function)


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        # every call at index 0, each with an id of its own
        ([piece(0, "a", "f", "{}"), piece(0, "b", "f", '{"x": 1}')], [("a", "f", {}), ("b", "f", {"x": 1})]),
        # no index at all
        (
            [piece(None, "a", "f", "{"), piece(None, None, None, "}"), piece(None, "b", "g", "{}")],
            [("a", "f", {}), ("b", "g", {})],
        ),
        # interleaved
        (
            [piece(0, "a", "f", ""), piece(1, "b", "g", "{"), piece(0, None, None, "{}"), piece(1, None, None, "}")],
            [("a", "f", {}), ("b", "g", {})],
        ),
        # the id repeated with every piece
        ([piece(0, "a", "f", "{"), piece(0, "a", "f", "}")], [("a", "f", {})]),
        # an id without a name is no call
        ([piece(0, "a")], []),
    ],
)
def test_what_compatible_servers_do_with_tool_calls(pieces, expected):
    calls = ToolCalls()
    for each in pieces:
        calls.add(each)
    assert [(call.id, call.name, call.arguments) for call in calls.calls()] == expected


def test_a_call_without_an_id_is_given_one():
    calls = ToolCalls()
    calls.add(piece(0, None, "f", "{}"))
    calls.add(piece(1, None, "f", "{}"))
    first, second = calls.calls()
    assert first.id and second.id and first.id != second.id


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3) | st.none(),
            st.sampled_from([None, "", "a", "b"]),
            st.sampled_from([None, "", "f", "g"]),
            st.none() | st.text(max_size=5),
        ),
        max_size=12,
    )
)
def test_any_pieces_end_well(pieces):
    calls = ToolCalls()
    for each in pieces:
        calls.add(piece(*each))
    assert all(call.id and call.name for call in calls.calls())


async def test_the_conversation_is_told_in_the_apis_words():
    call = ToolCall("call_1", "lookup", {"id": "Ä"})
    raw = ToolCall("call_2", "lookup", "{broken")
    messages = [
        Message("system", "Be brief."),
        Message("user", "hi"),
        Message("assistant", "Your order is", interrupted=True),
        Message("user", "no wait"),
        Message("assistant", "", interrupted=True),
        Message("assistant", "", tool_calls=(call, raw)),
        Message("tool", "found", tool_call_id="call_1"),
        Message("tool", "bad", tool_call_id="call_2"),
    ]
    async with fake_openai() as fake:
        await events_of(build(fake), messages, [LOOKUP])
        assert fake.requests[0]["messages"] == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "Your order is —"},
            {"role": "user", "content": "no wait"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "lookup", "arguments": '{"id": "Ä"}'}},
                    {"id": "call_2", "type": "function", "function": {"name": "lookup", "arguments": "{broken"}},
                ],
            },
            {"role": "tool", "content": "found", "tool_call_id": "call_1"},
            {"role": "tool", "content": "bad", "tool_call_id": "call_2"},
        ]


async def test_options_are_sent_and_what_is_unset_is_not():
    async with fake_openai() as fake:
        await events_of(build(fake, model="m", temperature=0.5, max_tokens=99, extra_body={"think": False}))
        await events_of(build(fake, stream_usage=False, parallel_tool_calls=True))
        first, second = fake.requests
        assert (first["model"], first["temperature"], first["max_tokens"], first["think"]) == ("m", 0.5, 99, False)
        assert set(second) == {"model", "messages", "stream"}


async def test_a_refusal_is_spoken():
    refusal = [{"index": 0, "delta": {"refusal": "I cannot help with that."}, "finish_reason": None, "logprobs": None}]
    end = [{"index": 0, "delta": {}, "finish_reason": "stop", "logprobs": None}]
    async with fake_openai(Chunks([refusal, end])) as fake:
        assert await events_of(build(fake)) == [TextDelta("I cannot help with that.")]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Error(400, "bad"), BadRequest),
        (Error(401, "Incorrect API key provided: " + KEY, code="invalid_api_key"), BadKey),
        (Error(403, "Project has no access " + KEY), BadKey),
        (Error(402, "pay"), QuotaExceeded),
        (Error(404, "The model `x` does not exist", code="model_not_found"), BadRequest),
        (Error(422, "unprocessable"), BadRequest),
        (Error(429, "quota", "insufficient_quota", "insufficient_quota"), QuotaExceeded),
        (Error(429, "slow down", "requests", "rate_limit_exceeded", {"retry-after": "7"}), RateLimited),
        (Error(500, "oops", "server_error"), Unreachable),
        (Error(502, raw="<html>bad gateway</html>"), Unreachable),
        (Error(504, "late"), ProviderTimeout),
        (Cut(), Unreachable),
        (Text(["Hel"], finish=None), Unreachable),
        (StreamError("The server had an error", "server_error"), Unreachable),
        (StreamError("out of credit", "insufficient_quota"), QuotaExceeded),
        (Chunks(["data: {not json\n\n"]), MalformedAnswer),
        (Chunks(['data: {"choices": [7]}\n\n']), MalformedAnswer),
        (Chunks(["data: [1, 2]\n\n"]), MalformedAnswer),
    ],
)
async def test_what_goes_wrong_is_a_typed_error_without_the_key(answer, error):
    async with fake_openai(answer) as fake:
        with pytest.raises(error) as raised:
            await events_of(build(fake))
        assert type(raised.value) is error
        assert raised.value.provider == "openai"
        assert KEY not in raised.value.message and KEY not in str(raised.value.hint)
        if error is RateLimited:
            assert raised.value.retry_after == 7
        assert len(fake.requests) == 1  # never asked again by itself


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.lists(st.binary(max_size=20).map(lambda data: "data: " + data.decode(errors="replace") + "\n\n"), max_size=4))
async def test_any_stream_ends_in_a_typed_error(lines):
    async with fake_openai(Chunks(lines)) as fake:
        with pytest.raises(ProviderError):  # no finish_reason was sent: at best the answer broke off
            await events_of(build(fake))


async def test_nobody_there_is_unreachable():
    async with fake_openai() as fake:
        pass
    with pytest.raises(Unreachable):
        await events_of(build(fake))


async def test_a_stalled_answer_times_out():
    async with fake_openai(Stall(["Hel"])) as fake:
        with pytest.raises(ProviderTimeout):
            await events_of(build(fake, timeout=0.2))


async def test_a_warm_connection_is_the_one_that_is_used_for_all_turns():
    async with fake_openai() as fake:
        llm = build(fake)
        await llm.warm()
        assert len(fake.connections) == 1
        for _ in range(3):
            assert [event async for event in llm.stream(HELLO)]
        assert len(fake.connections) == 1
        await llm.aclose()


async def test_a_connection_outlives_a_callers_long_pause(monkeypatch):
    async with fake_openai() as fake:
        llm = build(fake)
        await llm.warm()
        now = time.monotonic
        monkeypatch.setattr(time, "monotonic", lambda: now() + 60)  # the server keeps it for 75 s
        assert [event async for event in llm.stream(HELLO)]
        assert len(fake.connections) == 1
        await llm.aclose()


async def test_warming_never_raises():
    async with fake_openai() as fake:
        pass
    llm = build(fake)
    await llm.warm()
    await llm.aclose()


async def test_many_at_once_do_not_mix():
    async with fake_openai(*[Text([str(n), "."]) for n in range(20)], Text(["x"])) as fake:
        llm = build(fake)

        async def ask():
            return "".join([event.text async for event in llm.stream(HELLO) if isinstance(event, TextDelta)])

        assert sorted(await asyncio.gather(*[ask() for _ in range(20)])) == sorted(f"{n}." for n in range(20))
        await llm.aclose()


def test_a_connection_needs_a_key_or_a_server_of_ones_own():
    with pytest.raises(ValidationError, match="needs an api_key"):
        OpenAIConnection.model_validate({})
    assert OpenAIConnection.model_validate({"base_url": "http://ollama:11434/v1/"}).base_url == "http://ollama:11434/v1"
    assert KEY not in repr(OpenAIConnection.model_validate({"api_key": KEY}))


@pytest.mark.parametrize(
    ("url", "official"),
    [
        (None, True),
        ("https://api.openai.com/v1", True),
        ("https://eu.api.openai.com/v1", True),
        ("http://ollama:11434/v1", False),
        ("https://notapi.openai.com/v1", False),
        ("https://api.openai.com.example.org/v1", False),
    ],
)
def test_openai_itself_is_known_by_its_host(url, official):
    assert OpenAIConnection.model_validate({"api_key": KEY, "base_url": url}).official == official


@pytest.mark.parametrize("url", ["ollama:11434", "ftp://x/", "http://", "http://user:secret@host/v1"])
def test_a_base_url_must_be_one(url):
    with pytest.raises(ValidationError):
        OpenAIConnection.model_validate({"base_url": url})


@pytest.mark.parametrize(
    ("options", "official", "effort"),
    [
        ({}, True, "none"),
        ({"model": "gpt-5.6-mini"}, True, "none"),
        ({"model": "gpt-5.6-mini"}, False, None),
        ({}, False, None),
        ({"model": "gpt-6.1-terra", "reasoning_effort": "low"}, True, "low"),
        ({"model": "gpt-5.4-mini"}, True, None),
    ],
)
def test_models_that_take_tools_only_without_reasoning_are_asked_for_none(options, official, effort):
    assert OpenAIChatOptions.model_validate(options).effort(official=official) == effort


@pytest.mark.parametrize(
    ("options", "url", "warned"),
    [
        ({"model": "gpt-6-luna", "reasoning_effort": "low"}, None, True),
        ({"model": "gpt-5.6-mini", "reasoning_effort": "minimal"}, "https://eu.api.openai.com/v1", True),
        ({"model": "gpt-6-luna", "reasoning_effort": "none"}, None, False),
        ({"model": "gpt-6-luna"}, None, False),
        ({"model": "gpt-5.4-mini", "reasoning_effort": "low"}, None, False),
        ({"model": "gpt-6-luna", "reasoning_effort": "low"}, "http://vllm:8000/v1", False),
    ],
)
def test_thinking_where_openai_then_refuses_tools_is_warned_of(options, url, warned):
    connection = OpenAIConnection.model_validate({"api_key": KEY, **({"base_url": url} if url else {})})
    said = PROVIDER.warning(connection, OpenAIChatOptions.model_validate(options))
    assert bool(said) == warned
    assert said is None or (options["model"] in said and options["reasoning_effort"] in said)
