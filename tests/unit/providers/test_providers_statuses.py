"""What HTTP's own words mean: how long a server asks to be left alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtrad.providers.base import RateLimited
from voxtrad.providers.statuses import of_status, retry_after


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after": "7.5", "Retry-After-Ms": "1500"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"Retry-After": "-3"}, 0.0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Wed, 21 Oct 99999999999999999999 07:28:00 GMT"}, None),
        ({}, None),
    ],
)
def test_seconds_for_which_a_server_asks_to_be_left_alone(headers, seconds):
    assert retry_after(headers) == seconds
    error = of_status(429, "a", headers)
    assert isinstance(error, RateLimited) and error.retry_after == seconds


def test_a_date_is_as_good_as_seconds():
    asked = retry_after({"Retry-After": format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True)})
    assert asked is not None and 200 < asked <= 300


@given(st.text())
def test_whatever_it_says_it_is_seconds_or_nothing(text):
    asked = retry_after({"Retry-After": text, "Retry-After-Ms": text})
    assert asked is None or asked >= 0 or asked != asked
