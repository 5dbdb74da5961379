"""Checks what a model wrote as arguments against a tool's JSON Schema, and says what is wrong in words it can act on.

Pure: no schema is ever fetched. Whether a tool may be called at all is the runner's business.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping

from jsonschema import Draft202012Validator, SchemaError, ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable

from voxtrad.errors import VoxtradError
from voxtrad.providers.base import JSON
from voxtrad.tools.base import ToolDenied, ToolError

_SHOWN = 3
_LONGEST = 300


class BadSchema(VoxtradError):
    """A tool's parameters are no valid JSON Schema of type object."""


def check_schema(parameters: Mapping[str, JSON]) -> None:
    """Raises `BadSchema`. Takes a millisecond: once for each tool, not for each call."""
    schema = {name: _plain(item) for name, item in parameters.items()}
    try:
        Draft202012Validator.check_schema(schema)
    except (SchemaError, RecursionError) as error:
        reason = error.message if isinstance(error, SchemaError) else "nested too deeply"
        raise BadSchema(f"not a JSON Schema: {_cut(reason)}") from error
    if schema.get("type", "object") != "object":
        raise BadSchema("the parameters of a tool must be a JSON Schema of type object")


def without(schema: Mapping[str, JSON], hidden: Collection[str]) -> Mapping[str, JSON]:
    """A schema of arguments without the parameters that the configuration sets."""
    properties, required = schema.get("properties"), schema.get("required")
    changed = dict(schema)
    if isinstance(properties, Mapping):
        changed["properties"] = {name: about for name, about in properties.items() if name not in hidden}
    if isinstance(required, list | tuple):
        changed["required"] = [name for name in required if name not in hidden]
    return changed


class ArgumentCheck:
    """The check of one tool's arguments, by a schema that `check_schema` has passed.

    `guarded` names the parameters whose `enum` is a limit set by the configuration.
    """

    def __init__(self, parameters: Mapping[str, JSON], guarded: Collection[str] = ()) -> None:
        # An empty registry: a `$ref` to somewhere else is not followed, least of all over the network.
        schema = {name: _plain(item) for name, item in parameters.items()}
        self._validator = Draft202012Validator(schema, registry=Registry())
        self._guarded = frozenset(guarded)

    def __call__(self, arguments: Mapping[str, JSON] | str) -> Mapping[str, JSON]:
        """The arguments, where they are right. Raises `ToolError` with what is wrong, `ToolDenied` with what is barred.

        Text is what a model wrote in the place of an object; none at all stands for no arguments.
        """
        if isinstance(arguments, str):
            if arguments.strip():
                raise ToolError("The arguments are not a JSON object.")
            arguments = {}
        try:
            plain = _plain(arguments)
            json.dumps(plain, allow_nan=False)
            wrong = sorted(self._validator.iter_errors(plain), key=lambda slip: list(map(str, slip.path)))
        except ValueError as error:
            raise ToolError("The arguments are not a JSON object.") from error
        except (Unresolvable, RecursionError) as error:
            raise ToolError("The arguments cannot be checked.") from error
        for slip in wrong:
            if slip.validator == "enum" and slip.path and slip.path[0] in self._guarded:
                wanted = str(slip.instance) if slip.path[0] == "destination" else None
                raise ToolDenied(_describe(slip), destination=wanted)
        if wrong:
            raise ToolError("Wrong arguments: " + "; ".join(map(_describe, wrong[:_SHOWN])))
        return arguments


def _describe(error: ValidationError) -> str:
    where = ".".join(str(step) for step in error.absolute_path)
    return f"{where}: {_cut(error.message)}" if where else _cut(error.message)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def _plain(value: JSON) -> JSON:
    """Dicts and lists for jsonschema, which knows no other mappings and sequences."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
