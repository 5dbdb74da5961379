"""Speech by ElevenLabs over its multi-context websocket: one socket a call, one context a sentence, with alignment.

The vendor's SDK has this socket in synchronous form only, so its protocol is spoken here; `transport: http` is a room
of its own. Source: ElevenLabs' API reference, "Multi-Context WebSocket", and its guide of the same name.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Annotated, Final, Literal
from urllib.parse import quote

from annotated_types import Len
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from voxtrad.audio.codec import Codec
from voxtrad.audio.g711 import decode_ulaw
from voxtrad.audio.resample import Resampler
from voxtrad.config.raising import Contradiction
from voxtrad.config.types import Boolean, ConfigModel, Integer, Name, Number
from voxtrad.providers.base import (
    JSON,
    MalformedAnswer,
    ProviderError,
    ProviderType,
    SpeechChunk,
    TextToSpeech,
    TTSCapabilities,
    Unreachable,
    WordTiming,
)
from voxtrad.providers.options import ws_url
from voxtrad.providers.vendors.elevenlabs import OFFICIAL, ElevenLabsConnection, of_close, of_code
from voxtrad.providers.websocket import HEARTBEAT, Attended, Sockets, Warm

_RATES: Final = (8000, 16000, 22050, 24000, 44100)
_IDLE = 180
"""Seconds that an idle socket is kept, the most that the API allows; after it the next sentence opens another."""
_MOST_CONTEXTS = 4
"""Contexts that may be under way; at five the API closes the socket. Interrupted sentences end a little later."""
_MOST_DICTIONARIES = 3
_LARGEST_SEED = 4294967295


def _check_dictionary(entry: str) -> str:
    id, _, version = entry.partition(":")
    if not id or not version:
        raise PydanticCustomError("dictionary", "must be a dictionary's id, a colon and its version's id")
    return entry


_Dictionary = Annotated[Name, AfterValidator(_check_dictionary)]


class ElevenLabsOptions(ConfigModel):
    voice: Name = "21m00Tcm4TlvDq8ikWAM"
    """The voice's id."""
    model: Name = "eleven_flash_v2_5"
    """The model's id."""
    transport: Literal["websocket", "http"] = "websocket"
    """`websocket` tells when each word is spoken; `http` asks for each sentence and needs the extra `elevenlabs`."""
    encoding: Literal["auto", "pcm", "ulaw"] = "auto"
    """What comes over the network: `auto` is u-law where the caller's line carries that, and PCM elsewhere; `ulaw` is
    for all calls at 8000 samples per second, and half as much as PCM."""
    language: Name | None = None
    """A language code to hold the model to, for models that take one."""
    stability: Number | None = Field(default=None, ge=0, le=1)
    """How even the voice stays."""
    similarity_boost: Number | None = Field(default=None, ge=0, le=1)
    """How close it keeps to the original voice."""
    use_speaker_boost: Boolean | None = None
    """Bring it closer still, a little later."""
    style: Number | None = Field(default=None, ge=0, le=1)
    """How much of the original's style is exaggerated."""
    speed: Number | None = Field(default=None, ge=0.7, le=1.2)
    """How fast it speaks; 1 is normal."""
    text_normalization: Literal["auto", "on", "off"] = "auto"
    """Whether numbers and the like are spelled out before they are spoken."""
    pronunciation_dictionaries: Annotated[tuple[_Dictionary, ...], Len(max_length=_MOST_DICTIONARIES)] = ()
    """Up to three pronunciation dictionaries, each as `id:version`, applied in this order."""
    seed: Integer | None = Field(default=None, ge=0, le=_LARGEST_SEED)
    """Ask for the same speech for the same text."""
    logging: Boolean = True
    """Let ElevenLabs keep what was spoken; off is its zero-retention mode, for enterprise accounts."""

    def contradictions(self) -> Iterator[Contradiction]:
        if self.transport == "websocket" and self.model.startswith("eleven_v3"):
            yield Contradiction("eleven_v3 has no websocket: it needs transport: http", ("transport", "model"))

    def settings(self) -> dict[str, bool | float]:
        """The voice's settings that are not left to the voice."""
        chosen = {
            "stability": self.stability,
            "similarity_boost": self.similarity_boost,
            "use_speaker_boost": self.use_speaker_boost,
            "style": self.style,
            "speed": self.speed,
        }
        return {key: value for key, value in chosen.items() if value is not None}

    def dictionaries(self) -> list[dict[str, str]]:
        """The pronunciation dictionaries, as the API wants them."""
        parts = (entry.partition(":") for entry in self.pronunciation_dictionaries)
        return [{"pronunciation_dictionary_id": id, "version_id": version} for id, _, version in parts]


