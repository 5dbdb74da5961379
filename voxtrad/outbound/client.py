"""The one HTTP client by which voxtrad calls users' servers: bounded in time and size, and picky about addresses.

Every way in which a far side can misbehave ends in an `OutboundError`. It leaves to others what to send, whether to
try again and what an answer means. Vendors' SDKs bring their own clients and do not pass here.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import socket
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self, cast

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from voxtrad import __version__
from voxtrad.errors import VoxtradError
from voxtrad.events.types import JSON
from voxtrad.outbound import addresses
from voxtrad.outbound.addresses import Trust

CONNECT_TIMEOUT = 2.0
"""Seconds for look-up, TCP and TLS together."""
_KEEP_ALIVE = 4.0  # common servers drop idle connections after 5 s; a request must not meet that moment


class OutboundError(VoxtradError):
    """A request brought no usable answer. Messages name the host at most: paths and queries can hold secrets."""

    head: Answer | None = None
    """What there was of an answer, without its body: for whom its status is enough."""


class NotSendable(OutboundError):
    """Nothing was sent, as the request cannot be made (a malformed URL or header)."""


class AddressRefused(OutboundError):
    """Nothing was sent: the address is one that voxtrad does not talk to."""


class ConnectFailed(OutboundError):
    """Nothing was sent: look-up, TCP or TLS failed or took longer than `CONNECT_TIMEOUT`."""


class Disconnected(OutboundError):
    """The connection broke before an answer began; what was sent may have been acted on."""


class DeadlineExceeded(OutboundError):
    """No whole answer within the request's time."""


class BadAnswer(OutboundError):
    """What came is no valid answer (not HTTP, torn, lying about its length, not JSON). `status` where there was one."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class TooLarge(BadAnswer):
    """The body, once decompressed, is larger than asked for."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, whatever its status. Redirects are not followed: they arrive as an answer with status 3xx."""

    status: int
    headers: Mapping[str, str]
    """Names match in any case."""
    body: bytes

    def json(self) -> JSON:
        """The body as JSON, whatever content type it claims. Raises `BadAnswer`.

        Refused with what is not JSON at all: NaN and Infinity, half surrogate pairs (they cannot be written as UTF-8),
        nesting and numbers past what Python reads.
        """
        try:
            value = cast("JSON", json.loads(self.body.decode("utf-8-sig"), parse_constant=_refuse_constant))
            json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
        except (ValueError, RecursionError) as error:
            raise BadAnswer("the answer is not valid JSON", status=self.status) from error
        return value


class OutboundClient:
    """Makes requests; may be shared by all calls. Use as an async context manager, or call `aclose`.

    Environment proxies are not used, cookies not kept. Resolver and address policy are handed in by tests.
    """

    def __init__(
        self,
        *,
        resolver: AbstractResolver | None = None,
        refusal: Callable[[str, Trust], str | None] = addresses.refusal,
    ) -> None:
        # One pool per trust, so that a connection that was opened for a trusted host never serves an untrusted URL.
        self._sessions = {trust: _session(trust, resolver, refusal) for trust in _TRUSTS}

    async def request(
        self,
        method: str,
        url: str | URL,
        *,
        timeout: float,
        max_bytes: int,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        trust: Trust = "configured",
    ) -> Answer:
        """Send one request and read its whole answer within `timeout` seconds and `max_bytes` of body.

        Raises `OutboundError`; after a status line came its `BadAnswer` carries the status.
        """
        target = _target(url)
        where = f"{target.host}:{target.port}"
        head: Answer | None = None
        try:
            async with (
                asyncio.timeout(timeout),
                self._sessions[trust].request(
                    method, target, headers=headers, data=body, allow_redirects=False
                ) as response,
            ):
                head = Answer(response.status, response.headers, b"")
                return Answer(response.status, response.headers, await _read(response, max_bytes))
        except BadAnswer as error:
            error.head = head
            raise
        except aiohttp.ConnectionTimeoutError as error:
            raise ConnectFailed(f"no connection to {where} within {CONNECT_TIMEOUT:g} s") from error
        except TimeoutError as error:
            late = DeadlineExceeded(f"no whole answer from {where} within {timeout:g} s")
            late.head = head
            raise late from error
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, _Refused):
                raise AddressRefused(f"{where} is refused: {error.os_error.strerror}") from error
            raise ConnectFailed(f"cannot connect to {where}: {_reason(error.os_error)}") from error
        except (aiohttp.ClientResponseError, aiohttp.ClientPayloadError) as error:
            raise BadAnswer(f"{where} broke the HTTP protocol") from error
        except (aiohttp.ClientConnectionError, ConnectionError) as error:
            raise Disconnected(f"{where} closed the connection without an answer") from error
        except (aiohttp.ClientError, ValueError) as error:  # ValueError: a header with a line break
            raise NotSendable(f"the request to {where} cannot be sent as it is") from error

    async def aclose(self) -> None:
        for session in self._sessions.values():
            await session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


_TRUSTS: tuple[Trust, ...] = ("configured", "public")


class _Refused(PermissionError):
    """Raised below aiohttp, which passes an `OSError` on in its `ClientConnectorError`."""


def _session(
    trust: Trust, resolver: AbstractResolver | None, refusal: Callable[[str, Trust], str | None]
) -> aiohttp.ClientSession:
    def open_socket(info: aiohttp.AddrInfoType) -> socket.socket:
        # Every connection passes here with the very address it goes to: nothing is looked up after the check.
        family, kind, protocol, _, where = info
        address = str(where[0])
        reason = refusal(address, trust)
        if reason:
            raise _Refused(errno.EACCES, f"{address} {reason}")
        return socket.socket(family, kind, protocol)

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=0, keepalive_timeout=_KEEP_ALIVE, resolver=resolver, socket_factory=open_socket
        ),
        connector_owner=True,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT),
        headers={"User-Agent": f"voxtrad/{__version__}", "Accept-Encoding": "identity"},
        auto_decompress=False,
    )


def _reason(error: OSError) -> str:
    """In the system's words where it has some: the library's own name the address once more."""
    return os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error.strerror or error)


def _target(url: str | URL) -> URL:
    try:
        target = URL(url)
    except ValueError as error:
        raise NotSendable("not a valid URL") from error
    if target.scheme not in ("http", "https") or not target.host:
        raise NotSendable("not an http:// or https:// URL")
    return target


async def _read(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    too_large = TooLarge(f"the answer is larger than {max_bytes} bytes", status=response.status)
    if (response.content_length or 0) > max_bytes:
        raise too_large
    body = bytearray()
    received = 0
    try:
        inflate = _inflater(response.headers.get("Content-Encoding", ""))
        async for piece in response.content.iter_any():
            received += len(piece)
            body += inflate.decompress(piece, max_bytes + 1 - len(body)) if inflate else piece
            if received > max_bytes or len(body) > max_bytes:
                raise too_large
        if inflate and not inflate.eof:
            raise ValueError("compressed data ends early")
    except (aiohttp.ClientError, ConnectionError, zlib.error, ValueError) as error:
        raise BadAnswer("the answer's body is torn or cannot be decompressed", status=response.status) from error
    return bytes(body)


def _inflater(encoding: str) -> zlib._Decompress | None:
    """For servers that compress though they were asked not to. Bounded, unlike most libraries' own."""
    match encoding.strip().lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip" | "deflate":
            return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        case _:
            raise ValueError("unknown Content-Encoding")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
