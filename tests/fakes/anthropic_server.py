"""A server that speaks Anthropic's Messages API as server-sent events.

Shapes follow the API reference ("Streaming messages", its basic and its tool-use example; "Errors"); every event passes
the SDK's own `RawMessageStreamEvent`. It keeps the API's rules for a conversation: the user first, no empty text, and
each tool call answered in the next message.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aiohttp import web
from anthropic.types import RawMessageStreamEvent
from pydantic import TypeAdapter

JSONDict = dict[str, Any]
_EVENT: TypeAdapter[object] = TypeAdapter(RawMessageStreamEvent)


@dataclass(frozen=True)
class Text:
    pieces: Sequence[str]
    end: bool = True


@dataclass(frozen=True)
class Tools:
    """Text, then tool calls: (id, name, pieces of the arguments)."""

    calls: Sequence[tuple[str, str, Sequence[str]]]
    text: str = ""


@dataclass(frozen=True)
class Raw:
    line: str


@dataclass(frozen=True)
class Error:
    status: int
    type: str
    message: str = "no"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class StreamError:
    """An error after the first words."""

    type: str


@dataclass(frozen=True)
class Stall:
    """The first words and then nothing."""


@dataclass(frozen=True)
class Cut:
    """The first words, then the connection is dropped."""


Answer = Text | Tools | Raw | Error | StreamError | Stall | Cut


@dataclass
class FakeAnthropic:
    url: str = ""
    answers: list[Answer] = field(default_factory=list)
    key: str | None = None
    requests: list[JSONDict] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    connections: set[tuple[str, int]] = field(default_factory=set)
    abandoned: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def fake_anthropic(*answers: Answer, key: str | None = None) -> AsyncIterator[FakeAnthropic]:
    """Answers one request after the other; the last answer stays."""
    fake = FakeAnthropic(answers=list(answers) or [Text(["Hello", " there."])], key=key)
    app = web.Application()
    app.router.add_post("/v1/messages", partial(_messages, fake))
    app.router.add_head("/", partial(_head, fake))
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fake
    finally:
        await runner.cleanup()


def _note(fake: FakeAnthropic, request: web.Request) -> None:
    assert request.transport is not None
    fake.connections.add(request.transport.get_extra_info("peername")[:2])


async def _head(fake: FakeAnthropic, request: web.Request) -> web.Response:
    _note(fake, request)
    return web.Response(status=404)


def _error(type: str, message: str) -> JSONDict:
    return {"type": "error", "error": {"type": type, "message": message}, "request_id": "req_011CSHoEeqs5C35K2UUqR7Fy"}


def _wrong(asked: JSONDict) -> str | None:
    """What the API would refuse of a conversation."""
    messages = asked["messages"]
    if "max_tokens" not in asked:
        return "max_tokens: Field required"
    if not messages or messages[0]["role"] != "user":
        return 'messages: first message must use the "user" role'
    for index, message in enumerate(messages):
        for block in message["content"]:
            if block["type"] == "text" and not block["text"]:
                return f"messages.{index}: text content blocks must be non-empty"
        used = {block["id"] for block in message["content"] if block["type"] == "tool_use"}
        after = messages[index + 1]["content"] if index + 1 < len(messages) else []
        answered = {block["tool_use_id"] for block in after if block["type"] == "tool_result"}
        if used != answered:
            return f"messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after"
    if messages[-1]["role"] == "assistant":
        return "This model does not support assistant message prefill."
    return None


async def _messages(fake: FakeAnthropic, request: web.Request) -> web.StreamResponse:
    _note(fake, request)
    asked = await request.json()
    fake.requests.append(asked)
    fake.headers.append(dict(request.headers))
    given = request.headers.get("x-api-key") or request.headers.get("Authorization", "").removeprefix("Bearer ")
    if fake.key is not None and given != fake.key:
        return web.json_response(_error("authentication_error", "invalid x-api-key"), status=401)
    if wrong := _wrong(asked):
        return web.json_response(_error("invalid_request_error", wrong), status=400)
    answer = fake.answers.pop(0) if len(fake.answers) > 1 else fake.answers[0]
    if isinstance(answer, Error):
        body = _error(answer.type, answer.message)
        return web.json_response(body, status=answer.status, headers=answer.headers)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
    await response.prepare(request)
    try:
        await _write(answer, asked, request, response)
    except (ConnectionError, asyncio.CancelledError):
        fake.abandoned.set()
        raise
    return response


async def _write(answer: Answer, asked: JSONDict, request: web.Request, response: web.StreamResponse) -> None:
    async def send(type: str, **fields: Any) -> None:
        event = {"type": type, **fields}
        _EVENT.validate_python(event)
        await response.write(f"event: {type}\ndata: {json.dumps(event)}\n\n".encode())

    async def text(index: int, pieces: Sequence[str]) -> None:
        await send("content_block_start", index=index, content_block={"type": "text", "text": "", "citations": None})
        await response.write(b'event: ping\ndata: {"type": "ping"}\n\n')
        for piece in pieces:
            await send("content_block_delta", index=index, delta={"type": "text_delta", "text": piece})

    async def end(reason: str, tokens: int) -> None:
        delta = {"stop_reason": reason, "stop_sequence": None}
        await send("message_delta", delta=delta, usage={"output_tokens": tokens})
        await send("message_stop")

    message = {
        "id": "msg_1nZdL29xx5MUA1yADyHTEsnR8uuvGzszyY",
        "type": "message",
        "role": "assistant",
        "content": [],
        "model": asked["model"],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 25, "output_tokens": 1, "cache_read_input_tokens": 5},
    }
    await send("message_start", message=message)
    match answer:
        case Text():
            await text(0, answer.pieces)
            await send("content_block_stop", index=0)
            if answer.end:
                await end("end_turn", 15)
        case Tools():
            if answer.text:
                await text(0, [answer.text])
                await send("content_block_stop", index=0)
            for index, (id, name, pieces) in enumerate(answer.calls, bool(answer.text)):
                block = {"type": "tool_use", "id": id, "name": name, "input": {}}
                await send("content_block_start", index=index, content_block=block)
                for piece in ["", *pieces]:
                    await send(
                        "content_block_delta", index=index, delta={"type": "input_json_delta", "partial_json": piece}
                    )
                await send("content_block_stop", index=index)
            await end("tool_use", 89)
        case Raw():
            await response.write(answer.line.encode())
        case StreamError():
            await text(0, ["Hel"])
            await response.write(f"event: error\ndata: {json.dumps(_error(answer.type, 'Overloaded'))}\n\n".encode())
        case Stall():
            await text(0, ["Hel"])
            await asyncio.Event().wait()
        case Cut():
            await text(0, ["Hel"])
            assert request.transport is not None
            request.transport.close()
