"""All detectors, on noise, on speech made by espeak, and on digital silence."""

from __future__ import annotations

import subprocess
import sys
import wave
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bench.corpus import prompts
from voxtrad.providers.extras import MissingExtra
from voxtrad.providers.options import Embedded
from voxtrad.providers.registry import BUILT_IN, provider_types
from voxtrad.providers.tts.espeak import Espeak, EspeakOptions
from voxtrad.providers.vad.foreground import Noise

DETECTORS = sorted(BUILT_IN["vad"])


def detector(name, rate, **options):
    found = provider_types()["vad"][name]
    return found.build(name, Embedded(), found.options.model_validate(options)).open(rate=rate)


def frames(pcm, rate):
    size = rate // 50 * 2
    return [pcm[at : at + size] for at in range(0, len(pcm) - size + 1, size)]


def noise(seconds, rate, dbfs):
    samples = np.random.default_rng(1).normal(0, 32768 * 10 ** (dbfs / 20), int(seconds * rate))
    return samples.clip(-32768, 32767).astype("<i2").tobytes()


async def speech(rate):
    espeak = Espeak("espeak", EspeakOptions())
    voice = await espeak.open(rate=rate, language="en")
    pcm = b"".join([chunk.pcm async for chunk in voice.synthesize("Where is my order number one two three four?")])
    await espeak.aclose()
    return pcm


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("name", DETECTORS)
async def test_speech_is_voiced_and_what_is_around_it_is_not(name, rate):
    vad = detector(name, rate)
    before = [vad.voiced(frame) for frame in frames(noise(2, rate, -65), rate)]
    said = [vad.voiced(frame) for frame in frames(await speech(rate), rate)]
    after = [vad.voiced(frame) for frame in frames(noise(2, rate, -65), rate)]
    assert sum(before[25:]) == 0
    assert sum(said) > 0.6 * len(said)
    assert sum(after[25:]) == 0


@pytest.mark.parametrize("name", DETECTORS)
def test_silence_is_not_voiced(name):
    vad = detector(name, 8000)
    assert not any(vad.voiced(bytes(320)) for _ in range(100))


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("rate", [0, 11025, 48000])
def test_another_rate_is_refused(name, rate):
    with pytest.raises(ValueError, match="8000 or 16000"):
        detector(name, rate)


@pytest.mark.parametrize("name", DETECTORS)
@settings(deadline=None)
@given(st.lists(st.binary(min_size=320, max_size=320), max_size=20))
def test_any_audio_has_an_answer(name, audio):
    vad = detector(name, 8000)
    assert all(vad.voiced(frame) in (True, False) for frame in audio)


def test_two_calls_do_not_share_a_noise_floor():
    one, other = detector("energy", 8000), detector("energy", 8000)
    for frame in frames(noise(60, 8000, -30), 8000):
        one.voiced(frame)
    quiet = frames(noise(1, 8000, -40), 8000)[0]
    assert not one.voiced(quiet) and other.voiced(quiet)


def test_the_energy_floor_follows_a_noise_that_stays():
    vad = detector("energy", 8000)
    hum = frames(noise(60, 8000, -35), 8000)
    heard = [vad.voiced(frame) for frame in hum]
    assert heard[0] and not any(heard[-100:])
    loud = frames(noise(1, 8000, -15), 8000)
    assert all(vad.voiced(frame) for frame in loud)


@pytest.mark.parametrize("name", DETECTORS)
async def test_a_call_is_heard_the_same_beside_others(name):
    """A detector's calls share no state, whatever else they share."""
    found = provider_types()["vad"][name]
    shared = found.build(name, Embedded(), found.options())
    said, loud = frames(await speech(8000), 8000), frames(noise(3, 8000, -20), 8000)
    alone = shared.open(rate=8000)
    expected = [alone.voiced(frame) for frame in said]
    one, other = shared.open(rate=8000), shared.open(rate=8000)
    heard = []
    for frame, disturbance in zip(said, loud * 10, strict=False):
        other.voiced(disturbance)
        heard.append(one.voiced(frame))
    assert heard == expected


