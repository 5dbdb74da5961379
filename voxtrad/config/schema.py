"""The JSON Schema of the language (draft 7, as yaml-language-server reads it): an editor completes and checks with it.

It is made from the models; what YAML allows beyond them is added: `${…}` in place of any value, a number where text is
expected, `x-` keys, and the options of every provider type. What is not available yet is taken out.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from typing import cast

from pydantic import BaseModel

from voxtrad.config.availability import MESSAGE, NOT_YET, NotYet
from voxtrad.config.json_schemas import for_editors
from voxtrad.config.models import Config
from voxtrad.config.providers import KINDS, Kind, ProviderTypes

Schema = dict[str, object]

INTERPOLATED: Schema = {"type": "string", "pattern": r"\$\{(env|file):"}
"""Text that stands for something else."""

_RENAMED = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}
_DROPPED = frozenset({"title", "x-voxtrad", "default", "writeOnly", "format", "$defs"})


def json_schema(types: ProviderTypes, not_yet: tuple[NotYet, ...] = NOT_YET) -> Schema:
    """The schema of a configuration file, or of a part of one that another includes."""
    schema = _of_model(Config)
    definitions = {
        name: cast("Schema", _widened(definition))
        for name, definition in cast("dict[str, Schema]", schema["$defs"]).items()
        if name not in ("ProviderChoice", "ProviderEntry")
    } | for_editors(INTERPOLATED)
    properties = cast("dict[str, Schema]", cast("Schema", _widened(schema))["properties"])
    for kind in KINDS:
        definitions[f"{kind}_provider"] = _choice(kind, types, definitions)
    properties["providers"] = {**_entries(types, definitions), "description": properties["providers"]["description"]}
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "voxtrad",
        "description": "The configuration of voxtrad, the voice-agent server for Asterisk.",
        "type": "object",
        "properties": {key: _or_empty(value) for key, value in properties.items()},
        "patternProperties": {"^x-": {"description": "A place for anchors; not read."}},
        "additionalProperties": False,
        "definitions": definitions,
    }
    for entry in not_yet:
        *above, key = entry.path.split(".")
        for holder in _at(schema, above, definitions):
            _take_out(holder, key, entry)
    return schema


def _of_model(model: type[BaseModel]) -> Schema:
    return copy.deepcopy(model.model_json_schema(by_alias=True, ref_template="#/definitions/{model}"))


def _or_empty(schema: Schema) -> Schema:
    """A section whose lines are all commented out is empty, which is as good as left out."""
    description = {key: schema.pop(key) for key in ("description",) if key in schema}
    return {**description, "anyOf": [schema, {"type": "null"}]}


# --- providers --------------------------------------------------------------------------------------------------------


def _choice(kind: Kind, types: ProviderTypes, definitions: dict[str, Schema]) -> Schema:
    """A provider's name, or a mapping with `provider:` and the options of its type."""
    known = sorted(types.get(kind, {}))
    names: Schema = {
        "anyOf": [{"enum": known}, {"type": "string", "minLength": 1}],
        "description": "A provider's name.",
    }
    branches: list[Schema] = []
    for name in known:
        options = _own(types[kind][name].options, definitions)
        properties = cast("Schema", options.setdefault("properties", {}))
        options["properties"] = {"provider": names, **properties}
        definitions[f"{kind}_{name}"] = options
        branches.append(
            {
                "if": {"properties": {"provider": {"const": name}}, "required": ["provider"]},
                "then": {"$ref": f"#/definitions/{kind}_{name}"},
            }
        )
    mapping: Schema = {
        "type": "object",
        "properties": {"provider": names},
        "required": ["provider"],
        "allOf": branches,
    }
    lacking = [name for name in known if definitions[f"{kind}_{name}"].get("required")]
    bare: Schema = {"type": "string", **names}
    if lacking:  # editors refuse a schema with an empty enum in it
        bare["not"] = {"enum": lacking}
    # The alternatives refuse nothing: editors offer what stands in them, and look into no `else` for that.
    return {"if": {"type": "object"}, "then": mapping, "else": bare, "anyOf": [{"enum": known}, {}]}


