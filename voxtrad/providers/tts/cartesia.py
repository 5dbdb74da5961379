"""Speech by Cartesia's Sonic voices over its websocket: one socket a call, one context a sentence, with alignment.

Source: Cartesia's API reference, "Text to Speech (WebSocket)", and its pages "Contexts" and "API errors".
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Final

from pydantic import Field

from voxtrad.audio.codec import CODINGS, Codec
from voxtrad.audio.resample import Resampler
from voxtrad.config.types import ConfigModel, Name, Number
from voxtrad.providers.base import (
    JSON,
    BadRequest,
    MalformedAnswer,
    ProviderError,
    ProviderType,
    QuotaExceeded,
    SpeechChunk,
    TextToSpeech,
    TTSCapabilities,
    Unreachable,
    WordTiming,
)
from voxtrad.providers.options import ApiKey, NetworkConnection, ws_url
from voxtrad.providers.statuses import of_status
from voxtrad.providers.websocket import HEARTBEAT, Attended, Sockets, Warm

OFFICIAL: Final = "https://api.cartesia.ai"

_VERSION: Final = "2026-03-01"
"""The version of the API whose messages are read here."""
_ENCODINGS: Mapping[Codec, str] = {"linear": "pcm_s16le", "ulaw": "pcm_mulaw", "alaw": "pcm_alaw"}
_RATES = (8000, 16000, 22050, 24000, 44100, 48000)
_MOST_CANCELLED = 32
"""Interrupted sentences whose last messages may still come; with more the socket is opened anew."""


class CartesiaConnection(NetworkConnection):
    api_key: ApiKey
    """The API key."""


class CartesiaOptions(ConfigModel):
    voice: Name = "a0e99841-438c-4a64-b679-ae501e7d6091"
    """The voice's id."""
    model: Name = "sonic-3.5"
    """The model's id."""
    language: Name | None = None
    """The language; unset is the agent's."""
    speed: Number | None = Field(default=None, ge=0.6, le=1.5)
    """How fast it speaks; 1 is normal."""
    volume: Number | None = Field(default=None, ge=0.5, le=2)
    """How loud it speaks; 1 is normal."""
    emotion: Name | None = None
    """How it speaks (neutral, calm, content, sympathetic, …)."""
    pronunciation_dictionary: Name | None = None
    """The id of a pronunciation dictionary."""


class Cartesia:
    """The provider: the options, and a session that calls' sockets come from."""

    capabilities = TTSCapabilities(alignment=True, codecs=frozenset(_ENCODINGS))

    def __init__(self, name: str, connection: CartesiaConnection, options: CartesiaOptions) -> None:
        self.name = name
        self.options = options
        self._connection = connection
        self._sockets = Sockets(name, connection.timeout)

    @property
    def fingerprint(self) -> str:
        return f"cartesia {self.options.model_dump_json()}"

    async def open(self, *, rate: int, language: str, codec: Codec = "linear") -> CartesiaVoice:
        """Connect. Raises `ProviderError`."""
        voice = CartesiaVoice(self, rate, language, codec)
        await voice.connect()
        return voice

    async def connect(self) -> Attended:
        """Raises `ProviderError`."""
        socket = await self._sockets.open(
            f"{ws_url(self._connection.base_url or OFFICIAL)}/tts/websocket",
            query={"cartesia_version": _VERSION},
            headers={"X-API-Key": self._connection.api_key.get_secret_value()},
            heartbeat=HEARTBEAT,
        )
        return Attended(socket, self.name, self._of_close, timeout=self._connection.timeout)

    async def aclose(self) -> None:
        await self._sockets.aclose()

    def _of_close(self, code: int | None, reason: str) -> ProviderError:
        return Unreachable(f"the socket was closed ({code} {reason})", provider=self.name)


