"""OpenAI's realtime transcription: what is asked, the order of what comes, and what errors mean."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.fakes.openai_realtime_server import fake_openai_realtime
from tests.unit.providers.benches import KEY, make
from voxtrad.providers.base import (
    BadKey,
    BadRequest,
    MalformedAnswer,
    QuotaExceeded,
    RateLimited,
    Transcript,
    Unreachable,
)
from voxtrad.providers.fallback.stt import FallbackSTT
from voxtrad.providers.stt.openai import OpenAITranscriptionOptions
from voxtrad.providers.stt.openai_realtime import Items

_TRANSCRIPTION = "conversation.item.input_audio_transcription"


def build(server, **options):
    connection = {"base_url": server.url, "api_key": KEY, "timeout": 20, "organization": "org", "project": "proj"}
    return make("stt", "openai", connection, {"realtime": True, **options})


async def test_the_session_is_a_transcription_of_the_calls_audio():
    async with fake_openai_realtime(key=KEY) as server:
        stt = build(server, prompt="A call", keyterms=["Acme"], noise_reduction="far_field")
        stream = await stt.open(rate=8000, language="en-GB", hints=["order number"])
        assert server.queries == [{"intent": "transcription"}]
        assert server.headers[0]["OpenAI-Organization"] == "org" and server.headers[0]["OpenAI-Project"] == "proj"
        assert server.sessions == [
            {
                "type": "transcription",
                "audio": {
                    "input": {
                        "format": {"type": "audio/pcmu"},
                        "transcription": {
                            "model": "gpt-live-transcribe",
                            "language": "en",
                            "prompt": "A call",
                            "keywords": ["Acme", "order number"],
                        },
                        "turn_detection": None,
                        "noise_reduction": {"type": "far_field"},
                    }
                },
            }
        ]
        await stream.aclose()
        await stt.aclose()


async def test_words_come_while_they_are_spoken():
    async with fake_openai_realtime(enough=960) as server:
        stt = build(server)
        stream = await stt.open(rate=8000, language="en")
        events = stream.events()
        for _ in range(2):
            for _ in range(10):
                await stream.send(bytes(320))
            assert await anext(events) == Transcript("good", final=False)
            assert await anext(events) == Transcript("goodbye", final=False)
            await stream.finalize()
            assert await anext(events) == Transcript("goodbye", final=True)
        await stream.aclose()
        await stt.aclose()


async def test_other_rates_go_as_the_one_pcm_that_it_takes():
    async with fake_openai_realtime() as server:
        stt = build(server)
        stream = await stt.open(rate=16000, language="en")
        await stream.send(bytes(32000))
        await stream.finalize()
        async for event in stream.events():
            if event.final:
                break
        assert server.sessions[0]["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24000}
        assert sum(server.appended) == pytest.approx(48000, abs=600)
        await stream.aclose()
        await stt.aclose()


async def test_a_commit_is_never_too_short():
    async with fake_openai_realtime() as server:
        stt = build(server)
        stream = await stt.open(rate=8000, language="en")
        await stream.send(bytes(320))
        await stream.finalize()
        assert await anext(stream.events()) == Transcript("", final=True)
        assert server.commits == 1 and sum(server.appended) == 1600
        await stream.aclose()
        await stt.aclose()


ERRORS = [
    ("invalid_request_error", "invalid_api_key", BadKey),
    ("insufficient_quota", "insufficient_quota", QuotaExceeded),
    ("rate_limit_exceeded", None, RateLimited),
    ("invalid_request_error", "unknown_parameter", BadRequest),
    ("server_error", None, Unreachable),
]


@pytest.mark.parametrize(("type_", "code", "error"), ERRORS)
async def test_a_refused_session_is_typed(type_, code, error):
    async with fake_openai_realtime(error={"type": type_, "code": code, "message": "no"}) as server:
        stt = build(server)
        with pytest.raises(error):
            await stt.open(rate=8000, language="en")
        await stt.aclose()


async def test_a_transcription_that_failed_is_an_error():
    async with fake_openai_realtime(behaviour="failed") as server:
        stt = build(server)
        stream = await stt.open(rate=8000, language="en")
        await stream.send(bytes(1600))
        await stream.finalize()
        with pytest.raises(Unreachable):
            await anext(stream.events())
        await stream.aclose()
        await stt.aclose()


async def test_a_noise_that_could_not_be_transcribed_has_no_words_and_costs_no_connection():
    """The failure is the example in OpenAI's API reference, "Server events"."""
    noise = {
        "type": "transcription_error",
        "code": "audio_unintelligible",
        "message": "The audio could not be transcribed.",
        "param": None,
    }
    async with fake_openai_realtime(behaviour="failed", failure=noise) as server:
        stt = build(server)
        alone = FallbackSTT([stt])
        stream = await alone.open(rate=8000, language="en")
        events = stream.events()
        for _ in range(3):
            await stream.send(bytes(1600))
            await stream.finalize()
            assert await anext(events) == Transcript("", final=True)
        assert len(server.queries) == 1
        await stream.aclose()
        await alone.aclose()
        await stt.aclose()


