"""How a line carries its samples: 16-bit linear PCM, or G.711 in one of its two laws. Pure.

What was G.711 once stays it to the bit: decoded and encoded again by the same law it is what it was, but for u-law's
second zero, which becomes the first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from voxtrad.audio.g711 import decode_alaw, decode_ulaw, encode_alaw, encode_ulaw

Codec = Literal["linear", "ulaw", "alaw"]
"""`ulaw` and `alaw` are a byte a sample, at 8,000 samples per second."""


@dataclass(frozen=True, slots=True)
class Coding:
    """Between linear PCM, as it is inside the house, and what goes over a line."""

    sample_bytes: int
    encode: Callable[[bytes], bytes]
    decode: Callable[[bytes], bytes]


def _as_it_is(pcm: bytes) -> bytes:
    return pcm


CODINGS: Mapping[Codec, Coding] = {
    "linear": Coding(2, _as_it_is, _as_it_is),
    "ulaw": Coding(1, encode_ulaw, decode_ulaw),
    "alaw": Coding(1, encode_alaw, decode_alaw),
}
