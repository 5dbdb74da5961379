"""The door of the test phone: a websocket of the console's page becomes a leg, and the switchboard takes it.

What is said on the socket, and how audio is paced, is `telephony/browser.py`'s; who may come in is the gate's, by the
scope `calls`. A browser lets no page set headers here: its token comes as a subprotocol (`gate.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from urllib.parse import urlsplit

import structlog
from aiohttp import WSMsgType, web

from voxtrad.api.house import Board
from voxtrad.api.problems import Problem
from voxtrad.api.table import Asked, Nothing
from voxtrad.leg import LegGone, LegInfo
from voxtrad.telephony.browser import BrowserLeg, send
from voxtrad.telephony.browser_messages import BadMessage, Start, parse, tell

PROTOCOL = "voxtrad.phone"
LARGEST = 32 * 1024
"""Bytes of one message of a page."""
PATIENCE = 10.0
"""Seconds without a message after which a page is taken for gone: its microphone gives 50 a second."""

audit = structlog.stdlib.get_logger("voxtrad.audit")
log = structlog.stdlib.get_logger(__name__)


async def phone(asked: Asked[Nothing, Nothing]) -> web.StreamResponse:
    """A call, from the page's `start` until either side hangs up."""
    request = asked.request
    _same_origin(request, str(asked.house.loaded().config.server.public_url or ""))
    socket = web.WebSocketResponse(protocols=(PROTOCOL,), max_msg_size=LARGEST, heartbeat=20.0, compress=False)
    if not socket.can_prepare(request).ok:
        raise Problem(426, "this is a websocket", headers={"Upgrade": "websocket"})
    with asked.house.waiting.one():
        await socket.prepare(request)
        try:
            start = await _start(socket)
        except (BadMessage, TimeoutError) as error:
            await _part(socket, str(error) or "the page said nothing")
            return socket
    known = asked.house.loaded().config.agents
    if start.agent not in known:
        await _part(socket, f"there is no agent '{start.agent}'")
        return socket
    identity = f"phone-{secrets.token_hex(8)}"
    info = LegInfo(
        id=identity, channel=f"Browser/{identity}", caller="console", dialled="", linkedid=identity, agent=start.agent
    )
    leg = BrowserLeg(socket, info, microphone=start.rate)
    audit.info("phone", who=asked.client.name, at=request.remote, agent=start.agent, leg=identity)
    await _carry(socket, leg, asked.house.board)
    return socket


async def _carry(socket: web.WebSocketResponse, leg: BrowserLeg, board: Board) -> None:
    """The call, to its end; then the page is told, and sent away."""
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(_read(socket, leg), name="phone")
        introducing = group.create_task(_introduce(socket, leg, board), name="phone introduction")
        try:
            await board.take(leg)
        finally:
            reading.cancel()
            introducing.cancel()
            await _part(socket, leg.cause or "the call is over")


async def _read(socket: web.WebSocketResponse, leg: BrowserLeg) -> None:
    """What the page says, until it is gone."""
    cause = "the page is gone"
    try:
        while True:
            message = await socket.receive(PATIENCE)
            if message.type is WSMsgType.BINARY:
                leg.hear(message.data)
            elif message.type is WSMsgType.TEXT:
                leg.take(parse(message.data))
            else:
                break
    except TimeoutError:
        cause = "the page has fallen silent"
    except BadMessage as error:
        cause = error.message
        log.warning("a page is sent away", reason=error.message)
    leg.end(cause)


async def _introduce(socket: web.WebSocketResponse, leg: BrowserLeg, board: Board) -> None:
    """Tell the page its call's id, once there is a call."""
    await leg.taken.wait()
    for call_id, session in board.calls.items():
        if session.leg is leg:
            with contextlib.suppress(LegGone):
                await send(socket, tell("call", id=call_id, leg=leg.info.id), leg.end)
            return


async def _start(socket: web.WebSocketResponse) -> Start:
    """Raises `BadMessage` and `TimeoutError`."""
    message = await socket.receive(PATIENCE)
    if message.type is not WSMsgType.TEXT:
        raise BadMessage("the first message must be a start")
    start = parse(message.data)
    if not isinstance(start, Start):
        raise BadMessage("the first message must be a start")
    return start


async def _part(socket: web.WebSocketResponse, cause: str) -> None:
    with contextlib.suppress(ConnectionError):
        await socket.send_str(tell("ended", cause=cause))
    await socket.close()


def _same_origin(request: web.Request, public_url: str) -> None:
    """Raises `Problem` for a page of another site: its visitor has not asked for a call."""
    origin = request.headers.get("Origin")
    if origin is None:
        return  # no browser
    host = request.headers.get("Host", "").lower()
    try:
        named = urlsplit(origin.lower())
        allowed = {host, urlsplit(public_url.lower()).netloc} - {""}
        if named.scheme in ("http", "https") and named.netloc in allowed:
            return
    except ValueError:
        pass
    raise Problem(403, "the phone is for this server's own page")
