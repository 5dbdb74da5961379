"""A server that speaks OpenAI's API: chat completions as server-sent events, transcriptions and speech.

Shapes follow the API reference ("The chat completion chunk object", "Error codes", "Create transcription", "Create
speech"); every chunk passes the SDK's own `ChatCompletionChunk`. A test gives it answers, one for each request in turn
(the last one stays), and reads the requests afterwards.
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
from openai.types.chat import ChatCompletionChunk

JSONDict = dict[str, Any]


@dataclass(frozen=True)
class Text:
    """Answer with these pieces of text."""

    pieces: Sequence[str]
    usage: tuple[int, int] = (12, 7)
    role_first: bool = True
    finish: str | None = "stop"


@dataclass(frozen=True)
class Tools:
    """Answer with tool calls: (id, name, pieces of the arguments), after some text where there is any."""

    calls: Sequence[tuple[str, str, Sequence[str]]]
    text: str = ""
    usage: tuple[int, int] = (30, 9)


@dataclass(frozen=True)
class Chunks:
    """Answer with exactly these chunks' `choices`, or raw lines where they are text."""

    chunks: Sequence[list[JSONDict] | str]
    done: bool = True


@dataclass(frozen=True)
class Error:
    """Refuse with a status and OpenAI's error body."""

    status: int
    message: str = "no"
    type: str = "invalid_request_error"
    code: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: str | None = None


@dataclass(frozen=True)
class Stall:
    """Send the headers and these pieces, then nothing more until the client goes away."""

    pieces: Sequence[str] = ()


@dataclass(frozen=True)
class Cut:
    """Send these pieces and drop the connection."""

    pieces: Sequence[str] = ("Hel",)


@dataclass(frozen=True)
class StreamError:
    """Send some text, then an error inside the stream."""

    message: str
    code: str


Answer = Text | Tools | Chunks | Error | Stall | Cut | StreamError


