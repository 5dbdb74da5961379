"""What the API needs of the server, as small Protocols: the daemon hands it in, and nothing here knows the daemon."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from voxtrad.api.seats import Seats
from voxtrad.api.watch import Watch
from voxtrad.config.loader import Loaded
from voxtrad.conversation.session import Session
from voxtrad.events.types import JSON
from voxtrad.leg import Leg
from voxtrad.outgoing import Order, Placed

T = TypeVar("T")
MOST_STREAMS = 64
"""Streams of live events. A page of the console has one, and one more for a call that it shows."""
MOST_WAITING = 16
"""Test phones that are connected and have not started their call; with it they count as `max_calls` does."""


class Board(Protocol):
    """The live calls (`switchboard.py`)."""

    @property
    def draining(self) -> bool: ...

    @property
    def calls(self) -> Mapping[str, Session]: ...

    @property
    def wrapping_up(self) -> Collection[str]: ...

    def take_no_more(self) -> None:
        """Drain, from now on."""
        ...

    async def take(self, leg: Leg) -> None:
        """Carry a call to its end."""
        ...


class Records(Protocol):
    """What is kept (`ledger/ledger.py`). All raise `LedgerError` where the database cannot be used now."""

    async def read(self, question: Callable[[sqlite3.Connection], T]) -> T: ...

    async def delete_call(self, call_id: str) -> Literal["deleted", "unknown", "running"]: ...

    async def recording(self, call_id: str) -> Path | None: ...

    async def replay(self, *, endpoint: str | None = None, message_id: str | None = None) -> int: ...

    async def enable(self, endpoint: str) -> bool: ...


class Results(Protocol):
    """Tools that wait for a result (`tools/callbacks.py`)."""

    def deliver(self, call_id: str, tool_call_id: str, token: str, body: JSON) -> None:
        """Raises `UnknownCallback`."""
        ...


class Reloaded(Protocol):
    """What came of a reload."""

    @property
    def ok(self) -> bool: ...

    @property
    def errors(self) -> Sequence[str]:
        """Why the old configuration runs on."""
        ...

    @property
    def restart(self) -> Sequence[str]:
        """Changed values that only a restart brings into effect."""
        ...


@dataclass(frozen=True, slots=True)
class House:
    """The server, as far as the API may touch it."""

    board: Board
    watch: Watch
    records: Records
    results: Results
    not_ready: Callable[[], Sequence[str]]
    """Why no call can be taken now; empty when all is well."""
    metrics: Callable[[str], tuple[bytes, str]]
    """Text and content type, for an `Accept` header. Runs in a thread."""
    loaded: Callable[[], Loaded]
    """The configuration in effect."""
    place: Callable[[Order], Awaitable[Placed]]
    """Make a call (`outgoing.py`, which says what it raises)."""
    reload: Callable[[], Awaitable[Reloaded]]
    """Load it again: all of it, or nothing."""
    streams: Seats = field(default_factory=lambda: Seats(MOST_STREAMS, "streams of events are open"))
    waiting: Seats = field(default_factory=lambda: Seats(MOST_WAITING, "test phones are about to start a call"))
