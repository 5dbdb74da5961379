"""What a recogniser's server takes for speech."""

from __future__ import annotations

import numpy as np

_FRAME = 160
"""Samples that are judged at once, so that it does not matter in what pieces audio comes: 20 ms at 8000 a second."""


def loud_bytes(pcm: bytes, threshold: int) -> int:
    """How much of 16-bit audio is in frames with a sample of this amplitude; all of it for 0."""
    if not threshold:
        return len(pcm)
    samples = np.abs(np.frombuffer(pcm[: len(pcm) & ~1], dtype="<i2").astype(int))
    frames = [samples[at : at + _FRAME] for at in range(0, samples.size, _FRAME)]
    return sum(2 * frame.size for frame in frames if frame.max() >= threshold)
