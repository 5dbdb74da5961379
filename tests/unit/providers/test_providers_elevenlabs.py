"""ElevenLabs' multi-context socket: contexts, alignment, interruptions, errors."""

from __future__ import annotations

import asyncio
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.fakes.elevenlabs_server import PER_CHARACTER, fake_elevenlabs
from tests.unit.providers.benches import KEY, make
from voxtrad.audio.g711 import decode_ulaw
from voxtrad.providers.base import BadKey, BadRequest, MalformedAnswer, QuotaExceeded, RateLimited, Unreachable
from voxtrad.providers.extras import MissingExtra
from voxtrad.providers.tts.elevenlabs import Alignment, ElevenLabsOptions
from voxtrad.providers.vendors.elevenlabs import of_close

TEXT = "Your order is on its way."


def build(server, **options):
    return make("tts", "elevenlabs", {"base_url": server.url, "api_key": KEY, "timeout": 20}, options)


async def say(voice, text=TEXT):
    chunks = [chunk async for chunk in voice.synthesize(text)]
    return b"".join(chunk.pcm for chunk in chunks), [timing for chunk in chunks for timing in chunk.timings]


async def test_a_sentence_is_a_context_and_its_words_are_timed():
    async with fake_elevenlabs(key=KEY) as server:
        tts = build(server, voice="a/b", speed=1.1, pronunciation_dictionaries=["d:1", "e:2"])
        voice = await tts.open(rate=8000, language="en")
        pcm, timings = await say(voice)
        await say(voice, "Again.")
        assert len(pcm) == (len(TEXT) + 1) * PER_CHARACTER * 8000 * 2
        assert [TEXT[timing.offset :].split()[0] for timing in timings] == TEXT.split()
        assert [timing.start for timing in timings] == pytest.approx([t.offset * PER_CHARACTER for t in timings])
        assert server.voices == ["a/b"]
        assert server.queries[0]["output_format"] == "pcm_8000" and server.queries[0]["sync_alignment"] == "true"
        assert server.messages[:3] == [
            {
                "text": " ",
                "context_id": "s1",
                "voice_settings": {"speed": 1.1},
                "pronunciation_dictionary_locators": [
                    {"pronunciation_dictionary_id": "d", "version_id": "1"},
                    {"pronunciation_dictionary_id": "e", "version_id": "2"},
                ],
            },
            {"text": TEXT + " ", "context_id": "s1", "flush": True},
            {"context_id": "s1", "close_context": True},
        ]
        assert len(server.queries) == 1  # one socket
        await voice.aclose()
        await tts.aclose()


async def test_interruptions_never_open_too_many_contexts():
    async with fake_elevenlabs() as server:
        tts = build(server)
        voice = await tts.open(rate=8000, language="en")
        for _ in range(12):
            stream = voice.synthesize("This is cut short. " * 200)
            await anext(stream)
            await stream.aclose()
        assert (await say(voice, "Whole."))[0]
        assert server.most_contexts <= 5
        await voice.aclose()
        await tts.aclose()


@pytest.mark.parametrize("said", [{"code": 1008, "message": b"no input for too long"}, {"code": 1000}])
async def test_a_socket_that_the_vendor_closes_between_sentences_is_opened_anew_before_the_next(said):
    async with fake_elevenlabs() as server:
        tts = build(server)
        voice = await tts.open(rate=8000, language="en")
        for sentences in range(1, 4):
            assert await say(voice)
            assert len(server.queries) == sentences
            server.opened.clear()
            await server.sockets[-1].close(**said)
            async with asyncio.timeout(20):
                await server.opened.wait()
        assert await say(voice)
        assert len(server.queries) == 4
        server.opened.clear()
        await server.sockets[-1].close(**said)
        async with asyncio.timeout(20):
            await server.opened.wait()
        await server.sockets[-1].close(**said)  # again before it was wanted: it is waited for until it is
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(server.queries) == 5
        assert await say(voice)
        assert len(server.queries) == 6
        await voice.aclose()
        await tts.aclose()


async def test_a_socket_over_which_nonsense_comes_between_sentences_is_closed_and_another_opened():
    async with fake_elevenlabs() as server:
        tts = build(server)
        voice = await tts.open(rate=8000, language="en")
        assert await say(voice)
        server.opened.clear()
        await server.sockets[0].send_str("{not json")
        async with asyncio.timeout(20):
            await server.opened.wait()
            while not server.sockets[0].closed:  # noqa: ASYNC110 - it is closed by the other side, which tells nobody here
                await asyncio.sleep(0)
        assert await say(voice)
        assert len(server.queries) == 2
        await voice.aclose()
        await tts.aclose()


async def test_pings_between_sentences_are_answered():
    async with fake_elevenlabs() as server:
        tts = build(server)
        voice = await tts.open(rate=8000, language="en")
        for _ in range(6):  # more than there may be contexts at once: each is over with its sentence
            assert await say(voice)
            await server.sockets[0].ping()
            async with asyncio.timeout(20):
                await server.ponged.wait()
            server.ponged.clear()
        assert len(server.queries) == 1
        await voice.aclose()
        await tts.aclose()


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("quota_exceeded", QuotaExceeded),
        ("invalid_api_key", BadKey),
        ("max_active_conversations", RateLimited),
        ("voice_id_does_not_exist", BadRequest),
        ("something_new", Unreachable),
    ],
)
async def test_errors_on_the_socket_are_typed(code, error):
    async with fake_elevenlabs(behaviour="error", error=(code, f"no, {code}")) as server:
        tts = build(server)
        voice = await tts.open(rate=8000, language="en")
        with pytest.raises(error):
            await say(voice)
        await voice.aclose()
        await tts.aclose()


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("Invalid API key", BadKey),
        ("A voice with voice_id 'xyz' does not exist.", BadRequest),
        ("A Voice for the voice id xyz does not exist.", BadRequest),
        ("This request exceeds your Quota of 10000.", QuotaExceeded),
        ("Have not received a new text input within the timeout of 20.0 seconds.", Unreachable),
    ],
)
def test_the_sentence_of_a_close_is_understood(said, error):
    assert type(of_close(1008, said, "elevenlabs")) is error


