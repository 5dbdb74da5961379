"""Connects a recognition or a synthesis for one call, and tells it what the caller's line carries, if it wants to know;
closes it again.

A provider whose vendor has G.711 declares it in its capabilities and takes one argument more; others never see it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol, cast

import structlog

from voxtrad.audio.codec import Codec
from voxtrad.finishing import finished
from voxtrad.providers.base import SpeechToText, TextToSpeech, TranscriptStream, Voice

log = structlog.stdlib.get_logger(__name__)

CLOSING = 5.0
"""Seconds that closing may take: the vendor is told, and given a moment to answer."""


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


async def close(connection: TranscriptStream | Voice, provider: str) -> None:
    """Close it to the end, whoever closes it is cancelled meanwhile; one that does not end is left. A call waits for
    this."""
    await finished(_close(connection, provider))


async def _close(connection: TranscriptStream | Voice, provider: str) -> None:
    try:
        async with asyncio.timeout(CLOSING):
            await connection.aclose()
    except TimeoutError:
        log.warning("a provider's connection does not close", provider=provider, seconds=CLOSING)
