"""Cartesia over its websocket: what is asked, cancelled contexts, timings, and what its errors mean."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes.cartesia_server import PER_CHARACTER, fake_cartesia
from tests.unit.providers.benches import KEY, make
from voxtrad.providers.base import (
    BadKey,
    BadRequest,
    MalformedAnswer,
    QuotaExceeded,
    RateLimited,
    Unreachable,
    WordTiming,
)
from voxtrad.providers.tts.cartesia import Words


def build(server, **options):
    return make("tts", "cartesia", {"base_url": server.url, "api_key": KEY, "timeout": 20}, options)


async def audio_of(voice, text):
    return b"".join([chunk.pcm async for chunk in voice.synthesize(text)])


async def test_each_sentence_is_a_context_of_the_calls_socket():
    async with fake_cartesia(key=KEY) as server:
        tts = build(server, voice="v", speed=1.1, emotion="calm", pronunciation_dictionary="d")
        voice = await tts.open(rate=8000, language="en-GB")
        assert await audio_of(voice, "Hello.") == b"\1\2" * int(6 * PER_CHARACTER * 8000)
        await audio_of(voice, "Bye.")
        await voice.aclose()
        await tts.aclose()
        assert len(server.queries) == 1
        assert [message["context_id"] for message in server.messages] == ["s1", "s2"]
        assert server.messages[0] == {
            "model_id": "sonic-3.5",
            "transcript": "Hello.",
            "voice": {"mode": "id", "id": "v"},
            "language": "en",
            "context_id": "s1",
            "output_format": {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 8000},
            "add_timestamps": True,
            "continue": False,
            "generation_config": {"speed": 1.1, "emotion": "calm"},
            "pronunciation_dict_id": "d",
        }


async def test_an_interrupted_sentence_is_cancelled():
    async with fake_cartesia() as server:
        tts = build(server)
        voice = await tts.open(rate=8000, language="en")
        for _ in range(40):
            stream = voice.synthesize("A long sentence. " * 20)
            await anext(stream)
            await stream.aclose()
        assert len(await audio_of(voice, "Short.")) == 2 * int(6 * PER_CHARACTER * 8000)
        assert {"context_id": "s1", "cancel": True} in server.messages
        assert len(server.queries) == 2
        await voice.aclose()
        await tts.aclose()


async def test_a_socket_that_was_closed_between_sentences_is_opened_anew():
    async with fake_cartesia(behaviour="hang up after each") as server:
        tts = build(server)
        voice = await tts.open(rate=8000, language="en")
        for _ in range(3):
            assert await audio_of(voice, "Yes.")
        assert len(server.queries) == 3
        await voice.aclose()
        await tts.aclose()


@pytest.mark.parametrize("said", [{"code": 1008, "message": b"no input for too long"}, {"code": 1000}])
async def test_a_socket_that_the_vendor_closes_between_sentences_is_opened_anew_before_the_next(said):
    async with fake_cartesia() as server:
        tts = build(server)
        voice = await tts.open(rate=8000, language="en")
        for sentences in range(1, 4):
            assert await audio_of(voice, "Yes.")
            assert len(server.queries) == sentences
            server.opened.clear()
            await server.sockets[-1].close(**said)
            async with asyncio.timeout(20):
                await server.opened.wait()
        assert await audio_of(voice, "Yes.")
        assert len(server.queries) == 4
        server.opened.clear()
        await server.sockets[-1].close(**said)
        async with asyncio.timeout(20):
            await server.opened.wait()
        await server.sockets[-1].close(**said)  # again before it was wanted: it is waited for until it is
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(server.queries) == 5
        assert await audio_of(voice, "Yes.")
        assert len(server.queries) == 6
        await voice.aclose()
        await tts.aclose()


async def test_pings_between_sentences_are_answered():
    async with fake_cartesia() as server:
        tts = build(server)
        voice = await tts.open(rate=8000, language="en")
        for _ in range(2):
            assert await audio_of(voice, "Yes.")
            await server.sockets[0].ping()
            async with asyncio.timeout(20):
                await server.ponged.wait()
            server.ponged.clear()
        assert len(server.queries) == 1
        await voice.aclose()
        await tts.aclose()


@pytest.mark.parametrize(
    ("told", "error"),
    [
        ((400, "model_not_found", "Invalid model"), BadRequest),
        ((402, "quota_exceeded", "Out of credits"), QuotaExceeded),
        ((429, "concurrency_limited", "Too many concurrent requests"), RateLimited),
        ((401, "unauthorized", "no"), BadKey),
        ((500, "internal", "no"), Unreachable),
    ],
)
async def test_errors_are_typed(told, error):
    async with fake_cartesia(error=told) as server:
        tts = build(server)
        voice = await tts.open(rate=8000, language="en")
        with pytest.raises(error) as raised:
            await audio_of(voice, "Hello.")
        assert type(raised.value) is error
        await voice.aclose()
        await tts.aclose()


@pytest.mark.parametrize("behaviour", ["not base64", "silent"])
async def test_an_answer_that_makes_no_sense_is_malformed(behaviour):
    async with fake_cartesia(behaviour=behaviour) as server:
        tts = build(server)
        voice = await tts.open(rate=8000, language="en")
        with pytest.raises(MalformedAnswer):
            await audio_of(voice, "Hello.")
        await voice.aclose()
        await tts.aclose()


def test_words_are_found_in_their_order():
    words = Words("I, said I, am I.")
    assert words.timings({"words": ["I,", "said", "eye", "I,"], "start": [0, 0.2, 0.3, 0.4]}) == (
        WordTiming(0, 0.0),
        WordTiming(3, 0.2),
        WordTiming(8, 0.4),
    )


ODD = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["words", "start"]), inner),
)


@given(ODD)
@settings(deadline=None)
def test_whatever_is_told_of_words_stays_within_the_text(told):
    assert all(0 <= timing.offset < 5 for timing in Words("a b c").timings(told))
