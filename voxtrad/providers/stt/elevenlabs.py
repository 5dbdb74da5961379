"""Recognition by ElevenLabs' Scribe over its realtime websocket; voxtrad says where an utterance ends.

Its protocol is spoken here: the vendor's SDK hands messages to callbacks and says nothing of a refused connection.
Source: ElevenLabs' API reference, "Realtime" (speech to text), and its pages "Transcripts and commit strategies" and
"Realtime event reference".
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Annotated, Final

import aiohttp
from annotated_types import Len, MaxLen

from voxtrad.audio.codec import CODINGS, Codec
from voxtrad.audio.resample import Resampler
from voxtrad.config.types import Boolean, ConfigModel, Name
from voxtrad.finishing import finished
from voxtrad.providers.base import (
    MalformedAnswer,
    ProviderError,
    ProviderTimeout,
    ProviderType,
    SpeechToText,
    STTCapabilities,
    STTEvent,
    Transcript,
)
from voxtrad.providers.options import ws_url
from voxtrad.providers.vendors.elevenlabs import OFFICIAL, ElevenLabsConnection, of_close, of_code
from voxtrad.providers.websocket import Sockets, receive

_ENCODINGS: Final[Mapping[Codec, str]] = {"linear": "pcm", "ulaw": "ulaw"}
_RATES: Final = (8000, 16000, 22050, 24000, 44100, 48000)
_PIECE = 0.1
"""Seconds of audio in one message."""
_SHORTEST = 0.3
"""Seconds of audio below which the API ignores a commit."""
_KEEP_ALIVE = 4.0
"""Seconds without audio after which silence is sent: without any the API closes the socket after some ten."""
_HEARTBEAT = 20.0
_MOST_KEYTERMS, _LONGEST_KEYTERM, _MOST_WORDS = 50, 20, 5

_NOTHING_HEARD: Final = frozenset(("commit_throttled", "insufficient_audio_activity"))
"""A commit that is not carried out: there was too little to it."""


class ScribeOptions(ConfigModel):
    model: Name = "scribe_v2_realtime"
    """The model's id."""
    language: Name | None = None
    """The language callers speak, as ISO 639-1 or 639-3; unset is the agent's, and `auto` recognises it."""
    languages: tuple[Name, ...] = ()
    """Other languages that callers may speak."""
    keyterms: Annotated[tuple[Annotated[Name, MaxLen(_LONGEST_KEYTERM)], ...], Len(max_length=_MOST_KEYTERMS)] = ()
    """Up to 50 names and terms to listen for, of up to 20 characters; the agent's hints are added."""
    verbatim: Boolean = True
    """Write down fillers and false starts too, which tell that a sentence is not finished."""
    filter_background_audio: Boolean = False
    """Take less notice of voices and noises nearby."""
    logging: Boolean = True
    """Let ElevenLabs keep what was said; off is its zero-retention mode, for enterprise accounts."""


class Scribe:
    """The provider: the options, and a session that calls' sockets come from."""

    capabilities = STTCapabilities(partials=True, punctuates=True, final_delay=0.5, codecs=frozenset(_ENCODINGS))

    def __init__(self, name: str, connection: ElevenLabsConnection, options: ScribeOptions) -> None:
        self.name = name
        self._connection = connection
        self._options = options
        self._sockets = Sockets(name, connection.timeout)

    async def open(
        self, *, rate: int, language: str, hints: Sequence[str] = (), codec: Codec = "linear"
    ) -> ScribeStream:
        """Connect, and wait until the session has begun: a refusal is a message after the handshake."""
        known = rate if rate in _RATES else 16000
        socket = await self._sockets.open(
            f"{ws_url(self._connection.base_url or OFFICIAL)}/v1/speech-to-text/realtime",
            query=self._query(f"{_ENCODINGS[codec]}_{known}", language, hints),
            headers=self._connection.headers(),
            heartbeat=_HEARTBEAT,
        )
        stream = ScribeStream(self.name, socket, rate, known, codec)
        try:
            async with asyncio.timeout(self._connection.timeout):
                await stream.begin()
        except TimeoutError as error:
            await stream.aclose()
            raise ProviderTimeout("the session did not begin in time", provider=self.name) from error
        except BaseException:
            await stream.aclose()
            raise
        return stream

    async def aclose(self) -> None:
        await self._sockets.aclose()

    def _query(self, audio_format: str, language: str, hints: Sequence[str]) -> list[tuple[str, str]]:
        options = self._options
        spoken = options.language or language.partition("-")[0]
        terms = [term for term in dict.fromkeys([*options.keyterms, *hints]) if _is_keyterm(term)][:_MOST_KEYTERMS]
        return [
            ("model_id", options.model),
            ("audio_format", audio_format),
            ("commit_strategy", "manual"),
            *([("language_code", spoken)] if spoken != "auto" else []),
            *(("secondary_languages", other) for other in options.languages),
            *(("keyterms", term) for term in terms),
            *([] if options.verbatim else [("no_verbatim", "true")]),
            *([("filter_background_audio", "true")] if options.filter_background_audio else []),
            *([] if options.logging else [("enable_logging", "false")]),
        ]


