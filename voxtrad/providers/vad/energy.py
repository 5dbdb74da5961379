"""Voice activity by loudness alone: speech is what stands out of a noise floor that follows the line.

The simplest detector there is: no library, works for any language and line, but takes every loud noise for speech.
"""

from __future__ import annotations

from pydantic import Field

from voxtrad.audio.levels import dbfs
from voxtrad.config.types import ConfigModel, Number
from voxtrad.providers.base import ProviderType, VoiceActivity
from voxtrad.providers.options import Embedded

_QUIETEST = -75.0
"""The floor never falls below this (dBFS): digital silence says nothing about the line's noise."""

_FALL = 0.2
"""How much of the way down the floor goes in one frame: quiet is believed within some 100 ms."""

_RISE = 0.02
"""How many decibels the floor rises in one frame: a noise that begins and stays is speech for a while, then floor."""


class EnergyOptions(ConfigModel):
    margin: Number = Field(default=12.0, ge=3, le=40)
    """How many decibels above the noise floor a frame counts as speech."""
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
        self._margin = margin
        self._minimum = minimum
        self._floor = minimum - margin

    def voiced(self, frame: bytes) -> bool:
        level = dbfs(frame)
        if level < self._floor:
            self._floor = max(_QUIETEST, self._floor + _FALL * (level - self._floor))
        else:
            self._floor = min(level, self._floor + _RISE)
        return level >= self._minimum and level >= self._floor + self._margin


def _build(name: str, connection: Embedded, options: EnergyOptions) -> EnergyDetector:
    return EnergyDetector(name, options)


PROVIDER = ProviderType(kind="vad", connection=Embedded, options=EnergyOptions, build=_build)
