"""Reading what providers stream, with patience that ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

from voxtrad.providers.base import ProviderTimeout

T = TypeVar("T")


async def patiently(stream: AsyncIterator[T], seconds: float, *, provider: str, what: str) -> AsyncGenerator[T, None]:
    """What a provider streams, closed when the reader is done. Raises `ProviderTimeout` after so many seconds without.

    A provider has its own, shorter, deadlines; this one is for those that do not keep them.
    """
    try:
        while True:
            try:
                async with asyncio.timeout(seconds) as limit:
                    item = await anext(stream)
            except StopAsyncIteration:
                return
            except TimeoutError:
                if not limit.expired():
                    raise
                raise ProviderTimeout(f"{what} did not come within {seconds:g} s", provider=provider) from None
            yield item
    finally:
        if isinstance(stream, AsyncGenerator):
            await stream.aclose()