class Sound:
    """The audio of one sentence as the vendor sends it, chosen so that as little as can be is converted."""

    def __init__(self, options: ElevenLabsOptions, rate: int, codec: Codec) -> None:
        """`codec` is what the caller's line carries."""
        encoding = codec if options.encoding == "auto" else options.encoding
        self._ulaw = encoding == "ulaw" and rate == 8000
        self.rate = rate if rate in _RATES else 24000
        """Samples per second of what comes."""
        self.format = f"{'ulaw' if self._ulaw else 'pcm'}_{self.rate}"
        """The vendor's name for it."""
        self._resampler = Resampler(self.rate, rate)

    def push(self, sent: bytes) -> bytes:
        """PCM at the call's rate, as much of it as can be given now."""
        return self._resampler.push(decode_ulaw(sent) if self._ulaw else sent)

    def flush(self) -> bytes:
        return self._resampler.flush()

    def seconds(self, sent: int) -> float:
        """How long so many bytes are."""
        return sent / (self.rate if self._ulaw else 2 * self.rate)


class ElevenLabs:
    """The provider: the options, and a session that calls' sockets come from."""

    capabilities = TTSCapabilities(alignment=True, codecs=frozenset({"ulaw"}))

    def __init__(self, name: str, connection: ElevenLabsConnection, options: ElevenLabsOptions) -> None:
        self.name = name
        self.options = options
        self._connection = connection
        self._sockets = Sockets(name, connection.timeout)

    @property
    def fingerprint(self) -> str:
        return f"elevenlabs {self.options.model_dump_json()}"

    async def open(self, *, rate: int, language: str, codec: Codec = "linear") -> ElevenLabsVoice:
        """Connect. Raises `ProviderError`."""
        voice = ElevenLabsVoice(self, rate, codec)
        await voice.connect()
        return voice

    async def connect(self, output_format: str) -> Attended:
        """Raises `ProviderError`."""
        options = self.options
        query = {
            "model_id": options.model,
            "output_format": output_format,
            "auto_mode": "true",
            "sync_alignment": "true",
            "inactivity_timeout": str(_IDLE),
            "apply_text_normalization": options.text_normalization,
            **({"language_code": options.language} if options.language else {}),
            **({"seed": str(options.seed)} if options.seed is not None else {}),
            **({} if options.logging else {"enable_logging": "false"}),
        }
        base = ws_url(self._connection.base_url or OFFICIAL)
        socket = await self._sockets.open(
            f"{base}/v1/text-to-speech/{quote(options.voice, safe='')}/multi-stream-input",
            query=query,
            headers=self._connection.headers(),
            heartbeat=HEARTBEAT,
        )
        return Attended(socket, self.name, partial(of_close, provider=self.name), timeout=self._connection.timeout)

    async def aclose(self) -> None:
        await self._sockets.aclose()


