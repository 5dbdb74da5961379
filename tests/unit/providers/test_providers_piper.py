"""Piper's real engine with a voice file made here: what it says, how fast, by whom, and what is no voice."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from pydantic import ValidationError

from tests.fakes.piper_voice import HUMS, make_voice
from tests.unit.providers.benches import make
from voxtrad.providers.base import BadRequest
from voxtrad.providers.extras import MissingExtra
from voxtrad.providers.tts.piper import PiperOptions

TEXT = "Your order is on its way."


@pytest.fixture(scope="module")
def voice_file(tmp_path_factory):
    return make_voice(tmp_path_factory.mktemp("voice"))


async def spoken(path, text=TEXT, rate=8000, **options):
    tts = make("tts", "piper", {}, {"voice": str(path), **options})
    voice = await tts.open(rate=rate, language="en")
    chunks = [chunk.pcm async for chunk in voice.synthesize(text)]
    await voice.aclose()
    await tts.aclose()
    return chunks


def pitch(pcm, rate):
    samples = np.frombuffer(pcm, dtype="<i2").astype(float)
    return np.argmax(np.abs(np.fft.rfft(samples))) * rate / samples.size


@pytest.mark.parametrize("rate", [8000, 16000, 22050])
async def test_it_speaks_at_the_calls_rate_piece_by_piece(voice_file, rate):
    chunks = await spoken(voice_file, rate=rate, speaker=0)
    pcm = b"".join(chunks)
    assert len(chunks) > 3 and 0.3 < len(pcm) / 2 / rate < 5
    assert pitch(pcm, rate) == pytest.approx(HUMS[0], rel=0.02)


async def test_speed_and_volume_and_speaker(voice_file):
    normal, fast = b"".join(await spoken(voice_file)), b"".join(await spoken(voice_file, speed=2))
    assert len(fast) == pytest.approx(len(normal) / 2, rel=0.05)
    quiet = b"".join(await spoken(voice_file, volume=0.25))
    loudest = [np.abs(np.frombuffer(pcm, dtype="<i2").astype(int)).max() for pcm in (normal, quiet)]
    assert loudest[1] == pytest.approx(loudest[0] / 4, rel=0.1)
    assert pitch(b"".join(await spoken(voice_file, speaker=1)), 8000) == pytest.approx(HUMS[1], rel=0.02)


async def test_two_sentences_are_one_after_the_other(voice_file):
    one, two = [b"".join(await spoken(voice_file, text)) for text in (TEXT, f"{TEXT} {TEXT}")]
    assert len(two) == pytest.approx(2 * len(one), rel=0.05)


async def test_nothing_to_say_is_silence(voice_file):
    assert b"".join(await spoken(voice_file, "…")) == b""


async def test_a_sentence_that_is_dropped_makes_room_for_the_next(voice_file):
    tts = make("tts", "piper", {}, {"voice": str(voice_file), "threads": 1})
    voice = await tts.open(rate=8000, language="en")
    for _ in range(3):
        stream = voice.synthesize(f"{TEXT} " * 200)
        await anext(stream)
        await stream.aclose()
    assert b"".join([chunk.pcm async for chunk in voice.synthesize(TEXT)])
    await voice.aclose()
    await tts.aclose()


@pytest.mark.parametrize("what", ["no json", "json of something else", "no model", "no file"])
async def test_what_is_no_voice_is_refused_with_its_reason(tmp_path, what):
    path = make_voice(tmp_path)
    match what:
        case "no json":
            path.with_name("hum.onnx.json").unlink()
        case "json of something else":
            path.with_name("hum.onnx.json").write_text("[]")
        case "no model":
            path.write_bytes(b"this is no model")
        case "no file":
            path.unlink()
    with pytest.raises(BadRequest, match=r"hum\.onnx") as raised:
        await spoken(path)
    assert ".onnx.json" in raised.value.hint


async def test_a_speaker_that_the_voice_has_not_is_refused(voice_file):
    with pytest.raises(BadRequest, match="no speaker 2"):
        await spoken(voice_file, speaker=2)


@pytest.mark.parametrize("options", [{}, {"voice": "a", "speed": 0}, {"voice": "a", "threads": 0}])
def test_options_are_checked(options):
    with pytest.raises(ValidationError):
        PiperOptions.model_validate(options)


def test_without_piper_the_line_that_installs_it_is_said(monkeypatch, voice_file):
    monkeypatch.setitem(sys.modules, "piper", None)
    with pytest.raises(MissingExtra) as raised:
        make("tts", "piper", {}, {"voice": str(voice_file)})
    assert raised.value.hint == "pip install 'voxtrad[piper]'"
