"""Which numbers may be called, and how many calls: pure decisions."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrad.allowance import Allowance, LimitReached, NotAllowed, allowed_number
from voxtrad.config.models import OutboundLimits

GB = ("+44", "+353")


@pytest.mark.parametrize(
    ("written", "allow", "country", "dialled"),
    [
        ("+442071234567", GB, None, "+442071234567"),
        ("020 7123 4567", GB, "GB", "+442071234567"),
        ("0044 20 7123 4567", GB, "GB", "+442071234567"),
        ("442071234567", GB, "GB", "+442071234567"),
        ("00353 1 234 5678", GB, "GB", "+35312345678"),
        ("02071234567", ("020",), "GB", "+442071234567"),
        ("200", ("2",), "GB", "200"),
        ("200", ("*",), None, "200"),
        ("+12125550100", ("*",), None, "+12125550100"),
    ],
)
def test_numbers_that_may_be_called(written: str, allow: tuple[str, ...], country: str | None, dialled: str) -> None:
    assert allowed_number(written, allow, country) == dialled


@pytest.mark.parametrize(
    ("written", "allow", "country"),
    [
        ("+12125550100", GB, "GB"),  # another country
        ("0012125550100", GB, "GB"),  # … as it is dialled from here
        ("0012125550100", GB, None),
        ("*72442071234567", ("*",), "GB"),  # a feature code: call forwarding
        ("#31#442071234567", ("*",), "GB"),
        ("+44207123456799999999", ("*",), None),  # too long for any number
        ("", ("*",), None),
        ("anonymous", ("*",), None),
        ("+44", ("*",), "XX"),
        ("442071234567@elsewhere", ("*",), "GB"),
        ("200&SIP/9", ("2",), None),
        ("٢٠٠", ("*",), None),
        ("900", ("2",), None),
    ],
)
def test_numbers_that_may_not(written: str, allow: tuple[str, ...], country: str | None) -> None:
    with pytest.raises(NotAllowed):
        allowed_number(written, allow, country)


@settings(deadline=None)
@given(
    st.text(max_size=40) | st.from_regex(r"\+?[0-9*#() -]{1,20}", fullmatch=True),
    st.sampled_from([GB, ("+44",), ("2",), ("020",)]),
    st.sampled_from([None, "GB", "US", "DE"]),
)
def test_what_is_dialled_is_what_was_allowed(written: str, allow: tuple[str, ...], country: str | None) -> None:
    try:
        number = allowed_number(written, allow, country)
    except NotAllowed:
        return
    assert re.fullmatch(r"\+?[0-9]{1,15}", number)
    assert allowed_number(number, allow, country) == number
    if allow == GB:
        assert number.startswith(GB)


LIMITS = OutboundLimits(per_minute=3, concurrent=2, per_day=5)


def test_each_limit() -> None:
    allowance = Allowance()
    for second in (0.0, 10.0, 20.0):
        allowance.take(LIMITS, live=0, now=second, date=1000.0 + second)
    with pytest.raises(LimitReached) as reached:
        allowance.take(LIMITS, live=0, now=30.0, date=1030.0)
    assert (reached.value.which, reached.value.again) == ("per_minute", 30.0)
    allowance.take(LIMITS, live=1, now=60.0, date=1060.0)
    with pytest.raises(LimitReached) as reached:
        allowance.take(LIMITS, live=2, now=75.0, date=1075.0)
    assert reached.value.which == "concurrent"
    allowance.take(LIMITS, live=0, now=75.0, date=1075.0)
    with pytest.raises(LimitReached) as reached:
        allowance.take(LIMITS, live=0, now=200.0, date=1200.0)
    assert (reached.value.which, reached.value.again) == ("per_day", 1000.0 + 86400 - 1200)
    allowance.take(LIMITS, live=0, now=90000.0, date=1000.0 + 86400)


def test_a_day_goes_on_after_a_restart_and_a_call_that_was_not_made_does_not_count() -> None:
    allowance = Allowance([100.0, 200.0, 300.0, 400.0])
    taken = allowance.take(LIMITS, live=0, now=0.0, date=500.0)
    with pytest.raises(LimitReached):
        allowance.take(LIMITS, live=0, now=1.0, date=501.0)
    allowance.give_back(taken)
    allowance.take(LIMITS, live=0, now=1.0, date=501.0)


def test_a_clock_that_is_put_back_gives_no_calls_away() -> None:
    allowance = Allowance()
    for now in range(5):
        allowance.take(LIMITS, live=0, now=now * 100.0, date=1_000_000.0)
    with pytest.raises(LimitReached):
        allowance.take(LIMITS, live=0, now=600.0, date=900_000.0)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 100_000), st.integers(0, 3)), max_size=60), st.integers(1, 5), st.integers(1, 9)
)
def test_no_window_has_more_than_its_limit(steps: list[tuple[int, int]], per_minute: int, per_day: int) -> None:
    limits, allowance = OutboundLimits(per_minute=per_minute, concurrent=2, per_day=per_day), Allowance()
    made: list[float] = []
    for at, live in sorted(steps):
        with contextlib.suppress(LimitReached):
            allowance.take(limits, live=live, now=at, date=at)
            assert live < 2
            made.append(at)
    for window, most in ((60.0, per_minute), (86400.0, per_day)):
        for index in range(len(made) - most):
            assert made[index + most] - made[index] >= window
