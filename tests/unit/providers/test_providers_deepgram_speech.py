"""Deepgram's Aura through the real SDK: Flush and Clear, the limits of a socket, and a socket that went away."""

from __future__ import annotations

import asyncio
import sys
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, cast

import pytest

from tests.fakes.deepgram_speak_server import PER_CHARACTER, fake_deepgram_speak
from tests.unit.providers.benches import KEY, make
from voxtrad.providers.base import BadKey, BadRequest, MalformedAnswer, QuotaExceeded, Unreachable
from voxtrad.providers.extras import MissingExtra
from voxtrad.providers.tts.deepgram import _Line

if TYPE_CHECKING:
    from deepgram.speak.v1.socket_client import AsyncV1SocketClient


def build(server, **options):
    return make("tts", "deepgram", {"base_url": server.url, "api_key": KEY, "timeout": 20}, options)


async def audio_of(voice, text):
    return b"".join([chunk.pcm async for chunk in voice.synthesize(text)])


async def test_a_sentence_is_sent_and_flushed_over_the_calls_socket():
    async with fake_deepgram_speak(key=KEY) as server:
        tts = build(server, model="aura-2-x", speed=1.1)
        voice = await tts.open(rate=8000, language="en")
        assert await audio_of(voice, "Hello.") == b"\1\2" * int(6 * PER_CHARACTER * 8000)
        await audio_of(voice, "Bye.")
        await voice.aclose()
        await server.closed.wait()
        kinds = [message["type"] for message in server.messages]
        assert kinds == ["Speak", "Flush", "Speak", "Flush", "Close"]
        assert server.queries == [
            {
                "model": "aura-2-x",
                "encoding": "linear16",
                "sample_rate": "8000",
                "speed": "1.1",
                "mip_opt_out": "false",
            }
        ]


async def test_an_interrupted_sentence_is_cleared_and_nothing_of_it_is_in_the_next():
    async with fake_deepgram_speak() as server:
        voice = await build(server).open(rate=8000, language="en")
        for _ in range(3):
            stream = voice.synthesize("A long sentence. " * 30)
            await anext(stream)
            await stream.aclose()
        assert len(await audio_of(voice, "Short.")) == 2 * int(6 * PER_CHARACTER * 8000)
        assert [m["type"] for m in server.messages].count("Clear") == 3
        assert len(server.queries) == 1
        await voice.aclose()


async def test_the_limit_of_flushes_is_met_by_another_socket():
    async with fake_deepgram_speak() as server:
        voice = await build(server).open(rate=8000, language="en")
        for _ in range(45):
            assert await audio_of(voice, "Yes.")
        assert len(server.queries) == 3
        await voice.aclose()


async def test_the_next_socket_is_open_before_it_is_needed():
    async with fake_deepgram_speak() as server:
        voice = await build(server).open(rate=8000, language="en")
        text = "This is a sentence of some length. " * 8
        for _ in range(7):  # an eighth finds room still; what follows would not
            assert await audio_of(voice, text)
        async with asyncio.timeout(20):
            while len(server.queries) < 2:  # noqa: ASYNC110 - it tells nobody here
                await asyncio.sleep(0)
        for _ in range(3):
            assert await audio_of(voice, text)
        assert len(server.queries) == 2
        await voice.aclose()


async def test_a_call_that_ends_leaves_no_socket_that_was_opened_beside():
    async with fake_deepgram_speak() as server:
        voice = await build(server).open(rate=8000, language="en")
        text = "This is a sentence of some length. " * 8
        for _ in range(7):
            assert await audio_of(voice, text)
        await voice.aclose()
        assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("aura")]


@pytest.mark.virtual_time
async def test_a_socket_is_changed_before_deepgram_ends_it_after_an_hour():
    line = _Line(AsyncExitStack(), cast("AsyncV1SocketClient", None))
    assert line.takes(2000)
    await asyncio.sleep(3290)
    assert line.takes(2000)
    await asyncio.sleep(10)
    assert not line.takes(1)


async def test_the_limit_of_characters_is_met_by_another_socket():
    async with fake_deepgram_speak() as server:
        voice = await build(server).open(rate=8000, language="en")
        text = "This is a sentence of some length. " * 23  # three of them are too much
        for _ in range(6):
            assert len(await audio_of(voice, text)) == 2 * int(len(text) * PER_CHARACTER * 8000)
        assert len(server.queries) == 3
        await voice.aclose()


async def test_a_socket_that_was_closed_between_sentences_is_opened_anew():
    async with fake_deepgram_speak(behaviour="hang up after each") as server:
        voice = await build(server).open(rate=8000, language="en")
        for _ in range(3):
            assert await audio_of(voice, "Yes.")
        await voice.aclose()


async def test_a_socket_that_turns_out_to_be_gone_costs_no_sentence():
    """The close comes when the sentence was sent: it shows where its audio is waited for."""
    async with fake_deepgram_speak(behaviour="hang up when asked again") as server:
        voice = await build(server).open(rate=8000, language="en")
        for _ in range(3):
            assert await audio_of(voice, "Yes.") == b"\1\2" * int(4 * PER_CHARACTER * 8000)
        assert len(server.queries) == 3
        await voice.aclose()


async def test_a_sentence_is_asked_for_again_once():
    async with fake_deepgram_speak(behaviour="cut") as server:
        voice = await build(server).open(rate=8000, language="en")
        with pytest.raises(Unreachable):
            await audio_of(voice, "Yes.")
        assert len(server.queries) == 2
        with pytest.raises(Unreachable):
            await audio_of(voice, "Yes.")  # by a socket of its own: that is not gone, it is refused
        assert len(server.queries) == 3
        await voice.aclose()


async def test_a_sentence_that_broke_off_is_not_begun_again():
    async with fake_deepgram_speak() as server:
        voice = await build(server).open(rate=8000, language="en")
        stream = voice.synthesize("A long sentence. " * 45)
        await anext(stream)
        server.cut()
        with pytest.raises(Unreachable):
            async for _ in stream:
                pass
        assert len(server.queries) == 1
        await voice.aclose()


async def test_long_text_is_sent_in_pieces_that_the_api_takes():
    async with fake_deepgram_speak() as server:
        voice = await build(server).open(rate=8000, language="en")
        text = "word " * 450
        assert len(await audio_of(voice, text)) == 2 * int(len(text) * PER_CHARACTER * 8000)
        assert "".join(m["text"] for m in server.messages if m["type"] == "Speak") == text
        await voice.aclose()


@pytest.mark.parametrize("behaviour", ["silent", "odd shape"])
async def test_an_answer_that_makes_no_sense_is_malformed(behaviour):
    async with fake_deepgram_speak(behaviour=behaviour) as server:
        voice = await build(server).open(rate=8000, language="en")
        with pytest.raises(MalformedAnswer):
            await audio_of(voice, "Hello.")
        await voice.aclose()


@pytest.mark.parametrize(
    ("status", "error"), [(400, BadRequest), (402, QuotaExceeded), (403, BadKey), (500, Unreachable)]
)
async def test_a_refused_handshake_is_typed(status, error):
    async with fake_deepgram_speak(status=status) as server:
        with pytest.raises(error):
            await build(server).open(rate=8000, language="en")


def test_without_the_sdk_the_line_that_installs_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "deepgram", None)
    with pytest.raises(MissingExtra) as raised:
        make("tts", "deepgram", {"api_key": KEY}, {})
    assert raised.value.hint == "pip install 'voxtrad[deepgram]'"
