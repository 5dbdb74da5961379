"""OpenAI's transcription and speech through the real SDK: what is asked, and what is made of the answer."""

from __future__ import annotations

import asyncio
import io
import wave

import numpy as np
import pytest

from tests.fakes.openai_server import Stall, Text, fake_openai
from tests.unit.providers.benches import KEY, make
from voxtrad.providers.base import Transcript


def tone(seconds, rate, hertz=440):
    return (8000 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype("<i2").tobytes()


async def test_an_utterance_is_sent_whole_with_what_is_known_of_it():
    async with fake_openai(key=KEY) as server:
        options = {"prompt": "Acme", "temperature": 0}
        stt = make("stt", "openai", {"base_url": server.url, "api_key": KEY}, options)
        stream = await stt.open(rate=8000, language="en-GB", hints=["order number"])
        for _ in range(50):
            await stream.send(tone(0.02, 8000))
        await stream.finalize()
        assert await anext(stream.events()) == Transcript("where is my order", final=True)
        [upload] = server.uploads
        with wave.open(io.BytesIO(upload.pop("audio"))) as file:
            assert (file.getframerate(), file.getnchannels(), file.getnframes()) == (8000, 1, 8000)
        assert upload == {
            "model": "gpt-transcribe",
            "response_format": "json",
            "language": "en",
            "prompt": "Acme",
            "keywords[]": "order number",
            "temperature": "0.0",
        }
        await stream.aclose()
        await stt.aclose()


async def test_a_model_that_takes_no_keywords_is_told_them_in_its_prompt():
    async with fake_openai() as server:
        options = {"model": "whisper-1", "prompt": "Acme", "keyterms": ["Zoe"], "send_language": False}
        stt = make("stt", "openai", {"base_url": server.url}, options)
        stream = await stt.open(rate=8000, language="en-GB", hints=["order number"])
        await stream.send(tone(0.2, 8000))
        await stream.finalize()
        await anext(stream.events())
        [upload] = server.uploads
        del upload["audio"]
        assert upload == {"model": "whisper-1", "response_format": "json", "prompt": "Acme, Zoe, order number"}
        await stream.aclose()
        await stt.aclose()


async def test_next_to_nothing_is_not_asked_about():
    async with fake_openai() as server:
        stt = make("stt", "openai", {"base_url": server.url}, {})
        stream = await stt.open(rate=8000, language="en")
        await stream.send(bytes(320))
        await stream.finalize()
        assert await anext(stream.events()) == Transcript("", final=True)
        assert server.uploads == []
        await stream.aclose()
        await stt.aclose()


@pytest.mark.parametrize("rate", [8000, 24000])
async def test_speech_is_handed_on_at_the_calls_rate(rate):
    async with fake_openai() as server:
        server.speech = tone(1, 24000)
        tts = make("tts", "openai", {"base_url": server.url}, {"voice": "nova", "speed": 1.5, "instructions": "calm"})
        voice = await tts.open(rate=rate, language="en")
        pcm = b"".join([chunk.pcm async for chunk in voice.synthesize("Hello.")])
        assert server.requests == [
            {
                "input": "Hello.",
                "model": "gpt-4o-mini-tts",
                "voice": "nova",
                "response_format": "pcm",
                "speed": 1.5,
                "instructions": "calm",
            }
        ]
        samples = np.frombuffer(pcm, "<i2").astype(float)
        assert len(samples) == pytest.approx(rate, rel=0.01)
        assert np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples) == pytest.approx(440, abs=5)
        await tts.aclose()


async def test_closing_a_sentence_ends_the_request():
    async with fake_openai(Stall(), Text([])) as server:
        server.speech = tone(3, 24000)
        tts = make("tts", "openai", {"base_url": server.url}, {})
        voice = await tts.open(rate=8000, language="en")
        stream = voice.synthesize("Hello.")
        assert (await anext(stream)).pcm
        await stream.aclose()
        await asyncio.wait_for(server.abandoned.wait(), 5)
        await tts.aclose()


async def test_how_it_sounds_is_told_without_the_key():
    one = make("tts", "openai", {"api_key": KEY}, {"voice": "nova"})
    other = make("tts", "openai", {"api_key": KEY}, {"voice": "alloy"})
    assert one.fingerprint != other.fingerprint and KEY not in one.fingerprint
    await one.aclose()
    await other.aclose()