def test_the_model_without_a_websocket_goes_over_http():
    assert ElevenLabsOptions(model="eleven_v3", transport="http").model == "eleven_v3"


@pytest.mark.parametrize("behaviour", ["malformed", "not base64"])
async def test_what_is_no_message_is_malformed(behaviour):
    async with fake_elevenlabs(behaviour=behaviour) as server:
        tts = build(server)
        voice = await tts.open(rate=8000, language="en")
        with pytest.raises(MalformedAnswer):
            await say(voice)
        await voice.aclose()
        await tts.aclose()


@pytest.mark.parametrize("transport", ["websocket", "http"])
@pytest.mark.parametrize(("encoding", "rate", "asked"), [
    ("pcm", 8000, "pcm_8000"),
    ("pcm", 16000, "pcm_16000"),
    ("pcm", 48000, "pcm_24000"),
    ("ulaw", 8000, "ulaw_8000"),
    ("ulaw", 16000, "pcm_16000"),
])  # fmt: skip
async def test_audio_comes_as_the_call_needs_it(transport, encoding, rate, asked):
    async with fake_elevenlabs() as server:
        tts = build(server, transport=transport, encoding=encoding)
        voice = await tts.open(rate=rate, language="en")
        pcm, _ = await say(voice)
        assert server.queries[0]["output_format"] == asked
        assert len(pcm) / rate / 2 == pytest.approx(len(TEXT) * PER_CHARACTER, abs=PER_CHARACTER + 0.01)
        if encoding == "ulaw" and rate == 8000:
            assert pcm[:2] == decode_ulaw(b"\x10")
        elif asked == f"pcm_{rate}":
            assert pcm[:2] == b"\1\2"  # nothing was converted
        await voice.aclose()
        await tts.aclose()


async def test_over_http_a_sentence_is_a_request_on_a_connection_that_is_kept():
    async with fake_elevenlabs(key=KEY) as server:
        options = {"voice": "a/b", "speed": 1.1, "pronunciation_dictionaries": ["d:1"], "seed": 7, "language": "de"}
        tts = build(server, transport="http", logging=False, text_normalization="on", **options)
        assert not tts.capabilities.alignment
        voice = await tts.open(rate=8000, language="en")
        connected = set(server.connections)
        assert (await say(voice))[0] and (await say(voice, "Again."))[0]
        assert len(connected) == 1 and server.connections == connected  # it was open before the first sentence
        assert server.voices == ["a/b", "a/b"]
        assert server.queries[0] == {"output_format": "pcm_8000", "enable_logging": "false"}
        assert server.messages[0] == {
            "text": TEXT,
            "model_id": "eleven_flash_v2_5",
            "language_code": "de",
            "voice_settings": {"speed": 1.1},
            "pronunciation_dictionary_locators": [{"pronunciation_dictionary_id": "d", "version_id": "1"}],
            "seed": 7,
            "apply_text_normalization": "on",
        }
        await voice.aclose()
        await tts.aclose()


def test_over_http_the_sdk_is_needed_and_the_line_that_installs_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "elevenlabs.client", None)
    with pytest.raises(MissingExtra) as raised:
        make("tts", "elevenlabs", {"api_key": KEY}, {"transport": "http"})
    assert raised.value.hint == "pip install 'voxtrad[elevenlabs]'"
    assert make("tts", "elevenlabs", {"api_key": KEY}, {}).capabilities.alignment


@pytest.mark.parametrize(("code", "error"), [("quota_exceeded", QuotaExceeded), ("something_new", BadKey)])
async def test_over_http_an_errors_body_tells_more_than_its_status(code, error):
    async with fake_elevenlabs(behaviour="error", error=(code, f"no, {code}")) as server:
        tts = build(server, transport="http")
        voice = await tts.open(rate=8000, language="en")
        with pytest.raises(error):
            await say(voice)
        await voice.aclose()
        await tts.aclose()


@pytest.mark.parametrize(
    "options",
    [
        {"speed": 1.3},
        {"stability": 1.5},
        {"seed": -1},
        {"pronunciation_dictionaries": ["a:1", "b:1", "c:1", "d:1"]},
        {"pronunciation_dictionaries": ["a"]},
        {"encoding": "mp3"},
        {"model": "eleven_v3"},
    ],
)
def test_what_the_vendor_would_refuse_is_refused(options):
    with pytest.raises(ValidationError):
        ElevenLabsOptions.model_validate(options)


ANYTHING = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
)


@given(
    st.text(max_size=30),
    ANYTHING | st.fixed_dictionaries({"chars": ANYTHING, "charStartTimesMs": ANYTHING}),
    st.lists(st.tuples(st.text(max_size=2), st.integers(-10, 10**6)), max_size=10),
)
def test_any_alignment_gives_places_in_the_text(text, odd, pairs):
    alignment = Alignment(text)
    regular = {"chars": [char for char, _ in pairs], "charStartTimesMs": [time for _, time in pairs]}
    timings = [*alignment.timings(odd, 0.0), *alignment.timings(regular, 1.0)]
    assert all(0 <= timing.offset < len(text) for timing in timings)
    assert [timing.offset for timing in timings] == sorted({timing.offset for timing in timings})
