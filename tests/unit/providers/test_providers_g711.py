"""G.711 goes to vendors and comes from them as it is on a caller's line, to the bit; others never see it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from tests.fakes.assemblyai_server import fake_assemblyai
from tests.fakes.cartesia_server import fake_cartesia
from tests.fakes.deepgram_server import fake_deepgram
from tests.fakes.deepgram_speak_server import fake_deepgram_speak
from tests.fakes.elevenlabs_listen_server import fake_scribe
from tests.fakes.elevenlabs_server import fake_elevenlabs
from tests.fakes.g711 import linear
from tests.fakes.openai_realtime_server import fake_openai_realtime
from tests.unit.providers.benches import KEY, make
from voxtrad.audio.codec import CODINGS, Codec
from voxtrad.conversation.speech_cache import SpeechCache
from voxtrad.providers.base import (
    SpeechChunk,
    SpeechToText,
    STTCapabilities,
    STTEvent,
    TextToSpeech,
    TranscriptStream,
    TTSCapabilities,
    Unreachable,
    Voice,
)
from voxtrad.providers.fallback.stt import FallbackSTT
from voxtrad.providers.fallback.tts import FallbackTTS
from voxtrad.providers.opening import open_stream, open_voice

EVERY_CODE = bytes(range(256))
TEXT = "Your order is on its way."


def on_the_line(codes: bytes, codec: Codec) -> bytes:
    """What a line carries of these codes: u-law's second zero is its first one."""
    return codes.replace(b"\x7f", b"\xff") if codec == "ulaw" else codes


# --- what is heard ----------------------------------------------------------------------------------------------------

Heard = Callable[[], tuple[bytes, str]]
"""What a vendor's server was sent, and what it was told that it is."""


def _asked(query: Sequence[tuple[str, str]], name: str) -> str:
    return dict(query)[name]


@asynccontextmanager
async def deepgram(model: str) -> AsyncIterator[tuple[SpeechToText, Heard]]:
    async with fake_deepgram() as server:
        yield (
            make("stt", "deepgram", {"base_url": server.url, "api_key": KEY}, {"model": model}),
            lambda: (bytes(server.raw), _asked(server.queries[0], "encoding")),
        )


@asynccontextmanager
async def assemblyai() -> AsyncIterator[tuple[SpeechToText, Heard]]:
    async with fake_assemblyai() as server:
        options = {"ends_turns": False}
        yield (
            make("stt", "assemblyai", {"base_url": server.url, "api_key": KEY}, options),
            lambda: (bytes(server.raw), dict(server.queries[0])["encoding"]),
        )


@asynccontextmanager
async def scribe() -> AsyncIterator[tuple[SpeechToText, Heard]]:
    async with fake_scribe() as server:
        yield (
            make("stt", "elevenlabs", {"base_url": server.url, "api_key": KEY}, {}),
            lambda: (bytes(server.raw), _asked(server.queries[0], "audio_format")),
        )


@asynccontextmanager
async def realtime() -> AsyncIterator[tuple[SpeechToText, Heard]]:
    async with fake_openai_realtime() as server:
        yield (
            make("stt", "openai", {"base_url": server.url, "api_key": KEY}, {"realtime": True}),
            lambda: (bytes(server.raw), server.sessions[0]["audio"]["input"]["format"]["type"]),
        )


STT: dict[str, Callable[[], AbstractAsyncContextManager[tuple[SpeechToText, Heard]]]] = {
    "nova": lambda: deepgram("nova-3"),
    "flux": lambda: deepgram("flux-general-en"),
    "assemblyai": assemblyai,
    "scribe": scribe,
    "realtime": realtime,
}


