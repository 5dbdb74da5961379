"""Speech by Deepgram's Aura voices over the SDK's websocket: one socket a call, each sentence flushed, Clear when it is
interrupted.

Source: Deepgram's API reference, "Text to speech streaming", and its pages "Flush", "Clear", "Chunking" and "Getting
Started" (limits).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from pydantic import Field

from voxtrad.audio.codec import CODINGS, Codec
from voxtrad.audio.resample import Resampler
from voxtrad.config.types import Boolean, ConfigModel, Name, Number
from voxtrad.providers.base import (
    MalformedAnswer,
    ProviderError,
    ProviderType,
    SpeechChunk,
    TextToSpeech,
    TTSCapabilities,
    Unreachable,
)
from voxtrad.providers.vendors.deepgram import DeepgramConnection, make_client, typed_errors

if TYPE_CHECKING:
    from deepgram.speak.v1.socket_client import AsyncV1SocketClient
    from deepgram.speak.v1.types import SpeakV1Text

_ENCODINGS: Mapping[Codec, str] = {"linear": "linear16", "ulaw": "mulaw", "alaw": "alaw"}
_RATES = (8000, 16000, 24000, 48000)
_LONGEST: Final = 2000
"""Characters that one message may have."""
_MOST_FLUSHES, _MOST_CHARACTERS, _PER = 20, 2400, 60.0
"""Flushes, and characters, that one socket takes in so many seconds; the next sentence comes by another."""


class DeepgramSpeechOptions(ConfigModel):
    model: Name = "aura-2-thalia-en"
    """The voice: its model's name, which says the language too."""
    speed: Number | None = Field(default=None, ge=0.7, le=1.5)
    """How fast it speaks, for voices that have it; 1 is normal."""
    mip_opt_out: Boolean = False
    """Keep the text out of Deepgram's model improvement programme."""


class DeepgramSpeech:
    """The provider: a client and the options; each call has a socket of its own."""

    capabilities = TTSCapabilities(codecs=frozenset(_ENCODINGS))

    def __init__(self, name: str, connection: DeepgramConnection, options: DeepgramSpeechOptions) -> None:
        self.name = name
        self.timeout = connection.timeout
        self._options = options
        self._client = make_client(connection, name)

    @property
    def fingerprint(self) -> str:
        return f"deepgram {self._options.model_dump_json()}"

    async def open(self, *, rate: int, language: str, codec: Codec = "linear") -> DeepgramVoice:
        """Connect. Raises `ProviderError`."""
        voice = DeepgramVoice(self, rate, codec)
        await voice.connect()
        return voice

    async def aclose(self) -> None:
        """Sockets belong to their calls."""

    async def connect(self, stack: AsyncExitStack, pcm_rate: int, codec: Codec) -> AsyncV1SocketClient:
        options = self._options
        with typed_errors(self.name):
            async with asyncio.timeout(self.timeout):
                return await stack.enter_async_context(
                    self._client.speak.v1.connect(
                        model=options.model,
                        encoding=_ENCODINGS[codec],
                        sample_rate=str(pcm_rate),
                        speed=options.speed,
                        mip_opt_out="true" if options.mip_opt_out else "false",
                    )
                )


