"""Calls: the live ones and those that were, and what an operator may do with a live one."""

from __future__ import annotations

import re
from datetime import datetime
from functools import partial
from math import ceil
from typing import Annotated, Literal

import structlog
from aiohttp import web
from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field, JsonValue, StringConstraints

from voxtrad.allowance import LimitReached, NotAllowed
from voxtrad.api.house import House
from voxtrad.api.problems import Problem
from voxtrad.api.table import Asked, Given, Nothing
from voxtrad.api.watch import Live
from voxtrad.conversation.call import Call
from voxtrad.conversation.dialogue import hand_over
from voxtrad.conversation.handover import HandoverFailed
from voxtrad.conversation.session import Session
from voxtrad.ledger.outbox import iso
from voxtrad.ledger.queries import MAX_PAGE, BadCursor, CallFilter, list_calls, show_call
from voxtrad.ledger.schema import LedgerError
from voxtrad.leg import LegError
from voxtrad.outgoing import KeyReused, NoAgent, NoCalls, NoLine, Order
from voxtrad.providers.base import ProviderError
from voxtrad.switchboard import Refused

log = structlog.stdlib.get_logger(__name__)

IDEMPOTENCY_KEY = "Idempotency-Key"

Line = dict[str, JsonValue]
Words = Annotated[str, StringConstraints(min_length=1, max_length=2000, pattern=r"\S")]


def _dated(value: object) -> object:
    """Only what begins with a date: a bare number could be of any unit."""
    if isinstance(value, str) and not re.match(r"\d{4}-\d\d-\d\d[Tt ]", value):
        raise ValueError("must be a time like 2026-05-04T18:00:00Z")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_dated)]


class CallSummary(BaseModel):
    """A call in a list. What its agent's `privacy` hides is hidden."""

    id: str
    agent: str
    state: Literal["ringing", "in-progress", "ended"]
    direction: Literal["inbound", "outbound"]
    from_: str = Field(alias="from")
    to: str
    channel: str
    linkedid: str
    started: datetime
    answered: datetime | None
    ended: datetime | None
    outcome: str | None
    reason: str | None
    duration: float | None
    """Seconds from the ring to the end."""
    talk_time: float | None
    """Seconds from the answer to the end."""
    privacy: Literal["full", "redacted", "none"]


class CallRecord(CallSummary):
    """All that is known of a call. `at` counts seconds from the ring."""

    transcript: list[Line] = []
    tools: list[Line] = []
    timeline: list[Line] = []
    turns: list[Line] = []
    """How long each answer took, by stages, in seconds."""
    latency: Line = {}
    tokens: list[Line] = []
    recording: Line | None = None
    """Where it is (`location`), and its `seconds`."""
    analysis: Line | None = None
    """`summary`, `fields`, `success` and `reason`."""


class CallPage(BaseModel):
    items: list[CallSummary]
    next: str | None
    """Pass as `after` for the page that follows; null on the last."""


class CallsQuery(Given):
    agent: str | None = None
    outcome: str | None = None
    state: Literal["running", "ended"] | None = None
    number: str | None = None
    """Of the caller or dialled; a part will do."""
    since: Moment | None = None
    """Rang at or after."""
    until: Moment | None = None
    """Rang before."""
    after: str | None = None
    """The page that follows, as the page before says."""
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE)] = 50


class Say(Given):
    text: Words
    interruptible: bool = True


class Said(BaseModel):
    heard: str
    """What the caller heard of it."""
    interrupted: bool


class TransferTo(Given):
    destination: Annotated[str, Field(min_length=1, max_length=200)]
    """One of the configuration's."""


class Hangup(Given):
    reason: Annotated[str, StringConstraints(max_length=200)] = ""


class Originate(Given):
    to: Annotated[str, Field(pattern=r"^\+?[0-9*#]{1,32}$")]
    """As `server.country` dials it, or +44…"""
    agent: Annotated[str, Field(min_length=1, max_length=200)]
    variables: dict[str, JsonValue] = Field(default_factory=dict)
    """For the agent's templates, as `vars.`"""
    caller_id: Annotated[str, Field(pattern=r"^\+?[0-9]{1,20}$")] | None = None
    """The number that is shown; without it the trunk decides."""


class Originated(BaseModel):
    id: str
    """Of the call, which rings: `GET /v1/calls/{id}` says how it goes."""


# --- looking ----------------------------------------------------------------------------------------------------------


async def index(asked: Asked[CallsQuery, Nothing]) -> CallPage:
    """Newest first. Running calls are known here at once, and whatever becomes of the database."""
    query = asked.query
    if query.state == "running":
        return _running(asked.house, query)
    wanted = CallFilter(
        agent=query.agent,
        outcome=query.outcome,
        state=query.state,
        number=query.number,
        since=query.since.timestamp() if query.since else None,
        until=query.until.timestamp() if query.until else None,
        after=query.after,
        limit=query.limit,
    )
    try:
        page = await asked.house.records.read(partial(list_calls, wanted=wanted))
    except BadCursor as error:
        raise Problem(404, "there is no such page") from error
    return CallPage(items=[CallSummary.model_validate(item) for item in page.items], next=page.next)


async def show(asked: Asked[Nothing, Nothing]) -> CallRecord:
    """A call that is running is shown as far as it has come."""
    call_id = asked.path["id"]
    live = asked.house.watch.live.get(call_id)
    try:
        record = await asked.house.records.read(partial(show_call, call_id=call_id))
    except LedgerError:
        if live is None:
            raise
        record = None
    if record is not None:
        return CallRecord.model_validate(record)
    if live is not None:
        return CallRecord.model_validate(_summary(live))
    raise _unknown(call_id)


