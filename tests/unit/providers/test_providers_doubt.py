"""Recognisers that say nothing: who is asked then, who takes over, and who is believed."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrad.providers.base import STTCapabilities, Transcript, TurnSignal, Unreachable
from voxtrad.providers.fallback.doubt import FIRST_TRUST, LEAST_PATIENCE, LONGEST_TRUST, Doubt
from voxtrad.providers.fallback.lines import silence_before
from voxtrad.providers.fallback.stt import FallbackSTT

pytestmark = pytest.mark.virtual_time

SECOND = bytes(16000)


# --- the rules --------------------------------------------------------------------------------------------------------


def test_something_is_to_come_within_half_as_long_again_as_usual():
    doubt = Doubt(final_delay=2.0, ends_turns=False)
    doubt.asked(10.0, seconds=1.0)
    assert doubt.due == 13.0
    doubt.heard(11.0, words=True, final=False)
    assert doubt.due == 14.0  # a partial one wins it time
    doubt.heard(12.0, words=True, final=True)
    assert doubt.due is None
    quick = Doubt(final_delay=0.1, ends_turns=False)
    quick.asked(10.0, seconds=1.0)
    assert quick.due == 10.0 + LEAST_PATIENCE


def test_next_to_no_audio_is_no_reason():
    doubt = Doubt(final_delay=0.3, ends_turns=False)
    doubt.asked(10.0, seconds=0.3)
    assert doubt.due is None


def test_one_that_ends_turns_has_in_one_the_silence_that_it_declares_on_top_alone_or_not():
    for alone in (False, True):
        doubt = Doubt(final_delay=0.3, ends_turns=True, turn_silence=1.5, alone=alone)
        doubt.heard(9.0, words=True, final=False)
        doubt.asked(10.0, seconds=1.0)
        assert doubt.due == 12.5
        doubt.heard(12.0, words=False, final=False)
        assert doubt.due == 14.5
        doubt.heard(14.0, words=True, final=True)
        assert doubt.due is None


def test_while_one_that_ends_turns_knows_of_none_any_sign_of_life_is_an_answer():
    doubt = Doubt(final_delay=0.3, ends_turns=True, turn_silence=1.5)
    doubt.heard(9.0, words=False, final=False)
    doubt.asked(10.0, seconds=1.0)
    assert doubt.due == 11.0
    doubt.heard(10.5, words=False, final=False)
    assert doubt.due is None


def test_where_nobody_hears_words_it_is_believed_longer_and_longer_until_it_is_heard():
    doubt = Doubt(final_delay=0.3, ends_turns=False)
    now, waits = 0.0, []
    for _ in range(6):
        began = now
        doubt.unfounded(now)
        while True:
            doubt.asked(now, seconds=1.0)
            if doubt.due is not None:
                break
            now += 1.0
        doubt.doubted()
        waits.append(now - began)
    assert waits == [5, 10, 20, 40, 60, 60] and waits[0] == FIRST_TRUST and waits[-1] == LONGEST_TRUST
    doubt.unfounded(now)
    doubt.heard(now, words=True, final=True)
    doubt.asked(now, seconds=1.0)
    assert doubt.due is not None


def test_where_nobody_says_anything_it_is_not_believed_the_first_time():
    doubt = Doubt(final_delay=0.3, ends_turns=False)
    doubt.unfounded(10.0, mute=True)
    assert not doubt.trusts(10.0)
    doubt.unfounded(20.0, mute=True)
    assert doubt.trusts(20.0) and doubt.trusts(29.0) and not doubt.trusts(30.0)


@settings(deadline=None)
@given(
    st.booleans(),
    st.lists(
        st.tuples(st.sampled_from(["asked", "words", "nothing", "final", "doubted", "unfounded"]), st.floats(0, 100)),
        max_size=30,
    ),
)
def test_a_deadline_is_the_last_questions_or_stays_as_it_was(ends_turns, facts):
    doubt = Doubt(final_delay=0.5, ends_turns=ends_turns, turn_silence=1.0)
    now = 0.0
    for fact, later in facts:
        now += later
        match fact:
            case "asked":
                before = doubt.due
                doubt.asked(now, seconds=later)
                assert doubt.due in (before, now + LEAST_PATIENCE, *([now + LEAST_PATIENCE + 1] if ends_turns else []))
            case "doubted":
                doubt.doubted()
            case "unfounded":
                doubt.unfounded(now)
            case _:
                doubt.heard(now, words=fact == "words", final=fact == "final")
        if fact in ("final", "doubted"):
            assert doubt.due is None


# --- streams ----------------------------------------------------------------------------------------------------------


class Ears:
    """A recogniser driven by the test through the queue of its streams."""

    def __init__(self, name, *, opens_in=0.0, **capabilities):
        self.name = name
        self.capabilities = STTCapabilities(**{"partials": True, "final_delay": 0.4, **capabilities})
        self.opens_in = opens_in
        self.streams = []

    async def open(self, *, rate, language, hints=()):
        await asyncio.sleep(self.opens_in)
        self.streams.append(Hearing())
        return self.streams[-1]

    async def aclose(self):
        pass


class Hearing:
    def __init__(self):
        self.heard = b""
        self.finalized = 0
        self.closed = False
        self.says = asyncio.Queue()

    async def send(self, pcm):
        self.heard += pcm

    async def finalize(self):
        self.finalized += 1

    async def events(self):
        while (event := await self.says.get()) is not None:
            if isinstance(event, Exception):
                raise event
            yield event

    async def aclose(self):
        self.closed = True
        self.says.put_nowait(None)


class Notes:
    def __init__(self):
        self.requests = []
        self.fallbacks = []

    def on_request(self, provider, kind, outcome):
        self.requests.append((provider, outcome))

    def on_fallback(self, kind, from_, to, reason):
        self.fallbacks.append((from_, to))


class Call:
    """A stream of several recognisers, whose events are read as a call reads them."""

    def __init__(self, *ears):
        self.notes = Notes()
        self.stt = FallbackSTT(ears, observer=self.notes)
        self.events = []

    async def __aenter__(self):
        self.stream = await self.stt.open(rate=8000, language="en")
        self.reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_):
        await self.stream.aclose()
        await asyncio.gather(self.reading, return_exceptions=True)
        await self.stt.aclose()

    async def _read(self):
        async for event in self.stream.events():
            self.events.append(event)

    async def says(self, pcm=SECOND):
        await self.stream.send(pcm)
        await self.stream.finalize()


async def test_where_nothing_comes_the_next_hears_the_utterance_and_takes_over():
    first, second = Ears("a"), Ears("b")
    async with Call(first, second) as call:
        await call.says()
        await asyncio.sleep(0.9)
        assert not second.streams
        await asyncio.sleep(0.2)
        opinion = second.streams[0]
        assert (opinion.heard, opinion.finalized) == (SECOND, 1)
        opinion.says.put_nowait(Transcript("hell", final=False))
        await asyncio.sleep(0.01)
        assert call.events == []  # the caller has long stopped: a guess would be taken for all there was
        opinion.says.put_nowait(Transcript("hello", final=True))
        await asyncio.sleep(0.01)
        assert call.events == [Transcript("hello", final=True)]
        opinion.says.put_nowait(Transcript("and", final=False))
        await asyncio.sleep(0.01)
        assert call.events[1:] == [Transcript("and", final=False)]
        assert first.streams[0].closed and call.notes.fallbacks == [("a", "b")]
        assert ("a", "timeout") in call.notes.requests
        await call.stream.send(b"11")
        assert opinion.heard == SECOND + b"11" and first.streams[0].heard == SECOND


async def test_the_silence_before_an_utterance_is_not_given_again():
    first, second = Ears("a"), Ears("b")
    loud = b"\x00\x20" * 4000
    async with Call(first, second) as call:
        await call.stream.send(bytes(16000 * 20))
        await call.says(loud)
        await asyncio.sleep(1.1)
        assert second.streams[0].heard == bytes(8000) + loud


@given(st.binary(max_size=4000), st.sampled_from([8000, 16000]))
def test_only_silence_is_left_out(pcm, rate):
    pcm = bytes(rate * 2) + pcm[: len(pcm) & ~1]
    left = silence_before(pcm, rate)
    assert 0 <= left <= len(pcm) and left % 2 == 0 and not any(pcm[:left])


async def test_what_is_said_meanwhile_is_heard_once_and_in_order():
    first, second = Ears("a"), Ears("b", opens_in=1.0)
    async with Call(first, second) as call:
        await call.says()
        sent = SECOND
        for number in range(150):
            await asyncio.sleep(0.02)
            frame = bytes([number, 0]) * 160
            sent += frame
            await call.stream.send(frame)
        assert second.streams[0].heard == sent == first.streams[0].heard


async def test_a_sound_without_words_costs_nobody_the_place():
    first, second = Ears("a"), Ears("b")
    async with Call(first, second) as call:
        await call.says()
        await asyncio.sleep(1.1)
        second.streams[0].says.put_nowait(Transcript("", final=True))
        await asyncio.sleep(0.01)
        assert second.streams[0].closed and not first.streams[0].closed
        assert call.events == [] and call.notes.fallbacks == []
        await call.says()
        await asyncio.sleep(2.0)
        assert len(second.streams) == 1  # it is believed for a while
        await asyncio.sleep(5.0)
        await call.says()
        await asyncio.sleep(2.0)
        assert len(second.streams) == 2


async def test_an_opinion_that_never_comes_is_not_waited_for():
    first, second = Ears("a"), Ears("b")
    async with Call(first, second) as call:
        await call.says()
        await asyncio.sleep(6.0)
        assert second.streams[0].closed and not first.streams[0].closed
        first.streams[0].says.put_nowait(Transcript("hello", final=True))
        await asyncio.sleep(0.01)
        assert call.events == [Transcript("hello", final=True)]


async def test_who_cannot_be_asked_is_noted_and_the_doubted_one_goes_on():
    first, second = Ears("a"), Ears("b")
    async with Call(first, second) as call:
        await call.says()
        await asyncio.sleep(1.1)
        second.streams[0].says.put_nowait(Unreachable("gone", provider="b"))
        await asyncio.sleep(0.01)
        assert ("b", "unreachable") in call.notes.requests and second.streams[0].closed
        first.streams[0].says.put_nowait(Transcript("hello", final=True))
        await asyncio.sleep(0.01)
        assert call.events == [Transcript("hello", final=True)]


async def test_one_that_answers_after_all_keeps_its_place():
    first, second = Ears("a"), Ears("b")
    async with Call(first, second) as call:
        await call.says()
        await asyncio.sleep(1.1)
        first.streams[0].says.put_nowait(Transcript("hello", final=True))
        await asyncio.sleep(0.01)
        assert call.events == [Transcript("hello", final=True)]
        assert second.streams[0].closed and call.notes.fallbacks == []


async def test_one_that_begins_to_answer_after_all_and_does_not_end_is_doubted_again():
    first, second = Ears("a"), Ears("b")
    async with Call(first, second) as call:
        await call.says()
        await asyncio.sleep(1.1)
        first.streams[0].says.put_nowait(Transcript("hell", final=False))
        await asyncio.sleep(0.01)
        assert second.streams[0].closed
        await asyncio.sleep(1.1)
        second.streams[1].says.put_nowait(Transcript("hello", final=True))
        await asyncio.sleep(0.01)
        assert call.events[-1] == Transcript("hello", final=True)


async def test_one_that_stops_in_the_middle_of_an_utterance_is_doubted_too():
    first, second = Ears("a"), Ears("b")
    async with Call(first, second) as call:
        await call.stream.send(SECOND)
        first.streams[0].says.put_nowait(Transcript("where is", final=False))
        await asyncio.sleep(0.5)
        await call.stream.finalize()
        await asyncio.sleep(1.1)
        second.streams[0].says.put_nowait(Transcript("where is my order", final=True))
        await asyncio.sleep(0.01)
        assert call.events == [Transcript("where is", final=False), Transcript("where is my order", final=True)]


async def test_a_lone_recogniser_is_connected_to_again():
    lone = Ears("a")
    async with Call(lone) as call:
        await call.says()
        await asyncio.sleep(1.9)
        assert len(lone.streams) == 1
        await asyncio.sleep(0.2)
        assert lone.streams[1].heard == SECOND
        lone.streams[1].says.put_nowait(Transcript("hello", final=True))
        await asyncio.sleep(0.01)
        assert call.events == [Transcript("hello", final=True)]
        assert lone.streams[0].closed and call.notes.fallbacks == []


async def test_a_lone_recogniser_that_says_nothing_twice_goes_on_by_the_newer_connection():
    lone = Ears("a")
    async with Call(lone) as call:
        await call.says()
        await asyncio.sleep(8.0)
        assert [stream.closed for stream in lone.streams] == [True, False]
        for _ in range(3):  # and is not connected to for every noise
            await call.says()
            await asyncio.sleep(7.0)
        assert len(lone.streams) == 3


async def test_what_is_said_while_an_opinion_is_awaited_is_another_question():
    first, second = Ears("a"), Ears("b")
    async with Call(first, second) as call:
        await call.says()
        await asyncio.sleep(2.0)
        await call.says()
        await asyncio.sleep(1.1)
        assert second.streams[0].closed and second.streams[1].heard == SECOND * 2
        second.streams[1].says.put_nowait(Transcript("hello", final=True))
        await asyncio.sleep(0.01)
        assert call.events == [Transcript("hello", final=True)]


async def test_a_caller_who_asks_again_and_again_wins_a_deaf_one_no_time():
    first, second = Ears("a", end_of_turn=True, turn_silence=1.3), Ears("b")
    async with Call(first, second) as call:
        first.streams[0].says.put_nowait(Transcript("hell", final=False))
        await asyncio.sleep(0.01)
        for _ in range(4):
            await call.says()
            await asyncio.sleep(0.6)
        assert second.streams[0].heard == SECOND * 4
        second.streams[0].says.put_nowait(Transcript("hello", final=True))
        await asyncio.sleep(0.01)
        assert call.events[1:] == [Transcript("hello", final=True), TurnSignal("end")]


async def test_who_takes_over_is_doubted_too():
    every = first, second, third = [Ears(name) for name in "abc"]
    async with Call(*every) as call:
        await call.says()
        await asyncio.sleep(1.1)
        second.streams[0].says.put_nowait(Transcript("hell", final=False))
        await asyncio.sleep(1.1)
        assert first.streams[0].closed and third.streams
        third.streams[0].says.put_nowait(Transcript("hello", final=True))
        await asyncio.sleep(0.01)
        assert call.events == [Transcript("hello", final=True)]


async def test_a_lone_recogniser_that_breaks_is_connected_to_again_once():
    lone = Ears("a")
    async with Call(lone) as call:
        lone.streams[0].says.put_nowait(Transcript("one", final=True))
        await asyncio.sleep(0.01)
        await call.says()
        lone.streams[0].says.put_nowait(Unreachable("gone", provider="a"))
        await asyncio.sleep(0.01)
        assert (lone.streams[1].heard, lone.streams[1].finalized) == (SECOND, 1)
        lone.streams[1].says.put_nowait(Unreachable("gone", provider="a"))
        with pytest.raises(Unreachable):
            await call.reading


async def test_one_that_ends_turns_is_not_hurried():
    first, second = Ears("a", end_of_turn=True, turn_silence=3.0), Ears("b")
    async with Call(first, second) as call:
        first.streams[0].says.put_nowait(TurnSignal("started", "hello"))
        await asyncio.sleep(0.01)
        await call.says()
        await asyncio.sleep(3.9)
        assert not second.streams
        first.streams[0].says.put_nowait(TurnSignal("end", "hello"))
        await asyncio.sleep(0.01)
        await call.says()
        await asyncio.sleep(1.1)
        second.streams[0].says.put_nowait(Transcript("again", final=True))
        await asyncio.sleep(0.01)
        assert call.events[-2:] == [Transcript("again", final=True), TurnSignal("end")]


async def test_when_the_doubted_one_breaks_the_other_goes_on():
    first, second = Ears("a"), Ears("b")
    async with Call(first, second) as call:
        await call.says()
        await asyncio.sleep(1.1)
        first.streams[0].says.put_nowait(Unreachable("gone", provider="a"))
        await asyncio.sleep(0.01)
        assert len(second.streams) == 1
        second.streams[0].says.put_nowait(Transcript("hello", final=True))
        await asyncio.sleep(0.01)
        assert call.events == [Transcript("hello", final=True)] and call.notes.fallbacks == [("a", "b")]


async def test_closing_in_the_middle_of_a_doubt_leaves_nothing():
    before = asyncio.all_tasks()
    for opens_in in (0.0, 1.0):
        first, second = Ears("a"), Ears("b", opens_in=opens_in)
        async with Call(first, second) as call:
            await call.says()
            await asyncio.sleep(1.1)
        assert all(stream.closed for stream in [*first.streams, *second.streams])
    assert asyncio.all_tasks() == before
