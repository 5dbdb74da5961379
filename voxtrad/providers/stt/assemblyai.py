"""Recognition by AssemblyAI's streaming API (v3), which ends turns itself.

Its protocol is spoken here: the vendor's SDK drops messages it cannot read and retries on its own. Source: AssemblyAI's
pages "Streaming API", "Message sequence", "Turn detection" and "Common session errors and closures".
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Annotated, Final

import aiohttp
from annotated_types import Len, MaxLen
from pydantic import Field

from voxtrad.audio.codec import CODINGS, Codec
from voxtrad.config.raising import Contradiction
from voxtrad.config.types import Boolean, ConfigModel, Duration, Name, Number
from voxtrad.finishing import finished
from voxtrad.providers.base import (
    BadKey,
    BadRequest,
    MalformedAnswer,
    ProviderError,
    ProviderTimeout,
    ProviderType,
    QuotaExceeded,
    RateLimited,
    SpeechToText,
    STTCapabilities,
    STTEvent,
    Transcript,
    TurnSignal,
    Unreachable,
)
from voxtrad.providers.options import ApiKey, NetworkConnection, ws_url
from voxtrad.providers.websocket import Sockets, receive

OFFICIAL: Final = "https://streaming.assemblyai.com"

_VERSION = "2025-05-12"
"""The version of the API whose messages are read here."""
_ENCODINGS: Final[Mapping[Codec, str]] = {"linear": "pcm_s16le", "ulaw": "pcm_mulaw"}
_SHORTEST, _LONGEST = 0.05, 1.0
"""Seconds of audio in one message; the API refuses less and more."""
_MOST_KEYTERMS = 100
_LONGEST_KEYTERM = 50
_HEARTBEAT = 10.0
_TURN_SILENCE = 1.28
"""Seconds of silence after which AssemblyAI ends a turn in any case, unless it is told otherwise."""


class AssemblyAIConnection(NetworkConnection):
    api_key: ApiKey
    """The API key."""


class AssemblyAIOptions(ConfigModel):
    model: Name | None = None
    """The speech model; unset is universal-streaming-english, or -multilingual for an agent of another language."""
    languages: tuple[Name, ...] = ()
    """The languages that callers speak, for models that take them."""
    keyterms: Annotated[tuple[Annotated[Name, MaxLen(_LONGEST_KEYTERM)], ...], Len(max_length=_MOST_KEYTERMS)] = ()
    """Up to 100 names and terms to listen for, of up to 50 characters; the agent's hints are added."""
    ends_turns: Boolean = True
    """Whether AssemblyAI decides when the caller's turn has ended; otherwise voxtrad's own detector does."""
    format_turns: Boolean = False
    """Wait for punctuation and for numbers as one writes them; each turn's text comes a little later."""
    end_of_turn_confidence: Number | None = Field(default=None, ge=0, le=1)
    """How sure it must be that the turn has ended."""
    min_turn_silence: Duration | None = None
    """Silence after which a turn ends when it is sure."""
    max_turn_silence: Duration | None = None
    """Silence after which a turn ends in any case."""
    vad_threshold: Number | None = Field(default=None, ge=0, le=1)
    """How sure it must be that a sound is speech."""
    filter_profanity: Boolean = False
    """Mask profanity."""

    def contradictions(self) -> Iterator[Contradiction]:
        if self.end_of_turn_confidence is not None and not self.ends_turns:
            why = "end_of_turn_confidence does not go with ends_turns: false"
            yield Contradiction(why, ("end_of_turn_confidence", "ends_turns"))
        if self.min_turn_silence and self.max_turn_silence and self.min_turn_silence > self.max_turn_silence:
            why = "min_turn_silence must not be above max_turn_silence"
            yield Contradiction(why, ("min_turn_silence", "max_turn_silence"))


