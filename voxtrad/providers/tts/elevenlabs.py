"""Speech by ElevenLabs over its multi-context websocket: one socket a call, one context a sentence, with alignment.

The vendor's SDK has this socket in synchronous form only, so its protocol is spoken here. Source: ElevenLabs' API
reference, "Multi-Context WebSocket", and its guide of the same name.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Final, Literal
from urllib.parse import quote

import aiohttp
from pydantic import Field

from voxtrad.audio.resample import Resampler
from voxtrad.config.types import ConfigModel, Integer, Name, Number, Secret
from voxtrad.providers.base import (
    BadKey,
    BadRequest,
    MalformedAnswer,
    ProviderError,
    ProviderTimeout,
    ProviderType,
    QuotaExceeded,
    RateLimited,
    SpeechChunk,
    TextToSpeech,
    TTSCapabilities,
    Unreachable,
    WordTiming,
)
from voxtrad.providers.options import NetworkConnection, ws_url

OFFICIAL: Final = "https://api.elevenlabs.io"

_RATES = (8000, 16000, 22050, 24000, 44100)
_IDLE = 180
"""Seconds that an idle socket is kept, the most that the API allows; after it the next sentence opens another."""
_MOST_CONTEXTS = 4
"""Contexts that may be under way; at five the API closes the socket. Interrupted sentences end a little later."""


class ElevenLabsConnection(NetworkConnection):
    api_key: Secret
    """The API key."""


class ElevenLabsOptions(ConfigModel):
    voice: Name = "21m00Tcm4TlvDq8ikWAM"
    """The voice's id."""
    model: Name = "eleven_flash_v2_5"
    """The model's id."""
    language: Name | None = None
    """A language code to hold the model to, for models that take one."""
    stability: Number | None = Field(default=None, ge=0, le=1)
    """How even the voice stays."""
    similarity_boost: Number | None = Field(default=None, ge=0, le=1)
    """How close it keeps to the original voice."""
    style: Number | None = Field(default=None, ge=0, le=1)
    """How much of the original's style is exaggerated."""
    speed: Number | None = Field(default=None, ge=0.7, le=1.2)
    """How fast it speaks; 1 is normal."""
    text_normalization: Literal["auto", "on", "off"] = "auto"
    """Whether numbers and the like are spelled out before they are spoken."""
    pronunciation_dictionaries: tuple[Name, ...] = ()
    """Ids of pronunciation dictionaries, each with its version after a colon where one is meant."""
    seed: Integer | None = None
    """Ask for the same speech for the same text."""


class ElevenLabs:
    """The provider: the options, and a session that calls' sockets come from."""

    capabilities = TTSCapabilities(alignment=True)

    def __init__(self, name: str, connection: ElevenLabsConnection, options: ElevenLabsOptions) -> None:
        self.name = name
        self.options = options
        self._connection = connection
        self._session: aiohttp.ClientSession | None = None

    @property
    def fingerprint(self) -> str:
        return f"elevenlabs {self.options.model_dump_json()}"

    @property
    def timeout(self) -> float:
        return self._connection.timeout

    async def open(self, *, rate: int, language: str) -> ElevenLabsVoice:
        """Connect. Raises `ProviderError`."""
        voice = ElevenLabsVoice(self, rate)
        await voice.connect()
        return voice

    async def connect(self, pcm_rate: int) -> aiohttp.ClientWebSocketResponse:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        options = self.options
        query = {
            "model_id": options.model,
            "output_format": f"pcm_{pcm_rate}",
            "auto_mode": "true",
            "sync_alignment": "true",
            "inactivity_timeout": str(_IDLE),
            "apply_text_normalization": options.text_normalization,
            **({"language_code": options.language} if options.language else {}),
            **({"seed": str(options.seed)} if options.seed is not None else {}),
        }
        base = ws_url(self._connection.base_url or OFFICIAL)
        limit = aiohttp.ClientWSTimeout(ws_receive=self.timeout, ws_close=1.0)
        try:
            async with asyncio.timeout(self.timeout):
                return await self._session.ws_connect(
                    f"{base}/v1/text-to-speech/{quote(options.voice, safe='')}/multi-stream-input",
                    params=query,
                    headers={"xi-api-key": self._connection.api_key.get_secret_value()},
                    timeout=limit,
                    max_msg_size=16 * 1024 * 1024,
                )
        except aiohttp.WSServerHandshakeError as error:
            raise _of_status(error.status, self.name) from None  # it carries the request's headers, the key among them
        except TimeoutError as error:
            raise ProviderTimeout("the connection was not answered in time", provider=self.name) from error
        except aiohttp.ClientError as error:
            raise Unreachable(f"the connection failed ({type(error).__name__})", provider=self.name) from error

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()


