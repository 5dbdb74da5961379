"""The table of turn taking, entry by entry, and its rules driven by hand, frame by frame."""

from __future__ import annotations

import pytest

from voxtrad.conversation.floor import HELD, TABLE, Fact, Floor, Kind, TurnDecision, TurnPolicy
from voxtrad.conversation.turns import TurnMachine

FRAME = 0.02


class Line:
    """A machine with a clock."""

    def __init__(self, **policy: object) -> None:
        self.machine = TurnMachine(TurnPolicy(**policy))  # type: ignore[arg-type]  # settings of the test
        self.t = 10.0
        self.told: list[TurnDecision] = []
        self.machine.begin(self.t)

    def frames(
        self, seconds: float, *, voiced: bool = False, level: float = -20.0, playout: float | None = None
    ) -> None:
        for _ in range(round(seconds / FRAME)):
            self.t += FRAME
            self.told += self.machine.frame(self.t, voiced=voiced, level=level, playout=playout)

    def tell(self, decisions: list[TurnDecision]) -> list[Kind]:
        self.told += decisions
        return [decision.kind for decision in decisions]

    def turn(self, text: str = "where is it") -> None:
        """A whole turn, handed over."""
        self.machine.waiting(self.t)
        self.frames(0.5, voiced=True)
        self.frames(0.24)
        self.tell(self.machine.transcript(self.t, text, final=True))
        self.frames(0.36)
        self.tell(self.machine.handed(self.t))

    def answer(self, *, interruptible: bool = True) -> None:
        self.turn()
        self.tell(self.machine.audible(self.t, interruptible=interruptible))
        self.frames(1.0, playout=-20.0)

    def kinds(self, *of: Kind) -> list[Kind]:
        return [decision.kind for decision in self.told if not of or decision.kind in of]


def test_every_held_floor_has_its_ways_out() -> None:
    for floor in HELD:
        assert {TABLE[floor, fact][1] for fact in (Fact.NOTHING, Fact.PLAYED, Fact.WAITING)} == {Kind.RESUME}
        assert TABLE[floor, Fact.MEANT][1] in (Kind.FLUSH, Kind.MERGE)


def test_only_held_floors_are_reached_by_a_pause_and_left_with_a_release() -> None:
    for (floor, fact), (then, kind) in TABLE.items():
        assert (kind is Kind.PAUSE) == (then in HELD and floor not in HELD), (floor, fact)
        if floor in HELD and then not in HELD:
            assert kind in (Kind.RESUME, Kind.FLUSH, Kind.MERGE), (floor, fact)


def test_only_what_is_heard_is_flushed_and_only_what_is_not_is_merged() -> None:
    for (floor, fact), (_, kind) in TABLE.items():
        if kind is Kind.FLUSH:
            assert floor in (Floor.SPEAKING, Floor.HELD_SPEECH) and fact is Fact.MEANT
        if kind is Kind.MERGE:
            assert floor in (Floor.THINKING, Floor.HELD_ANSWER) and fact is Fact.MEANT


def test_the_caller_gets_the_floor_from_everywhere() -> None:
    for floor in Floor:
        if floor is not Floor.LISTENING:
            assert TABLE[floor, Fact.WAITING][0] is Floor.LISTENING
            assert TABLE[floor, Fact.PLAYED][0] is Floor.LISTENING


def test_a_turn_is_told_with_its_times() -> None:
    line = Line()
    line.turn("where is my order")
    (turn,) = [decision.turn for decision in line.told if decision.kind is Kind.END_TURN]
    assert turn is not None
    assert turn.text == "where is my order"
    assert turn.voiced_until == pytest.approx(10.5)
    assert turn.decided_at == pytest.approx(11.0)
    assert turn.final_at == pytest.approx(10.74)
    assert line.machine.floor is Floor.THINKING


