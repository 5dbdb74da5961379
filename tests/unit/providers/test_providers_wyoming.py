"""Wyoming against the published package on the server's side."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from wyoming.tts import SynthesizeVoice

from tests.fakes.wyoming_server import PER_CHARACTER, fake_wyoming
from tests.unit.providers.benches import make
from voxtrad.providers.base import MalformedAnswer, ProviderError, Transcript
from voxtrad.providers.vendors.wyoming import Peer, WyomingConnection


def build(kind, server, **options):
    return make(kind, "wyoming", {"uri": server.uri, "timeout": 20}, options)


async def audio_of(voice, text):
    return b"".join([chunk.pcm async for chunk in voice.synthesize(text)])


async def test_an_utterance_is_sent_as_it_is_spoken_and_its_text_is_final():
    async with fake_wyoming(text="my order") as server:
        stream = await build("stt", server, model="base").open(rate=8000, language="en-GB", hints=["Acme"])
        events = stream.events()
        for _ in range(2):
            for _ in range(10):
                await stream.send(bytes(320))
            await stream.finalize()
            assert await anext(events) == Transcript("my order", final=True)
        await stream.finalize()
        assert await anext(events) == Transcript("", final=True)
        await stream.aclose()
        assert server.audio == 6400
        assert [(a.name, a.language, a.transcript_terms) for a in server.asked] == [("base", "en", ["Acme"])] * 2


async def test_sentences_share_a_connection_and_an_interrupted_one_ends_it():
    async with fake_wyoming() as server:
        voice = await build("tts", server, voice="amy", speaker="2").open(rate=8000, language="en")
        for _ in range(3):
            assert len(await audio_of(voice, "Hello.")) == pytest.approx(2 * 6 * PER_CHARACTER * 8000, rel=0.01)
        assert server.connections == 1
        stream = voice.synthesize("A long sentence. " * 100)
        await anext(stream)
        await stream.aclose()
        assert len(await audio_of(voice, "Hello.")) == pytest.approx(2 * 6 * PER_CHARACTER * 8000, rel=0.01)
        assert server.connections == 2
        assert server.asked[0].voice == SynthesizeVoice(name="amy", speaker="2")
        await voice.aclose()


async def test_a_server_that_hangs_up_after_each_sentence_is_good_enough():
    async with fake_wyoming(hangs_up=True) as server:
        voice = await build("tts", server).open(rate=8000, language="en")
        for _ in range(4):
            assert await audio_of(voice, "Hello.")
        assert server.asked[0].voice == SynthesizeVoice(language="en")
        await voice.aclose()


async def test_answers_of_another_shape_are_malformed():
    async with fake_wyoming(behaviour="odd shape") as server:
        voice = await build("tts", server).open(rate=8000, language="en")
        with pytest.raises(MalformedAnswer):
            await audio_of(voice, "Hello.")
        await voice.aclose()
        stream = await build("stt", server).open(rate=8000, language="en")
        await stream.send(bytes(320))
        await stream.finalize()
        with pytest.raises(MalformedAnswer):
            await anext(stream.events())
        await stream.aclose()


@pytest.mark.parametrize("uri", ["http://h:1", "tcp://h", "tcp://:1", "h:1", "tcp://h:99999"])
def test_an_address_is_checked(uri):
    with pytest.raises(ValidationError):
        WyomingConnection(uri=uri)


@given(
    st.one_of(
        st.binary(max_size=200),
        st.sampled_from(
            [
                b'{"type":"x","data_length":-1}\n',
                b'{"type":"x","payload_length":9999999999}\n',
                b'{"data":[1]}\n',
                b"[]\n",
                b'{"type":"x","data_length":2}\n[]',
                b'{"type":7}\n',
                b'{"type":"x","payload_length":9}\nabc',
                b"\xff\n",
            ]
        ),
    )
)
@settings(deadline=None)
def test_whatever_comes_is_an_event_or_a_typed_error(data):
    async def run():
        reader = asyncio.StreamReader(limit=100)
        reader.feed_data(data)
        reader.feed_eof()
        peer = Peer("wyoming", 5, reader, None)
        while True:
            try:
                await peer.receive()
            except ProviderError:
                return

    asyncio.run(run())