async def recording(asked: Asked[Nothing, Nothing]) -> web.FileResponse:
    """A call's recording: WAV, the caller on the left and what they heard on the right."""
    call_id = asked.path["id"]
    path = await asked.house.records.recording(call_id)
    if path is None:
        raise Problem(404, f"there is no recording of a call '{call_id}'")
    return web.FileResponse(path, headers={"Content-Type": "audio/wav", "Cache-Control": "no-store"})


async def delete(asked: Asked[Nothing, Nothing]) -> None:
    """Forget an ended call: its record, its recording, and what of it is still owed to endpoints."""
    call_id = asked.path["id"]
    if call_id in asked.house.board.wrapping_up:
        raise Problem(409, "the call is being wrapped up: its recording or analysis is still to come")
    match await asked.house.records.delete_call(call_id):
        case "unknown":
            raise _unknown(call_id)
        case "running":
            raise Problem(409, "the call is running; hang it up first")


# --- doing ------------------------------------------------------------------------------------------------------------


async def say(asked: Asked[Nothing, Say]) -> Said:
    """Say something to the caller, after what is being said; answers once it was heard or interrupted."""
    call = _call(asked.house, asked.path["id"])
    try:
        spoken = await call.say(asked.body.text.strip(), interruptible=asked.body.interruptible)
    except ProviderError as error:
        raise Problem(502, f"it could not be spoken: {error.message}") from error
    return Said(heard=spoken.heard.strip(), interrupted=spoken.interrupted)


async def transfer(asked: Asked[Nothing, TransferTo]) -> None:
    """Hand the caller to a destination of the configuration."""
    call, destination = _call(asked.house, asked.path["id"]), asked.body.destination
    known = asked.house.loaded().config.destinations
    if destination not in known:
        raise Problem(404, f"there is no destination '{destination}'", more={"destinations": list(known)})
    if call.transferring:
        raise Problem(409, "the caller is being transferred already")
    try:
        await hand_over(call, destination)
    except HandoverFailed as error:
        raise Problem(409, error.message) from error
    except LegError as error:
        raise Problem(502, f"the PBX did not do it: {error.message}") from error


async def hang_up(asked: Asked[Nothing, Hangup]) -> None:
    """End the call."""
    session, reason = _session(asked.house, asked.path["id"]), asked.body.reason.strip()
    session.hang_up(f"hung up by {asked.client.name}{f': {reason}' if reason else ''}")


async def originate(asked: Asked[Nothing, Originate]) -> web.Response:
    """Make a call; answers when it rings. With an `Idempotency-Key`, asking again makes no other call."""
    body, key = asked.body, asked.request.headers.get(IDEMPOTENCY_KEY)
    if key is not None and not 1 <= len(key) <= 255:
        raise Problem(422, f"{IDEMPOTENCY_KEY} must have 1 to 255 characters")
    order = Order(
        body.to, body.agent, body.variables, body.caller_id or "", None if key is None else f"{asked.client.name}:{key}"
    )
    try:
        placed = await asked.house.place(order)
    except (NoCalls, NotAllowed) as error:
        raise Problem(403, error.message) from error
    except NoAgent as error:
        raise Problem(404, error.message, more={"agents": list(asked.house.loaded().config.agents)}) from error
    except KeyReused as error:
        raise Problem(422, error.message) from error
    except LimitReached as error:
        headers = {"Retry-After": str(max(1, ceil(error.again)))}
        raise Problem(429, error.message, more={"limit": error.which}, headers=headers) from error
    except (NoLine, Refused) as error:
        raise Problem(503, error.message) from error
    log.info("a call is made", who=asked.client.name, to=body.to, agent=body.agent, made=placed.call_id)
    headers = {"Location": f"/v1/calls/{placed.call_id}", **({"Idempotency-Replayed": "true"} if placed.again else {})}
    text = Originated(id=placed.call_id).model_dump_json()
    return web.Response(status=201, text=text, content_type="application/json", headers=headers)


# --- inside -----------------------------------------------------------------------------------------------------------


def _running(house: House, query: CallsQuery) -> CallPage:
    if query.after is not None:
        raise Problem(404, "there is no such page: running calls come on one")
    found = [_summary(live) for live in reversed(list(house.watch.live.values())) if _wanted(live, query)]
    return CallPage(items=[CallSummary.model_validate(item) for item in found[: query.limit]], next=None)


def _wanted(live: Live, query: CallsQuery) -> bool:
    started, number = live.started, query.number
    return (
        query.agent in (None, started.agent)
        and query.outcome is None
        and (number is None or number in started.caller or number in started.dialled)
        and (query.since is None or started.timestamp >= query.since.timestamp())
        and (query.until is None or started.timestamp < query.until.timestamp())
    )


def _summary(live: Live) -> dict[str, object]:
    started = live.started
    return {
        "id": started.call_id, "agent": started.agent, "direction": started.direction, "from": started.caller,
        "to": started.dialled, "channel": started.channel, "linkedid": started.linkedid,
        "state": "ringing" if live.answered is None else "in-progress", "privacy": live.level,
        "started": iso(started.timestamp), "answered": None if live.answered is None else iso(live.answered),
        "ended": None, "outcome": None, "reason": None, "duration": None, "talk_time": None,
    }  # fmt: skip


def _session(house: House, call_id: str) -> Session:
    session = house.board.calls.get(call_id)
    if session is None:
        raise Problem(404, f"there is no live call '{call_id}'")
    return session


def _call(house: House, call_id: str) -> Call:
    call = _session(house, call_id).call
    if call is None or not call.in_progress:
        raise Problem(409, "the call is not answered yet, or over")
    return call


def _unknown(call_id: str) -> Problem:
    return Problem(404, f"there is no call '{call_id}'")
