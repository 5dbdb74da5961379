"""The jitter buffer: whatever the network does to packets, each is given once at most, in order, and soon."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtrad.telephony.asterisk.jitter import JitterBuffer

RATE, SAMPLES, FRAME = 8000, 160, 0.02
SOURCE = 77


def sound(number: int) -> bytes:
    """A frame that tells which one it is, and cannot be taken for the faded one of another."""
    return (number + 1).to_bytes(4, "little") + b"\x01\x70" * (SAMPLES - 2)


def numbers(frames: list[bytes]) -> list[int]:
    """Which frames these are, of those that are whole."""
    found = [int.from_bytes(frame[:4], "little") - 1 for frame in frames]
    return [number for number, frame in zip(found, frames, strict=True) if number >= 0 and frame == sound(number)]


def put(buffer: JitterBuffer, number: int, now: float, *, first: int = 0, source: int = SOURCE) -> list[bytes]:
    return buffer.put(source, (first + number) % 0x10000, (5000 + number * SAMPLES) % 2**32, sound(number), now)


PASSAGES = st.lists(
    st.tuples(
        st.one_of(st.just(0.0), st.floats(0, 0.5)),
        st.sampled_from([1, 1, 1, 1, 0, 2]),
    ),
    max_size=120,
)


@given(PASSAGES, st.integers(0, 0xFFFF), st.sampled_from([0.02, 0.06, 0.2, 2.0]), st.randoms(use_true_random=False))
def test_order_once_at_most_and_never_held_for_longer_than_is_allowed(
    passages: list[tuple[float, int]], first: int, most: float, chance: random.Random
) -> None:
    buffer = JitterBuffer(RATE, most)
    arrivals = [
        (number * FRAME + delay + copy * chance.random() * 0.3, number)
        for number, (delay, copies) in enumerate(passages)
        for copy in range(copies)
    ]
    arrivals.sort()
    given_out: list[int] = []
    came: dict[int, float] = {}
    end = max((at for at, _ in arrivals), default=0.0) + most + 1
    beat, events = 0.0, iter([*arrivals, (end, -1)])
    for at, number in events:
        while beat < at:
            ready = numbers(buffer.due(beat))
            assert all(beat - came[each] <= most + FRAME + 1e-9 for each in ready)
            given_out += ready
            beat += FRAME
        if number >= 0:
            came.setdefault(number, at)
            given_out += numbers(put(buffer, number, at, first=first))
            assert buffer.holding <= most + 1e-9
            assert buffer.patience <= most + 1e-9
    assert given_out == sorted(set(given_out))
    assert buffer.holding == 0
    assert set(given_out) <= set(came)
    assert buffer.given == len(given_out)
    last = max(given_out, default=-1)
    assert buffer.given + buffer.lost == (last - given_out[0] + 1 if given_out else 0)
    assert len(came) - len(given_out) <= buffer.late + buffer.twice + buffer.strays


@given(st.permutations(range(5)), st.integers(0, 0xFFFF))
def test_what_only_comes_out_of_order_is_all_there(order: list[int], first: int) -> None:
    buffer = JitterBuffer(RATE, 0.2)
    out = put(buffer, 0, 0.0, first=first)
    for place, number in enumerate(order):
        out += put(buffer, number + 1, 0.001 * place, first=first)
    assert numbers(out) == [0, 1, 2, 3, 4, 5]
    assert (buffer.lost, buffer.late, buffer.twice, buffer.holding) == (0, 0, 0, 0)


def test_without_jitter_nothing_is_held_for_a_moment_and_numbers_go_round() -> None:
    buffer = JitterBuffer(RATE, 0.2)
    for number in range(70000):
        assert put(buffer, number, number * FRAME, first=65000) == [sound(number)]
    assert buffer.lost == 0
    assert buffer.patience == pytest.approx(0.04)


def test_something_stands_in_for_what_is_lost() -> None:
    buffer = JitterBuffer(RATE, 0.2)
    put(buffer, 0, 0.0)
    assert put(buffer, 5, 0.1) == []
    assert buffer.due(0.1 + buffer.patience - 0.001) == []
    *stand_ins, last = buffer.due(0.1 + buffer.patience)
    assert len(stand_ins) == 4 and stand_ins[2:] == [bytes(320)] * 2 and last == sound(5)
    assert buffer.lost == 4


def test_what_stands_in_is_half_as_loud_and_then_a_quarter() -> None:
    buffer = JitterBuffer(RATE, 0.2)
    loud = (8000).to_bytes(2, "little", signed=True) * SAMPLES
    buffer.put(SOURCE, 0, 0, loud, 0.0)
    buffer.put(SOURCE, 4, 640, loud, 0.08)
    out = buffer.due(1.0)
    assert [int.from_bytes(frame[:2], "little", signed=True) for frame in out] == [4000, 2000, 0, 8000]


def test_what_comes_too_late_is_thrown_away_and_teaches_patience() -> None:
    buffer = JitterBuffer(RATE, 0.2)
    put(buffer, 0, 0.0)
    put(buffer, 2, 0.04)
    buffer.due(0.04 + buffer.patience)
    assert put(buffer, 1, 0.15) == []  # 130 ms late
    assert (buffer.late, buffer.lost) == (1, 1)
    assert buffer.patience == pytest.approx(0.15, abs=0.005)
    put(buffer, 3, 0.16)
    assert put(buffer, 5, 0.16) == []
    assert buffer.due(0.27) == []
    assert numbers(put(buffer, 4, 0.28)) == [4, 5]  # which would have been too late before


def test_patience_is_forgotten_when_the_network_is_calm_again() -> None:
    buffer = JitterBuffer(RATE, 0.2)
    for number in range(50):
        put(buffer, number, number * FRAME + (0.15 if number == 10 else 0.0))
    assert buffer.patience > 0.1
    for number in range(50, 2000):
        put(buffer, number, number * FRAME)
    assert buffer.patience == pytest.approx(0.04)


@pytest.mark.parametrize("drift", [0.0003, -0.0003])
def test_a_far_clock_that_runs_otherwise_is_no_jitter(drift: float) -> None:
    buffer = JitterBuffer(RATE, 0.2)
    for number in range(100_000):
        put(buffer, number, number * FRAME * (1 + drift))
    assert buffer.patience < 0.05


@pytest.mark.parametrize("jump", [2**31, 1_000_000, -1_000_000])
def test_a_far_clock_that_is_set_is_no_jitter(jump: int) -> None:
    buffer = JitterBuffer(RATE, 0.2)
    for number in range(200):
        timestamp = number * SAMPLES + (0 if number < 100 else jump)
        assert buffer.put(SOURCE, number, timestamp % 2**32, sound(number), number * FRAME)
    assert buffer.patience == pytest.approx(0.04)


def test_a_stray_packet_changes_nothing_and_a_sender_that_begins_anew_is_followed() -> None:
    buffer = JitterBuffer(RATE, 0.2)
    assert put(buffer, 0, 0.0)
    assert put(buffer, 500, 0.01, source=1) == []  # somebody else's
    assert numbers(put(buffer, 1, 0.02)) == [1]
    assert put(buffer, 9000, 0.03) == []  # far from here
    assert numbers(put(buffer, 2, 0.04)) == [2]
    assert buffer.strays == 2
    held = put(buffer, 4, 0.05)
    assert held == []
    assert put(buffer, 700, 0.06, source=2) == []
    assert numbers(put(buffer, 701, 0.08, source=2)) == [4, 701]  # what was held goes first
    assert numbers(put(buffer, 702, 0.1, source=2)) == [702]


def test_a_packet_without_audio_is_no_gap() -> None:
    buffer = JitterBuffer(RATE, 0.2)
    put(buffer, 0, 0.0)
    assert put(buffer, 2, 0.02) == []
    assert numbers(buffer.put(SOURCE, 1, 5000, b"", 0.03)) == [2]
    assert buffer.lost == 0


def test_what_silence_stands_for_already_is_not_waited_for() -> None:
    buffer = JitterBuffer(RATE, 0.2)
    put(buffer, 0, 0.0)
    buffer.stood_in()
    assert put(buffer, 10, 0.5) == [sound(10)]
    assert put(buffer, 9, 0.51) == [] and buffer.late == 1
    assert put(buffer, 12, 0.52) == []  # and after it, gaps are waited for again


def test_what_was_held_when_a_sender_begins_anew_was_given_too() -> None:
    buffer = JitterBuffer(RATE, 0.2)
    for number in (0, 2, 4):
        put(buffer, number, 0.0)
    put(buffer, 7, 0.0, source=SOURCE + 1)
    assert numbers(put(buffer, 8, 0.0, source=SOURCE + 1)) == [2, 4, 8]
    assert (buffer.given, buffer.lost) == (4, 0)
