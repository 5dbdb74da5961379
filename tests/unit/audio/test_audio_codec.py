"""What a line carries: G.711 that was decoded is itself again, code by code."""

from __future__ import annotations

import pytest

from voxtrad.audio.codec import CODINGS, Codec

NEGATIVE_ZERO = 0x7F
"""u-law has two zeros, which are one in linear PCM."""


@pytest.mark.parametrize("codec", ["ulaw", "alaw"])
def test_all_256_codes_come_through_linear_pcm_unchanged(codec: Codec) -> None:
    coding, codes = CODINGS[codec], bytes(range(256))
    pcm = coding.decode(codes)
    again = coding.encode(pcm)
    changed = {code for code in codes if again[code] != code}
    assert changed == ({NEGATIVE_ZERO} if codec == "ulaw" else set())
    assert coding.decode(again) == pcm  # and that one is the same sound
    assert coding.encode(coding.decode(again)) == again
    assert len(again) == 256 * coding.sample_bytes


def test_u_laws_second_zero_becomes_the_first() -> None:
    coding = CODINGS["ulaw"]
    assert coding.decode(bytes([NEGATIVE_ZERO])) == coding.decode(b"\xff") == b"\0\0"
    assert coding.encode(b"\0\0") == b"\xff"


def test_linear_is_what_it_was() -> None:
    coding, pcm = CODINGS["linear"], bytes(range(256))
    assert coding.encode(pcm) == coding.decode(pcm) == pcm and coding.sample_bytes == 2
