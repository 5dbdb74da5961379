"""A TCP proxy in front of Asterisk's HTTP port, to cut connections the way a network does."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit


class Proxy:
    """Passes bytes on. `cut_events` breaks the ARI events connections and refuses new ones until `mend`."""

    def __init__(self, upstream: str, host: str) -> None:
        self._host = host
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname or "", parts.port or 0)
        self._server: asyncio.Server | None = None
        self._events: set[asyncio.StreamWriter] = set()
        self._all: set[asyncio.Task[None]] = set()
        self._broken = False
        self._refuse_all = False

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"http://{self._host}:{self._server.sockets[0].getsockname()[1]}"

    def cut_events(self, *, requests_too: bool) -> None:
        """`requests_too` refuses new ARI requests as well; media connections stay."""
        self._broken, self._refuse_all = True, requests_too
        for writer in self._events:
            writer.transport.abort()

    def mend(self) -> None:
        self._broken = self._refuse_all = False

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, self._host, 0)

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in tuple(self._all):
            task.cancel()
        await asyncio.gather(*self._all, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._all.add(task)
        task.set_name("proxy")
        try:
            await self._connection(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._all.discard(task)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        is_events, is_media = b" /ari/events" in head, b" /media/" in head
        if (is_events and self._broken) or (self._refuse_all and not is_media):
            return
        far_reader, far_writer = await asyncio.open_connection(*self._upstream)
        if is_events:
            self._events.add(writer)
        try:
            far_writer.write(head)
            back = asyncio.create_task(self._pass(far_reader, writer), name="proxy")
            try:
                while data := await reader.read(65536):
                    if self._refuse_all and not is_media:
                        return
                    far_writer.write(data)
                    await far_writer.drain()
            finally:
                back.cancel()
                await asyncio.gather(back, return_exceptions=True)
        finally:
            self._events.discard(writer)
            far_writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.transport.abort()


@contextlib.asynccontextmanager
async def proxy_to(upstream: str, host: str = "127.0.0.1") -> AsyncIterator[Proxy]:
    proxy = Proxy(upstream, host)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.close()
