"""Recognition by Deepgram, over its SDK: the Nova models (v1) and Flux (v2), which ends turns itself.

Source: Deepgram's API reference, "Live audio" and "Turn-based audio (Flux)", and its pages "Finalize", "Keep alive" and
"Understanding the Flux state machine".
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Len
from pydantic import Field

from voxtrad.audio.codec import CODINGS, Codec
from voxtrad.config.raising import Contradiction
from voxtrad.config.types import Boolean, ConfigModel, Duration, Name, Number
from voxtrad.finishing import finished
from voxtrad.providers.base import (
    BadRequest,
    ProviderError,
    ProviderType,
    SpeechToText,
    STTCapabilities,
    STTEvent,
    Transcript,
    TurnSignal,
    Unreachable,
)
from voxtrad.providers.vendors.deepgram import DeepgramConnection, make_client, typed_errors

if TYPE_CHECKING:
    from deepgram.listen.v1.socket_client import AsyncV1SocketClient
    from deepgram.listen.v2.socket_client import AsyncV2SocketClient

_KEEP_ALIVE = 4.0
"""Seconds without audio after which the stream is kept open; Deepgram closes it after some ten."""
_MOST_KEYTERMS = 100
_ENCODINGS: Mapping[Codec, str] = {"linear": "linear16", "ulaw": "mulaw", "alaw": "alaw"}
_NOVAS = ("punctuate", "smart_format", "endpointing")
_FLUXES = ("eot_threshold", "eager_eot_threshold", "eot_timeout")
"""Options of one generation alone."""


class DeepgramOptions(ConfigModel):
    model: Name = "nova-3"
    """nova-3, nova-2-phonecall, …; flux-general-en and flux-general-multi decide the end of a turn themselves."""
    language: Name | None = None
    """The language; unset is the agent's, and `multi` is any (nova-3)."""
    keyterms: Annotated[tuple[Name, ...], Len(max_length=_MOST_KEYTERMS)] = ()
    """Up to 100 names and terms to listen for, beside the agent's hints (nova-3 and Flux)."""
    punctuate: Boolean = True
    """Set full stops, so that a missing one means something (Nova)."""
    smart_format: Boolean = False
    """Write dates, times, amounts and numbers as one writes them (Nova)."""
    numerals: Boolean = True
    """Write spoken numbers as numerals; with Flux where it is set."""
    profanity_filter: Boolean = False
    """Mask profanity."""
    endpointing: Duration | None = 0.3
    """Silence after which a piece of transcript is final (Nova); null leaves it to voxtrad's own detector."""
    eot_threshold: Number | None = Field(default=None, ge=0.5, le=1)
    """How sure Flux must be that the turn has ended."""
    eager_eot_threshold: Number | None = Field(default=0.5, ge=0.3, le=0.9)
    """How sure Flux must be before an answer is prepared, at most `eot_threshold`; null never prepares one."""
    eot_timeout: Annotated[Duration, Field(ge=0.5, le=60)] | None = None
    """Silence after which Flux ends the turn in any case (500ms to 60s)."""
    mip_opt_out: Boolean = False
    """Keep the audio out of Deepgram's model improvement programme."""

    @property
    def flux(self) -> bool:
        return self.model.startswith("flux")

    @property
    def takes_keyterms(self) -> bool:
        return self.flux or self.model.startswith("nova-3")

    def contradictions(self) -> Iterator[Contradiction]:
        for key in _NOVAS if self.flux else _FLUXES:
            if key in self.model_fields_set:
                yield Contradiction(f"{key} does not go with the model {self.model}", (key, "model"))
        if self.keyterms and not self.takes_keyterms:
            yield Contradiction(f"keyterms do not go with the model {self.model}", ("keyterms", "model"))
        if self.model == "flux-general-en" and self.language and self.language.partition("-")[0] != "en":
            why = "flux-general-en hears English only; flux-general-multi hears others"
            yield Contradiction(why, ("language", "model"))
        if self.eager_eot_threshold and self.eot_threshold and self.eager_eot_threshold > self.eot_threshold:
            why = "eager_eot_threshold must not be above eot_threshold"
            yield Contradiction(why, ("eager_eot_threshold", "eot_threshold"))