class ElevenLabsVoice:
    """One call's synthesis, one sentence at a time."""

    def __init__(self, provider: ElevenLabs, rate: int) -> None:
        self._provider = provider
        self._rate = rate
        self._pcm_rate = rate if rate in _RATES else 24000
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._under_way: set[str] = set()
        self._numbers = count(1)

    async def connect(self) -> aiohttp.ClientWebSocketResponse:
        """The socket; a new one where it has gone idle or too many interrupted sentences are still under way."""
        if self._socket is None or self._socket.closed or len(self._under_way) >= _MOST_CONTEXTS:
            await self.aclose()
            self._socket = await self._provider.connect(self._pcm_rate)
        return self._socket

    async def synthesize(self, text: str) -> AsyncIterator[SpeechChunk]:
        """Speak one sentence in a context of its own; what comes for one that was interrupted is passed over."""
        name = self._provider.name
        socket = await self.connect()
        context = f"s{next(self._numbers)}"
        self._under_way.add(context)
        resampler = Resampler(self._pcm_rate, self._rate)
        alignment = Alignment(text)
        samples = 0
        try:
            await socket.send_json({"text": " ", "context_id": context, **self._settings()})
            await socket.send_json({"text": text.rstrip() + " ", "context_id": context, "flush": True})
            await socket.send_json({"context_id": context, "close_context": True})
            while True:
                message = await _receive(socket, name)
                self._note_end(message)
                if message.get("contextId") != context:
                    continue
                if audio := message.get("audio"):
                    pcm = _pcm(audio, name)
                    timings = alignment.timings(message.get("alignment"), samples / self._pcm_rate)
                    samples += len(pcm) // 2
                    if (ready := resampler.push(pcm)) or timings:
                        yield SpeechChunk(ready, timings)
                if message.get("isFinal"):
                    break
        except (ConnectionError, aiohttp.ClientError) as error:
            raise Unreachable(f"the connection broke ({type(error).__name__})", provider=name) from error
        if not samples and any(char.isalnum() for char in text):
            raise MalformedAnswer("an answer without audio", provider=name)
        if tail := resampler.flush():
            yield SpeechChunk(tail)

    async def aclose(self) -> None:
        socket, self._socket = self._socket, None
        self._under_way.clear()
        if socket is not None:
            await socket.close()

    def _note_end(self, message: Mapping[str, object]) -> None:
        if message.get("isFinal"):
            self._under_way.discard(str(message.get("contextId")))

    def _settings(self) -> dict[str, object]:
        options = self._provider.options
        settings = {
            "stability": options.stability,
            "similarity_boost": options.similarity_boost,
            "style": options.style,
            "speed": options.speed,
        }
        chosen = {key: value for key, value in settings.items() if value is not None}
        locators = [
            {"pronunciation_dictionary_id": id, **({"version_id": version} if version else {})}
            for id, _, version in (entry.partition(":") for entry in options.pronunciation_dictionaries)
        ]
        return {
            **({"voice_settings": chosen} if chosen else {}),
            **({"pronunciation_dictionary_locators": locators} if locators else {}),
        }


