"""When waiting has an end: the idle monitor's decisions, with a clock of the test's own."""

from __future__ import annotations

from math import inf

import pytest

from voxtrad.conversation.idle import EMPTY, IdleMonitor


class Watched:
    """A monitor, its clock, and how often it told of a change."""

    def __init__(self) -> None:
        self.now = 100.0
        self.waits = False
        self.changes = 0
        self.monitor = IdleMonitor(["Still there?", "Hello?"], 3, lambda: self.now, lambda: self.waits)
        self.monitor.on_change = self.changed

    def changed(self) -> None:
        self.changes += 1

    def left(self) -> float:
        return self.monitor.left_of(EMPTY)


def test_silences_are_counted_until_the_caller_is_heard() -> None:
    monitor = Watched().monitor
    assert [monitor.silent() for _ in range(4)] == ["Still there?", "Hello?", "Hello?", None]
    monitor.heard()
    assert monitor.silent() == "Still there?"


def test_what_makes_it_patient() -> None:
    watched = Watched()
    monitor = watched.monitor
    assert not monitor.patient
    watched.waits = True
    assert monitor.patient and not monitor.suspended
    watched.waits = False
    monitor.hold(30)
    assert monitor.patient
    watched.now += 30
    assert not monitor.patient
    monitor.hold(30)
    monitor.heard()
    assert not monitor.patient
    with monitor.handing_over():
        assert monitor.patient and monitor.suspended
    assert not monitor.patient
    monitor.suspended = True
    with monitor.handing_over():
        pass
    assert monitor.patient, "a handover leaves a handler's own hold alone"


def test_a_session_has_so_long_after_its_participant_has_gone() -> None:
    watched = Watched()
    watched.now += 1000
    assert watched.left() == inf, "as long as the call is not over"
    watched.monitor.left()
    watched.monitor.over()
    assert watched.left() == EMPTY and watched.changes == 2
    watched.now += EMPTY
    assert watched.left() == 0.0


def test_a_hold_counts_once_nobody_is_left_and_the_time_begins_anew_after_it() -> None:
    watched = Watched()
    watched.monitor.suspended = True
    watched.monitor.over()
    assert watched.left() == EMPTY, "a caller who is still connected is not kept in silence"
    watched.monitor.left()
    watched.now += 1000
    assert watched.left() == inf
    watched.monitor.suspended = False
    assert watched.left() == EMPTY and watched.changes == 4
    watched.now += 10
    watched.monitor.suspended = False
    assert watched.left() == EMPTY - 10


def test_a_handover_that_was_cut_off_holds_nothing() -> None:
    watched = Watched()
    with watched.monitor.handing_over():
        watched.monitor.left()
        watched.monitor.over()
        assert watched.left() == EMPTY


@pytest.mark.parametrize("first", ["dismissed", "over"])
def test_the_house_ends_a_hold(first: str) -> None:
    watched = Watched()
    watched.monitor.suspended = True
    if first == "dismissed":
        watched.monitor.dismiss()
    watched.monitor.left()
    watched.monitor.over()
    watched.now += 7
    if first == "over":
        assert watched.left() == inf
        watched.monitor.dismiss()
    assert watched.left() == (EMPTY if first == "over" else EMPTY - 7)