class Deepgram:
    """The provider: a client and the options; each call has a socket of its own."""

    def __init__(self, name: str, connection: DeepgramConnection, options: DeepgramOptions) -> None:
        self.name = name
        self._connection = connection
        self._options = options
        self._client = make_client(connection, name)

    @property
    def capabilities(self) -> STTCapabilities:
        options = self._options
        if options.flux:
            return STTCapabilities(
                partials=True, end_of_turn=True, punctuates=True, final_delay=0.35, codecs=frozenset(_ENCODINGS)
            )
        return STTCapabilities(
            partials=True,
            punctuates=options.punctuate or options.smart_format,
            final_delay=0.35,
            wideband=not options.model.endswith("phonecall"),
            codecs=frozenset(_ENCODINGS),
        )

    async def open(
        self, *, rate: int, language: str, hints: Sequence[str] = (), codec: Codec = "linear"
    ) -> NovaStream | FluxStream:
        """Connect. Raises `ProviderError`."""
        terms = [term for term in dict.fromkeys([*self._options.keyterms, *hints]) if len(term) > 2][:_MOST_KEYTERMS]
        stack = AsyncExitStack()
        try:
            with typed_errors(self.name):
                async with asyncio.timeout(self._connection.timeout):
                    if self._options.flux:
                        return FluxStream(
                            self.name, stack, await self._flux(stack, rate, codec, language, terms), codec, rate
                        )
                    return NovaStream(self.name, stack, await self._nova(stack, rate, codec, language, terms), codec)
        except BaseException:
            await stack.aclose()
            raise

    async def aclose(self) -> None:
        """Sockets belong to their calls."""

    async def _nova(
        self, stack: AsyncExitStack, rate: int, codec: Codec, language: str, terms: Sequence[str]
    ) -> AsyncV1SocketClient:
        options = self._options
        wait = options.endpointing
        return await stack.enter_async_context(
            self._client.listen.v1.connect(
                model=options.model,
                language=options.language or language,
                encoding=_ENCODINGS[codec],
                sample_rate=rate,
                channels=1,
                interim_results=_flag(True),
                punctuate=_flag(options.punctuate),
                smart_format=_flag(options.smart_format),
                numerals=_flag(options.numerals),
                profanity_filter=_flag(options.profanity_filter),
                endpointing="false" if wait is None else round(wait * 1000),
                keyterm=list(terms) if options.takes_keyterms and terms else None,
                mip_opt_out=_flag(options.mip_opt_out),
            )
        )

    async def _flux(
        self, stack: AsyncExitStack, rate: int, codec: Codec, language: str, terms: Sequence[str]
    ) -> AsyncV2SocketClient:
        options = self._options
        multilingual = options.model == "flux-general-multi"
        return await stack.enter_async_context(
            self._client.listen.v2.connect(
                model=options.model,
                encoding=_ENCODINGS[codec],
                sample_rate=rate,
                eot_threshold=options.eot_threshold,
                eager_eot_threshold=options.eager_eot_threshold,
                eot_timeout_ms=None if options.eot_timeout is None else round(options.eot_timeout * 1000),
                keyterm=list(terms) or None,
                language_hint=[options.language or language] if multilingual else None,
                numerals=_flag(options.numerals) if "numerals" in options.model_fields_set else None,
                profanity_filter=_flag(True) if options.profanity_filter else None,
                mip_opt_out=_flag(options.mip_opt_out),
            )
        )


def _flag(value: bool) -> Literal["true", "false"]:
    return "true" if value else "false"


class _Stream:
    """What both generations share: the socket's life, and audio sent into it."""

    def __init__(
        self,
        name: str,
        stack: AsyncExitStack,
        socket: AsyncV1SocketClient | AsyncV2SocketClient,
        codec: Codec,
        keep_alive: Callable[[], Awaitable[None]],
    ) -> None:
        self._name = name
        self._stack = stack
        self._audio_socket = socket
        self._encode = CODINGS[codec].encode
        self._closed = False
        self._keep_alive = keep_alive
        self._sent_at = asyncio.get_running_loop().time()
        self._keeping = asyncio.create_task(self._keep_open(), name=f"stt-{name}")

    async def send(self, pcm: bytes) -> None:
        """A socket that is gone shows in `events`."""
        self._sent_at = asyncio.get_running_loop().time()
        with contextlib.suppress(ProviderError), typed_errors(self._name):
            await self._audio_socket.send_media(self._encode(pcm))

    async def aclose(self) -> None:
        if self._closed:
            return
        self._closed = True
        await finished(self._close())

    async def _close(self) -> None:
        self._keeping.cancel()
        await asyncio.wait([self._keeping])
        with contextlib.suppress(ProviderError), typed_errors(self._name):
            async with asyncio.timeout(1.0):
                await self._audio_socket.send_close_stream()
                await self._stack.aclose()

    async def _keep_open(self) -> None:
        while True:
            idle = asyncio.get_running_loop().time() - self._sent_at
            await asyncio.sleep(max(0.0, _KEEP_ALIVE - idle))
            if asyncio.get_running_loop().time() - self._sent_at >= _KEEP_ALIVE:
                self._sent_at = asyncio.get_running_loop().time()
                with contextlib.suppress(ProviderError), typed_errors(self._name):
                    await self._keep_alive()


