"""The playout position of a PBX that paces by itself, against a model of that PBX."""

from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrad.telephony.asterisk.playhead import Playhead

RATE = 8000


def test_the_position_follows_the_clock_up_to_what_was_sent() -> None:
    head = Playhead(RATE)
    assert head.heard(5.0) == 0
    head.add(8000, 10.0)
    assert [head.heard(t) for t in (10.0, 10.25, 10.5, 11.0, 20.0)] == [0, 2000, 4000, 8000, 8000]
    head.add(1600, 20.0)  # the queue was empty: playout starts anew
    assert [head.heard(t) for t in (20.0, 20.1, 20.2, 21.0)] == [8000, 8800, 9600, 9600]


def test_audio_that_comes_while_other_plays_follows_it() -> None:
    head = Playhead(RATE)
    head.add(1600, 0.0)
    head.add(1600, 0.1)
    assert head.heard(0.3) == 2400
    assert head.queued == 3200


def test_the_estimate_waits_at_a_mark_that_has_not_reported() -> None:
    head = Playhead(RATE)
    head.add(1600, 0.0)
    head.mark()
    head.add(1600, 0.0)
    assert head.unmarked == 1600
    assert head.heard(0.4) == 1600  # the PBX is late: it has not told of the mark
    head.marks_reached(1, 0.5)
    assert head.confirmed == 1600
    assert head.heard(0.5) == 1600
    assert head.heard(0.6) == 2400
    assert head.heard(9.0) == 3200


def test_a_mark_that_reports_early_moves_the_estimate_on() -> None:
    head = Playhead(RATE)
    head.add(3200, 0.0)
    head.mark()
    head.marks_reached(1, 0.1)
    assert head.heard(0.1) == head.confirmed == 3200


def test_pause_and_resume() -> None:
    head = Playhead(RATE)
    head.add(8000, 0.0)
    head.pause(0.25)
    head.pause(0.5)
    assert head.heard(9.0) == 2000
    head.at(2080, 9.0)  # the PBX tells where it really stopped
    head.resume(10.0)
    head.resume(11.0)
    assert head.heard(10.0) == 2080
    assert head.heard(10.5) == 6080


def test_flush_makes_queued_what_was_heard_and_can_be_corrected() -> None:
    head = Playhead(RATE)
    head.add(8000, 0.0)
    head.mark()
    head.pause(0.1)
    assert head.flush(0.5) == 800
    assert (head.queued, head.confirmed, head.heard(9.0)) == (800, 800, 800)
    head.add(1600, 1.0)  # a new reply, before the PBX has told what it had really played
    head.mark()
    head.correct(160)
    assert (head.queued, head.confirmed, head.heard(1.0)) == (2560, 960, 960)
    assert head.heard(1.1) == 1760
    head.marks_reached(1, 1.3)
    assert head.confirmed == head.queued == head.heard(1.3) == 2560


steps = st.lists(
    st.tuples(st.sampled_from(["add", "mark", "report", "pause", "resume", "flush", "wait"]), st.integers(1, 50)),
    max_size=60,
)


@settings(deadline=None, max_examples=300)
@given(steps)
def test_the_position_never_goes_back_and_never_passes_what_was_sent(steps: list[tuple[str, int]]) -> None:
    head, now, before, marks, reported = Playhead(RATE), 0.0, 0, 0, 0
    for step, amount in steps:
        match step:
            case "add":
                head.add(amount * 160, now)
            case "mark":
                head.mark()
                marks += 1
            case "report" if reported < marks:
                head.marks_reached(1, now)
                reported += 1
            case "pause":
                head.pause(now)
            case "resume":
                head.resume(now)
            case "flush":
                assert head.flush(now) == head.queued == head.heard(now + 100)
                marks = reported = 0
            case "wait":
                now += amount / 50
        position = head.heard(now)
        assert before <= position <= head.queued
        assert 0 <= head.confirmed <= position
        before = position
