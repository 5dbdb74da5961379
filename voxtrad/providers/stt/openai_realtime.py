"""Recognition by OpenAI's realtime transcription: words as they are spoken, over a websocket; voxtrad ends utterances.

The SDK speaks this protocol by a package more, and retries by itself: so it is spoken here. Source: OpenAI's guide
"Realtime transcription" and its API reference, "Client events" and "Server events".
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence

import aiohttp

from voxtrad.audio.codec import CODINGS, Codec
from voxtrad.audio.resample import Resampler
from voxtrad.finishing import finished
from voxtrad.providers.base import (
    JSON,
    MalformedAnswer,
    ProviderError,
    ProviderTimeout,
    STTCapabilities,
    STTEvent,
    Transcript,
    Unreachable,
)
from voxtrad.providers.options import ws_url
from voxtrad.providers.stt.openai import OpenAITranscriptionOptions
from voxtrad.providers.vendors.openai import OFFICIAL, OpenAIConnection, of_code
from voxtrad.providers.websocket import Sockets, receive

_PCM_RATE = 24000
"""The one rate of PCM that the API takes; what has the telephone's 8,000 samples per second goes as G.711."""
_FORMATS: Mapping[Codec, JSON] = {
    "linear": {"type": "audio/pcm", "rate": _PCM_RATE},
    "ulaw": {"type": "audio/pcmu"},
    "alaw": {"type": "audio/pcma"},
}
_PIECE = 0.06
"""Seconds of audio in one message."""
_SHORTEST = 0.1
"""Seconds of audio below which a commit is refused."""
_HEARTBEAT = 20.0
_TRANSCRIPTION = "conversation.item.input_audio_transcription."


class OpenAIRealtime:
    """The provider: the options, and a session that calls' sockets come from."""

    capabilities = STTCapabilities(
        partials=True, punctuates=True, final_delay=1.0, continuous=False, codecs=frozenset(_FORMATS)
    )

    def __init__(self, name: str, connection: OpenAIConnection, options: OpenAITranscriptionOptions) -> None:
        self.name = name
        self._connection = connection
        self._options = options
        self._sockets = Sockets(name, connection.timeout)

    async def open(
        self, *, rate: int, language: str, hints: Sequence[str] = (), codec: Codec = "linear"
    ) -> OpenAIRealtimeStream:
        """Connect, and wait until the session is as it was asked for. Raises `ProviderError`."""
        connection = self._connection
        key = connection.api_key.get_secret_value() if connection.api_key else None
        socket = await self._sockets.open(
            f"{ws_url(connection.base_url or OFFICIAL)}/realtime",
            query={"intent": "transcription"},
            headers={
                **({"Authorization": f"Bearer {key}"} if key else {}),
                **({"OpenAI-Organization": connection.organization} if connection.organization else {}),
                **({"OpenAI-Project": connection.project} if connection.project else {}),
            },
            heartbeat=_HEARTBEAT,
        )
        if codec == "linear" and rate == 8000:
            codec = "ulaw"
        stream = OpenAIRealtimeStream(self.name, socket, rate, codec)
        try:
            async with asyncio.timeout(connection.timeout):
                await stream.begin(self._session(codec, language, hints))
        except TimeoutError as error:
            await stream.aclose()
            raise ProviderTimeout("the session did not begin in time", provider=self.name) from error
        except BaseException:
            await stream.aclose()
            raise
        return stream

    async def aclose(self) -> None:
        await self._sockets.aclose()

    def _session(self, codec: Codec, language: str, hints: Sequence[str]) -> dict[str, JSON]:
        options = self._options
        model = options.model or "gpt-live-transcribe"
        prompt, keywords = options.knowledge(model, hints)
        told: dict[str, JSON] = {
            "model": model,
            **({"language": language.partition("-")[0]} if options.send_language else {}),
            **({"prompt": prompt} if prompt else {}),
            **({"keywords": keywords} if keywords else {}),
        }
        noise = options.noise_reduction
        heard: dict[str, JSON] = {
            "format": _FORMATS[codec],
            "transcription": told,
            "turn_detection": None,
            **({"noise_reduction": {"type": noise}} if noise else {}),
        }
        return {"type": "transcription", "audio": {"input": heard}}


