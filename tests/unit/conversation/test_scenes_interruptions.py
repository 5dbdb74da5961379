"""Scenes about two voices at once: interruptions, backchannel, coughs, echo, speech that must not be interrupted."""

from __future__ import annotations

import pytest
from stage import CHARS_PER_SECOND, Caller, Job, Model, Played, Recogniser, Synthesis, asks, play, timeline

from voxtrad.conversation.voicing import AHEAD
from voxtrad.events.types import BargeIn
from voxtrad.tools.base import Outcome

pytestmark = pytest.mark.virtual_time

LONG = "This is a very long text that goes on and on. " * 6
STORY = "This is a long answer. It has several sentences. They are all of interest to you."


def silent_within(played: Played, start: float, end: float) -> bool:
    return not any(a < end and b > start for a, b in played.agent_spans)


# --- interruptions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [0.1, 0.5, 1.0, 2.0, 5.0, 9.0])
@pytest.mark.parametrize("alignment", [True, False])
async def test_interruption_keeps_what_was_heard(after: float, alignment: bool) -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("tell me")
        await caller.hears_agent()
        await caller.waits(after)
        await caller.says("stop it please", 0.9)
        await caller.answered()

    played = await play(scene, voice=Synthesis(alignment=alignment), model=Model([[LONG], ["Sorry."]]))
    (barge_in,) = played.of(BargeIn)
    assert barge_in.stop_ms <= 300
    assert played.turns()[-1].endswith("stop it please")
    assert played.said()[-1] == "Sorry."
    # What was heard, by the clock: the caller began `after` seconds into it, and the agent paused 200 ms later.
    heard = LONG[: round((after + 0.25) * CHARS_PER_SECOND)]
    assert LONG.startswith(barge_in.heard)
    assert len(heard) - 12 <= len(barge_in.heard) <= len(heard) + (0 if alignment else 6)
    if barge_in.heard:
        assert played.call.agent.history[1].interrupted
        assert played.dialogue()[1] == ("assistant", barge_in.heard.strip())
        assert played.said()[0] == barge_in.heard.strip()
        assert played.turns() == ["tell me", "stop it please"]


async def test_sound_stops_soon_after_the_onset_and_generation_stops_too() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("tell me")
        await caller.hears_agent()
        await caller.waits(1.0)
        await caller.says("no no stop it please", 1.5, partial_after=0.8)
        await caller.answered()

    played = await play(scene, model=Model([[LONG * 3], ["Sorry."]], pace=0.1))
    onset = played.caller_spans[1][0]
    first = played.agent_spans[0]
    assert first[1] - onset < 0.3, "silent before a word was recognised"
    assert len(played.agent_spans) == 2
    assert played.model.cancelled == 1
    assert played.of(BargeIn)[0].stop_ms == pytest.approx((first[1] - onset) * 1000, abs=45)


@pytest.mark.parametrize("after", [1.0, 4.0])
async def test_what_is_synthesized_ahead_and_wasted_by_an_interruption_is_bounded(after: float) -> None:
    sentence = "This is one of many sentences in a row. "  # 2.6 s

    async def scene(caller: Caller) -> None:
        await caller.says("tell me")
        await caller.hears_agent()
        await caller.waits(after)
        await caller.says("stop it please", 0.9)
        await caller.answered()

    played = await play(scene, model=Model([[sentence * 60], ["Sorry."]], pace=0.0))
    made = sum(map(len, played.voice.spoken)) / CHARS_PER_SECOND
    assert made <= after + AHEAD + 2 * len(sentence) / CHARS_PER_SECOND
    written = sum(len(m.content) for m in played.model.asked[-1])
    assert written < len(sentence) * 60, "what nobody heard is not in the history either"


