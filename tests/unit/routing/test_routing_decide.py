"""Who takes a call, and why not the others."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrad.config.hours import parse_hours
from voxtrad.config.loader import load
from voxtrad.config.models import Config
from voxtrad.config.numbers import canonical, covers, number_matches
from voxtrad.leg import LegInfo
from voxtrad.providers.registry import provider_types
from voxtrad.routing import decide, variables_needed

AGENT = "{stt: sphinx, llm: scripted, tts: espeak}"
MONDAY_NOON = datetime(2026, 5, 4, 12, 0, tzinfo=ZoneInfo("Europe/London"))


def configured(folder: Path, routes: str, agents: str = "support sales night", country: str = "GB") -> Config:
    path = folder / "voxtrad.yaml"
    named = "".join(f"  {name}: {AGENT}\n" for name in agents.split())
    path.write_text(f"server: {{country: {country}}}\nagents:\n{named}{routes}", encoding="utf-8")
    return load(path, provider_types=provider_types(), environment={}).config


def leg(to: str = "", caller: str = "", agent: str | None = None, **variables: str) -> LegInfo:
    return LegInfo(id="1", channel="PJSIP/1", caller=caller, dialled=to, variables=variables, agent=agent)


ROUTES = """
routes:
  - {variables: {TIER: gold}, agent: sales}
  - {to: "+4420*", from: "+44*", hours: "Mon-Fri 09:00-17:30 Europe/London", agent: support}
  - {to: ["1000", "1001"], agent: sales}
  - {from: anonymous, agent: night}
  - {agent: support}
