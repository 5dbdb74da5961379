"""Every provider on a bench: built as the configuration builds it, its vendor's server (where it has one) on loopback.

A bench takes a trouble that the server is to make; the contract suites run every provider of a kind through the same
cases. A new vendor adds one function and one line here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, TypeVar

from tests.fakes import anthropic_server
from tests.fakes.anthropic_server import fake_anthropic
from tests.fakes.assemblyai_server import fake_assemblyai
from tests.fakes.cartesia_server import fake_cartesia
from tests.fakes.deepgram_server import fake_deepgram
from tests.fakes.deepgram_speak_server import fake_deepgram_speak
from tests.fakes.elevenlabs_listen_server import fake_scribe
from tests.fakes.elevenlabs_server import fake_elevenlabs
from tests.fakes.line import Line
from tests.fakes.openai_realtime_server import fake_openai_realtime
from tests.fakes.openai_server import Answer, Chunks, Cut, Error, Stall, Text, fake_openai
from tests.fakes.piper_voice import make_voice
from tests.fakes.wyoming_server import fake_wyoming
from voxtrad.providers.base import LanguageModel, Provider, SpeechToText, TextToSpeech
from voxtrad.providers.registry import provider_types

Trouble = Literal["none", "stall", "cut", "malformed", "bad key", "rate limit", "server error", "nobody there"]

TROUBLES: tuple[Trouble, ...] = ("stall", "cut", "malformed", "bad key", "rate limit", "server error", "nobody there")

KEY = "secret-key-0123456789"

NOBODY = "http://127.0.0.1:1"
"""Where nothing listens."""

P = TypeVar("P", bound=Provider)
Bench = Callable[..., AbstractAsyncContextManager[P]]
"""Takes a trouble, and a line for the provider to be connected by."""

_OPENAI_ANSWERS: dict[Trouble, Answer] = {
    "none": Text(["Hello", " there."]),
    "stall": Stall(["Hel"]),
    "cut": Cut(["Hel"]),
    "malformed": Chunks(["data: {not json\n\n"]),
    "bad key": Error(401, f"Incorrect API key provided: {KEY}", code="invalid_api_key"),
    "rate limit": Error(429, "slow down", "requests", "rate_limit_exceeded", {"retry-after": "3"}),
    "server error": Error(500, "oops", "server_error"),
    "nobody there": Text([]),
}


def make(kind, type_, connection, options):
    """A provider as cli and daemon make it."""
    found = provider_types()[kind][type_]
    return found.build(type_, found.connection.model_validate(connection), found.options.model_validate(options))


def patience(trouble: Trouble) -> str:
    """Nothing else is to be taken for a stall, however busy the machine is."""
    return "300ms" if trouble == "stall" else "20s"


async def address(trouble: Trouble, url: str, line: Line | None) -> str:
    """Where a provider is to connect to."""
    if trouble == "nobody there":
        return NOBODY
    return url if line is None else await line.to(url)


def embedded(kind, type_, options) -> Bench:
    @asynccontextmanager
    async def bench(trouble: Trouble = "none", line: Line | None = None) -> AsyncIterator[Provider]:
        provider = make(kind, type_, {}, options)
        yield provider
        await provider.aclose()

    return bench


def openai(kind) -> Bench:
    @asynccontextmanager
    async def bench(trouble: Trouble = "none", line: Line | None = None) -> AsyncIterator[Provider]:
        async with fake_openai(_OPENAI_ANSWERS[trouble]) as server:
            server.transcript = "goodbye"
            server.speech = bytes(range(256)) * 2 * 94  # one second of PCM at 24 kHz
            url = await address(trouble, server.url, line)
            provider = make(kind, "openai", {"base_url": url, "api_key": KEY, "timeout": patience(trouble)}, {})
            yield provider
            await provider.aclose()

    return bench


_DEEPGRAM: dict[Trouble, dict[str, object]] = {
    "none": {},
    "stall": {"behaviour": "no handshake"},
    "cut": {"behaviour": "cut"},
    "malformed": {"behaviour": "malformed"},
    "bad key": {"key": "another"},
    "rate limit": {"status": 429},
    "server error": {"status": 503},
    "nobody there": {},
}


def deepgram(model) -> Bench[SpeechToText]:
    @asynccontextmanager
    async def bench(trouble: Trouble = "none", line: Line | None = None) -> AsyncIterator[SpeechToText]:
        async with fake_deepgram(**_DEEPGRAM[trouble]) as server:
            url = await address(trouble, server.url, line)
            provider = make(
                "stt", "deepgram", {"base_url": url, "api_key": KEY, "timeout": patience(trouble)}, {"model": model}
            )
            yield provider
            await provider.aclose()

    return bench


_ELEVENLABS: dict[Trouble, dict[str, object]] = {
    "none": {},
    "stall": {"behaviour": "stall"},
    "cut": {"behaviour": "cut"},
    "malformed": {"behaviour": "malformed"},
    "bad key": {"key": "another"},
    "rate limit": {"status": 429},
    "server error": {"status": 503},
    "nobody there": {},
}


def elevenlabs(**options) -> Bench[TextToSpeech]:
    @asynccontextmanager
    async def bench(trouble: Trouble = "none", line: Line | None = None) -> AsyncIterator[TextToSpeech]:
        async with fake_elevenlabs(**_ELEVENLABS[trouble]) as server:
            url = await address(trouble, server.url, line)
            provider = make(
                "tts", "elevenlabs", {"base_url": url, "api_key": KEY, "timeout": patience(trouble)}, options
            )
            yield provider
            await provider.aclose()

    return bench


_SCRIBE: dict[Trouble, dict[str, object]] = {
    "none": {},
    "stall": {"behaviour": "no begin"},
    "cut": {"behaviour": "cut"},
    "malformed": {"behaviour": "malformed"},
    "bad key": {"key": "another"},
    "rate limit": {"refusal": ("rate_limited", "You are rate limited.")},
    "server error": {"refusal": ("error", "A server error occurred.")},
    "nobody there": {},
}


@asynccontextmanager
async def scribe(trouble: Trouble = "none", line: Line | None = None) -> AsyncIterator[SpeechToText]:
    async with fake_scribe(**_SCRIBE[trouble]) as server:
        url = await address(trouble, server.url, line)
        provider = make("stt", "elevenlabs", {"base_url": url, "api_key": KEY, "timeout": patience(trouble)}, {})
        yield provider
        await provider.aclose()


_REALTIME: dict[Trouble, dict[str, object]] = {
    "none": {},
    "stall": {"behaviour": "no session"},
    "cut": {"behaviour": "cut"},
    "malformed": {"behaviour": "malformed"},
    "bad key": {"key": "another"},
    "rate limit": {"error": {"type": "rate_limit_exceeded", "code": "rate_limit_exceeded", "message": "slow down"}},
    "server error": {"status": 503},
    "nobody there": {},
}


@asynccontextmanager
async def openai_realtime(trouble: Trouble = "none", line: Line | None = None) -> AsyncIterator[SpeechToText]:
    async with fake_openai_realtime(**_REALTIME[trouble]) as server:
        url = await address(trouble, server.url, line)
        connection = {"base_url": url, "api_key": KEY, "timeout": patience(trouble)}
        provider = make("stt", "openai", connection, {"realtime": True})
        yield provider
        await provider.aclose()


@asynccontextmanager
async def deepgram_speech(trouble: Trouble = "none", line: Line | None = None) -> AsyncIterator[TextToSpeech]:
    async with fake_deepgram_speak(**_ELEVENLABS[trouble]) as server:
        url = await address(trouble, server.url, line)
        provider = make("tts", "deepgram", {"base_url": url, "api_key": KEY, "timeout": patience(trouble)}, {})
        yield provider
        await provider.aclose()


@asynccontextmanager
async def cartesia(trouble: Trouble = "none", line: Line | None = None) -> AsyncIterator[TextToSpeech]:
    async with fake_cartesia(**_ELEVENLABS[trouble]) as server:
        url = await address(trouble, server.url, line)
        provider = make("tts", "cartesia", {"base_url": url, "api_key": KEY, "timeout": patience(trouble)}, {})
        yield provider
        await provider.aclose()


_ASSEMBLYAI: dict[Trouble, dict[str, object]] = {
    "none": {},
    "stall": {"behaviour": "no begin"},
    "cut": {"behaviour": "cut"},
    "malformed": {"behaviour": "malformed"},
    "bad key": {"key": "another"},
    "rate limit": {"refusal": (3009, "Unauthorized Connection: Too many concurrent sessions")},
    "server error": {"refusal": (3005, "Session Cancelled: An error occurred")},
    "nobody there": {},
}


def assemblyai(**options) -> Bench[SpeechToText]:
    @asynccontextmanager
    async def bench(trouble: Trouble = "none", line: Line | None = None) -> AsyncIterator[SpeechToText]:
        async with fake_assemblyai(formatted="goodbye", **_ASSEMBLYAI[trouble]) as server:
            url = await address(trouble, server.url, line)
            provider = make(
                "stt", "assemblyai", {"base_url": url, "api_key": KEY, "timeout": patience(trouble)}, options
            )
            yield provider
            await provider.aclose()

    return bench


_WYOMING: dict[Trouble, dict[str, object]] = {
    "none": {},
    "stall": {"behaviour": "stall"},
    "cut": {"behaviour": "cut"},
    "malformed": {"behaviour": "malformed"},
    "server error": {"behaviour": "error"},
    "nobody there": {},
}
"""It knows neither keys nor limits."""


def wyoming(kind) -> Bench:
    @asynccontextmanager
    async def bench(trouble: Trouble = "none", line: Line | None = None) -> AsyncIterator[Provider]:
        async with fake_wyoming(**_WYOMING[trouble]) as server:
            uri = "tcp://127.0.0.1:1" if trouble == "nobody there" else await address(trouble, server.uri, line)
            provider = make(kind, "wyoming", {"uri": uri, "timeout": patience(trouble)}, {})
            yield provider
            await provider.aclose()

    return bench


@asynccontextmanager
async def piper(trouble: Trouble = "none", line: Line | None = None) -> AsyncIterator[TextToSpeech]:
    with TemporaryDirectory() as folder:
        provider = make("tts", "piper", {}, {"voice": str(make_voice(Path(folder)))})
        yield provider
        await provider.aclose()


_ANTHROPIC: dict[Trouble, anthropic_server.Answer] = {
    "none": anthropic_server.Text(["Hello", " there."]),
    "stall": anthropic_server.Stall(),
    "cut": anthropic_server.Cut(),
    "malformed": anthropic_server.Raw("event: content_block_delta\ndata: {not json\n\n"),
    "bad key": anthropic_server.Error(401, "authentication_error", f"invalid x-api-key {KEY}"),
    "rate limit": anthropic_server.Error(429, "rate_limit_error", headers={"retry-after": "3"}),
    "server error": anthropic_server.Error(529, "overloaded_error", "Overloaded"),
    "nobody there": anthropic_server.Text([]),
}


@asynccontextmanager
async def anthropic(trouble: Trouble = "none", line: Line | None = None) -> AsyncIterator[LanguageModel]:
    async with fake_anthropic(_ANTHROPIC[trouble]) as server:
        url = await address(trouble, server.url, line)
        provider = make("llm", "anthropic", {"base_url": url, "api_key": KEY, "timeout": patience(trouble)}, {})
        yield provider
        await provider.aclose()


_RULES = {"rules": [{"match": "hello", "say": "Hello there."}]}

LLM: dict[str, Bench[LanguageModel]] = {
    "scripted": embedded("llm", "scripted", _RULES),
    "openai": openai("llm"),
    "anthropic": anthropic,
}
TTS: dict[str, Bench[TextToSpeech]] = {
    "espeak": embedded("tts", "espeak", {}),
    "openai": openai("tts"),
    "elevenlabs": elevenlabs(),
    "elevenlabs ulaw": elevenlabs(encoding="ulaw"),
    "elevenlabs http": elevenlabs(transport="http"),
    "deepgram": deepgram_speech,
    "wyoming": wyoming("tts"),
    "cartesia": cartesia,
    "piper": piper,
}
STT: dict[str, Bench[SpeechToText]] = {
    "sphinx": embedded("stt", "sphinx", {"workers": 1}),
    "openai": openai("stt"),
    "openai realtime": openai_realtime,
    "elevenlabs": scribe,
    "deepgram": deepgram("nova-3"),
    "deepgram flux": deepgram("flux-general-en"),
    "wyoming": wyoming("stt"),
    "assemblyai": assemblyai(),
    "assemblyai without turns": assemblyai(ends_turns=False, format_turns=True),
}
EMBEDDED = {"scripted", "espeak", "piper", "sphinx"}
"""These have no server that could make trouble."""
UNKNOWN: dict[str, set[Trouble]] = {"wyoming": {"bad key", "rate limit"}}
"""Troubles that a protocol has no word for."""
