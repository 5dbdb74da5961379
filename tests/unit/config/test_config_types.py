"""Scalars: how they are read, and that durations and numbers are told apart from text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from voxtrad.config.network_types import AddressText
from voxtrad.config.types import Duration, Text, parse_duration, show_duration
from voxtrad.config.written import plain, read_plain


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("10s", 10),
        ("30m", 1800),
        ("1h30m", 5400),
        ("3d", 259200),
        ("1w", 604800),
        ("2.5s", 2.5),
        ("7", 7),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "s", "10 s", "-1s", "1x", "1e3s", "١s", "1..5s", "inf", "9" * 60])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError):
        parse_duration(text)


@given(seconds=st.integers(min_value=0, max_value=10**7))
@settings(deadline=None)
def test_durations_are_shown_as_they_are_read(seconds: int) -> None:
    assert parse_duration(show_duration(float(seconds))) == seconds


@pytest.mark.parametrize("value", [True, -1, float("nan") * 1, None, [], "x"])
def test_values_that_are_no_duration(value: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Duration).validate_python(value)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("", None), ("null", None), ("~", None), ("true", True), ("false", False), ("0", 0), ("-7", -7), ("12", 12),
        ("1.5", 1.5), ("1e3", 1000.0),
    ],
)  # fmt: skip
def test_scalars_that_are_no_text(written: str, value: object) -> None:
    read = read_plain(written)
    assert plain(read) == value
    assert type(plain(read)) is type(value)


@pytest.mark.parametrize(
    "written",
    [
        "True", "TRUE", "yes", "no", "on", "off", "Null", "+44", "012", "0x1F", "0o7", "1_000", "12:30:00",
        "2026-05-04", ".5", "5.", "1e999", ".inf", ".nan", "1234567890123456789", "١٢", "-", "+", "1 2", "=",
    ],
)  # fmt: skip
def test_scalars_that_stay_text(written: str) -> None:
    assert plain(read_plain(written)) == written


@given(text=st.text(max_size=30))
@settings(deadline=None)
def test_every_scalar_is_text_as_it_was_written(text: str) -> None:
    read = read_plain(text)
    if read is not None and not isinstance(read, bool):
        assert TypeAdapter(Text).validate_python(read) == text


def test_addresses() -> None:
    adapter = TypeAdapter(AddressText)
    for text, host, port in (
        ("127.0.0.1:80", "127.0.0.1", 80),
        ("[::1]:8090", "::1", 8090),
        ("pbx.example:1", "pbx.example", 1),
    ):
        address = adapter.validate_python(text)
        assert (address.host, address.port) == (host, port)
    for text in ("8090", ":80", "::1:80", "a:b", "a:70000", "http://a:80", "a b:80", "a@b:80"):
        with pytest.raises(ValidationError):
            adapter.validate_python(text)
