"""The bus: what happens on calls goes in, and whoever watches takes it out. Who publishes is never held up.

A subscriber reads at its own pace from a bounded queue of its own; a tap is called on the spot and must be quick. A bus
belongs to one event loop: publish from its thread only. What is kept, sent or counted is the watchers' business.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Generic, Self, TypeVar

import structlog

from voxtrad.events.types import Event

log = structlog.stdlib.get_logger(__name__)

EventT = TypeVar("EventT", bound=Event)


class Bus:
    """Hands each event to everybody who asked for its type, in the same order to all."""

    def __init__(self) -> None:
        self._watchers: tuple[_Watcher, ...] = ()  # replaced, never changed: it is walked while watchers come and go
        self._pending: deque[Event] = deque()
        self._publishing = False

    def publish(self, event: Event) -> None:
        """Never waits and never raises. What a tap publishes meanwhile comes after `event`, for everybody."""
        self._pending.append(event)
        if self._publishing:
            return
        self._publishing = True
        try:
            while self._pending:
                event = self._pending.popleft()
                for watcher in self._watchers:
                    watcher.take(event)
        finally:
            self._publishing = False

    def subscribe(self, name: str, types: tuple[type[EventT], ...], *, capacity: int = 1000) -> Subscription[EventT]:
        """A queue of the events of `types` and their subtypes, from now on; use it as a context manager, or close it.

        When `capacity` events wait, the oldest is dropped for the new one, and counted.
        """
        return self._add(Subscription(name, types, capacity, self._remove))

    def tap(self, name: str, types: tuple[type[EventT], ...], callback: Callable[[EventT], None]) -> Tap[EventT]:
        """Have `callback` called inside `publish`, until the tap is closed. What it raises is logged and counted."""
        return self._add(Tap(name, types, callback, self._remove))

    @property
    def subscriptions(self) -> tuple[Subscription[Event], ...]:
        """Those open now, for whoever measures them."""
        return tuple(watcher for watcher in self._watchers if isinstance(watcher, Subscription))

    @property
    def taps(self) -> tuple[Tap[Event], ...]:
        """Those open now, for whoever measures them."""
        return tuple(watcher for watcher in self._watchers if isinstance(watcher, Tap))

    def close(self) -> None:
        """Close every subscription and tap; subscribers still get what waits for them."""
        for watcher in self._watchers:
            watcher.close()

    def _add(self, watcher: _WatcherT) -> _WatcherT:
        self._watchers += (watcher,)
        return watcher

    def _remove(self, watcher: _Watcher) -> None:
        self._watchers = tuple(other for other in self._watchers if other is not watcher)


class _Watcher(ABC):
    def __init__(self, name: str, leave: Callable[[_Watcher], None]) -> None:
        self.name = name
        self._leave = leave

    @abstractmethod
    def take(self, event: Event) -> None: ...

    def close(self) -> None:
        """Take no more events. May be called again."""
        self._leave(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


_WatcherT = TypeVar("_WatcherT", bound=_Watcher)


class Subscription(_Watcher, Generic[EventT]):
    """An async iterator over events, for one consumer. It ends when it was closed and the events that wait are read."""

    def __init__(
        self, name: str, types: tuple[type[EventT], ...], capacity: int, leave: Callable[[_Watcher], None]
    ) -> None:
        if capacity < 1:
            raise ValueError("a subscription needs room for one event at least")
        super().__init__(name, leave)
        self.capacity = capacity
        self.dropped = 0
        """Events lost because the consumer was too slow."""
        self._types = types
        self._queue: deque[EventT] = deque()
        self._stirred = asyncio.Event()
        self._closed = False

    @property
    def waiting(self) -> int:
        """Events in the queue."""
        return len(self._queue)

    def take(self, event: Event) -> None:
        if not isinstance(event, self._types):
            return
        if len(self._queue) == self.capacity:
            self._queue.popleft()
            self.dropped += 1
            if _worth_a_line(self.dropped):
                log.warning("subscriber is too slow, events are dropped", subscriber=self.name, dropped=self.dropped)
        self._queue.append(event)
        self._stirred.set()

    def close(self) -> None:
        super().close()
        self._closed = True
        self._stirred.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> EventT:
        while not self._queue:
            if self._closed:
                raise StopAsyncIteration
            self._stirred.clear()
            await self._stirred.wait()
        return self._queue.popleft()


class Tap(_Watcher, Generic[EventT]):
    """A callback on the bus, for what is cheap and must be exact (counting, numbering)."""

    def __init__(
        self,
        name: str,
        types: tuple[type[EventT], ...],
        callback: Callable[[EventT], None],
        leave: Callable[[_Watcher], None],
    ) -> None:
        super().__init__(name, leave)
        self.failures = 0
        """Events on which the callback raised."""
        self._types = types
        self._callback = callback

    def take(self, event: Event) -> None:
        if not isinstance(event, self._types):
            return
        try:
            self._callback(event)
        except Exception:  # the outermost supervisor of a tap: its fault must not reach the call that published
            self.failures += 1
            if _worth_a_line(self.failures):
                log.exception("tap failed", tap=self.name, failures=self.failures, call_id=event.call_id)


def _worth_a_line(count: int) -> bool:
    """The 1st, 2nd, 4th, 8th…: a fault on every event of every call must not fill the log."""
    return count & (count - 1) == 0
