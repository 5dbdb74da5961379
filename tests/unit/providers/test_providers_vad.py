"""All detectors, on noise, on speech made by espeak, and on digital silence."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrad.providers.extras import MissingExtra
from voxtrad.providers.options import Embedded
from voxtrad.providers.registry import BUILT_IN, provider_types
from voxtrad.providers.tts.espeak import Espeak, EspeakOptions

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
