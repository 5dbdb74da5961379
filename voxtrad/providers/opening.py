"""Connects a recognition or a synthesis for one call, and tells it what the caller's line carries, if it wants to know.

A provider whose vendor has G.711 declares it in its capabilities and takes one argument more; others never see it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, cast

from voxtrad.audio.codec import Codec
from voxtrad.providers.base import SpeechToText, TextToSpeech, TranscriptStream, Voice


class _HearsG711(Protocol):
    async def open(self, *, rate: int, language: str, hints: Sequence[str], codec: Codec) -> TranscriptStream: ...


class _SpeaksG711(Protocol):
    async def open(self, *, rate: int, language: str, codec: Codec) -> Voice: ...


async def open_stream(
    stt: SpeechToText, *, rate: int, language: str, hints: Sequence[str], codec: Codec
) -> TranscriptStream:
    """See `SpeechToText.open`. Raises `ProviderError`."""
    if codec in stt.capabilities.codecs:
        return await cast("_HearsG711", stt).open(rate=rate, language=language, hints=hints, codec=codec)
    return await stt.open(rate=rate, language=language, hints=hints)


async def open_voice(tts: TextToSpeech, *, rate: int, language: str, codec: Codec) -> Voice:
    """See `TextToSpeech.open`. Raises `ProviderError`."""
    if codec in tts.capabilities.codecs:
        return await cast("_SpeaksG711", tts).open(rate=rate, language=language, codec=codec)
    return await tts.open(rate=rate, language=language)