@dataclass
class FakeOpenAI:
    """What the server was told and what it was asked."""

    url: str = ""
    answers: list[Answer] = field(default_factory=lambda: [Text(["Hello", " there."])])
    key: str | None = None
    """Demand this key."""
    requests: list[JSONDict] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    connections: set[tuple[str, int]] = field(default_factory=set)
    """The clients' ends of the connections that requests came by."""
    abandoned: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client went away while it was being answered."""
    transcript: str = "where is my order"
    speech: bytes = b""
    uploads: list[JSONDict] = field(default_factory=list)

    def next_answer(self) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@asynccontextmanager
async def fake_openai(*answers: Answer, key: str | None = None) -> AsyncIterator[FakeOpenAI]:
    """A server on a free port; `url` is its base URL."""
    fake = FakeOpenAI(key=key)
    if answers:
        fake.answers = list(answers)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", partial(_chat, fake))
    app.router.add_post("/v1/audio/transcriptions", partial(_transcribe, fake))
    app.router.add_post("/v1/audio/speech", partial(_speak, fake))
    app.router.add_head("/v1/", partial(_head, fake))
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    try:
        yield fake
    finally:
        await runner.cleanup()


async def _head(fake: FakeOpenAI, request: web.Request) -> web.Response:
    _note(fake, request)
    return web.Response(status=404)


def _note(fake: FakeOpenAI, request: web.Request) -> None:
    fake.headers.append(dict(request.headers))
    assert request.transport is not None
    fake.connections.add(request.transport.get_extra_info("peername")[:2])


def _refused(fake: FakeOpenAI, request: web.Request) -> Error | None:
    if fake.key is None or request.headers.get("Authorization") == f"Bearer {fake.key}":
        return None
    given = request.headers.get("Authorization", "").removeprefix("Bearer ")
    return Error(401, f"Incorrect API key provided: {given}.", "invalid_request_error", "invalid_api_key")


def _error(answer: Error) -> web.Response:
    body: JSONDict = {
        "error": {"message": answer.message, "type": answer.type, "param": None, "code": answer.code},
    }
    text = answer.raw if answer.raw is not None else json.dumps(body)
    return web.Response(status=answer.status, text=text, content_type="application/json", headers=answer.headers)


async def _chat(fake: FakeOpenAI, request: web.Request) -> web.StreamResponse:
    _note(fake, request)
    asked = await request.json()
    fake.requests.append(asked)
    answer = _refused(fake, request) or fake.next_answer()
    if isinstance(answer, Error):
        return _error(answer)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
    await response.prepare(request)

    async def send(choices: list[JSONDict], usage: JSONDict | None = None) -> None:
        chunk = {
            "id": "chatcmpl-123",
            "object": "chat.completion.chunk",
            "created": 1700000000,
            "model": asked["model"],
            "choices": choices,
        }
        if asked.get("stream_options", {}).get("include_usage"):
            chunk["usage"] = usage
        elif usage is not None:
            return
        ChatCompletionChunk.model_validate(chunk)
        await response.write(f"data: {json.dumps(chunk)}\n\n".encode())

    try:
        await _write(answer, request, response, send)
    except (ConnectionError, asyncio.CancelledError):
        fake.abandoned.set()
        raise
    return response


def _delta(delta: JSONDict, finish: str | None = None) -> list[JSONDict]:
    return [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]


async def _write(answer: Answer, request: web.Request, response: web.StreamResponse, send: Any) -> None:
    match answer:
        case Text():
            if answer.role_first:
                await send(_delta({"role": "assistant", "content": "", "refusal": None}))
            for piece in answer.pieces:
                await send(_delta({"content": piece}))
            if answer.finish:
                await send(_delta({}, answer.finish))
            await _end(response, send, answer.usage)
        case Tools():
            await send(_delta({"role": "assistant", "content": answer.text or None}))
            for index, (id, name, pieces) in enumerate(answer.calls):
                first = {"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}
                await send(_delta({"tool_calls": [first]}))
                for piece in pieces:
                    await send(_delta({"tool_calls": [{"index": index, "function": {"arguments": piece}}]}))
            await send(_delta({}, "tool_calls"))
            await _end(response, send, answer.usage)
        case Chunks():
            for chunk in answer.chunks:
                if isinstance(chunk, str):
                    await response.write(chunk.encode())
                else:
                    await send(chunk)
            if answer.done:
                await response.write(b"data: [DONE]\n\n")
        case Stall():
            for piece in answer.pieces:
                await send(_delta({"content": piece}))
            await asyncio.Event().wait()
        case Cut():
            for piece in answer.pieces:
                await send(_delta({"content": piece}))
            assert request.transport is not None
            request.transport.close()
        case StreamError():
            await send(_delta({"content": "Hel"}))
            error = {"message": answer.message, "type": "server_error", "param": None, "code": answer.code}
            await response.write(f"data: {json.dumps({'error': error})}\n\n".encode())


async def _end(response: web.StreamResponse, send: Any, usage: tuple[int, int]) -> None:
    prompt, completion = usage
    total = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    await send([], total)
    await response.write(b"data: [DONE]\n\n")


async def _transcribe(fake: FakeOpenAI, request: web.Request) -> web.StreamResponse:
    _note(fake, request)
    form = await request.post()
    upload = form["file"]
    assert isinstance(upload, web.FileField)
    fake.uploads.append({**{k: v for k, v in form.items() if k != "file"}, "audio": upload.file.read()})
    answer = _refused(fake, request) or fake.next_answer()
    if isinstance(answer, Error):
        return _error(answer)
    if isinstance(answer, Stall):
        await asyncio.Event().wait()
    if isinstance(answer, Cut):
        assert request.transport is not None
        request.transport.close()
    if isinstance(answer, Chunks):
        return web.Response(text="".join(str(chunk) for chunk in answer.chunks), content_type="application/json")
    return web.json_response({"text": fake.transcript, "usage": {"type": "duration", "seconds": 1}})


async def _speak(fake: FakeOpenAI, request: web.Request) -> web.StreamResponse:
    _note(fake, request)
    fake.requests.append(await request.json())
    answer = _refused(fake, request) or fake.next_answer()
    if isinstance(answer, Error):
        return _error(answer)
    if isinstance(answer, Chunks):
        return web.Response(text="".join(str(chunk) for chunk in answer.chunks), content_type="application/json")
    response = web.StreamResponse(headers={"Content-Type": "audio/pcm"})
    await response.prepare(request)
    try:
        sent = fake.speech if isinstance(answer, Text) else fake.speech[: len(fake.speech) // 3]
        for start in range(0, len(sent), 1001):  # an odd number: a sample is torn over two pieces
            await response.write(sent[start : start + 1001])
        if isinstance(answer, Stall):
            await asyncio.Event().wait()
        if isinstance(answer, Cut):
            assert request.transport is not None
            request.transport.close()
    except (ConnectionError, asyncio.CancelledError):
        fake.abandoned.set()
        raise
    return response
