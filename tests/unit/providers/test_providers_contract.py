"""What every provider of a kind must do, whoever the vendor is."""

from __future__ import annotations

import asyncio
import traceback
import wave
from contextlib import suppress
from pathlib import Path

import pytest

from tests.fakes.line import Line
from tests.unit.providers.benches import EMBEDDED, KEY, LLM, STT, TROUBLES, TTS, UNKNOWN
from voxtrad.providers.base import (
    BadKey,
    MalformedAnswer,
    Message,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    TextDelta,
    Transcript,
    TurnSignal,
    Unreachable,
)
from voxtrad.providers.fallback.doubt import Doubt
from voxtrad.providers.fallback.llm import probe_llm
from voxtrad.providers.fallback.stt import FallbackSTT, probe_stt
from voxtrad.providers.fallback.tts import probe_tts

EXPECTED: dict[str, type[ProviderError] | tuple[type[ProviderError], ...]] = {
    "stall": ProviderTimeout,
    "cut": Unreachable,
    "malformed": MalformedAnswer,
    "bad key": BadKey,
    "rate limit": RateLimited,
    "server error": Unreachable,
    "nobody there": Unreachable,
}

LEARNS_BY_ASKING = {"openai", "elevenlabs http"}
"""Voices to which a connection that breaks at the very moment they ask costs a sentence."""

ENDING_TURNS = {"deepgram flux", "assemblyai"}
"""Recognisers for which that they fall silent is a matter of the caller's time: tests/serving/ has calls with them."""

HELLO = [Message("system", "Be brief."), Message("user", "hello")]


def traces(error):
    """All that a log could show of an error: its words, and whatever it was raised from."""
    shown, known = f"{error.message} {error.hint}", []
    while error is not None and error not in known:
        known.append(error)
        shown += f" {error!s} {error!r} {vars(error)!r}"
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return shown + "".join(traceback.format_exception(known[0]))


REFUSED_BY_MESSAGE = {"elevenlabs", "openai realtime", "assemblyai", "assemblyai without turns"}
"""Recognisers that say after the handshake that there is too much, and not for how long."""


def check_trouble(error, name, *, untold=()):
    assert error.provider == name.split()[0]
    assert KEY not in traces(error)
    if isinstance(error, RateLimited):
        assert error.retry_after == (None if name in untold else 3)


def networked(benches):
    return [name for name in benches if name not in EMBEDDED]


def asking_for_a_key(benches):
    return [name for name, trouble in troubled(benches) if trouble == "bad key"]


def troubled(benches):
    """Every vendor with every trouble that it can have."""
    return [
        (name, trouble) for name in networked(benches) for trouble in TROUBLES if trouble not in UNKNOWN.get(name, ())
    ]


# --- language models --------------------------------------------------------------------------------------------------


async def text_of(llm):
    return "".join([event.text async for event in llm.stream(HELLO) if isinstance(event, TextDelta)])


@pytest.mark.parametrize("name", LLM)
async def test_a_model_answers_again_and_again(name):
    async with LLM[name]("none") as llm:
        await llm.warm()
        assert llm.name == name.split()[0]
        assert [await text_of(llm) for _ in range(3)] == ["Hello there."] * 3


@pytest.mark.parametrize("name", LLM)
async def test_a_model_answers_twenty_at_once(name):
    async with LLM[name]("none") as llm:
        assert await asyncio.gather(*[text_of(llm) for _ in range(20)]) == ["Hello there."] * 20


@pytest.mark.parametrize("name", LLM)
async def test_a_model_is_cancelled_by_closing_and_answers_the_next_time(name):
    async with LLM[name]("none") as llm:
        for _ in range(5):
            stream = llm.stream(HELLO)
            assert isinstance(await anext(stream), TextDelta)
            await stream.aclose()
        assert await text_of(llm) == "Hello there."


@pytest.mark.parametrize("name", LLM)
async def test_a_model_waits_for_a_slow_reader(name):
    async with LLM[name]("none") as llm:
        text = ""
        async for event in llm.stream(HELLO):
            for _ in range(50):
                await asyncio.sleep(0)
            text += event.text if isinstance(event, TextDelta) else ""
        assert text == "Hello there."


@pytest.mark.parametrize("name", asking_for_a_key(LLM))
async def test_a_probe_tells_that_a_models_key_is_refused(name):
    async with LLM[name]("bad key") as llm:
        with pytest.raises(BadKey) as raised:
            await probe_llm(llm)
        check_trouble(raised.value, name)


@pytest.mark.parametrize(("name", "trouble"), troubled(LLM))
async def test_a_models_trouble_has_its_type_and_no_key_in_it(name, trouble):
    async with LLM[name](trouble) as llm:
        with pytest.raises(EXPECTED[trouble]) as raised:
            await text_of(llm)
        check_trouble(raised.value, name)


