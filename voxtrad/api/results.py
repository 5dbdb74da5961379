"""The door for late results of tools: whoever answered 202 posts here, with the one-use token of the request."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, JsonValue, StringConstraints

from voxtrad.api.gate import bearer, unauthorized
from voxtrad.api.problems import Problem
from voxtrad.api.table import Asked, Nothing
from voxtrad.outbound.client import BadAnswer
from voxtrad.tools.base import ToolError
from voxtrad.tools.callbacks import UnknownCallback
from voxtrad.tools.webhook import ANSWERS, read_result


class ToolFailure(BaseModel):
    message: Annotated[str, StringConstraints(pattern=r"\S")]


class TransferAction(BaseModel):
    model_config = ConfigDict(extra="forbid")

    transfer: str
    """To a destination of the configuration."""


class EndAction(BaseModel):
    model_config = ConfigDict(extra="forbid")

    end_call: bool


class ToolResult(BaseModel):
    """What the tool would have answered with 200: one of these members at least. Others are passed over."""

    model_config = ConfigDict(
        extra="allow", json_schema_extra={"anyOf": [{"required": [name]} for name in sorted(ANSWERS)]}
    )

    result: JsonValue = None
    say: str | None = None
    variables: dict[str, JsonValue] | None = None
    action: TransferAction | EndAction | None = None
    error: ToolFailure | None = None


async def deliver(asked: Asked[Nothing, ToolResult]) -> None:
    """Take a result. Its token is used up by it, unless it is refused."""
    token = bearer(asked.request)
    if token is None:
        raise unauthorized("the token of data.callback is needed")
    body = asked.body.model_dump(mode="json", exclude_unset=True)
    try:
        read_result(body)
    except ToolError:
        pass  # the tool says that it failed
    except BadAnswer as error:  # a slip must not use up the token, and be noticed by nobody
        raise Problem(422, error.message) from error
    try:
        asked.house.results.deliver(asked.path["id"], asked.path["call_id"], token, body)
    except UnknownCallback as error:
        raise Problem(404, error.message) from error