@dataclass(slots=True)
class Alignment:
    """Where the words of a text are spoken, by the times of characters, which count from each chunk's start."""

    text: str
    _at: int = 0

    def timings(self, alignment: object, start: float) -> tuple[WordTiming, ...]:
        """The words that begin in a chunk whose audio begins at `start` seconds; none for what makes no sense."""
        if not isinstance(alignment, Mapping):
            return ()
        chars, times = alignment.get("chars"), alignment.get("charStartTimesMs")
        if not isinstance(chars, list) or not isinstance(times, list):
            return ()
        found = []
        for char, time in zip(chars, times, strict=False):
            if not isinstance(char, str) or not char.strip() or not isinstance(time, int | float):
                continue
            at = self.text.find(char, self._at, self._at + 20)
            if at < 0:
                continue
            if at == 0 or self.text[at - 1].isspace():
                found.append(WordTiming(at, start + max(0.0, time / 1000)))
            self._at = at + len(char)
        return tuple(found)


async def _receive(socket: aiohttp.ClientWebSocketResponse, provider: str) -> Mapping[str, object]:
    """The next message. Raises `ProviderError` for errors, a closed socket, silence, and what is no message."""
    try:
        message = await socket.receive()
    except TimeoutError as error:
        raise ProviderTimeout("no audio in time", provider=provider) from error
    if message.type is not aiohttp.WSMsgType.TEXT:
        reason = message.extra if message.type is aiohttp.WSMsgType.CLOSE else ""
        raise _of_code(str(reason or ""), f"the socket was closed ({socket.close_code} {reason})", provider)
    try:
        parsed: object = json.loads(message.data)
    except ValueError as error:
        raise MalformedAnswer("a message that is not JSON", provider=provider) from error
    if not isinstance(parsed, dict):
        raise MalformedAnswer("a message that is not an object", provider=provider)
    if parsed.get("error"):
        raise _of_code(str(parsed["error"]), str(parsed.get("message") or parsed["error"])[:300], provider)
    return parsed


def _pcm(audio: object, provider: str) -> bytes:
    try:
        return base64.b64decode(str(audio), validate=True)
    except ValueError as error:
        raise MalformedAnswer("audio that is not base64", provider=provider) from error


def _of_status(status: int, provider: str) -> ProviderError:
    match status:
        case 401 | 403:
            return BadKey(f"the credentials were refused ({status})", provider=provider, hint="check api_key")
        case 402:
            return QuotaExceeded("the account is out of credit (402)", provider=provider)
        case 429:
            return RateLimited("too many requests at once (429)", provider=provider)
        case 400 | 404 | 422:
            return BadRequest(f"refused ({status})", provider=provider, hint="check voice and model")
        case _:
            return Unreachable(f"the server failed ({status})", provider=provider)


def _of_code(code: str, said: str, provider: str) -> ProviderError:
    """By the `error` of a message or the reason of a close frame."""
    if any(word in code for word in ("api_key", "authoriz", "authentic", "permission")):
        return BadKey("the credentials were refused", provider=provider, hint="check api_key and its permissions")
    if "quota" in code:
        return QuotaExceeded(f"the account is out of credit: {said}", provider=provider)
    if any(word in code for word in ("rate_limit", "concurrent", "max_active", "busy")):
        return RateLimited(f"too many requests: {said}", provider=provider)
    if any(word in code for word in ("voice", "model", "invalid", "unsupported")):
        return BadRequest(f"refused: {said}", provider=provider, hint="check voice, model and options")
    return Unreachable(said, provider=provider)


def _build(name: str, connection: ElevenLabsConnection, options: ElevenLabsOptions) -> TextToSpeech:
    return ElevenLabs(name, connection, options)


PROVIDER = ProviderType(kind="tts", connection=ElevenLabsConnection, options=ElevenLabsOptions, build=_build)
