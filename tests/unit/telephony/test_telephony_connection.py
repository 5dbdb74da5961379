"""Why the events connection was lost, as it is said: against servers that close it, break it, or fall silent."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web
from structlog.testing import capture_logs

from voxtrad.telephony.asterisk.ari import Ari, open_session
from voxtrad.telephony.asterisk.connection import EventsConnection
from voxtrad.telephony.asterisk.settings import AsteriskSettings

Does = Callable[[web.Request, web.WebSocketResponse], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(does: Does, connected: asyncio.Event) -> AsyncIterator[str]:
    async def events(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        await connected.wait()
        await does(request, socket)
        return socket

    app = web.Application()
    app.router.add_get("/ari/events", events)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield "http://{}:{}".format(*runner.addresses[0][:2])
    await runner.cleanup()


async def closes(request: web.Request, socket: web.WebSocketResponse) -> None:
    await socket.close()


async def falls_silent(request: web.Request, socket: web.WebSocketResponse) -> None:
    async for _ in socket:
        pass  # pings among them, which nobody answers


async def cuts(request: web.Request, socket: web.WebSocketResponse) -> None:
    assert request.transport is not None
    request.transport.abort()


@pytest.mark.parametrize(
    ("does", "reason"),
    [
        (closes, "Asterisk closed the events connection"),
        (falls_silent, "Asterisk does not answer any more: no answer to a ping on the events connection"),
        (cuts, "the events connection to Asterisk was cut"),
    ],
)
async def test_it_says_why_and_says_it_once(does: Does, reason: str) -> None:
    async def nothing(*_: object) -> None: ...

    connected = asyncio.Event()
    async with serving(does, connected) as url, open_session() as http:
        settings = AsteriskSettings(instance="t1", url=url, retry_after=30.0)
        connection = EventsConnection(
            Ari(http, settings), settings, on_connected=nothing, on_event=lambda _: None, while_deaf=nothing,
            heartbeat=0.2,
        )  # fmt: skip
        with capture_logs() as logs:
            running = asyncio.create_task(connection.run())
            try:
                async with asyncio.timeout(20):
                    await connection.wait_for("connected")
                    connected.set()
                    await connection.wait_for("disconnected")
            finally:
                running.cancel()
                await asyncio.wait([running])
        assert connection.reason.startswith(reason)
        (said,) = [entry for entry in logs if entry["log_level"] == "warning"]
        assert said["reason"] == connection.reason and reason not in said["event"]


def certificate(folder: Path) -> tuple[Path, Path]:
    """One that nobody vouches for."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True,
    )  # fmt: skip
    return cert, key


async def test_a_certificate_that_nobody_vouches_for_is_refused_and_nothing_is_told_to_it(tmp_path: Path) -> None:
    cert, key = certificate(tmp_path)
    asked: list[str] = []

    async def events(request: web.Request) -> web.Response:
        asked.append(request.headers["Authorization"])
        return web.Response(status=404)

    async def nothing(*_: object) -> None: ...

    app = web.Application()
    app.router.add_get("/ari/events", events)
    runner = web.AppRunner(app)
    await runner.setup()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    url = "https://{}:{}".format(*runner.addresses[0][:2])
    async with open_session() as http:
        settings = AsteriskSettings(instance="t1", url=url, password="a-password", retry_after=30.0)
        connection = EventsConnection(
            Ari(http, settings), settings, on_connected=nothing, on_event=lambda _: None, while_deaf=nothing
        )
        running = asyncio.create_task(connection.run())
        async with asyncio.timeout(20):
            while connection.reason == "not connected yet":  # noqa: ASYNC110 - the state stays the same
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.wait([running])
    await runner.cleanup()
    assert "its certificate is not trusted (self-signed certificate)" in connection.reason, connection.reason
    assert not asked
