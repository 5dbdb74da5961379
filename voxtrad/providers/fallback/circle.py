"""What the fallbacks of all kinds share: who is asked, what is told of it, and the probing of those who failed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Generic, Literal, Protocol, TypeVar

import structlog

from voxtrad.providers.base import (
    BadKey,
    BadRequest,
    Kind,
    MalformedAnswer,
    ProviderError,
    ProviderTimeout,
    QuotaExceeded,
    RateLimited,
    Unreachable,
)
from voxtrad.providers.fallback.standing import Standing

Outcome = Literal[
    "ok", "bad_key", "quota", "bad_request", "rate_limited", "timeout", "unreachable", "malformed", "error"
]

_OUTCOMES: tuple[tuple[type[ProviderError], Outcome], ...] = (
    (BadKey, "bad_key"),
    (QuotaExceeded, "quota"),
    (BadRequest, "bad_request"),
    (RateLimited, "rate_limited"),
    (ProviderTimeout, "timeout"),
    (Unreachable, "unreachable"),
    (MalformedAnswer, "malformed"),
)


class Observer(Protocol):
    """Who is told: metrics, events."""

    def on_request(self, provider: str, kind: Kind, outcome: Outcome) -> None:
        """A request of a call has been answered or has failed."""
        ...

    def on_fallback(self, kind: Kind, from_: str, to: str, reason: str) -> None:
        """Another provider takes over."""
        ...


class Nobody:
    """An observer that does nothing."""

    def on_request(self, provider: str, kind: Kind, outcome: Outcome) -> None:
        pass

    def on_fallback(self, kind: Kind, from_: str, to: str, reason: str) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Deadlines:
    """Seconds that a provider has while there is another to turn to; the last one has its own `timeout`."""

    connect: float = 2.0
    first_token: float = 4.0
    next_token: float = 3.0
    first_audio: float = 2.0
    next_audio: float = 2.0
    left: Callable[[], float] | None = None
    """Tells how many seconds of silence the caller of a call can still bear."""

    def within(self, usual: float, *, then: float) -> float:
        """The seconds that there are now, if whoever takes over needs `then` of them until it is heard."""
        return usual if self.left is None else min(usual, max(LEAST, self.left() - then))

    def for_call(self, left: Callable[[], float]) -> Deadlines:
        return replace(self, left=left)


TOKEN_THEN = 1.5
AUDIO_THEN = 0.6
"""Seconds that another language model and a voice need until they are heard, and a voice alone."""
LEAST = 0.5
"""Seconds that everybody has, whatever was spent before."""


def attempts(order: list[int]) -> list[tuple[int, int | None]]:
    """Who is tried, one after the other, and who would be next. One without another is next itself."""
    tried = order if len(order) > 1 else [*order, *order]
    return list(zip(tried, [*tried[1:], None], strict=True))


def again(error: ProviderError) -> bool:
    """Whether it may help to try the same one at once: a connection that was kept may have been dropped meanwhile."""
    return isinstance(error, Unreachable)


def outcome_of(error: ProviderError) -> Outcome:
    return next((outcome for type_, outcome in _OUTCOMES if isinstance(error, type_)), "error")


class Named(Protocol):
    @property
    def name(self) -> str: ...


P = TypeVar("P", bound=Named)

_log = structlog.get_logger(__name__)


class Circle(Generic[P]):
    """The providers of one list. `probe` tries one in the background, raising `ProviderError` where it still fails."""

    def __init__(
        self, kind: Kind, providers: Sequence[P], observer: Observer, probe: Callable[[P], Awaitable[None]]
    ) -> None:
        if not providers:
            raise ValueError("a list of providers must not be empty")
        self.providers = tuple(providers)
        self._kind: Kind = kind
        self._observer = observer
        self._probe = probe
        self._standing = Standing(len(providers))
        self._probing: asyncio.Task[None] | None = None
        self._another = asyncio.Event()
        """One more has failed."""

    def order(self) -> list[int]:
        """Positions of the providers, in the order in which they are to be tried."""
        return self._standing.order(_now())

    def worked(self, index: int) -> None:
        self._standing.worked(index)
        self._observer.on_request(self.providers[index].name, self._kind, "ok")

    def failed(self, index: int, error: ProviderError, *, then: int | None) -> None:
        """It failed, and `then` takes over, where there is one."""
        name = self.providers[index].name
        self._standing.failed(index, error, _now())
        self._observer.on_request(name, self._kind, outcome_of(error))
        to = None if then is None else self.providers[then].name
        if to is not None:
            self._observer.on_fallback(self._kind, name, to, error.message)
        _log.warning(
            "a provider failed", kind=self._kind, provider=name, reason=error.message, hint=error.hint, next=to
        )
        self._another.set()
        if (self._probing is None or self._probing.done()) and self._standing.next_probe():
            self._probing = asyncio.create_task(self._probe_all(), name=f"probe-{self._kind}")

    async def aclose(self) -> None:
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.wait([self._probing])

    async def _probe_all(self) -> None:
        """Try those who sit out whenever their time is up, until nobody does."""
        while (found := self._standing.next_probe()) is not None:
            index, due = found
            if _now() < due:
                await self._wait(due)
                continue  # it may have worked for a call meanwhile, or failed again
            provider = self.providers[index]
            try:
                async with within(10.0, provider.name, "the probe"):
                    await self._probe(provider)
            except ProviderError as error:
                if isinstance(error, BadRequest):
                    self._standing.worked(index)  # it answers: that the probe is not to its taste does not matter
                else:
                    self._standing.failed(index, error, _now())
            else:
                self._standing.worked(index)
                _log.info("a provider is back", kind=self._kind, provider=provider.name)

    async def _wait(self, until: float) -> None:
        """Shorter where another fails, whose time may be up sooner."""
        self._another.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                await self._another.wait()


@contextlib.asynccontextmanager
async def within(seconds: float | None, provider: str, what: str) -> AsyncIterator[None]:
    """`ProviderTimeout` where the block takes longer; None is no limit."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise ProviderTimeout(f"{what} took longer than {seconds:g} s", provider=provider) from error


def _now() -> float:
    return asyncio.get_running_loop().time()
