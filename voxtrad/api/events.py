"""Events: live ones as server-sent events, and what of them webhooks were sent or are still owed."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated, Literal

import structlog
from aiohttp import web
from pydantic import AfterValidator, BaseModel, Field, JsonValue

from voxtrad.api.problems import Problem
from voxtrad.api.table import Asked, Given, Nothing
from voxtrad.api.watch import Kept, Lost, Watch
from voxtrad.config.server import EVENT_NAMES
from voxtrad.ledger.outbox import wants
from voxtrad.ledger.queries import MAX_PAGE, BadCursor, MessageFilter, list_endpoints, list_messages

HEARTBEAT = 15.0
"""Seconds without an event after which a comment is sent, so that nothing between takes the stream for dead."""
PATIENCE = 10.0
"""Seconds that a reader may take for what it was sent; then it is dropped, and may come back with `Last-Event-ID`."""

log = structlog.stdlib.get_logger(__name__)


def _patterns(text: str) -> str:
    for pattern in text.split(","):
        if not any(wants((pattern,), name) for name in EVENT_NAMES):
            raise ValueError(f"'{pattern}' is no event")
    return text


class StreamQuery(Given):
    types: Annotated[str, AfterValidator(_patterns)] = "*"
    """Names of events with commas between, also `call.*`; partial transcripts only where named."""
    call_id: str | None = None
    agent: str | None = None

    def wants(self, kept: Kept) -> bool:
        event = kept.event
        return (
            wants(self.types.split(","), event.name)
            and self.call_id in (None, event.call_id)
            and self.agent in (None, event.agent)
        )


class WebhookEndpoint(BaseModel):
    """Where events are delivered to, or once were."""

    name: str
    waiting: int
    dead: int
    disabled: str | None
    """Since when, where it answered 410."""
    answer: str | None


class Endpoints(BaseModel):
    items: list[WebhookEndpoint]


class Messages(BaseModel):
    items: list[dict[str, JsonValue]]
    next: str | None


class MessagesQuery(Given):
    endpoint: str | None = None
    state: Literal["waiting", "delivered", "dead"] | None = None
    call_id: str | None = None
    after: str | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 50


class Replay(Given):
    """All dead letters, an endpoint's, or one."""

    endpoint: str | None = None
    id: str | None = None


class Replayed(BaseModel):
    replayed: int


class Enabled(BaseModel):
    enabled: str


# --- live -------------------------------------------------------------------------------------------------------------


async def stream(asked: Asked[StreamQuery, Nothing]) -> web.StreamResponse:
    """Events as they happen, until either side leaves; from behind `Last-Event-ID` on where that is given.

    Where events between were lost, an event `gap` says so. Source of the format: WHATWG HTML, "Server-sent events".
    """
    with asked.house.streams.one():
        return await _stream(asked)


async def _stream(asked: Asked[StreamQuery, Nothing]) -> web.StreamResponse:
    watch, request = asked.house.watch, asked.request
    position, gap = _start(watch, request.headers.get("Last-Event-ID"))
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
    await response.prepare(request)
    try:
        async with asyncio.timeout(PATIENCE):
            await response.write(b"retry: 2000\n\n" + (b'event: gap\ndata: {"type":"gap"}\n\n' if gap else b""))
        await _follow(watch, asked.query, response, position)
    except (TimeoutError, Lost):
        log.warning("a reader of live events is dropped: it does not keep up", at=request.remote)
        if request.transport is not None:
            request.transport.abort()
    except ConnectionResetError:
        pass  # it has left
    return response


async def _follow(watch: Watch, query: StreamQuery, response: web.StreamResponse, position: int) -> None:
    while not watch.closed:
        events = watch.after(position)
        if events:
            position = events[-1].number
            text = b"".join(_block(watch, kept) for kept in events if query.wants(kept))
        else:
            text = await _quiet(watch, position)
        if text:
            async with asyncio.timeout(PATIENCE):
                await response.write(text)


async def _quiet(watch: Watch, position: int) -> bytes:
    """Wait for an event; a heartbeat where none comes. It also tells the reader how far it is."""
    try:
        async with asyncio.timeout(HEARTBEAT):
            await watch.changed(position)
    except TimeoutError:
        return f": heartbeat\nid: {watch.identify(position)}\n\n".encode()
    return b""


def _start(watch: Watch, last: str | None) -> tuple[int, bool]:
    """The position to go on from, and whether events were lost before it."""
    if last is None:
        return watch.newest, False
    try:
        position = watch.position(last)
        watch.after(position, 1)
    except Lost:
        return watch.oldest - 1, True
    return position, False


def _block(watch: Watch, kept: Kept) -> bytes:
    return f"id: {watch.identify(kept.number)}\ndata: ".encode() + kept.body + b"\n\n"


# --- webhooks ---------------------------------------------------------------------------------------------------------


async def endpoints(asked: Asked[Nothing, Nothing]) -> Endpoints:
    found = await asked.house.records.read(list_endpoints)
    return Endpoints(items=[WebhookEndpoint.model_validate(item) for item in found])


async def messages(asked: Asked[MessagesQuery, Nothing]) -> Messages:
    """What endpoints were sent in the last day, what waits, and what was given up; newest first."""
    query = asked.query
    wanted = MessageFilter(
        endpoint=query.endpoint, state=query.state, call_id=query.call_id, after=query.after, limit=query.limit
    )
    try:
        page = await asked.house.records.read(partial(list_messages, wanted=wanted))
    except BadCursor as error:
        raise Problem(404, "there is no such page") from error
    return Messages.model_validate({"items": page.items, "next": page.next})


async def replay(asked: Asked[Nothing, Replay]) -> Replayed:
    """Put dead letters back into the outbox."""
    count = await asked.house.records.replay(endpoint=asked.body.endpoint, message_id=asked.body.id)
    return Replayed(replayed=count)


async def enable(asked: Asked[Nothing, Nothing]) -> Enabled:
    """Take back an endpoint that answered 410, and try at once what waits for it."""
    name = asked.path["name"]
    if not await asked.house.records.enable(name):
        raise Problem(404, f"there is no endpoint '{name}'")
    return Enabled(enabled=name)
