"""G.711 as vendors name it: what is heard in it, and speech that has every code."""

from __future__ import annotations

from itertools import cycle, islice

from voxtrad.audio.g711 import decode_alaw, decode_ulaw

_DECODERS = {
    "ulaw": decode_ulaw, "mulaw": decode_ulaw, "pcm_mulaw": decode_ulaw, "audio/pcmu": decode_ulaw,
    "alaw": decode_alaw, "pcm_alaw": decode_alaw, "audio/pcma": decode_alaw,
}  # fmt: skip


def linear(audio: bytes, encoding: str) -> bytes:
    """16-bit PCM of what came in an encoding."""
    decode = _DECODERS.get(encoding)
    return audio if decode is None else decode(audio)


def speech(samples: int, encoding: str) -> bytes:
    """So many samples of sound: in G.711 all 256 codes, over and over."""
    return bytes(islice(cycle(range(256)), samples)) if encoding in _DECODERS else b"\1\2" * samples
