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
from voxtrad.finishing import finished
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

_ENCODINGS: Mapping[Codec, str] = {"linear": "linear16", "ulaw": "mulaw", "alaw": "alaw"}
_RATES = (8000, 16000, 24000, 48000)
_LONGEST: Final = 2000
"""Characters that one message may have."""
_MOST_FLUSHES, _MOST_CHARACTERS, _PER = 20, 2400, 60.0
"""Flushes, and characters, that one socket takes in so many seconds; the next sentence comes by another."""
_AGE: Final = 3300.0
"""Seconds after which a socket is changed for another: Deepgram closes it after an hour."""
_SPARE, _SPARE_FLUSHES = 600, 4
"""What a socket must still take, that another is not opened beside it."""


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


class _Line:
    """One socket, and what was asked for over it."""

    def __init__(self, stack: AsyncExitStack, socket: AsyncV1SocketClient) -> None:
        self.socket = socket
        self.uncleared = 0
        """Clears that were asked for and not yet confirmed: what comes before is of interrupted sentences."""
        self._stack = stack
        self._opened = _now()
        self._said: deque[tuple[float, int]] = deque()
        """When, and how many characters."""

    def say(self, size: int) -> None:
        """A text of so many characters is asked for now."""
        self._said.append((_now(), size))

    def takes(self, size: int, flushes: int = 1) -> bool:
        """Whether it takes so much more now."""
        now = _now()
        while self._said and now - self._said[0][0] >= _PER:
            self._said.popleft()
        if now - self._opened >= _AGE:
            return False
        characters = sum(said for _, said in self._said)
        return len(self._said) + flushes <= _MOST_FLUSHES and not (self._said and characters + size > _MOST_CHARACTERS)

    async def aclose(self, name: str) -> None:
        await finished(self._close(name))

    async def _close(self, name: str) -> None:
        with contextlib.suppress(ProviderError), typed_errors(name):
            async with asyncio.timeout(1.0):
                await self.socket.send_close()
                await self._stack.aclose()


class DeepgramVoice:
    """One call's synthesis, one sentence at a time. Before a socket is used up, its successor is open."""

    def __init__(self, provider: DeepgramSpeech, rate: int, codec: Codec) -> None:
        self._provider = provider
        self._codec = codec
        self._decode = CODINGS[codec].decode
        self._rate = rate
        self._pcm_rate = rate if rate in _RATES else 24000
        self._line: _Line | None = None
        self._next: asyncio.Task[_Line] | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def connect(self) -> _Line:
        if self._line is None:
            self._line = await self._open()
        return self._line

    async def synthesize(self, text: str) -> AsyncIterator[SpeechChunk]:
        """Speak one sentence."""
        resampler = Resampler(self._pcm_rate, self._rate)
        heard = whole = False
        try:
            line, piece = await self._ask(text)
            while piece is not None:
                heard = heard or bool(piece)
                if ready := resampler.push(self._decode(piece)):
                    yield SpeechChunk(ready)
                piece = await self._receive(line)
            whole = True
        except ProviderError:
            await self._drop()  # whatever the socket still holds belongs to no sentence
            raise
        finally:
            if not whole:
                await self._clear()
        if not heard and any(char.isalnum() for char in text):
            raise MalformedAnswer("an answer without audio", provider=self._provider.name)
        if tail := resampler.flush():
            yield SpeechChunk(tail)

    async def aclose(self) -> None:
        await finished(self._close())

    async def _close(self) -> None:
        await self._drop()
        coming, self._next = self._next, None
        if coming is not None:
            coming.cancel()
            await asyncio.wait([coming])
            if not coming.cancelled() and coming.exception() is None:
                await coming.result().aclose(self._provider.name)
        if self._closing:
            await asyncio.wait(self._closing)

    # --- sockets ------------------------------------------------------------------------------------------------------

    async def _open(self) -> _Line:
        stack = AsyncExitStack()
        try:
            return _Line(stack, await self._provider.connect(stack, self._pcm_rate, self._codec))
        except BaseException:
            await stack.aclose()
            raise

    async def _drop(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            await line.aclose(self._provider.name)

    async def _line_for(self, size: int) -> _Line:
        """A socket that takes a text of this size now."""
        line = await self.connect()
        if not line.takes(size):
            self._retire(line)
            self._line = None
            if self._next is not None:
                await asyncio.wait([self._next])
                coming, self._next = self._next, None
                with contextlib.suppress(ProviderError):
                    self._line = coming.result()
            line = await self.connect()
        line.say(size)
        if self._next is None and not line.takes(_SPARE, flushes=_SPARE_FLUSHES):
            self._next = asyncio.create_task(self._open(), name="aura-socket")
        return line

    def _retire(self, line: _Line) -> None:
        """Close a socket while the next one speaks."""
        closing = asyncio.create_task(line.aclose(self._provider.name), name="aura-close")
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)

    # --- a sentence ---------------------------------------------------------------------------------------------------

    async def _ask(self, text: str) -> tuple[_Line, bytes | None]:
        """The first audio of a sentence, None where it has none.

        A kept socket that is gone (Deepgram closes an idle one) is replaced, once: it may show only when an answer is
        waited for.
        """
        kept = self._line
        try:
            return await self._exchange(text)
        except Unreachable:
            if kept is None or self._line is not kept:
                raise
        await self._drop()
        return await self._exchange(text)

    async def _exchange(self, text: str) -> tuple[_Line, bytes | None]:
        line = await self._say(text)
        while (piece := await self._receive(line)) == b"":
            pass  # of another sentence, or no audio
        return line, piece

    async def _say(self, text: str) -> _Line:
        from deepgram.speak.v1.types import SpeakV1Text

        with typed_errors(self._provider.name):
            line = await self._line_for(len(text))
            for start in range(0, len(text), _LONGEST):
                await line.socket.send_text(SpeakV1Text(text=text[start : start + _LONGEST]))
            await line.socket.send_flush()
        return line

    async def _receive(self, line: _Line) -> bytes | None:
        """Audio of this sentence, nothing where a message is something else, None at its end."""
        name = self._provider.name
        with typed_errors(name):
            async with asyncio.timeout(self._provider.timeout):
                message: object = await line.socket.recv()
        if isinstance(message, bytes):
            return b"" if line.uncleared else message
        match getattr(message, "type", None):  # the SDK takes one class for another: their fields are the same
            case "Cleared":
                line.uncleared = max(0, line.uncleared - 1)
            case "Flushed":
                return b"" if line.uncleared else None
            case "Warning" | "Metadata":
                pass
            case "Error":
                raise Unreachable(f"the server reports: {getattr(message, 'description', '')}", provider=name)
            case _:
                raise MalformedAnswer("a message that the API does not allow", provider=name)
        return b""

    async def _clear(self) -> None:
        """Have the server forget the interrupted sentence."""
        line = self._line
        if line is None:
            return
        line.uncleared += 1
        try:
            with typed_errors(self._provider.name):
                await line.socket.send_clear()
        except ProviderError:
            await self._drop()


def _now() -> float:
    return asyncio.get_running_loop().time()


def _build(name: str, connection: DeepgramConnection, options: DeepgramSpeechOptions) -> TextToSpeech:
    return DeepgramSpeech(name, connection, options)


PROVIDER = ProviderType(kind="tts", connection=DeepgramConnection, options=DeepgramSpeechOptions, build=_build)
