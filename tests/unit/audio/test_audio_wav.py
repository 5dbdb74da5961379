import struct
import subprocess
import sys
import wave
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrad.audio.wav import WavError, WavWriter, parse_wav, read_wav

SAMPLES = st.lists(st.integers(-32768, 32767), max_size=100).map(
    lambda values: struct.pack(f"<{len(values)}h", *values)
)
PCM, FLOAT, ALAW, ULAW = 1, 3, 6, 7


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) & 1)


def fmt(code: int = PCM, channels: int = 1, rate: int = 8000, bits: int = 16) -> bytes:
    block = channels * bits // 8
    return chunk(b"fmt ", struct.pack("<HHIIHH", code, channels, rate, rate * block, block, bits))


def riff(*chunks: bytes) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def pcm16(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}h", *values)


@settings(deadline=None)
@given(SAMPLES, st.sampled_from([8000, 16000, 44100]))
def test_sixteen_bits_come_as_they_are(pcm: bytes, rate: int) -> None:
    wav = parse_wav(riff(fmt(rate=rate), chunk(b"LIST", b"odd"), chunk(b"data", pcm)))
    assert (wav.pcm, wav.rate, wav.seconds) == (pcm, rate, len(pcm) / 2 / rate)


@pytest.mark.parametrize(
    ("header", "body", "pcm"),
    [
        (fmt(bits=8), bytes([0, 128, 255]), pcm16(-32768, 0, 32512)),
        (fmt(bits=24), b"\xff\x00\x40\x00\x00\x80", pcm16(0x4000, -32768)),
        (fmt(bits=32), b"\xff\xff\x00\x40", pcm16(0x4000)),
        (fmt(ULAW, bits=8), b"\xff\x80\x00", pcm16(0, 32124, -32124)),
        (fmt(ALAW, bits=8), b"\xd5\xaa\x2a", pcm16(8, 32256, -32256)),
        (fmt(channels=2), pcm16(1000, 3000, -32768, -32768), pcm16(2000, -32768)),
        (fmt(channels=2, bits=8), bytes([128, 128, 0, 0]), pcm16(0, -32768)),
    ],
    ids=["8 bit", "24 bit", "32 bit", "u-law", "A-law", "stereo", "stereo 8 bit"],
)
def test_other_kinds_become_mono_16_bit(header: bytes, body: bytes, pcm: bytes) -> None:
    assert parse_wav(riff(header, chunk(b"data", body))).pcm == pcm


def test_the_extensible_header_of_newer_tools() -> None:
    guid = struct.pack("<H", PCM) + bytes.fromhex("000000001000800000aa00389b71")
    extensible = chunk(b"fmt ", struct.pack("<HHIIHHHHI", 0xFFFE, 1, 8000, 16000, 2, 16, 22, 16, 4) + guid)
    assert parse_wav(riff(extensible, chunk(b"data", pcm16(1, 2)))).pcm == pcm16(1, 2)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 1000])
def test_a_file_whose_writer_died_gives_what_is_there(size: int) -> None:
    torn = riff(fmt()) + b"data" + struct.pack("<I", size) + pcm16(1, 2, 3) + b"\x04"
    assert parse_wav(torn).pcm == pcm16(1, 2, 3)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not a WAV file"),
        (b"ID3\x04" + bytes(100), "not a WAV file"),
        (riff(fmt()), "holds no audio"),
        (riff(chunk(b"data", b"")), "before its format"),
        (riff(chunk(b"fmt ", b"\x01\x00"), chunk(b"data", b"")), "cut off"),
        (riff(fmt(channels=6), chunk(b"data", b"")), "6 channels"),
        (riff(fmt(rate=0), chunk(b"data", b"")), "0 samples per second"),
        (riff(fmt(FLOAT, bits=32), chunk(b"data", b"")), "0x0003 with 32 bits"),
        (riff(fmt(ULAW, bits=16), chunk(b"data", b"")), "0x0007 with 16 bits"),
    ],
)
def test_what_cannot_be_read_is_said(data: bytes, message: str) -> None:
    with pytest.raises(WavError, match=message):
        parse_wav(data)


@settings(deadline=None, max_examples=300)
@given(
    st.one_of(st.binary(max_size=200), st.binary(max_size=80).map(lambda tail: riff(fmt(), chunk(b"data", b"")) + tail))
)
def test_any_bytes_are_audio_or_a_wav_error(data: bytes) -> None:
    try:
        wav = parse_wav(data)
    except WavError:
        return
    assert len(wav.pcm) % 2 == 0 and wav.rate > 0


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_a_damaged_header_is_audio_or_a_wav_error(data: st.DataObject) -> None:
    whole = bytearray(riff(fmt(channels=2), chunk(b"LIST", b"abc"), chunk(b"data", bytes(range(64)))))
    for at in data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=6)):
        whole[at] = data.draw(st.integers(0, 255))
    try:
        wav = parse_wav(bytes(whole[: data.draw(st.integers(0, len(whole)))]))
    except WavError:
        return
    assert len(wav.pcm) % 2 == 0 and wav.rate > 0


def test_an_error_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "song.mp3").write_bytes(b"ID3")
    with pytest.raises(WavError, match=r"song\.mp3: not a WAV file"):
        read_wav(tmp_path / "song.mp3")
    with pytest.raises(FileNotFoundError):
        read_wav(tmp_path / "nothing.wav")


@settings(deadline=None, max_examples=30)
@given(st.lists(SAMPLES, max_size=5))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("wav") / "call.wav"
    with WavWriter(path, 16000) as writer:
        for piece in pieces:
            writer.write(piece)
        assert writer.samples == sum(map(len, pieces)) // 2
    assert read_wav(path) == (b"".join(pieces), 16000)


def test_a_recording_has_the_caller_left_and_the_agent_right(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    with WavWriter(path, 8000, channels=2) as writer:
        writer.write_stereo(pcm16(1, 2), pcm16(-1, -2))
        writer.write_stereo(pcm16(3), pcm16(-3, -4))
        writer.write_stereo(b"", pcm16(32767))
        assert writer.samples == 5
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getframerate()) == (2, 8000)
        assert file.readframes(99) == pcm16(1, -1, 2, -2, 3, -3, 0, -4, 0, 32767)


def test_a_recording_that_was_never_closed_still_holds_its_audio(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    program = """import os, sys, voxtrad.audio.wav as wav
wav.WavWriter(sys.argv[1], 8000).write(bytes(9000))
os._exit(1)"""
    assert subprocess.run([sys.executable, "-c", program, str(path)], check=False).returncode == 1
    assert read_wav(path).seconds > 0.4


def test_a_writer_refuses_torn_samples_and_the_wrong_number_of_channels(tmp_path: Path) -> None:
    with WavWriter(tmp_path / "mono.wav", 8000) as mono, WavWriter(tmp_path / "stereo.wav", 8000, channels=2) as stereo:
        with pytest.raises(ValueError, match="16-bit"):
            mono.write(b"\0")
        with pytest.raises(ValueError, match="two channels"):
            mono.write_stereo(b"", b"")
        with pytest.raises(ValueError, match="one channel"):
            stereo.write(b"")
        with pytest.raises(ValueError, match="16-bit"):
            stereo.write_stereo(b"\0", b"")
    with pytest.raises(ValueError, match="3 channels"):
        WavWriter(tmp_path / "three.wav", 8000, channels=3)
    mono.close()
