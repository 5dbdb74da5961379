import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrad.audio.frames import FRAME_MS, Framer, frame_bytes, silence
from voxtrad.leg import FRAME_MS as LEG_FRAME_MS

PIECES = st.lists(st.binary(max_size=900), max_size=30)


@pytest.mark.parametrize(("rate", "size"), [(8000, 320), (16000, 640), (22050, 882), (24000, 960), (48000, 1920)])
def test_a_frame_is_20_ms_of_16_bit_samples(rate: int, size: int) -> None:
    assert frame_bytes(rate) == size == len(silence(rate, FRAME_MS))


@pytest.mark.parametrize("rate", [0, -8000, 11025])
def test_a_rate_without_whole_frames_is_refused(rate: int) -> None:
    with pytest.raises(ValueError, match="whole number of samples"):
        frame_bytes(rate)


def test_the_ground_floor_counts_in_the_same_frames() -> None:
    assert LEG_FRAME_MS == FRAME_MS


@given(rate=st.integers(1, 96_000), ms=st.integers(0, 10_000))
def test_silence_is_silent_and_as_long_as_asked(rate: int, ms: int) -> None:
    pcm = silence(rate, ms)
    assert not any(pcm) and len(pcm) == 2 * (rate * ms // 1000)


@settings(deadline=None)
@given(PIECES)
def test_the_framer_loses_and_tears_nothing(pieces: list[bytes]) -> None:
    framer = Framer(8000)
    given_out = [framer.push(piece) for piece in pieces]
    assert all(len(out) % 320 == 0 for out in given_out)
    whole = b"".join(pieces)
    assert b"".join(given_out) == whole[: len(whole) // 320 * 320]

    tail, rest = framer.flush(), whole[len(whole) // 320 * 320 :]
    samples = rest[: len(rest) // 2 * 2]
    assert tail == (samples + bytes(320 - len(samples)) if samples else b"")
    assert framer.flush() == b""
    assert framer.push(b"x" * 320) == b"x" * 320
