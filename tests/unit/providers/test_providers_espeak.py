"""The embedded voice: rates, timings, cancelling, several providers in one process."""

from __future__ import annotations

import asyncio
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from voxtrad.providers.base import BadRequest
from voxtrad.providers.tts.espeak import Espeak, EspeakOptions

TEXT = "Your café order, number 12, is here."


async def say(voice, text=TEXT):
    chunks = [chunk async for chunk in voice.synthesize(text)]
    return b"".join(chunk.pcm for chunk in chunks), [timing for chunk in chunks for timing in chunk.timings]


@pytest.fixture
async def espeak():
    provider = Espeak("espeak", EspeakOptions())
    yield provider
    await provider.aclose()


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 24000])
async def test_a_sentence_is_as_long_at_every_rate(espeak, rate):
    pcm, _ = await say(await espeak.open(rate=rate, language="en"))
    assert len(pcm) % 2 == 0
    assert 2.5 < len(pcm) / 2 / rate < 3.2
    assert np.abs(np.frombuffer(pcm, "<i2")).max() > 5000


async def test_words_are_timed_where_they_stand(espeak):
    _, timings = await say(await espeak.open(rate=8000, language="en"))
    words = [TEXT[timing.offset :].split()[0] for timing in timings]
    assert words == ["Your", "café", "order,", "number", "12,", "is", "here."]
    starts = [timing.start for timing in timings]
    assert starts == sorted(starts) and starts[0] < 0.1 < starts[1]


async def test_closing_in_the_middle_frees_the_voice_at_once(espeak):
    voice = await espeak.open(rate=8000, language="en")
    stream = voice.synthesize("Nobody wants to hear all of this. " * 500)
    assert (await anext(stream)).pcm
    await stream.aclose()
    assert (await say(voice, "Short."))[0]


async def test_cancelling_while_another_speaks_leaves_the_other_whole(espeak):
    voice = await espeak.open(rate=8000, language="en")
    alone, _ = await say(voice)
    endless = asyncio.ensure_future(say(voice, "Nobody wants to hear all of this. " * 500))
    other = asyncio.ensure_future(say(voice))
    await asyncio.sleep(0)
    endless.cancel()
    with pytest.raises(asyncio.CancelledError):
        await endless
    assert len((await other)[0]) == pytest.approx(len(alone), rel=0.01)


async def test_two_providers_in_one_process_speak_each_its_own_language():
    english, german = Espeak("a", EspeakOptions()), Espeak("b", EspeakOptions(voice="de", speed=100))
    one = await english.open(rate=8000, language="en")
    two = await german.open(rate=8000, language="en")
    (alone_one, _), (alone_two, _) = await say(one), await say(two)
    both = await asyncio.gather(*[say(voice) for voice in (one, two) * 10])
    for at, (pcm, _) in enumerate(both):
        assert len(pcm) == pytest.approx(len((alone_one, alone_two)[at % 2]), rel=0.01)
    await english.aclose()
    await german.aclose()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tts-")]


@pytest.mark.parametrize(
    ("language", "voice"), [("en", "gmw/en-US"), ("en-GB", "gmw/en"), ("de_DE", "gmw/de"), ("pt-BR", "roa/pt-BR")]
)
async def test_the_voice_follows_the_language(espeak, language, voice):
    assert (await espeak.open(rate=8000, language=language))._voice == voice


async def test_a_voice_that_is_not_there_is_a_bad_request(espeak):
    with pytest.raises(BadRequest, match="no voice for language 'xx'"):
        await espeak.open(rate=8000, language="xx")
    nobody = Espeak("espeak", EspeakOptions(voice="nobody"))
    with pytest.raises(BadRequest, match="no voice 'nobody'"):
        await nobody.open(rate=8000, language="en")
    await nobody.aclose()


def test_the_fingerprint_tells_how_it_sounds():
    prints = {
        Espeak("a", EspeakOptions()).fingerprint,
        Espeak("b", EspeakOptions()).fingerprint,
        Espeak("a", EspeakOptions(speed=100)).fingerprint,
    }
    assert len(prints) == 2


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.text(st.characters(codec=None), max_size=40))
async def test_any_text_can_be_spoken(text):
    provider = Espeak("espeak", EspeakOptions(speed=450))
    pcm, timings = await say(await provider.open(rate=8000, language="en"), text)
    assert len(pcm) % 2 == 0
    assert all(0 <= timing.offset < len(text) for timing in timings)
    await provider.aclose()
