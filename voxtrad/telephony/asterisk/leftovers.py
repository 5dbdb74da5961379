"""What calls make in Asterisk, bridges and media channels, is freed: with the call, or where Asterisk does not answer,
again and again until it has answered.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator

import structlog

from voxtrad.events.types import JSON
from voxtrad.telephony.asterisk.ari import AriError, AriRefused, AriUnreachable

AGAIN = 5.0
"""Seconds from a failure to the next attempt."""
LAST = 5.0
"""Seconds that a server that stops begins to free things."""

log = structlog.stdlib.get_logger(__name__)


class Belongings:
    """What one leg has in Asterisk. `free_later` takes what could not be freed, by its ARI path."""

    def __init__(
        self, leg_id: str, delete: Callable[[str], Awaitable[JSON]], free_later: Callable[[str], None]
    ) -> None:
        self._leg_id = leg_id
        self._delete = delete
        self._free_later = free_later

    @contextlib.contextmanager
    def made(self, path: str) -> Iterator[None]:
        """Something is being made: without an answer it may come yet."""
        try:
            yield
        except AriUnreachable:
            self._free_later(path)
            raise

    async def remove(self, path: str) -> None:
        """Delete something; without an answer, or cancelled before, it is freed later. Never raises `AriError`."""
        try:
            await self._delete(path)
        except AriRefused as error:
            not_freed(self._leg_id, error)
        except AriError as error:
            self._free_later(path)
            not_freed(self._leg_id, error)
        except asyncio.CancelledError:
            self._free_later(path)
            raise


def not_freed(leg_id: str, error: AriError) -> None:
    """Say so, unless it was gone already."""
    if not (isinstance(error, AriRefused) and error.status == 404):
        log.warning("something of a call could not be freed", leg=leg_id, reason=error.message)


class Leftovers:
    """Channels and bridges of ours, by their ARI paths. In the memory only: what a server leaves that dies, the next
    one finds by its name (`orphans.py`)."""

    def __init__(self, delete: Callable[[str], Awaitable[JSON]], *, ready: Callable[[], Awaitable[None]]) -> None:
        """`delete` asks Asterisk to; `ready` returns when it can be asked."""
        self._delete = delete
        self._ready = ready
        self._paths: dict[str, None] = {}
        self._some = asyncio.Event()

    def add(self, path: str) -> None:
        """To be deleted: it is there, or may come yet."""
        self._paths[path] = None
        self._some.set()

    async def run(self) -> None:
        """Free what is added, until cancelled."""
        while True:
            await self._some.wait()
            await asyncio.sleep(AGAIN)
            await self._ready()
            self._some.clear()
            for path in tuple(self._paths):
                await self._free(path)

    async def last(self) -> None:
        """Nobody runs this any more: free what one attempt frees. An Asterisk that does not answer, a few requests at a
        time, is not waited for: what stays is found by the next server."""
        try:
            async with asyncio.timeout(LAST):
                await asyncio.gather(*(self._free(path) for path in tuple(self._paths)))
        except TimeoutError:
            log.warning("something of ended calls stays in Asterisk, which does not answer", count=len(self._paths))

    async def _free(self, path: str) -> None:
        try:
            await self._delete(path)
            log.info("something of an ended call was freed at last", path=path)
        except AriUnreachable:
            self._some.set()
            return
        except AriError as error:
            if not (isinstance(error, AriRefused) and error.status == 404):
                log.warning("something of an ended call stays in Asterisk", path=path, reason=error.message)
        self._paths.pop(path, None)
