"""Where the API listens: one TCP address, with TLS where a certificate is given."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from voxtrad.api.connection import Connection
from voxtrad.config.server import ServerConfig, TlsConfig, load_certificate
from voxtrad.errors import VoxtradError, in_words

_HINTS = {
    errno.EADDRINUSE: "another program listens there: stop it, or set server.listen",
    errno.EADDRNOTAVAIL: "this machine does not have that address: see server.listen",
    errno.EACCES: "a port below 1024 needs rights: see server.listen",
}
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
BACKLOG = 128
"""Connections that may wait to be taken."""
FAREWELL = 5.0
"""Seconds that requests under way may take when the server stops."""


class CannotListen(VoxtradError):
    """The address cannot be listened at, or the certificate cannot be used."""


@asynccontextmanager
async def listening(app: web.Application, server: ServerConfig, context: ssl.SSLContext | None) -> AsyncIterator[str]:
    """Serve until the block is left, over TLS with a context; gives the URL. Raises `CannotListen`."""
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=FAREWELL)
    await runner.setup()
    try:
        host, _, port = server.listen.rpartition(":")
        try:
            listener = await _listen(runner, host.strip("[]"), int(port), context)
        except OSError as error:
            reason = os.strerror(error.errno).lower() if error.errno else str(error)
            hint = _HINTS.get(error.errno or 0)
            raise CannotListen(f"cannot listen at {server.listen}: {reason}", hint=hint) from error
        try:
            bound = listener.sockets[0].getsockname()[1]
            yield f"{'http' if context is None else 'https'}://{host}:{bound}"
        finally:
            listener.close()
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, host: str, port: int, context: ssl.SSLContext | None) -> asyncio.Server:
    """As `web.TCPSite` does, with connections of our own. Raises `OSError`."""
    manager, loop = runner.server, asyncio.get_running_loop()
    if manager is None:
        raise RuntimeError("the runner is not set up")

    def connect() -> Connection:
        return Connection(manager, loop=loop, access_log=None)  # type: ignore[arg-type]  # None is none

    return await loop.create_server(connect, host, port, ssl=context, backlog=BACKLOG, reuse_address=True)


def seen_from_outside(server: ServerConfig, url: str) -> str:
    """What others call a server that listens at `url`: its `public_url`; without one, the best guess there is."""
    if server.public_url is not None:
        return str(server.public_url)
    for everywhere in ("://0.0.0.0:", "://[::]:"):
        url = url.replace(everywhere, f"://{socket.gethostname()}:")
    return url


def certificate(server: ServerConfig) -> str | None:
    """The certificate chain that it serves https with, as PEM, and nothing else of that file; None without one."""
    if server.tls is None:
        return None
    try:
        return "\n".join(_CERTIFICATE.findall(server.tls.cert.read_text(encoding="utf-8", errors="replace")))
    except OSError as error:
        raise CannotListen(f"the certificate cannot be read: {in_words(error)}", hint="see server.tls") from error


def tls_context(tls: TlsConfig | None, renewed: ssl.SSLContext | None = None) -> ssl.SSLContext | None:
    """What to listen with, None without TLS. One that is `renewed` serves new connections with the certificate as it
    is now, as often as that is renewed. Raises `CannotListen`."""
    if tls is None:
        return renewed
    try:
        return load_certificate(tls, renewed)
    except OSError as error:
        raise CannotListen(f"the certificate cannot be used: {in_words(error)}", hint="see server.tls") from error
