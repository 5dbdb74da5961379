"""What a speech or language provider is: four small Protocols and the values that pass through them.

A provider module streams in, streams out and is cancelled by closing; it declares what it can do in its capabilities.
Retry, fallback and timing are wrapped around it from outside. All audio is mono 16-bit little-endian linear PCM at the
rate named in `open`; what a vendor needs instead is the provider's own business.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Literal, Protocol, Self, TypeVar, runtime_checkable

from pydantic import BaseModel

from voxtrad.audio.codec import Codec
from voxtrad.errors import VoxtradError

JSON = None | bool | int | float | str | Sequence["JSON"] | Mapping[str, "JSON"]

Kind = Literal["stt", "llm", "tts", "vad"]


# --- errors -----------------------------------------------------------------------------------------------------------


class ProviderError(VoxtradError):
    """A provider failed. `retryable` says whether asking the same one again later can help."""

    retryable = True

    def __init__(self, message: str, *, provider: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.provider = provider


class BadKey(ProviderError):
    """The vendor refused the credentials (401, 403)."""

    retryable = False


class QuotaExceeded(ProviderError):
    """The account is out of credit or over its plan (402, vendor codes)."""

    retryable = False


class BadRequest(ProviderError):
    """The vendor understood the request and refuses it (400, 404, 422): a wrong model, voice or option."""

    retryable = False


class RateLimited(ProviderError):
    """Too many requests (429). `retry_after` in seconds, where the vendor says."""

    def __init__(self, message: str, *, provider: str, hint: str | None = None, retry_after: float | None = None):
        super().__init__(message, provider=provider, hint=hint)
        self.retry_after = retry_after


class ProviderTimeout(ProviderError):
    """Nothing came within the stage's deadline."""


class Unreachable(ProviderError):
    """The network or the vendor's server failed (connection refused, reset, 5xx, a broken stream)."""


class MalformedAnswer(ProviderError):
    """The vendor sent something that its protocol does not allow."""


# --- speech to text ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was recognised of the current utterance. A final one will not change; a partial is replaced by the next."""

    text: str
    final: bool
    confidence: float | None = None
    provider: str = field(default="", compare=False)
    """Who it is from, where another stood in for the one that was asked."""


@dataclass(frozen=True, slots=True)
class TurnSignal:
    """The vendor's own word on turns, where it has one (Deepgram Flux, AssemblyAI)."""

    kind: Literal["started", "eager_end", "resumed", "end"]
    text: str = ""
    """The turn's transcript so far, with `eager_end` and `end`."""
    confidence: float | None = None
    provider: str = field(default="", compare=False)
    """Who it is from, where another stood in for the one that was asked."""


STTEvent = Transcript | TurnSignal


@dataclass(frozen=True, slots=True)
class STTCapabilities:
    partials: bool
    """Gives partial transcripts while the caller speaks."""
    end_of_turn: bool = False
    """Decides the end of a turn itself, by `TurnSignal`."""
    punctuates: bool = False
    """A missing full stop means something."""
    final_delay: float = 0.5
    """Seconds from the end of speech to the final transcript, as usual for the vendor (p99)."""
    turn_silence: float = 0.0
    """Seconds of silence in a turn in which one that ends turns itself may say nothing at all."""
    continuous: bool = True
    """Wants all audio, silence too. False: only speech (with pre-roll) is sent, `finalize` ends each utterance."""
    wideband: bool = True
    """Recognises more in 16,000 samples per second than in 8,000, where a caller's telephone has them."""
    codecs: frozenset[Codec] = frozenset()
    """G.711 that the vendor takes. Where the caller's line carries one of these, `open` is told so by an argument more,
    `codec`: encoded so, the audio is what it was on the line, to the bit. `send` gets linear PCM all the same."""


class TranscriptStream(Protocol):
    """One call's recognition. Iterating gives events until it is closed; it raises `ProviderError` when it breaks."""

    async def send(self, pcm: bytes) -> None:
        """Feed audio. Must not block on the network for longer than its own small buffer lasts."""
        ...

    async def finalize(self) -> None:
        """Ask for the final transcript of what was sent so far (the VAD heard the caller stop)."""
        ...

    def events(self) -> AsyncIterator[STTEvent]: ...

    async def aclose(self) -> None: ...


class SpeechToText(Protocol):
    @property
    def name(self) -> str:
        """The provider's name in the configuration; for logs, metrics and errors."""
        ...

    @property
    def capabilities(self) -> STTCapabilities: ...

    async def open(self, *, rate: int, language: str, hints: Sequence[str] = ()) -> TranscriptStream:
        """Connect for one call. `hints` are words and phrases that are likely to be said."""
        ...

    async def aclose(self) -> None:
        """Free what calls share."""
        ...