class DeepgramVoice:
    """One call's synthesis, one sentence at a time."""

    def __init__(self, provider: DeepgramSpeech, rate: int, codec: Codec) -> None:
        self._provider = provider
        self._codec = codec
        self._decode = CODINGS[codec].decode
        self._rate = rate
        self._pcm_rate = rate if rate in _RATES else 24000
        self._stack: AsyncExitStack | None = None
        self._socket: AsyncV1SocketClient | None = None
        self._said: deque[tuple[float, int]] = deque()
        """When, over this socket, and how many characters."""
        self._uncleared = 0
        """Clears that were asked for and not yet confirmed: what comes before is of interrupted sentences."""

    async def connect(self) -> AsyncV1SocketClient:
        if self._socket is None:
            stack = AsyncExitStack()
            try:
                self._socket = await self._provider.connect(stack, self._pcm_rate, self._codec)
            except BaseException:
                await stack.aclose()
                raise
            self._stack = stack
        return self._socket

    async def synthesize(self, text: str) -> AsyncIterator[SpeechChunk]:
        """Speak one sentence."""
        resampler = Resampler(self._pcm_rate, self._rate)
        heard = whole = False
        try:
            socket, piece = await self._ask(text)
            while piece is not None:
                heard = heard or bool(piece)
                if ready := resampler.push(self._decode(piece)):
                    yield SpeechChunk(ready)
                piece = await self._receive(socket)
            whole = True
        except ProviderError:
            await self.aclose()  # whatever the socket still holds belongs to no sentence
            raise
        finally:
            if not whole:
                await self._clear()
        if not heard and any(char.isalnum() for char in text):
            raise MalformedAnswer("an answer without audio", provider=self._provider.name)
        if tail := resampler.flush():
            yield SpeechChunk(tail)

    async def aclose(self) -> None:
        stack, self._stack = self._stack, None
        socket, self._socket = self._socket, None
        self._uncleared = 0
        self._said.clear()
        if stack is None or socket is None:
            return
        with contextlib.suppress(ProviderError), typed_errors(self._provider.name):
            async with asyncio.timeout(1.0):
                await socket.send_close()
                await stack.aclose()

    async def _ask(self, text: str) -> tuple[AsyncV1SocketClient, bytes | None]:
        """The first audio of a sentence, None where it has none.

        A kept socket that is gone (Deepgram closes an idle one, and any after an hour) is replaced, once: it may show
        only when an answer is waited for.
        """
        kept = self._socket
        try:
            return await self._exchange(text)
        except Unreachable:
            if kept is None or self._socket is not kept:
                raise
        await self.aclose()
        return await self._exchange(text)

    async def _exchange(self, text: str) -> tuple[AsyncV1SocketClient, bytes | None]:
        socket = await self._say(text)
        while (piece := await self._receive(socket)) == b"":
            pass  # of another sentence, or no audio
        return socket, piece

    async def _say(self, text: str) -> AsyncV1SocketClient:
        from deepgram.speak.v1.types import SpeakV1Text

        now = asyncio.get_running_loop().time()
        if self._exhausted(now, len(text)):
            await self.aclose()
        with typed_errors(self._provider.name):
            socket = await self.connect()
            await self._send(socket, SpeakV1Text, text)
        self._said.append((now, len(text)))
        return socket

    def _exhausted(self, now: float, size: int) -> bool:
        """Whether the socket would take no more of this size now."""
        while self._said and now - self._said[0][0] >= _PER:
            self._said.popleft()
        characters = sum(said for _, said in self._said)
        return len(self._said) >= _MOST_FLUSHES or bool(self._said and characters + size > _MOST_CHARACTERS)

    async def _send(self, socket: AsyncV1SocketClient, message: type[SpeakV1Text], text: str) -> None:
        for start in range(0, len(text), _LONGEST):
            await socket.send_text(message(text=text[start : start + _LONGEST]))
        await socket.send_flush()

    async def _receive(self, socket: AsyncV1SocketClient) -> bytes | None:
        """Audio of this sentence, nothing where a message is something else, None at its end."""
        name = self._provider.name
        with typed_errors(name):
            async with asyncio.timeout(self._provider.timeout):
                message: object = await socket.recv()
        if isinstance(message, bytes):
            return b"" if self._uncleared else message
        match getattr(message, "type", None):  # the SDK takes one class for another: their fields are the same
            case "Cleared":
                self._uncleared = max(0, self._uncleared - 1)
            case "Flushed":
                return b"" if self._uncleared else None
            case "Warning" | "Metadata":
                pass
            case "Error":
                raise Unreachable(f"the server reports: {getattr(message, 'description', '')}", provider=name)
            case _:
                raise MalformedAnswer("a message that the API does not allow", provider=name)
        return b""

    async def _clear(self) -> None:
        """Have the server forget the interrupted sentence."""
        if self._socket is None:
            return
        self._uncleared += 1
        try:
            with typed_errors(self._provider.name):
                await self._socket.send_clear()
        except ProviderError:
            await self.aclose()


def _build(name: str, connection: DeepgramConnection, options: DeepgramSpeechOptions) -> TextToSpeech:
    return DeepgramSpeech(name, connection, options)


PROVIDER = ProviderType(kind="tts", connection=DeepgramConnection, options=DeepgramSpeechOptions, build=_build)
