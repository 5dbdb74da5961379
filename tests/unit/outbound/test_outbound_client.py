"""The guarded client against servers on loopback that misbehave in every way known."""

from __future__ import annotations

import asyncio
import gzip
import socket
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrad.outbound.addresses import Trust, refusal
from voxtrad.outbound.client import (
    AddressRefused,
    Answer,
    BadAnswer,
    ConnectFailed,
    DeadlineExceeded,
    Disconnected,
    NotSendable,
    OutboundClient,
    OutboundError,
    TooLarge,
)

Serve = Callable[[Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]], Awaitable[str]]
Answering = Callable[[bytes], Awaitable[str]]


@pytest.fixture
async def client() -> AsyncIterator[OutboundClient]:
    async with OutboundClient() as client:
        yield client


async def get(client: OutboundClient, url: str, timeout: float = 5, max_bytes: int = 1000) -> Answer:
    return await client.request("GET", url, timeout=timeout, max_bytes=max_bytes)


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers]
    if not any(line.lower().startswith(("content-length", "transfer-encoding")) for line in headers):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


async def test_an_answer(client: OutboundClient, answering: Answering) -> None:
    url = await answering(http(b'\xef\xbb\xbf{"a": ["\xc3\xa9", 1]}', "Content-Type: text/plain", status="404 Nope"))
    answer = await get(client, url)
    assert (answer.status, answer.json()) == (404, {"a": ["é", 1]})
    assert answer.headers["content-type"] == "text/plain"


async def test_what_a_server_receives(client: OutboundClient, serve: Serve) -> None:
    heads: list[bytes] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n") + await reader.readexactly(4))
        writer.write(http(b""))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}/a%20b?c=d%26"
        await client.request("POST", url, timeout=5, max_bytes=9, headers={"X-A": "1"}, body=b"\x00\xff{}")
    head = heads[0].decode("latin-1").lower()
    assert head.startswith("post /a%20b?c=d%26 http/1.1\r\n")
    assert "x-a: 1" in head and "accept-encoding: identity" in head and "user-agent: voxtrad/" in head
    assert heads[0].endswith(b"\r\n\r\n\x00\xff{}")


# --- nothing is sent --------------------------------------------------------------------------------------------------


async def test_down(client: OutboundClient) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectFailed, match=r"cannot connect to 127\.0\.0\.1"):
            await get(client, f"http://127.0.0.1:{unused.getsockname()[1]}/secret-path")


async def test_a_host_that_does_not_exist(client: OutboundClient) -> None:
    with pytest.raises(ConnectFailed):
        await get(client, "http://nobody.invalid/")


async def test_a_tls_server_that_never_says_hello(client: OutboundClient, answering: Answering) -> None:
    url = await answering(b"")
    with pytest.raises(ConnectFailed, match="within 2 s"):
        await get(client, url.replace("http:", "https:"), timeout=30)


@pytest.mark.parametrize(
    "url",
    ["", "/relative", "ftp://127.0.0.1/", "file:///etc/passwd", "http://", "http://[::1", "http://127.0.0.1:99999/",
     "http://2130706433/", "http://127.1/", "gopher://x", "javascript:alert(1)"],
)  # fmt: skip
async def test_urls_that_are_none(client: OutboundClient, url: str) -> None:
    with pytest.raises(NotSendable):
        await get(client, url)


async def test_a_header_cannot_smuggle_another(client: OutboundClient, answering: Answering) -> None:
    url = await answering(http(b""))
    with pytest.raises(NotSendable):
        await client.request("GET", url, timeout=5, max_bytes=9, headers={"X-A": "1\r\nX-B: 2"})


@settings(deadline=None, max_examples=50)
@given(url=st.text() | st.text().map(lambda tail: "http://127.0.0.1:1/" + tail))
async def test_any_url_and_nothing_but_typed_errors(url: str) -> None:
    async with OutboundClient(refusal=lambda _address, _trust: "is refused by the test") as client:
        with pytest.raises(OutboundError):
            await get(client, url)


@pytest.mark.parametrize("host", ["169.254.169.254", "[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[fe80::1]"])
async def test_metadata_is_refused_even_where_configured(client: OutboundClient, host: str) -> None:
    with pytest.raises(AddressRefused, match="link-local or metadata"):
        await get(client, f"http://{host}/latest/meta-data")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0"])
