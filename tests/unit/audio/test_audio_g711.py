import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtrad.audio import g711

LAWS = pytest.mark.parametrize(
    ("encode", "decode"),
    [(g711.encode_ulaw, g711.decode_ulaw), (g711.encode_alaw, g711.decode_alaw)],
    ids=["ulaw", "alaw"],
)
Codec = Callable[[bytes], bytes]


def sample(value: int) -> bytes:
    return value.to_bytes(2, "little", signed=True)


# ITU-T G.711, tables 1 and 2: the ends and the middle of the scale.
@pytest.mark.parametrize(("value", "code"), [(0, 0xFF), (32767, 0x80), (-32768, 0x00)])
def test_ulaw_codes_of_the_standard(value: int, code: int) -> None:
    assert g711.encode_ulaw(sample(value)) == bytes([code])


@pytest.mark.parametrize(("value", "code"), [(0, 0xD5), (32767, 0xAA), (-32768, 0x2A)])
def test_alaw_codes_of_the_standard(value: int, code: int) -> None:
    assert g711.encode_alaw(sample(value)) == bytes([code])


@LAWS
@given(value=st.integers(-32768, 32767))
def test_a_sample_comes_back_nearly_itself(encode: Codec, decode: Codec, value: int) -> None:
    back = int.from_bytes(decode(encode(sample(value))), "little", signed=True)
    assert abs(back - value) <= max(16, abs(value) * 0.06)


@LAWS
@given(coded=st.binary(max_size=500))
def test_every_byte_decodes_and_recodes_to_the_same_sound(encode: Codec, decode: Codec, coded: bytes) -> None:
    pcm = decode(coded)
    assert len(pcm) == 2 * len(coded)
    assert decode(encode(pcm)) == pcm


@LAWS
def test_half_a_sample_is_refused(encode: Codec, decode: Codec) -> None:
    with pytest.raises(ValueError, match="16-bit"):
        encode(b"\0\0\0")


def test_importing_warns_of_nothing() -> None:
    program = "import voxtrad.audio.g711, voxtrad.audio.levels, voxtrad.audio.wav"
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
