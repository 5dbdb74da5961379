"""What vendors do with a socket on which nothing comes: they close it."""

from __future__ import annotations

import asyncio

from aiohttp import web


class Idle:
    """Closes a socket on which nothing was heard for so many seconds."""

    def __init__(self, socket: web.WebSocketResponse, seconds: float, *, code: int = 1000, reason: bytes = b"") -> None:
        self._seconds = seconds
        self._patience: asyncio.Timeout | None = None
        self._watching = asyncio.create_task(self._watch(socket, code, reason))

    def heard(self) -> None:
        if self._patience is not None and not self._patience.expired():
            self._patience.reschedule(asyncio.get_running_loop().time() + self._seconds)

    def stop(self) -> None:
        self._watching.cancel()

    async def _watch(self, socket: web.WebSocketResponse, code: int, reason: bytes) -> None:
        try:
            async with asyncio.timeout(self._seconds) as self._patience:
                await asyncio.Event().wait()
        except TimeoutError:
            await socket.close(code=code, message=reason)
