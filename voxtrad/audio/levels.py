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