@pytest.mark.parametrize("voiced_ms", [20, 40])
def test_two_frames_are_no_speech(voiced_ms: int) -> None:
    line = Line()
    line.frames(voiced_ms / 1000, voiced=True)
    line.frames(1.0)
    assert line.kinds() == []


def test_interruption_tells_since_when() -> None:
    line = Line()
    line.answer()
    began = line.t
    line.frames(0.3, voiced=True, playout=-20.0)
    assert line.tell(line.machine.transcript(line.t, "stop it", final=False)) == [Kind.FLUSH]
    flush = line.told[-1]
    assert flush.since == pytest.approx(began + FRAME) and "stop it" in flush.reason
    assert line.machine.floor is Floor.LISTENING


def test_agents_own_words_without_a_sound_of_the_callers_are_dropped() -> None:
    line = Line()
    line.answer()
    own = line.machine.transcript(line.t, "it was sent today", final=False, agent_said="It was sent today, I think.")
    assert line.tell(own) == [Kind.DROP]
    other = line.machine.transcript(line.t, "stop it", final=False, agent_said="It was sent today, I think.")
    assert line.tell(other) == [Kind.FLUSH]


def test_agents_own_words_count_when_the_caller_is_heard_saying_them() -> None:
    line = Line()
    line.answer()
    line.frames(0.3, voiced=True, playout=-20.0)
    choice = line.machine.transcript(line.t, "deep green", final=False, agent_said="Red, blue or deep green.")
    assert line.tell(choice) == [Kind.FLUSH]


def test_agents_pause_is_one_for_each_sound() -> None:
    line = Line(resume_after=0.3)
    line.answer()
    line.frames(0.9, voiced=True, playout=-20.0)
    assert line.kinds(Kind.PAUSE, Kind.RESUME) == [Kind.PAUSE, Kind.RESUME]


def test_speech_that_began_before_the_agent_counts_from_the_agents_beginning() -> None:
    line = Line(resume_after=0.4)
    line.turn()
    line.frames(1.2, voiced=True)  # held, and let go
    line.tell(line.machine.audible(line.t, interruptible=True))
    line.told.clear()
    line.frames(0.96, voiced=True, playout=-20.0)
    assert line.kinds(Kind.FLUSH) == []
    line.frames(0.08, voiced=True, playout=-20.0)
    assert line.kinds(Kind.FLUSH) == [Kind.FLUSH]


def test_filler_that_ends_while_the_caller_is_heard_leaves_the_answer_held() -> None:
    line = Line()
    line.turn()
    line.frames(0.4, voiced=True)  # held
    line.tell(line.machine.filled(line.t))
    assert line.kinds(Kind.PAUSE) == [Kind.PAUSE]
    assert line.machine.floor is Floor.HELD_ANSWER


def test_empty_final_tells_that_there_was_nothing() -> None:
    line = Line(final_delay=2.0)
    line.answer()
    line.frames(0.3, voiced=True, playout=-20.0)
    line.frames(0.3, playout=None)
    assert line.machine.floor is Floor.HELD_SPEECH
    assert line.tell(line.machine.transcript(line.t, "", final=True)) == [Kind.DROP, Kind.RESUME], (
        "no need to wait longer"
    )


def test_more_speech_has_a_final_transcript_of_its_own() -> None:
    line = Line(final_delay=2.0, partials=False)
    line.machine.waiting(line.t)
    line.frames(0.5, voiced=True)
    line.frames(0.24)
    line.tell(line.machine.transcript(line.t, "hello", final=True))
    line.frames(0.1)
    line.frames(0.5, voiced=True)
    line.frames(1.0)
    assert line.kinds(Kind.END_TURN) == [], "what was said after the first final transcript is still to come"
    line.tell(line.machine.transcript(line.t, "is anybody there", final=True))
    (turn,) = [decision.turn for decision in line.told if decision.kind is Kind.END_TURN]
    assert turn is not None and turn.text == "hello is anybody there"


