"""Perception: speech from frames, the caller from the echo, an utterance from transcripts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrad.conversation.hearing import FRAME, HANGOVER, LATE, LONGEST, OWED, EchoGuard, Settled, Speech, Utterance
from voxtrad.conversation.utterances import Backchannel


def feed(speech: Speech, pattern: str, t: float = 0.0) -> list[tuple[bool, float]]:
    """Changes, and when; `#` is a voiced frame."""
    changes = []
    for n, mark in enumerate(pattern, 1):
        change = speech.frame(t + n * FRAME, mark == "#")
        if change is not None:
            changes.append((change, round(t + n * FRAME, 3)))
    return changes


@pytest.mark.parametrize(("pattern", "began"), [
    ("###", 0.06), ("#.#.#", 0.1), ("##..#", 0.1), ("#..#.", None), ("##...#", None), ("##..", None), ("...###", 0.12),
])  # fmt: skip
def test_speech_begins_with_60_ms_voiced_of_100(pattern: str, began: float | None) -> None:
    changes = feed(Speech(), pattern)
    assert changes == ([(True, began)] if began else [])


def test_speech_began_with_its_first_voiced_frame() -> None:
    speech = Speech()
    feed(speech, "..#.#.#")
    assert speech.started == pytest.approx(3 * FRAME)


@pytest.mark.parametrize(("gap", "stops"), [(9, False), (10, True), (40, True)])
def test_speech_stops_after_200_ms_without_voice(gap: int, stops: bool) -> None:
    changes = feed(Speech(), "###" + "." * gap + "#")
    assert (changes[1:] == [(False, pytest.approx(3 * FRAME + HANGOVER))]) == stops


def test_speech_is_not_endless_and_not_begun_again_without_a_gap() -> None:
    speech = Speech()
    changes = feed(speech, "#" * round((LONGEST + 20) / FRAME))
    assert [began for began, _ in changes] == [True, False]
    assert changes[1][1] == pytest.approx(LONGEST + HANGOVER, abs=0.05)
    assert feed(speech, "." * 10 + "###", t=100.0) == [(True, pytest.approx(100.0 + 13 * FRAME))]


def test_noise_that_is_disregarded_is_not_heard_until_there_is_a_gap() -> None:
    speech = Speech()
    feed(speech, "####")
    speech.disregard(0.08)
    assert not speech.going_on
    assert feed(speech, "#" * 50 + "." * 9 + "#" * 5, t=0.08) == []
    assert [began for began, _ in feed(speech, "." * 10 + "###", t=3.0)] == [True]


@settings(deadline=None)
@given(st.text(alphabet="#.", max_size=300))
def test_changes_take_turns(pattern: str) -> None:
    speech = Speech()
    changes = [began for began, _ in feed(speech, pattern)]
    assert changes == [n % 2 == 0 for n in range(len(changes))]
    assert speech.going_on == (len(changes) % 2 == 1)


# --- echo -------------------------------------------------------------------------------------------------------------


def listen(guard: EchoGuard, level: float, frames: int, *, playout: float = -20.0, speaking: bool = False) -> int:
    return sum(guard.is_caller(level, playout, voiced=True, speaking=speaking) for _ in range(frames))


@pytest.mark.parametrize("echo", [-20, -24, -30, -50])
def test_echo_of_a_usual_line_is_never_the_caller(echo: float) -> None:
    assert listen(EchoGuard(), -20.0 + echo, 500) == 0


@pytest.mark.parametrize("caller", [-15.0, -20.0, -30.0])
def test_caller_is_heard_over_a_weak_echo(caller: float) -> None:
    guard = EchoGuard()
    listen(guard, -60.0, 100)
    assert listen(guard, caller, 20) == 20


def test_guard_becomes_finer_where_there_is_no_echo() -> None:
    guard = EchoGuard()
    assert listen(guard, -42.0, 1) == 0
    listen(guard, -80.0, 150)
    assert listen(guard, -42.0, 5) == 5


@pytest.mark.parametrize("echo", [-7.0, -10.0, -14.0])
def test_sound_that_begins_together_with_the_agent_is_its_echo(echo: float) -> None:
    guard = EchoGuard()
    assert listen(guard, -20.0 + echo, 200) == 0


def test_caller_who_was_speaking_before_the_agent_is_no_echo() -> None:
    assert listen(EchoGuard(), -30.0, 10, speaking=True) == 10


def test_mistake_is_learned_from_and_a_loud_cough_is_not() -> None:
    for level, learned in ((-30.0, True), (-15.0, False)):
        guard = EchoGuard()
        listen(guard, -70.0, 60)
        guard.onset()
        assert listen(guard, level, 5) == 5
        guard.mistaken()
        assert (listen(guard, level, 5) == 0) == learned


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-96, 0), st.floats(-60, 0), st.booleans(), st.booleans()), max_size=200))
def test_guard_stays_within_its_bounds(frames: list[tuple[float, float, bool, bool]]) -> None:
    guard = EchoGuard()
    for level, playout, voiced, speaking in frames:
        heard = guard.is_caller(level, playout, voiced=voiced, speaking=speaking)
        assert voiced or not heard
        if not heard:
            guard.mistaken()
        assert EchoGuard.LEAST <= guard.gain <= EchoGuard.MOST
    guard.silent()
    assert guard.is_caller(0.0, -20.0, voiced=True, speaking=False), "what is louder than the agent is no echo"


# --- utterances -------------------------------------------------------------------------------------------------------


def test_finals_add_up_and_a_partial_takes_the_place_of_the_one_before() -> None:
    utterance = Utterance(0.0, 0.0)
    for text, final, whole in [
        ("I", False, "I"), ("I want", False, "I want"), ("I want", True, "I want"), ("a", False, "I want a"),
        ("a pizza", False, "I want a pizza"), ("a pizza", True, "I want a pizza"), ("", True, "I want a pizza"),
    ]:  # fmt: skip
        utterance.take(1.0, text, final=final)
        assert utterance.text == whole
    utterance.replace(2.0, "all of it")
    assert utterance.text == "all of it"


def test_words_are_judged_once_for_each_text() -> None:
    judged = []

    class Counting(Backchannel):
        def content_words(self, text: str, *, more_to_come: bool = False) -> int:
            judged.append(text)
            return super().content_words(text, more_to_come=more_to_come)

    counting = Counting("en")
    utterance = Utterance(0.0, 0.0)
    for text in ("okay", "okay but"):
        utterance.take(1.0, text, final=False)
        for _ in range(50):
            utterance.content(counting)
    assert judged == ["okay", "okay but"]


@pytest.mark.parametrize(("text", "final", "fresh", "news"), [
    ("where is my order", True, False, ""), ("Where is my order?", True, False, ""), ("my order", True, False, ""),
    ("where is my order please", True, False, "please"), ("my order please", True, False, "please"),
    ("nothing alike", True, False, ""), ("nothing alike", False, False, "nothing alike"),
    ("my order", True, True, ""), ("my order please", True, True, "please"), ("where is my order", True, True, ""),
    ("my odour", True, True, ""), ("something else", True, True, "something else"), ("", True, True, ""),
])  # fmt: skip
def test_what_is_new_in_a_late_transcript(text: str, final: bool, fresh: bool, news: str) -> None:
    settled = Settled("where is my order", "my order", at=10.0)
    assert settled.news_in(10.0 + LATE, text, final=final, fresh=fresh, owed=False) == news
    assert settled.news_in(10.1 + LATE, text, final=final, fresh=fresh, owed=False) == text, "too late to belong to it"
    owed = news if final and not fresh else text
    assert settled.news_in(10.1 + LATE, text, final=final, fresh=fresh, owed=True) == owed
    assert settled.news_in(10.1 + OWED, text, final=final, fresh=fresh, owed=True) == text