class ElevenLabsVoice:
    """One call's synthesis, one sentence at a time."""

    def __init__(self, provider: ElevenLabs, rate: int, codec: Codec) -> None:
        self._provider = provider
        self._rate = rate
        self._codec = codec
        self._format = Sound(provider.options, rate, codec).format
        self._warm = Warm(lambda: provider.connect(self._format))
        self._socket: Attended | None = None
        """The one over which the sentences under way are spoken."""
        self._under_way: set[str] = set()
        self._numbers = count(1)

    async def connect(self) -> Attended:
        """The socket; a new one where it was closed or too many interrupted sentences are still under way."""
        if len(self._under_way) >= _MOST_CONTEXTS:
            await self.aclose()
        socket = await self._warm.get()
        if socket is not self._socket:
            self._socket = socket
            self._under_way.clear()
        return socket

    async def synthesize(self, text: str) -> AsyncIterator[SpeechChunk]:
        """Speak one sentence in a context of its own; what comes for one that was interrupted is passed over."""
        name = self._provider.name
        context = f"s{next(self._numbers)}"
        sound = Sound(self._provider.options, self._rate, self._codec)
        alignment = Alignment(text)
        came = 0
        socket, message = await self._ask(context, text)
        try:
            while True:
                if audio := message.get("audio"):
                    sent = _pcm(audio, name)
                    timings = alignment.timings(message.get("alignment"), sound.seconds(came))
                    came += len(sent)
                    if (ready := sound.push(sent)) or timings:
                        yield SpeechChunk(ready, timings)
                if message.get("isFinal"):
                    break
                message = await self._receive(socket, context)
        except ProviderError:
            await self.aclose()
            raise
        if not came and any(char.isalnum() for char in text):
            raise MalformedAnswer("an answer without audio", provider=name)
        if tail := sound.flush():
            yield SpeechChunk(tail)

    async def aclose(self) -> None:
        self._socket = None
        self._under_way.clear()
        await self._warm.drop()

    async def _ask(self, context: str, text: str) -> tuple[Attended, Mapping[str, object]]:
        """The first message of the answer. A socket that the vendor closes at this very moment is replaced, once."""
        kept = self._socket
        socket = await self.connect()
        try:
            return socket, await self._exchange(socket, context, text)
        except ProviderError as error:
            if not (isinstance(error, Unreachable) and socket is kept and socket.closed):
                await self.aclose()
                raise
        socket = await self.connect()
        try:
            return socket, await self._exchange(socket, context, text)
        except ProviderError:
            await self.aclose()
            raise

    async def _exchange(self, socket: Attended, context: str, text: str) -> Mapping[str, object]:
        self._under_way.add(context)
        await socket.send({"text": " ", "context_id": context, **self._settings()})
        await socket.send({"text": text.rstrip() + " ", "context_id": context, "flush": True})
        await socket.send({"context_id": context, "close_context": True})
        return await self._receive(socket, context)

    def _note_end(self, message: Mapping[str, object]) -> None:
        if message.get("isFinal"):
            self._under_way.discard(str(message.get("contextId")))

    def _settings(self) -> dict[str, JSON]:
        options = self._provider.options
        return {
            **({"voice_settings": options.settings()} if options.settings() else {}),
            **({"pronunciation_dictionary_locators": found} if (found := options.dictionaries()) else {}),
        }

    async def _receive(self, socket: Attended, context: str) -> Mapping[str, object]:
        """The next message of this context. Raises `ProviderError`."""
        while True:
            message = await socket.receive()
            if error := message.get("error"):
                raise of_code(str(error), str(message.get("message") or error)[:300], self._provider.name)
            self._note_end(message)
            if message.get("contextId") == context:
                return message


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


def _pcm(audio: object, provider: str) -> bytes:
    try:
        return base64.b64decode(str(audio), validate=True)
    except ValueError as error:
        raise MalformedAnswer("audio that is not base64", provider=provider) from error


def _build(name: str, connection: ElevenLabsConnection, options: ElevenLabsOptions) -> TextToSpeech:
    if options.transport == "http":
        from voxtrad.providers.tts.elevenlabs_http import ElevenLabsOverHttp

        return ElevenLabsOverHttp(name, connection, options)
    return ElevenLabs(name, connection, options)


PROVIDER = ProviderType(kind="tts", connection=ElevenLabsConnection, options=ElevenLabsOptions, build=_build)
