"""Numbers that a caller keyed in and nobody may keep: where they are found, and what is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtrad.events.types import JSON, AgentResponse, CallEnded, TokensUsed, ToolCalled, ToolCompleted
from voxtrad.ledger.sensitive import HIDDEN, Sensitive

WHO = {"call_id": "c_4711", "agent": "support"}


def sensitive(*numbers: str) -> Sensitive:
    found = Sensitive()
    for number in numbers:
        found.add(number)
    return found


@pytest.mark.parametrize(
    ("number", "text", "expected"),
    [
        ("4711", "You said 4711, right?", f"You said {HIDDEN}, right?"),
        ("4711", "4 7 1 1 or 47-11", f"{HIDDEN} or {HIDDEN}"),
        ("4111111111111111", "card 4111 1111 1111 1111.", f"card {HIDDEN}."),
        ("4711", "It is 4, 7, 1, 1. Or 4. 7. 1. 1.", f"It is {HIDDEN}. Or {HIDDEN}."),
        ("4711", "47\u00a011, 47\u201311, 47\n11", f"{HIDDEN}, {HIDDEN}, {HIDDEN}"),
        ("120", "1.20 or 1,20 for 12.0", "1.20 or 1,20 for 12.0"),
        ("4711", "order 47110 of 14711 at 24711", "order 47110 of 14711 at 24711"),
        ("4711", "pin=4711;", f"pin={HIDDEN};"),
        ("0471", "0471", HIDDEN),
        ("123", "the code 123", f"the code {HIDDEN}"),
        ("12", "12 of them for 12 pounds", "12 of them for 12 pounds"),
        ("", "nothing", "nothing"),
        ("4*11", "keys 4*11", f"keys {HIDDEN}"),
        ("4*", "keys 4*", "keys 4*"),
    ],
)
def test_text(number: str, text: str, expected: str) -> None:
    assert sensitive(number).text(text) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"pin": "4711", "n": [4711, 47, 4711.5, True, None]}, {"pin": HIDDEN, "n": [HIDDEN, 47, 4711.5, True, None]}),
        (4711, HIDDEN),
        ({"4711": 1}, {HIDDEN: 1}),
        ([["4711"]], [[HIDDEN]]),
        (815, HIDDEN),
        ("815", "815"),
    ],
)
def test_json(value: JSON, expected: JSON) -> None:
    assert sensitive("4711", "0815").value(value) == expected


def test_events_lose_numbers_and_keep_ids_and_figures() -> None:
    without = sensitive("4711").without
    called = without(ToolCalled(**WHO, tool="pay", tool_call_id="tc_4711", arguments={"pin": "4711"}))
    assert (called.call_id, called.tool_call_id, called.arguments) == ("c_4711", "tc_4711", {"pin": HIDDEN})
    for result in ({"echo": "4711"}, "it is 4711", 4711):
        done = ToolCompleted(**WHO, tool="pay", tool_call_id="tc_1", outcome="ok", duration=0.25, result=result)
        assert "4711" not in str(without(done).result), result
    said = without(AgentResponse(**WHO, text="4711 it is", turn=4711))
    assert (said.text, said.turn) == (f"{HIDDEN} it is", 4711)
    line = {"speaker": "agent", "text": "4711?", "at": 1.5, "interrupted": False}
    ended = CallEnded(**WHO, outcome="completed", reason="", duration=4711, talk_time=0, transcript=[line])
    assert without(ended).transcript == [{**line, "text": f"{HIDDEN}?"}] and without(ended).duration == 4711
    tokens = TokensUsed(**WHO, provider="x", prompt_tokens=4711, completion_tokens=815)
    assert without(tokens) == tokens


def test_without_any_numbers_events_are_left_as_they_are() -> None:
    event = AgentResponse(**WHO, text="4711")
    assert Sensitive().without(event) is event


def test_nothing_shows_the_numbers_themselves() -> None:
    assert "4711" not in repr(sensitive("4711"))


@given(st.lists(st.text("0123456789", min_size=3, max_size=20), min_size=1, max_size=4), st.text())
def test_no_number_outlives_it(numbers: list[str], around: str) -> None:
    text = f" {around} ".join(f"<{number}>" for number in numbers)
    shown = sensitive(*numbers).text(text)
    assert not any(f"<{number}>" in shown for number in numbers)
