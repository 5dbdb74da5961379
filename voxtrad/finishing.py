"""Work that is not to be left half done: what others have been asked to do, and what is to be known of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import TypeVar

import structlog

T = TypeVar("T")

WITHIN = 15.0
"""Seconds that work is given whose asker is cancelled: longer than any answer is waited for."""
_LAST = 1.0
"""Seconds that it has to give itself up then."""

log = structlog.stdlib.get_logger(__name__)


async def finished(work: Coroutine[object, object, T]) -> T:
    """What comes of some work, which is seen to its end also when whoever waits for it is cancelled meanwhile, or
    before it has begun. They are cancelled then, and what it raises is told to nobody. Work that does not end by
    itself is cancelled as well, `WITHIN` seconds later."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await _done(task, WITHIN)
        if not task.done():
            log.warning("something that was to be finished does not end", what=str(work), seconds=WITHIN)
            task.cancel()
            await _done(task, _LAST)
        if task.done() and not task.cancelled():
            task.exception()
        raise


def unheeded(future: asyncio.Future[T]) -> asyncio.Future[T]:
    """One that nobody need wait for: what it raises then is no error that the log must tell of."""
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
    return future


async def _done(task: asyncio.Task[T], within: float) -> None:
    """Wait for it, however often one is cancelled meanwhile."""
    loop = asyncio.get_running_loop()
    until = loop.time() + within
    while not task.done() and (left := until - loop.time()) > 0:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task], timeout=left)
