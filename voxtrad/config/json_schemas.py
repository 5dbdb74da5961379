"""What is wrong with a JSON Schema of the configuration: a tool's parameters, a field of the analysis.

JSON Schema itself allows keywords that nobody knows and ignores them. Here a misspelling is an error, as anywhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from voxtrad.config.diagnostics import Loc, did_you_mean

TYPES = ("string", "integer", "number", "boolean", "object", "array", "null")

_DIALECT = "https://json-schema.org/draft/2020-12/"
_ONE = frozenset({"additionalProperties", "contains", "else", "if", "items", "not", "propertyNames", "then"})
_LIST = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_MAP = frozenset({"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"})
"""Keywords that hold a schema, a list of them, or some by name."""
_USUAL = (
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "minItems",
    "maxItems",
    "default",
    "examples",
)
"""Others that an editor offers."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is wrong within a schema."""

    loc: Loc
    message: str
    suggestion: str | None = None
    at_key: bool = False


def faults_of(schema: object) -> Iterator[Fault]:
    """All of them; draft 2020-12."""
    from jsonschema import Draft202012Validator

    seen: set[Loc] = set()
    for error in Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(schema):
        loc = cast("Loc", tuple(error.absolute_path))
        if loc not in seen:
            seen.add(loc)
            suggestion = did_you_mean(str(error.instance), TYPES) if loc[-1:] == ("type",) else None
            yield Fault(loc, f"not a JSON Schema: {_short(error.validator)}", suggestion)
    yield from _strangers(schema, (), _keywords())


def _short(validator: object) -> str:
    words = {"type": "wrong type of value", "enum": "unknown value", "anyOf": "unknown value"}
    return words.get(str(validator), f"'{validator}' does not hold")


def _keywords() -> frozenset[str]:
    """All that the vocabularies of the draft define."""
    from jsonschema_specifications import REGISTRY

    return frozenset(
        keyword
        for uri in REGISTRY
        if uri.startswith(_DIALECT)
        for keyword in cast("Mapping[str, Mapping[str, object]]", REGISTRY.contents(uri)).get("properties", {})
    )


def _strangers(schema: object, loc: Loc, known: frozenset[str]) -> Iterator[Fault]:
    if not isinstance(schema, Mapping):
        return
    for keyword, value in schema.items():
        here = (*loc, keyword)
        if keyword not in known and not keyword.startswith("x-"):
            yield Fault(here, "unknown key", did_you_mean(keyword, known), at_key=True)
        elif keyword in _ONE:
            yield from _strangers(value, here, known)
        elif keyword in _LIST and isinstance(value, list | tuple):
            for index, inner in enumerate(value):
                yield from _strangers(inner, (*here, index), known)
        elif keyword in _MAP and isinstance(value, Mapping):
            for name, inner in value.items():
                yield from _strangers(inner, (*here, name), known)


# --- for editors ------------------------------------------------------------------------------------------------------


def for_editors(interpolated: Mapping[str, object]) -> dict[str, dict[str, object]]:
    """The same as definitions of a JSON Schema: `json_schema`, `parameter` (of the short form) and `parameters`."""
    one: dict[str, object] = {"$ref": "#/definitions/json_schema"}
    several: dict[str, object] = {"type": "array", "items": one}
    named: dict[str, object] = {"type": "object", "additionalProperties": one}
    names: dict[str, object] = {"type": "array", "items": {"type": "string"}}
    kind: dict[str, object] = {"enum": list(TYPES)}
    object_type: dict[str, object] = {"anyOf": [{"const": "object"}, interpolated]}
    schema: dict[str, object] = {
        "propertyNames": {
            "pattern": f"^({'|'.join(re.escape(keyword) for keyword in sorted(_keywords()))})$|^x-",
            "patternErrorMessage": "unknown key of a JSON Schema",
        },
        "properties": {
            "type": {"anyOf": [kind, {"type": "array", "items": kind}, interpolated], "description": "What it is."},
            "description": {"type": "string", "description": "What it means, for the model."},
            "enum": {"type": "array", "description": "All values that it may have."},
            "required": {**names, "description": "The properties that must be there."},
            **{key: {} for key in _USUAL},
            **dict.fromkeys(sorted(_ONE), one),
            **dict.fromkeys(sorted(_LIST), several),
            **dict.fromkeys(sorted(_MAP), named),
        },
    }
    properties = cast("dict[str, object]", schema["properties"])
    needed: dict[str, object] = {"anyOf": [{"type": "boolean"}, names], "description": "Whether it must be given."}
    return {
        "json_schema": {"type": ["object", "boolean"], **schema},
        "parameter": {"type": "object", **schema, "properties": {**properties, "required": needed}},
        "parameters": {
            "type": "object",
            "if": {"properties": {"type": {"type": "string"}}, "required": ["type"]},
            "then": {"allOf": [one, {"properties": {"type": object_type}}]},
            "else": {"additionalProperties": {"$ref": "#/definitions/parameter"}},
        },
    }