class AssemblyAI:
    """The provider: the options, and a session that calls' sockets come from."""

    def __init__(self, name: str, connection: AssemblyAIConnection, options: AssemblyAIOptions) -> None:
        self.name = name
        self._connection = connection
        self._options = options
        self._sockets = Sockets(name, connection.timeout)

    @property
    def capabilities(self) -> STTCapabilities:
        options = self._options
        return STTCapabilities(
            partials=True,
            end_of_turn=options.ends_turns,
            punctuates=options.format_turns,
            final_delay=0.42,
            turn_silence=_TURN_SILENCE if options.max_turn_silence is None else options.max_turn_silence,
            codecs=frozenset(_ENCODINGS),
        )

    async def open(
        self, *, rate: int, language: str, hints: Sequence[str] = (), codec: Codec = "linear"
    ) -> AssemblyAIStream:
        """Connect, and wait until the session has begun: a refused key is said after the handshake."""
        socket = await self._sockets.open(
            f"{ws_url(self._connection.base_url or OFFICIAL)}/v3/ws",
            query=self._query(rate, codec, language, hints),
            headers={
                "Authorization": self._connection.api_key.get_secret_value(),
                "AssemblyAI-Version": _VERSION,
            },
            heartbeat=_HEARTBEAT,
        )
        stream = AssemblyAIStream(self.name, socket, rate, codec, self._options)
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

    def _query(self, rate: int, codec: Codec, language: str, hints: Sequence[str]) -> dict[str, str]:
        options = self._options
        english = language.lower().partition("-")[0] == "en"
        terms = [t for t in dict.fromkeys([*options.keyterms, *hints]) if 2 < len(t) <= _LONGEST_KEYTERM]
        sure = options.end_of_turn_confidence if options.ends_turns else 1.0
        query: dict[str, object] = {
            "sample_rate": rate,
            "encoding": _ENCODINGS[codec],
            "speech_model": options.model or f"universal-streaming-{'english' if english else 'multilingual'}",
            "format_turns": _flag(options.format_turns),
            "language_codes": json.dumps(options.languages) if options.languages else None,
            "keyterms_prompt": json.dumps(terms[:_MOST_KEYTERMS], ensure_ascii=False) if terms else None,
            "end_of_turn_confidence_threshold": sure,
            "min_turn_silence": _milliseconds(options.min_turn_silence),
            "max_turn_silence": _milliseconds(options.max_turn_silence),
            "vad_threshold": options.vad_threshold,
            "filter_profanity": _flag(True) if options.filter_profanity else None,
        }
        return {key: str(value) for key, value in query.items() if value is not None}


def _flag(value: bool) -> str:
    return "true" if value else "false"


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)


class AssemblyAIStream:
    """One call's session: every message tells the whole turn so far."""

    def __init__(
        self,
        name: str,
        socket: aiohttp.ClientWebSocketResponse,
        rate: int,
        codec: Codec,
        options: AssemblyAIOptions,
    ) -> None:
        self._name = name
        self._socket = socket
        self._shortest = int(rate * _SHORTEST) * 2
        self._longest = int(rate * _LONGEST) * 2
        self._options = options
        self._encode = CODINGS[codec].encode
        self._audio = bytearray()
        self._turn = Turn(signals=options.ends_turns, formatted=options.format_turns)
        self._closed = False

    async def begin(self) -> None:
        """Raises `ProviderError` when the session is refused."""
        message = await self._receive()
        if message.get("type") != "Begin":
            raise MalformedAnswer(f"a session that begins with {message.get('type')!r}", provider=self._name)

    async def send(self, pcm: bytes) -> None:
        """A socket that is gone shows in `events`."""
        self._audio += pcm
        while len(self._audio) >= self._shortest:
            await self._send(bytes(self._audio[: self._longest]))
            del self._audio[: self._longest]

    async def finalize(self) -> None:
        """Where AssemblyAI ends turns itself a pause is no reason."""
        if self._options.ends_turns:
            return
        if self._audio:
            rest, self._audio = bytes(self._audio), bytearray()
            await self._send(rest.ljust(self._shortest, b"\0"))
        with contextlib.suppress(ConnectionError):
            await self._socket.send_json({"type": "ForceEndpoint"})

    async def events(self) -> AsyncIterator[STTEvent]:
        while True:
            try:
                events = self._turn.events(await self._receive(), self._name)
            except ProviderError:
                if self._closed:
                    return
                raise
            for event in events:
                yield event

    async def aclose(self) -> None:
        """Sessions are billed until they are terminated."""
        if self._closed:
            return
        self._closed = True
        await finished(self._close())

    async def _close(self) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(1.0):
                await self._socket.send_json({"type": "Terminate"})
        await self._socket.close()

    async def _send(self, pcm: bytes) -> None:
        with contextlib.suppress(ConnectionError):
            await self._socket.send_bytes(self._encode(pcm))

    async def _receive(self) -> Mapping[str, object]:
        message = await receive(self._socket, self._name, self._of_error)
        if message.get("type") == "Error":
            code = message.get("error_code")
            raise self._of_error(code if isinstance(code, int) else None, str(message.get("error", "")))
        return message

    def _of_error(self, code: int | None, said: str) -> ProviderError:
        """By the code of an error message or of a close frame; older sessions say all refusals by 1008."""
        words, told, name = said.lower(), said[:300], self._name
        if code == 3009 or "too many" in words:
            return RateLimited("too many sessions at once", provider=name)
        if "balance" in words or "funds" in words:
            return QuotaExceeded("the account is out of credit", provider=name, hint="check the billing")
        if code == 1008:
            return BadKey("the credentials were refused (1008)", provider=name, hint="check api_key and the account")
        if code == 3006:
            return BadRequest(f"refused: {told}", provider=name, hint="check the provider's options")
        return Unreachable(f"the session was closed ({code} {told})", provider=name)