@pytest.mark.parametrize("pause_after", [0.0, 0.1, 0.2, 0.4])
async def test_pause_after(pause_after: float) -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("tell me")
        await caller.hears_agent()
        await caller.waits(1.0)
        await caller.says("no wait stop", 1.0, partial_after=0.6)
        await caller.answered()

    played = await play(scene, config={"interrupt": {"pause_after": pause_after}}, model=Model([[LONG], ["Yes?"]]))
    onset = played.caller_spans[1][0]
    assert played.agent_spans[0][1] - onset == pytest.approx(max(0.06, pause_after), abs=0.05)


@pytest.mark.parametrize("min_speech", [0.3, 0.5, 0.8])
async def test_without_partials_speech_of_min_speech_interrupts(min_speech: float) -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("tell me")
        await caller.hears_agent()
        await caller.waits(1.0)
        await caller.says("stop it now please", 1.2)
        await caller.answered()

    played = await play(
        scene,
        config={"interrupt": {"min_speech": min_speech}},
        stt=Recogniser(partials=False),
        model=Model([[LONG], ["Yes?"]]),
    )
    onset = played.caller_spans[1][0]
    assert played.when("flush")[0] - onset == pytest.approx(min_speech, abs=0.05)
    assert played.turns()[-1] == "stop it now please"


async def test_short_word_without_partials_interrupts_when_it_is_recognised() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("tell me")
        await caller.hears_agent()
        await caller.waits(1.0)
        await caller.says("stop", 0.35)
        await caller.quiet(1.0)
        await caller.waits(1.0)

    played = await play(scene, stt=Recogniser(partials=False), model=Model([[LONG], ["Yes?"]]))
    assert played.turns() == ["tell me", "stop"]
    assert len(played.of(BargeIn)) == 1


async def test_a_second_of_speech_interrupts_whatever_it_says() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("tell me")
        await caller.hears_agent()
        await caller.waits(1.0)
        await caller.says("okay okay okay okay okay", 1.6)
        await caller.answered()

    played = await play(scene, model=Model([[LONG], ["Yes?"]]))
    onset = played.caller_spans[1][0]
    assert played.when("flush")[0] - onset == pytest.approx(1.0, abs=0.05)
    assert played.turns()[-1] == "okay okay okay okay okay"


@pytest.mark.parametrize(("min_words", "text", "interrupts"), [
    (1, "no", True), (2, "no", False), (2, "no wait", True), (3, "no wait", False), (0, "hm", True), (0, "no", True),
])  # fmt: skip
async def test_min_words(min_words: int, text: str, interrupts: bool) -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("tell me")
        await caller.hears_agent()
        await caller.waits(1.0)
        await caller.says(text, 0.6)
        await caller.quiet(2.5)

    played = await play(scene, config={"interrupt": {"min_words": min_words}}, model=Model([[LONG], ["Yes?"]]))
    assert bool(played.of(BargeIn)) == interrupts


async def test_ignored_words_are_the_agents_own_choice() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("tell me")
        await caller.hears_agent()
        await caller.waits(1.0)
        await caller.says("roger", 0.5)
        await caller.waits(2.0)
        await caller.says("okay", 0.5)
        await caller.quiet(2.5)

    played = await play(scene, config={"interrupt": {"ignore": ["roger"]}}, model=Model([[LONG], ["Yes?"]]))
    assert played.turns() == ["tell me", "okay"]


# --- backchannel and coughs -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tenths", range(0, 44, 2))
@pytest.mark.parametrize("word", ["uh-huh", "okay", "I see"])
async def test_backchannel_at_any_moment_does_not_interrupt(tenths: int, word: str) -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("tell me")
        await caller.hears_agent()
        await caller.waits(tenths / 10)
        await caller.says(word, 0.4)
        await caller.quiet(2.5)

    played = await play(scene, model=Model([[STORY]]))
    assert not played.of(BargeIn)
    assert played.said() == [STORY]
    assert played.turns() == ["tell me"]
    paused, resumed = played.when("pause"), played.when("resume")
    assert len(paused) == len(resumed) == 1
    assert resumed[0] - paused[0] < 1.0


