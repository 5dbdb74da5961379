"""Changes the sample rate of a stream, by libsoxr.

Measured with 20 ms frames: libsoxr's fixed-rate engine works in blocks, so a live stream comes out in bursts up to
115 ms late (8 to 16 kHz, HQ). Its variable-rate engine, used here, holds back a constant 10-30 ms, keeps aliases below
-79 dB and costs 6 us a frame between 8 and 16 kHz, 16-30 us for odd ratios.
"""

from __future__ import annotations

import numpy as np
import soxr


class Resampler:
    """Streaming conversion from `source` to `target` samples per second; the identity when they are equal.

    Pieces may have any length: half a sample is carried over to the next piece.
    """

    def __init__(self, source: int, target: int) -> None:
        if source <= 0 or target <= 0:
            raise ValueError(f"cannot resample from {source} Hz to {target} Hz")
        self.source = source
        self.target = target
        self._half = b""
        self._stream = None if source == target else soxr.ResampleStream(source, target, 1, dtype="int16", vr=True)

    def push(self, pcm: bytes) -> bytes:
        """What can be given of the converted audio now: always whole samples, at first nothing."""
        if self._half or len(pcm) & 1:
            pcm = self._half + pcm
            whole = len(pcm) & ~1
            pcm, self._half = pcm[:whole], pcm[whole:]
        if self._stream is None or not pcm:
            return pcm
        return bytes(self._stream.resample_chunk(np.frombuffer(pcm, dtype="<i2")).tobytes())

    def flush(self) -> bytes:
        """The audio held back so far; then all was given, and the resampler is as new.

        Call it where the speaker pauses (the end of an utterance, of a synthesis) and the delay costs nothing there.
        """
        self._half = b""
        if self._stream is None:
            return b""
        tail = self._stream.resample_chunk(np.empty(0, dtype="<i2"), last=True)
        self._stream.clear()
        return bytes(tail.tobytes())