LINES = {
    "quiet": (None, None),
    "steady 20 dB": ("steady", 20),
    "steady 10 dB": ("steady", 10),
    "steady 5 dB": ("steady", 5),
    "babble 20 dB": ("babble", 20),
    "babble 10 dB": ("babble", 10),
}
LEVEL = -22.0
"""dBFS of speech."""


def scaled(samples, dbfs):
    return samples * 32768 * 10 ** (dbfs / 20) / np.sqrt(np.mean(samples**2))


@cache
def sentences():
    """Speech at telephone bandwidth, all as loud."""
    found = []
    for path in sorted((Path(__file__).parent / "speech").glob("*.wav")):
        with wave.open(str(path)) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(float)
        loud = np.flatnonzero(abs(samples) > 0.03 * abs(samples).max())
        found.append(scaled(samples[loud[0] : loud[-1]], LEVEL))
    return found


def behind(kind, seconds, snr, talk):
    """Noise so many decibels below speech: of an engine, or of six people; without any, a line's own."""
    count = round(seconds * 8000)
    draw = np.random.default_rng(3)
    if kind != "babble":
        spectrum = np.fft.rfft(draw.normal(size=count))
        spectrum[1:] /= np.sqrt(np.arange(1, spectrum.size))
        made = np.fft.irfft(spectrum, count)
    else:
        made = sum(np.roll(np.resize(talk, count), int(draw.integers(count))) for _ in range(6))
    return scaled(made, -65 if kind is None else LEVEL - snr)


