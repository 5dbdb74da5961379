"""The REST client against a server that answers everything but what it should."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from voxtrad.events.types import JSON
from voxtrad.telephony.asterisk.ari import Ari, AriError, AriRefused, AriUnreachable, open_session
from voxtrad.telephony.asterisk.settings import AsteriskSettings


@contextlib.asynccontextmanager
async def asking(answer: web.StreamResponse | None = None) -> AsyncIterator[tuple[Ari, list[tuple[str, str, JSON]]]]:
    asked: list[tuple[str, str, JSON]] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        asked.append((request.method, request.path_qs, await request.json() if request.can_read_body else None))
        assert request.headers["Authorization"] == "Basic dm94dHJhZDrDvG1sYXV0"
        return answer or web.json_response({"ok": True})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    async with open_session() as http:
        settings = AsteriskSettings(instance="t", url=f"http://{host}:{port}/pbx", password="ümlaut")
        yield Ari(http, settings), asked
    await runner.cleanup()


async def test_parameters_go_in_the_body_and_the_prefix_is_kept() -> None:
    async with asking() as (ari, asked):
        assert await ari.post("channels/1795.1/variable", {"variable": "X", "value": "private words"}) == {"ok": True}
        await ari.get("asterisk/info", {"only": "system"})
        await ari.delete("channels/a b", {"reason": "busy"})
        assert asked == [
            ("POST", "/pbx/ari/channels/1795.1/variable", {"variable": "X", "value": "private words"}),
            ("GET", "/pbx/ari/asterisk/info?only=system", None),
            ("DELETE", "/pbx/ari/channels/a%20b?reason=busy", None),
        ]
        assert str(ari.websocket_url("media", "secret")).startswith("ws://")


@pytest.mark.parametrize(
    ("answer", "status", "message"),
    [
        (web.json_response({"message": "Channel not found"}, status=404), 404, "Channel not found"),
        (web.Response(text='{"error":"x"}', status=500), 500, "x"),
        (web.json_response([1, 2], status=409), 409, "no reason given"),
        (web.json_response({"message": "?"}, status=401), 401, "user name or password"),
        (web.json_response({"message": "?"}, status=403), 403, "may only read"),
        (web.Response(status=302, headers={"Location": "/elsewhere"}), 302, "no reason given"),
    ],
)
async def test_a_refusal_has_its_status_and_reason(answer: web.Response, status: int, message: str) -> None:
    async with asking(answer) as (ari, _):
        with pytest.raises(AriRefused, match=message) as refused:
            await ari.get("channels")
        assert refused.value.status == status
        assert "ümlaut" not in str(refused.value)


@pytest.mark.parametrize("text", ["<html>It works!</html>", "[" * 100_000, '{"a":'])
@pytest.mark.parametrize("status", [200, 502])
async def test_what_is_no_ari_is_a_typed_error(text: str, status: int) -> None:
    async with asking(web.Response(text=text, status=status)) as (ari, _):
        with pytest.raises(AriError) as failed:
            await ari.get("channels")
        assert failed.value.hint


async def test_nobody_there() -> None:
    async with open_session() as http:
        ari = Ari(http, AsteriskSettings(instance="t", url="http://127.0.0.1:9"))
        with pytest.raises(AriUnreachable, match=r"http://127.0.0.1:9: .+"):
            await ari.get("channels")
    with pytest.raises(AriUnreachable):
        await ari.get("channels")  # nor is a closed session a bug


async def test_a_session_that_limits_its_connections_is_refused() -> None:
    async with aiohttp.ClientSession() as http:
        with pytest.raises(ValueError, match="open_session"):
            Ari(http, AsteriskSettings(instance="t"))


def test_the_password_is_not_shown() -> None:
    assert "hush" not in repr(AsteriskSettings(instance="t", password="hush"))


@contextlib.asynccontextmanager
async def holding() -> AsyncIterator[tuple[Ari, asyncio.Event, asyncio.Event, list[str]]]:
    """A server that has read a request, answers it when it may, and keeps a diary of both sides."""
    read, may_answer = asyncio.Event(), asyncio.Event()
    diary: list[str] = []

    async def serve(request: web.Request) -> web.Response:
        read.set()
        await may_answer.wait()
        diary.append("done")
        return web.json_response({})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", serve)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    async with open_session() as http:
        yield Ari(http, AsteriskSettings(instance="t", url=f"http://{host}:{port}")), read, may_answer, diary
    may_answer.set()
    await runner.cleanup()


@pytest.mark.parametrize("cancellations", [1, 3])
@pytest.mark.parametrize("method", ["post", "delete"])
async def test_a_change_that_is_under_way_is_seen_to_its_end(method: str, cancellations: int) -> None:
    async with holding() as (ari, read, may_answer, diary):
        asking = asyncio.create_task(getattr(ari, method)("bridges/b"))
        asking.add_done_callback(lambda _: diary.append("cancelled"))
        await read.wait()
        for _ in range(cancellations):
            asking.cancel()
            for _ in range(10):
                await asyncio.sleep(0)
        may_answer.set()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert diary == ["done", "cancelled"]


async def test_a_question_is_given_up_at_once() -> None:
    async with holding() as (ari, read, _, diary):
        asking = asyncio.create_task(ari.get("channels"))
        await read.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert diary == []
