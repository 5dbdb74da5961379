"""What waits to be written: a bounded queue between the event loop, which never waits, and the writer's thread.

Where there is no room the oldest speech event goes first; with none left, what comes is refused. Both are counted. Jobs
of others (settling a delivery, a reload) are few and always taken.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Generic, TypeVar

import structlog

from voxtrad.events.types import Event, InternalEvent, PromisedEvent
from voxtrad.ledger.outbox import SPEECH

JobT = TypeVar("JobT")

log = structlog.stdlib.get_logger(__name__)

_OVERHEAD = 400  # bytes that an event and its place in the queue take about
_PART = 60  # and an item of a list or mapping
_LOOKED_AT = 10_000  # parts of one event that are weighed


@dataclass(frozen=True, slots=True)
class Room:
    """How much may wait in memory while the disk does not take it."""

    events: int = 50_000
    bytes: int = 64 * 1024**2


class _Waiting:
    """An event in the queue; emptied when it is dropped from the middle of it."""

    __slots__ = ("event", "weight")

    def __init__(self, event: Event) -> None:
        self.event: Event | None = event
        self.weight = _weigh(event)


class Backlog(Generic[JobT]):
    """All methods may be called from any thread; none holds the lock for long."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._changed = threading.Condition()
        self._queue: deque[_Waiting | JobT] = deque()
        self._speech: deque[_Waiting] = deque()
        self._events = 0
        self._bytes = 0
        self._dropped: Counter[type[Event]] = Counter()
        self._closed = False

    @property
    def events(self) -> int:
        """Events that wait."""
        return self._events

    @property
    def dropped(self) -> int:
        """Events that had no room."""
        return self._dropped.total()

    @property
    def dropped_kinds(self) -> Mapping[type[Event], int]:
        """The same by their kind."""
        return dict(self._dropped)

    def put_event(self, event: Event) -> None:
        """Wakes nobody: `stir` does."""
        waiting = _Waiting(event)
        with self._changed:
            while self._full(waiting.weight) and self._drop_speech():
                pass
            if self._full(waiting.weight) or self._closed:
                self._drop(event)
                return
            self._add(waiting)
            self._queue.append(waiting)
            if _is_speech(event):
                self._speech.append(waiting)

    def stir(self) -> None:
        """There are events: whoever waits in `take` has them."""
        with self._changed:
            self._changed.notify()

    def put_job(self, job: JobT) -> bool:
        """False when the queue is closed."""
        with self._changed:
            if self._closed:
                return False
            self._queue.append(job)
            self._changed.notify()
            return True

    def take(self, limit: int, timeout: float) -> list[Event | JobT]:
        """Wait for something, `timeout` seconds at most, and take up to `limit` in the order in which they came."""
        with self._changed:
            if not self._queue and not self._closed:
                self._changed.wait(timeout)
            batch: list[Event | JobT] = []
            while self._queue and len(batch) < limit:
                item = self._queue.popleft()
                if not isinstance(item, _Waiting):
                    batch.append(item)
                elif item.event is not None:
                    batch.append(item.event)
                    self._remove(item)
            return batch

    def give_back(self, batch: Iterable[Event | JobT]) -> None:
        """Put what was taken in front again. There is always room: it was here before."""
        with self._changed:
            for item in reversed(list(batch)):
                if isinstance(item, Event):
                    waiting = _Waiting(item)
                    self._add(waiting)
                    self._queue.appendleft(waiting)
                    if _is_speech(item):
                        self._speech.appendleft(waiting)
                else:
                    self._queue.appendleft(item)

    def close(self) -> None:
        """Take nothing more in; what waits can still be taken out."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    @property
    def finished(self) -> bool:
        """Closed, and all was taken out."""
        return self._closed and not self._queue

    def _full(self, weight: int) -> bool:
        return self._events >= self._room.events or self._bytes + weight > self._room.bytes

    def _drop_speech(self) -> bool:
        while self._speech:
            oldest = self._speech.popleft()
            if oldest.event is not None:
                self._drop(oldest.event)
                self._remove(oldest)
                return True
        return False

    def _drop(self, event: Event) -> None:
        self._dropped[type(event)] += 1
        count = self.dropped
        if count & (count - 1) == 0:  # the 1st, 2nd, 4th, 8th…
            log.error("events are dropped: they cannot be written, and memory has no room for more", dropped=count)

    def _add(self, waiting: _Waiting) -> None:
        self._events += 1
        self._bytes += waiting.weight

    def _remove(self, waiting: _Waiting) -> None:
        waiting.event = None
        self._events -= 1
        self._bytes -= waiting.weight


def _is_speech(event: Event) -> bool:
    return isinstance(event, InternalEvent) or (isinstance(event, PromisedEvent) and event.name in SPEECH)


def _weigh(event: Event) -> int:
    """About the bytes an event takes; exact enough to bound them, for JSON of any depth."""
    weight, seen = _OVERHEAD, 0
    parts: list[object] = [getattr(event, field.name) for field in fields(event)]
    while parts and seen < _LOOKED_AT:
        seen += 1
        match parts.pop():
            case str() as text:
                weight += len(text)
            case Mapping() as mapping:
                weight += _PART * len(mapping)
                parts += mapping
                parts += mapping.values()
            case Sequence() as sequence:
                weight += _PART * len(sequence)
                parts += sequence
            case _:
                pass
    return weight
