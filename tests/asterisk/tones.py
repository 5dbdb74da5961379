"""Providers that need no CPU to be exact: a voice that speaks digits as tones, and a recogniser that reads them.

They stand in for speech where many calls run at once, so that each call's audio can be told from all others.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from voxtrad.providers.base import (
    ProviderType,
    SpeechChunk,
    STTCapabilities,
    STTEvent,
    TextToSpeech,
    Transcript,
    TTSCapabilities,
    Voice,
)

TONE, GAP = 0.14, 0.12
"""Seconds."""
_LOUD = 800
_APART = 9
"""Frames of 10 ms that are silent between two digits; a packet that came late leaves a shorter hole in a tone."""
_ONE = 19
"""Frames of sound that are one digit and not two, however they are torn."""


def tones_of(text: str, rate: int = 8000) -> bytes:
    """The digits of a text as tones, mono 16-bit PCM."""
    pieces = []
    for digit in (c for c in text if c.isdigit()):
        at = np.arange(round(TONE * rate)) / rate
        pieces += [0.4 * np.sin(2 * np.pi * _hz(int(digit)) * at), np.zeros(round(GAP * rate))]
    return (np.concatenate(pieces) * 32767).astype("<i2").tobytes() if pieces else bytes(round(0.2 * rate) * 2)


def digits_in(samples: NDArray[np.int16], rate: int = 8000) -> str:
    """The digits that sound in these samples. A tone that a late packet has torn in two is still one."""
    frame = rate // 100
    count = samples.size // frame
    loud = np.abs(samples[: count * frame].reshape(count, frame).astype(np.int32)).max(axis=1) > _LOUD
    pieces: list[tuple[str, int]] = []
    sounding: list[int] = []
    for index in (*np.flatnonzero(loud).tolist(), count + _APART):
        if sounding and index - sounding[-1] >= _APART:
            if sounding[-1] - sounding[0] >= 5:
                digit = _digit(samples[sounding[0] * frame : (sounding[-1] + 1) * frame], rate)
                if pieces and pieces[-1][0] == digit and pieces[-1][1] + len(sounding) <= _ONE:
                    pieces[-1] = digit, pieces[-1][1] + len(sounding)
                else:
                    pieces.append((digit, len(sounding)))
            sounding = []
        sounding.append(index)
    return "".join(digit for digit, _ in pieces)


def _hz(digit: int) -> float:
    return 500.0 + 150.0 * digit


def _digit(samples: NDArray[np.int16], rate: int) -> str:
    spectrum = np.abs(np.fft.rfft(samples.astype(float) * np.hanning(samples.size), n=4 * rate))
    hz = float(np.argmax(spectrum)) / 4
    return str(round((hz - 500.0) / 150.0))


class _None(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ToneReader:
    """Recognises `order 1234` from tones."""

    name = "tones"
    capabilities = STTCapabilities(partials=False, continuous=False, final_delay=0.5)

    async def open(self, *, rate: int, language: str, hints: Sequence[str] = ()) -> ToneStream:
        return ToneStream(rate)

    async def aclose(self) -> None:
        pass


class ToneStream:
    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._heard = bytearray()
        self._out: asyncio.Queue[STTEvent | None] = asyncio.Queue()

    async def send(self, pcm: bytes) -> None:
        self._heard += pcm

    async def finalize(self) -> None:
        digits = digits_in(np.frombuffer(bytes(self._heard), dtype="<i2"), self._rate)
        self._heard.clear()
        self._out.put_nowait(Transcript(f"order {digits}" if digits else "", final=True))

    async def events(self) -> AsyncIterator[STTEvent]:
        while (event := await self._out.get()) is not None:
            yield event

    async def aclose(self) -> None:
        self._out.put_nowait(None)


class ToneVoice:
    """Speaks the digits of a text as tones and is silent about the rest."""

    name = "tones"
    capabilities = TTSCapabilities()
    fingerprint = "tones"

    def __init__(self, rate: int = 8000) -> None:
        self._rate = rate

    async def open(self, *, rate: int, language: str) -> ToneVoice:
        return ToneVoice(rate)

    async def synthesize(self, text: str) -> AsyncIterator[SpeechChunk]:
        yield SpeechChunk(tones_of(text, self._rate))

    async def aclose(self) -> None:
        pass


class KeptVoice:
    """The built-in voice, and all that it has said, as it said it: no two syntheses of one text are the same."""

    name = "kept"
    capabilities = TTSCapabilities(alignment=True)
    fingerprint = "kept"

    def __init__(self, types: object) -> None:
        espeak = types["tts"]["espeak"]  # type: ignore[index]  # any mapping
        self._espeak: TextToSpeech = espeak.build("espeak", espeak.connection(), espeak.options())
        self.said: dict[str, bytes] = {}

    async def open(self, *, rate: int, language: str) -> _KeptSession:
        return _KeptSession(await self._espeak.open(rate=rate, language=language), self.said)

    async def aclose(self) -> None:
        await self._espeak.aclose()


class _KeptSession:
    def __init__(self, voice: Voice, said: dict[str, bytes]) -> None:
        self._voice = voice
        self._said = said

    async def synthesize(self, text: str) -> AsyncIterator[SpeechChunk]:
        self._said[text] = b""
        async for chunk in self._voice.synthesize(text):
            self._said[text] += chunk.pcm
            yield chunk

    async def aclose(self) -> None:
        await self._voice.aclose()


def with_tones(types: object, kept: KeptVoice) -> dict[str, dict[str, object]]:
    """The installation's provider types, `tones` as STT and TTS, and the TTS `kept`."""
    kinds: Sequence[Literal["stt", "llm", "tts", "vad"]] = ("stt", "llm", "tts", "vad")
    found: dict[str, dict[str, object]] = {kind: _Lazily(types[kind]) for kind in kinds}  # type: ignore[index]  # any mapping
    found["stt"]["tones"] = ProviderType("stt", _None, _None, lambda name, connection, options: ToneReader())
    found["tts"]["tones"] = ProviderType("tts", _None, _None, lambda name, connection, options: ToneVoice())
    found["tts"]["kept"] = ProviderType("tts", _None, _None, lambda name, connection, options: kept)
    return found


class _Lazily(dict[str, object]):
    """A mapping and what is added to it; values of the first are made when they are asked for."""

    def __init__(self, types: object) -> None:
        super().__init__(dict.fromkeys(types))  # type: ignore[call-overload]  # any mapping
        self._types = types

    def __getitem__(self, name: str) -> object:
        found = super().__getitem__(name)
        return self._types[name] if found is None else found  # type: ignore[index]  # any mapping