@pytest.mark.parametrize("before_end", [-0.3, 0.05, 0.25, 0.45, 0.65])
async def test_yes_at_the_end_of_a_question_is_the_answer(before_end: float) -> None:
    question = "Shall I book the flight on Monday for you?"  # 2.8 s

    async def scene(caller: Caller) -> None:
        await caller.says("fly me home")
        await caller.hears_agent()
        await caller.waits(len(question) / CHARS_PER_SECOND - before_end)
        await caller.says("yes", 0.4)
        await caller.quiet(0.3)
        await caller.answered()

    played = await play(scene, model=Model([[question], ["Booked."]]))
    assert played.turns() == ["fly me home", "yes"]
    assert played.said() == [question, "Booked."]


@pytest.mark.parametrize("seconds", [0.06, 0.1, 0.16, 0.2, 0.3, 0.5])
@pytest.mark.parametrize("partials", [True, False])
async def test_cough_costs_well_under_a_second(seconds: float, partials: bool) -> None:
    if not partials and seconds >= 0.5:
        return  # half a second is speech, to a recogniser without partials

    async def scene(caller: Caller) -> None:
        await caller.says("tell me")
        await caller.hears_agent()
        await caller.waits(1.0)
        await caller.noise(seconds)
        await caller.quiet(2.5)

    played = await play(scene, stt=Recogniser(partials=partials, delay=0.1), model=Model([[STORY]]))
    assert not played.of(BargeIn)
    assert played.said() == [STORY]
    cost = played.agent_spans[-1][1] - played.agent_spans[0][0] - len(STORY) / CHARS_PER_SECOND
    # What is repeated from the beginning of the word is in it too; sentences are made of whole frames.
    assert cost < 0.9 + 0.15 if seconds >= 0.2 else cost < 0.15


async def test_speech_resumes_at_the_beginning_of_the_word() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("tell me")
        await caller.hears_agent()
        await caller.waits(1.0)
        await caller.noise(0.3)
        await caller.quiet(2.5)

    text = "Extraordinarily interesting considerations notwithstanding."
    played = await play(scene, model=Model([[text]]))
    (start, paused), (resumed, end) = played.agent_spans
    words = [0, 16, 28, 43]
    said = (paused - start) * CHARS_PER_SECOND
    at_word = max(n for n in words if n <= said)
    rest = (len(text) - at_word) / CHARS_PER_SECOND
    assert end - resumed == pytest.approx(rest, abs=0.041)


async def test_speech_without_alignment_resumes_where_it_stopped() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("tell me")
        await caller.hears_agent()
        await caller.waits(1.0)
        await caller.noise(0.3)
        await caller.quiet(2.5)

    text = "Extraordinarily interesting considerations notwithstanding."
    played = await play(scene, voice=Synthesis(alignment=False), model=Model([[text]]))
    (start, paused), (resumed, end) = played.agent_spans
    assert (paused - start) + (end - resumed) == pytest.approx(len(text) / CHARS_PER_SECOND, abs=0.041)


@pytest.mark.parametrize("resume_after", [0.3, 1.0])
async def test_resume_after_is_the_longest_pause(resume_after: float) -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("tell me")
        await caller.hears_agent()
        await caller.waits(1.0)
        await caller.noise(0.5)
        await caller.quiet(3.5)

    played = await play(
        scene,
        stt=Recogniser(delay=None, final_delay=3.0),
        config={"interrupt": {"resume_after": resume_after}},
        model=Model([[STORY]]),
    )
    assert played.when("resume")[0] - played.when("pause")[0] == pytest.approx(resume_after, abs=0.05)
    assert len(played.when("pause")) == 1


async def test_many_coughs_do_not_make_the_agent_deaf() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("tell me")
        await caller.hears_agent()
        for _ in range(4):
            await caller.waits(1.0)
            await caller.noise(0.3)
            await caller.waits(1.0)
        await caller.says("stop it please", 0.9, level=0.1)
        await caller.answered()

    played = await play(scene, model=Model([[LONG], ["Yes?"]]))
    assert played.turns() == ["tell me", "stop it please"]