def test_a_session_that_has_lasted_its_time_may_be_followed_by_another():
    error = {
        "type": "invalid_request_error",
        "code": "session_expired",
        "message": "Your session hit the maximum duration of 60 minutes.",
    }
    with pytest.raises(Unreachable):
        Items().events({"type": "error", "error": error}, "openai")


def completed(item, text):
    return {"type": f"{_TRANSCRIPTION}.completed", "item_id": item, "transcript": text}


def test_texts_are_told_in_the_order_of_the_utterances():
    items = Items()
    for item in "abc":
        assert items.events({"type": "input_audio_buffer.committed", "item_id": item}, "openai") == []
    assert items.events(completed("b", "second"), "openai") == []
    assert items.events(completed("a", "first"), "openai") == [
        Transcript("first", final=True),
        Transcript("second", final=True),
    ]
    assert items.events(completed("c", "third"), "openai") == [Transcript("third", final=True)]


def test_an_empty_commit_is_an_utterance_in_which_nothing_was_said():
    error = {"type": "invalid_request_error", "code": "input_audio_buffer_commit_empty", "message": "too small"}
    assert Items().events({"type": "error", "error": error}, "openai") == [Transcript("", final=True)]


@pytest.mark.parametrize(
    ("code", "reason", "error"),
    [
        (3000, b"invalid_request_error.invalid_api_key", BadKey),
        (3000, b"invalid_request_error.insufficient_quota", QuotaExceeded),
        (3000, b"invalid_request_error.model_not_found", BadRequest),
        (4000, b"invalid_request_error", BadRequest),
        (1011, b"server_error", Unreachable),
        (1001, b"", Unreachable),
    ],
)
async def test_a_close_is_typed_by_its_reason(code, reason, error):
    async with fake_openai_realtime(hang_up=(code, reason)) as server:
        stt = build(server)
        with pytest.raises(error) as raised:
            await stt.open(rate=8000, language="en")
        assert type(raised.value) is error
        await stt.aclose()


async def test_a_model_without_a_prompt_is_told_nothing():
    async with fake_openai_realtime() as server:
        stt = build(server, model="gpt-realtime-whisper")
        stream = await stt.open(rate=8000, language="en", hints=["order number"])
        told = server.sessions[0]["audio"]["input"]["transcription"]
        assert told == {"model": "gpt-realtime-whisper", "language": "en"}
        await stream.aclose()
        await stt.aclose()


@pytest.mark.parametrize(
    "options",
    [
        {"realtime": True, "temperature": 0},
        {"noise_reduction": "near_field"},
        {"realtime": True, "model": "gpt-realtime-whisper", "prompt": "A call"},
        {"realtime": True, "model": "gpt-realtime-whisper", "keyterms": ["Acme"]},
    ],
)
def test_options_that_do_not_go_together_are_refused(options):
    with pytest.raises(ValidationError):
        OpenAITranscriptionOptions.model_validate(options)


ITEM = st.sampled_from(["a", "b", "c"])
EVENTS = st.one_of(
    st.fixed_dictionaries({"type": st.just("input_audio_buffer.committed"), "item_id": ITEM}),
    st.builds(completed, ITEM, st.text(max_size=3)),
    st.fixed_dictionaries(
        {"type": st.just(f"{_TRANSCRIPTION}.delta"), "item_id": ITEM, "delta": st.text(max_size=3) | st.none()}
    ),
    st.fixed_dictionaries({"type": st.just("error"), "error": st.none() | st.dictionaries(st.text(), st.text())}),
    st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=2),
)


@settings(deadline=None)
@given(st.lists(EVENTS, max_size=20))
def test_any_events_give_events_or_a_typed_error(messages):
    items = Items()
    told = 0
    for message in messages:
        try:
            told += sum(event.final for event in items.events(message, "openai"))
        except (MalformedAnswer, Unreachable):
            return
    assert told <= sum(message.get("type") == f"{_TRANSCRIPTION}.completed" for message in messages)