class Turn:
    """Makes our events of the messages of a turn. `formatted`: the end of a turn is told twice, the second time with
    punctuation, and that one counts.
    """

    def __init__(self, *, signals: bool, formatted: bool) -> None:
        self._signals = signals
        self._formatted = formatted
        self._started = False
        self._eager: str | None = None

    def events(self, message: Mapping[str, object], provider: str) -> list[STTEvent]:
        """Raises `MalformedAnswer`."""
        match message.get("type"):
            case "SpeechStarted":
                return self._start()
            case "Turn":
                return self._turn(message, provider)
            case _:
                return []  # Begin, Termination, warnings, and what later versions of the API add

    def _turn(self, message: Mapping[str, object], provider: str) -> list[STTEvent]:
        transcript, words = message.get("transcript"), message.get("words")
        if not isinstance(transcript, str) or not isinstance(words, list):
            raise MalformedAnswer("a turn without its transcript", provider=provider)
        said = transcript.strip()
        if message.get("end_of_turn") is True:
            if not said or (self._formatted and message.get("turn_is_formatted") is not True):
                return []
            events = [*self._start(), *self._resume(said)]
            self._started, self._eager = False, None
            sure = _number(message.get("end_of_turn_confidence"))
            return [*events, Transcript(said, final=True), *self._signal(TurnSignal("end", said, sure))]
        # The transcript has the words that will not change; the last ones still may.
        text = " ".join(str(word.get("text", "")) for word in words if isinstance(word, dict)).strip() or said
        if not text:
            return []
        events = [*self._start(), *self._resume(text), Transcript(text, final=False)]
        if message.get("utterance") and text == said and not self._formatted:
            self._eager = text
            events += self._signal(TurnSignal("eager_end", text, _number(message.get("end_of_turn_confidence"))))
        return events

    def _start(self) -> list[STTEvent]:
        if self._started:
            return []
        self._started = True
        return self._signal(TurnSignal("started"))

    def _resume(self, text: str) -> list[STTEvent]:
        """A pause that seemed to be the end was none when more was said."""
        if self._eager is None or self._eager == text:
            return []
        self._eager = None
        return self._signal(TurnSignal("resumed", text))

    def _signal(self, signal: TurnSignal) -> list[STTEvent]:
        return [signal] if self._signals else []


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _build(name: str, connection: AssemblyAIConnection, options: AssemblyAIOptions) -> SpeechToText:
    return AssemblyAI(name, connection, options)


PROVIDER = ProviderType(kind="stt", connection=AssemblyAIConnection, options=AssemblyAIOptions, build=_build)
