"""What an endpoint of the API is, and how a request becomes checked values: path, query and body by pydantic models.

One table of these (`routes.py`) makes both the routes and the OpenAPI document, so that they cannot disagree.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import pydantic_core
from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError

from voxtrad.api.house import House
from voxtrad.api.problems import Problem
from voxtrad.api.tokens import Client
from voxtrad.config.server import Scope
from voxtrad.events.types import JSON

MAX_BODY = 64 * 1024
"""Bytes of a request's body."""

Method = Literal["GET", "POST", "DELETE"]


class Given(BaseModel):
    """What a request brings. Unknown names are refused: a slip must not pass for a default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Nothing(Given):
    """No query, or no body."""


Q = TypeVar("Q", bound=BaseModel)
B = TypeVar("B", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Asked(Generic[Q, B]):
    """A request, checked."""

    house: House
    path: Mapping[str, str]
    query: Q
    body: B
    client: Client
    request: web.Request


Answer = BaseModel | web.StreamResponse | None
"""A model is sent as JSON, None as 204."""
Handler = Callable[[Asked[Q, B]], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One line of the table. `run` does it all, from the request to the answer."""

    method: Method
    path: str
    summary: str
    run: Callable[[House, Client, web.Request], Awaitable[web.StreamResponse]]
    scope: Scope | None
    """What a token must allow; None where none is asked for."""
    query: type[BaseModel]
    body: type[BaseModel]
    answer: type[BaseModel] | None
    status: int
    problems: tuple[int, ...]
    media: str | None
    """The content type of an answer that is no JSON."""
    own_token: bool
    """Authorized by a one-use token, which the handler checks."""
    headers: Mapping[str, str]
    """Request headers that it reads, and what they are for."""


def endpoint(
    method: Method,
    path: str,
    handler: Handler[Q, B],
    *,
    query: type[Q],
    body: type[B],
    summary: str,
    scope: Scope | None,
    answer: type[BaseModel] | None = None,
    status: int = 200,
    problems: Sequence[int] = (),
    media: str | None = None,
    own_token: bool = False,
    headers: Mapping[str, str] | None = None,
) -> Endpoint:
    """A line of the table. `problems` are the statuses of errors that only this endpoint has."""

    async def run(house: House, client: Client, request: web.Request) -> web.StreamResponse:
        values, sent = read_query(request, query), await read_body(request, body)
        found = await handler(Asked(house, request.match_info, values, sent, client, request))
        if isinstance(found, web.StreamResponse):
            return found
        if found is None:
            return web.Response(status=204)
        return web.Response(status=status, text=found.model_dump_json(by_alias=True), content_type="application/json")

    known, read = tuple(sorted(set(problems))), headers or {}
    return Endpoint(method, path, summary, run, scope, query, body, answer, status, known, media, own_token, read)


def read_query(request: web.Request, model: type[Q]) -> Q:
    """Raises `Problem`."""
    values: dict[str, str] = {}
    for name, value in request.query.items():
        if name in values:
            raise Problem(422, f"'{name}' is given twice")
        values[name] = value
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise _unfit("the query", error) from error


async def read_body(request: web.Request, model: type[B]) -> B:
    """A body that is not there is an empty object. Raises `Problem`."""
    try:
        raw = await request.read()
    except (web.RequestPayloadError, ConnectionError) as error:
        raise Problem(400, "the body is not encoded as its headers say, or not all of it came") from error
    if not raw.strip():
        raw = b"{}"
    elif request.content_type != "application/json":
        raise Problem(415, "the body must be application/json")
    try:
        return model.model_validate(parse(raw))
    except ValidationError as error:
        raise _unfit("the body", error) from error


def parse(raw: bytes) -> JSON:
    """JSON without NaN, and not nested without end. Raises `Problem`."""
    try:
        value: JSON = pydantic_core.from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise Problem(400, f"the body is not JSON: {error}") from error
    return value


def _unfit(what: str, error: ValidationError) -> Problem:
    wrong: list[JSON] = [
        {"path": ".".join(str(part) for part in slip["loc"]), "message": slip["msg"]}
        for slip in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    return Problem(422, f"{what} is not as it should be", more={"errors": json.loads(json.dumps(wrong))})