def _entries(types: ProviderTypes, definitions: dict[str, Schema]) -> Schema:
    """`providers:`: under a type's own name its connection; under any other name one with `type:`."""
    all_names = sorted({name for of_kind in types.values() for name in of_kind})
    for name in all_names:
        definitions[f"{name}_connection"] = _connection(name, types, definitions)
    other: Schema = {
        "type": "object",
        "properties": {"type": {"enum": all_names, "description": "What it is."}},
        "required": ["type"],
        "allOf": [
            {
                "if": {"properties": {"type": {"const": name}}},
                "then": {"$ref": f"#/definitions/{name}_connection"},
            }
            for name in all_names
        ],
    }
    own: Schema = {
        name: {
            "if": {"type": "object", "required": ["type"]},
            "then": other,
            "else": _or_nothing(name, definitions),
        }
        for name in all_names
    }
    return {"type": "object", "properties": own, "additionalProperties": other}


def _or_nothing(name: str, definitions: Mapping[str, Schema]) -> Schema:
    """A type's connection, which may be left empty where it needs nothing."""
    connection: Schema = {"$ref": f"#/definitions/{name}_connection"}
    needs = definitions[f"{name}_connection"]
    return connection if needs["required"] or "allOf" in needs else {"anyOf": [connection, {"type": "null"}]}


def _connection(name: str, types: ProviderTypes, definitions: dict[str, Schema]) -> Schema:
    """What a type's connections take, for all kinds that it serves."""
    properties: Schema = {"type": {"enum": [name]}}
    required: list[object] = []
    conditions: list[object] = []
    for kind in KINDS:
        if name in types.get(kind, {}):
            connection = _own(types[kind][name].connection, definitions)
            properties.update(cast("Schema", connection.get("properties", {})))
            required += cast("list[object]", connection.get("required", []))
            rest = {key: value for key, value in connection.items() if key in _CONDITIONS}
            conditions += [rest] if rest and rest not in conditions else []
    return {
        "type": "object",
        "properties": properties,
        "required": sorted({str(key) for key in required}),
        "additionalProperties": False,
        **({"allOf": conditions} if conditions else {}),
    }


_CONDITIONS = ("anyOf", "oneOf", "allOf", "not", "if", "then", "else")


def _own(model: type[BaseModel], definitions: dict[str, Schema]) -> Schema:
    """A model's schema, with what it refers to moved to the common definitions under names of its own."""
    schema = _of_model(model)
    inner = cast("dict[str, Schema]", schema.pop("$defs", {}))
    prefix = f"{model.__module__.rpartition('.')[2]}_"
    for name, definition in inner.items():
        definitions[prefix + name] = cast("Schema", _widened(_prefixed(definition, prefix)))
    return cast("Schema", _widened(_prefixed(schema, prefix)))


def _prefixed(node: object, prefix: str) -> object:
    if isinstance(node, list):
        return [_prefixed(item, prefix) for item in node]
    if isinstance(node, dict):
        return {
            key: str(value).replace("#/definitions/", f"#/definitions/{prefix}")
            if key == "$ref"
            else _prefixed(value, prefix)
            for key, value in node.items()
        }
    return node


# --- what is not available yet ----------------------------------------------------------------------------------------


def _at(schema: object, path: list[str], definitions: Mapping[str, object]) -> Iterator[Schema]:
    """Every schema that a value at this path may have to fit, through alternatives, and references to `definitions`."""
    if not isinstance(schema, dict):
        return
    if not path:
        yield schema
    elif path[0] == "*":
        yield from _at(schema.get("additionalProperties"), path[1:], definitions)
        yield from _at(schema.get("items"), path[1:], definitions)
    else:
        yield from _at(cast("Schema", schema.get("properties", {})).get(path[0]), path[1:], definitions)
    for keyword in ("anyOf", "oneOf", "allOf"):
        for alternative in cast("list[object]", schema.get(keyword, [])):
            yield from _at(alternative, path, definitions)
    if "$ref" in schema:
        yield from _at(definitions.get(str(schema["$ref"]).rpartition("/")[2]), path, definitions)


