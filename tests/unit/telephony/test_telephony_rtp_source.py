"""Who is at the far end: a stream that moves is followed without loss, and nobody else gets a word in."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtrad.telephony.asterisk.rtp_packets import Packet
from voxtrad.telephony.asterisk.rtp_source import FORGOTTEN_AFTER, IN_A_ROW, REFUSED_FOR, SILENT, Address, FarEnd

FRAME = 0.02
PBX, NAT, ELSEWHERE = "192.0.2.1", "192.0.2.2", "203.0.113.9"
TOLD, MOVED, NEIGHBOUR = (PBX, 10000), (PBX, 10002), (PBX, 10004)
SSRC, OTHER = 0x5EC2E7, 0xBAD


def packet(number: int, source: int = SSRC, first: int = 65484) -> Packet:
    return Packet(0, False, (first + number) & 0xFFFF, number * 160 & 0xFFFFFFFF, source, b"sound")


def heard_from(far: FarEnd, address: Address, numbers: range, began: float, source: int = SSRC) -> list[Packet]:
    """What is taken of a stream from an address, whose first packet comes at `began`."""
    return [
        one
        for nth, number in enumerate(numbers)
        for one in far.take(address, packet(number, source), began + nth * FRAME)
    ]


def stream(numbers: range, source: int = SSRC) -> list[Packet]:
    return [packet(number, source) for number in numbers]


def certain() -> FarEnd:
    """Asterisk on the host that ARI is on, as far as is known; 50 packets have come of it, in the first second."""
    far = FarEnd(TOLD, (PBX, PBX), certain=True)
    assert heard_from(far, TOLD, range(50), 0.0) == stream(range(50))
    return far


# --- who is heard -----------------------------------------------------------------------------------------------------

ADDRESSES = st.sampled_from([MOVED, NEIGHBOUR, (PBX, 7), (NAT, 10000), (ELSEWHERE, 10000), (ELSEWHERE, 7)])
AT = st.floats(1.0, 3.0)

Happening = tuple[float, Address, Packet]


def run(began: float, address: Address, first: int, count: int, apart: float, source: int) -> list[Happening]:
    return [(began + nth * apart, address, packet(first + nth, source)) for nth in range(count)]


def forged(*sources: int) -> st.SearchStrategy[list[Happening]]:
    """Runs of packets that follow each other, as fast as whoever forges them likes."""
    one = st.builds(
        run, AT, ADDRESSES, st.integers(0, 300), st.integers(1, 20), st.floats(0, FRAME), st.sampled_from(sources)
    )
    return st.lists(one, max_size=8).map(lambda runs: [each for one in runs for each in one])


def in_time(*happenings: Happening) -> Iterator[Happening]:
    return iter(sorted(happenings, key=lambda each: each[0]))


@given(forged(OTHER, SSRC), st.lists(st.floats(0, SILENT / 2 - FRAME), max_size=60))
def test_a_live_stream_is_not_to_be_taken_over_nor_spoken_into(lies: list[Happening], jitter: list[float]) -> None:
    """Not even by somebody on the PBX's host who reads along and knows the SSRC and the numbers; nor, if they do not,
    by somebody who forges the address itself."""
    far = FarEnd(TOLD, (PBX, NAT), certain=True)
    live = [
        (number * FRAME + (jitter[number] if number < len(jitter) else 0), TOLD, packet(number))
        for number in range(180)
    ]
    lies += [(at, TOLD, each) for at, _, each in lies if each.source != SSRC]
    taken = [one for at, address, each in in_time(*live, *lies) for one in far.take(address, each, at)]
    assert sorted(id(one) for one in taken) == sorted(id(each) for _, _, each in live)
    assert far.address == TOLD and far.moves == 0


@given(forged(OTHER))
def test_a_caller_who_is_silent_is_not_taken_for_one_who_has_gone(lies: list[Happening]) -> None:
    far = certain()
    for at, address, each in in_time(*lies, *run(2.0, NEIGHBOUR, 0, 100, FRAME, OTHER)):
        assert far.take(address, each, at) == ()
    assert far.address == TOLD
    assert heard_from(far, TOLD, range(50, 55), 60.0) == stream(range(50, 55))


@given(forged(OTHER, SSRC), st.booleans(), st.booleans())
def test_nothing_is_ever_taken_from_another_host(lies: list[Happening], is_certain: bool, closed: bool) -> None:
    far = FarEnd(TOLD, (PBX, NAT), certain=is_certain)
    if closed:
        heard_from(far, TOLD, range(2), 0.0)
    elsewhere = [(at, (ELSEWHERE, address[1]), each) for at, address, each in lies]
    for at, address, each in in_time(*elsewhere, *run(1.0, (ELSEWHERE, 10000), 0, 100, FRAME, SSRC)):
        if closed:
            far.refused(TOLD, at)
        assert far.take(address, each, at) == ()
    assert far.address == TOLD


def test_where_the_far_end_is_certain_nobody_else_begins() -> None:
    far = FarEnd(TOLD, (PBX, PBX), certain=True)
    far.refused(TOLD, 0.0)
    assert not heard_from(far, MOVED, range(100), 0.0) and not far.heard
    assert heard_from(far, TOLD, range(100, 102), 3.0) == stream(range(100, 102))


@pytest.mark.parametrize("first", [(NAT, 4444), (PBX, 4444), TOLD])
def test_behind_a_nat_the_first_audio_settles_it(first: Address) -> None:
    far = FarEnd(TOLD, (PBX, NAT), certain=False)
    assert far.take((ELSEWHERE, 1), packet(0), 0.0) == ()
    assert far.take(NEIGHBOUR, packet(0, OTHER), 0.0, audio=False) == ()
    assert far.address == TOLD
    assert heard_from(far, first, range(10), 0.0) == stream(range(10))
    assert far.address == first
    assert not heard_from(far, (NAT, 5555), range(100), 0.2, OTHER)


# --- who moves --------------------------------------------------------------------------------------------------------


@given(
    st.floats(0, 30),
    st.lists(st.floats(0, FRAME * 0.9), min_size=30, max_size=30),
    forged(OTHER),
    st.randoms(use_true_random=False),
)
def test_the_same_stream_from_another_port_is_followed_and_nothing_of_it_is_lost(
    pause: float, late: list[float], strangers: list[Happening], chance: random.Random
) -> None:
    """Whatever others send meanwhile who do not know its SSRC. A pause is the caller's."""
    far = certain()
    began = 49 * FRAME + pause
    moved = [(began + nth * FRAME + late[nth], MOVED, packet(number)) for nth, number in enumerate(range(50, 80))]
    others = [(began + chance.random() * 0.6, address, each) for _, address, each in strangers]
    others += [(at, TOLD, packet(2 * nth, OTHER)) for nth, (at, _, _) in enumerate(moved)]  # none follows another
    taken = [one for at, address, each in in_time(*moved, *others) for one in far.take(address, each, at)]
    assert taken == stream(range(50, 80))
    assert far.address == MOVED and far.moves == 1
    assert heard_from(far, TOLD, range(80, 90), began + 30 * FRAME + 1) == stream(range(80, 90))
    assert far.address == TOLD  # and back