@pytest.mark.parametrize(
    ("name", "codec", "encoding"),
    [
        ("nova", "ulaw", "mulaw"), ("nova", "alaw", "alaw"), ("nova", "linear", "linear16"),
        ("flux", "ulaw", "mulaw"), ("flux", "alaw", "alaw"), ("flux", "linear", "linear16"),
        ("assemblyai", "ulaw", "pcm_mulaw"), ("assemblyai", "alaw", "pcm_s16le"),
        ("scribe", "ulaw", "ulaw_8000"), ("scribe", "alaw", "pcm_8000"),
        ("realtime", "ulaw", "audio/pcmu"), ("realtime", "alaw", "audio/pcma"), ("realtime", "linear", "audio/pcmu"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("alone", [True, False], ids=["alone", "in a list"])
async def test_a_recogniser_gets_what_the_caller_sent(name: str, codec: Codec, encoding: str, alone: bool) -> None:
    async with STT[name]() as (stt, heard):
        asked = stt if alone else FallbackSTT([Deaf(), stt])
        stream = await open_stream(asked, rate=8000, language="en", hints=(), codec=codec)
        said = EVERY_CODE * 25  # 0.8 s
        pcm = CODINGS[codec].decode(said) if codec != "linear" else said
        reading = asyncio.create_task(_read(stream))
        for start in range(0, len(pcm), 320):
            await stream.send(pcm[start : start + 320])
        await stream.finalize()
        sent, told = b"", ""
        async with asyncio.timeout(10):
            while len(linear(sent, told.removesuffix("_8000"))) < len(pcm):
                await asyncio.sleep(0)  # the server, on the same loop, reads on
                sent, told = heard()
        assert told == encoding
        if codec in stt.capabilities.codecs and codec != "linear":
            assert sent[: len(said)] == on_the_line(said, codec)
        reading.cancel()
        await stream.aclose()
        await asked.aclose()
        await stt.aclose()


async def _read(stream: TranscriptStream) -> None:
    async for _ in stream.events():
        pass


# --- what is said -----------------------------------------------------------------------------------------------------

Said = Callable[[], str]
"""In what a vendor was asked to speak."""


@asynccontextmanager
async def elevenlabs(transport: str, encoding: str = "auto") -> AsyncIterator[tuple[TextToSpeech, Said]]:
    async with fake_elevenlabs(codes=EVERY_CODE) as server:
        options = {"transport": transport, "encoding": encoding}
        yield (
            make("tts", "elevenlabs", {"base_url": server.url, "api_key": KEY}, options),
            lambda: server.queries[-1]["output_format"],
        )


@asynccontextmanager
async def aura() -> AsyncIterator[tuple[TextToSpeech, Said]]:
    async with fake_deepgram_speak() as server:
        yield (
            make("tts", "deepgram", {"base_url": server.url, "api_key": KEY}, {}),
            lambda: server.queries[-1]["encoding"],
        )


@asynccontextmanager
async def cartesia() -> AsyncIterator[tuple[TextToSpeech, Said]]:
    async with fake_cartesia() as server:
        yield (
            make("tts", "cartesia", {"base_url": server.url, "api_key": KEY}, {}),
            lambda: str(server.messages[-1]["output_format"]["encoding"]),
        )


TTS: dict[str, Callable[[], AbstractAsyncContextManager[tuple[TextToSpeech, Said]]]] = {
    "elevenlabs": lambda: elevenlabs("websocket"),
    "elevenlabs http": lambda: elevenlabs("http"),
    "elevenlabs pcm": lambda: elevenlabs("websocket", "pcm"),
    "aura": aura,
    "cartesia": cartesia,
}


@pytest.mark.parametrize(
    ("name", "codec", "encoding"),
    [
        ("elevenlabs", "ulaw", "ulaw_8000"), ("elevenlabs", "alaw", "pcm_8000"), ("elevenlabs", "linear", "pcm_8000"),
        ("elevenlabs http", "ulaw", "ulaw_8000"), ("elevenlabs http", "linear", "pcm_8000"),
        ("elevenlabs pcm", "ulaw", "pcm_8000"),
        ("aura", "ulaw", "mulaw"), ("aura", "alaw", "alaw"), ("aura", "linear", "linear16"),
        ("cartesia", "ulaw", "pcm_mulaw"), ("cartesia", "alaw", "pcm_alaw"), ("cartesia", "linear", "pcm_s16le"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("alone", [True, False], ids=["alone", "in a list"])
async def test_what_a_voice_made_is_what_goes_out(name: str, codec: Codec, encoding: str, alone: bool) -> None:
    async with TTS[name]() as (tts, said):
        asked = tts if alone else FallbackTTS([Mute(), tts])
        voice = await open_voice(asked, rate=8000, language="en", codec=codec)
        pcm = b"".join([chunk.pcm async for chunk in voice.synthesize(TEXT)])
        assert said() == encoding
        if "law" in encoding:
            sent = CODINGS[codec].encode(pcm)
            whole, piece = on_the_line(EVERY_CODE * 9, codec), 5 * 400  # in each message at least they follow in order
            assert len(sent) > 2 * piece and set(sent) == set(whole)
            assert all(sent[at : at + piece] in whole for at in range(0, len(sent), piece))
        await voice.aclose()
        await asked.aclose()
        await tts.aclose()


# --- who does not have it ---------------------------------------------------------------------------------------------


class Deaf:
    """A recogniser that knows no codec, and cannot be reached."""

    name = "deaf"
    capabilities = STTCapabilities(partials=False)

    async def open(self, *, rate: int, language: str, hints: Sequence[str] = ()) -> TranscriptStream:
        raise Unreachable("gone", provider=self.name)

    async def aclose(self) -> None:
        pass


class Mute:
    """A voice that knows no codec, and cannot be reached."""

    name = fingerprint = "mute"
    capabilities = TTSCapabilities()

    async def open(self, *, rate: int, language: str) -> Voice:
        raise Unreachable("gone", provider=self.name)

    async def aclose(self) -> None:
        pass


class Plain:
    """A provider of both kinds as they were before there were codecs."""

    name = fingerprint = "plain"

    def __init__(self) -> None:
        self.opened: list[int] = []

    async def open(self, *, rate: int, language: str, hints: Sequence[str] = ()) -> Plain:
        self.opened.append(rate)
        return self

    async def send(self, pcm: bytes) -> None:
        pass

    async def finalize(self) -> None:
        pass

    async def events(self) -> AsyncIterator[STTEvent]:
        return
        yield

    async def synthesize(self, text: str) -> AsyncIterator[SpeechChunk]:
        yield SpeechChunk(b"\1\2" * 160)

    async def aclose(self) -> None:
        pass


class PlainEars(Plain):
    capabilities = STTCapabilities(partials=False)


class PlainVoice(Plain):
    capabilities = TTSCapabilities()


@pytest.mark.parametrize("codec", ["linear", "ulaw", "alaw"])
async def test_a_provider_of_somebody_elses_is_opened_as_it_always_was(codec: Codec) -> None:
    ears, mouth = PlainEars(), PlainVoice()
    for stt in (ears, FallbackSTT([ears])):
        await (await open_stream(stt, rate=8000, language="en", hints=["x"], codec=codec)).aclose()
    for tts in (mouth, FallbackTTS([mouth])):
        voice = await open_voice(tts, rate=8000, language="en", codec=codec)
        assert [chunk.pcm async for chunk in voice.synthesize("Hi.")] == [b"\1\2" * 160]
        await voice.aclose()
    assert ears.opened == mouth.opened == [8000, 8000]


# --- what is kept -----------------------------------------------------------------------------------------------------


async def test_what_was_said_in_one_codec_is_not_said_again_in_another() -> None:
    cache = SpeechCache(None)
    await cache.prepare(PlainVoice(), "en", 8000, ["Hello."])
    cache.voice("plain", "en", 8000, "ulaw").put("One moment.", b"\5\6")
    for codec in ("linear", "ulaw", "alaw"):
        kept = cache.voice("plain", "en", 8000, codec)
        assert kept.get("Hello.") == b"\1\2" * 160  # made in linear PCM: good for all
        assert kept.get("One moment.") == (b"\5\6" if codec == "ulaw" else None)


@pytest.mark.parametrize(
    ("model", "wideband"), [("nova-3", True), ("flux-general-en", True), ("nova-2-phonecall", False)]
)
async def test_a_model_for_telephones_wants_no_more_than_they_carry(model: str, wideband: bool) -> None:
    async with deepgram(model) as (stt, _):
        assert stt.capabilities.wideband is wideband
        both = FallbackSTT([stt, PlainEars()])
        assert both.capabilities.wideband  # the other one does
        await both.aclose()
