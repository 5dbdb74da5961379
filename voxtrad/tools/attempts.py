"""How often a tool asks a server: once, or once more where it is `idempotent` and no server answered, or a busy one.

Shared by all tools that make HTTP requests. What is sent and how an answer is read is theirs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from voxtrad.outbound.client import Answer, BadAnswer, ConnectFailed, DeadlineExceeded, Disconnected, OutboundError
from voxtrad.tools.base import ToolContext, ToolTimeout, ToolUnavailable

_RETRIED = frozenset({502, 503, 504})

log = structlog.stdlib.get_logger(__name__)


async def ask(send: Callable[[int], Awaitable[Answer]], *, idempotent: bool, tool: str, context: ToolContext) -> Answer:
    """The answer to `send(attempt)`, which counts from 1. Raises `ToolUnavailable` and `ToolTimeout`."""
    try:
        answer = await send(1)
        reason = f"status {answer.status}"
        again = answer.status in _RETRIED
    except OutboundError as error:
        again = isinstance(error, ConnectFailed | Disconnected)
        again = again or (isinstance(error, BadAnswer) and error.status in _RETRIED)
        if not (again and idempotent):
            raise failed(tool, context, error) from error
        reason = error.message
    if not (again and idempotent):
        return answer
    log.warning(
        "a tool's request failed, trying once more", tool=tool, tool_call_id=context.tool_call_id, reason=reason
    )
    try:
        return await send(2)
    except OutboundError as error:
        raise failed(tool, context, error) from error


def failed(tool: str, context: ToolContext, error: OutboundError) -> ToolUnavailable | ToolTimeout:
    """Notes in the log what went wrong; gives what the model may know of it."""
    log.warning("a tool's request failed", tool=tool, tool_call_id=context.tool_call_id, reason=error.message)
    return ToolTimeout() if isinstance(error, DeadlineExceeded) else ToolUnavailable()


def time_left(context: ToolContext) -> float:
    """Seconds until the tool must have answered; never 0, so that a request made too late fails as such."""
    return max(0.001, context.deadline - asyncio.get_running_loop().time())
