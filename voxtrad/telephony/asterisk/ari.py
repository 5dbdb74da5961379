"""Requests to the Asterisk REST Interface. Only asks and answers: events come through `connection.py`.

Source: "Asterisk REST Interface (ARI)" in the Asterisk documentation.
"""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Callable, Mapping

import aiohttp
from yarl import URL

from voxtrad.events.types import JSON
from voxtrad.finishing import finished
from voxtrad.leg import LegError
from voxtrad.telephony.asterisk.settings import AsteriskSettings

_REQUESTS_AT_ONCE = 16  # Asterisk's HTTP server carries 100 sessions by default, and each call's media takes one
_TIMEOUT = aiohttp.ClientTimeout(total=10.0, connect=3.0)
_DOWNLOAD = aiohttp.ClientTimeout(total=None, connect=3.0, sock_read=10.0)


class AriError(LegError):
    """Asterisk could not be asked, or answered something that is no ARI."""


class AriUnreachable(AriError):
    """No connection to Asterisk's HTTP server, or it did not answer in time."""


class AriRefused(AriError):
    """Asterisk answered with an error. `status` is the HTTP status."""

    def __init__(self, status: int, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status


def open_session() -> aiohttp.ClientSession:
    """The HTTP session for `Ari`: without a limit on connections, because each call's media websocket holds one."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))


def refusal(status: int, message: str) -> AriRefused:
    """The error for an HTTP status, with a hint where the cause is usually the same."""
    if status == 401:
        return AriRefused(
            status,
            "Asterisk refuses the ARI user name or password",
            hint="compare asterisk.username and asterisk.password with ari.conf",
        )
    if status == 403:
        return AriRefused(status, "the ARI user may only read", hint="set read_only = no in ari.conf")
    return AriRefused(status, f"Asterisk answered {status}: {message}")


class Ari:
    """Asks Asterisk. Parameters go in the JSON body, so that nothing a caller said stands in an HTTP log.

    A request that changes something is seen to its end once it is under way, also when whoever asked is cancelled
    meanwhile: Asterisk does what it has read, and what is made after its maker has cleared up stays for ever.
    """

    def __init__(self, http: aiohttp.ClientSession, settings: AsteriskSettings) -> None:
        if http.connector is not None and http.connector.limit:
            raise ValueError("the session limits its connections: use open_session()")
        self.http = http
        credentials = base64.b64encode(f"{settings.username}:{settings.password}".encode()).decode()
        self.headers = {"Authorization": f"Basic {credentials}"}
        self.base = URL(settings.url)
        self._turn = asyncio.Semaphore(_REQUESTS_AT_ONCE)

    def websocket_url(self, *path: str) -> URL:
        return self.base.with_scheme("wss" if self.base.scheme == "https" else "ws").joinpath(*path)

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> JSON:
        return await self._ask("GET", path, query=query)

    async def post(self, path: str, body: JSON = None) -> JSON:
        return await self._ask("POST", path, body=body)

    async def delete(self, path: str, query: Mapping[str, str] | None = None) -> JSON:
        return await self._ask("DELETE", path, query=query)

    async def download(self, path: str, take: Callable[[bytes], object]) -> None:
        """Hand the content of a file, of any size, to `take`, piece by piece."""
        if self.http.closed:
            raise AriUnreachable("the HTTP session is closed")
        try:
            url = self.base.joinpath("ari", *path.split("/"))
            async with self.http.get(url, headers=self.headers, timeout=_DOWNLOAD, allow_redirects=False) as answer:
                if answer.status >= 300:
                    raise refusal(answer.status, _message(await _json(answer)))
                async for piece in answer.content.iter_chunked(65_536):
                    await asyncio.to_thread(take, piece)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise AriUnreachable(f"no answer from Asterisk at {self.base.origin()}: {describe(error)}") from error

    async def _ask(self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: JSON = None) -> JSON:
        async with self._turn:
            request = self._send(method, path, query, body)
            return await (request if method == "GET" else finished(request))

    async def _send(self, method: str, path: str, query: Mapping[str, str] | None, body: JSON) -> JSON:
        if self.http.closed:
            raise AriUnreachable("the HTTP session is closed")
        url = self.base.joinpath("ari", *path.split("/"))
        try:
            async with self.http.request(
                method, url, params=query, json=body, headers=self.headers, timeout=_TIMEOUT, allow_redirects=False
            ) as answer:
                if answer.status >= 300:
                    raise refusal(answer.status, _message(await _json(answer)))
                return None if answer.status == 204 else await _json(answer)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise AriUnreachable(f"no answer from Asterisk at {self.base.origin()}: {describe(error)}") from error


def describe(error: Exception) -> str:
    """A connection error in a few words that stay the same from one attempt to the next."""
    if isinstance(error, TimeoutError):
        return "time-out"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        why = getattr(error.certificate_error, "verify_message", "")
        return f"its certificate is not trusted ({why})" if why else "its certificate is not trusted"
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return "it does not speak TLS as it should"
    if isinstance(error, aiohttp.ClientConnectorError) and (error.os_error.errno or 0) > 0:
        return os.strerror(error.os_error.errno or 0).lower()
    return str(error) or type(error).__name__


async def _json(answer: aiohttp.ClientResponse) -> JSON:
    try:
        value: JSON = await answer.json(content_type=None)
    except (ValueError, RecursionError):
        raise AriError(
            "the answer is not ARI's", hint="asterisk.url must be Asterisk's HTTP server; ari.conf needs enabled = yes"
        ) from None
    return value


def _message(value: JSON) -> str:
    if isinstance(value, Mapping):
        return str(value.get("message") or value.get("error") or "no reason given")
    return "no reason given"
