"""The pinned transport: which addresses it connects to, and that nothing is looked up after the check."""

from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable, Sequence

import httpx2
import pytest

from voxtrad.outbound.addresses import Trust
from voxtrad.outbound.pinned import MAX_ANSWER, PinnedTransport

Answering = Callable[[bytes], Awaitable[str]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"


class Names:
    """A name server that has these answers, one look-up after the other."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        if not self.answers:
            raise OSError(-2, "Name or service not known")
        return self.answers.pop(0)


def only_127_0_0_1(address: str, trust: Trust) -> str | None:
    return None if address == "127.0.0.1" else "is not public"


async def get(transport: PinnedTransport, url: str) -> httpx2.Response:
    async with httpx2.AsyncClient(transport=transport) as client:
        return await client.get(url)


def port_of(url: str) -> str:
    return url.rpartition(":")[2]


async def test_the_system_is_asked_and_the_host_keeps_its_name(answering: Answering) -> None:
    answer = await get(PinnedTransport(), f"http://localhost:{port_of(await answering(OK))}/")
    assert (answer.status_code, answer.text) == (200, "hi")
    assert answer.request.headers["host"].startswith("localhost:")


async def test_the_next_address_where_nobody_listens_at_the_first(answering: Answering) -> None:
    names = Names(["127.0.0.2", "127.0.0.1"])
    answer = await get(PinnedTransport(lookup=names), f"http://crm.example:{port_of(await answering(OK))}/")
    assert answer.text == "hi"


async def test_a_name_that_answers_otherwise_after_the_check_gains_nothing(answering: Answering) -> None:
    """Each request is looked up once, and goes to the very address that was checked."""
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    transport = PinnedTransport(trust="public", lookup=names, refusal=only_127_0_0_1)
    url = f"http://crm.example:{port_of(await answering(OK))}/"
    async with httpx2.AsyncClient(transport=transport) as client:
        assert (await client.get(url)).text == "hi"
        assert names.asked == ["crm.example"]
        with pytest.raises(httpx2.ConnectError, match=r"127\.0\.0\.2 is not public"):
            await client.get(url)


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "fe80::1",
        "fd00:ec2::254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
    ],
)
async def test_metadata_and_link_local_are_refused_though_the_host_is_configured(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(httpx2.ConnectError, match="link-local or metadata"):
        await get(PinnedTransport(), f"http://{host}/")
    with pytest.raises(httpx2.ConnectError, match="link-local or metadata"):
        await get(PinnedTransport(lookup=Names([address])), "http://crm.example/")


def http(body: bytes, *headers: str) -> bytes:
    return "\r\n".join(["HTTP/1.1 200 OK", *headers, "Connection: close", "", ""]).encode() + body


@pytest.mark.parametrize(
    "raw",
    [
        http(b"x" * (MAX_ANSWER + 1)),
        http(b"data: " + b"x" * MAX_ANSWER, "Content-Type: text/event-stream"),
        http(b"data: 1\n\ndata: " + b"x" * MAX_ANSWER, "Content-Type: text/event-stream; charset=utf-8"),
        http(gzip.compress(b"x" * 100), "Content-Encoding: gzip"),
    ],
    ids=["a large body", "a large event", "a large event after a small one", "compressed"],
)
async def test_answers_that_are_too_large_or_packed(answering: Answering, raw: bytes) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        await get(PinnedTransport(), await answering(raw))


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n"])
async def test_many_small_events_are_no_large_answer(answering: Answering, end: bytes) -> None:
    events = (b"data: " + b"x" * 1000 + end) * 2000
    answer = await get(PinnedTransport(), await answering(http(events, "Content-Type: text/event-stream")))
    assert answer.content == events


async def test_a_name_that_nobody_has() -> None:
    with pytest.raises(httpx2.ConnectError, match=r"nobody\.example cannot be looked up"):
        await get(PinnedTransport(lookup=Names()), "http://nobody.example/")


async def test_a_proxy_of_the_environment_is_not_used(answering: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.2:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.2:1")
    assert (await get(PinnedTransport(), await answering(OK))).text == "hi"
