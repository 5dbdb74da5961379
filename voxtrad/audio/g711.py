"""G.711, the telephone network's own codec (ITU-T G.711): a byte a sample, u-law in America and Japan, A-law elsewhere.

Linear PCM with half a sample at its end raises `ValueError`.
"""

from __future__ import annotations

from voxtrad.audio._audioop import audioop


def encode_ulaw(pcm: bytes) -> bytes:
    return audioop.lin2ulaw(_whole(pcm), 2)


def decode_ulaw(ulaw: bytes) -> bytes:
    return audioop.ulaw2lin(ulaw, 2)


def encode_alaw(pcm: bytes) -> bytes:
    return audioop.lin2alaw(_whole(pcm), 2)


def decode_alaw(alaw: bytes) -> bytes:
    return audioop.alaw2lin(alaw, 2)


def _whole(pcm: bytes) -> bytes:
    if len(pcm) & 1:
        raise ValueError(f"{len(pcm)} bytes are no whole number of 16-bit samples")
    return pcm
