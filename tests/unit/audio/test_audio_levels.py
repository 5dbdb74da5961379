import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtrad.audio.levels import SILENT_DBFS, dbfs, rms


def square(height: int, count: int = 160) -> bytes:
    return struct.pack(f"<{count}h", *([height, -height] * (count // 2)))


def test_silence_and_nothing() -> None:
    assert rms(b"") == rms(bytes(320)) == 0
    assert dbfs(b"") == dbfs(bytes(320)) == SILENT_DBFS


@pytest.mark.parametrize(("height", "level"), [(32767, 0.0), (16384, -6.02), (3277, -20.0), (1, -90.31)])
def test_a_square_wave_is_as_loud_as_it_is_high(height: int, level: float) -> None:
    assert rms(square(height)) == height
    assert dbfs(square(height)) == pytest.approx(level, abs=0.01)


@given(st.lists(st.integers(-32768, 32767), max_size=200))
def test_any_audio_has_a_level_within_the_scale(values: list[int]) -> None:
    pcm = struct.pack(f"<{len(values)}h", *values)
    assert 0 <= rms(pcm) <= max(map(abs, values), default=0)
    assert SILENT_DBFS <= dbfs(pcm) <= 0


def test_half_a_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="16-bit"):
        dbfs(b"\0\0\0")
