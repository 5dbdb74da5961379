"""Recognition by OpenAI or any server that has its `audio/transcriptions`: one request for each utterance.

The voice-activity detector says where utterances end; nothing is heard before. `realtime: true` is a room of its own.
Source: OpenAI's API reference, "Create transcription".
"""

from __future__ import annotations

import asyncio
import io
import wave
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Literal

from pydantic import Field

from voxtrad.config.raising import Contradiction
from voxtrad.config.types import Boolean, ConfigModel, Name, Number
from voxtrad.providers.base import (
    MalformedAnswer,
    ProviderError,
    ProviderType,
    SpeechToText,
    STTCapabilities,
    STTEvent,
    Transcript,
)
from voxtrad.providers.vendors.openai import OpenAIConnection, make_client, make_http, typed_errors, warm_up

_SHORTEST = 0.1
"""Seconds of audio below which the API refuses a request; nobody says anything in less."""
_LONGEST = 120.0
"""Seconds of audio kept of one utterance; of a longer one the end counts."""

_WITHOUT_PROMPT = "gpt-realtime-whisper"
"""The model that is told nothing beforehand."""


class OpenAITranscriptionOptions(ConfigModel):
    model: Name | None = None
    """The model's name, as the server knows it; unset is gpt-transcribe, or gpt-live-transcribe with `realtime`."""
    realtime: Boolean = False
    """Recognise while the caller speaks, over a websocket. OpenAI has it; compatible servers mostly do not."""
    prompt: Name | None = None
    """What the talk is about, or how it is to be written."""
    keyterms: tuple[Name, ...] = ()
    """Names and terms to listen for, beside the agent's hints."""
    temperature: Number | None = Field(default=None, ge=0, le=1)
    """How freely the model guesses; unset leaves it to the server. Not with `realtime`."""
    send_language: Boolean = True
    """Tell the server the agent's language. Switch off for callers who speak any."""
    noise_reduction: Literal["near_field", "far_field"] | None = None
    """Filter noise first: `near_field` for headsets, `far_field` for speakerphones. Only with `realtime`."""

    def contradictions(self) -> Iterator[Contradiction]:
        if self.realtime and self.temperature is not None:
            yield Contradiction("temperature does not go with realtime", ("temperature", "realtime"))
        if self.noise_reduction is not None and not self.realtime:
            yield Contradiction("noise_reduction goes with realtime only", ("noise_reduction", "realtime"))
        if self.model is not None and self.model.startswith(_WITHOUT_PROMPT):
            for key in ("prompt", "keyterms"):
                if getattr(self, key):
                    yield Contradiction(f"the model {self.model} takes neither prompt nor keyterms", (key, "model"))

    def knowledge(self, model: str, hints: Sequence[str]) -> tuple[str, list[str]]:
        """The prompt and the keywords for a model: one without keywords is told in its prompt, if it has one."""
        if model.startswith(_WITHOUT_PROMPT):
            return "", []
        terms = list(dict.fromkeys([*self.keyterms, *hints]))
        if model.startswith(("gpt-transcribe", "gpt-live-transcribe")):
            return self.prompt or "", terms
        return ", ".join([*([self.prompt] if self.prompt else []), *terms]), []


class OpenAITranscription:
    """The provider: one client, and so one pool of connections, for all calls."""

    capabilities = STTCapabilities(partials=False, punctuates=True, final_delay=2.0, continuous=False)

    def __init__(self, name: str, connection: OpenAIConnection, options: OpenAITranscriptionOptions) -> None:
        self.name = name
        self._options = options
        self._model = options.model or "gpt-transcribe"
        with typed_errors(name):
            self._http = make_http(connection)
            self._client = make_client(connection, self._http)

    async def open(self, *, rate: int, language: str, hints: Sequence[str] = ()) -> OpenAITranscriptStream:
        await warm_up(self._http, str(self._client.base_url))
        return OpenAITranscriptStream(self, rate, language, hints)

    async def aclose(self) -> None:
        await self._client.close()

    async def transcribe(self, pcm: bytes, rate: int, language: str, hints: Sequence[str]) -> str:
        """The text of one utterance. Raises `ProviderError`."""
        from openai import omit

        options = self._options
        prompt, keywords = options.knowledge(self._model, hints)
        with typed_errors(self.name):
            found = await self._client.audio.transcriptions.create(
                file=("utterance.wav", _wav(pcm, rate), "audio/wav"),
                model=self._model,
                response_format="json",
                language=language.partition("-")[0] if options.send_language else omit,
                prompt=prompt or omit,
                keywords=keywords or omit,
                temperature=omit if options.temperature is None else options.temperature,
            )
            text: object = found.text
        if not isinstance(text, str):
            raise MalformedAnswer("an answer without text", provider=self.name)
        return text.strip()


class OpenAITranscriptStream:
    """One call: audio is kept until `finalize`, then asked about; the answers come in the order of the utterances."""

    def __init__(self, provider: OpenAITranscription, rate: int, language: str, hints: Sequence[str]) -> None:
        self._provider = provider
        self._rate = rate
        self._language = language
        self._hints = hints
        self._audio = bytearray()
        self._utterances: asyncio.Queue[bytes] = asyncio.Queue()
        self._events: asyncio.Queue[STTEvent | ProviderError | None] = asyncio.Queue()
        self._asking = asyncio.create_task(self._ask(), name=f"stt-{provider.name}")

    async def send(self, pcm: bytes) -> None:
        self._audio += pcm
        del self._audio[: max(0, len(self._audio) - int(_LONGEST * self._rate) * 2)]

    async def finalize(self) -> None:
        audio, self._audio = bytes(self._audio), bytearray()
        self._utterances.put_nowait(audio)

    async def events(self) -> AsyncIterator[STTEvent]:
        while (event := await self._events.get()) is not None:
            if isinstance(event, ProviderError):
                raise event
            yield event

    async def aclose(self) -> None:
        self._asking.cancel()
        await asyncio.wait([self._asking])
        self._events.put_nowait(None)

    async def _ask(self) -> None:
        while True:
            audio = await self._utterances.get()
            text = ""
            try:
                if len(audio) >= _SHORTEST * self._rate * 2:
                    text = await self._provider.transcribe(audio, self._rate, self._language, self._hints)
            except ProviderError as error:
                self._events.put_nowait(error)
                return
            self._events.put_nowait(Transcript(text, final=True))


def _wav(pcm: bytes, rate: int) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(pcm)
    return file.getvalue()


def _build(name: str, connection: OpenAIConnection, options: OpenAITranscriptionOptions) -> SpeechToText:
    if options.realtime:
        from voxtrad.providers.stt.openai_realtime import OpenAIRealtime

        return OpenAIRealtime(name, connection, options)
    return OpenAITranscription(name, connection, options)


PROVIDER = ProviderType(kind="stt", connection=OpenAIConnection, options=OpenAITranscriptionOptions, build=_build)
