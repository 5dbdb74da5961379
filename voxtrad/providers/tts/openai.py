"""Speech by OpenAI or any server that has its `audio/speech`, as raw PCM that is handed on while it comes.

Source: OpenAI's API reference, "Create speech", and its guide "Text to speech" (PCM is 24 kHz, 16 bit, mono).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from pydantic import Field

from voxtrad.audio.resample import Resampler
from voxtrad.config.types import ConfigModel, Integer, Name, Number
from voxtrad.providers.base import MalformedAnswer, ProviderType, SpeechChunk, TextToSpeech, TTSCapabilities
from voxtrad.providers.vendors.openai import OpenAIConnection, make_client, make_http, typed_errors, warm_up


class OpenAISpeechOptions(ConfigModel):
    model: Name = "gpt-4o-mini-tts"
    """The model's name, as the server knows it. OpenAI itself ends its models for this on 2027-01-06."""
    voice: Name = "alloy"
    """The voice's name, as the server knows it."""
    speed: Number | None = Field(default=None, ge=0.25, le=4)
    """How fast it speaks; 1 is normal."""
    instructions: Name | None = None
    """How to speak ("calm and friendly"), for models that take instructions."""
    pcm_rate: Integer = Field(default=24000, ge=8000, le=48000)
    """Samples per second of the server's PCM. OpenAI's is 24000; a compatible server's may differ."""


class OpenAISpeech:
    """The provider: one client, and so one pool of connections, for all calls."""

    capabilities = TTSCapabilities()

    def __init__(self, name: str, connection: OpenAIConnection, options: OpenAISpeechOptions) -> None:
        self.name = name
        self._options = options
        self._url = connection.base_url or ""
        with typed_errors(name):
            self._http = make_http(connection)
            self._client = make_client(connection, self._http)

    @property
    def fingerprint(self) -> str:
        return f"openai {self._url} {self._options.model_dump_json()}"

    async def open(self, *, rate: int, language: str) -> OpenAIVoice:
        await warm_up(self._http, str(self._client.base_url))
        return OpenAIVoice(self, rate)

    async def aclose(self) -> None:
        await self._client.close()

    async def speak(self, text: str) -> AsyncGenerator[bytes, None]:
        """The server's PCM in pieces of any length."""
        from openai import omit

        options = self._options
        with typed_errors(self.name):
            async with self._client.audio.speech.with_streaming_response.create(
                input=text,
                model=options.model,
                voice=options.voice,
                response_format="pcm",
                speed=omit if options.speed is None else options.speed,
                instructions=omit if options.instructions is None else options.instructions,
            ) as response:
                kind = response.headers.get("content-type", "")
                if kind.startswith(("application/json", "text/")):
                    raise MalformedAnswer(f"no audio but {kind}", provider=self.name)
                came = False
                async for piece in response.iter_bytes(4096):
                    came = came or bool(piece)
                    yield piece
                if not came:
                    raise MalformedAnswer("an answer without audio", provider=self.name)

    @property
    def pcm_rate(self) -> int:
        return self._options.pcm_rate


class OpenAIVoice:
    """One call's synthesis; the connections are the provider's."""

    def __init__(self, speech: OpenAISpeech, rate: int) -> None:
        self._speech = speech
        self._rate = rate

    async def synthesize(self, text: str) -> AsyncIterator[SpeechChunk]:
        resampler = Resampler(self._speech.pcm_rate, self._rate)
        async with aclosing(self._speech.speak(text)) as pieces:
            async for piece in pieces:
                if pcm := resampler.push(piece):
                    yield SpeechChunk(pcm)
        if tail := resampler.flush():
            yield SpeechChunk(tail)

    async def aclose(self) -> None:
        """Nothing is held."""


def _build(name: str, connection: OpenAIConnection, options: OpenAISpeechOptions) -> TextToSpeech:
    return OpenAISpeech(name, connection, options)


def _warning(connection: OpenAIConnection, options: OpenAISpeechOptions) -> str | None:
    """By OpenAI's page "Deprecations"; a compatible server's models are its own."""
    return "OpenAI ends its speech models for this on 2027-01-06: plan another voice" if connection.official else None


PROVIDER = ProviderType(
    kind="tts", connection=OpenAIConnection, options=OpenAISpeechOptions, build=_build, warning=_warning
)
