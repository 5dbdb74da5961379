"""What is the same wherever a conversation may fail: the error behind a group of them, and patience with a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

from voxtrad.providers.base import ProviderTimeout

T = TypeVar("T")


def single(error: BaseException) -> Exception:
    """The first single error in (nested) groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if not isinstance(error, Exception):
        raise error
    return error


async def patiently(stream: AsyncIterator[T], seconds: float, *, provider: str, what: str) -> AsyncGenerator[T, None]:
    """What a provider streams, closed when the reader is done. Raises `ProviderTimeout` after so many seconds without.

    A provider has its own, shorter, deadlines; this one is for those that do not keep them.
    """
    try:
        while True:
            try:
                async with asyncio.timeout(seconds):
                    item = await anext(stream)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise ProviderTimeout(f"{what} did not come within {seconds:g} s", provider=provider) from None
            yield item
    finally:
        if isinstance(stream, AsyncGenerator):
            await stream.aclose()
