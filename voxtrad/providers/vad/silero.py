"""Voice activity by Silero's neural model: the best at telling speech from noise, at some 50 µs a window of 32 ms.

All calls share one ONNX session on one thread; each has its own state. So short a run is harmless on the event loop,
and a hand-over to a thread would cost as much. The model is read from the `silero-vad` package, which is never
imported: importing it loads PyTorch. Source: the package's `OnnxWrapper`, "Silero VAD" version 6.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pydantic import Field

from voxtrad.config.types import ConfigModel, Number
from voxtrad.providers.base import ProviderType, VoiceActivity
from voxtrad.providers.extras import MissingExtra, needs
from voxtrad.providers.options import Embedded

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

_WINDOW = {8000: 256, 16000: 512}
"""Samples that the model judges at a time (32 ms), by rate."""
_BEFORE = 8
"""What part of a window is given to the model again, before the next one."""
_MODEL = Path("data", "silero_vad.onnx")


class SileroOptions(ConfigModel):
    threshold: Number = Field(default=0.5, ge=0.05, le=0.95)
    """How sure the model must be that speech begins."""
    release: Number = Field(default=0.15, ge=0, le=0.9)
    """How far the certainty must fall below the threshold before speech is over."""


class _Session(Protocol):
    """What is used of `onnxruntime.InferenceSession`."""

    def run(self, outputs: None, inputs: Mapping[str, object]) -> tuple[Samples, Samples]: ...


class SileroDetector:
    """Makes one detector per call. Raises `MissingExtra` where the runtime or the model is not installed."""

    def __init__(self, name: str, options: SileroOptions) -> None:
        self.name = name
        self._options = options
        self._session = _load(name)

    def open(self, *, rate: int) -> VoiceActivity:
        """A detector at 8,000 or 16,000 samples per second; raises `ValueError` for another rate."""
        if rate not in _WINDOW:
            raise ValueError(f"voice activity is detected at 8000 or 16000 samples per second, not {rate}")
        return _Activity(self._session, rate, self._options)


class _Activity:
    """Frames of 20 ms go in, windows of 32 ms are judged: a frame has the answer of the last whole window."""

    def __init__(self, session: _Session, rate: int, options: SileroOptions) -> None:
        import numpy as np

        self._session = session
        self._options = options
        self._step = 2 * _WINDOW[rate]
        self._taken = self._step + self._step // _BEFORE
        self._rate = np.array(rate, dtype=np.int64)
        self._state: Samples = np.zeros((2, 1, 128), dtype=np.float32)
        self._pcm = bytearray(self._step // _BEFORE)
        self._speech = False

    def voiced(self, frame: bytes) -> bool:
        self._pcm += frame
        while len(self._pcm) >= self._taken:
            self._judge(bytes(self._pcm[: self._taken]))
            del self._pcm[: self._step]
        return self._speech

    def _judge(self, pcm: bytes) -> None:
        import numpy as np

        samples = np.frombuffer(pcm, dtype="<i2").astype(np.float32)[np.newaxis] / np.float32(32768)
        inputs = {"input": samples, "state": self._state, "sr": self._rate}
        certainty, self._state = self._session.run(None, inputs)
        needed = self._options.threshold - (self._options.release if self._speech else 0.0)
        self._speech = bool(certainty[0, 0] >= needed)


def _load(name: str) -> _Session:
    with needs("silero", name):
        import onnxruntime
    package = find_spec("silero_vad")
    folders = package.submodule_search_locations if package is not None else None
    if not folders:
        raise MissingExtra(
            "needs the model in the package silero-vad, which is not installed",
            provider=name,
            hint="pip install --no-deps silero-vad (without --no-deps it brings PyTorch, which is not needed)",
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session: _Session = onnxruntime.InferenceSession(
        str(Path(folders[0]) / _MODEL), options, providers=["CPUExecutionProvider"]
    )
    return session


def _build(name: str, connection: Embedded, options: SileroOptions) -> SileroDetector:
    return SileroDetector(name, options)


PROVIDER = ProviderType(kind="vad", connection=Embedded, options=SileroOptions, build=_build)