class OpenAIRealtimeStream:
    """One call's session: audio is added to a buffer, and each commit makes an item of it, with its text."""

    def __init__(self, name: str, socket: aiohttp.ClientWebSocketResponse, rate: int, codec: Codec) -> None:
        self._name = name
        self._socket = socket
        self._encode = CODINGS[codec].encode
        self._resampler = Resampler(rate, _PCM_RATE if codec == "linear" else rate)
        self._rate = self._resampler.target
        self._piece = int(self._rate * _PIECE) * 2
        self._audio = bytearray()
        self._uncommitted = 0
        self._items = Items()
        self._closed = False

    async def begin(self, session: Mapping[str, JSON]) -> None:
        """Raises `ProviderError` when the session is refused."""
        await self._expect("session.created")
        await self._say({"type": "session.update", "session": session})
        await self._expect("session.updated")

    async def send(self, pcm: bytes) -> None:
        """A socket that is gone shows in `events`."""
        self._audio += self._resampler.push(pcm)
        while len(self._audio) >= self._piece:
            piece = bytes(self._audio[: self._piece])
            del self._audio[: self._piece]
            await self._append(piece)

    async def finalize(self) -> None:
        rest, self._audio = bytes(self._audio) + self._resampler.flush(), bytearray()
        least = int(_SHORTEST * self._rate) * 2 - self._uncommitted
        if rest or least > 0:
            await self._append(rest.ljust(least, b"\0"))
        self._uncommitted = 0
        await self._say({"type": "input_audio_buffer.commit"})

    async def events(self) -> AsyncIterator[STTEvent]:
        while True:
            try:
                events = self._items.events(await self._receive(), self._name)
            except ProviderError:
                if self._closed:
                    return
                raise
            for event in events:
                yield event

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            await finished(self._socket.close())

    async def _append(self, pcm: bytes) -> None:
        self._uncommitted += len(pcm)
        audio = self._encode(pcm)
        await self._say({"type": "input_audio_buffer.append", "audio": base64.b64encode(audio).decode()})

    async def _say(self, event: Mapping[str, JSON]) -> None:
        with contextlib.suppress(ConnectionError):
            await self._socket.send_json(event)

    async def _expect(self, kind: str) -> None:
        message = await self._receive()
        if message.get("type") == "error":
            self._items.events(message, self._name)
        if message.get("type") != kind:
            raise MalformedAnswer(f"{message.get('type')!r} where {kind!r} was due", provider=self._name)

    async def _receive(self) -> Mapping[str, object]:
        return await receive(self._socket, self._name, self._of_close)

    def _of_close(self, code: int | None, reason: str) -> ProviderError:
        if "invalid_request_error" in reason or "invalid_api_key" in reason:
            kind, _, last = reason.partition(".")  # as in "invalid_request_error.invalid_api_key"
            told = of_code(last, reason, self._name)
            return told if not isinstance(told, Unreachable) else of_code(kind, reason, self._name)
        return Unreachable(f"the session was closed ({code} {reason})", provider=self._name)


class Items:
    """Makes our events of the server's. Items are committed in order; their texts may be complete in another."""

    def __init__(self) -> None:
        self._committed: deque[str] = deque()
        self._partial: dict[str, str] = {}
        self._complete: dict[str, str] = {}

    def events(self, message: Mapping[str, object], provider: str) -> list[STTEvent]:
        """Raises `ProviderError`."""
        kind, item = message.get("type"), str(message.get("item_id"))
        match kind:
            case "input_audio_buffer.committed":
                self._committed.append(item)
            case "error":
                raise_for(message, provider)
                return [Transcript("", final=True)]
            case str() if kind == _TRANSCRIPTION + "failed":
                if _error(message, provider).get("code") != "audio_unintelligible":
                    raise_for(message, provider)
                return self._end(item, "")  # a noise: there were no words in it
            case str() if kind == _TRANSCRIPTION + "delta":
                text = self._partial.get(item, "") + _text(message, "delta", provider)
                self._partial[item] = text
                return [Transcript(text.strip(), final=False)] if text.strip() else []
            case str() if kind == _TRANSCRIPTION + "completed":
                return self._end(item, _text(message, "transcript", provider).strip())
            case _:
                pass  # what later versions of the API add
        return []

    def _end(self, item: str, text: str) -> list[STTEvent]:
        self._partial.pop(item, None)
        self._complete[item] = text
        if item not in self._committed:
            self._committed.append(item)
        return self._ready()

    def _ready(self) -> list[STTEvent]:
        found: list[STTEvent] = []
        while self._committed and self._committed[0] in self._complete:
            found.append(Transcript(self._complete.pop(self._committed.popleft()), final=True))
        return found


def raise_for(message: Mapping[str, object], provider: str) -> None:
    """Raise what an error stands for; a commit of too little audio is none."""
    error = _error(message, provider)
    code, kind = error.get("code"), error.get("type")
    if code == "input_audio_buffer_commit_empty":
        return
    if code == "session_expired":  # of the type of refused requests, but the next session is as good as this one was
        raise Unreachable("the session has lasted as long as the API allows", provider=provider)
    said = " ".join(str(error.get("message", "")).split())[:300]
    told = of_code(str(code), said, provider)
    raise told if not isinstance(told, Unreachable) else of_code(str(kind), said, provider)


def _error(message: Mapping[str, object], provider: str) -> Mapping[str, object]:
    error = message.get("error")
    if not isinstance(error, Mapping):
        raise MalformedAnswer("an error that tells nothing", provider=provider)
    return error


def _text(message: Mapping[str, object], field: str, provider: str) -> str:
    text = message.get(field)
    if not isinstance(text, str):
        raise MalformedAnswer(f"a transcription without its {field}", provider=provider)
    return text
