"""Servers on loopback that answer with whatever bytes a test gives them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Serve = Callable[[Behaviour], Awaitable[str]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start a TCP server that reads a request's head and then behaves as told; gives its `http://127.0.0.1:port`."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(behave: Behaviour) -> str:
            async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                try:
                    await reader.readuntil(b"\r\n\r\n")
                    await behave(reader, writer)
                    await writer.drain()
                except (ConnectionError, asyncio.IncompleteReadError):
                    pass
                finally:
                    writer.close()

            server = await stack.enter_async_context(await asyncio.start_server(connected, "127.0.0.1", 0))
            return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

        yield start


@pytest.fixture
def answering(serve: Serve) -> Callable[[bytes], Awaitable[str]]:
    """A server that sends these bytes and closes."""

    async def start(raw: bytes) -> str:
        async def behave(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(raw)

        return await serve(behave)

    return start
