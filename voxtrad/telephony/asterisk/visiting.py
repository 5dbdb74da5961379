"""A channel's visit to the dialplan, from the moment it is sent there to what has become of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from voxtrad.finishing import unheeded
from voxtrad.leg import LegGone, NotReached, Refusal, Visit

log = structlog.stdlib.get_logger(__name__)

_DIAL_STATUS: Mapping[str, Refusal] = {
    "BUSY": "busy", "NOANSWER": "no_answer", "CHANUNAVAIL": "unavailable", "CONGESTION": "unavailable",
    "DECLINED": "declined", "DONTCALL": "declined", "TORTURE": "declined",
}  # fmt: skip


class Visiting:
    """One visit. It is told what happens to the channel; whoever sent it there waits for the outcome."""

    def __init__(self, leg_id: str) -> None:
        self._leg_id = leg_id
        self._known: asyncio.Future[Visit | None] = unheeded(asyncio.get_running_loop().create_future())
        """Done when it is known what became of the channel: None when it has come back."""
        self.gone = False
        """The channel is not ours any more: it is not expected back."""

    def back(self) -> None:
        """The channel has entered the application again."""
        if not self._known.done():
            self._known.set_result(None)

    def connected(self) -> None:
        """Somebody has answered the channel's call."""
        if not self._known.done():
            self._known.set_result("answered")

    def hung_up(self) -> None:
        if not self._known.done():
            self._known.set_exception(LegGone("the call has ended"))

    async def outcome(self, within: float) -> Visit | None:
        """What became of it, `left` where that is not known within seconds; None when the party has come back."""
        outcome: Visit | None = "left"
        try:
            async with asyncio.timeout(within):
                outcome = await self._known
        except TimeoutError:
            log.info("nothing is known of a caller who was led on", leg=self._leg_id, seconds=within)
        finally:
            self.gone = outcome is not None
        return outcome


def came_back(place: str, status: str) -> NotReached:
    """Why the party is back, from what the dialplan says of its `Dial`."""
    return NotReached(f"{place}: {status or 'came back'}", _DIAL_STATUS.get(status, "failed"))
