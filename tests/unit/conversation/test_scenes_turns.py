"""Scenes about when a turn is over: late and missing transcripts, pauses, numbers, going on while the agent thinks."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from stage import NOTHING, Caller, Job, Model, Recogniser, asks, play, timeline

from voxtrad.events.types import UserTranscript
from voxtrad.tools.base import Outcome

pytestmark = pytest.mark.virtual_time


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.25, 0.3, 0.45, 0.8, 1.2, 2.0])
@pytest.mark.parametrize("partials", [True, False])
async def test_the_recognisers_delay_is_absorbed_and_not_added(delay: float, partials: bool) -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.answered()

    played = await play(scene, stt=Recogniser(delay=delay, partials=partials))
    spoke = played.caller_spans[0][1]
    # The final is asked for 200 ms after the last sound; the wait of 500 ms runs from that sound too.
    assert played.when("end_turn") == [pytest.approx(spoke + max(0.5, 0.2 + delay), abs=0.045)]
    assert played.turns() == ["where is my order"]


@pytest.mark.parametrize("min_silence", [0.2, 0.4, 0.5, 0.9, 2.0])
async def test_min_silence(min_silence: float) -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.answered()

    played = await play(scene, config={"turn": {"min_silence": min_silence}}, stt=Recogniser(delay=0.0))
    wait = played.when("end_turn")[0] - played.caller_spans[0][1]
    assert wait == pytest.approx(max(0.2, min_silence), abs=0.045)


@pytest.mark.parametrize("pieces", [1, 2, 3, 5])
async def test_final_in_pieces(pieces: int) -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("I would like to know where it is")
        await caller.answered()

    played = await play(scene, stt=Recogniser(pieces=pieces))
    assert played.turns()[-1] == "I would like to know where it is"
    assert played.dialogue()[0] == ("user", "I would like to know where it is")
    assert len([role for role, _ in played.dialogue() if role == "user"]) == 1


async def test_partial_has_to_do_where_no_final_comes() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.answered()

    played = await play(scene, stt=Recogniser(delay=None, final_delay=0.9))
    assert played.turns() == ["where is my order"]
    assert played.when("end_turn")[0] - played.caller_spans[0][1] == pytest.approx(0.9, abs=0.045)


async def test_same_word_again_answers_what_the_agent_asked_about_it_although_no_sound_was_detected() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("yes")
        await caller.answered(0.3)
        caller.recognised("yes")
        await caller.answered()

    played = await play(scene, model=Model([["Sure?"], ["Done."]]))
    assert played.turns() == ["yes", "yes"], timeline(played)
    assert played.said() == ["Sure?", "Done."]


@pytest.mark.parametrize("late", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("text", ["where is my order", "Where is my order?", "where's my order"])
async def test_late_final_of_a_turn_is_not_another_one(late: float, text: str) -> None:
    async def scene(caller: Caller) -> None:
        caller.recognised(text, after=1.1 + 0.5 + late)
        await caller.says("where is my order", 1.1)
        await caller.answered(2.0)

    played = await play(scene, stt=Recogniser(delay=None, final_delay=0.5), model=Model(delay=1.0))
    assert played.turns() == ["where is my order"]
    assert len(played.model.asked) == 1


@pytest.mark.parametrize("delay", [2.5, 4.0, 8.0, 14.0])
@pytest.mark.parametrize("text", ["where is my order", "Where is my order?", "where's my order"])
async def test_final_that_comes_long_after_the_answer_is_not_answered_again(delay: float, text: str) -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        caller.recognised(text, after=delay)
        await caller.answered(2.0)
        await caller.waits(14.0)

    played = await play(scene, stt=Recogniser(delay=None), config={"idle": {"after": "60s"}})
    assert played.turns() == ["where is my order"]
    assert played.said() == ["All right."]


async def test_late_final_that_says_more_is_heard() -> None:
    async def scene(caller: Caller) -> None:
        caller.recognised("my number is one two three four", after=2.0 + 1.0)
        caller.recognised("my number is one two", final=False, after=1.0)
        await caller.noise(1.4)
        await caller.answered()

    played = await play(scene, stt=Recogniser(delay=None), model=Model(delay=2.0), config={"turn": {"max_silence": 1}})
    assert played.dialogue()[0] == ("user", "my number is one two three four")


async def test_next_utterance_begins_before_the_late_final_of_the_last() -> None:
    async def scene(caller: Caller) -> None:
        caller.recognised("where is my order", final=False, after=0.6)
        await caller.noise(1.0)
        await caller.waits(0.7)  # the turn was handed over with the partial transcript
        caller.recognised("where is my order", after=0.2)
        caller.recognised("the red one", final=False, after=0.6)
        caller.recognised("the red one", after=1.2)
        await caller.noise(0.8)
        await caller.answered()

    played = await play(scene, stt=Recogniser(delay=None), model=Model(delay=3.0))
    assert played.dialogue()[0] == ("user", "where is my order the red one")


async def test_sound_without_words_is_no_utterance() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says(NOTHING, 1.0)
        await caller.waits(2.0)
        await caller.says("is anybody there")
        await caller.answered()

    played = await play(scene)
    assert played.turns() == ["is anybody there"]
    assert played.decided("drop", "end_turn")[:2] == ["drop", "end_turn"]


async def test_words_later_than_is_usual_for_the_recogniser_are_answered_at_once() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.answered()

    played = await play(scene, stt=Recogniser(delay=1.5, partials=False, final_delay=0.5))
    assert played.turns() == ["where is my order"]
    assert played.when("end_turn")[0] - played.caller_spans[0][1] == pytest.approx(1.7, abs=0.045)


@pytest.mark.parametrize("seconds", [0.02, 0.06, 0.1, 0.3, 1.0, 2.0, 4.0])
async def test_noise_before_and_between(seconds: float) -> None:
    async def scene(caller: Caller) -> None:
        await caller.noise(seconds)
        await caller.waits(1.0)
        await caller.says("hello there")
        await caller.answered(0.2)
        await caller.noise(seconds)
        await caller.waits(1.0)
        await caller.says("and goodbye then", 1.0)
        await caller.answered()

    played = await play(scene)
    assert played.turns() == ["hello there", "and goodbye then"]


async def test_endless_noise_is_not_waited_for() -> None:
    """A detector that takes a noisy line for speech: words are answered, and silence on it is silence."""

    async def scene(caller: Caller) -> None:
        caller.leg.port.caller_says(bytes([1, 0]) * 8000 * 90)
        caller.recognised("where is my", final=False, after=1.0)
        caller.recognised("where is my order", after=2.0)
        await caller.waits(80)

    played = await play(scene, config={"idle": {"after": 10, "max": 1}}, stt=Recogniser(delay=None))
    assert played.turns() == ["where is my order"]
    assert played.said() == ["All right.", "Are you still there?"]
    assert played.ended.outcome == "idle"


@pytest.mark.parametrize("pause", [0.1, 0.25, 0.45])
async def test_short_pause_is_no_end(pause: float) -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("I have a question")
        await caller.waits(pause)
        await caller.says("about my order")
        await caller.answered()

    played = await play(scene)
    assert played.dialogue()[0] == ("user", "I have a question about my order")
    assert len(played.model.asked) == 1


@pytest.mark.parametrize(
    "beginning",
    ["I have a red one and", "I would like to speak with", "my name is", "let me see", "it is um", "it was because",
     "hold on"],
)  # fmt: skip
@pytest.mark.parametrize("pause", [0.8, 2.5])
async def test_what_sounds_unfinished_is_waited_for(beginning: str, pause: float) -> None:
    async def scene(caller: Caller) -> None:
        await caller.says(beginning)
        await caller.waits(pause)
        await caller.says("somebody else entirely")
        await caller.answered()

    played = await play(scene)
    assert played.turns() == [f"{beginning} somebody else entirely"]
    assert len(played.model.asked) == 1


@pytest.mark.parametrize("text", ["yes I can", "I think so", "that is all it is", "come on in", "no I do not"])
async def test_what_is_complete_is_not_waited_for(text: str) -> None:
    async def scene(caller: Caller) -> None:
        await caller.says(text)
        await caller.answered()

    played = await play(scene)
    assert played.when("end_turn")[0] - played.caller_spans[0][1] < 0.6


@pytest.mark.parametrize("max_silence", [1.0, 2.0, 3.0])
async def test_unfinished_is_waited_for_at_most_max_silence(max_silence: float) -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("I would like a pizza and")
        await caller.answered()

    played = await play(scene, config={"turn": {"max_silence": max_silence}})
    assert played.when("end_turn")[0] - played.caller_spans[0][1] == pytest.approx(max_silence, abs=0.045)


@pytest.mark.parametrize("pause", [0.6, 0.9, 1.2])
async def test_dictated_number_with_pauses(pause: float) -> None:
    async def scene(caller: Caller) -> None:
        await caller.answered()
        for group in ("four four", "two zero", "seven nine four six"):
            await caller.says(group)
            await caller.waits(pause)
        await caller.answered()

    played = await play(scene, config={"greeting": "What is your phone number?"})
    assert played.turns() == ["four four two zero seven nine four six"]
    assert len(played.model.asked) == 1


@pytest.mark.parametrize("digits", [("17", "04"), ("A", "17"), ("me@example.com", "sorry")])
async def test_digits_that_the_recogniser_writes_as_figures(digits: tuple[str, str]) -> None:
    async def scene(caller: Caller) -> None:
        await caller.answered()
        await caller.says(digits[0])
        await caller.waits(0.9)
        await caller.says(digits[1])
        await caller.answered()

    played = await play(scene, config={"greeting": "Please tell me your order number."})
    assert played.turns() == [" ".join(digits)]


@pytest.mark.parametrize("pause", [0.7, 1.2])
@pytest.mark.parametrize(("asks", "language", "pieces"), [
    ("What is your e-mail address?", "en", ["john dot smith", "at gmail", "dot com"]),
    ("What is your e-mail address?", "en", ["j o h n", "at example dot", "co dot uk"]),
    ("How can I help you?", "en", ["my mail is john dot smith", "at gmail", "dot com"]),
    ("Wie lautet Ihre E-Mail-Adresse?", "de", ["max punkt mustermann", "klammeraffe beispiel", "punkt de"]),
    ("Qual è il suo indirizzo e-mail?", "it", ["luca punto", "rossi chiocciola", "posta punto it"]),
    ("Could you spell your name?", "en", ["b as in boy", "e for echo", "delta"]),
])  # fmt: skip
async def test_address_and_spelling_with_pauses(asks: str, language: str, pieces: list[str], pause: float) -> None:
    async def scene(caller: Caller) -> None:
        await caller.answered()
        for piece in pieces:
            await caller.says(piece)
            await caller.waits(pause)
        await caller.answered()

    played = await play(scene, config={"greeting": asks, "language": language})
    assert played.turns() == [" ".join(pieces)]
    assert len(played.model.asked) == 1


async def test_address_that_is_complete_is_not_waited_for() -> None:
    async def scene(caller: Caller) -> None:
        await caller.answered()
        await caller.says("john dot smith at example dot com")
        await caller.answered()

    played = await play(scene, config={"greeting": "What is your e-mail address?"})
    assert played.when("end_turn")[0] - played.caller_spans[-1][1] == pytest.approx(0.5, abs=0.045)


async def test_yes_is_not_yet_the_number_that_was_asked_for() -> None:
    async def scene(caller: Caller) -> None:
        await caller.answered()
        await caller.says("yes")
        await caller.waits(2.0)
        await caller.says("one two three")
        await caller.answered()

    played = await play(scene, config={"greeting": "Can I have your order number, please?"})
    assert played.turns() == ["yes one two three"]


async def test_yes_is_an_answer_to_any_other_question() -> None:
    async def scene(caller: Caller) -> None:
        await caller.answered()
        await caller.says("yes")
        await caller.answered()

    played = await play(scene, config={"greeting": "Is that number right?"})
    assert played.turns() == ["yes"]
    assert played.when("end_turn")[0] - played.caller_spans[0][1] < 0.6


@pytest.mark.parametrize(("punctuates", "wait"), [(True, 3.0), (False, 0.5)])
async def test_missing_punctuation_counts_only_where_it_is_set(punctuates: bool, wait: float) -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.answered()

    played = await play(scene, stt=Recogniser(punctuates=punctuates))
    assert played.when("end_turn")[0] - played.caller_spans[0][1] == pytest.approx(wait, abs=0.045)


async def test_recogniser_that_wants_speech_only_gets_the_pre_roll_and_no_silence() -> None:
    async def scene(caller: Caller) -> None:
        await caller.waits(2.0)
        await caller.says("where is my order", 1.0)
        await caller.answered()
        await caller.waits(1.0)
        await caller.says("thank you so much", 1.0)
        await caller.answered()

    stt = Recogniser(continuous=False, partials=False)
    played = await play(scene, stt=stt)
    assert played.turns() == ["where is my order", "thank you so much"]
    seconds = len(stt.heard) / 16000
    # Two utterances of 1 s, each with 300 ms up to the onset, 60 of them its own, and the 200 ms that tell its end.
    assert 2 * 1.43 < seconds <= 2 * (0.3 + 1.0 + 0.2) + 0.04
    speech = [n for n in range(0, len(stt.heard), 320) if any(stt.heard[n : n + 320])]
    assert len(speech) == 100, "every voiced frame once, the first ones too"


# --- a recogniser that decides turns ----------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [0.1, 0.3, 0.7, 1.5])
async def test_recogniser_that_decides_turns_is_believed(sign: float) -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("I have a red one and", sign=sign)
        await caller.answered()

    played = await play(scene, stt=Recogniser(end_of_turn=True))
    assert played.turns() == ["I have a red one and"]
    assert played.when("end_turn")[0] - played.caller_spans[0][1] == pytest.approx(sign, abs=0.045)


async def test_recogniser_that_forgets_to_decide() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.answered()

    played = await play(scene, stt=Recogniser(end_of_turn=True))
    assert played.turns() == ["where is my order"]
    assert played.when("end_turn")[0] - played.caller_spans[0][1] == pytest.approx(3.0, abs=0.045)


async def test_end_that_comes_while_the_detector_still_hears_something() -> None:
    async def scene(caller: Caller) -> None:
        caller.signals("end", "where is my order", after=0.9)
        await caller.says("where is my order", 2.0)
        await caller.answered()

    played = await play(scene, stt=Recogniser(end_of_turn=True, partials=True), model=Model(delay=0.1))
    assert played.turns()[0] == "where is my order"
    assert played.said() == ["All right."]


async def test_end_and_more_in_one_breath_are_merged() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("a pizza", 0.6, sign=0.1)
        await caller.waits(0.5)
        caller.signals("end", "and a salad", after=0.75)
        await caller.says("and a salad", 0.7)
        await caller.answered()

    played = await play(scene, stt=Recogniser(end_of_turn=True), model=Model([["Yes."], ["Both."]], delay=1.5))
    assert played.turns() == ["a pizza", "a pizza and a salad"]
    assert played.dialogue() == [("user", "a pizza and a salad"), ("assistant", "Both.")]


# --- speculation ------------------------------------------------------------------------------------------------------


async def test_eager_end_of_turn_saves_the_models_time() -> None:
    async def scene(caller: Caller) -> None:
        caller.signals("eager_end", "where is my order", after=1.0)
        await caller.says("where is my order", 1.0, sign=0.6)
        await caller.answered()

    played = await play(scene, stt=Recogniser(end_of_turn=True), model=Model([["It was sent."]], delay=0.5))
    assert len(played.model.asked) == 1
    first = played.agent_spans[0][0]
    assert first - played.when("end_turn")[0] < 0.25, "only the synthesis is waited for"
    assert played.said() == ["It was sent."]


async def test_draft_is_dropped_when_the_caller_goes_on() -> None:
    async def scene(caller: Caller) -> None:
        caller.signals("eager_end", "where is my order", after=1.0)
        caller.signals("resumed", "", after=1.3)
        caller.signals("end", "where is my order from Monday", after=2.6)
        await caller.says("where is my order", 1.0)
        await caller.waits(0.3)
        await caller.says("from Monday", 0.7)
        await caller.answered()

    played = await play(scene, stt=Recogniser(end_of_turn=True), model=Model([["Wrong."], ["On its way."]], delay=0.5))
    assert played.said() == ["On its way."]
    assert played.model.cancelled == 1
    assert "forget_draft" in played.decided()


@pytest.mark.parametrize("speculate", ["eager", "off", "partial"])
async def test_speculation_can_be_switched(speculate: str) -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.answered()

    played = await play(
        scene, config={"turn": {"speculate": speculate, "min_silence": 1}}, model=Model([["Sent."]], delay=0.7)
    )
    waited = played.agent_spans[0][0] - played.caller_spans[0][1]
    assert (waited < 1.2) == (speculate == "partial")
    assert len(played.model.asked) == 1


async def test_draft_of_a_partial_that_the_final_corrects() -> None:
    async def scene(caller: Caller) -> None:
        caller.recognised("where is my odour", final=False, after=0.5)
        caller.recognised("where is my order", after=1.4)
        await caller.noise(1.0)
        await caller.answered()

    played = await play(
        scene,
        config={"turn": {"speculate": "partial"}},
        stt=Recogniser(delay=None),
        model=Model([["I cannot smell."], ["Sent."]]),
    )
    assert played.said() == ["Sent."]
    assert played.turns() == ["where is my order"]


async def test_draft_runs_no_tool() -> None:
    async def scene(caller: Caller) -> None:
        caller.signals("eager_end", "cancel my order", after=1.0)
        caller.signals("end", "cancel my order not", after=3.0)
        await caller.says("cancel my order", 1.0)
        await caller.answered()

    job = Job()
    played = await play(scene, stt=Recogniser(end_of_turn=True), tools=[job], model=Model([[asks()], ["I leave it."]]))
    assert not job.runs
    assert played.said() == ["I leave it."]


async def test_draft_that_failed_is_asked_for_again() -> None:
    async def scene(caller: Caller) -> None:
        caller.signals("eager_end", "where is my order", after=1.0)
        await caller.says("where is my order", 1.0, sign=0.6)
        await caller.answered()

    broken = ConnectionResetError("once")
    played = await play(scene, stt=Recogniser(end_of_turn=True), model=Model([[broken], ["It was sent."]], delay=0.1))
    assert played.said() == ["It was sent."]


async def test_draft_is_under_way_when_the_caller_hangs_up() -> None:
    async def scene(caller: Caller) -> None:
        caller.signals("eager_end", "where is my order", after=0.8)
        await caller.says("where is my order", 1.0)
        await caller.waits(0.1)

    played = await play(scene, stt=Recogniser(end_of_turn=True), model=Model(delay=30.0))
    assert played.model.cancelled == 1
    assert played.turns() == ["where is my order"]


# --- going on while the agent thinks ----------------------------------------------------------------------------------


@pytest.mark.parametrize("pause", [0.55, 0.8, 1.2, 1.9])
async def test_caller_goes_on_while_the_agent_thinks(pause: float) -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("I want to order a pizza")
        await caller.waits(pause)
        await caller.says("and a salad please")
        await caller.answered()

    played = await play(scene, model=Model([["A pizza."], ["A pizza and a salad."]], delay=2.0))
    assert played.turns() == ["I want to order a pizza", "I want to order a pizza and a salad please"]
    assert played.dialogue() == [
        ("user", "I want to order a pizza and a salad please"),
        ("assistant", "A pizza and a salad."),
    ]
    assert played.model.cancelled == 1
    assert [entry["text"] for entry in played.ended.transcript] == [
        "I want to order a pizza and a salad please",
        "A pizza and a salad.",
    ]


async def test_three_turns_are_merged() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("a pizza")
        await caller.waits(0.9)
        await caller.says("with olives")
        await caller.waits(0.9)
        await caller.says("for two people")
        await caller.answered()

    played = await play(scene, model=Model([["A."], ["B."], ["C."]], delay=2.0))
    assert played.dialogue() == [("user", "a pizza with olives for two people"), ("assistant", "C.")]


async def test_answer_that_has_begun_to_be_synthesized_is_held_and_dropped() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("I want to order a pizza")
        await caller.waits(0.62)  # the answer is written, and about to be heard
        await caller.says("and a salad please")
        await caller.answered()

    played = await play(scene, model=Model([["A pizza. For you."], ["Both."]], delay=0.1))
    assert played.dialogue() == [("user", "I want to order a pizza and a salad please"), ("assistant", "Both.")]
    assert played.said() == ["Both."]


@pytest.mark.parametrize("seconds", [0.1, 0.3, 0.8, 1.5])
async def test_noise_while_the_agent_thinks_holds_the_answer_and_lets_it_go(seconds: float) -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.waits(0.7)
        await caller.noise(seconds)
        await caller.answered()

    played = await play(scene, model=Model([["It was sent."]], delay=0.3))
    assert played.dialogue() == [("user", "where is my order"), ("assistant", "It was sent.")]
    assert len(played.model.asked) == 1
    assert played.decided("pause", "resume") == ["pause", "resume"]
    noise = played.caller_spans[1]
    assert not any(start < noise[1] and end > noise[0] + 0.1 for start, end in played.agent_spans)


async def test_backchannel_while_the_agent_thinks() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.waits(0.7)
        await caller.says("okay", 0.3)
        await caller.answered()

    played = await play(scene, model=Model([["It was sent."]], delay=0.5))
    assert played.dialogue() == [("user", "where is my order"), ("assistant", "It was sent.")]
    assert len(played.model.asked) == 1


async def test_merge_without_words_after_it_answers_the_turn_as_it_was() -> None:
    """A recogniser without partials: half a second of sound takes the turn back, and then there was nothing in it."""

    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.waits(0.8)
        await caller.noise(0.8)
        await caller.answered()

    played = await play(
        scene, stt=Recogniser(partials=False, delay=0.1), model=Model([["Lost."], ["It was sent."]], delay=1.5)
    )
    assert played.dialogue() == [("user", "where is my order"), ("assistant", "It was sent.")]
    assert played.decided("merge_and_restart") and len(played.model.asked) == 2


async def test_tool_that_has_run_is_not_run_again_when_the_turn_goes_on() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("send the parcel")
        await caller.waits(1.6)
        await caller.says("to my office please")
        await caller.answered()

    job = Job(seconds=0.2, outcome=Outcome("booked"))
    played = await play(
        scene,
        tools=[job],
        model=Model([[asks()], ["It goes to your home."], ["It goes to your office."]], delay=0.6),
    )
    assert len(job.runs) == 1
    assert played.dialogue() == [
        ("user", "send the parcel"),
        ("assistant", ""),
        ("tool", "booked"),
        ("user", "to my office please"),
        ("assistant", "It goes to your office."),
    ]
    assert played.turns() == ["send the parcel", "to my office please"]


async def test_tool_under_way_when_the_turn_goes_on_is_kept() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("send the parcel")
        await caller.waits(1.4)
        await caller.says("to my office please")
        await caller.answered(8.0)

    job = Job(seconds=6.0, outcome=Outcome("booked"))
    played = await play(scene, tools=[job], model=Model([[asks()], ["It goes to your office."]], delay=0.3))
    assert len(job.runs) == job.done == 1
    assert "still running" in played.model.asked[1][2].content, "the model is told that it is under way"
    assert played.dialogue()[2] == ("tool", "booked")
    assert played.said() == ["It goes to your office."]


async def test_noise_after_a_tool_has_run_goes_on_from_its_result() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("send the parcel")
        await caller.waits(1.4)
        await caller.noise(0.8)
        await caller.answered()

    job = Job(seconds=0.1, outcome=Outcome("booked"))
    played = await play(
        scene,
        stt=Recogniser(partials=False, delay=0.1),
        tools=[job],
        model=Model([[asks()], ["Lost."], ["It is booked."]], delay=0.5),
    )
    assert len(job.runs) == 1
    assert played.dialogue() == [
        ("user", "send the parcel"), ("assistant", ""), ("tool", "booked"), ("assistant", "It is booked."),
    ]  # fmt: skip


@pytest.mark.parametrize("hundredths", range(0, 120, 6))
async def test_hang_up_after_a_merge_tells_the_words_once(hundredths: int) -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.waits(0.55)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(hundredths / 100):
                await caller.says("the red one please", 0.8)
                await caller.waits(5)

    played = await play(scene, model=Model([["It was sent."]], delay=0.05), lag=0.1, dead_air=True)
    told = [line["text"] for line in played.ended.transcript if line["speaker"] == "caller"]
    assert " ".join(map(str, told)).count("where is my order") == 1, timeline(played)
    # Whoever folds the events has the same.
    folded: list[str] = []
    for event in played.of(UserTranscript):
        folded = [*(folded[:-1] if event.merged else folded), event.text]
        assert event.turn == len(folded)
    assert folded == told