async def test_long_noise_cuts_the_agent_off_and_it_soon_asks() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("tell me")
        await caller.hears_agent()
        await caller.waits(1.0)
        await caller.noise(1.5)
        await caller.waits(5.0)

    played = await play(scene, model=Model([[LONG]]))
    assert len(played.of(BargeIn)) == 1
    assert played.said()[1] == "Are you still there?"
    assert played.agent_spans[1][0] - played.caller_spans[1][1] < 3.5


# --- echo -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("db", [-20, -24, -30, -40])
@pytest.mark.parametrize("transcribed", [False, True])
async def test_agent_never_pauses_at_its_own_echo(db: int, transcribed: bool) -> None:
    async def scene(caller: Caller) -> None:
        await caller.hears_agent()
        if transcribed:
            caller.recognised("this is a long", final=False, after=1.0)
            caller.recognised("This is a long answer.", after=1.8)
        await caller.quiet(1.5)
        await caller.says("tell me more")
        await caller.answered(1.5)

    played = await play(scene, echo=10 ** (db / 20), config={"greeting": STORY}, model=Model([[STORY]]))
    assert not played.decided("pause", "flush")
    assert played.turns() == ["tell me more"]
    assert played.said() == [STORY, STORY]


@pytest.mark.parametrize("db", [-24, -30])
@pytest.mark.parametrize("frames", [2, 5, 10, 14])
async def test_echo_that_comes_back_late_is_echo_still(db: int, frames: int) -> None:
    async def scene(caller: Caller) -> None:
        await caller.answered(1.5)
        await caller.says("tell me more")
        await caller.answered(1.5)

    played = await play(
        scene, echo=10 ** (db / 20), echo_after=frames, config={"greeting": STORY}, model=Model([[STORY]])
    )
    assert len(played.decided("speech_started")) == 1, timeline(played)
    assert played.turns() == ["tell me more"]
    assert played.said() == [STORY, STORY]


@pytest.mark.parametrize("db", [-10, -14])
async def test_loud_echo_is_learned(db: int) -> None:
    async def scene(caller: Caller) -> None:
        await caller.hears_agent()
        await caller.quiet(2.5)
        await caller.says("tell me more", level=0.5)
        await caller.answered(2.5)

    played = await play(scene, echo=10 ** (db / 20), config={"greeting": STORY}, model=Model([[STORY]]))
    assert len(played.decided("pause")) <= 1
    assert played.said() == [STORY, STORY]


@pytest.mark.parametrize("db", [-20, -30])
@pytest.mark.parametrize("level", [0.1, 0.3])
async def test_caller_is_heard_over_the_echo(db: int, level: float) -> None:
    async def scene(caller: Caller) -> None:
        await caller.hears_agent()
        await caller.waits(2.0)
        await caller.says("stop it please", 0.9, level=level)
        await caller.answered()

    played = await play(scene, echo=10 ** (db / 20), config={"greeting": STORY})
    assert played.turns() == ["stop it please"]
    assert len(played.of(BargeIn)) == 1


async def test_words_of_a_caller_too_quiet_for_the_detector_interrupt() -> None:
    async def scene(caller: Caller) -> None:
        await caller.hears_agent()
        await caller.waits(1.0)
        caller.recognised("please stop", final=False)
        caller.recognised("please stop", after=0.5)
        await caller.quiet(0.3)
        await caller.answered()

    played = await play(scene, config={"greeting": STORY})
    assert played.turns() == ["please stop"]


