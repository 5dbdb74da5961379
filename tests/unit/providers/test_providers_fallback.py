"""Providers that stand in for each other, on virtual time: who is asked, who is next, and how one comes back."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtrad.providers.base import (
    BadKey,
    BadRequest,
    Message,
    ProviderError,
    QuotaExceeded,
    RateLimited,
    SpeechChunk,
    STTCapabilities,
    TextDelta,
    ToolCall,
    Transcript,
    TTSCapabilities,
    TurnSignal,
    Unreachable,
)
from voxtrad.providers.fallback.circle import Deadlines
from voxtrad.providers.fallback.llm import FallbackLLM
from voxtrad.providers.fallback.standing import LONGEST_BENCH, Standing
from voxtrad.providers.fallback.stt import FallbackSTT
from voxtrad.providers.fallback.tts import FallbackTTS

pytestmark = pytest.mark.virtual_time

HELLO = [Message("user", "hello")]


def gone(name="a"):
    return Unreachable("gone", provider=name)


class Notes:
    def __init__(self):
        self.requests = []
        self.fallbacks = []

    def on_request(self, provider, kind, outcome):
        self.requests.append((provider, kind, outcome))

    def on_fallback(self, kind, from_, to, reason):
        self.fallbacks.append((kind, from_, to, reason))


# --- who is next ------------------------------------------------------------------------------------------------------


def test_the_order_is_the_configurations_until_one_fails():
    standing = Standing(3)
    assert standing.order(0) == [0, 1, 2]
    standing.failed(0, gone(), 0)
    assert standing.order(1) == [1, 2, 0]
    assert standing.next_probe() == (0, 10)
    assert standing.order(10) == [0, 1, 2]


def test_each_failure_costs_twice_as_much_up_to_a_limit_and_success_forgives():
    standing = Standing(1)
    benched = []
    for _ in range(8):
        standing.failed(0, gone(), 0)
        benched.append(standing.next_probe()[1])
    assert benched == [10, 20, 40, 80, 160, 300, 300, 300]
    standing.worked(0)
    assert standing.next_probe() is None


def test_what_kind_of_failure_it_was_matters():
    standing = Standing(2)
    standing.failed(0, BadRequest("x", provider="a"), 0)
    assert standing.order(0) == [0, 1] and standing.next_probe() is None
    standing.failed(0, BadKey("x", provider="a"), 0)
    assert standing.order(1e9) == [1, 0] and standing.next_probe() is None
    standing.failed(1, RateLimited("x", provider="b", retry_after=30), 0)
    assert standing.next_probe() == (1, 30)
    standing.worked(1)
    standing.failed(1, QuotaExceeded("x", provider="b"), 0)
    assert standing.next_probe() == (1, LONGEST_BENCH)


@given(
    st.lists(
        st.tuples(st.sampled_from(["failed", "worked", "refused", "limited"]), st.integers(0, 3), st.floats(0, 1000)),
        max_size=30,
    )
)
def test_everybody_is_always_in_the_order_once(events):
    standing = Standing(4)
    now = 0.0
    for what, index, later in events:
        now += later
        match what:
            case "worked":
                standing.worked(index)
                assert index in standing.order(now)
            case "refused":
                standing.failed(index, BadKey("x", provider="x"), now)
            case "limited":
                standing.failed(index, RateLimited("x", provider="x", retry_after=later), now)
            case _:
                standing.failed(index, gone(), now)
        assert sorted(standing.order(now)) == [0, 1, 2, 3]
        probe = standing.next_probe()
        assert probe is None or probe[1] <= now + LONGEST_BENCH


# --- language models --------------------------------------------------------------------------------------------------


class Model:
    """Answers by a script: events to give, errors to raise, seconds to wait."""

    def __init__(self, name, *scripts):
        self.name = name
        self.scripts = list(scripts)
        self.asked = []
        self.closed = 0

    async def stream(self, messages, tools=(), *, variables=None):
        self.asked.append(list(messages))
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        try:
            for step in script:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, int | float):
                    await asyncio.sleep(step)
                else:
                    yield step
        finally:
            self.closed += 1

    async def warm(self):
        self.asked.append("warm")

    async def aclose(self):
        pass


async def said(llm):
    return [event async for event in llm.stream(HELLO)]


async def test_the_next_model_answers_in_the_same_turn():
    notes = Notes()
    llm = FallbackLLM([Model("a", [gone()]), Model("b", [TextDelta("hi")])], observer=notes)
    assert await said(llm) == [TextDelta("hi")]
    assert notes.requests == [("a", "llm", "unreachable"), ("b", "llm", "ok")]
    assert notes.fallbacks == [("llm", "a", "b", "gone")]
    await llm.aclose()


async def test_a_late_first_token_is_a_failure_while_there_is_another():
    slow = Model("a", [5.0, TextDelta("late")])
    llm = FallbackLLM([slow, Model("b", [TextDelta("hi")])], deadlines=Deadlines(first_token=4.0))
    before = asyncio.get_running_loop().time()
    assert await said(llm) == [TextDelta("hi")]
    assert asyncio.get_running_loop().time() - before == pytest.approx(4.0)
    assert slow.closed == 1
    await llm.aclose()


async def test_the_last_one_may_take_its_time():
    llm = FallbackLLM([Model("a", [5.0, TextDelta("late")])])
    assert await said(llm) == [TextDelta("late")]


async def test_an_answer_that_breaks_off_is_gone_on_with():
    second = Model("b", [TextDelta("on its way.")])
    llm = FallbackLLM([Model("a", [TextDelta("Your order is "), gone()]), second])
    assert await said(llm) == [TextDelta("Your order is "), TextDelta("on its way.")]
    assert second.asked[0][1] == Message("assistant", "Your order is ") and second.asked[0][2].role == "system"
    await llm.aclose()


async def test_after_a_tool_call_there_is_no_going_back():
    second = Model("b", [TextDelta("hi")])
    llm = FallbackLLM([Model("a", [ToolCall("1", "t", {}), gone()]), second])
    with pytest.raises(Unreachable):
        await said(llm)
    assert second.asked == []
    await llm.aclose()


async def test_a_lone_model_whose_connection_broke_is_asked_once_more():
    notes = Notes()
    lone = Model("a", [gone()], [TextDelta("hi")])
    llm = FallbackLLM([lone], observer=notes)
    assert await said(llm) == [TextDelta("hi")]
    assert notes.requests == [("a", "llm", "unreachable"), ("a", "llm", "ok")] and notes.fallbacks == []
    for scripts, asked in (([[gone()]], 2), ([[TextDelta("h"), gone()]], 1), ([[BadKey("no", provider="a")]], 1)):
        broken = Model("a", *scripts)
        with pytest.raises(ProviderError):
            await said(lost := FallbackLLM([broken]))
        assert len(broken.asked) == asked
        await lost.aclose()
    await llm.aclose()


async def test_when_all_fail_the_last_error_is_raised():
    llm = FallbackLLM([Model("a", [gone()]), Model("b", [BadKey("no", provider="b")])])
    with pytest.raises(BadKey):
        await said(llm)
    await llm.aclose()


async def test_one_that_failed_is_passed_over_probed_and_comes_back():
    first = Model("a", [gone()], [gone()], [TextDelta("well again")])
    notes = Notes()
    llm = FallbackLLM([first, Model("b", [TextDelta("hi")])], observer=notes)
    assert await said(llm) == [TextDelta("hi")]
    assert await said(llm) == [TextDelta("hi")]
    assert len(first.asked) == 1  # it sat out the second turn
    await asyncio.sleep(10.5)
    assert len(first.asked) == 2  # probed after 10 s, in vain
    await asyncio.sleep(20.0)
    assert len(first.asked) == 3  # probed after 20 s more
    assert await said(llm) == [TextDelta("well again")]
    assert first.closed == len(first.asked)
    await llm.aclose()


async def test_who_sits_out_for_long_does_not_keep_the_others_from_being_probed():
    first = Model("a", [QuotaExceeded("no", provider="a")])
    second = Model("b", [TextDelta("hey")], [gone()], [gone()], [TextDelta("well again")])
    llm = FallbackLLM([first, second, Model("c", [TextDelta("hi")])])
    assert await said(llm) == [TextDelta("hey")]
    await asyncio.sleep(1.0)
    assert await said(llm) == [TextDelta("hi")]
    await asyncio.sleep(10.5)
    assert (len(first.asked), len(second.asked)) == (1, 3)  # by the probe, and not by a caller who has to wait
    assert await said(llm) == [TextDelta("hi")]
    await asyncio.sleep(20.0)
    assert (len(first.asked), len(second.asked)) == (1, 4)
    assert await said(llm) == [TextDelta("well again")]
    await llm.aclose()


async def test_a_refused_key_is_never_tried_again_by_itself():
    first = Model("a", [BadKey("no", provider="a")])
    llm = FallbackLLM([first, Model("b", [TextDelta("hi")])])
    await said(llm)
    await asyncio.sleep(3600)
    await said(llm)
    assert len(first.asked) == 1
    await llm.aclose()


async def test_closing_leaves_no_task():
    llm = FallbackLLM([Model("a", [gone()]), Model("b", [TextDelta("hi")])])
    await said(llm)
    assert len(asyncio.all_tasks()) == 2  # this test and the probing
    await llm.aclose()
    assert len(asyncio.all_tasks()) == 1


async def test_closing_the_stream_closes_the_providers():
    model = Model("a", [TextDelta("a"), 100.0, TextDelta("b")])
    llm = FallbackLLM([model, Model("b", [])])
    stream = llm.stream(HELLO)
    await anext(stream)
    await stream.aclose()
    assert model.closed == 1


async def test_warming_is_for_the_one_that_would_be_asked():
    first, second = Model("a", [gone()]), Model("b", [TextDelta("hi")])
    llm = FallbackLLM([first, second])
    await said(llm)
    await llm.warm()
    assert second.asked[-1] == "warm"
    await llm.aclose()


# --- voices -----------------------------------------------------------------------------------------------------------


class Speech:
    """Speaks by a script for each sentence; `opening` for each connection."""

    def __init__(self, name, *scripts, opening=()):
        self.name = name
        self.scripts = list(scripts)
        self.opening = list(opening)
        self.opened = 0
        self.live = 0

    capabilities = TTSCapabilities(alignment=True)

    @property
    def fingerprint(self):
        return self.name

    async def open(self, *, rate, language):
        for step in self.opening:
            if isinstance(step, Exception):
                raise step
            await asyncio.sleep(step)
        self.opened += 1
        self.live += 1
        return self

    async def synthesize(self, text):
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        for step in script:
            if isinstance(step, Exception):
                raise step
            if isinstance(step, int | float):
                await asyncio.sleep(step)
            else:
                yield SpeechChunk(step)

    async def aclose(self):
        self.live -= 1


async def spoken(voice):
    return b"".join([chunk.pcm async for chunk in voice.synthesize("Hello.")])


async def test_the_next_voice_speaks_a_sentence_of_which_nothing_was_heard():
    first, second = Speech("a", [gone()]), Speech("b", [b"bb"])
    tts = FallbackTTS([first, second])
    voice = await tts.open(rate=8000, language="en")
    assert await spoken(voice) == b"bb"
    await voice.aclose()
    await tts.aclose()
    assert (first.live, second.live) == (0, 0)


async def test_a_sentence_that_breaks_off_stays_cut_and_the_next_is_anothers():
    tts = FallbackTTS([Speech("a", [b"aa", gone()]), Speech("b", [b"bb"])])
    voice = await tts.open(rate=8000, language="en")
    assert await spoken(voice) == b"aa"
    assert await spoken(voice) == b"bb"
    await voice.aclose()
    await tts.aclose()


async def test_only_the_first_voices_whole_sentences_are_its_own():
    async def own(voice):
        return all([chunk.own async for chunk in voice.synthesize("Hello.")])

    tts = FallbackTTS([Speech("a", [b"aa"], [b"aa", gone()]), Speech("b", [b"bb"])])
    voice = await tts.open(rate=8000, language="en")
    assert await own(voice)
    assert not await own(voice)  # cut short
    assert not await own(voice)  # another's
    await voice.aclose()
    await tts.aclose()


async def test_late_audio_is_a_failure_while_there_is_another():
    tts = FallbackTTS([Speech("a", [3.0, b"aa"]), Speech("b", [b"bb"])], deadlines=Deadlines(first_audio=2.0))
    voice = await tts.open(rate=8000, language="en")
    before = asyncio.get_running_loop().time()
    assert await spoken(voice) == b"bb"
    assert asyncio.get_running_loop().time() - before == pytest.approx(2.0)
    await voice.aclose()
    await tts.aclose()


async def test_connecting_moves_on_too_and_when_all_fail_the_error_is_raised():
    tts = FallbackTTS([Speech("a", [b"aa"], opening=[60.0]), Speech("b", [b"bb"])])
    voice = await tts.open(rate=8000, language="en")
    assert await spoken(voice) == b"bb"
    await voice.aclose()
    await tts.aclose()
    none = FallbackTTS([Speech("a", [b"aa"], opening=[gone()]), Speech("b", [b""], opening=[gone()])])
    with pytest.raises(Unreachable):
        await none.open(rate=8000, language="en")
    await none.aclose()


async def test_a_lone_voice_whose_connection_broke_is_asked_once_more():
    tts = FallbackTTS([lone := Speech("a", [gone()], [b"aa"])])
    voice = await tts.open(rate=8000, language="en")
    assert await spoken(voice) == b"aa"
    assert lone.opened == 2
    lone.scripts = [[gone()]]
    with pytest.raises(Unreachable):
        await spoken(voice)
    await voice.aclose()
    await tts.aclose()
    assert lone.live == 0


async def test_a_lone_voice_that_breaks_off_says_so():
    tts = FallbackTTS([Speech("a", [b"aa", gone()])])
    voice = await tts.open(rate=8000, language="en")
    with pytest.raises(Unreachable):
        await spoken(voice)
    await tts.aclose()


async def test_a_list_sounds_like_its_first():
    tts = FallbackTTS([Speech("a", []), Speech("b", [])])
    assert (tts.name, tts.fingerprint, tts.capabilities.alignment) == ("a", "a", True)


# --- recognisers ------------------------------------------------------------------------------------------------------


class Ears:
    """A recogniser driven by the test through the queue of its last stream."""

    def __init__(self, name, *, opening=(), sending=0.0, **capabilities):
        self.name = name
        self.capabilities = STTCapabilities(**{"partials": True, **capabilities})
        self.opening = list(opening)
        self.sending = sending
        self.streams = []

    async def open(self, *, rate, language, hints=()):
        for step in self.opening:
            if isinstance(step, Exception):
                raise step
            await asyncio.sleep(step)
        self.streams.append(Hearing(hints, self.sending))
        return self.streams[-1]

    async def aclose(self):
        pass


class Hearing:
    def __init__(self, hints, sending):
        self.hints = hints
        self.sending = sending
        self.heard = b""
        self.finalized = 0
        self.closed = False
        self.says = asyncio.Queue()

    async def send(self, pcm):
        await asyncio.sleep(self.sending)
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


async def test_the_next_recogniser_hears_the_utterance_from_its_beginning():
    first, second = Ears("a"), Ears("b")
    stt = FallbackSTT([first, second])
    stream = await stt.open(rate=8000, language="en", hints=["order"])
    events = stream.events()
    await stream.send(b"1111")
    first.streams[0].says.put_nowait(Transcript("one", final=True))
    assert await anext(events) == Transcript("one", final=True)
    await stream.send(b"2222")
    await stream.finalize()
    first.streams[0].says.put_nowait(gone())
    waiting = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0.1)
    taken_over = second.streams[0]
    assert (taken_over.heard, taken_over.finalized, taken_over.hints) == (b"2222", 1, ["order"])
    assert first.streams[0].closed
    taken_over.says.put_nowait(Transcript("two", final=True))
    assert await waiting == Transcript("two", final=True)
    await stream.send(b"3333")
    assert taken_over.heard == b"22223333"
    await stream.aclose()
    await stt.aclose()


async def test_one_that_works_by_utterances_comes_back_only_when_it_answers_one():
    first, second = Ears("a", continuous=False), Ears("b", continuous=False)
    stt = FallbackSTT([first, second])
    stream = await stt.open(rate=8000, language="en")
    events = stream.events()
    await stream.send(b"1111")
    await stream.finalize()
    first.streams[0].says.put_nowait(gone())
    waiting = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0.1)
    second.streams[0].says.put_nowait(Transcript("one", final=True))
    assert await waiting == Transcript("one", final=True)
    await asyncio.sleep(10)
    probe = first.streams[1]  # 10 s later it is asked about half a second
    assert (len(probe.heard), probe.finalized, probe.closed) == (8000, 1, False)
    probe.says.put_nowait(gone())
    await asyncio.sleep(0.1)
    assert probe.closed
    other = await stt.open(rate=8000, language="en")  # it sits out a call
    assert (len(first.streams), len(second.streams)) == (2, 2)
    await asyncio.sleep(19)
    assert len(first.streams) == 2  # 20 s this time
    await asyncio.sleep(1)
    first.streams[2].says.put_nowait(Transcript("", final=False))
    first.streams[2].says.put_nowait(None)  # an end is no answer either
    await asyncio.sleep(39)
    assert len(first.streams) == 3
    await asyncio.sleep(2)
    first.streams[3].says.put_nowait(Transcript("", final=True))
    await asyncio.sleep(0.1)
    assert first.streams[3].closed
    back = await stt.open(rate=8000, language="en")
    assert (len(first.streams), len(second.streams)) == (5, 2)
    for each in (stream, other, back):
        await each.aclose()
    await stt.aclose()


async def test_a_connection_does_not_forgive_one_that_works_by_utterances():
    first = Ears("a", continuous=False)
    stt = FallbackSTT([first], observer=(notes := Notes()))
    stream = await stt.open(rate=8000, language="en")
    assert notes.requests == []
    first.streams[0].says.put_nowait(Transcript("one", final=True))
    first.streams[0].says.put_nowait(Transcript("two", final=True))
    events = stream.events()
    assert [(await anext(events)).text, (await anext(events)).text] == ["one", "two"]
    assert notes.requests == [("a", "stt", "ok")]
    await stream.aclose()
    await stt.aclose()


async def test_connecting_takes_two_seconds_at_most_while_there_is_another():
    stt = FallbackSTT([Ears("a", opening=[60.0]), second := Ears("b")])
    before = asyncio.get_running_loop().time()
    stream = await stt.open(rate=8000, language="en")
    assert asyncio.get_running_loop().time() - before == pytest.approx(2.0)
    await stream.send(b"11")
    assert second.streams[0].heard == b"11"
    await stream.aclose()
    await stt.aclose()


async def test_the_carried_audio_is_bounded():
    first, second = Ears("a"), Ears("b")
    stt = FallbackSTT([first, second])
    stream = await stt.open(rate=8000, language="en")
    for _ in range(50 * 60):
        await stream.send(b"\1\0" * 160)
    first.streams[0].says.put_nowait(gone())
    waiting = asyncio.ensure_future(anext(stream.events()))
    await asyncio.sleep(0.1)
    assert len(second.streams[0].heard) == 30 * 8000 * 2
    await stream.aclose()
    with pytest.raises(StopAsyncIteration):
        await waiting
    await stt.aclose()


async def test_a_call_that_ends_while_the_next_is_given_the_utterance_leaves_no_connection():
    first, second = Ears("a"), Ears("b", sending=60.0)
    stt = FallbackSTT([first, second])
    stream = await stt.open(rate=8000, language="en")
    await stream.send(b"1111")
    first.streams[0].says.put_nowait(gone())
    reading = asyncio.ensure_future(anext(stream.events()))
    await asyncio.sleep(0.1)
    reading.cancel()
    await asyncio.wait([reading])
    await stream.aclose()
    assert first.streams[0].closed and second.streams[0].closed
    await stt.aclose()


async def test_a_call_that_ends_while_the_next_is_connected_to_leaves_no_connection():
    first, second = Ears("a"), Ears("b", opening=[1.0])
    stt = FallbackSTT([first, second])
    stream = await stt.open(rate=8000, language="en")
    first.streams[0].says.put_nowait(gone())
    reading = asyncio.ensure_future(anext(stream.events(), None))
    await asyncio.sleep(0.5)
    await stream.aclose()
    assert await reading is None
    assert second.streams[0].closed
    await stt.aclose()


async def test_the_next_that_works_by_utterances_is_not_asked_in_the_middle_of_one():
    first, second = Ears("a", continuous=False), Ears("b", continuous=False)
    stt = FallbackSTT([first, second])
    stream = await stt.open(rate=8000, language="en")
    await stream.send(b"1111")
    await stream.finalize()
    await stream.send(b"2222")  # the caller goes on before there is an answer
    first.streams[0].says.put_nowait(gone())
    reading = asyncio.ensure_future(anext(stream.events()))
    await asyncio.sleep(0.1)
    taken_over = second.streams[0]
    assert (taken_over.heard, taken_over.finalized) == (b"11112222", 0)
    await stream.finalize()
    taken_over.says.put_nowait(Transcript("one two", final=True))
    assert taken_over.finalized == 1 and await reading == Transcript("one two", final=True)
    await stream.aclose()
    await stt.aclose()


async def test_when_all_recognisers_fail_the_error_is_raised():
    stt = FallbackSTT([first := Ears("a"), Ears("b", opening=[BadKey("no", provider="b")])])
    stream = await stt.open(rate=8000, language="en")
    first.streams[0].says.put_nowait(gone())
    failing = asyncio.ensure_future(anext(stream.events()))
    await asyncio.sleep(0.1)
    first.streams[1].says.put_nowait(gone())  # it was connected to again
    with pytest.raises(BadKey):
        await failing
    await stream.aclose()
    await stt.aclose()


@pytest.mark.parametrize(("error", "tries"), [(gone, 2), (lambda name: BadKey("no", provider=name), 1)])
async def test_those_who_only_accept_connections_to_close_them_are_not_asked_for_ever(error, tries):
    class Closing(Ears):
        async def open(self, **asked):
            stream = await super().open(**asked)
            stream.says.put_nowait(error(self.name))
            return stream

    every = [Closing("a"), Closing("b")]
    stt = FallbackSTT(every)
    stream = await stt.open(rate=8000, language="en")
    with pytest.raises(type(error("a"))):
        await anext(stream.events())
    assert [len(ears.streams) for ears in every] == [tries, tries]
    await stream.aclose()
    await stt.aclose()


async def test_one_that_has_worked_between_is_connected_to_again_however_often_it_breaks():
    lone = Ears("a")
    stt = FallbackSTT([lone])
    stream = await stt.open(rate=8000, language="en")
    events = stream.events()
    for number in range(5):
        lone.streams[number].says.put_nowait(Transcript(str(number), final=True))
        assert await anext(events) == Transcript(str(number), final=True)
        waiting = asyncio.ensure_future(anext(events))
        lone.streams[number].says.put_nowait(gone())
        await asyncio.sleep(0.1)
        lone.streams[number + 1].says.put_nowait(Transcript("on", final=True))
        assert await waiting == Transcript("on", final=True)
    await stream.aclose()
    await stt.aclose()


async def test_one_that_ends_turns_is_stood_in_for_by_one_that_does_not():
    first, second = Ears("a", end_of_turn=True, final_delay=0.3), Ears("b", final_delay=2.0)
    stt = FallbackSTT([first, second])
    assert stt.capabilities.end_of_turn and stt.capabilities.final_delay == 2.0
    stream = await stt.open(rate=8000, language="en")
    events = stream.events()
    first.streams[0].says.put_nowait(TurnSignal("end", "one"))
    assert await anext(events) == TurnSignal("end", "one")
    first.streams[0].says.put_nowait(gone())
    waiting = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0.1)
    await stream.send(b"11")
    await stream.finalize()
    second.streams[0].says.put_nowait(Transcript("two", final=True))
    assert await waiting == Transcript("two", final=True)
    assert await anext(events) == TurnSignal("end")
    await stream.aclose()
    await stt.aclose()


async def test_signals_that_nobody_expects_are_left_out():
    first, second = Ears("a", opening=[gone()]), Ears("b", end_of_turn=True)
    stt = FallbackSTT([first, second])
    stream = await stt.open(rate=8000, language="en")
    second.streams[0].says.put_nowait(TurnSignal("end", "one"))
    second.streams[0].says.put_nowait(Transcript("one", final=True))
    assert await anext(stream.events()) == Transcript("one", final=True)
    await stream.aclose()
    await stt.aclose()


async def test_a_probe_that_hangs_is_given_up():
    first = Model("a", [gone()], [1e6])
    llm = FallbackLLM([first, Model("b", [TextDelta("hi")])])
    await said(llm)
    await asyncio.sleep(25)
    assert first.closed == 2
    await llm.aclose()
