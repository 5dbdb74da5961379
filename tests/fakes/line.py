"""The network between a provider and its vendor's server, to be cut, half closed or stalled at will."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from yarl import URL


class Line:
    """Carries bytes both ways. One address at a time; `connections` counts all that were made."""

    def __init__(self) -> None:
        self.connections = 0
        self.open = 0
        """How many there are."""
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._ends: list[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = []
        self._host, self._port = "", 0
        self._stalled: set[asyncio.StreamWriter] = set()

    async def to(self, url: str) -> str:
        """The address that leads to another."""
        there = URL(url)
        assert there.host is not None and there.port is not None
        self._host, self._port = there.host, there.port
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        return str(there.with_port(self._server.sockets[0].getsockname()[1]))

    def half_close(self) -> None:
        """The vendor will say nothing more on the connections that there are, but goes on listening."""
        for client, _ in self._ends:
            if not client.is_closing() and client.can_write_eof():
                client.write_eof()

    def stall(self) -> None:
        """Nothing more of the vendor's arrives on the connections that there are, and nobody is told."""
        self._stalled.update(client for client, _ in self._ends)

    async def idle(self) -> None:
        """Wait until there are none."""
        async with asyncio.timeout(5):
            while self.open:
                self._changed.clear()
                await self._changed.wait()

    def cut(self) -> None:
        """The connections that there are break, without a word to either side."""
        ends, self._ends = self._ends, []
        for client, server in ends:
            client.transport.abort()
            server.transport.abort()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()

    async def _carry(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        from_server, to_server = await asyncio.open_connection(self._host, self._port)
        self._ends.append((to_client, to_server))
        async with asyncio.TaskGroup() as group:
            group.create_task(self._copy(from_client, to_server))
            group.create_task(self._copy(from_server, to_client))
        to_client.close()
        to_server.close()
        self.open -= 1
        self._changed.set()

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                if target in self._stalled:
                    continue
                target.write(data)
                await target.drain()
            if target.can_write_eof():
                target.write_eof()
        except (OSError, RuntimeError):  # it broke, or was half closed
            target.transport.abort()
