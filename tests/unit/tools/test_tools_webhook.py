"""Webhook tools against a back-end that verifies with the published library, and that misbehaves."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook

from voxtrad.outbound.client import Answer, BadAnswer, OutboundClient
from voxtrad.outbound.signing import Signer
from voxtrad.providers.base import ToolSpec
from voxtrad.tools.base import EndCall, Outcome, ToolContext, ToolError, ToolOptions, Transfer
from voxtrad.tools.callbacks import Callbacks, UnknownCallback
from voxtrad.tools.webhook import WebhookTool, read_answer

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
UNAVAILABLE = "The tool is not available at the moment."
SPEC = ToolSpec("lookup_order", "Fetch an order.", {"type": "object", "properties": {"order_id": {"type": "string"}}})

Run = Callable[..., Awaitable[Outcome]]


@pytest.fixture
def run(client: OutboundClient, backend: Any, context: Callable[..., ToolContext], caller: Any) -> Run:
    async def run(*, idempotent: bool = False, timeout: float = 5.0, url: str = "", **changed: Any) -> Outcome:
        tool = WebhookTool(
            SPEC, ToolOptions(), url=url or backend.url + "/tools/lookup_order", client=client,
            signer=Signer([SECRET]), idempotent=idempotent,
        )  # fmt: skip
        return await tool.run({"order_id": "A17"}, context(timeout, **changed), caller)

    return run


# --- what is sent -----------------------------------------------------------------------------------------------------


async def test_the_request_is_what_the_contract_says(run: Run, backend: Any) -> None:
    backend.json({"result": {"status": "shipped"}})
    outcome = await run(fixed={"caller": "+15550100"})
    assert outcome == Outcome({"status": "shipped"})

    headers, body = backend.requests[0]
    message = Webhook(SECRET).verify(body, dict(headers))
    assert headers["webhook-id"] == "tc_1"
    assert headers["Content-Type"] == "application/json"
    assert message.pop("timestamp").endswith("Z")
    timeout_ms = message["data"].pop("timeout_ms")
    assert 4000 < timeout_ms <= 5000
    assert message == {
        "type": "tool.call",
        "data": {
            "tool": {
                "name": "lookup_order",
                "call_id": "tc_1",
                "arguments": {"order_id": "A17"},
                "fixed": {"caller": "+15550100"},
            },
            "call": {
                "id": "c_1", "agent": "support", "direction": "inbound", "from": "+15550100", "to": "1000",
                "channel": "PJSIP/100-1", "linkedid": "17.1",
            },
            "variables": {"tier": "gold"},
            "turn": 4,
            "attempt": 1,
        },
    }  # fmt: skip


async def test_without_a_secret_it_is_not_signed(
    client: OutboundClient, backend: Any, context: Callable[..., ToolContext], caller: Any
) -> None:
    backend.json({"result": 1})
    await WebhookTool(SPEC, ToolOptions(), url=backend.url, client=client).run({}, context(), caller)
    assert not [name for name in backend.requests[0][0] if name.lower().startswith("webhook-")]


# --- what comes back --------------------------------------------------------------------------------------------------


async def test_a_full_answer(run: Run, backend: Any) -> None:
    backend.json(
        {"result": [1, None], "say": "Found it.", "variables": {"vip": True}, "action": {"transfer": "billing"}}
    )
    assert await run() == Outcome([1, None], "Found it.", {"vip": True}, Transfer("billing"))


@pytest.mark.parametrize(
    ("action", "then"), [({"end_call": True}, EndCall()), ({"end_call": False}, None), (None, None)]
)
async def test_actions(run: Run, backend: Any, action: object, then: object) -> None:
    backend.json({"result": "ok", "action": action})
    assert (await run()).then == then


@pytest.mark.parametrize("status", [200, 400, 404, 422, 499])
async def test_the_model_is_told_what_the_back_end_says(run: Run, backend: Any, status: int) -> None:
    backend.json({"error": {"message": "no such order"}}, status)
    with pytest.raises(ToolError, match=r"^no such order$"):
        await run()


def page(text: str) -> bytes:
    return f"<!doctype html><html><body>{text}</body></html>".encode()


MISBEHAVIOUR: dict[str, Callable[[Any], None]] = {
    "html": lambda backend: backend.raw(page("Welcome"), content_type="text/html"),
    "500 html": lambda backend: backend.raw(page("Traceback: secret"), 500, content_type="text/html"),
    "500 with error.message": lambda backend: backend.json({"error": {"message": "password=1"}}, 500),
    "404 html": lambda backend: backend.raw(page("no"), 404, content_type="text/html"),
    "404 without words": lambda backend: backend.json({}, 404),
    "empty": lambda backend: backend.raw(b""),
    "201": lambda backend: backend.json({"result": 1}, 201),
    "204": lambda backend: backend.raw(b"", 204),
    "redirect": lambda backend: backend.raw(b"", 302, Location="http://127.0.0.1:1/"),
    "permanent redirect": lambda backend: backend.raw(b"{}", 308, Location="/elsewhere"),
    "list": lambda backend: backend.json([1]),
    "nothing": lambda backend: backend.json(None),
    "say is a number": lambda backend: backend.json({"say": 1}),
    "variables is a list": lambda backend: backend.json({"variables": [1]}),
    "unknown action": lambda backend: backend.json({"action": {"dial": "+1900"}}),
    "two actions": lambda backend: backend.json({"action": {"end_call": True, "transfer": "a"}}),
    "action is text": lambda backend: backend.json({"action": "end_call"}),
    "error without message": lambda backend: backend.json({"error": {"code": 7}}),
    "error is text": lambda backend: backend.json({"error": "no"}),
    "not UTF-8": lambda backend: backend.raw(b'{"result": "\xff"}'),
    "huge": lambda backend: backend.raw(b'{"result": "' + b"x" * 70_000 + b'"}'),
    "reset": lambda backend: backend.reset(),
}


@pytest.mark.parametrize("how", MISBEHAVIOUR)
async def test_a_broken_back_end_gives_a_fixed_sentence(run: Run, backend: Any, how: str) -> None:
    MISBEHAVIOUR[how](backend)
    with pytest.raises(ToolError) as caught:
        await run()
    assert caught.value.message == UNAVAILABLE
    assert len(backend.requests) == 1


async def test_64_kib_are_read(run: Run, backend: Any) -> None:
    value = "x" * (64 * 1024 - len('{"result": ""}'))
    backend.json({"result": value})
    assert (await run()).result == value


async def test_too_slow(run: Run, backend: Any) -> None:
    backend.hang()
    with pytest.raises(ToolError, match="did not answer in time"):
        await run(timeout=0.2, idempotent=True)
    assert len(backend.requests) == 1


@settings(deadline=None)
@given(
    status=st.integers(100, 599),
    body=st.binary()
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["result", "say", "variables", "action", "error", "message", "transfer", "end_call"]),
                inner,
            )
        ),
    ).map(lambda value: json.dumps(value).encode()),
)
def test_any_answer_is_an_outcome_or_a_typed_error(status: int, body: bytes) -> None:
    try:
        outcome = read_answer(Answer(status, {}, body))
    except (ToolError, BadAnswer):
        return
    assert status in (200, 202)
    assert outcome.say is None or isinstance(outcome.say, str)
    json.dumps(outcome.result)
    json.dumps(dict(outcome.variables))


# --- once more --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [502, 503, 504])
async def test_an_idempotent_tool_is_tried_once_more(run: Run, backend: Any, status: int) -> None:
    backend.raw(page("overloaded"), status, content_type="text/html")
    backend.json({"result": "second"})
    assert (await run(idempotent=True)).result == "second"
    ids = [headers["webhook-id"] for headers, _ in backend.requests]
    assert ids == ["tc_1", "tc_1"]
    assert [Webhook(SECRET).verify(body, dict(h))["data"]["attempt"] for h, body in backend.requests] == [1, 2]


@pytest.mark.parametrize("how", ["reset", "503 with a huge page"])
async def test_once_more_after_a_broken_answer(run: Run, backend: Any, how: str) -> None:
    if how == "reset":
        backend.reset()
    else:
        backend.raw(b"x" * 100_000, 503)
    backend.json({"result": "second"})
    assert (await run(idempotent=True)).result == "second"


@pytest.mark.parametrize("idempotent", [True, False])
async def test_never_a_third_time(run: Run, backend: Any, idempotent: bool) -> None:
    backend.json({}, 503)
    with pytest.raises(ToolError, match="not available"):
        await run(idempotent=idempotent)
    assert len(backend.requests) == (2 if idempotent else 1)


@pytest.mark.parametrize("status", [400, 429, 500, 501, 302])
async def test_other_answers_stand(run: Run, backend: Any, status: int) -> None:
    backend.json({}, status)
    with pytest.raises(ToolError):
        await run(idempotent=True)
    assert len(backend.requests) == 1


async def test_a_server_that_is_down(client: OutboundClient, context: Callable[..., ToolContext], caller: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        tool = WebhookTool(SPEC, ToolOptions(), url=url, client=client, idempotent=True)
        with pytest.raises(ToolError, match="not available"):
            await tool.run({}, context(), caller)


# --- later ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def callbacks() -> Callbacks:
    return Callbacks("https://voice.example/")


@pytest.fixture
def late_tool(client: OutboundClient, backend: Any, callbacks: Callbacks) -> WebhookTool:
    return WebhookTool(
        SPEC, ToolOptions(), url=backend.url, client=client, signer=Signer([SECRET]), callbacks=callbacks
    )


def sent_callback(backend: Any) -> dict[str, str]:
    callback: dict[str, str] = json.loads(backend.requests[0][1])["data"]["callback"]
    return callback


async def test_a_late_result(
    late_tool: WebhookTool, backend: Any, callbacks: Callbacks, context: Callable[..., ToolContext], caller: Any
) -> None:
    backend.json({"say": "That takes a minute."}, 202)
    outcome = await late_tool.run({}, context(), caller)
    assert (outcome.result, outcome.say) == ({"status": "the result will follow"}, "That takes a minute.")
    callback = sent_callback(backend)
    assert callback["url"] == "https://voice.example/v1/calls/c_1/tools/tc_1/result"
    assert outcome.later is not None
    later = asyncio.ensure_future(outcome.later)
    callbacks.deliver("c_1", "tc_1", callback["token"], {"result": 42, "variables": {"a": 1}})
    assert await later == Outcome(42, variables={"a": 1})
    assert len(callbacks) == 0


async def test_a_token_works_once_and_alone(
    late_tool: WebhookTool, backend: Any, callbacks: Callbacks, context: Callable[..., ToolContext], caller: Any
) -> None:
    backend.raw(b"", 202)
    outcome = await late_tool.run({}, context(), caller)
    token = sent_callback(backend)["token"]
    for call, tool_call, wrong in [
        ("c_1", "tc_1", "guess"),
        ("c_1", "tc_1", ""),
        ("c_2", "tc_1", token),
        ("c_1", "ü", token),
    ]:
        with pytest.raises(UnknownCallback):
            callbacks.deliver(call, tool_call, wrong, {"result": "forged"})
    callbacks.deliver("c_1", "tc_1", token, {"result": "right"})
    with pytest.raises(UnknownCallback):
        callbacks.deliver("c_1", "tc_1", token, {"result": "again"})
    assert outcome.later is not None
    assert (await outcome.later).result == "right"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"error": {"message": "sold out"}}, "sold out"),
        ([], UNAVAILABLE),
        ({"say": 1}, UNAVAILABLE),
        ({"status": "sent"}, UNAVAILABLE),
    ],
)
async def test_a_late_failure(
    late_tool: WebhookTool,
    backend: Any,
    callbacks: Callbacks,
    context: Callable[..., ToolContext],
    caller: Any,
    body: Any,
    message: str,
) -> None:
    backend.json({}, 202)
    outcome = await late_tool.run({}, context(), caller)
    callbacks.deliver("c_1", "tc_1", sent_callback(backend)["token"], body)
    assert outcome.later is not None
    with pytest.raises(ToolError) as caught:
        await outcome.later
    assert caught.value.message == message


async def test_a_result_that_overtakes_the_202(
    late_tool: WebhookTool, backend: Any, callbacks: Callbacks, context: Callable[..., ToolContext], caller: Any
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        token = (await request.json())["data"]["callback"]["token"]
        callbacks.deliver("c_1", "tc_1", token, {"result": "quick"})
        return web.json_response({}, status=202)

    backend.then(answer)
    outcome = await late_tool.run({}, context(), caller)
    assert outcome.later is not None
    assert (await outcome.later).result == "quick"


@pytest.mark.parametrize("status", [200, 404, 500])
async def test_after_any_other_answer_nobody_waits(
    late_tool: WebhookTool,
    backend: Any,
    callbacks: Callbacks,
    context: Callable[..., ToolContext],
    caller: Any,
    status: int,
) -> None:
    backend.json({"error": {"message": "x"}}, status)
    with pytest.raises(ToolError):
        await late_tool.run({}, context(), caller)
    assert len(callbacks) == 0


async def test_a_call_that_ends_waits_no_more(
    late_tool: WebhookTool, backend: Any, callbacks: Callbacks, context: Callable[..., ToolContext], caller: Any
) -> None:
    backend.json({}, 202)
    outcome = await late_tool.run({}, context(), caller)
    assert outcome.later is not None
    later = asyncio.ensure_future(outcome.later)
    await asyncio.wait([later], timeout=0)
    later.cancel()
    with pytest.raises(asyncio.CancelledError):
        await later
    assert len(callbacks) == 0


async def test_202_without_callbacks_is_the_end_of_it(run: Run, backend: Any) -> None:
    backend.json({"say": "It is on its way."}, 202)
    assert await run() == Outcome(None, "It is on its way.")
