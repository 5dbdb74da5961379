"""When the caller's audio is said to have become bad, and good again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voxtrad.conversation.line_quality import BAD, ENOUGH, GOOD, LineQuality
from voxtrad.leg import ReceptionReport


def changes(*windows: tuple[int, int], late: int = 0) -> list[tuple[int, bool, str]]:
    """Which windows of (due, lost) bring a change, and which."""
    quality, due, lost, found = LineQuality(), 0, 0, []
    for nth, window in enumerate(windows):
        due, lost = due + window[0], lost + window[1]
        if change := quality.change(ReceptionReport(due, lost, min(late, lost))):
            found.append((nth, change.bad, change.reason))
    return found


def test_bad_and_good_again_is_told_once_each_with_its_numbers() -> None:
    told = changes((500, 0), (500, 60), (500, 400), (500, 10), (500, 5), (500, 0), late=12)
    assert told == [
        (1, True, "12.0% of the caller's audio was lost: 60 of 500 packets; 12 of these came too late"),
        (4, False, "1.0% of the caller's audio was lost: 5 of 500 packets"),
    ]


def test_a_little_is_nothing_and_in_between_it_stays_as_it_was() -> None:
    assert changes((500, 14), (500, 6), (500, 14)) == []
    assert [(nth, bad) for nth, bad, _ in changes((500, 15), (500, 14), (500, 6), (500, 5))] == [(0, True), (3, False)]


def test_few_packets_tell_nothing_until_there_are_more() -> None:
    assert changes((10, 5)) == []
    assert [nth for nth, _, _ in changes((40, 20), (40, 0), (40, 0))] == [2]
    assert changes((0, 0), (0, 0)) == []


@given(st.lists(st.tuples(st.integers(0, 600), st.integers(0, 100)).map(lambda w: (w[0], w[0] * w[1] // 100))))
def test_changes_take_turns_and_each_has_its_reason(windows: list[tuple[int, int]]) -> None:
    told = changes(*windows)
    assert [bad for _, bad, _ in told] == [nth % 2 == 0 for nth in range(len(told))]
    assert all(sum(due for due, _ in windows) >= ENOUGH for _ in told)
    for _, bad, reason in told:
        part = float(reason.split("%")[0]) / 100
        assert part >= BAD - 0.001 if bad else part <= GOOD + 0.001


@given(st.lists(st.tuples(st.integers(0, 600), st.integers(0, 9), st.integers(0, 9))))
def test_the_news_add_up_to_the_whole(steps: list[tuple[int, int, int]]) -> None:
    quality, report, news = LineQuality(), ReceptionReport(), []
    for due, lost, late in steps:
        report = ReceptionReport(report.due + due, report.lost + lost, report.late + late)
        news.append(quality.news(report))
    assert news == [ReceptionReport(*step) for step in steps]
