"""The voice-activity detector of the WebRTC project: fixed-point, a few microseconds a frame, made for telephony.

It takes loud noise and talk in the background for speech: on a line that is not quiet, a frame must stand out of its
noise as well.
"""

from __future__ import annotations

import webrtcvad
from pydantic import Field

from voxtrad.config.types import ConfigModel, Integer
from voxtrad.providers.base import ProviderType, VoiceActivity
from voxtrad.providers.options import Embedded
from voxtrad.providers.vad.foreground import QUIET, Foreground

_ENOUGH = 12.0
"""Decibels above any noise that are enough."""


class WebRTCOptions(ConfigModel):
    aggressiveness: Integer = Field(default=2, ge=0, le=3)
    """How readily a frame is taken for noise: 0 lets almost everything pass for speech, 3 the least."""


class WebRTCDetector:
    """Makes one detector per call."""

    def __init__(self, name: str, options: WebRTCOptions) -> None:
        self.name = name
        self._options = options

    def open(self, *, rate: int) -> VoiceActivity:
        """A detector at 8,000 or 16,000 samples per second; raises `ValueError` for another rate."""
        return _Activity(rate, self._options.aggressiveness)


class _Activity:
    def __init__(self, rate: int, aggressiveness: int) -> None:
        if rate not in (8000, 16000):
            raise ValueError(f"voice activity is detected at 8000 or 16000 samples per second, not {rate}")
        self._rate = rate
        self._vad = webrtcvad.Vad(aggressiveness)
        self._foreground = Foreground(QUIET, most=_ENOUGH, trusting=True)

    def voiced(self, frame: bytes) -> bool:
        return self._foreground.voiced(frame, like_speech=self._vad.is_speech(frame, self._rate))


def _build(name: str, connection: Embedded, options: WebRTCOptions) -> WebRTCDetector:
    return WebRTCDetector(name, options)


PROVIDER = ProviderType(kind="vad", connection=Embedded, options=WebRTCOptions, build=_build)