@given(st.floats(0, 30), st.integers(0, 0xFFFF))
def test_another_stream_from_the_same_port_is_taken_whole_when_the_one_before_is_over(pause: float, first: int) -> None:
    far = certain()
    assert heard_from(far, TOLD, range(first, first + 30), 1.0 + pause, OTHER) == stream(
        range(first, first + 30), OTHER
    )
    assert far.address == TOLD and far.moves == 0
    assert not heard_from(far, MOVED, range(50, 90), 40.0)  # of the stream before


def test_a_burst_is_no_reason_to_believe_that_the_port_before_has_fallen_silent() -> None:
    far = certain()
    assert not [one for number in range(50, 90) for one in far.take(MOVED, packet(number), 1.0 + FRAME)]
    assert far.take(TOLD, packet(50), 1.0 + 2 * FRAME) == (packet(50),)


def test_what_does_not_follow_is_no_run() -> None:
    far = certain()
    assert not heard_from(far, MOVED, range(50, 50 + 3 * 40, 3), 1.2)
    assert heard_from(far, MOVED, range(500, 500 + IN_A_ROW), 4.0) == stream(range(500, 500 + IN_A_ROW))


def test_a_run_begins_again_when_the_port_before_is_heard() -> None:
    far = certain()
    assert not heard_from(far, MOVED, range(50, 50 + IN_A_ROW - 1), 1.2)
    far.take(TOLD, packet(50), 1.3)
    assert far.take(MOVED, packet(50 + IN_A_ROW - 1), 1.3 + 2 * SILENT) == ()


def test_a_run_is_of_one_sender_and_one_port() -> None:
    far = certain()
    for number in range(50, 90):
        assert far.take((PBX, 10002 + number % 2), packet(number), 1.2 + number * FRAME) == ()
    far.refused(TOLD, 2.5)
    for number in range(90, 120):
        assert far.take(MOVED, packet(number, OTHER + number % 2), 2.5 + (number - 90) * FRAME) == ()


def test_rtp_that_begins_anew_elsewhere_is_followed_when_the_port_before_is_closed() -> None:
    far = certain()
    assert not heard_from(far, MOVED, range(7, 40), 1.1, OTHER)
    assert not far.refused(TOLD, 2.0)
    assert heard_from(far, MOVED, range(40, 60), 2.0, OTHER) == stream(range(40, 60), OTHER)
    assert not far.refused(TOLD, 2.1) and not far.refused(TOLD, 9.0)  # nobody's any more
    assert not heard_from(far, TOLD, range(50, 90), 3.0)  # of the stream before: it is another now


def test_a_refusal_that_is_long_past_is_no_closed_port() -> None:
    far = certain()
    far.refused(TOLD, 1.0)
    assert not heard_from(far, MOVED, range(40), 1.0 + FORGOTTEN_AFTER + FRAME, OTHER)


def test_a_refusal_is_forgotten_with_the_next_packet() -> None:
    far = certain()
    far.refused(TOLD, 1.0)
    heard_from(far, TOLD, range(50, 52), 1.0)
    assert not heard_from(far, MOVED, range(40), 1.2, OTHER)


# --- who is lost ------------------------------------------------------------------------------------------------------


def test_a_port_that_refuses_for_long_enough_is_lost() -> None:
    far = certain()
    assert not far.refused(TOLD, 2.0)
    assert not far.refused(TOLD, 2.0 + REFUSED_FOR / 2)
    assert not far.refused(NEIGHBOUR, 2.0 + REFUSED_FOR)
    assert far.refused(TOLD, 2.0 + REFUSED_FOR)


def test_a_port_is_not_lost_that_has_spoken_meanwhile_or_refused_long_ago() -> None:
    far = certain()
    far.refused(TOLD, 2.0)
    assert not far.refused(TOLD, 2.1 + FORGOTTEN_AFTER)
    heard_from(far, TOLD, range(50, 51), 8.0)
    assert not far.refused(TOLD, 8.0 + REFUSED_FOR)


def test_an_address_behind_a_nat_may_be_anybodys_here() -> None:
    far = FarEnd(TOLD, (PBX, NAT), certain=False)
    assert not any(far.refused(TOLD, second / 10) for second in range(50))
    assert heard_from(far, (NAT, 4444), range(3), 5.0) == stream(range(3))
