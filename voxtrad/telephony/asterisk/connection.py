"""The websocket that ARI's events come through: opening it, keeping it, and saying what state it is in.

Hands every event to one function and knows nothing of calls. When the connection comes, its owner is asked to get ready
(learn what the PBX is, compare calls); when it goes, it is opened again by the policies of `retry.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

import aiohttp
import structlog

from voxtrad.leg import LegError
from voxtrad.telephony.asterisk.ari import Ari, AriError, AriUnreachable, describe, refusal
from voxtrad.telephony.asterisk.messages import ApplicationReplaced, AriEvent, AriProtocolError, parse_event
from voxtrad.telephony.asterisk.retry import Backoff, TakeBack
from voxtrad.telephony.asterisk.settings import AsteriskSettings

log = structlog.stdlib.get_logger(__name__)

State = Literal["disconnected", "connected", "replaced"]

HEARTBEAT = 15.0
"""Seconds between pings; half of it is the time for the answer."""
_CHECK_EVERY = 5.0


class EventsConnection:
    """One subscription to one application."""

    def __init__(
        self,
        ari: Ari,
        settings: AsteriskSettings,
        *,
        on_connected: Callable[[str, str], Awaitable[None]],
        on_event: Callable[[AriEvent], None],
        while_deaf: Callable[[], Awaitable[None]],
        heartbeat: float = HEARTBEAT,
    ) -> None:
        """`on_connected` gets our own host as Asterisk sees it and its host as we see it, and may raise `LegError`:
        then we are not connected. `while_deaf` runs every few seconds while no events come."""
        self._ari = ari
        self._settings = settings
        self._on_connected = on_connected
        self._on_event = on_event
        self._while_deaf = while_deaf
        self._heartbeat = heartbeat
        self._backoff = Backoff(settings.retry_after, settings.retry_at_most)
        self._take_back = TakeBack(settings.take_back_after)
        self._changed = asyncio.Condition()
        self._was_connected = False
        self.state: State = "disconnected"
        self.reason = "not connected yet"
        self.reconnects = 0
        self.attempts = 0
        """How often a connection was tried."""

    async def wait_for(self, state: State) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self.state == state)

    async def run(self) -> None:
        """Keep the connection until cancelled."""
        while True:
            delay = await self._attempt()
            await self._wait(delay)

    async def _attempt(self) -> float:
        """One connection, from its opening to its loss. Returns how long to wait before the next."""
        since = asyncio.get_running_loop().time()
        self.attempts += 1
        try:
            async with await self._open() as socket:
                own_host = socket.get_extra_info("sockname", ("127.0.0.1", 0))[0]
                pbx_host = socket.get_extra_info("peername", ("", 0))[0]
                await self._on_connected(own_host, pbx_host)
                await self._is("connected", "")
                self._backoff.reset()
                replaced = await self._listen(socket)
                lost = _why_lost(socket)
        except LegError as error:
            await self._is("disconnected", error.message, hint=error.hint)
        except aiohttp.WSServerHandshakeError as error:
            failure = refusal(error.status, error.message)
            hint = "load res_ari_events.so, and set enabled = yes in ari.conf" if error.status == 404 else failure.hint
            await self._is("disconnected", failure.message, hint=hint)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            reason = f"no connection to Asterisk at {self._ari.base.origin()}: {describe(error)}"
            hint = "is Asterisk running, with http.conf and ari.conf enabled?"
            if isinstance(error, aiohttp.ClientConnectorCertificateError):
                hint = "SSL_CERT_FILE names the file with an authority of your own"
            await self._is("disconnected", reason, hint=hint)
        else:
            if replaced:
                await self._is(
                    "replaced",
                    f"another client has taken the Stasis application {self._settings.app!r}",
                    hint="only one program may use an application: give each its own asterisk.app",
                )
                return self._take_back.next(asyncio.get_running_loop().time() - since)
            await self._is("disconnected", lost)
        return self._backoff.next()

    async def _open(self) -> aiohttp.ClientWebSocketResponse:
        return await self._ari.http.ws_connect(
            self._ari.websocket_url("ari", "events").with_query(app=self._settings.app),
            headers=self._ari.headers,
            heartbeat=self._heartbeat,
            timeout=aiohttp.ClientWSTimeout(ws_close=1.0),
        )

    async def _listen(self, socket: aiohttp.ClientWebSocketResponse) -> bool:
        """Hand events on until the connection ends; true when another client took the application."""
        async for message in socket:
            if message.type is not aiohttp.WSMsgType.TEXT:
                continue
            try:
                event = parse_event(message.data)
            except AriProtocolError as error:
                log.warning("an ARI event could not be read", reason=error.message)
                continue
            if isinstance(event, ApplicationReplaced):
                return True
            self._on_event(event)
        return False

    async def _wait(self, delay: float) -> None:
        """Wait, and meanwhile look after what is still alive: no event tells of it now."""
        loop = asyncio.get_running_loop()
        due = loop.time() + delay
        while (left := due - loop.time()) > 0:
            await asyncio.sleep(min(left, _CHECK_EVERY))
            if left > _CHECK_EVERY or self.state == "replaced":
                try:
                    await self._while_deaf()
                except AriUnreachable:
                    pass  # said already: this is why we wait
                except AriError as error:
                    log.warning("Asterisk could not be asked about live calls", reason=error.message)

    async def _is(self, state: State, reason: str, *, hint: str | None = None) -> None:
        """Say it once, and again only when it changes."""
        if (state, reason) == (self.state, self.reason):
            return
        where = {"url": str(self._ari.base.origin()), "app": self._settings.app}
        if state == "connected":
            if self._was_connected:
                self.reconnects += 1
            self._was_connected = True
            log.info("connected to Asterisk", reconnects=self.reconnects, **where)
        elif state == "replaced":
            log.error("not connected to Asterisk", reason=reason, hint=hint, **where)
        else:
            log.warning("not connected to Asterisk; trying again", reason=reason, hint=hint, **where)
        async with self._changed:
            self.state, self.reason = state, reason
            self._changed.notify_all()


def _why_lost(socket: aiohttp.ClientWebSocketResponse) -> str:
    """Why no more events come through a connection."""
    error = socket.exception()
    if isinstance(error, TimeoutError):
        return "Asterisk does not answer any more: no answer to a ping on the events connection"
    if error is not None or socket.close_code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE:
        return "the events connection to Asterisk was cut"
    return "Asterisk closed the events connection"
