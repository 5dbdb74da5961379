"""ElevenLabs' Scribe over its own protocol: what is asked, what is made of transcripts, and what its refusals mean."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.fakes.elevenlabs_listen_server import fake_scribe
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
from voxtrad.providers.stt.elevenlabs import ScribeOptions, ScribeStream


def build(server, **options):
    return make("stt", "elevenlabs", {"base_url": server.url, "api_key": KEY, "timeout": 20}, options)


async def test_what_is_asked_for():
    async with fake_scribe(key=KEY) as server:
        options = {"keyterms": ["Acme"], "languages": ["de"], "verbatim": False, "logging": False}
        stt = build(server, filter_background_audio=True, **options)
        hints = ["order number", "a", "Acme", "a phrase of more than twenty characters", "x y z a b c"]
        stream = await stt.open(rate=8000, language="en-GB", hints=hints)
        assert server.queries == [
            [
                ("model_id", "scribe_v2_realtime"),
                ("audio_format", "pcm_8000"),
                ("commit_strategy", "manual"),
                ("language_code", "en"),
                ("secondary_languages", "de"),
                ("keyterms", "Acme"),
                ("keyterms", "order number"),
                ("no_verbatim", "true"),
                ("filter_background_audio", "true"),
                ("enable_logging", "false"),
            ]
        ]
        await stream.aclose()
        await stt.aclose()


async def test_language_may_be_left_to_it():
    async with fake_scribe() as server:
        stt = build(server, language="auto")
        await (await stt.open(rate=8000, language="en")).aclose()
        assert "language_code" not in dict(server.queries[0])
        await stt.aclose()


async def test_audio_goes_in_pieces_and_a_commit_is_never_too_short():
    async with fake_scribe(enough=1000) as server:
        stt = build(server)
        stream = await stt.open(rate=8000, language="en")
        events = stream.events()
        for _ in range(7):
            await stream.send(bytes(320))
        await stream.finalize()
        assert await anext(events) == Transcript("goodbye", final=False)
        assert await anext(events) == Transcript("goodbye", final=False)
        assert await anext(events) == Transcript("goodbye", final=True)
        assert server.chunks == [(1600, False), (3200, True)]  # 100 ms, and what makes it 300 ms
        await stream.finalize()
        assert await anext(events) == Transcript("goodbye", final=False)  # of the silence that filled it up
        assert await anext(events) == Transcript("goodbye", final=True)
        await stream.aclose()
        await stt.aclose()


async def test_a_commit_in_which_nothing_was_heard_is_answered():
    async with fake_scribe(enough=10**9) as server:
        stt = build(server)
        stream = await stt.open(rate=8000, language="en")
        await stream.send(bytes(8000))
        await stream.finalize()
        async with asyncio.timeout(20):
            assert await anext(stream.events()) == Transcript("", final=True)
        await stream.aclose()
        await stt.aclose()


async def test_a_session_that_ends_because_nothing_was_heard_costs_no_utterance():
    """By itself the stream says so; as every call has it, it is opened again before the next utterance."""
    quiet, loud = bytes(8000), b"\x00\x20" * 6000
    async with fake_scribe(behaviour="hang up on silence", threshold=1000) as server:
        stt = build(server)
        alone = await stt.open(rate=8000, language="en")
        await alone.send(quiet)
        await alone.finalize()
        events = alone.events()
        async with asyncio.timeout(20):
            assert await anext(events) == Transcript("", final=True)
            with pytest.raises(Unreachable):
                await anext(events)
        await alone.aclose()

        kept = FallbackSTT([stt])
        stream = await kept.open(rate=8000, language="en")
        heard = stream.events()
        for _ in range(3):
            server.connected.clear()
            await stream.send(quiet)
            await stream.finalize()
            async with asyncio.timeout(20):
                assert await anext(heard) == Transcript("", final=True)
                following = asyncio.ensure_future(anext(heard))
                await server.connected.wait()
                await stream.send(loud)
                await stream.finalize()
                said = [await following]
                while not said[-1].final:
                    said.append(await anext(heard))
            assert said[-1] == Transcript("goodbye", final=True), said
        assert server.connections == 5  # one by itself, one to begin with, and one after each silence
        await stream.aclose()
        await kept.aclose()
        await stt.aclose()


async def test_a_rate_that_it_does_not_take_is_converted():
    async with fake_scribe(enough=1) as server:
        stt = build(server)
        stream = await stt.open(rate=32000, language="en")
        await stream.send(bytes(64000))
        await stream.finalize()
        async for event in stream.events():
            if event.final:
                break
        assert dict(server.queries[0])["audio_format"] == "pcm_16000"
        assert sum(size for size, _ in server.chunks) == pytest.approx(32000, abs=400)
        await stream.aclose()
        await stt.aclose()


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("auth_error", BadKey),
        ("unaccepted_terms", BadKey),
        ("quota_exceeded", QuotaExceeded),
        ("rate_limited", RateLimited),
        ("queue_overflow", RateLimited),
        ("resource_exhausted", RateLimited),
        ("input_error", BadRequest),
        ("invalid_request", BadRequest),
        ("chunk_size_exceeded", BadRequest),
        ("session_time_limit_exceeded", Unreachable),
        ("transcriber_error", Unreachable),
        ("error", Unreachable),
        ("something_new", Unreachable),
    ],
)
async def test_refusals_are_typed(name, error):
    async with fake_scribe(refusal=(name, f"no, {name}")) as server:
        stt = build(server)
        with pytest.raises(error):
            await stt.open(rate=8000, language="en")
        await stt.aclose()


async def test_a_transcript_of_another_shape_is_malformed():
    async with fake_scribe(behaviour="odd shape") as server:
        stt = build(server)
        stream = await stt.open(rate=8000, language="en")
        await stream.send(bytes(1600))
        with pytest.raises(MalformedAnswer):
            await anext(stream.events())
        await stream.aclose()
        await stt.aclose()


@pytest.mark.virtual_time
async def test_silence_keeps_an_idle_stream_open():
    async with fake_scribe() as server:
        stt = build(server)
        stream = await stt.open(rate=8000, language="en")
        await asyncio.sleep(9)
        await stream.aclose()
        await server.closed.wait()
        assert server.chunks == [(1600, False)] * 2
        await stt.aclose()


@pytest.mark.parametrize("options", [{"keyterms": ["x" * 21]}, {"keyterms": ["term"] * 51}, {"model": ""}])
def test_what_the_vendor_would_refuse_is_refused(options):
    with pytest.raises(ValidationError):
        ScribeOptions.model_validate(options)


KINDS = [
    "partial_transcript",
    "committed_transcript",
    "commit_throttled",
    "insufficient_audio_activity",
    "warning",
    "session_started",
]
MESSAGES = st.fixed_dictionaries(
    {},
    optional={"message_type": st.sampled_from(KINDS) | st.none(), "text": st.text() | st.none() | st.integers()},
)


@pytest.mark.parametrize("nothing", ["commit_throttled", "insufficient_audio_activity"])
def test_an_empty_final_is_the_answer_to_one_commit(nothing):
    stream = object.__new__(ScribeStream)
    stream._name, stream._commits = "elevenlabs", 0
    empty = {"message_type": "committed_transcript", "text": ""}
    assert stream._event(empty) is None  # it committed by itself
    assert stream._event({**empty, "text": "so far"}) == Transcript("so far", final=True)
    assert stream._event({"message_type": nothing, "error": "no"}) is None
    for answer in (empty, {"message_type": nothing, "error": "no"}):
        stream._commits += 1
        assert stream._event(answer) == Transcript("", final=True)
        assert stream._event(answer) is None


@settings(deadline=None)
@given(st.lists(MESSAGES | st.just("asked"), max_size=20))
def test_any_messages_give_events_or_a_typed_error(messages):
    stream = object.__new__(ScribeStream)
    stream._name, stream._commits = "elevenlabs", 0
    finals = asked = 0
    for message in messages:
        if message == "asked":
            stream._commits += 1
            asked += 1
            continue
        try:
            event = stream._event(message)
        except MalformedAnswer:
            return
        if event is not None:
            assert event.final or event.text
            finals += event.final and not event.text
    assert finals <= asked  # nothing is final and empty unless it answers
