"""Webhook tools: the work is done by the user's own back-end, in any language, over one signed POST.

This module is the contract "Tool webhooks": what is sent, when it is sent once more, and how an answer is read. What it
leaves to others: checking arguments and the time limit as a whole (`runner.py`), sockets (`outbound/`), the HTTP route
of late results.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import UTC, datetime

from voxtrad.outbound.client import Answer, BadAnswer, OutboundClient
from voxtrad.outbound.signing import Signer
from voxtrad.providers.base import JSON, ToolSpec
from voxtrad.tools.attempts import ask, failed, time_left
from voxtrad.tools.base import CallActions, EndCall, Outcome, Then, ToolContext, ToolError, ToolOptions, Transfer
from voxtrad.tools.callbacks import Callback, Callbacks

MAX_ANSWER = 64 * 1024
"""Bytes of an answer that are read."""


class WebhookTool:
    """A tool at `url`. Without a signer its requests are not signed; without callbacks a 202 is the end of it.

    `idempotent` allows one more attempt, where the first met no server or one that is overloaded.
    """

    def __init__(
        self,
        spec: ToolSpec,
        options: ToolOptions,
        *,
        url: str,
        client: OutboundClient,
        signer: Signer | None = None,
        callbacks: Callbacks | None = None,
        idempotent: bool = False,
    ) -> None:
        self.spec = spec
        self.options = options
        self._url = url
        self._client = client
        self._signer = signer
        self._callbacks = callbacks
        self._idempotent = idempotent

    async def run(self, arguments: Mapping[str, JSON], context: ToolContext, actions: CallActions) -> Outcome:
        with ExitStack() as stack:
            callback: Callback | None = None
            if self._callbacks is not None:
                callback = stack.enter_context(self._callbacks.expect(context.call_id, context.tool_call_id))
            answer = await self._ask(arguments, context, callback)
            try:
                outcome = read_answer(answer)
            except BadAnswer as error:
                raise failed(self.spec.name, context, error) from error
            if answer.status != 202 or callback is None:
                return outcome
            return Outcome(
                result=outcome.result if outcome.result is not None else {"status": "the result will follow"},
                say=outcome.say,
                variables=outcome.variables,
                later=self._later(callback, context, stack.pop_all()),
            )

    async def _ask(self, arguments: Mapping[str, JSON], context: ToolContext, callback: Callback | None) -> Answer:
        async def send(attempt: int) -> Answer:
            left = time_left(context)
            body = request_body(self.spec.name, arguments, context, attempt, left, callback)
            headers = {"Content-Type": "application/json"}
            if self._signer is not None:
                headers |= self._signer.headers(context.tool_call_id, time.time(), body)
            return await self._client.request(
                "POST", self._url, timeout=left, max_bytes=MAX_ANSWER, headers=headers, body=body
            )

        return await ask(send, idempotent=self._idempotent, tool=self.spec.name, context=context)

    async def _later(self, callback: Callback, context: ToolContext, stack: ExitStack) -> Outcome:
        with stack:
            body = await callback.result()
        try:
            return read_result(body)
        except BadAnswer as error:
            raise failed(self.spec.name, context, error) from error


# --- the contract, as pure functions ----------------------------------------------------------------------------------


def request_body(
    tool: str,
    arguments: Mapping[str, JSON],
    context: ToolContext,
    attempt: int,
    left: float,
    callback: Callback | None,
) -> bytes:
    """What is posted. `left` is the time for the answer in seconds."""
    data: dict[str, JSON] = {
        "tool": {
            "name": tool,
            "call_id": context.tool_call_id,
            "arguments": arguments,
            "fixed": context.fixed,
        },
        "call": context.namespaces()["call"],
        "variables": context.variables,
        "turn": context.turn,
        "attempt": attempt,
        "timeout_ms": int(left * 1000),
    }
    if callback is not None:
        data["callback"] = {"url": callback.url, "token": callback.token}
    message = {"type": "tool.call", "timestamp": _now(), "data": data}
    return json.dumps(message, ensure_ascii=False, default=dict).encode("utf-8", "replace")


ANSWERS = frozenset({"result", "say", "variables", "action", "error"})
"""What may stand in an answer; one of them must."""


def read_answer(answer: Answer) -> Outcome:
    """An HTTP answer as an outcome.

    Raises `ToolError` with the back-end's words, where it answered 4xx or 200 with `error.message`; `BadAnswer` for all
    that the contract does not have.
    """
    match answer.status:
        case 200:
            return read_result(answer.json())
        case 202:
            return read_outcome(answer.json() if answer.body.strip() else {})
        case status if 400 <= status < 500:
            value = answer.json()
            if isinstance(value, Mapping):
                _raise_error(value)
    raise BadAnswer(f"status {answer.status}", status=answer.status)


def read_result(value: JSON) -> Outcome:
    """The body of an answer, or of a late result: at least one of what the contract has. Raises like `read_answer`."""
    if isinstance(value, Mapping) and not ANSWERS & value.keys():
        raise BadAnswer(f"the answer has none of {', '.join(sorted(ANSWERS))}")
    return read_outcome(value)


def read_outcome(value: JSON) -> Outcome:
    """The same where nothing need be in it. Keys that the contract does not have are passed over."""
    if not isinstance(value, Mapping):
        raise BadAnswer("the answer is not a JSON object")
    _raise_error(value)
    say, variables = value.get("say"), value.get("variables")
    if say is not None and not isinstance(say, str):
        raise BadAnswer("`say` is not text")
    if variables is not None and not isinstance(variables, Mapping):
        raise BadAnswer("`variables` is not an object")
    return Outcome(value.get("result"), say or None, variables or {}, _then(value.get("action")))


def _raise_error(value: Mapping[str, JSON]) -> None:
    error = value.get("error")
    if error is None:
        return
    message = error.get("message") if isinstance(error, Mapping) else None
    if not isinstance(message, str) or not message.strip():
        raise BadAnswer("`error` has no `message`")
    raise ToolError(message)


def _then(action: JSON) -> Then | None:
    match action:
        case None:
            return None
        case {"transfer": str(destination), **rest} if not rest:
            return Transfer(destination)
        case {"end_call": bool(wanted), **rest} if not rest:
            return EndCall() if wanted else None
    raise BadAnswer("`action` is neither {transfer: NAME} nor {end_call: true}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
