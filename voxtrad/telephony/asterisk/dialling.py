"""Channels of ours that ring somewhere, from the request to the answer or to why there is none."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from voxtrad.leg import NotReached, Refusal
from voxtrad.telephony.asterisk.messages import ChannelOver, StasisStart

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
        self.answered: asyncio.Future[StasisStart] = asyncio.get_running_loop().create_future()

    def progressed(self, status: str) -> None:
        self._status = status or self._status

    def entered(self, start: StasisStart) -> None:
        if not self.answered.done():
            self.answered.set_result(start)

    def over(self, event: ChannelOver) -> None:
        if not self.answered.done() and event.hung_up:
            why = refusal_of(self._status, event.code)
            self.answered.set_exception(NotReached(f"{self._endpoint}: {event.cause or self._status or why}", why))
