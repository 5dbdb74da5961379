"""The address rules of `client.py` for libraries that bring httpx along: a transport that looks a host up, refuses the
addresses that voxtrad does not talk to, and connects to exactly the one that it has checked. Answers are bounded.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Self

import httpx2

from voxtrad.outbound import addresses
from voxtrad.outbound.addresses import Trust

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""From host and port to numeric addresses, the best one first. Raises `OSError`."""


MAX_ANSWER = 1024 * 1024
"""Bytes of a body that are read, and of one event where it is a stream of events."""
_END_OF_EVENT = re.compile(rb"\r?\n\r?\n")


class PinnedTransport(httpx2.AsyncBaseTransport):
    """HTTP to hosts that are `trust`ed so far; no proxy of the environment is used. Handed to `httpx2.AsyncClient`.

    Requests raise `httpx2.ConnectError` where no address is left to talk to, and `httpx2.RemoteProtocolError` for an
    answer that is too large, or compressed, which it was not asked to be.
    """

    def __init__(
        self,
        *,
        trust: Trust = "configured",
        lookup: Lookup | None = None,
        refusal: Callable[[str, Trust], str | None] = addresses.refusal,
    ) -> None:
        """Look-up and address policy are handed in by tests."""
        self._inner = httpx2.AsyncHTTPTransport(verify=ssl.create_default_context(), trust_env=False)
        self._trust: Trust = trust
        self._lookup = lookup or _system_lookup
        self._refusal = refusal

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        url = request.url
        try:
            found = await self._lookup(url.host, url.port or (443 if url.scheme == "https" else 80))
        except OSError as error:
            raise httpx2.ConnectError(f"{url.host} cannot be looked up: {error.strerror or error}") from error
        failure = httpx2.ConnectError(f"{url.host} has no address", request=request)
        for address in found:
            if reason := self._refusal(address, self._trust):
                failure = httpx2.ConnectError(f"{url.host} is refused: {address} {reason}", request=request)
                continue
            # The name stays in the Host header and in TLS; only where the connection goes is settled here.
            pinned = httpx2.Request(
                request.method,
                url.copy_with(host=address),
                headers=request.headers,
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": url.host},
            )
            pinned.headers["Accept-Encoding"] = "identity"
            try:
                return await _bounded(await self._inner.handle_async_request(pinned))
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:  # nothing was sent: the next address
                failure = httpx2.ConnectError(f"cannot connect to {url.host}: {error}", request=request)
        raise failure

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self


class _Bounded(httpx2.AsyncByteStream):
    """A body that ends in an error where it is too large."""

    def __init__(self, body: httpx2.AsyncByteStream, *, events: bool) -> None:
        self._body = body
        self._events = events

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for piece in self._body:
            ends = [found.end() for found in _END_OF_EVENT.finditer(piece)] if self._events else []
            size = len(piece) - ends[-1] if ends else size + len(piece)
            if size > MAX_ANSWER:
                raise httpx2.RemoteProtocolError(f"the answer is larger than {MAX_ANSWER} bytes")
            yield piece

    async def aclose(self) -> None:
        await self._body.aclose()


async def _bounded(answer: httpx2.Response) -> httpx2.Response:
    if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
        await answer.aclose()
        raise httpx2.RemoteProtocolError("the answer is compressed, which it was not asked to be")
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    body = answer.stream
    assert isinstance(body, httpx2.AsyncByteStream)
    answer.stream = _Bounded(body, events=kind == "text/event-stream")
    return answer


async def _system_lookup(host: str, port: int) -> Sequence[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