class NovaStream(_Stream):
    """One call by v1. A final piece of the utterance comes at each pause; `finalize` asks for what is left of it."""

    def __init__(self, name: str, stack: AsyncExitStack, socket: AsyncV1SocketClient, codec: Codec) -> None:
        super().__init__(name, stack, socket, codec, socket.send_keep_alive)
        self._socket = socket

    async def finalize(self) -> None:
        with contextlib.suppress(ProviderError), typed_errors(self._name):
            await self._socket.send_finalize()

    async def events(self) -> AsyncIterator[STTEvent]:
        while True:
            try:
                with typed_errors(self._name):
                    message = await self._socket.recv()
                    event = self._event(message)
            except ProviderError:
                if self._closed:
                    return
                raise
            if event is not None:
                yield event

    def _event(self, message: object) -> Transcript | None:
        from deepgram.listen.v1.types import ListenV1Error, ListenV1Results

        if isinstance(message, ListenV1Error):
            raise Unreachable(f"the server reports: {message.description}", provider=self._name)
        if not isinstance(message, ListenV1Results):
            return None
        best = message.channel.alternatives[0]
        final = bool(message.is_final)
        if not best.transcript.strip() and not (final and message.from_finalize):
            return None
        return Transcript(best.transcript.strip(), final=final, confidence=best.confidence if best.transcript else None)


class FluxStream(_Stream):
    """One call by v2: every message tells the whole turn so far, and what became of it."""

    def __init__(self, name: str, stack: AsyncExitStack, socket: AsyncV2SocketClient, codec: Codec, rate: int) -> None:
        silence = CODINGS[codec].encode(bytes(rate // 10 * 2))  # v2 has no message that keeps the stream open
        super().__init__(name, stack, socket, codec, lambda: socket.send_media(silence))
        self._socket = socket

    async def finalize(self) -> None:
        """Flux decides when a turn ends; a pause is no reason."""

    async def events(self) -> AsyncIterator[STTEvent]:
        while True:
            try:
                with typed_errors(self._name):
                    message = await self._socket.recv()
                    events = self._events(message)
            except ProviderError:
                if self._closed:
                    return
                raise
            for event in events:
                yield event

    def _events(self, message: object) -> list[STTEvent]:
        from deepgram.listen.v2.types import ListenV2FatalError, ListenV2TurnInfo

        if isinstance(message, ListenV2FatalError):
            said = f"the server reports: {message.code} {message.description}"
            if message.code in ("INVALID_AUDIO", "UNPARSABLE_CLIENT_MESSAGE"):
                raise BadRequest(said, provider=self._name)
            raise Unreachable(said, provider=self._name)
        if not isinstance(message, ListenV2TurnInfo):
            return []
        text, sure = message.transcript.strip(), message.end_of_turn_confidence
        match message.event:
            case "EndOfTurn":
                return [Transcript(text, final=True), TurnSignal("end", text, sure)] if text else []
            case "EagerEndOfTurn":
                return [Transcript(text, final=False), TurnSignal("eager_end", text, sure)]
            case "TurnResumed":
                return [TurnSignal("resumed", text)]
            case "StartOfTurn":
                return [TurnSignal("started", text), *([Transcript(text, final=False)] if text else [])]
            case _:  # every quarter of a second of audio, without words too: it is alive
                return [Transcript(text, final=False)]


def _build(name: str, connection: DeepgramConnection, options: DeepgramOptions) -> SpeechToText:
    return Deepgram(name, connection, options)


PROVIDER = ProviderType(kind="stt", connection=DeepgramConnection, options=DeepgramOptions, build=_build)
