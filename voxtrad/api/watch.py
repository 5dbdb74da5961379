"""What the API shows of calls while they run: facts of the live ones, and the latest events for whoever listens.

A tap on the bus that keeps a bounded number of events, as the privacy of their agents lets them be shown. Readers have
only a position in it: one that is too slow loses its place, and nobody else notices.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from voxtrad.events.bus import Bus, Tap
from voxtrad.events.types import CallAnswered, CallEnded, CallStarted, PromisedEvent
from voxtrad.ledger.outbox import encode
from voxtrad.ledger.privacy import Privacy, redact, strictest

KEPT_LEVELS = 500
"""Calls that ended last, and are remembered."""
KEPT = 10_000
"""Events to go back to: minutes of a busy server, hours of a quiet one."""


class Lost(LookupError):
    """The events after this one are not kept any more, or it is of another run of the server."""


@dataclass(frozen=True)
class Kept:
    """One event, with its place in the order of all."""

    number: int
    event: PromisedEvent

    @cached_property
    def body(self) -> bytes:
        """As webhooks have it, without a sequence; written once, whoever reads it."""
        return encode(self.event, None)


@dataclass(slots=True)
class Live:
    """A call that is not over."""

    started: CallStarted
    """As it may be shown."""
    level: Privacy
    """The strictest privacy of the agents that it has had."""
    answered: float | None = None
    """Seconds since 1970."""


class Watch:
    """Tap a bus with `watch`, then read with `after` and `changed`."""

    def __init__(self, privacy: Callable[[str], Privacy], *, kept: int = KEPT) -> None:
        """`privacy` is asked for an agent's level."""
        self._privacy = privacy
        self._events: deque[Kept] = deque(maxlen=kept)
        self._next = 1
        self._live: dict[str, Live] = {}
        self._over: deque[tuple[str, Privacy]] = deque(maxlen=KEPT_LEVELS)
        """What just ended may be shown as: a recording or an analysis is still to come."""
        self._changed = asyncio.Event()
        self._run = secrets.token_hex(4)
        self.closed = False

    def watch(self, bus: Bus) -> Tap[PromisedEvent]:
        return bus.tap("api", (PromisedEvent,), self.take)

    @property
    def live(self) -> Mapping[str, Live]:
        """The live calls by their ids, the one that rang first first."""
        return self._live

    def take(self, event: PromisedEvent) -> None:
        """Keep an event."""
        live = self._live.get(event.call_id)
        level = strictest(self._privacy(event.agent), live.level if live else self._level_of_ended(event.call_id))
        shown = redact(event, level)
        match shown:
            case CallStarted():
                self._live[event.call_id] = Live(shown, level)
            case CallAnswered() if live:
                live.answered = event.timestamp
            case CallEnded():
                self._live.pop(event.call_id, None)
                self._over.append((event.call_id, level))
        if live is not None:
            live.level = level
        self._events.append(Kept(self._next, shown))
        self._next += 1
        self._stir()

    def _level_of_ended(self, call_id: str) -> Privacy:
        return next((level for over, level in self._over if over == call_id), "full")

    # --- for readers --------------------------------------------------------------------------------------------------

    @property
    def newest(self) -> int:
        """The number of the latest event; 0 before the first."""
        return self._next - 1

    @property
    def oldest(self) -> int:
        """The number of the first event that is kept; that of the next one where none is."""
        return self._next - len(self._events)

    def identify(self, number: int) -> str:
        """An event's number as an id that tells runs of the server apart."""
        return f"{self._run}-{number}"

    def position(self, identity: str) -> int:
        """Back from an id to the number. Raises `Lost` for one that was not given out by this run of the server."""
        run, _, number = identity.partition("-")
        if run != self._run or not (number.isascii() and number.isdigit()) or not 0 <= int(number[:18]) < self._next:
            raise Lost("these events are of another run of the server")
        return int(number[:18])

    def after(self, number: int, most: int = 100) -> list[Kept]:
        """The events that follow, at most so many. Raises `Lost` where some that followed are not kept any more."""
        start = number + 1 - self.oldest
        if start < 0:
            raise Lost("too far behind: events were dropped")
        return [self._events[index] for index in range(start, min(start + most, len(self._events)))]

    async def changed(self, number: int) -> None:
        """Wait until there are events after this one, or `close` was called."""
        while self._next - 1 <= number and not self.closed:
            await self._changed.wait()

    def close(self) -> None:
        """Send all readers away: the server stops."""
        self.closed = True
        self._stir()

    def _stir(self) -> None:
        """Wake those who wait now; who comes later waits for the next."""
        self._changed.set()
        self._changed = asyncio.Event()
