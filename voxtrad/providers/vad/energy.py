"""Voice activity by loudness alone: speech is what stands out of a noise floor that follows the line.

The simplest detector there is: no library, works for any language and line, but takes every loud noise for speech.
"""

from __future__ import annotations

from pydantic import Field

from voxtrad.audio.levels import dbfs
from voxtrad.config.types import ConfigModel, Number
from voxtrad.providers.base import ProviderType, VoiceActivity
from voxtrad.providers.options import Embedded
from voxtrad.providers.vad.foreground import Foreground


class EnergyOptions(ConfigModel):
    margin: Number = Field(default=12.0, ge=3, le=40)
    """How many decibels above the line's noise are always speech; in a noise that is steady fewer are enough."""
    minimum: Number = Field(default=-50.0, ge=-80, le=-10)
    """Frames quieter than this many dBFS are never speech."""


class EnergyDetector:
    """Makes one detector per call."""

    def __init__(self, name: str, options: EnergyOptions) -> None:
        self.name = name
        self._options = options

    def open(self, *, rate: int) -> VoiceActivity:
        """A detector at 8,000 or 16,000 samples per second; raises `ValueError` for another rate."""
        if rate not in (8000, 16000):
            raise ValueError(f"voice activity is detected at 8000 or 16000 samples per second, not {rate}")
        return _Activity(self._options.margin, self._options.minimum)


class _Activity:
    def __init__(self, margin: float, minimum: float) -> None:
        self._minimum = minimum
        self._foreground = Foreground(minimum - margin, most=margin)

    def voiced(self, frame: bytes) -> bool:
        return self._foreground.voiced(frame, like_speech=dbfs(frame) >= self._minimum)


def _build(name: str, connection: Embedded, options: EnergyOptions) -> EnergyDetector:
    return EnergyDetector(name, options)


PROVIDER = ProviderType(kind="vad", connection=Embedded, options=EnergyOptions, build=_build)