def on_a_line(said, *parts):
    """Frames of sentences at stated seconds, on a line with one noise after the other, and where speech is loud."""
    noise = np.concatenate(parts)
    speech = np.zeros(noise.size)
    for at, sentence in said:
        speech[round(at * 8000) :][: sentence.size] += sentence
    pcm = (noise + speech).clip(-32768, 32767).astype("<i2").tobytes()
    blocks = speech[: speech.size // 160 * 160].reshape(-1, 160)
    return frames(pcm, 8000), np.sqrt((blocks**2).mean(axis=1)) > 32768 * 10 ** ((LEVEL - 6) / 20)


def heard_by(name, audio):
    vad = detector(name, 8000)
    return np.array([vad.voiced(frame) for frame in audio])


def seconds(heard, since, until):
    """The share of frames between them that are voiced."""
    return heard[round(since * 50) : round(until * 50)].mean()


def conversation(name, line, said):
    """A greeting of 5 s on a line, then a sentence each 6 s: judged frames, where speech is loud, and sentences."""
    kind, snr = LINES[line]
    placed = [(5.0 + 6 * n, sentence[: 4 * 8000]) for n, sentence in enumerate(said)]
    noise = behind(kind, 5.0 + 6 * len(said), snr, np.concatenate(said))
    audio, loud = on_a_line(placed, noise)
    return heard_by(name, audio), loud, placed


def check_conversation(name, line, said):
    heard, loud, placed = conversation(name, line, said)
    assert seconds(heard, 3.0, 5.0) <= (0.2 if "babble" in line else 0.02), "the line alone, after 3 s of it, is speech"
    for at, sentence in placed:
        spoken = slice(round(at * 50), round(at * 50) + sentence.size // 160)
        assert heard[spoken][loud[spoken]].mean() >= 0.6, f"the sentence at {at} s is not heard"
        assert np.flatnonzero(heard[spoken])[0] < 25, f"the beginning of the sentence at {at} s is not heard"
        over = at + sentence.size / 8000
        assert seconds(heard, over + 0.4, over + 1.4) <= (0.6 if "babble" in line else 0.2), (
            f"the sentence at {at} s does not end"
        )


@pytest.mark.parametrize("line", [line for line in LINES if "babble" not in line])
@pytest.mark.parametrize("name", DETECTORS)
def test_sentences_stand_out_of_the_line(name, line):
    check_conversation(name, line, sentences())


@pytest.mark.asterisk
@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("name", DETECTORS)
def test_recorded_sentences_stand_out_of_the_line(name, line):
    """The PBX's prompts: a human being."""
    check_conversation(name, line, [scaled(prompt.sound, LEVEL) for prompt in prompts(8)])


@pytest.mark.parametrize("name", DETECTORS)
def test_a_noise_that_begins_and_stays_is_not_speech_for_long(name):
    audio, _ = on_a_line([(13.0, sentences()[3])], behind(None, 6, None, ()), behind("steady", 12, 10, ()))
    heard = heard_by(name, audio)
    assert seconds(heard, 9.5, 13.0) <= 0.1
    assert seconds(heard, 13.0, 15.0) >= 0.4


@pytest.mark.parametrize("name", DETECTORS)
def test_soft_speech_is_heard_as_soon_as_a_noise_is_over(name):
    talk = np.concatenate(sentences())
    audio, _ = on_a_line([(6.5, sentences()[3] / 4)], behind("steady", 6, 10, talk), behind(None, 6, None, talk))
    assert seconds(heard_by(name, audio), 6.5, 8.5) >= 0.5


@pytest.mark.parametrize("name", DETECTORS)
def test_somebody_who_talks_for_long_is_heard_to_the_end(name):
    """Speech does not become its own noise."""
    talk = np.concatenate(sentences() * 4)
    audio, loud = on_a_line([(2.0, talk)], behind(None, 2 + talk.size / 8000, None, ()))
    heard = heard_by(name, audio)
    assert heard[-500:][loud[-500:]].mean() >= 0.9


def test_noise_is_learned_in_some_seconds_and_forgotten_at_once():
    noise = Noise(-65.0)
    levels = []
    for _ in range(300):
        noise.hear(-40.0)
        levels.append(noise.level)
    assert levels[74] == -58.0 and levels[-1] == pytest.approx(-40.0) and noise.swing == pytest.approx(0.0)
    for _ in range(20):
        noise.hear(-60.0)
    assert noise.level == pytest.approx(-53.0, abs=0.1)


def test_speech_with_gaps_is_no_noise():
    noise, heard = Noise(-65.0), []
    for _ in range(30):
        for level in [-20.0] * 60 + [-60.0] * 10:
            noise.hear(level)
            heard.append(noise.level)
    assert max(heard) <= -52.0


@settings(deadline=None)
@given(st.lists(st.floats(-96, 0), min_size=1, max_size=400))
def test_the_noise_is_within_what_was_heard(levels):
    noise = Noise(-62.0)
    for level in levels:
        noise.hear(level)
        assert -75.0 <= noise.level <= max([-62.0, *levels]) + 7.0 and 0 <= noise.swing <= 7.0


def test_silero_tells_speech_from_noise_as_loud_as_it():
    vad = detector("silero", 8000)
    assert not any(vad.voiced(frame) for frame in frames(noise(5, 8000, -25), 8000)[25:])


def test_silero_keeps_pytorch_out():
    """The package that brings the model would import it."""
    code = (
        "import sys; from voxtrad.providers.vad.silero import PROVIDER as p;"
        "from voxtrad.providers.options import Embedded;"
        "p.build('silero', Embedded(), p.options()).open(rate=8000).voiced(bytes(640));"
        "print([name for name in ('torch', 'silero_vad') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_silero_says_what_to_install(monkeypatch):
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "onnxruntime", None)
        with pytest.raises(MissingExtra) as raised:
            detector("silero", 8000)
        assert raised.value.hint == "pip install 'voxtrad[silero]'"
    monkeypatch.setattr("voxtrad.providers.vad.silero.find_spec", lambda name: None)
    with pytest.raises(MissingExtra) as raised:
        detector("silero", 8000)
    assert raised.value.hint is not None and raised.value.hint.startswith("pip install --no-deps silero-vad")
