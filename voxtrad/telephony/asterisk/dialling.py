"""Channels of ours that ring somewhere, from the request to the answer or to why there is none."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import structlog

from voxtrad.finishing import unheeded
from voxtrad.leg import LegInfo, NotReached, Refusal
from voxtrad.telephony.asterisk.ari import Ari, AriError, AriRefused, AriUnreachable
from voxtrad.telephony.asterisk.leg import AsteriskLeg, Exchange
from voxtrad.telephony.asterisk.messages import ChannelOver, StasisStart
from voxtrad.telephony.asterisk.roster import Roster

log = structlog.stdlib.get_logger(__name__)

_OVERTIME = 5.0  # after which a channel that Asterisk should have given up is given up by us

_BY_CAUSE: Mapping[int, Refusal] = {17: "busy", 18: "no_answer", 19: "no_answer", 21: "declined"}
_BY_STATUS: Mapping[str, Refusal] = {"BUSY": "busy", "NOANSWER": "no_answer"}
_ENDED_AS_USUAL = (0, 16)
"""Causes that say nothing of why."""


def refusal_of(status: str, cause: int) -> Refusal:
    """Why nobody answered, from the last dial status and the hang-up cause (Q.850). Pure.

    The status says it where a `Local/` channel is between, the cause says it more exactly where none is. What rang to
    the end, without either, was not answered; what rang and then failed was not reached.
    """
    rang_to_the_end = status == "RINGING" and cause in _ENDED_AS_USUAL
    return _BY_CAUSE.get(cause) or _BY_STATUS.get(status) or ("no_answer" if rang_to_the_end else "unavailable")


def caller_id(name: str, number: str) -> str | None:
    """`"Name" <number>`, as originate takes it, without what would end a part of it early. None without a number."""
    name, number = ("".join(c for c in text if c.isprintable() and c not in '"<>\\') for text in (name, number))
    if not number:
        return None
    return f'"{name}" <{number}>' if name else f"<{number}>"


class Ringing:
    """One channel that rings. It is told what happens; whoever waits for `answered` gets it, or `NotReached`."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._status = ""
        self.answered: asyncio.Future[StasisStart] = unheeded(asyncio.get_running_loop().create_future())

    def progressed(self, status: str) -> None:
        self._status = status or self._status

    def entered(self, start: StasisStart) -> None:
        if not self.answered.done():
            self.answered.set_result(start)

    def over(self, event: ChannelOver) -> None:
        if not self.answered.done() and event.hung_up:
            why = refusal_of(self._status, event.code)
            self.answered.set_exception(NotReached(f"{self._endpoint}: {event.cause or self._status or why}", why))


@dataclass(frozen=True, slots=True)
class Dial:
    """A call that is to be made."""

    channel_id: str
    endpoint: str
    timeout: float
    """Seconds that it rings."""
    shown: str | None
    """On the display there, as `caller_id` makes it."""
    variables: Mapping[str, str]
    beside: LegInfo | None = None
    """The leg that it is made for."""


class Dialling:
    """Makes calls for an application, which tells what happens to their channels."""

    def __init__(self, ari: Ari, exchange: Exchange, legs: Roster) -> None:
        """`legs` is where those that are answered belong."""
        self._ari = ari
        self._exchange = exchange
        self._legs = legs
        self._ringing: dict[str, Ringing] = {}

    @contextlib.asynccontextmanager
    async def ring(self, dial: Dial, *, known: LegInfo | None = None) -> AsyncIterator[AsteriskLeg]:
        """Entered when somebody answers; see `Dialer.dial`. `known` is who they are, where that is known before."""
        ringing = self._ringing[dial.channel_id] = Ringing(dial.endpoint)
        leg: AsteriskLeg | None = None
        try:
            await self._originate(dial)
            async with asyncio.timeout(dial.timeout + _OVERTIME):
                start = await ringing.answered
            leg = AsteriskLeg(start, self._ari, self._exchange, known=known)
            self._legs.add(leg)
            await leg.describe()
            yield leg
        except TimeoutError as error:
            if leg is not None:
                raise
            raise NotReached(f"{dial.endpoint}: Asterisk tells nothing of the call", "no_answer") from error
        finally:
            self._ringing.pop(dial.channel_id, None)
            try:
                if leg is None or not leg.gone:
                    await self._hang_up(dial.channel_id)
            finally:
                if leg is not None:
                    try:
                        await leg.release()
                    finally:
                        self._legs.remove(leg)

    def entered(self, channel_id: str, start: StasisStart) -> None:
        """A channel of ours has been answered, and is in the application."""
        if ringing := self._ringing.get(channel_id):
            ringing.entered(start)

    def progressed(self, channel_id: str, status: str) -> None:
        if ringing := self._ringing.get(channel_id):
            ringing.progressed(status)

    def over(self, channel_id: str, event: ChannelOver) -> None:
        if ringing := self._ringing.get(channel_id):
            ringing.over(event)

    # ------------------------------------------------------------------------------------------------------------------

    async def _originate(self, dial: Dial) -> None:
        settings = self._exchange.settings
        try:
            await self._ari.post(
                "channels",
                {
                    "endpoint": dial.endpoint, "app": settings.app, "channelId": dial.channel_id,
                    "timeout": math.ceil(dial.timeout),
                    "variables": {**dial.variables, "VOXTRAD_OWNER": settings.instance},
                    **({"callerId": dial.shown} if dial.shown is not None else {}),
                    **({"originator": dial.beside.id} if dial.beside is not None else {}),
                },
            )  # fmt: skip
        except AriRefused as error:
            if error.status in (401, 403):
                raise
            raise NotReached(f"{dial.endpoint} cannot be called: {error.message}", "unavailable") from error
        except AriUnreachable:
            self._exchange.free_later(f"channels/{dial.channel_id}")  # it may ring yet
            raise

    async def _hang_up(self, channel_id: str) -> None:
        try:
            await self._ari.delete(f"channels/{channel_id}")
        except AriRefused as error:
            if error.status != 404:
                log.warning("a call that we made could not be hung up", channel=channel_id, reason=error.message)
        except AriError as error:
            self._exchange.free_later(f"channels/{channel_id}")
            log.warning("a call that we made could not be hung up", channel=channel_id, reason=error.message)
        except asyncio.CancelledError:
            self._exchange.free_later(f"channels/{channel_id}")
            raise