async def test_run_time_urls_must_be_public(client: OutboundClient, host: str) -> None:
    with pytest.raises(AddressRefused):
        await client.request("GET", f"http://{host}:1/", timeout=5, max_bytes=9, trust="public")


async def test_a_pooled_connection_of_a_trusted_host_serves_no_untrusted_url(client: OutboundClient) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            await reader.readuntil(b"\r\n\r\n")
            writer.write(http(b"ok"))
        writer.close()

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        assert (await get(client, url)).body == b"ok"
        assert (await get(client, url)).body == b"ok"
        with pytest.raises(AddressRefused):
            await client.request("GET", url, timeout=5, max_bytes=9, trust="public")
        await client.aclose()


class Names(AbstractResolver):
    """Gives the next set of addresses at each look-up, as a hostile name server does."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> list[ResolveResult]:
        addresses = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        return [
            ResolveResult(hostname=host, host=a, port=port, family=socket.AF_INET, proto=0, flags=0) for a in addresses
        ]

    async def close(self) -> None: ...


def only_127_0_0_1_is_public(address: str, trust: Trust) -> str | None:
    return None if trust == "configured" or address == "127.0.0.1" else "is not a public address"


async def test_the_connection_goes_to_the_address_that_was_checked(answering: Answering) -> None:
    """A name that turns private after the first look-up: nothing is looked up between check and connection."""
    port = (await answering(http(b"ok"))).rpartition(":")[2]
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    async with OutboundClient(resolver=names, refusal=only_127_0_0_1_is_public) as client:
        answer = await client.request("GET", f"http://a.test:{port}/", timeout=5, max_bytes=9, trust="public")
    assert (answer.body, names.asked) == (b"ok", 1)


async def test_a_name_for_a_private_address_is_refused(answering: Answering) -> None:
    port = (await answering(http(b"ok"))).rpartition(":")[2]
    async with OutboundClient(resolver=Names(["127.0.0.1"]), refusal=refusal) as client:
        with pytest.raises(AddressRefused, match=r"127\.0\.0\.1 is not a public address"):
            await client.request("GET", f"http://a.test:{port}/", timeout=5, max_bytes=9, trust="public")


async def test_refused_addresses_of_a_name_are_never_tried(answering: Answering) -> None:
    port = (await answering(http(b"ok"))).rpartition(":")[2]
    names = Names(["127.0.0.2", "127.0.0.1", "127.0.0.3"])
    async with OutboundClient(resolver=names, refusal=only_127_0_0_1_is_public) as client:
        answer = await client.request("GET", f"http://a.test:{port}/", timeout=5, max_bytes=9, trust="public")
    assert answer.body == b"ok"


# --- answers that never come ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", http(b"1", "Content-Length: 2")])
async def test_slow(client: OutboundClient, serve: Serve, first: bytes) -> None:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        await reader.read()  # until the client gives up

    with pytest.raises(DeadlineExceeded, match=r"within 0\.2 s"):
        await get(client, await serve(behave), timeout=0.2)


async def test_a_drip_does_not_extend_the_deadline(client: OutboundClient, serve: Serve) -> None:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(http(b"", "Content-Length: 900"))
        client_left = asyncio.create_task(reader.read())
        while not client_left.done():
            writer.write(b".")
            await writer.drain()
            await asyncio.wait([client_left], timeout=0.01)

    with pytest.raises(DeadlineExceeded):
        await get(client, await serve(behave), timeout=0.2)


async def test_cancelling_is_no_error(client: OutboundClient, serve: Serve) -> None:
    arrived = asyncio.Event()

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await reader.read()

    task = asyncio.create_task(get(client, await serve(behave)))
    await arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_closing_without_an_answer(client: OutboundClient, answering: Answering) -> None:
    with pytest.raises(Disconnected):
        await client.request("POST", await answering(b""), timeout=5, max_bytes=9, body=b"{}")


def reset(writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    writer.transport.abort()


async def test_resetting(client: OutboundClient, serve: Serve) -> None:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reset(writer)

    with pytest.raises(Disconnected):
        await client.request("POST", await serve(behave), timeout=5, max_bytes=9, body=b"{}")


async def test_resetting_within_the_body(client: OutboundClient, serve: Serve) -> None:
    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(http(b"123", "Content-Length: 100"))
        await writer.drain()
        reset(writer)

    with pytest.raises((BadAnswer, Disconnected)):
        await get(client, await serve(behave))


# --- answers that should not have come --------------------------------------------------------------------------------


async def test_redirects_are_answers(client: OutboundClient, answering: Answering) -> None:
    elsewhere = await answering(http(b"you followed"))
    url = await answering(http(b"", f"Location: {elsewhere}", status="302 Found"))
    answer = await get(client, url)
    assert (answer.status, answer.body) == (302, b"")


@pytest.mark.parametrize(
    "raw",
    [
        http(b"short", "Content-Length: 500", status="500 Oops"),
        http(b"5\r\nab", "Transfer-Encoding: chunked", status="500 Oops"),
        http(b"not gzip", "Content-Encoding: gzip", status="500 Oops"),
        http(gzip.compress(b"whole")[:-4], "Content-Encoding: gzip", status="500 Oops"),
        http(b"", "Content-Encoding: gzip", status="500 Oops"),
        http(b"abc", "Content-Encoding: br", status="500 Oops"),
        http(b"abc", "Content-Encoding: gzip, gzip", status="500 Oops"),
    ],
)
async def test_a_torn_body_keeps_its_status(client: OutboundClient, answering: Answering, raw: bytes) -> None:
    with pytest.raises(BadAnswer) as caught:
        await get(client, await answering(raw))
    assert caught.value.status == 500


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"<html>hello</html>\r\n\r\n",
        b"HTTP/1.1 banana\r\n\r\n",
        http(b"zz\r\nab\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
        http(b"four and more", "Content-Length: 4"),
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    ],
)
async def test_no_http(client: OutboundClient, answering: Answering, raw: bytes) -> None:
    with pytest.raises(BadAnswer):
        await get(client, await answering(raw))


@pytest.mark.parametrize(
    "raw",
    [
        http(b"", "Content-Length: 500000000"),
        http(b"x" * 1001),
        http(b"x" * 5000, "Transfer-Encoding: identity", "Connection: close"),
        http(b"1389\r\n" + b"x" * 5001 + b"\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
        http(gzip.compress(b"x" * 1001), "Content-Encoding: gzip"),
        http(zlib.compress(b"x" * 100_000_000), "Content-Encoding: deflate"),
    ],
    ids=["announced", "body", "until-close", "chunked", "gzip", "bomb"],
)
async def test_too_large(client: OutboundClient, answering: Answering, raw: bytes) -> None:
    url = await answering(raw)
    with pytest.raises(TooLarge) as caught:
        await get(client, url, max_bytes=1000)
    assert caught.value.status == 200


async def test_500_megabytes_are_not_read(client: OutboundClient, serve: Serve) -> None:
    sent = 0

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while sent < 500_000_000:
            writer.write(bytes(1_000_000))
            sent += 1_000_000
            await writer.drain()

    with pytest.raises(TooLarge):
        await get(client, await serve(behave))
    assert sent < 20_000_000


async def test_exactly_the_limit_is_read(client: OutboundClient, answering: Answering) -> None:
    assert len((await get(client, await answering(http(b"x" * 1000)))).body) == 1000
    zipped = http(gzip.compress(b"x" * 1000), "Content-Encoding: gzip")
    assert (await get(client, await answering(zipped))).body == b"x" * 1000


@settings(deadline=None, max_examples=100)
@given(raw=st.binary() | st.binary().map(lambda tail: b"HTTP/1.1 200 OK\r\n" + tail) | st.binary().map(http))
async def test_any_bytes_are_an_answer_or_a_typed_error(raw: bytes) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        writer.close()

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server, OutboundClient() as client:
        try:
            answer = await get(client, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", timeout=2)
        except OutboundError:
            return
        assert len(answer.body) <= 1000


# --- JSON -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"{", b"NaN", b"[Infinity]", b"1e999", b"\xff", b'"\\ud800"', b"[" * 100_000, b"1" * 10_000],
)
def test_not_json(body: bytes) -> None:
    with pytest.raises(BadAnswer, match="not valid JSON"):
        Answer(200, {}, body).json()


@settings(deadline=None)
@given(body=st.binary() | st.text().map(str.encode))
def test_any_bytes_are_json_or_a_typed_error(body: bytes) -> None:
    try:
        value = Answer(200, {}, body).json()
    except BadAnswer:
        return
    assert value is None or isinstance(value, bool | int | float | str | list | dict)


async def test_the_resolver_of_the_system_is_used(client: OutboundClient, answering: Answering) -> None:
    port = (await answering(http(b"ok"))).rpartition(":")[2]
    assert (await get(client, f"http://localhost:{port}/")).body == b"ok"
