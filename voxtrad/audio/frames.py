"""Frames: the 20 ms portions in which audio moves through the house, and the cutting of a byte stream into them."""

from __future__ import annotations

FRAME_MS = 20
"""Length of an audio frame in milliseconds, on every leg."""

SAMPLE_BYTES = 2


def frame_bytes(rate: int) -> int:
    """Bytes of one frame at `rate` samples per second. Raises `ValueError` where 20 ms are not whole samples."""
    samples, rest = divmod(rate * FRAME_MS, 1000)
    if rest or samples <= 0:
        raise ValueError(f"{FRAME_MS} ms are no whole number of samples at {rate} Hz")
    return samples * SAMPLE_BYTES


def silence(rate: int, ms: int) -> bytes:
    """`ms` milliseconds of silence (rounded down to whole samples)."""
    return bytes(rate * ms // 1000 * SAMPLE_BYTES)


class Framer:
    """Cuts PCM that comes in pieces of any length, odd ones too, into whole frames."""

    def __init__(self, rate: int) -> None:
        self._size = frame_bytes(rate)
        self._rest = b""

    def push(self, pcm: bytes) -> bytes:
        """All whole frames of what has come so far, joined; the rest is carried over."""
        held = self._rest + pcm if self._rest else pcm
        whole = len(held) - len(held) % self._size
        self._rest = held[whole:]
        return held[:whole]

    def flush(self) -> bytes:
        """The rest, filled up with silence to a whole frame; `b""` if there is none.

        A lone last byte is no sample and is dropped. After it the framer is as new.
        """
        rest = self._rest[: len(self._rest) & ~1]
        self._rest = b""
        return rest.ljust(self._size, b"\0") if rest else b""