"""


@pytest.mark.parametrize(
    ("call", "route"),
    [
        (leg("1000", "200", TIER="gold"), 0),
        (leg("1000", "200", TIER="silver"), 2),
        (leg("02071234567", "07700900123"), 1),
        (leg("442071234567", "+447700900123"), 1),
        (leg("00442071234567", "447700900123"), 1),
        (leg("+44 (20) 7123-4567", "+447700900123"), 1),
        (leg("+442071234567", "+353861234567"), 4),
        (leg("1001", "200"), 2),
        (leg("1002", ""), 3),
        (leg("1002", "anonymous"), 3),
        (leg("1002", "200"), 4),
    ],
)
def test_the_first_route_that_matches(tmp_path: Path, call: LegInfo, route: int) -> None:
    config = configured(tmp_path, ROUTES)
    decision = decide(config, call, MONDAY_NOON)
    assert decision.route == route
    assert decision.agent == config.routes[route].agent
    assert [step.matched for step in decision.trail] == [False] * route + [True]
    assert all(step.reason for step in decision.trail)


def test_the_trail_says_why_not(tmp_path: Path) -> None:
    config = configured(tmp_path, ROUTES)
    night = datetime(2026, 5, 4, 22, 0, tzinfo=UTC)
    decision = decide(config, leg("+442071234567", "+447700900123", TIER="silver"), night)
    reasons = [step.reason for step in decision.trail]
    assert reasons == [
        "the channel variable TIER is 'silver', not 'gold'",
        "it is Mon 23:00 in Europe/London, outside of Mon-Fri 09:00-17:30 Europe/London",
        "'to' is '+442071234567', not 1000 or 1001",
        "'from' is '+447700900123', not anonymous",
        "it takes every call",
    ]
    assert decide(config, leg("1"), night).trail[0].reason == "the channel variable TIER is not set"


def test_a_number_that_nobody_gave_is_not_called_withheld(tmp_path: Path) -> None:
    config = configured(tmp_path, "routes: [{to: '1000', agent: sales}, {from: '+44*', agent: sales}]")
    assert [step.reason for step in decide(config, leg(), MONDAY_NOON).trail] == [
        "'to' must be 1000, and no number is given",
        "'from' must be +44*, and no number is given",
    ]


def test_the_dialplan_comes_first(tmp_path: Path) -> None:
    config = configured(tmp_path, ROUTES)
    decision = decide(config, leg("1000", agent="night", TIER="gold"), MONDAY_NOON)
    assert (decision.agent, decision.route, decision.warning) == ("night", None, None)


def test_a_dialplan_that_names_nobody_is_reported_and_the_routes_decide(tmp_path: Path) -> None:
    config = configured(tmp_path, ROUTES)
    decision = decide(config, leg("1000", agent="nobody"), MONDAY_NOON)
    assert (decision.agent, decision.route) == ("sales", 2)
    assert decision.warning == "the dialplan asks for 'nobody', which is no agent"


def test_the_only_agent_takes_every_call(tmp_path: Path) -> None:
    assert decide(configured(tmp_path, "", "support"), leg("1"), MONDAY_NOON).agent == "support"


def test_nobody_takes_what_no_route_matches(tmp_path: Path) -> None:
    decision = decide(configured(tmp_path, 'routes: [{to: "1", agent: sales}]\n'), leg("2"), MONDAY_NOON)
    assert (decision.agent, decision.reason) == (None, "no route matches")


def test_variables_needed(tmp_path: Path) -> None:
    assert variables_needed(configured(tmp_path, ROUTES)) == {"TIER"}
    assert variables_needed(configured(tmp_path, "", "support")) == frozenset()


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "country", "expected"),
    [
        ("02071234567", "GB", "+442071234567"), ("442071234567", "GB", "+442071234567"),
        ("00442071234567", "GB", "+442071234567"), ("+442071234567", "GB", "+442071234567"),
        ("020 7123 4567", "GB", "+442071234567"), ("1000", "GB", "1000"), ("s", "GB", "s"),
        ("2125551234", "US", "+12125551234"), ("12125551234", "US", "+12125551234"),
        ("011442071234567", "US", "+442071234567"), ("911234567", "ES", "+34911234567"),
        ("0612345678", "IT", "+390612345678"), ("030123456", "DE", "+4930123456"),
        ("00442071234567", None, "+442071234567"), ("+442071234567", None, "+442071234567"),
        ("02071234567", None, "02071234567"),
    ],
)  # fmt: skip
def test_numbers_are_one(number: str, country: str | None, expected: str) -> None:
    assert canonical(number, country) == expected


@pytest.mark.parametrize(
    ("pattern", "number", "country", "matches"),
    [
        ("+4420*", "02071234567", "GB", True), ("020*", "+442071234567", "GB", True),
        ("4420*", "02071234567", "GB", True), ("0044*", "+442071234567", "GB", True),
        ("+4421*", "02071234567", "GB", False), ("020 7123 4567", "442071234567", "GB", True),
        ("10*", "1000", "GB", True), ("10*", "2000", "GB", False), ("*", "anything", "GB", True),
        ("*99", "*99", "GB", True), ("212*", "+12125551234", "US", True), ("1212*", "2125551234", "US", True),
        ("01144*", "+442071234567", "US", True), ("91*", "+34911234567", "ES", True),
        ("+44*", "00442071234567", None, True), ("0044*", "+442071234567", None, True),
        ("anonymous", "", "GB", True), ("anonymous", "Anonymous", "GB", True), ("+44*", "", "GB", False),
        ("*", "", "GB", True), ("alice", "alice", None, True),
    ],
)  # fmt: skip
def test_patterns(pattern: str, number: str, country: str | None, matches: bool) -> None:
    assert number_matches(pattern, number, country) is matches


def test_wider_patterns_cover_narrower_ones() -> None:
    assert covers("*", "1000", "GB")
    assert covers("+44*", "+4420*", "GB")
    assert covers("+44*", "020 7123 4567", "GB")
    assert covers("020*", "0207*", "GB")
    assert covers("020*", "+442071234567", "GB")
    assert covers("*", "anonymous", "GB")
    assert not covers("020*", "+44*", "GB")
    assert not covers("1000", "*", "GB")
    assert not covers("a*", "anonymous", "GB")


@pytest.mark.parametrize(
    ("country", "wider", "narrower", "extension"),
    [
        ("US", "+1*", "2*", "200"), ("ES", "+34*", "6*", "600"), ("IT", "+39*", "06*", "0601"),
        ("GB", "+44*", "020*", "0201"), ("DE", "+49*", "030*", "030"), ("FR", "+33*", "01*", "0110"),
        ("US", "+44*", "01144*", "011441"),
    ],
)  # fmt: skip
def test_extensions_that_begin_like_public_numbers_reach_a_route(
    country: str, wider: str, narrower: str, extension: str
) -> None:
    assert number_matches(narrower, extension, country)
    assert not number_matches(wider, extension, country)
    assert not covers(wider, narrower, country)


_SOME = st.from_regex(r"\A(\+1|\+44|\+34|0|00|011|2|6|1|20|020|44|\*)[0-9]{0,8}\*?\Z")


@given(wider=_SOME, narrower=_SOME, digits=st.text(alphabet="0123456789", max_size=9))
@settings(deadline=None)
def test_what_a_covered_pattern_takes_the_wider_one_takes(wider: str, narrower: str, digits: str) -> None:
    number = narrower.replace("*", digits)
    for country in ("GB", "US", "ES", "IT", "DE", None):
        if covers(wider, narrower, country) and number_matches(narrower, number, country):
            assert number_matches(wider, number, country)


@given(
    number=st.text(alphabet="+0123456789*# ()-a", max_size=20), pattern=st.text(alphabet="+0123456789*# ", max_size=12)
)
@settings(deadline=None)
def test_any_number_and_pattern_are_answered(number: str, pattern: str) -> None:
    for country in ("GB", "US", None):
        number_matches(pattern, number, country)
        assert canonical(canonical(number, country), country) == canonical(number, country)


@given(digits=st.text(alphabet="0123456789", min_size=1, max_size=15), cut=st.integers(0, 14))
@settings(deadline=None)
def test_a_number_matches_itself_and_its_beginnings(digits: str, cut: int) -> None:
    for country in ("GB", "US", "DE", None):
        assert number_matches(digits, digits, country)
        assert number_matches(digits[:cut] + "*", digits, country)


# --- opening hours ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hours", "moment", "open_"),
    [
        ("Mon-Fri 09:00-17:30 Europe/London", "2026-05-04T08:00+00:00", True),
        ("Mon-Fri 09:00-17:30 Europe/London", "2026-05-04T07:59+00:00", False),
        ("Mon-Fri 09:00-17:30 Europe/London", "2026-05-04T16:29+00:00", True),
        ("Mon-Fri 09:00-17:30 Europe/London", "2026-05-04T16:30+00:00", False),
        ("Mon-Fri 09:00-17:30 Europe/London", "2026-05-03T12:00+00:00", False),
        # In winter the same hours are an hour later in UTC.
        ("Mon-Fri 09:00-17:30 Europe/London", "2026-01-05T08:30+00:00", False),
        ("Mon-Fri 09:00-17:30 Europe/London", "2026-01-05T09:00+00:00", True),
        # Over midnight: the span belongs to the day it began on.
        ("Fri 22:00-06:00 Europe/London", "2026-05-08T21:30+00:00", True),
        ("Fri 22:00-06:00 Europe/London", "2026-05-09T04:59+00:00", True),
        ("Fri 22:00-06:00 Europe/London", "2026-05-09T05:00+00:00", False),
        ("Fri 22:00-06:00 Europe/London", "2026-05-08T04:00+00:00", False),
        # The night the clock goes forward has no 01:30, the night it goes back has two.
        ("Sun 01:00-02:00 Europe/London", "2026-03-29T00:59+00:00", False),
        ("Sun 01:00-02:00 Europe/London", "2026-03-29T01:00+00:00", False),
        ("Sun 01:00-02:00 Europe/London", "2026-10-25T00:30+00:00", True),
        ("Sun 01:00-02:00 Europe/London", "2026-10-25T01:30+00:00", True),
        ("Sat,Sun 00:00-24:00 America/New_York", "2026-05-04T03:59+00:00", True),
        ("Sat,Sun 00:00-24:00 America/New_York", "2026-05-04T04:00+00:00", False),
        ("Fri-Mon 10:00-11:00 UTC", "2026-05-04T10:30+00:00", True),
        ("Fri-Mon 10:00-11:00 UTC", "2026-05-05T10:30+00:00", False),
        ("daily 9:00 - 10:00 UTC", "2026-05-05T09:30+00:00", True),
    ],
)
def test_hours(hours: str, moment: str, open_: bool) -> None:
    assert parse_hours(hours).contains(datetime.fromisoformat(moment)) is open_


@given(
    text=st.text(max_size=40)
    | st.from_regex(r"[A-Za-z,-]{1,9} [0-9]{1,2}:[0-9]{2}-[0-9]{1,2}:[0-9]{2} [A-Z/a-z.]{1,12}")
)
@settings(deadline=None)
def test_any_hours_are_read_or_refused(text: str) -> None:
    try:
        hours = parse_hours(text)
    except ValueError:
        return
    assert hours.contains(MONDAY_NOON) in (True, False)


@given(minutes=st.integers(0, 7 * 24 * 60 - 1))
@settings(deadline=None)
def test_a_week_is_either_inside_or_outside(minutes: int) -> None:
    from datetime import timedelta

    moment = datetime(2026, 5, 4, tzinfo=UTC) + timedelta(minutes=minutes)
    day, night = parse_hours("daily 08:00-20:00 UTC"), parse_hours("daily 20:00-08:00 UTC")
    assert day.contains(moment) is not night.contains(moment)
