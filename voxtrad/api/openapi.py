"""The OpenAPI document, made from the table of endpoints and their pydantic models."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from voxtrad import __version__
from voxtrad.api.problems import CONTENT_TYPE
from voxtrad.api.table import Endpoint, Nothing

Schema = dict[str, object]
_REF = "#/components/schemas/{model}"
_PROBLEM: Schema = {
    "type": "object",
    "description": "RFC 9457, Problem Details for HTTP APIs.",
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
    },
    "required": ["type", "title", "status", "detail"],
}


def build_document(table: Sequence[Endpoint]) -> Schema:
    """The document of a table, version 3.1."""
    pairs: set[tuple[type[BaseModel], JsonSchemaMode]] = set()
    for endpoint in table:
        pairs |= {(model, "validation") for model in (endpoint.query, endpoint.body) if model is not Nothing}
        pairs |= {(endpoint.answer, "serialization")} if endpoint.answer else set()
    ordered = sorted(pairs, key=lambda pair: (pair[0].__name__, pair[1]))
    references, definitions = models_json_schema(ordered, ref_template=_REF)
    named: Named = {pair: references[pair] for pair in ordered}
    schemas: dict[str, object] = {**definitions.get("$defs", {}), "Problem": _PROBLEM}
    paths: dict[str, dict[str, Schema]] = {}
    for endpoint in table:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, named, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "voxtrad",
            "version": __version__,
            "description": "The self-hosted voice-agent server for Asterisk.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "One of server.tokens, with its scopes."},
                "once": {"type": "http", "scheme": "bearer", "description": "The token of data.callback, used once."},
            },
        },
    }


Named = Mapping[tuple[type[BaseModel], JsonSchemaMode], Mapping[str, object]]


def _operation(endpoint: Endpoint, named: Named, schemas: Mapping[str, object]) -> Schema:
    operation: Schema = {
        "operationId": _name(endpoint),
        "summary": endpoint.summary,
        "responses": _responses(endpoint, named),
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"{(\w+)}", endpoint.path)
    ]
    if endpoint.query is not Nothing:
        parameters += _query(_resolve(named[endpoint.query, "validation"], schemas))
    parameters += [
        {
            "name": name,
            "in": "header",
            "description": told,
            "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        }
        for name, told in endpoint.headers.items()
    ]
    if parameters:
        operation["parameters"] = parameters
    if endpoint.body is not Nothing:
        schema = named[endpoint.body, "validation"]
        required = bool(_resolve(schema, schemas).get("required"))
        operation["requestBody"] = {"required": required, "content": {"application/json": {"schema": schema}}}
    if endpoint.scope is not None:
        operation["security"] = [{"token": [endpoint.scope]}]
    elif endpoint.own_token:
        operation["security"] = [{"once": []}]
    return operation


def _responses(endpoint: Endpoint, named: Named) -> Schema:
    good: Schema = {"description": HTTPStatus(endpoint.status).phrase}
    if endpoint.media is not None:
        good["content"] = {endpoint.media: {"schema": {"type": "string"}}}
    elif endpoint.answer is not None:
        good["content"] = {"application/json": {"schema": named[endpoint.answer, "serialization"]}}
    statuses = {*endpoint.problems, 400, 413, 415, 422}
    if endpoint.scope is not None:
        statuses |= {401, 403, 429}
    elif endpoint.own_token:
        statuses.add(401)
    content = {CONTENT_TYPE: {"schema": {"$ref": _REF.format(model="Problem")}}}
    problems = {
        str(status): {"description": HTTPStatus(status).phrase, "content": content} for status in sorted(statuses)
    }
    return {str(endpoint.status): good, **problems}


def _query(schema: Mapping[str, object]) -> list[Schema]:
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(properties, Mapping):
        return []
    needed = required if isinstance(required, list) else []
    return [
        {"name": name, "in": "query", "required": name in needed, "schema": _without_null(value)}
        for name, value in properties.items()
    ]


def _without_null(schema: Mapping[str, object]) -> Mapping[str, object]:
    """What can stand in a URL: there, null is what is left out."""
    options = schema.get("anyOf")
    if not isinstance(options, list):
        return schema
    (kept, *_) = [option for option in options if option != {"type": "null"}]
    return {**kept, **({"description": schema["description"]} if "description" in schema else {})}


def _resolve(schema: Mapping[str, object], schemas: Mapping[str, object]) -> Mapping[str, object]:
    reference = schema.get("$ref")
    found = schemas[reference.rpartition("/")[2]] if isinstance(reference, str) else schema
    return found if isinstance(found, Mapping) else {}


def _name(endpoint: Endpoint) -> str:
    """`POST /v1/calls/{id}/say` is `post_calls_id_say`."""
    words = [part.strip("{}") for part in endpoint.path.removeprefix("/v1").split("/") if part]
    return "_".join([endpoint.method.lower(), *words]).replace(".", "_")