# --- speech that must not be interrupted ------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [0.2, 1.0, 2.0, 4.0, 5.2])
async def test_uninterruptible_greeting_plays_on_and_what_was_said_is_answered(after: float) -> None:
    async def scene(caller: Caller) -> None:
        await caller.hears_agent()
        await caller.waits(after)
        await caller.says("where is my order")
        await caller.quiet(0.3)
        await caller.answered()

    played = await play(scene, config={"greeting": {"text": STORY, "interruptible": False}})
    assert not played.decided("pause", "flush")
    assert played.said() == [STORY, "All right."]
    assert played.turns() == ["where is my order"]
    end = max(played.agent_spans[0][1], played.caller_spans[0][1])
    assert played.agent_spans[1][0] - end < 1.2


async def test_interruptions_can_be_switched_off() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("tell me")
        await caller.hears_agent()
        await caller.waits(0.5)
        await caller.says("stop")
        await caller.waits(1.0)
        await caller.says("it please")
        await caller.quiet(0.3)
        await caller.answered()

    played = await play(scene, config={"interrupt": {"enabled": False}}, model=Model([[STORY], ["Too late."]]))
    assert not played.decided("pause", "flush")
    assert played.turns() == ["tell me", "stop it please"], "said in two, answered as one"


async def test_backchannel_into_uninterruptible_speech_is_no_turn() -> None:
    async def scene(caller: Caller) -> None:
        await caller.hears_agent()
        await caller.waits(1.0)
        await caller.says("uh-huh", 0.4)
        await caller.quiet(2.0)

    played = await play(scene, config={"greeting": {"text": STORY, "interruptible": False}})
    assert not played.turns()


async def test_caller_who_speaks_on_through_the_end_of_uninterruptible_speech() -> None:
    async def scene(caller: Caller) -> None:
        await caller.hears_agent()
        await caller.waits(0.3)
        await caller.says("I have a question")
        await caller.waits(0.4)
        await caller.says("about the order from last Monday", 3.0)
        await caller.answered()

    played = await play(scene, config={"greeting": {"text": "Calls are recorded here.", "interruptible": False}})
    assert played.dialogue()[1] == ("user", "I have a question about the order from last Monday")
    assert len(played.model.asked) == 1


async def test_key_into_uninterruptible_speech_is_a_turn_after_it() -> None:
    async def scene(caller: Caller) -> None:
        await caller.hears_agent()
        await caller.waits(1.0)
        caller.presses("12#")
        await caller.quiet(0.3)
        await caller.answered()

    played = await play(scene, config={"greeting": {"text": STORY, "interruptible": False}})
    assert played.said()[0] == STORY
    assert played.turns() == ["12"]


# --- double talk ------------------------------------------------------------------------------------------------------


async def test_caller_speaks_already_when_the_greeting_begins() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("hello is this the pizza place", 1.5)
        await caller.answered()

    played = await play(scene, config={"greeting": "Hello, this is Acme, the pizza place."})
    assert played.turns() == ["hello is this the pizza place"]


async def test_pause_comes_before_the_first_frame_and_is_let_go() -> None:
    """Sound begins between the first audio and its way to the wire: it is held, and nothing of it is lost."""

    async def scene(caller: Caller) -> None:
        await caller.says("tell me")
        await caller.waits(0.5)
        await caller.noise(0.3)
        await caller.quiet(2.5)

    for delay in (0.0, 0.05, 0.1, 0.2, 0.3):
        played = await play(scene, model=Model([[STORY]], delay=delay))
        assert played.said() == [STORY], timeline(played)
        assert not played.of(BargeIn)


@pytest.mark.parametrize("hundredths", range(40, 90, 2))
async def test_caller_goes_on_at_the_moment_of_the_first_frame(hundredths: int) -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("I want a pizza", 1.0)
        await caller.waits(hundredths / 100)
        await caller.says("with olives please", 1.0)
        await caller.answered()

    played = await play(scene, model=Model([["A pizza, of course."], ["With olives, of course."]], delay=0.05))
    words = " ".join(content for role, content in played.dialogue() if role == "user")
    assert words == "I want a pizza with olives please"
    answers = ["A pizza, of course.", "With olives, of course."]
    assert played.said()[-1] == answers[len(played.model.asked) - 1]
    assert len(played.dialogue()) in (2, 4)


