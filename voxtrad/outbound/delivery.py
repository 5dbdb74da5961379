"""Takes messages out of the outbox and posts them to their endpoints, each endpoint at its own pace.

An endpoint that is slow or down holds up nobody but itself: it has a worker of its own. Of one call only one message is
under way at a time, so that they arrive in order where that is possible. What a failure means is decided in
`schedule.py`; where messages are kept is the outbox's business (the ledger implements it).
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self

import structlog

from voxtrad.config.server import WebhookConfig
from voxtrad.outbound.client import OutboundClient, OutboundError
from voxtrad.outbound.schedule import Answer, Dead, Delivered, Gone, Outcome, Progress, Verdict, judge
from voxtrad.outbound.signing import Signer

log = structlog.stdlib.get_logger(__name__)

TIMEOUT = 15.0
"""Seconds for one attempt. Receivers should answer first and work later."""
MAX_ANSWER = 64 * 1024
CONCURRENCY = 16
"""Messages (so: calls) under way to one endpoint."""
OUTAGE = 5
"""Failures in a row after which an endpoint counts as down: its next success brings back at once all that waits."""
CALM = 300.0
"""Seconds between two such rounds at least: one that is merely overloaded is not to be flooded."""
_LONGEST_SLEEP = 60.0  # due times are wall-clock times, and a wall clock may be set
_AFTER_A_BUG = 5.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where events go: one entry of `webhooks:`."""

    name: str
    url: str
    secrets: tuple[str, ...] = field(repr=False)
    """`whsec_…`; several while one is rotated."""
    events: tuple[str, ...]
    """Names of events, `*`, `call.*`."""
    max_age: float = 3 * 86400.0
    """Seconds after which an undelivered message is given up."""

    @classmethod
    def from_config(cls, config: WebhookConfig) -> Self:
        secrets = tuple(secret.get_secret_value() for secret in config.secret)
        return cls(config.name, str(config.url), secrets, config.events, config.max_age)


@dataclass(frozen=True, slots=True)
class Message:
    """One event for one endpoint, byte for byte as it will be signed and sent."""

    id: str
    """The `webhook-id`: the same for every attempt."""
    call_id: str
    body: bytes
    progress: Progress


@dataclass(frozen=True, slots=True)
class Due:
    messages: tuple[Message, ...]
    """At most one of each call, in the order in which to send them."""
    next: float | None
    """When the next one becomes due, in wall-clock seconds; None when none waits."""


class Outbox(Protocol):
    """Where messages wait. `now` is wall-clock seconds since 1970."""

    async def due(self, endpoint: str, *, now: float, limit: int, busy: Collection[str]) -> Due:
        """What to send now, without the calls in `busy`. Nothing for an endpoint that is disabled."""
        ...

    async def settle(self, endpoint: str, message_id: str, verdict: Verdict, *, now: float) -> None:
        """Keep what came of an attempt; returns when it is kept."""
        ...

    async def hurry(self, endpoint: str) -> None:
        """Make everything that waits due now, except where the receiver asked for a later time."""
        ...


Observer = Callable[[str, Outcome, float], None]
"""Told of each attempt: the endpoint's name, what came of it, the seconds it took."""


class Delivery:
    """Delivers until it is cancelled. `configure` gives it its endpoints, at first and on every reload."""

    def __init__(
        self,
        outbox: Outbox,
        client: OutboundClient,
        *,
        clock: Callable[[], float] = time.time,
        luck: Callable[[], float] = random.random,
        observe: Observer = lambda endpoint, outcome, seconds: None,
        timeout: float = TIMEOUT,
    ) -> None:
        self._outbox = outbox
        self._client = client
        self._clock = clock
        self._luck = luck
        self._observe = observe
        self._timeout = timeout
        self._workers: Mapping[str, _Worker] = {}
        self._changed = asyncio.Event()

    def configure(self, endpoints: Sequence[Endpoint]) -> None:
        """Replace all endpoints. Attempts under way end as they began. Raises `BadSecret`, and then changes nothing."""
        for endpoint in endpoints:
            Signer(endpoint.secrets)
        workers = {}
        for endpoint in endpoints:
            if worker := self._workers.get(endpoint.name):
                worker.change(endpoint)
            workers[endpoint.name] = worker or self._worker(endpoint)
        self._workers = workers
        self._changed.set()

    def wake(self, endpoints: Collection[str]) -> None:
        """Look again: there may be messages for these endpoints. Never waits."""
        for name in endpoints:
            if worker := self._workers.get(name):
                worker.wake()

    async def run(self) -> None:
        """Serve the endpoints until cancelled. Attempts under way are then given up; the outbox still holds them."""
        async with asyncio.TaskGroup() as group:
            tasks: dict[_Worker, asyncio.Task[None]] = {}
            while True:
                self._changed.clear()
                wanted = set(self._workers.values())
                for worker in tasks.keys() - wanted:
                    tasks.pop(worker).cancel()
                for worker in wanted - tasks.keys():
                    tasks[worker] = group.create_task(worker.run())
                await self._changed.wait()

    async def idle(self) -> None:
        """Wait until nothing is due or under way. Messages that wait for a retry do not count."""
        while busy := [worker for worker in self._workers.values() if not worker.idle.is_set()]:
            for worker in busy:
                await worker.idle.wait()

    def _worker(self, endpoint: Endpoint) -> _Worker:
        return _Worker(endpoint, self._outbox, self._client, self._clock, self._luck, self._observe, self._timeout)