def _is_keyterm(term: str) -> bool:
    return 2 < len(term) <= _LONGEST_KEYTERM and len(term.split()) <= _MOST_WORDS


class ScribeStream:
    """One call's session. A partial tells the whole utterance so far; a commit makes it final."""

    def __init__(
        self, name: str, socket: aiohttp.ClientWebSocketResponse, rate: int, sent_rate: int, codec: Codec
    ) -> None:
        self._name = name
        self._encode = CODINGS[codec].encode
        self._socket = socket
        self._rate = sent_rate
        self._resampler = Resampler(rate, sent_rate)
        self._piece = int(sent_rate * _PIECE) * 2
        self._audio = bytearray()
        self._uncommitted = 0
        self._commits = 0
        self._closed = False
        self._sent_at = asyncio.get_running_loop().time()
        self._keeping = asyncio.create_task(self._keep_open(), name=f"stt-{name}")

    async def begin(self) -> None:
        """Raises `ProviderError` when the session is refused."""
        message = await self._receive()
        if message.get("message_type") != "session_started":
            raise MalformedAnswer(f"a session that begins with {message.get('message_type')!r}", provider=self._name)

    async def send(self, pcm: bytes) -> None:
        """A socket that is gone shows in `events`."""
        self._audio += self._resampler.push(pcm)
        while len(self._audio) >= self._piece:
            piece = bytes(self._audio[: self._piece])
            del self._audio[: self._piece]
            await self._send(piece)

    async def finalize(self) -> None:
        rest, self._audio = bytes(self._audio) + self._resampler.flush(), bytearray()
        least = max(2, int(_SHORTEST * self._rate) * 2 - self._uncommitted)
        await self._send(rest.ljust(least, b"\0"), commit=True)

    async def events(self) -> AsyncIterator[STTEvent]:
        while True:
            try:
                event = self._event(await self._receive())
            except ProviderError:
                if self._closed:
                    return
                raise
            if event is not None:
                yield event

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        await finished(self._close())

    async def _close(self) -> None:
        self._keeping.cancel()
        await asyncio.wait([self._keeping])
        await self._socket.close()

    def _event(self, message: dict[str, object]) -> Transcript | None:
        kind, text = message.get("message_type"), message.get("text")
        if kind in _NOTHING_HEARD and self._commits:
            self._commits -= 1
            return Transcript("", final=True)
        if kind not in ("partial_transcript", "committed_transcript"):
            return None  # the beginning, warnings, times of words, and what later versions of the API add
        if not isinstance(text, str):
            raise MalformedAnswer("a transcript without its text", provider=self._name)
        said = text.strip()
        if kind == "partial_transcript":
            return Transcript(said, final=False) if said else None
        asked, self._commits = self._commits > 0, max(0, self._commits - 1)  # it commits by itself what grows too long
        return Transcript(said, final=True) if said or asked else None

    async def _receive(self) -> dict[str, object]:
        message = await receive(self._socket, self._name, partial(of_close, provider=self._name))
        kind = str(message.get("message_type"))
        if "error" in message and kind not in _NOTHING_HEARD:
            raise of_code(kind, str(message["error"])[:300], self._name)
        return message

    async def _send(self, pcm: bytes, *, commit: bool = False) -> None:
        self._sent_at = asyncio.get_running_loop().time()
        self._uncommitted = 0 if commit else self._uncommitted + len(pcm)
        self._commits += commit
        chunk = {
            "message_type": "input_audio_chunk",
            "audio_base_64": base64.b64encode(self._encode(pcm)).decode(),
            "commit": commit,
            "sample_rate": self._rate,
        }
        with contextlib.suppress(ConnectionError):
            await self._socket.send_json(chunk)

    async def _keep_open(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(max(0.0, self._sent_at + _KEEP_ALIVE - loop.time()))
            if loop.time() - self._sent_at >= _KEEP_ALIVE:
                await self._send(bytes(self._piece))


def _build(name: str, connection: ElevenLabsConnection, options: ScribeOptions) -> SpeechToText:
    return Scribe(name, connection, options)


PROVIDER = ProviderType(kind="stt", connection=ElevenLabsConnection, options=ScribeOptions, build=_build)
