"""What `privacy` lets through, for every event there is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.figures import tells
from tests.ledger.support import ended, said, started
from voxtrad.events import types
from voxtrad.events.types import (
    AgentResponse,
    BargeIn,
    CallEnded,
    Decision,
    DtmfReceived,
    ErrorOccurred,
    Event,
    PromisedEvent,
    ToolCalled,
    ToolCompleted,
    TransferDenied,
)
from voxtrad.ledger.privacy import mask, mask_number, redact, strictest

WHO = {"call_id": "c_1", "agent": "support"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("My number is 020 7123 4567, thanks.", "My number is [number], thanks."),
        ("+44 (0)20 7123-4567", "[number]"),
        ("card 4111-1111-1111-1111 please", "card [number] please"),
        ("it is four two seven one", "it is [number]"),
        ("double four, seven, nine, one", "[number]"),
        ("meine Nummer ist null drei vier fünf acht", "meine Nummer ist [number]"),
        ("write to Jane.Doe+x@mail.example.co.uk today", "write to [email] today"),
        ("order 17 at 10:30 for 3 people", "order 17 at 10:30 for 3 people"),
        ("one or two, perhaps three", "one or two, perhaps three"),
        ("", ""),
    ],
)
def test_mask(text: str, expected: str) -> None:
    assert mask(text) == expected


@given(st.text())
@settings(deadline=None)
def test_no_run_of_four_digits_outlives_mask(text: str) -> None:
    run = 0
    for character in mask(text):
        run = run + 1 if character.isdecimal() else 0
        assert run < 4


@given(st.text())
@settings(deadline=None)
def test_masking_twice_is_masking_once(text: str) -> None:
    assert mask(mask(text)) == mask(text)


@pytest.mark.parametrize(
    ("number", "expected"),
    [("+442071234567", "+**********67"), ("100", "*00"), ("12", "**"), ("anonymous", "*********"), ("", "")],
)
def test_of_a_callers_number_two_digits_stay(number: str, expected: str) -> None:
    assert mask_number(number) == expected


def test_full_changes_nothing() -> None:
    event = said("4111 1111 1111 1111")
    assert redact(event, "full") is event


def test_redacted_masks_words_arguments_and_results() -> None:
    assert redact(said("call 0207 123 4567"), "redacted").text == "call [number]"
    called = ToolCalled(**WHO, tool="pay", tool_call_id="tc_1", arguments={"card": "4111 1111 1111 1111", "n": 3})
    assert redact(called, "redacted").arguments == {"card": "[number]", "n": 3}
    done = ToolCompleted(
        **WHO,
        tool="pay",
        tool_call_id="tc_1",
        outcome="ok",
        duration=0.25,
        result=[{"mail": "a@b.example"}, 41111, True],
    )
    assert redact(done, "redacted").result == [{"mail": "[email]"}, "[number]", True]
    assert redact(done, "redacted").duration == 0.25


def test_redacted_masks_the_callers_number_wherever_it_stands() -> None:
    event = redact(started(caller="+442071234567", channel="PJSIP/+442071234567-0000001f"), "redacted")
    assert (event.caller, event.dialled, event.channel) == ("+**********67", "1000", "PJSIP/+**********67-0000001f")
    outbound = redact(started(direction="outbound", caller="1000", dialled="+442071234567"), "redacted")
    assert (outbound.caller, outbound.dialled) == ("1000", "+**********67")
    assert redact(started(caller="100", channel="PJSIP/100-0000001f"), "none").channel == "PJSIP/*-0000001f"


def test_none_keeps_that_it_happened_and_no_words() -> None:
    line = {"speaker": "caller", "text": "hello", "at": 1.5, "interrupted": False}
    event = redact(ended(reason="said bye", transcript=[line], latency={"turns": 2, "p50": 0.7}), "none")
    assert (event.transcript, event.reason, event.outcome) == ((), "", "completed")
    assert (event.duration, event.latency) == (2.0, {"turns": 2, "p50": 0.7})
    decision = redact(Decision(**WHO, at=1.5, what="drop", reason="backchannel: 'okay'"), "none")
    assert (decision.what, decision.reason, decision.at) == ("drop", "", 1.5)


def test_a_transcript_keeps_its_times_when_it_is_redacted() -> None:
    line = {"speaker": "caller", "text": "0207 123 4567", "at": 1234.567, "interrupted": True}
    event = redact(ended(transcript=[line]), "redacted")
    assert event.transcript == [{"speaker": "caller", "text": "[number]", "at": 1234.567, "interrupted": True}]


@pytest.mark.parametrize("level", ["redacted", "none"])
def test_keys_pressed_are_hidden(level: str) -> None:
    assert redact(DtmfReceived(**WHO, digit="5"), level).digit == "?"  # type: ignore[type-var, arg-type]  # literals


def every_event(word: str) -> Iterator[Event]:
    """One of each kind, with `word` wherever text or JSON can stand that is not a name of the configuration."""
    names = {
        "agent", "call_id", "linkedid", "tool", "tool_call_id", "destination", "provider", "model", "location",
        "outcome", "stage", "where", "transport",
    }  # fmt: skip
    for kind in vars(types).values():
        if not (isinstance(kind, type) and issubclass(kind, Event)) or kind in (
            Event,
            PromisedEvent,
            types.InternalEvent,
        ):
            continue
        values: dict[str, object] = {}
        for field in fields(kind):
            if field.name in names:
                values[field.name] = "x"
            elif field.name == "direction":
                values[field.name] = "inbound"
            elif field.name == "what" and kind is Decision:
                values[field.name] = "drop"
            elif field.name == "dialled":
                values[field.name] = "1000"
            elif field.name in ("latency", "stages"):
                values[field.name] = {} if "Mapping" in str(field.type) else 0.5
            elif field.type in ("str", "str | None"):
                values[field.name] = word
            elif kind is TransferDenied and field.name == "reason":
                values[field.name] = "unknown"
            elif "Mapping" in str(field.type) or "JSON" in str(field.type):
                row = {"text": word, "deep": [{word: word}]}
                values[field.name] = [row] if "Sequence" in str(field.type) else row
        for field in fields(kind):
            if field.name not in values and str(field.type) in ("float", "int", "bool", "bool | None"):
                values[field.name] = 1
        yield kind(**values)


def text_of(event: Event) -> str:
    data = event.data() if isinstance(event, PromisedEvent) else {f.name: getattr(event, f.name) for f in fields(event)}
    return json.dumps(data, default=str)


def test_no_event_lets_a_word_through_at_none_or_a_number_when_redacted() -> None:
    kinds = set()
    for event in every_event("gibberish"):
        kinds.add(type(event))
        assert "gibberish" not in text_of(redact(event, "none")), event
    for event in every_event("4111 1111 1111 1111"):
        assert not tells("4111", text_of(redact(event, "redacted"))), event
    assert {AgentResponse, BargeIn, CallEnded, Decision, ErrorOccurred, ToolCalled, ToolCompleted} < kinds


def test_the_strictest_level() -> None:
    assert strictest() == "full"
    assert strictest("redacted", "full") == "redacted"
    assert strictest("redacted", "none", "full") == "none"
