"""What ended calls could not free in Asterisk because it did not answer: tried again until it has answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from voxtrad.events.types import JSON
from voxtrad.telephony.asterisk.ari import AriError, AriRefused, AriUnreachable

AGAIN = 5.0
"""Seconds from a failure to the next attempt."""

log = structlog.stdlib.get_logger(__name__)


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
        del self._paths[path]