class _Worker:
    """One endpoint's deliveries."""

    def __init__(
        self,
        endpoint: Endpoint,
        outbox: Outbox,
        client: OutboundClient,
        clock: Callable[[], float],
        luck: Callable[[], float],
        observe: Observer,
        timeout: float,
    ) -> None:
        self.idle = asyncio.Event()
        self._outbox = outbox
        self._client = client
        self._clock = clock
        self._luck = luck
        self._observe = observe
        self._timeout = timeout
        self._stirred = asyncio.Event()
        self._busy: set[str] = set()
        self._failures = 0
        self._calm_until = 0.0
        self.change(endpoint)

    def change(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._signer = Signer(endpoint.secrets)
        self.wake()

    def wake(self) -> None:
        self._stirred.set()
        self.idle.clear()

    async def run(self) -> None:
        while True:
            try:
                async with asyncio.TaskGroup() as attempts:
                    await self._serve(attempts)
            except Exception:  # the worker's own supervisor: a bug met by one endpoint must not stop the others
                log.exception("webhook delivery failed, starting again", endpoint=self._endpoint.name)
            self._busy.clear()
            self.wake()
            await asyncio.sleep(_AFTER_A_BUG)

    async def _serve(self, attempts: asyncio.TaskGroup) -> None:
        while True:
            self._stirred.clear()
            due = Due((), None)
            if free := CONCURRENCY - len(self._busy):
                due = await self._outbox.due(
                    self._endpoint.name, now=self._clock(), limit=free, busy=frozenset(self._busy)
                )
            for message in due.messages:
                self._busy.add(message.call_id)
                attempts.create_task(self._attempt(message))
            if not self._busy and not self._stirred.is_set():
                self.idle.set()
            await self._stir(until=due.next)

    async def _stir(self, *, until: float | None) -> None:
        wait = _LONGEST_SLEEP if until is None else min(max(until - self._clock(), 0.0), _LONGEST_SLEEP)
        try:
            async with asyncio.timeout(wait):
                await self._stirred.wait()
        except TimeoutError:
            self.idle.clear()

    async def _attempt(self, message: Message) -> None:
        endpoint = self._endpoint
        began = asyncio.get_running_loop().time()
        answer = await self._post(endpoint, message)
        now = self._clock()
        verdict = judge(message.progress, answer, now=now, luck=self._luck())
        await self._outbox.settle(endpoint.name, message.id, verdict, now=now)
        self._report(endpoint.name, message, verdict, asyncio.get_running_loop().time() - began)
        if answer.ok and self._failures >= OUTAGE and began >= self._calm_until:
            self._calm_until = began + CALM
            await self._outbox.hurry(endpoint.name)
        self._failures = 0 if answer.ok else self._failures + 1
        self._busy.discard(message.call_id)
        self.wake()

    async def _post(self, endpoint: Endpoint, message: Message) -> Answer:
        """An answer counts once its head came: whatever is wrong with the body behind it, and however long it takes."""
        headers = {"Content-Type": "application/json", **self._signer.headers(message.id, self._clock(), message.body)}
        try:
            answer = await self._client.request(
                "POST", endpoint.url, timeout=self._timeout, max_bytes=MAX_ANSWER, headers=headers, body=message.body
            )
        except OutboundError as error:
            if error.head is None:
                return Answer(error=error.message)
            answer = error.head
        return Answer(answer.status, answer.headers.get("Retry-After"))

    def _report(self, endpoint: str, message: Message, verdict: Verdict, seconds: float) -> None:
        about = {"endpoint": endpoint, "message": message.id, "call_id": message.call_id, "answer": verdict.summary}
        match verdict:
            case Delivered():
                self._observe(endpoint, "delivered", seconds)
            case Dead():
                log.error("webhook message given up, see `voxtrad events dead`", **about)
                self._observe(endpoint, "dead", seconds)
            case Gone():
                log.error("webhook endpoint disabled: it answered 410 Gone", **about)
                self._observe(endpoint, "gone", seconds)
            case _:
                log.warning("webhook message not delivered, will try again", **about)
                self._observe(endpoint, "retry", seconds)
