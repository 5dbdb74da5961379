"""The door for late results of tools: whoever answered 202 posts here, with the one-use token of the request."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, JsonValue

from voxtrad.api.gate import bearer, unauthorized
from voxtrad.api.problems import Problem
from voxtrad.api.table import Asked, Nothing
from voxtrad.tools.callbacks import UnknownCallback


class ToolFailure(BaseModel):
    message: str


class ToolAction(BaseModel):
    """What is to become of the call: one of the two."""

    model_config = ConfigDict(extra="forbid")

    transfer: str | None = None
    end_call: bool | None = None


class ToolResult(BaseModel):
    """What the tool would have answered with 200. Members that are not listed are passed over."""

    model_config = ConfigDict(extra="allow")

    result: JsonValue = None
    say: str | None = None
    variables: dict[str, JsonValue] | None = None
    action: ToolAction | None = None
    error: ToolFailure | None = None


async def deliver(asked: Asked[Nothing, ToolResult]) -> None:
    """Take a result. Its token is used up by it."""
    token = bearer(asked.request)
    if token is None:
        raise unauthorized("the token of data.callback is needed")
    body = asked.body.model_dump(mode="json", exclude_unset=True)
    try:
        asked.house.results.deliver(asked.path["id"], asked.path["call_id"], token, body)
    except UnknownCallback as error:
        raise Problem(404, error.message) from error
