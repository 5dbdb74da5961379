"""What a recogniser's server takes for speech."""

from __future__ import annotations

import numpy as np


def is_loud(pcm: bytes, threshold: int) -> bool:
    """Whether 16-bit audio has a sample of this amplitude."""
    samples = np.frombuffer(pcm[: len(pcm) & ~1], dtype="<i2").astype(int)
    return bool(samples.size and np.abs(samples).max() >= threshold)