async def test_two_interruptions_in_a_row() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("tell me")
        for text in ("no the other", "no the third"):
            await caller.hears_agent()
            await caller.waits(1.0)
            await caller.says(text, 0.9)
        await caller.answered()

    played = await play(scene, model=Model([[LONG], [LONG], ["Here."]]))
    assert played.turns() == ["tell me", "no the other", "no the third"]
    assert len(played.of(BargeIn)) == 2
    assert played.said()[-1] == "Here."


# --- what the history holds -------------------------------------------------------------------------------------------


async def test_interrupted_in_the_third_sentence() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("tell me")
        await caller.hears_agent()
        await caller.waits(4.0)
        await caller.says("stop it", 0.8)
        await caller.answered()

    played = await play(scene, model=Model([[STORY + " And more of it."], ["Yes?"]]))
    heard = played.dialogue()[1][1]
    assert heard.startswith("This is a long answer. It has several sentences. They")
    assert not heard.endswith("you.")


async def test_markdown_is_not_spoken_but_stands_in_the_history_as_far_as_it_was_heard() -> None:
    written = (
        "# Your **order**\n\n* It was [sent](https://acme.example) on *Monday*.\n* It comes on **Friday**, I think. "
    )

    async def scene(caller: Caller) -> None:
        await caller.says("tell me")
        await caller.hears_agent()
        await caller.quiet(2.0)
        await caller.says("again")
        await caller.hears_agent()
        await caller.waits(1.0)
        await caller.says("stop it", 0.8)
        await caller.answered()

    played = await play(scene, model=Model([[written], [written], ["Yes?"]]))
    assert not any(sign in " ".join(played.voice.spoken) for sign in "#*[](")
    assert played.dialogue()[1] == ("assistant", written.strip())
    heard = played.dialogue()[3][1]
    assert written.startswith(heard) and "order" in heard and "Friday" not in heard


async def test_interrupted_in_the_second_round_of_a_reply() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.hears_agent()
        await caller.quiet(0.4)
        await caller.hears_agent()
        await caller.waits(1.0)
        await caller.says("stop it", 0.8)
        await caller.answered()

    job = Job(seconds=1.0, outcome=Outcome("sent"))
    played = await play(scene, tools=[job], model=Model([["Let me look. ", asks()], [LONG], ["Yes?"]]))
    roles = [role for role, _ in played.dialogue()]
    assert roles == ["user", "assistant", "tool", "assistant", "user", "assistant"]
    first, second = played.call.agent.history[1], played.call.agent.history[3]
    assert first.content == "Let me look." and not first.interrupted and first.tool_calls
    assert LONG.startswith(second.content) and second.interrupted


async def test_interrupted_in_the_first_round_of_a_reply_before_its_tool() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.hears_agent()
        await caller.waits(0.7)
        await caller.says("stop it", 0.8)
        await caller.answered()

    job = Job(outcome=Outcome("sent"))
    played = await play(scene, tools=[job], model=Model([[LONG, asks()], ["Yes?"]], pace=0.1))
    assert not job.runs
    assert [role for role, _ in played.dialogue()] == ["user", "assistant", "user", "assistant"]


async def test_tool_under_way_during_an_interruption_finishes_and_is_told_to_the_model() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.hears_agent()
        await caller.waits(0.4)
        await caller.says("never mind that", 0.8)
        await caller.answered(6.0)
        await caller.says("and now")
        await caller.answered()

    job = Job(seconds=5.0, outcome=Outcome("sent"))
    played = await play(
        scene, tools=[job], model=Model([["Let me look that up for you. ", asks()], ["Fine."], ["It was sent."]])
    )
    assert job.done == 1
    assert "still running" in played.model.asked[1][2].content
    assert played.model.asked[2][2].content == "sent"
    assert ("tool", "sent") in played.dialogue()