# --- language models --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as a model sees it. `parameters` is a JSON Schema of type object."""

    name: str
    description: str
    parameters: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model wants a tool. `arguments` is the object it wrote, or the raw text where that is not a JSON object."""

    id: str
    name: str
    arguments: Mapping[str, JSON] | str


@dataclass(frozen=True, slots=True)
class Message:
    """One entry of the conversation, in the terms of chat-completion APIs."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    """With role `tool`: which call this answers. With role `system`: which one it tells news of."""
    pending: bool = False
    """With role `tool`: `content` stands in for a result that is still to come."""
    interrupted: bool = False
    """With role `assistant`: the caller interrupted; `content` is what was heard."""


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str
    provider: str = field(default="", compare=False)
    """Who it is from, where another stood in for the one that was asked."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request; zero where the server does not say."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    provider: str = ""
    """The name of the provider that answered: one of several may have. Empty: the one that was asked."""
    model: str = ""
    """As the configuration names it."""


LLMEvent = TextDelta | ToolCall | Usage


class LanguageModel(Protocol):
    @property
    def name(self) -> str: ...

    def stream(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec] = (),
        *,
        variables: Mapping[str, Mapping[str, JSON]] | None = None,
    ) -> AsyncIterator[LLMEvent]:
        """Write the next assistant message: text as it comes, each tool call whole, `Usage` last where known.

        Closing the iterator cancels the request. `variables` are the template names of the call (`call`, `vars`), for
        models that answer from templates. Raises `ProviderError`.
        """
        ...

    async def warm(self) -> None:
        """Open the connection that the first turn will use. Never raises."""
        ...

    async def aclose(self) -> None: ...


# --- text to speech ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WordTiming:
    """Where a piece of the text is spoken: `offset` counts characters of the text, `start` seconds of the audio."""

    offset: int
    start: float


@dataclass(frozen=True, slots=True)
class SpeechChunk:
    """A piece of synthesized audio of any even length, and what is known of the words in it."""

    pcm: bytes
    timings: tuple[WordTiming, ...] = ()
    own: bool = True
    """The voice's own, as its fingerprint names it, and not cut short: only such audio is kept for another time."""
    provider: str = field(default="", compare=False)
    """Who it is from, where another stood in for the one that was asked."""


@dataclass(frozen=True, slots=True)
class TTSCapabilities:
    alignment: bool = False
    """Chunks carry timings."""
    codecs: frozenset[Codec] = frozenset()
    """G.711 that the vendor makes. Where the caller's line carries one of these, `open` is told so by an argument more,
    `codec`: it then goes out as the vendor made it, to the bit. Chunks are linear PCM all the same."""


class Voice(Protocol):
    """One call's synthesis: a connection kept warm between sentences."""

    def synthesize(self, text: str) -> AsyncIterator[SpeechChunk]:
        """Speak one sentence. Closing the iterator cancels it at once. Raises `ProviderError`."""
        ...

    async def aclose(self) -> None: ...


class TextToSpeech(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def capabilities(self) -> TTSCapabilities: ...

    @property
    def fingerprint(self) -> str:
        """Names all that decides how a text sounds (provider, voice, model, speed): a cache key without secrets."""
        ...

    async def open(self, *, rate: int, language: str) -> Voice: ...

    async def aclose(self) -> None: ...


@runtime_checkable
class Substitutes(Protocol):
    """A language model or a synthesis that is several: who is late is replaced by the next."""

    def hurried(self, left: Callable[[], float]) -> Self:
        """The same, for one call whose caller can bear so many more seconds of silence."""
        ...


# --- voice activity ---------------------------------------------------------------------------------------------------


class VoiceActivity(Protocol):
    """One call's voice-activity detector. Pure computation: no I/O, well under a millisecond a frame."""

    def voiced(self, frame: bytes) -> bool:
        """Whether this 20 ms frame holds speech."""
        ...


class VoiceActivityDetector(Protocol):
    @property
    def name(self) -> str: ...

    def open(self, *, rate: int) -> VoiceActivity:
        """A detector for one call at 8,000 or 16,000 samples per second."""
        ...


# --- registration -----------------------------------------------------------------------------------------------------

Provider = SpeechToText | LanguageModel | TextToSpeech | VoiceActivityDetector

ProviderT = TypeVar("ProviderT", bound=Provider, covariant=True)
ConnectionT = TypeVar("ConnectionT", bound=BaseModel)
OptionsT = TypeVar("OptionsT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class ProviderType(Generic[ProviderT, ConnectionT, OptionsT]):
    """What a provider module exports as `PROVIDER`, and what an entry point of a third party names.

    Importing the module must be cheap: a vendor's SDK is imported inside `build` or later.
    """

    kind: Kind
    connection: type[ConnectionT]
    """What may stand under `providers.<name>` (key, `base_url`, `timeout`). Frozen, extra keys forbidden."""
    options: type[OptionsT]
    """What may stand beside `provider:` in an agent. Frozen, extra keys forbidden."""
    build: Callable[[str, ConnectionT, OptionsT], ProviderT]
    """Makes the provider from its name in the configuration, its connection and its options. Does no I/O."""
    expected: Callable[[OptionsT], Sequence[str]] | None = None
    """For a language model that answers by rules: the words and phrases its options wait for, as hints for STT."""
    warning: Callable[[ConnectionT, OptionsT], str | None] | None = None
    """What an administrator should know of this choice, such as a model that its vendor is about to end."""
