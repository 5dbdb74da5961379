"""Websockets for vendors whose SDK has none that can be awaited: opening one, receiving from it, and attending to one.

What a close code or a message of a vendor stands for is told by the vendor's module; nothing here knows one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence

import aiohttp

from voxtrad.finishing import finished
from voxtrad.providers.base import (
    JSON,
    MalformedAnswer,
    ProviderError,
    ProviderTimeout,
    Unreachable,
)
from voxtrad.providers.statuses import of_status

_MOST = 16 * 1024 * 1024
"""Bytes of one message; of speech in base64, minutes."""

HEARTBEAT = 10.0
"""Seconds between pings on a kept socket, so that one that was dropped on the way is noticed before it is wanted."""

OfClose = Callable[[int | None, str], ProviderError]
"""What a close code and its reason mean."""


class Sockets:
    """Where a provider's sockets come from: one session for all calls."""

    def __init__(self, provider: str, timeout: float) -> None:
        self._provider = provider
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None

    @property
    def session(self) -> aiohttp.ClientSession:
        """Made when it is first needed: a session belongs to a running loop."""
        if self._session is None:
            self._session = aiohttp.ClientSession()
        return self._session

    async def open(
        self,
        url: str,
        *,
        query: Mapping[str, str] | Sequence[tuple[str, str]],
        headers: Mapping[str, str],
        receive: float | None = None,
        heartbeat: float | None = None,
    ) -> aiohttp.ClientWebSocketResponse:
        """Connect. `receive` is how long a message may take, `heartbeat` the seconds between pings: a peer that does
        not answer them is gone. Raises `ProviderError`.
        """
        try:
            async with asyncio.timeout(self._timeout):
                return await self.session.ws_connect(
                    url,
                    params=query,
                    headers=headers,
                    timeout=aiohttp.ClientWSTimeout(ws_receive=receive, ws_close=1.0),
                    heartbeat=heartbeat,
                    max_msg_size=_MOST,
                )
        except aiohttp.WSServerHandshakeError as error:
            # Not chained: it carries the request's headers, and so the key.
            raise of_status(error.status, self._provider, error.headers) from None
        except aiohttp.TooManyRedirects:  # carries them too
            raise Unreachable("it leads from one address to the next", provider=self._provider) from None
        except TimeoutError as error:
            raise ProviderTimeout("the connection was not answered in time", provider=self._provider) from error
        except (aiohttp.ClientError, OSError) as error:
            raise Unreachable(f"the connection failed ({type(error).__name__})", provider=self._provider) from error

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()


class Attended:
    """A socket that somebody reads at all times: between sentences, too, pings are answered and a close is noticed.

    What comes is kept until it is asked for: at the most the sentences that the vendor was asked to speak.
    """

    def __init__(
        self, socket: aiohttp.ClientWebSocketResponse, provider: str, of_close: OfClose, *, timeout: float
    ) -> None:
        self._socket = socket
        self._provider = provider
        self._of_close = of_close
        self._timeout = timeout
        self._came: asyncio.Queue[dict[str, object] | ProviderError] = asyncio.Queue()
        self._reading = asyncio.create_task(self._read(), name=f"socket-{provider}")

    @property
    def closed(self) -> bool:
        """Whether nothing more will come."""
        return self._reading.done()

    def when_lost(self, lost: Callable[[], None]) -> None:
        """Have it told when the socket breaks or is closed by the vendor."""
        self._reading.add_done_callback(lambda reading: None if reading.cancelled() else lost())

    async def send(self, message: Mapping[str, JSON]) -> None:
        """Raises `Unreachable`."""
        try:
            await self._socket.send_json(message)
        except (ConnectionError, aiohttp.ClientError) as error:
            raise Unreachable(f"the connection broke ({type(error).__name__})", provider=self._provider) from error

    async def receive(self) -> dict[str, object]:
        """The next message. Raises `ProviderError`; after that the socket is of no use."""
        try:
            async with asyncio.timeout(self._timeout):
                came = await self._came.get()
        except TimeoutError as error:
            raise ProviderTimeout("nothing came in time", provider=self._provider) from error
        if isinstance(came, ProviderError):
            raise came
        return came

    async def aclose(self) -> None:
        await finished(self._close())

    async def _close(self) -> None:
        self._reading.cancel()
        await asyncio.wait([self._reading])
        await self._socket.close()

    async def _read(self) -> None:
        try:
            while True:
                self._came.put_nowait(await receive(self._socket, self._provider, self._of_close))
        except ProviderError as error:
            self._came.put_nowait(error)


class Warm:
    """A socket that is open whenever it is wanted.

    One that is lost while nobody waits for it (vendors close what is idle) is opened anew at once, not when somebody
    does; and not again before it was wanted: who closes it at once must not be asked for ever.
    """

    def __init__(self, connect: Callable[[], Awaitable[Attended]]) -> None:
        self._connect = connect
        self._wanted = False
        self._opening: asyncio.Task[None] | None = None
        self.socket: Attended | None = None

    async def get(self) -> Attended:
        """Raises `ProviderError`."""
        self._wanted = True
        if self._opening is not None:
            await asyncio.wait([self._opening])
        if self.socket is None or self.socket.closed:
            await self.drop()
            await self._open()
        assert self.socket is not None
        return self.socket

    async def drop(self) -> None:
        """Close it; the next that is wanted is another."""
        await finished(self._drop())

    async def _drop(self) -> None:
        opening, self._opening = self._opening, None
        if opening is not None:
            opening.cancel()
            await asyncio.wait([opening])
        socket, self.socket = self.socket, None
        if socket is not None:
            await socket.aclose()

    async def _open(self) -> None:
        self.socket = socket = await self._connect()
        socket.when_lost(lambda: self._lost(socket))

    def _lost(self, socket: Attended) -> None:
        if socket is self.socket and self._wanted:
            self._wanted = False
            self._opening = asyncio.create_task(self._reopen(socket), name="socket-again")

    async def _reopen(self, lost: Attended) -> None:
        self.socket = None
        try:
            await lost.aclose()
            await self._open()
        except ProviderError:
            return  # whoever wants it next is told why


async def receive(socket: aiohttp.ClientWebSocketResponse, provider: str, of_close: OfClose) -> dict[str, object]:
    """The next message, an object. Raises `ProviderError` for silence, a closed socket, and what is no object."""
    try:
        message = await socket.receive()
    except TimeoutError as error:
        raise ProviderTimeout("nothing came in time", provider=provider) from error
    if message.type is not aiohttp.WSMsgType.TEXT:
        if message.type is aiohttp.WSMsgType.BINARY:
            raise MalformedAnswer("bytes where a message was expected", provider=provider)
        reason = message.extra if message.type is aiohttp.WSMsgType.CLOSE else ""
        raise of_close(socket.close_code, str(reason or ""))
    try:
        parsed: object = json.loads(message.data)
    except ValueError as error:
        raise MalformedAnswer("a message that is not JSON", provider=provider) from error
    if not isinstance(parsed, dict):
        raise MalformedAnswer("a message that is not an object", provider=provider)
    return parsed
