"""Speech by espeak-ng, which runs inside voxtrad: no key, no network, a hundred languages, and a robot's voice."""

from __future__ import annotations

from pydantic import Field

from voxtrad.providers.base import ProviderType, TextToSpeech
from voxtrad.providers.options import Embedded, Options


class EspeakOptions(Options):
    voice: str | None = Field(
        default=None,
        min_length=1,
        description="An espeak-ng voice such as en-us, en-gb, de or en-us+f3; unset follows the agent's language.",
    )
    speed: int = Field(default=160, ge=80, le=450, description="Words per minute.")
    pitch: int = Field(default=50, ge=0, le=99, description="Base pitch.")
    volume: int = Field(default=100, ge=0, le=200, description="Loudness; 100 is normal.")
    word_gap: int = Field(default=0, ge=0, le=100, description="Extra pause between words, in units of 10 ms.")


def _build(name: str, connection: Embedded, options: EspeakOptions) -> TextToSpeech:
    raise NotImplementedError


PROVIDER = ProviderType(kind="tts", connection=Embedded, options=EspeakOptions, build=_build)