@pytest.mark.parametrize("how", ["cut", "half_close"])
@pytest.mark.parametrize("name", networked(LLM))
async def test_a_model_is_connected_to_again(name, how):
    """A connection that broke, in an answer or between two, costs one answer at most, and says what it was."""
    async with Line() as line, LLM[name]("none", line) as llm:
        await llm.warm()
        stream = llm.stream(HELLO)
        await anext(stream)
        getattr(line, how)()
        with suppress(Unreachable):
            async for _ in stream:
                pass
        with suppress(Unreachable):
            await text_of(llm)
        assert await text_of(llm) == "Hello there."
        getattr(line, how)()
        with suppress(Unreachable):
            await text_of(llm)
        assert await text_of(llm) == "Hello there."
        assert line.connections > 1


# --- voices -----------------------------------------------------------------------------------------------------------


async def audio_of(voice, text="Your order is on its way."):
    return b"".join([chunk.pcm async for chunk in voice.synthesize(text)])


async def first_sentence(tts):
    voice = await tts.open(rate=8000, language="en")
    try:
        return await audio_of(voice)
    finally:
        await voice.aclose()


@pytest.mark.parametrize("name", TTS)
@pytest.mark.parametrize("rate", [8000, 16000])
async def test_a_voice_speaks_sentence_after_sentence(name, rate):
    async with TTS[name]("none") as tts:
        assert tts.name == name.split()[0] and tts.fingerprint
        voice = await tts.open(rate=rate, language="en")
        for _ in range(3):
            pcm = await audio_of(voice)
            assert len(pcm) % 2 == 0 and 0.5 < len(pcm) / 2 / rate < 5
        await voice.aclose()


@pytest.mark.parametrize("name", TTS)
async def test_twenty_voices_speak_at_once(name):
    async with TTS[name]("none") as tts:
        voices = [await tts.open(rate=8000, language="en") for _ in range(20)]
        assert all(await asyncio.gather(*[audio_of(voice) for voice in voices]))
        for voice in voices:
            await voice.aclose()


@pytest.mark.parametrize("name", TTS)
async def test_a_sentence_is_cancelled_by_closing_and_the_next_is_whole(name):
    async with TTS[name]("none") as tts:
        voice = await tts.open(rate=8000, language="en")
        whole = len(await audio_of(voice))
        for _ in range(3):
            stream = voice.synthesize("This sentence is cut short. " * 20)
            await anext(stream)
            await stream.aclose()
        assert len(await audio_of(voice)) == pytest.approx(whole, rel=0.02)
        await voice.aclose()


@pytest.mark.parametrize("name", TTS)
async def test_timings_are_within_the_text_and_in_order(name):
    text = "Your order is on its way."
    async with TTS[name]("none") as tts:
        voice = await tts.open(rate=8000, language="en")
        timings = [timing async for chunk in voice.synthesize(text) for timing in chunk.timings]
        assert bool(timings) == tts.capabilities.alignment
        assert [(t.offset, t.start) for t in timings] == sorted((t.offset, t.start) for t in timings)
        assert all(0 <= timing.offset < len(text) and timing.start >= 0 for timing in timings)
        await voice.aclose()


@pytest.mark.parametrize("name", TTS)
async def test_a_voice_waits_for_a_slow_listener(name):
    async with TTS[name]("none") as tts:
        voice = await tts.open(rate=8000, language="en")
        whole = len(await audio_of(voice))
        slow = 0
        async for chunk in voice.synthesize("Your order is on its way."):
            for _ in range(50):
                await asyncio.sleep(0)
            slow += len(chunk.pcm)
        assert slow == pytest.approx(whole, rel=0.02)
        await voice.aclose()


@pytest.mark.parametrize("how", ["cut", "half_close"])
@pytest.mark.parametrize("name", networked(TTS))
async def test_a_voice_is_connected_to_again(name, how):
    """A connection that broke in a sentence costs that one at most and says what it was; between two it costs none."""
    async with Line() as line, TTS[name]("none", line) as tts:
        voice = await tts.open(rate=8000, language="en")
        whole = len(await audio_of(voice))
        stream = voice.synthesize("Your order is on its way. " * 20)
        await anext(stream)
        getattr(line, how)()
        with suppress(Unreachable):
            async for _ in stream:
                pass
        for _ in range(3):
            if name in LEARNS_BY_ASKING:
                with suppress(Unreachable):
                    await audio_of(voice)
            assert len(await audio_of(voice)) == pytest.approx(whole, rel=0.02)
            getattr(line, how)()
        assert line.connections > 1
        await voice.aclose()


@pytest.mark.parametrize("name", asking_for_a_key(TTS))
async def test_a_probe_tells_that_a_voices_key_is_refused(name):
    async with TTS[name]("bad key") as tts:
        with pytest.raises(BadKey) as raised:
            await probe_tts(tts)
        check_trouble(raised.value, name)