def _take_out(holder: Schema, key: str, entry: NotYet) -> None:
    """The key with all its values, of which null is none, or the values that are refused."""
    properties = cast("Schema", holder.get("properties", {}))
    if key not in properties:
        return
    if entry.values or entry.except_for:
        for value in _at(properties[key], [], {}):
            if isinstance(choices := value.get("enum"), list):
                value["enum"] = [one for one in choices if _is_available(one, entry)]
        return
    nullable = any(value.get("type") == "null" for value in _at(properties.pop(key), [], {}))
    if nullable:  # among the patterns, as an editor offers what is among the properties
        null: Schema = {"type": "null", "description": f"{MESSAGE[0].upper()}{MESSAGE[1:]}."}
        cast("Schema", holder.setdefault("patternProperties", {}))[f"^{re.escape(key)}$"] = null


def _is_available(choice: str | bool, entry: NotYet) -> bool:
    return choice not in entry.values if entry.values else choice in entry.except_for


# --- what YAML allows beyond the models -------------------------------------------------------------------------------


def _widened(node: object) -> object:
    """A schema as it holds for what stands in a file."""
    if isinstance(node, list):
        return [_widened(item) for item in node]
    if not isinstance(node, Mapping):
        return node
    mark = node.get("x-voxtrad")
    if mark in KINDS:
        return _described({"$ref": f"#/definitions/{mark}_provider"}, node)
    if mark == "parameters":
        return _described({"allOf": [{"$ref": "#/definitions/parameters"}]}, node)
    if mark == "schemas":
        return _described({"type": "object", "additionalProperties": {"$ref": "#/definitions/json_schema"}}, node)
    schema = {_renamed(key, node): _child(key, value) for key, value in node.items() if key not in _DROPPED}
    if mark == "duration" and "exclusiveMinimum" not in schema:
        schema.setdefault("minimum", 0)
    implied = _implied(node)
    if implied:
        schema["properties"] = {k: v for k, v in cast("Schema", schema["properties"]).items() if k not in implied}
        schema["required"] = [k for k in cast("list[str]", schema.get("required", [])) if k not in implied]
    if "$ref" in schema and len(schema) > 1:
        return _described({"allOf": [{"$ref": schema["$ref"]}]}, node)
    return schema if mark == "path" else _scalar(schema)


def _child(key: str, value: object) -> object:
    if key == "properties" and isinstance(value, Mapping):
        return {name: _widened(item) for name, item in value.items()}
    return value if key in ("enum", "const", "pattern", "description", "required", "not", "if") else _widened(value)


def _implied(node: Mapping[str, object]) -> frozenset[str]:
    """Properties that are not written: a thing's name is its key."""
    properties = node.get("properties")
    if not isinstance(properties, Mapping):
        return frozenset()
    return frozenset(k for k, v in properties.items() if isinstance(v, Mapping) and v.get("x-voxtrad") == "name")


def _renamed(key: str, node: Mapping[str, object]) -> str:
    if key in ("minLength", "maxLength") and (node.get("type") == "array" or "anyOf" in node):
        return key.replace("Length", "Items")
    return _RENAMED.get(key, key)


def _described(schema: Schema, node: Mapping[str, object]) -> Schema:
    return {"description": node["description"], **schema} if "description" in node else schema


def _scalar(schema: Schema) -> Schema:
    """Text may be a number as it was written, and any scalar may be `${…}`."""
    kind = schema.get("type")
    if kind == "string" and "enum" not in schema and "const" not in schema:
        pattern = str(schema.get("pattern", ""))
        text = {**schema, **_type_of_text(pattern)}
        return text if re.search(pattern, "${env:X}") else _or_interpolated(text)
    if kind in ("integer", "number", "boolean") or isinstance(kind, list):
        return _or_interpolated(schema)
    return _or_interpolated(schema) if "enum" in schema or "const" in schema else schema


def _type_of_text(pattern: str) -> Schema:
    """Text of a form, and the numbers that, as they are written, may have it."""
    if not any(re.search(pattern, number) for number in ("1", "44", "600", "12345678901234567890")):
        return {"type": "string"}
    kind: Schema = {"type": ["string", "number" if re.search(pattern, "1.5") else "integer"]}
    return kind if re.search(pattern, "-1") else {**kind, "minimum": 0}


def _or_interpolated(schema: Schema) -> Schema:
    described = {"description": schema.pop("description")} if "description" in schema else {}
    return {**described, "anyOf": [schema, INTERPOLATED]}
