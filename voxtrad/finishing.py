"""Work that is not to be left half done: what others have been asked to do, and what is to be known of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import TypeVar

T = TypeVar("T")


async def finished(work: Coroutine[object, object, T]) -> T:
    """What comes of some work, which is seen to its end also when whoever waits for it is cancelled meanwhile, or
    before it has begun. They are cancelled then, and what it raises is told to nobody. It has to end by itself."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
        raise


def unheeded(future: asyncio.Future[T]) -> asyncio.Future[T]:
    """One that nobody need wait for: what it raises then is no error that the log must tell of."""
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
    return future
