"""How loud audio is. Half a sample at the end of the input raises `ValueError`."""

from __future__ import annotations

import math

from voxtrad.audio._audioop import audioop

SILENT_DBFS = -96.0
"""What `dbfs` gives for digital silence; the quietest sound above it is -90.3."""


def rms(pcm: bytes) -> int:
    """Root mean square of the samples, 0 to 32768; 0 for no samples."""
    if len(pcm) & 1:
        raise ValueError(f"{len(pcm)} bytes are no whole number of 16-bit samples")
    return audioop.rms(pcm, 2)


def dbfs(pcm: bytes) -> float:
    """Level in decibels below full scale: 0 for a full-scale square wave, -3 for a sine, `SILENT_DBFS` for silence."""
    level = rms(pcm)
    return 20.0 * math.log10(level / 32768) if level else SILENT_DBFS


class BrightLevel:
    """Levels of a stream's frames with low sounds weakened (pre-emphasis of 0.9): 20 dB at 0 Hz, none at 1,400 Hz.

    One for each stream of 8,000 samples per second; at other rates the figures scale with it.
    """

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last = b"\0\0"

    def dbfs(self, pcm: bytes) -> float:
        """As the function, for the next frame."""
        if len(pcm) & 1:
            raise ValueError(f"{len(pcm)} bytes are no whole number of 16-bit samples")
        before = (self._last + pcm)[: len(pcm)]
        self._last = (self._last + pcm)[-2:]
        return dbfs(audioop.add(pcm, audioop.mul(before, 2, -0.9), 2))
