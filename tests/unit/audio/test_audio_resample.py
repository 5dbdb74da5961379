import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from voxtrad.audio.frames import frame_bytes
from voxtrad.audio.resample import Resampler

RATES = st.sampled_from([8000, 16000, 22050, 24000, 44100, 48000])


def tone(rate: int, hertz: int, seconds: float = 1.0) -> bytes:
    time = np.arange(int(rate * seconds)) / rate
    return (np.sin(2 * np.pi * hertz * time) * 10_000).astype("<i2").tobytes()


def samples(pcm: bytes) -> NDArray[np.float64]:
    return np.frombuffer(pcm, dtype="<i2").astype(np.float64)


def assert_nearly_equal(left: bytes, right: bytes) -> None:
    """Rounding to 16 bits is dithered, and the dither depends on the pieces."""
    assert len(left) == len(right)
    assert np.abs(samples(left) - samples(right)).max(initial=0) <= 3


def by_frames(resampler: Resampler, pcm: bytes) -> bytes:
    size = frame_bytes(resampler.source)
    return b"".join(resampler.push(pcm[at : at + size]) for at in range(0, len(pcm), size)) + resampler.flush()


@settings(deadline=None, max_examples=60)
@given(source=RATES, target=RATES, pieces=st.lists(st.binary(max_size=2000), max_size=12))
def test_torn_pieces_give_what_the_whole_gives(source: int, target: int, pieces: list[bytes]) -> None:
    torn, whole = Resampler(source, target), Resampler(source, target)
    outs = [torn.push(piece) for piece in pieces]
    assert all(len(out) % 2 == 0 for out in outs)
    joined = b"".join(pieces)
    assert_nearly_equal(b"".join(outs) + torn.flush(), whole.push(joined[: len(joined) // 2 * 2]) + whole.flush())


@settings(deadline=None, max_examples=60)
@given(source=RATES, target=RATES, count=st.integers(0, 50_000))
def test_the_length_follows_the_rates(source: int, target: int, count: int) -> None:
    resampler = Resampler(source, target)
    out = resampler.push(bytes(2 * count)) + resampler.flush()
    assert abs(len(out) / 2 - count * target / source) < 2


@given(st.lists(st.binary(max_size=50)))
def test_equal_rates_change_nothing(pieces: list[bytes]) -> None:
    resampler = Resampler(8000, 8000)
    joined = b"".join(pieces)
    assert b"".join(map(resampler.push, pieces)) + resampler.flush() == joined[: len(joined) // 2 * 2]


@pytest.mark.parametrize(
    ("source", "target"), [(8000, 16000), (16000, 8000), (22050, 8000), (24000, 16000), (48000, 8000)]
)
@pytest.mark.parametrize("hertz", [200, 1000, 3000])
def test_a_tone_stays_the_tone(source: int, target: int, hertz: int) -> None:
    second = samples(by_frames(Resampler(source, target), tone(source, hertz, 1.5)))[target // 4 : target * 5 // 4]
    power = np.abs(np.fft.rfft(second * np.hanning(target))) ** 2  # in bins of 1 Hz
    wanted = np.abs(np.fft.rfft(samples(tone(target, hertz)) * np.hanning(target))) ** 2
    here = slice(hertz - 2, hertz + 3)
    assert power[here].sum() == pytest.approx(wanted[here].sum(), rel=0.01)
    assert power.sum() - power[here].sum() < power[here].sum() * 1e-6  # all else is 60 dB down


@pytest.mark.parametrize("source", [16000, 22050, 24000, 48000])
def test_what_the_target_cannot_hold_is_filtered_not_folded(source: int) -> None:
    got = samples(by_frames(Resampler(source, 8000), tone(source, 5500)))
    assert np.abs(got[2000:6000]).max() < 10  # 60 dB down


@pytest.mark.parametrize(("source", "target"), [(8000, 16000), (16000, 8000), (22050, 8000), (24000, 16000)])
def test_a_live_stream_is_never_held_back_long_nor_in_bursts(source: int, target: int) -> None:
    resampler, size, backlog, out = Resampler(source, target), frame_bytes(source), [], 0
    for number in range(1, 101):
        out += len(resampler.push(bytes(size))) // 2
        backlog.append(number * 20 - out * 1000 / target)
    assert max(backlog) <= 31
    assert max(backlog[5:]) - min(backlog[5:]) < 1


def test_after_flush_it_is_as_new() -> None:
    resampler = Resampler(8000, 16000)
    first = by_frames(resampler, tone(8000, 440))
    assert_nearly_equal(by_frames(resampler, tone(8000, 440)), first)


@pytest.mark.parametrize(("source", "target"), [(0, 8000), (8000, 0), (-1, -1)])
def test_impossible_rates_are_refused(source: int, target: int) -> None:
    with pytest.raises(ValueError, match="cannot resample"):
        Resampler(source, target)
