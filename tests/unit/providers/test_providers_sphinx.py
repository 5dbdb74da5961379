"""The embedded recogniser: real speech at telephone bandwidth through its real process, and its pure parts."""

from __future__ import annotations

import asyncio
import os
import signal
import wave
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrad.providers.base import BadRequest, Transcript, Unreachable
from voxtrad.providers.stt.sphinx import UNCLEAR, Sphinx, SphinxOptions
from voxtrad.providers.stt.sphinx_words import candidates, expect, letters_plain, numerals

SPEECH = Path(__file__).parent / "speech"
HINTS = ("order", "order number", "human", "person", "bye", *"abcdefghijklmnopqrstuvwxyz")


def pcm(name):
    with wave.open(str(SPEECH / f"{name}.wav")) as file:
        return file.readframes(file.getnframes())


async def hear(stream, audio):
    """The final transcript, and the partials before it."""
    for at in range(0, len(audio), 320):
        await stream.send(audio[at : at + 320])
    await stream.finalize()
    partials = []
    async for event in stream.events():
        if event.final:
            return event, partials
        partials.append(event.text)
    raise AssertionError("the stream ended")


@pytest.fixture
async def sphinx():
    provider = Sphinx("sphinx", SphinxOptions(workers=1))
    yield provider
    await provider.aclose()


async def test_expected_speech_is_recognised_and_unexpected_is_told_from_it(sphinx):
    stream = await sphinx.open(rate=8000, language="en-GB", hints=HINTS)
    final, partials = await hear(stream, pcm("where-is-my-order-number-1234"))
    assert final.text == "where is my order number 1234"
    assert final.confidence > 0.9
    assert {"where is my", "where is my order number"} <= set(partials)
    for name, text in [("i-want-to-talk-to-a-person", "i want to talk to a person"), ("goodbye", "goodbye")]:
        assert (await hear(stream, pcm(name)))[0].text == text
    final, _ = await hear(stream, pcm("the-weather-is-lovely"))
    assert final.text == UNCLEAR and (final.confidence or 0) < 0.66
    await stream.aclose()


async def test_one_process_serves_several_calls_without_mixing_them(sphinx):
    names = ["where-is-my-order-number-1234", "i-want-to-talk-to-a-person", "goodbye"]
    streams = [await sphinx.open(rate=8000, language="en", hints=HINTS) for _ in names]
    finals = await asyncio.gather(*[hear(stream, pcm(name)) for stream, name in zip(streams, names, strict=True)])
    assert [final.text for final, _ in finals] == [
        "where is my order number 1234",
        "i want to talk to a person",
        "goodbye",
    ]
    for stream in streams:
        await stream.aclose()


async def test_finalize_without_speech_is_answered_with_nothing(sphinx):
    stream = await sphinx.open(rate=8000, language="en", hints=HINTS)
    await stream.finalize()
    assert await anext(stream.events()) == Transcript("", final=True)
    assert (await hear(stream, bytes(16000)))[0].text == ""
    await stream.aclose()


async def test_words_without_pronunciation_are_left_out_and_the_rest_is_heard(sphinx):
    stream = await sphinx.open(rate=8000, language="en", hints=[*HINTS, "xqzzt flimflam"])
    assert (await hear(stream, pcm("goodbye")))[0].text == "goodbye"
    await stream.aclose()


async def test_a_process_that_dies_breaks_its_streams_and_the_next_call_gets_a_new_one(sphinx):
    stream = await sphinx.open(rate=8000, language="en", hints=HINTS)
    os.kill(sphinx._workers[0]._process.pid, signal.SIGKILL)
    with pytest.raises(Unreachable):
        await anext(stream.events())
    await stream.send(bytes(320))
    await stream.finalize()
    await stream.aclose()
    stream = await sphinx.open(rate=8000, language="en", hints=HINTS)
    assert (await hear(stream, pcm("goodbye")))[0].text == "goodbye"
    await stream.aclose()


async def test_closing_a_stream_ends_its_events_and_closing_the_provider_its_processes(sphinx):
    stream = await sphinx.open(rate=8000, language="en", hints=HINTS)
    reading = asyncio.ensure_future(anext(stream.events(), "over"))
    await stream.aclose()
    assert await reading == "over"
    process = sphinx._workers[0]._process
    await sphinx.aclose()
    assert process.returncode is not None


async def test_another_language_is_refused(sphinx):
    with pytest.raises(BadRequest, match="English only"):
        await sphinx.open(rate=8000, language="de")


async def test_a_model_that_is_not_there_is_refused():
    provider = Sphinx("sphinx", SphinxOptions(model="/nowhere", dictionary="/nowhere/dict"))
    with pytest.raises(BadRequest, match="cannot start"):
        await provider.open(rate=8000, language="de", hints=["x"])
    await provider.aclose()


# --- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoken", "written"),
    [
        ("order number one two three four", "order number 1234"),
        ("a. seventeen", "A17"),
        ("order b. twenty three", "order B23"),
        ("twenty three forty five", "2345"),
        ("double oh seven", "007"),
        ("triple five one", "5551"),
        ("oh hello", "oh hello"),
        ("oh one", "01"),
        ("one moment please", "one moment please"),
        ("option one", "option 1"),
        ("double trouble", "double trouble"),
        ("a person", "a person"),
        ("", ""),
    ],
)
def test_spoken_digits_are_written_as_numerals(spoken, written):
    assert numerals(spoken) == written


def test_digits_may_stay_words():
    assert letters_plain("order a. one two") == "order A one two"


@given(st.text())
def test_any_text_has_numerals(text):
    assert len(numerals(text).split()) <= len(text.split())


@settings(deadline=None, max_examples=25)
@given(st.lists(st.text(max_size=20), max_size=4))
def test_any_hints_make_a_language_model(hints):
    words, unknown = expect(hints, candidates(hints))
    assert not unknown
    assert {"one", "yes", "goodbye"} <= words.vocabulary
    counts = dict(
        line.removeprefix("ngram ").split("=") for line in words.arpa.splitlines() if line.startswith("ngram ")
    )
    body = words.arpa.split("-grams:\n")[1:]
    assert [int(counts[order]) for order in "123"] == [len(part.split("\n\n")[0].splitlines()) for part in body]


def test_a_hint_with_an_unknown_word_is_left_out_whole():
    words, unknown = expect(["flimflam machine", "person"], candidates(["person", "machine"]))
    assert unknown == {"flimflam"}
    assert "person" in words.vocabulary and "machine" not in words.vocabulary
