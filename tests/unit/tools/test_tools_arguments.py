"""What a model is told of arguments that do not fit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrad.tools.arguments import ArgumentCheck, BadSchema, check_schema, without
from voxtrad.tools.base import ToolDenied, ToolError

ORDER = {
    "type": "object",
    "properties": {
        "order_id": {"type": "string", "pattern": "^[A-Z]"},
        "lines": {"type": "array", "items": {"type": "integer"}},
        "where": {"type": "string", "enum": ["billing", "sales"]},
    },
    "required": ["order_id"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    "arguments", [{"order_id": "A1"}, {"order_id": "A1", "lines": [1, 2]}, {"order_id": "A1", "where": "sales"}]
)
def test_right_arguments_pass(arguments: dict[str, Any]) -> None:
    check_schema(ORDER)
    assert ArgumentCheck(ORDER)(arguments) == arguments


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({}, "'order_id' is a required property"),
        ({"order_id": "A", "lines": [float("nan")]}, "not a JSON object"),
        ({"order_id": 17}, "order_id: 17 is not of type 'string'"),
        ({"order_id": "a"}, "order_id: 'a' does not match"),
        ({"order_id": "A", "lines": [1, "x"]}, "lines.1: 'x' is not of type 'integer'"),
        ({"order_id": "A", "colour": "red"}, "'colour' was unexpected"),
        ({"order_id": "A", "where": "CEO"}, "where: 'CEO' is not one of"),
        ("{order", "not a JSON object"),
        ("[]", "not a JSON object"),
        ("", "'order_id' is a required property"),
    ],
)
def test_the_model_is_told_what_is_wrong(arguments: Any, told: str) -> None:
    with pytest.raises(ToolError) as caught:
        ArgumentCheck(ORDER)(arguments)
    assert told in caught.value.message
    assert not isinstance(caught.value, ToolDenied)


def test_no_text_at_all_stands_for_no_arguments() -> None:
    assert ArgumentCheck({"type": "object", "properties": {}})("  ") == {}


def test_what_the_configuration_limits_is_denied() -> None:
    with pytest.raises(ToolDenied, match="'CEO' is not one of"):
        ArgumentCheck(ORDER, ["where"])({"order_id": 1, "where": "CEO"})
    with pytest.raises(ToolError, match="not of type"):
        ArgumentCheck(ORDER, ["where"])({"order_id": 1, "where": "sales"})


def test_messages_stay_short() -> None:
    with pytest.raises(ToolError) as caught:
        ArgumentCheck(ORDER)({"order_id": "x" * 100_000, "lines": [{"y": "z" * 100_000}] * 500})
    assert len(caught.value.message) < 1500


@pytest.mark.parametrize(
    "schema", [{"type": "string"}, {"type": "object", "properties": 7}, {"properties": {"a": {"type": "colour"}}}]
)
def test_what_is_no_schema(schema: Any) -> None:
    with pytest.raises(BadSchema):
        check_schema(schema)


@pytest.mark.parametrize("ref", ["http://127.0.0.1:1/schema", "file:///etc/passwd", "#/nowhere", "other.json"])
def test_nothing_is_fetched(ref: str) -> None:
    check = ArgumentCheck({"type": "object", "properties": {"a": {"$ref": ref}}})
    with pytest.raises(ToolError, match="cannot be checked"):
        check({"a": 1})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["order_id", "lines", "where"]), inner),
)


@settings(deadline=None)
@given(arguments=st.text() | st.dictionaries(st.sampled_from(["order_id", "lines", "where"]) | st.text(), json_values))
def test_any_arguments_pass_or_are_told_about(arguments: Any) -> None:
    try:
        assert ArgumentCheck(ORDER, ["where"])(arguments) == arguments
        assert isinstance(arguments["order_id"], str)
    except ToolError as error:
        assert error.message  # noqa: PT017 - what matters is that there is something to tell


def test_what_the_configuration_sets_no_model_sees() -> None:
    schema = {"type": "object", "properties": {"a": {}, "b": {"type": "string"}}, "required": ["a", "b"]}
    assert without(schema, ["a", "z"]) == {
        "type": "object", "properties": {"b": {"type": "string"}}, "required": ["b"],
    }  # fmt: skip
    assert without({"type": "object"}, ["a"]) == {"type": "object"}
