"""Whose silence it is, and when it has lasted too long."""

from __future__ import annotations

import pytest

from voxtrad.conversation.floor import Kind, TurnPolicy
from voxtrad.conversation.quiet import Quiet

FRAME = 0.02


def wait(quiet: Quiet, start: float, seconds: float, *, listening: bool = True) -> list[tuple[Kind, float]]:
    """What is told while nobody is heard, and how many seconds after `start`."""
    told = []
    for n in range(1, round(seconds / FRAME) + 1):
        t = start + n * FRAME
        told += [(decision.kind, round(t - start, 2)) for decision in quiet.judge(t, listening=listening)]
    return told


def answered(policy: TurnPolicy | None = None) -> Quiet:
    quiet = Quiet(policy or TurnPolicy())
    quiet.begin(100.0)
    return quiet


def test_before_the_answer_silence_is_nobodys() -> None:
    assert wait(Quiet(TurnPolicy()), 100.0, 60.0) == []


def test_silence_of_the_caller_counts_from_the_last_sound() -> None:
    quiet = answered()
    quiet.heard(103.0)
    quiet.waiting(101.0, 5.0)
    assert wait(quiet, 103.0, 20.0)[0] == (Kind.SILENCE, 5.0)


def test_silence_counts_from_the_asking_where_that_is_later() -> None:
    quiet = answered()
    quiet.waiting(110.0, 5.0)
    assert wait(quiet, 110.0, 5.5) == [(Kind.SILENCE, 5.0)]


def test_silence_is_told_once_and_only_where_it_was_asked_for() -> None:
    quiet = answered()
    quiet.waiting(100.0, None)
    assert wait(quiet, 100.0, 60.0) == []
    quiet.waiting(160.0, 2.0)
    assert [kind for kind, _ in wait(quiet, 160.0, 3.0)] == [Kind.SILENCE]


def test_nothing_is_silence_while_something_is_undecided() -> None:
    quiet = answered()
    quiet.waiting(100.0, 2.0)
    assert wait(quiet, 100.0, 10.0, listening=False) == []


def test_after_a_cut_by_noise_silence_is_told_sooner() -> None:
    quiet = answered()
    quiet.cut(by_noise=True)
    quiet.waiting(100.0, 10.0)
    assert wait(quiet, 100.0, 3.0) == [(Kind.SILENCE, 2.0)]
    quiet.waiting(103.0, 10.0)
    assert wait(quiet, 103.0, 9.5) == [], "once"


def test_agents_silence_is_filled_in_time_and_dead_air_is_told() -> None:
    quiet = answered()
    quiet.turn(100.0)
    told = wait(quiet, 100.0, 12.0)
    assert told[0] == (Kind.FILL, 1.5)
    assert [at for kind, at in told if kind is Kind.DEAD_AIR] == [4.0], "told once: nothing was said after all"
    assert [at for kind, at in told if kind is Kind.FILL][1] == 3.26, "again before it is dead air"


def test_fillers_that_are_heard_keep_their_distance() -> None:
    quiet = answered(TurnPolicy(fill_every=6.0, dead_air=10.0))
    quiet.turn(100.0)
    fills = []
    for n in range(1, 1000):
        t = 100.0 + n * FRAME
        for decision in quiet.judge(t, listening=True):
            fills.append(round(t - 100.0, 2))
            assert decision.kind is Kind.FILL
            quiet.heard(t + 1.0)
    assert fills == [1.5, 7.5, 13.5, 19.5]


def test_each_turn_has_its_first_filler_in_time() -> None:
    quiet = answered()
    quiet.turn(100.0)
    assert wait(quiet, 100.0, 1.6) == [(Kind.FILL, 1.5)]
    quiet.heard(103.0)  # the filler, and a caller who goes on
    quiet.turn(103.0)
    assert wait(quiet, 103.0, 1.6) == [(Kind.FILL, 1.5)]


def test_nothing_is_filled_while_the_agent_is_heard() -> None:
    quiet = answered()
    quiet.turn(100.0)
    for n in range(1, 1000):
        quiet.heard(100.0 + n * FRAME)
        assert quiet.judge(100.0 + n * FRAME, listening=True) == []


def test_silence_before_the_turns_end_is_part_of_it() -> None:
    quiet = answered()
    quiet.heard(100.0)
    quiet.turn(103.0)  # the caller was waited for, three seconds
    (kind, at), *_ = wait(quiet, 103.0, 2.0)
    assert (kind, at) == (Kind.FILL, pytest.approx(0.26))


def test_greeting_that_is_late_is_dead_air_but_not_filled() -> None:
    assert wait(answered(), 100.0, 9.0) == [(Kind.DEAD_AIR, 4.0)]


def test_excused_silence_is_not_the_agents() -> None:
    quiet = answered()
    quiet.turn(100.0)
    quiet.excuse(100.0, True)
    assert wait(quiet, 100.0, 30.0) == []
    quiet.excuse(130.0, False)
    assert wait(quiet, 130.0, 2.0) == [(Kind.FILL, 1.5)]


def test_silence_of_the_caller_is_not_dead_air_when_the_agent_has_the_word_again() -> None:
    quiet = answered()
    quiet.agent_finished(100.0, heard=True)
    quiet.waiting(100.0, 10.0)
    assert wait(quiet, 100.0, 11.0) == [(Kind.SILENCE, 10.0)]


def test_the_state_prints() -> None:
    assert set(answered().snapshot()) >= {"waiting", "last_sound", "filled_at", "excused"}
