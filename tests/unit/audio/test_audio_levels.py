import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtrad.audio.levels import SILENT_DBFS, BrightLevel, dbfs, rms


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


def test_a_bright_level_weakens_rumble_and_not_speech():
    def tone(hz):
        return b"".join(struct.pack("<h", round(8000 * math.sin(2 * math.pi * hz * n / 8000))) for n in range(1600))

    def weakened(hz):
        bright = BrightLevel()
        return [bright.dbfs(tone(hz)[at : at + 320]) for at in range(0, 3200, 320)][1:]

    assert max(weakened(20)) < dbfs(tone(20)) - 16
    assert weakened(1400) == pytest.approx([dbfs(tone(1400))] * 9, abs=0.5)


def test_a_bright_level_has_no_step_between_frames():
    bright = BrightLevel()
    steady = struct.pack("<160h", *([10_000] * 160))
    first, second = bright.dbfs(steady), bright.dbfs(steady)
    assert first > second == pytest.approx(dbfs(steady) - 20, abs=0.01)
    assert bright.dbfs(b"") == SILENT_DBFS
    with pytest.raises(ValueError, match="no whole number"):
        bright.dbfs(b"\0")