def test_silence_after_words_that_no_detector_heard_counts_from_the_last_of_them() -> None:
    line = Line()
    line.machine.waiting(line.t)
    for text in ("where", "where is my", "where is my order"):
        line.tell(line.machine.transcript(line.t, text, final=False))
        line.frames(0.4)
    line.tell(line.machine.transcript(line.t, "where is my order", final=True))
    line.frames(0.4)
    assert line.kinds(Kind.END_TURN) == []
    line.frames(0.12)
    assert line.kinds(Kind.END_TURN) == [Kind.END_TURN]


def test_partial_transcript_behind_its_final_one_is_none() -> None:
    line = Line()
    line.machine.waiting(line.t)
    line.frames(0.5, voiced=True)
    line.frames(0.24)
    for text, final in (("where is my order", True), ("where is my", False)):
        line.tell(line.machine.transcript(line.t, text, final=final))
    line.frames(0.36)
    (turn,) = [decision.turn for decision in line.told if decision.kind is Kind.END_TURN]
    assert turn is not None and turn.text == "where is my order"
    line.tell(line.machine.handed(line.t))
    assert line.tell(line.machine.transcript(line.t, "Where is", final=False)) == [Kind.DROP]
    assert line.machine.floor is Floor.THINKING
    assert line.tell(line.machine.transcript(line.t, "where is my wife", final=False)) == [Kind.MERGE]


def test_question_for_a_number_stands_while_nothing_else_was_heard() -> None:
    line = Line()
    line.answer()
    line.tell(line.machine.played(line.t, "What is your order number?"))
    line.turn("one moment")
    line.tell(line.machine.audible(line.t, interruptible=True))
    line.tell(line.machine.played(line.t, ""))  # thrown away before a word of it was heard
    line.machine.waiting(line.t)
    line.told.clear()
    line.frames(0.5, voiced=True)
    line.frames(0.24)
    line.tell(line.machine.transcript(line.t, "17", final=True))
    line.frames(1.0)
    assert line.kinds(Kind.END_TURN) == []


def test_cough_while_keys_are_pressed_does_not_hand_the_turn_back() -> None:
    line = Line()
    line.turn()
    assert line.tell(line.machine.key(line.t, "1")) == [Kind.MERGE]
    line.told.clear()
    line.frames(0.2, voiced=True)
    line.frames(1.0)
    assert line.kinds(Kind.DROP, Kind.END_TURN) == [Kind.DROP]
    line.frames(1.0)
    (turn,) = [decision.turn for decision in line.told if decision.kind is Kind.END_TURN]
    assert turn is not None and turn.keys and turn.text == "1"


def test_murmur_before_a_turn_is_no_answer_after_it() -> None:
    line = Line()
    line.answer(interruptible=False)
    line.frames(0.3, voiced=True, playout=-20.0)
    line.frames(0.3, playout=-20.0)
    assert line.tell(line.machine.transcript(line.t, "okay", final=True)) == [Kind.DROP]
    line.machine.key(line.t, "1")
    line.told.clear()
    line.tell(line.machine.key(line.t, "#"))
    line.tell(line.machine.played(line.t, "That is all."))
    line.frames(1.0)
    assert line.kinds(Kind.END_TURN) == [Kind.END_TURN]


def test_signal_of_a_turn_that_was_decided_is_nothing_new() -> None:
    line = Line(end_of_turn=True, max_silence=0.5)
    line.turn("where is my order")
    assert line.tell(line.machine.signal(line.t, "end", "Where is my order?")) == [Kind.DROP]
    assert line.machine.floor is Floor.THINKING


@pytest.mark.parametrize("speculate", ["eager", "partial", "off"])
def test_speculation_is_told_once_for_each_text(speculate: str) -> None:
    line = Line(speculate=speculate, end_of_turn=True)
    line.machine.waiting(line.t)
    line.frames(0.5, voiced=True)
    line.tell(line.machine.transcript(line.t, "where is my order", final=False))
    for text in ("where is my order", "Where is my order?", "where is my order please"):
        line.tell(line.machine.signal(line.t, "eager_end", text))
    assert len(line.kinds(Kind.SPECULATE)) == (0 if speculate == "off" else 2)


