"""Two tracks become one stereo file, for its owner alone, or nothing at all."""

from __future__ import annotations

import stat
import struct
import wave
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrad.audio.wav import WavWriter
from voxtrad.telephony.recordings import CHUNK, join, private_file, write_tracks


def track(path: Path, samples: list[int], *, rate: int = 8000) -> Path:
    with WavWriter(path, rate) as writer:
        writer.write(struct.pack(f"<{len(samples)}h", *samples))
    return path


def read(path: Path) -> list[tuple[int, int]]:
    with wave.open(str(path)) as reader:
        assert reader.getnchannels() == 2
        both = reader.readframes(reader.getnframes())
    return list(struct.iter_unpack("<hh", both))


samples = st.lists(st.integers(-32768, 32767), max_size=50)


@settings(deadline=None, max_examples=50)
@given(samples, samples, st.sampled_from([8000, 16000]))
def test_every_sample_is_on_its_side(
    tmp_path_factory: pytest.TempPathFactory, caller: list[int], agent: list[int], rate: int
) -> None:
    folder = tmp_path_factory.mktemp("tracks")
    left, right = track(folder / "left.wav", caller, rate=rate), track(folder / "right.wav", agent, rate=rate)
    seconds = join(left, right, folder / "out.wav")
    size = max(len(caller), len(agent))
    padded = [side + [0] * (size - len(side)) for side in (caller, agent)]
    assert read(folder / "out.wav") == list(zip(*padded, strict=True)) and seconds == size / rate


def test_long_tracks_of_unequal_length(tmp_path: Path) -> None:
    left = track(tmp_path / "left.wav", [1] * (2 * CHUNK + 7))
    right = track(tmp_path / "right.wav", [2] * (CHUNK + 3))
    out = tmp_path / "deep/er/out.wav"
    assert join(left, right, out) == (2 * CHUNK + 7) / 8000
    found = read(out)
    assert found == [(1, 2)] * (CHUNK + 3) + [(1, 0)] * (CHUNK + 4)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600 and stat.S_IMODE(out.parent.stat().st_mode) == 0o700
    assert [file.name for file in out.parent.iterdir()] == ["out.wav"]


@pytest.mark.parametrize("content", [b"", b"RIFF", b"<html>no such recording</html>", b"RIFF\x00\x00\x00\x00WAVEjunk"])
def test_what_is_no_track_leaves_nothing(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "left.wav").write_bytes(content)
    with pytest.raises((wave.Error, EOFError)):
        join(tmp_path / "left.wav", track(tmp_path / "right.wav", [1]), tmp_path / "out.wav")
    assert not list(tmp_path.glob("*out*"))


def test_of_a_track_whose_writer_died_all_is_taken(tmp_path: Path) -> None:
    left, right = track(tmp_path / "left.wav", [7, 8, 9]), track(tmp_path / "right.wav", [1, 2])
    data = bytearray(left.read_bytes())
    data[4:8] = data[40:44] = bytes(4)
    left.write_bytes(data)
    assert join(left, right, tmp_path / "out.wav") == 3 / 8000
    assert read(tmp_path / "out.wav") == [(7, 1), (8, 2), (9, 0)]


def test_tracks_of_two_rates_are_no_pair(tmp_path: Path) -> None:
    with pytest.raises(wave.Error, match="not of one kind"):
        join(track(tmp_path / "l.wav", [1]), track(tmp_path / "r.wav", [1], rate=16000), tmp_path / "out.wav")
    assert not (tmp_path / "out.wav").exists()


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    out = tmp_path / "out.wav"
    (tmp_path / ".out.wav.part").write_text("left by a crash")

    def half() -> None:
        with private_file(out) as part:
            part.write_bytes(b"half")
            raise OSError(28, "no space left on device")

    with pytest.raises(OSError, match="no space"):
        half()
    assert not list(tmp_path.iterdir())
    write_tracks(b"\1\0", b"\2\0\3\0", 8000, out)
    assert read(out) == [(1, 2), (0, 3)]
