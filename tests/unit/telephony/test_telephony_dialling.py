"""Why nobody answered, and the caller ID that the far telephone is shown."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrad.telephony.asterisk.dialling import caller_id, refusal_of


@pytest.mark.parametrize(
    ("status", "cause", "why"),
    [
        ("BUSY", 17, "busy"), ("BUSY", 0, "busy"), ("RINGING", 19, "no_answer"), ("NOANSWER", 16, "no_answer"),
        ("BUSY", 21, "declined"), ("RINGING", 16, "no_answer"), ("RINGING", 1, "unavailable"),
        ("RINGING", 34, "unavailable"), ("CONGESTION", 34, "unavailable"), ("", 0, "unavailable"),
    ],
)  # fmt: skip
def test_why_nobody_answered(status: str, cause: int, why: str) -> None:
    assert refusal_of(status, cause) == why


def test_caller_id() -> None:
    assert caller_id("Ada", "+44207") == '"Ada" <+44207>'
    assert caller_id("", "100") == "<100>"
    assert caller_id("Ada", "") is None
    assert caller_id('A"d<a>\\\n', "1<0>0") == '"Ada" <100>'


@settings(deadline=None)
@given(st.text(), st.text())
def test_no_caller_breaks_out_of_the_caller_id(name: str, number: str) -> None:
    shown = caller_id(name, number)
    assert shown is None or ((shown.count("<"), shown.count(">")) == (1, 1) and shown.count('"') in (0, 2))
