"""Decisions without I/O: when to try again, which transport a PBX gets, which sample rate a caller."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrad.telephony.asterisk.facts import (
    AUDIOSOCKET_MODULE,
    WEBSOCKET_MODULE,
    Choice,
    Facts,
    Unsuitable,
    choose,
    rate_for,
)
from voxtrad.telephony.asterisk.retry import Backoff, TakeBack

BOTH = frozenset({WEBSOCKET_MODULE, AUDIOSOCKET_MODULE})


def test_delays_double_up_to_a_limit_with_jitter_and_begin_anew() -> None:
    full = Backoff(0.5, 30.0, chance=lambda: 0.0)
    assert [full.next() for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    full.reset()
    assert full.next() == 0.5
    half = Backoff(0.5, 30.0, chance=lambda: 1.0)
    assert [half.next() for _ in range(3)] == [0.25, 0.5, 1.0]


@settings(deadline=None)
@given(st.floats(0.01, 10), st.floats(0.01, 100), st.integers(1, 3000), st.floats(0, 1))
def test_a_delay_is_never_nothing_and_never_too_long(first: float, most: float, attempts: int, chance: float) -> None:
    backoff = Backoff(first, most, chance=lambda: chance)
    delays = [backoff.next() for _ in range(attempts)]
    assert all(min(first, most) / 2 <= delay <= most for delay in delays)


def test_the_application_is_taken_back_ever_later_while_it_is_fought_for() -> None:
    policy = TakeBack(5.0, settled=600.0)
    assert [policy.next(held=1.0) for _ in range(6)] == [5, 10, 20, 40, 60, 60]
    assert policy.next(held=600.0) == 5
    assert policy.next(held=1.0) == 10


@settings(deadline=None)
@given(st.lists(st.floats(0, 599), min_size=1, max_size=40))
def test_two_servers_never_fight_in_a_tight_loop(held: list[float]) -> None:
    policy, clock, taken = TakeBack(5.0), 0.0, []
    for seconds in held:
        clock += seconds + policy.next(seconds)
        taken.append(clock)
    for start in taken:
        assert sum(start <= at < start + 60 for at in taken) <= 12


@pytest.mark.parametrize(
    ("version", "modules", "transport", "wideband"),
    [
        ("22.10.1+dfsg+~cs6.17.60671434-1", BOTH, "websocket", True),
        ("22.8.0", BOTH, "websocket", True),
        ("22.7.0", BOTH, "audiosocket", True),
        ("22.6.1", BOTH, "audiosocket", False),
        ("20.18.0", BOTH, "websocket", True),
        ("20.17.2", BOTH, "audiosocket", True),
        ("21.11.0", BOTH, "audiosocket", False),
        ("23.1.0", BOTH, "audiosocket", True),
        ("23.2.0", BOTH, "websocket", True),
        ("24.0.0", BOTH, "websocket", True),
        ("18.26.1", BOTH, "audiosocket", False),
        ("certified-22.8-cert1", BOTH, "websocket", True),
        ("GIT-22-4f1c2a9M", BOTH, "websocket", True),
        ("GIT-master-4f1c2a9", BOTH, "audiosocket", False),
        ("22.10.1", frozenset({AUDIOSOCKET_MODULE}), "audiosocket", True),
    ],
)
def test_which_transport_a_pbx_gets(version: str, modules: frozenset[str], transport: str, wideband: bool) -> None:
    choice = choose("auto", Facts(version, modules))
    assert (choice.transport, choice.wideband) == (transport, wideband)
    assert choice.why


def test_what_is_configured_and_cannot_be_is_refused_with_the_reason() -> None:
    with pytest.raises(Unsuitable, match="too old") as old:
        choose("websocket", Facts("22.7.0", BOTH))
    assert old.value.hint
    with pytest.raises(Unsuitable, match="not loaded"):
        choose("websocket", Facts("22.9.0", frozenset({AUDIOSOCKET_MODULE})))
    with pytest.raises(Unsuitable, match=AUDIOSOCKET_MODULE):
        choose("auto", Facts("18.0.0", frozenset()))
    assert choose("audiosocket", Facts("22.10.1", BOTH)) == Choice("audiosocket", True, "configured")


@settings(deadline=None)
@given(st.text(), st.sets(st.sampled_from(sorted(BOTH))), st.sampled_from(["auto", "websocket", "audiosocket"]))
def test_any_version_text_gives_a_choice_or_a_typed_error(version: str, modules: set[str], wanted: str) -> None:
    with contextlib.suppress(Unsuitable):
        choice = choose(wanted, Facts(version, frozenset(modules)))  # type: ignore[arg-type]  # drawn from its values
        assert choice.transport in ("websocket", "audiosocket")


@pytest.mark.parametrize(
    ("formats", "rate"),
    [
        ("(ulaw)", 8000), ("(alaw|ulaw)", 8000), ("(g722|ulaw)", 16000), ("(ulaw|g722)", 8000), ("(slin192)", 16000),
        ("(opus)", 16000), ("(slin16)", 16000), ("(slin)", 8000), ("", 8000), ("(nothing)", 8000), ("(g729)", 8000),
    ],
)  # fmt: skip
def test_the_rate_follows_the_callers_codec(formats: str, rate: int) -> None:
    assert rate_for(formats, wideband=True, forced=None) == rate
    assert rate_for(formats, wideband=True, forced=16000) == 16000
    assert rate_for(formats, wideband=True, forced=8000) == 8000
    assert rate_for(formats, wideband=False, forced=None) == 8000
