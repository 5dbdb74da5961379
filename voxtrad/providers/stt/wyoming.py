"""Recognition by a Wyoming server (faster-whisper, vosk and others): one request for each utterance.

The voice-activity detector says where utterances end. Audio is sent while it is spoken; a connection serves one
utterance, since some servers hang up after each, and the next is open before it is needed. Source: the README of the
`wyoming` project, "Speech to text".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from voxtrad.config.types import ConfigModel, Name
from voxtrad.finishing import finished
from voxtrad.providers.base import (
    JSON,
    MalformedAnswer,
    ProviderError,
    ProviderType,
    SpeechToText,
    STTCapabilities,
    STTEvent,
    Transcript,
)
from voxtrad.providers.vendors.wyoming import Peer, WyomingConnection


class WyomingSTTOptions(ConfigModel):
    model: Name | None = None
    """The model, where the server has several."""
    language: Name | None = None
    """The language; unset is the agent's."""


class WyomingSTT:
    """The provider: where the server is; each utterance of a call has a connection of its own."""

    capabilities = STTCapabilities(partials=False, punctuates=False, final_delay=2.0, continuous=False)

    def __init__(self, name: str, connection: WyomingConnection, options: WyomingSTTOptions) -> None:
        self.name = name
        self._connection = connection
        self._options = options

    async def open(self, *, rate: int, language: str, hints: Sequence[str] = ()) -> WyomingSTTStream:
        """Connect. Raises `ProviderError`."""
        asked: dict[str, JSON] = {"language": self._options.language or language.partition("-")[0]}
        if self._options.model:
            asked["name"] = self._options.model
        if hints:
            asked["transcript_terms"] = list(hints)
        return WyomingSTTStream(self, await self.connect(), rate, asked)

    async def connect(self) -> Peer:
        return await Peer.connect(self.name, self._connection)

    async def aclose(self) -> None:
        """Connections belong to their calls."""


class WyomingSTTStream:
    """One call: a task sends each utterance as it comes, then waits for its text."""

    def __init__(self, provider: WyomingSTT, peer: Peer, rate: int, asked: dict[str, JSON]) -> None:
        self._provider = provider
        self._peer = peer
        self._format: dict[str, JSON] = {"rate": rate, "width": 2, "channels": 1}
        self._asked = asked
        self._audio: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._events: asyncio.Queue[STTEvent | ProviderError | None] = asyncio.Queue()
        self._asking = asyncio.create_task(self._ask(), name=f"stt-{provider.name}")

    async def send(self, pcm: bytes) -> None:
        self._audio.put_nowait(pcm)

    async def finalize(self) -> None:
        self._audio.put_nowait(None)

    async def events(self) -> AsyncIterator[STTEvent]:
        while (event := await self._events.get()) is not None:
            if isinstance(event, ProviderError):
                raise event
            yield event

    async def aclose(self) -> None:
        await finished(self._close())

    async def _close(self) -> None:
        self._asking.cancel()
        await asyncio.wait([self._asking])
        await self._peer.aclose()
        self._events.put_nowait(None)

    async def _ask(self) -> None:
        try:
            while True:
                piece = await self._audio.get()
                text = "" if piece is None else await self._utterance(piece)
                self._events.put_nowait(Transcript(text, final=True))
        except ProviderError as error:
            self._events.put_nowait(error)

    async def _utterance(self, piece: bytes | None) -> str:
        if self._peer.gone:
            self._peer = await self._provider.connect()
        peer = self._peer
        await peer.send("transcribe", self._asked)
        await peer.send("audio-start", self._format)
        while piece is not None:
            await peer.send("audio-chunk", self._format, piece)
            piece = await self._audio.get()
        await peer.send("audio-stop")
        while (event := await peer.receive()).type != "transcript":
            pass  # a text that is streamed comes as a whole at its end, too
        text = event.data.get("text")
        if not isinstance(text, str):
            raise MalformedAnswer("a transcript without text", provider=self._provider.name)
        await peer.aclose()
        self._peer = await self._provider.connect()
        return text.strip()


def _build(name: str, connection: WyomingConnection, options: WyomingSTTOptions) -> SpeechToText:
    return WyomingSTT(name, connection, options)


PROVIDER = ProviderType(kind="stt", connection=WyomingConnection, options=WyomingSTTOptions, build=_build)