def test_draft_of_what_was_no_utterance_is_forgotten() -> None:
    line = Line(end_of_turn=True, final_delay=0.3)
    line.machine.waiting(line.t)
    line.frames(0.3, voiced=True)
    line.tell(line.machine.signal(line.t, "eager_end", "where"))
    line.frames(1.0)
    assert line.kinds(Kind.SPECULATE, Kind.FORGET_DRAFT, Kind.DROP) == [Kind.SPECULATE, Kind.FORGET_DRAFT, Kind.DROP]


def test_after_the_end_what_was_left_is_told_once() -> None:
    line = Line()
    line.machine.waiting(line.t)
    line.frames(0.3, voiced=True)
    line.tell(line.machine.transcript(line.t, "thank you and", final=False))
    (left,) = line.machine.end(line.t)
    assert left.kind is Kind.LEFT and left.turn is not None and left.turn.text == "thank you and"
    assert line.machine.end(line.t) == []
    line.told.clear()
    line.frames(5.0)
    assert line.told == []


def test_the_reasons_are_for_a_person() -> None:
    line = Line()
    line.answer()
    line.frames(0.5, voiced=True, playout=-20.0)
    line.frames(2.0)
    for decision in line.told:
        assert decision.reason[0] != "_" and len(decision.reason) > 5
    (pause,) = [decision for decision in line.told if decision.kind is Kind.PAUSE]
    assert "ms of speech over the agent" in pause.reason


def unanswered(*, seconds: float = 1.2, **policy: object) -> Line:
    """The caller has said something to which the recogniser says nothing at all."""
    line = Line(**policy)
    line.machine.waiting(line.t, 10.0)
    line.frames(seconds, voiced=True)
    return line


def silences(line: Line, seconds: float = 12.0) -> list[float]:
    """When the caller's silence is told, in seconds after it began."""
    began = line.t
    line.frames(seconds)
    return [round(decision.at - began, 2) for decision in line.told if decision.kind is Kind.SILENCE]


def test_a_caller_to_whom_the_recogniser_says_nothing_is_asked_before_it_is_dead_air_once() -> None:
    line = unanswered()
    assert silences(line) == [3.26]
    line.machine.waiting(line.t, 10.0)
    line.frames(1.2, voiced=True)
    line.told.clear()
    assert silences(line) == [10.0]
    line.turn()
    line.tell(line.machine.played(line.t))
    line.machine.waiting(line.t, 10.0)
    line.frames(1.2, voiced=True)
    line.told.clear()
    assert silences(line) == [3.26], "there were words since"


@pytest.mark.parametrize("late", [0.3, 1.0])
def test_a_recogniser_that_has_heard_no_words_is_believed(late: float) -> None:
    line = unanswered()
    line.frames(late)
    line.tell(line.machine.transcript(line.t, "", final=True))
    assert silences(line, 8.0) == []


@pytest.mark.parametrize("before", [0, 1])
def test_a_caller_whose_words_the_recogniser_takes_back_is_asked_too(before: int) -> None:
    line = unanswered()
    line.tell(line.machine.transcript(line.t, "where is my order", final=False))
    for _ in range(before):  # it ends a piece by itself, and once more when it is asked to
        line.tell(line.machine.transcript(line.t, "", final=True))
    line.frames(0.3)
    line.tell(line.machine.transcript(line.t, "", final=True))
    line.frames(0.1)
    assert line.kinds(Kind.END_TURN, Kind.DROP) == [Kind.DROP]
    assert silences(line) == [2.86], "3.26 after the last sound"


def test_a_short_sound_is_no_question() -> None:
    assert silences(unanswered(seconds=0.8), 9.0) == []


def test_who_would_be_led_out_of_the_call_for_silence_has_all_of_it() -> None:
    assert silences(unanswered(nudges=False), 9.0) == []