class CartesiaVoice:
    """One call's synthesis, one sentence at a time."""

    def __init__(self, provider: Cartesia, rate: int, language: str, codec: Codec) -> None:
        self._provider = provider
        self._rate = rate
        self._codec = codec
        self._pcm_rate = rate if rate in _RATES else 24000
        self._language = (provider.options.language or language).partition("-")[0]
        self._warm = Warm(provider.connect)
        self._cancelled = 0
        self._numbers = count(1)

    async def connect(self) -> Attended:
        if self._cancelled > _MOST_CANCELLED:
            await self.aclose()
        return await self._warm.get()

    async def synthesize(self, text: str) -> AsyncIterator[SpeechChunk]:
        """Speak one sentence in a context of its own; what comes for one that was interrupted is passed over."""
        resampler = Resampler(self._pcm_rate, self._rate)
        words = Words(text)
        context = f"s{next(self._numbers)}"
        heard = done = False
        socket, message = await self._ask(context, text)
        try:
            while not done:
                pcm, timings, done = self._part(message, words)
                heard = heard or bool(pcm)
                if (ready := resampler.push(pcm)) or timings:
                    yield SpeechChunk(ready, timings)
                if not done:
                    message = await self._receive(socket, context)
        except ProviderError:
            await self.aclose()
            raise
        finally:
            if not done:
                await self._cancel(context)
        if not heard and any(char.isalnum() for char in text):
            raise MalformedAnswer("an answer without audio", provider=self._provider.name)
        if tail := resampler.flush():
            yield SpeechChunk(tail)

    async def aclose(self) -> None:
        self._cancelled = 0
        await self._warm.drop()

    async def _ask(self, context: str, text: str) -> tuple[Attended, Mapping[str, object]]:
        """The first message of the answer. One that is closed at this very moment is replaced, once."""
        request = self._request(context, text)
        kept = self._warm.socket
        socket = await self.connect()
        try:
            return socket, await self._exchange(socket, context, request)
        except Unreachable:
            if socket is not kept or not socket.closed:
                await self.aclose()
                raise
        except BaseException:
            await self.aclose()
            raise
        socket = await self.connect()
        try:
            return socket, await self._exchange(socket, context, request)
        except BaseException:
            await self.aclose()
            raise

    async def _exchange(self, socket: Attended, context: str, request: Mapping[str, JSON]) -> Mapping[str, object]:
        await socket.send(request)
        return await self._receive(socket, context)

    def _request(self, context: str, text: str) -> dict[str, JSON]:
        options = self._provider.options
        tuning: dict[str, JSON] = {
            **({"speed": options.speed} if options.speed is not None else {}),
            **({"volume": options.volume} if options.volume is not None else {}),
            **({"emotion": options.emotion} if options.emotion is not None else {}),
        }
        dictionary = options.pronunciation_dictionary
        return {
            "model_id": options.model,
            "transcript": text,
            "voice": {"mode": "id", "id": options.voice},
            "language": self._language,
            "context_id": context,
            "output_format": {"container": "raw", "encoding": _ENCODINGS[self._codec], "sample_rate": self._pcm_rate},
            "add_timestamps": True,
            "continue": False,
            **({"generation_config": tuning} if tuning else {}),
            **({"pronunciation_dict_id": dictionary} if dictionary else {}),
        }

    async def _receive(self, socket: Attended, context: str) -> Mapping[str, object]:
        """The next message of this context."""
        while True:
            message = await socket.receive()
            if message.get("type") == "error" and message.get("context_id") in (context, None):
                raise self._of_error(message)
            if message.get("context_id") == context:
                return message

    def _part(self, message: Mapping[str, object], words: Words) -> tuple[bytes, tuple[WordTiming, ...], bool]:
        """What a message brings: audio, timings, the end."""
        match message.get("type"):
            case "chunk":
                try:
                    audio = base64.b64decode(str(message.get("data")), validate=True)
                except ValueError as error:
                    raise MalformedAnswer("audio that is not base64", provider=self._provider.name) from error
                return CODINGS[self._codec].decode(audio), (), False
            case "timestamps":
                return b"", words.timings(message.get("word_timestamps")), False
            case "done":
                return b"", (), True
            case _:
                return b"", (), False

    async def _cancel(self, context: str) -> None:
        socket = self._warm.socket
        if socket is None:
            return
        self._cancelled += 1
        try:
            await socket.send({"context_id": context, "cancel": True})
        except Unreachable:
            await self.aclose()  # it is gone; the next sentence opens another

    def _of_error(self, message: Mapping[str, object]) -> ProviderError:
        status, name = message.get("status_code"), self._provider.name
        said = f"{message.get('title', '')}: {message.get('message', '')}"[:300]
        if "quota" in str(message.get("error_code")) or "credit" in said.lower():
            return QuotaExceeded(f"the account is out of credit: {said}", provider=name, hint="check the billing")
        if status in (400, 404, 422):
            return BadRequest(f"refused: {said}", provider=name, hint="check voice, model and options")
        return of_status(status if isinstance(status, int) else 500, name)


@dataclass(slots=True)
class Words:
    """Where the words of a text are spoken, by the words and times that come in its order."""

    text: str
    _at: int = 0

    def timings(self, told: object) -> tuple[WordTiming, ...]:
        """None for what makes no sense, and for a word that was said otherwise than it is written."""
        if not isinstance(told, Mapping):
            return ()
        words, starts = told.get("words"), told.get("start")
        if not isinstance(words, list) or not isinstance(starts, list):
            return ()
        found = []
        for word, start in zip(words, starts, strict=False):
            if not isinstance(word, str) or not word or not isinstance(start, int | float):
                continue
            at = self.text.find(word, self._at)
            if at >= 0:
                found.append(WordTiming(at, max(0.0, float(start))))
                self._at = at + len(word)
        return tuple(found)


def _build(name: str, connection: CartesiaConnection, options: CartesiaOptions) -> TextToSpeech:
    return Cartesia(name, connection, options)


PROVIDER = ProviderType(kind="tts", connection=CartesiaConnection, options=CartesiaOptions, build=_build)