@pytest.mark.parametrize(("name", "trouble"), troubled(TTS))
async def test_a_voices_trouble_has_its_type_and_no_key_in_it(name, trouble):
    async with TTS[name](trouble) as tts:
        with pytest.raises(EXPECTED[trouble]) as raised:
            await first_sentence(tts)
        check_trouble(raised.value, name)


# --- recognisers ------------------------------------------------------------------------------------------------------


def goodbye():
    with wave.open(str(Path(__file__).parent / "speech" / "goodbye.wav")) as file:
        pcm = file.readframes(file.getnframes())
    return [pcm[at : at + 320] for at in range(0, len(pcm), 320)]


async def final_of(stream):
    for frame in goodbye():
        await stream.send(frame)
    await stream.finalize()
    async for event in stream.events():
        if isinstance(event, Transcript) and event.final and event.text:
            return event.text
    return None


async def first_utterance(stt):
    stream = await stt.open(rate=8000, language="en")
    try:
        return await final_of(stream)
    finally:
        await stream.aclose()


@pytest.mark.parametrize("name", STT)
async def test_a_recogniser_hears_utterance_after_utterance(name):
    async with STT[name]("none") as stt:
        assert stt.name == name.split()[0]
        stream = await stt.open(rate=8000, language="en", hints=["goodbye"])
        assert [await final_of(stream) for _ in range(3)] == ["goodbye"] * 3
        await stream.aclose()


@pytest.mark.parametrize("name", STT)
async def test_twenty_streams_at_once(name):
    async with STT[name]("none") as stt:
        streams = [await stt.open(rate=8000, language="en", hints=["goodbye"]) for _ in range(20)]
        assert await asyncio.gather(*[final_of(stream) for stream in streams]) == ["goodbye"] * 20
        for stream in streams:
            await stream.aclose()


@pytest.mark.parametrize("name", STT)
async def test_closing_in_the_middle_ends_the_events(name):
    async with STT[name]("none") as stt:
        stream = await stt.open(rate=8000, language="en", hints=["goodbye"])
        reading = asyncio.ensure_future(anext(stream.events(), None))
        await stream.send(bytes(320))
        await asyncio.sleep(0)
        await stream.aclose()
        assert await reading is None or isinstance(reading.result(), Transcript | TurnSignal)
        await stream.aclose()


@pytest.mark.parametrize("name", STT)
async def test_a_recogniser_waits_for_a_slow_reader(name):
    async with STT[name]("none") as stt:
        stream = await stt.open(rate=8000, language="en", hints=["goodbye"])
        heard = []
        for _ in range(3):
            for frame in goodbye():
                await stream.send(frame)
            await stream.finalize()
        async for event in stream.events():
            for _ in range(50):
                await asyncio.sleep(0)
            if isinstance(event, Transcript) and event.final and event.text:
                heard.append(event.text)
            if len(heard) == 3:
                break
        assert heard == ["goodbye"] * 3
        await stream.aclose()


@pytest.mark.parametrize("how", ["cut", "half_close"])
@pytest.mark.parametrize("name", networked(STT))
async def test_a_recogniser_whose_connection_breaks_says_so_and_is_connected_to_again(name, how):
    async with Line() as line, STT[name]("none", line) as stt:
        stream = await stt.open(rate=8000, language="en", hints=["goodbye"])
        assert await final_of(stream) == "goodbye"
        getattr(line, how)()
        with suppress(Unreachable):
            async with asyncio.timeout(20):
                assert await final_of(stream) == "goodbye"  # it asks anew for each utterance
        await stream.aclose()
        assert await first_utterance(stt) == "goodbye"
        assert line.connections > 1


@pytest.mark.parametrize("name", [name for name in networked(STT) if name not in ENDING_TURNS])
async def test_a_recogniser_whose_connection_falls_silent_is_connected_to_again(name, monkeypatch):
    """No error comes, and no close: what was said is heard by another connection, though there is no other vendor."""
    monkeypatch.setattr(Doubt, "patience", 0.3)
    async with Line() as line, STT[name]("none", line) as stt:
        both = FallbackSTT([stt])
        stream = await both.open(rate=8000, language="en", hints=["goodbye"])
        assert await final_of(stream) == "goodbye"
        line.stall()
        async with asyncio.timeout(20):
            assert await final_of(stream) == "goodbye"
        assert line.connections > 1
        await stream.aclose()
        await both.aclose()


@pytest.mark.parametrize("name", asking_for_a_key(STT))
async def test_a_probe_tells_that_a_recognisers_key_is_refused(name):
    async with STT[name]("bad key") as stt:
        with pytest.raises(BadKey) as raised:
            await probe_stt(stt)
        check_trouble(raised.value, name)


@pytest.mark.parametrize(("name", "trouble"), troubled(STT))
async def test_a_recognisers_trouble_has_its_type_and_no_key_in_it(name, trouble):
    async with STT[name](trouble) as stt:
        with pytest.raises(EXPECTED[trouble]) as raised:
            await first_utterance(stt)
        check_trouble(raised.value, name, untold=REFUSED_BY_MESSAGE)
