"""When a message is tried again: the promised delays, `Retry-After`, 410, the end of a message's time."""

from datetime import UTC, datetime
from email.utils import format_datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrad.outbound.schedule import (
    DELAYS,
    JITTER,
    LONGEST_WAIT,
    Answer,
    Dead,
    Delivered,
    Gone,
    Progress,
    Retry,
    judge,
    parse_retry_after,
)

NOW = 1_800_000_000.0
FOR_EVER = NOW + 1e9
MIDDLE = 0.5
"""The luck that makes no jitter."""


def test_the_delays_are_the_promised_ones() -> None:
    assert list(DELAYS) == [0, 5, 5 * 60, 30 * 60, *(3600 * hours for hours in (2, 5, 10, 14, 20, 24))]


def test_an_endpoint_that_stays_down_gets_ten_tries_at_the_delays_then_the_message_is_dead() -> None:
    progress, at, gaps = Progress(0, NOW, FOR_EVER), NOW, [0.0]
    while isinstance(verdict := judge(progress, Answer(500), now=at, luck=MIDDLE), Retry):
        gaps.append(verdict.planned - at)
        at = verdict.planned
        progress = Progress(verdict.step, verdict.planned, FOR_EVER)
    assert tuple(gaps) == DELAYS
    assert verdict == Dead("HTTP 500")


@given(st.integers(100, 599))
@settings(deadline=None)
def test_only_2xx_is_a_success(status: int) -> None:
    verdict = judge(Progress(0, NOW, FOR_EVER), Answer(status), now=NOW, luck=MIDDLE)
    expected = Delivered if 200 <= status <= 299 else Gone if status == 410 else Retry
    assert isinstance(verdict, expected)


def test_no_answer_at_all_is_a_failure_that_says_why() -> None:
    verdict = judge(Progress(0, NOW, FOR_EVER), Answer(error="cannot connect"), now=NOW, luck=MIDDLE)
    assert isinstance(verdict, Retry)
    assert verdict.summary == "cannot connect"


@given(st.integers(0, len(DELAYS) - 2), st.floats(0, 1, exclude_max=True))
@settings(deadline=None)
def test_jitter_stays_within_its_part_of_the_delay(step: int, luck: float) -> None:
    verdict = judge(Progress(step, NOW, FOR_EVER), Answer(503), now=NOW, luck=luck)
    assert isinstance(verdict, Retry)
    assert abs(verdict.planned - NOW - DELAYS[step + 1]) <= JITTER * DELAYS[step + 1] + 1e-6


def test_retry_after_later_than_the_schedule_is_waited_for() -> None:
    verdict = judge(Progress(0, NOW, FOR_EVER), Answer(429, "3600"), now=NOW, luck=MIDDLE)
    assert isinstance(verdict, Retry)
    assert verdict.planned == verdict.not_before == NOW + 3600


def test_retry_after_sooner_than_the_schedule_does_not_use_up_the_tries() -> None:
    verdict = judge(Progress(3, NOW, FOR_EVER), Answer(429, "1"), now=NOW, luck=MIDDLE)
    assert isinstance(verdict, Retry)
    assert (verdict.planned, verdict.not_before) == (NOW + DELAYS[4], NOW + 1)


def test_an_absurd_retry_after_is_cut() -> None:
    verdict = judge(Progress(0, NOW, FOR_EVER), Answer(503, "9" * 5000), now=NOW, luck=MIDDLE)
    assert isinstance(verdict, Retry)
    assert verdict.planned == NOW + LONGEST_WAIT


def test_a_message_whose_next_try_would_be_too_late_is_dead_now() -> None:
    assert judge(Progress(4, NOW, NOW + 3600), Answer(500), now=NOW, luck=MIDDLE) == Dead("HTTP 500")
    assert isinstance(judge(Progress(1, NOW, NOW + 3600), Answer(500), now=NOW, luck=MIDDLE), Retry)


def test_a_try_ahead_of_its_time_costs_nothing() -> None:
    planned = NOW + 5000
    verdict = judge(Progress(4, planned, FOR_EVER), Answer(500), now=NOW, luck=MIDDLE)
    assert verdict == Retry(4, planned, NOW, "HTTP 500")


def test_retry_after_as_a_date() -> None:
    date = format_datetime(datetime.fromtimestamp(NOW + 90, UTC), usegmt=True)
    assert parse_retry_after(date, now=NOW) == 90
    assert parse_retry_after(date, now=NOW + 1000) == 0
    assert parse_retry_after(" 12 ", now=NOW) == 12
    for nothing in (None, "", "soon", "-5", "1.5", "١٢"):
        assert parse_retry_after(nothing, now=NOW) == 0


@given(st.text(max_size=60) | st.from_regex(r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d+ \d+:\d+:\d+ (GMT|[+-]\d+)"))
@settings(deadline=None, max_examples=300)
def test_any_retry_after_gives_seconds_from_now(header: str) -> None:
    assert parse_retry_after(header, now=NOW) >= 0
