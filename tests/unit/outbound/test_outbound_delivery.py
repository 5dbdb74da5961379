"""Delivery out of a real ledger to real receivers on loopback, which check every signature."""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from tests.ledger.support import (
    OTHER_SECRET,
    SECRET,
    Clock,
    Received,
    Receiver,
    ended,
    house,
    receiving,
    said,
    started,
)
from voxtrad.config.server import WebhookConfig
from voxtrad.events.types import UserTranscriptPartial
from voxtrad.ledger.queries import MessageFilter, list_endpoints, list_messages
from voxtrad.ledger.store import Settings
from voxtrad.outbound.delivery import CONCURRENCY, OUTAGE, Endpoint

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Serve = Callable[[Handler], Awaitable[str]]


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as receiver:
        yield receiver


@pytest.fixture
async def patient() -> AsyncIterator[Receiver]:
    """A receiver for tests in which hours pass."""
    async with receiving(real_time=False) as receiver:
        yield receiver


def answers(*statuses: int, then: int = 200, **headers: str) -> Callable[[Received], Awaitable[web.StreamResponse]]:
    left = list(statuses)

    async def answer(_: Received) -> web.StreamResponse:
        failing = bool(left)
        return web.Response(status=left.pop(0) if left else then, headers=headers if failing else {})

    return answer


def test_an_endpoint_of_the_configuration() -> None:
    config = WebhookConfig(name="crm", url="https://crm.example/x", secret=SECRET, events=["call.*"], max_age="1h")
    endpoint = Endpoint.from_config(config)
    assert endpoint == Endpoint("crm", "https://crm.example/x", (SECRET,), ("call.*",), 3600.0)
    assert SECRET not in repr(endpoint)


async def test_events_arrive_signed_numbered_and_in_order(tmp_path: Path, receiver: Receiver) -> None:
    async with house(tmp_path, receiver.endpoint()) as here:
        for call in ("c_1", "c_2", "c_3"):
            here.ledger.record(started(call))
            for number in range(5):
                here.ledger.record(said(f"Grüße {number}", call))
            here.ledger.record(ended(call))
        await here.settled()
    for call in ("c_1", "c_2", "c_3"):
        assert receiver.sequences(call) == [1, 2, 3, 4, 5, 6, 7]
    first = next(received for received in receiver.received if received.call_id == "c_2")
    assert first.event["type"] == "call.started"
    assert first.event["timestamp"].endswith("Z")
    assert first.event["data"] == {
        "call_id": "c_2", "sequence": 1, "agent": "support", "direction": "inbound", "from": "+442071234567",
        "to": "1000", "channel": "PJSIP/100-0000001f", "linkedid": "1.1",
    }  # fmt: skip
    assert len({received.id for received in receiver.received}) == 21
    assert here.outcomes == [("crm", "delivered")] * 21


async def test_each_endpoint_gets_what_it_asks_for_with_numbers_of_its_own(tmp_path: Path, receiver: Receiver) -> None:
    async with receiving() as other:
        everything = receiver.endpoint("all")
        words = other.endpoint("words", ["user.transcript", "user.transcript.partial", "call.*"])
        async with house(tmp_path, everything, words) as here:
            here.ledger.record(started())
            here.ledger.record(UserTranscriptPartial(call_id="c_1", agent="support", text="he"))
            here.ledger.record(said("hello"))
            await here.settled()
    assert [(r.type, r.sequence) for r in receiver.received] == [("call.started", 1), ("user.transcript", 2)]
    assert [(r.type, r.sequence) for r in other.received] == [
        ("call.started", 1), ("user.transcript.partial", None), ("user.transcript", 2),
    ]  # fmt: skip
    assert "sequence" not in other.received[1].event["data"]


async def test_a_retry_is_the_same_message_signed_anew(tmp_path: Path, patient: Receiver) -> None:
    patient.answer = answers(500, 404)
    clock = Clock()
    async with house(tmp_path, patient.endpoint(), clock=clock) as here:
        here.ledger.record(started())
        await here.settled()
        assert len(patient.received) == 1
        await here.later(4)
        assert len(patient.received) == 1
        await here.later(1)
        assert len(patient.received) == 2
        await here.later(299)
        assert len(patient.received) == 2
        await here.later(1)
    assert len(patient.received) == 3
    assert len({(received.id, received.body) for received in patient.received}) == 1
    assert [received.signed_at - patient.received[0].signed_at for received in patient.received] == [0, 5, 305]
    assert [outcome for _, outcome in here.outcomes] == ["retry", "retry", "delivered"]


@pytest.mark.parametrize("known", [SECRET, OTHER_SECRET])
async def test_both_secrets_sign_while_one_is_rotated(tmp_path: Path, receiver: Receiver, known: str) -> None:
    receiver.secret = known
    async with house(tmp_path, replace(receiver.endpoint(), secrets=(OTHER_SECRET, SECRET))) as here:
        here.ledger.record(started())
        await here.settled()
    assert here.outcomes == [("crm", "delivered")]


async def test_a_hanging_endpoint_holds_up_nobody_else(tmp_path: Path, receiver: Receiver) -> None:
    go_on = asyncio.Event()

    async def hang(_: Received) -> web.StreamResponse:
        await go_on.wait()
        return web.Response()

    async with receiving() as slow:
        slow.answer = hang
        async with house(tmp_path, slow.endpoint("slow"), receiver.endpoint("quick"), timeout=60) as here:
            for number in range(CONCURRENCY + 5):
                here.ledger.record(started(f"c_{number}"))
                here.ledger.record(ended(f"c_{number}"))
            await receiver.has(2 * (CONCURRENCY + 5))
            await slow.has(CONCURRENCY)
            assert len(slow.received) == CONCURRENCY
            assert len({received.call_id for received in slow.received}) == CONCURRENCY, "one under way of each call"
            go_on.set()
            await here.settled()
        assert len(slow.received) == 2 * (CONCURRENCY + 5)


async def test_a_failing_message_holds_back_its_call_for_two_tries_and_no_other(
    tmp_path: Path, patient: Receiver
) -> None:
    async def indigestible(received: Received) -> web.StreamResponse:
        return web.Response(status=500 if received.type == "user.transcript" else 200)

    patient.answer = indigestible
    clock = Clock()
    async with house(tmp_path, patient.endpoint(), clock=clock) as here:
        here.ledger.record(started())
        here.ledger.record(said("poison"))
        here.ledger.record(ended())
        here.ledger.record(started("c_2"))
        here.ledger.record(ended("c_2"))
        await here.settled()
        assert patient.sequences("c_1") == [1, 2]
        assert patient.sequences("c_2") == [1, 2]
        await here.later(5)
        assert patient.sequences("c_1") == [1, 2, 2, 3]
        assert patient.received[-1].type == "call.ended"


async def test_410_disables_until_it_is_enabled(tmp_path: Path, patient: Receiver) -> None:
    patient.answer = answers(410)
    clock = Clock()
    endpoint = patient.endpoint()
    async with house(tmp_path, endpoint, clock=clock) as here:
        here.ledger.record(started())
        await here.settled()
        here.ledger.record(said("not sent"))
        await here.later(3600)
        assert len(patient.received) == 1
        (known,) = await here.ledger.read(list_endpoints)
        assert known["disabled"] is not None
        assert known["waiting"] == 2
    async with house(tmp_path, endpoint, clock=clock) as here:
        await here.later(1)
        assert len(patient.received) == 1, "a restart alone changes nothing"
        assert await here.ledger.enable("crm")
        assert not await here.ledger.enable("nobody")
        await here.settled()
    assert patient.sequences()[1:3] == [1, 2]


async def test_a_reload_takes_back_an_endpoint_that_was_gone(tmp_path: Path, receiver: Receiver) -> None:
    receiver.answer = answers(410)
    endpoint = receiver.endpoint()
    async with house(tmp_path, endpoint) as here:
        here.ledger.record(started())
        await here.settled()
        await here.ledger.configure(Settings((endpoint,)))
        await here.settled()
        assert receiver.sequences() == [1, 1]


async def test_another_url_is_another_endpoint(tmp_path: Path, receiver: Receiver) -> None:
    receiver.answer = answers(410)
    endpoint = receiver.endpoint()
    async with house(tmp_path, endpoint) as here:
        here.ledger.record(started())
        await here.settled()
    async with house(tmp_path, replace(endpoint, url=endpoint.url + "?v=2")) as here:
        await here.settled()
    assert receiver.received[1].type == "call.started"


async def test_at_start_all_is_tried_at_once_except_where_the_receiver_said_later(
    tmp_path: Path, patient: Receiver
) -> None:
    async def busy(received: Received) -> web.StreamResponse:
        headers = {"Retry-After": "7200"} if received.call_id == "c_2" else {}
        return web.Response(status=503, headers=headers)

    patient.answer = busy
    clock = Clock()
    async with house(tmp_path, patient.endpoint(), clock=clock) as here:
        for call in ("c_1", "c_2"):
            here.ledger.record(started(call))
        await here.settled()
        await here.later(5)
    before = len(patient.received)
    clock.advance(10)
    patient.answer = None
    async with house(tmp_path, patient.endpoint(), clock=clock) as here:
        await here.settled()
        assert {received.call_id for received in patient.received[before:]} == {"c_1"}
        await here.later(7200)
    assert patient.received[-1].call_id == "c_2"


async def test_many_restarts_do_not_use_up_the_tries(tmp_path: Path, patient: Receiver) -> None:
    patient.answer = answers(then=500)
    clock = Clock()
    for _ in range(15):
        async with house(tmp_path, patient.endpoint(), clock=clock) as here:
            here.ledger.record(started())
            await here.settled()
            clock.advance(1)
    async with house(tmp_path, patient.endpoint(), clock=clock) as here:
        patient.answer = None
        await here.later(400)
        states = [
            item["state"] for item in (await here.ledger.read(lambda db: list_messages(db, MessageFilter()))).items
        ]
    assert states == ["delivered", "delivered"]  # call.started, and the call.ended of the first restart


async def test_after_the_last_try_the_dead_letters_and_back(tmp_path: Path, patient: Receiver) -> None:
    patient.answer = answers(then=500)
    clock = Clock()
    async with house(tmp_path, patient.endpoint(max_age=1e9), clock=clock) as here:
        here.ledger.record(started())
        here.ledger.record(ended())
        await here.settled()
        for _ in range(20):
            await here.later(86_400)
        dead = (await here.ledger.read(lambda db: list_messages(db, MessageFilter(state="dead")))).items
        assert [(item["type"], item["attempts"], item["answer"]) for item in dead] == [
            ("call.ended", 10, "HTTP 500"), ("call.started", 10, "HTTP 500"),
        ]  # fmt: skip
        patient.answer = None
        patient.received.clear()
        assert await here.ledger.replay(endpoint="other") == 0
        assert await here.ledger.replay() == 2
        await here.settled()
    assert patient.sequences() == [1, 2]


async def test_what_is_too_old_is_dead_without_a_try(tmp_path: Path, patient: Receiver) -> None:
    patient.answer = answers(then=500)
    clock = Clock()
    async with house(tmp_path, patient.endpoint(max_age=3600.0), clock=clock) as here:
        here.ledger.record(started())
        here.ledger.record(ended())
        await here.settled()
        assert len(patient.received) == 1
    clock.advance(3601)
    async with house(tmp_path, patient.endpoint(max_age=3600.0), clock=clock) as here:
        await here.settled()
        dead = (await here.ledger.read(lambda db: list_messages(db, MessageFilter(state="dead")))).items
        assert len(dead) == 2
        assert len(patient.received) == 1
        assert here.ledger.stats().expired == {"crm": 2}


async def test_an_endpoint_back_from_an_outage_gets_all_at_once(tmp_path: Path, patient: Receiver) -> None:
    patient.answer = answers(then=502)
    clock = Clock()
    async with house(tmp_path, patient.endpoint(), clock=clock) as here:
        for number in range(OUTAGE):
            here.ledger.record(started(f"c_{number}"))
        await here.settled()
        for _ in range(3):
            await here.later(2000)
        patient.answer = None
        patient.received.clear()
        here.ledger.record(started("c_new"))
        await here.settled()
    assert {received.call_id for received in patient.received} == {"c_new", *(f"c_{n}" for n in range(OUTAGE))}


async def test_an_endpoint_that_is_merely_overloaded_is_not_flooded(tmp_path: Path, patient: Receiver) -> None:
    clock, sixth = Clock(), itertools.count(1)

    async def one_in_six(_: Received) -> web.StreamResponse:
        return web.Response(status=200 if next(sixth) % (OUTAGE + 1) == 0 else 503)

    patient.answer = one_in_six
    async with house(tmp_path, patient.endpoint(), clock=clock) as here:
        for number in range(30):
            here.ledger.record(started(f"c_{number}"))
        await here.settled()
    # 30 first tries, of which one in six succeeds, and one round of all that waited, at the first success
    assert 30 < len(patient.received) <= 60


async def test_a_redirect_is_not_followed(tmp_path: Path, receiver: Receiver) -> None:
    async with receiving() as elsewhere:
        receiver.answer = answers(307, 308, then=200, Location=elsewhere.url)
        async with house(tmp_path, receiver.endpoint()) as here:
            here.ledger.record(started())
            await here.settled()
        assert elsewhere.received == []
    assert here.outcomes == [("crm", "retry")]


def raw(sent: bytes) -> Handler:
    async def handle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)

    return handle


async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


LINE = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("handler", "outcome"),
    [
        pytest.param(raw(b""), "retry", id="closes without a word"),
        pytest.param(reset, "retry", id="resets"),
        pytest.param(raw(b"SSH-2.0-OpenSSH_9\r\n"), "retry", id="not HTTP"),
        pytest.param(raw(b"HTTP/1.1 200"), "retry", id="half a status line"),
        pytest.param(raw(LINE + b"Content-Length: 1000\r\n\r\nshort"), "delivered", id="lies about its length"),
        pytest.param(raw(LINE + b"Content-Type: text/html\r\n\r\n<html>"), "delivered", id="HTML"),
        pytest.param(raw(b"HTTP/1.1 500 No\r\nContent-Length: 999\r\n\r\n<html>"), "retry", id="torn 500"),
    ],
)
async def test_odd_answers(
    tmp_path: Path,
    serve: Serve,
    handler: Handler,
    outcome: str,
) -> None:
    endpoint = Endpoint("crm", await serve(handler), (SECRET,), ("*",))
    async with house(tmp_path, endpoint) as here:
        here.ledger.record(started())
        await here.settled()
        assert here.outcomes == [("crm", outcome)]


async def test_an_answer_of_500_mb_is_not_read(tmp_path: Path, serve: Serve) -> None:
    sent = 0
    cut = asyncio.Event()

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(LINE + b"Transfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
        try:
            for _ in range(8_000):
                writer.write(chunk)
                await writer.drain()
                sent += 65_536
        except ConnectionError:
            cut.set()

    endpoint = Endpoint("crm", await serve(flood), (SECRET,), ("*",))
    async with house(tmp_path, endpoint) as here:
        here.ledger.record(started())
        await here.settled()
        async with asyncio.timeout(10):
            await cut.wait()
    assert here.outcomes == [("crm", "delivered")], "its 200 said that it has the message"
    assert sent < 50_000_000


@pytest.mark.parametrize(("status", "outcome"), [("200 OK", "delivered"), ("503 Busy", "retry")])
@pytest.mark.parametrize("body", ["drips", "floods"])
async def test_of_an_answer_the_head_is_enough(
    tmp_path: Path, serve: Serve, status: str, outcome: str, body: str
) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = 900 if body == "drips" else 900_000
        writer.write(f"HTTP/1.1 {status}\r\nRetry-After: 7200\r\nContent-Length: {length}\r\n\r\n".encode())
        writer.write(b"." if body == "drips" else b"." * 100_000)
        await reader.read()

    clock = Clock()
    endpoint = Endpoint("crm", await serve(handle), (SECRET,), ("*",))
    async with house(tmp_path, endpoint, clock=clock, timeout=0.3) as here:
        here.ledger.record(started())
        await here.settled()
        assert here.outcomes == [("crm", outcome)]
        due = await here.ledger.read(lambda db: db.execute("SELECT due FROM outbox WHERE state = 'waiting'").fetchall())
        assert [row["due"] - clock.now for row in due] == ([] if outcome == "delivered" else [pytest.approx(7200)])


async def test_no_answer_in_time_and_nobody_there(tmp_path: Path, serve: Serve) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    url = await serve(silent)
    endpoints = [
        Endpoint("silent", url, (SECRET,), ("*",)),
        Endpoint("absent", "http://127.0.0.1:1/", (SECRET,), ("*",)),
    ]
    async with house(tmp_path, *endpoints, timeout=0.3) as here:
        here.ledger.record(started())
        await here.settled()
        answers = {
            item["endpoint"]: str(item["answer"])
            for item in (await here.ledger.read(lambda db: list_messages(db, MessageFilter()))).items
        }
    assert sorted(here.outcomes) == [("absent", "retry"), ("silent", "retry")]
    assert "no whole answer" in answers["silent"]
    assert "cannot connect" in answers["absent"]


async def test_a_reload_adds_changes_and_removes_endpoints(tmp_path: Path, receiver: Receiver) -> None:
    async with receiving() as second, house(tmp_path, receiver.endpoint("one")) as here:
        here.ledger.record(started())
        await here.settled()
        now = [second.endpoint("two")]
        await here.ledger.configure(Settings(tuple(now)))
        here.delivery.configure(now)
        here.ledger.record(said("to two"))
        await here.settled()
        moved = [second.endpoint("one"), second.endpoint("two")]
        await here.ledger.configure(Settings(tuple(moved)))
        here.delivery.configure(moved)
        here.ledger.record(ended())
        await here.settled()
    assert [received.type for received in receiver.received] == ["call.started"]
    assert sorted((received.type, received.sequence) for received in second.received) == [
        ("call.ended", 2), ("call.ended", 2), ("user.transcript", 1),
    ]  # fmt: skip


async def test_a_bug_met_by_one_endpoint_does_not_stop_another(tmp_path: Path, receiver: Receiver) -> None:
    async with receiving() as second:

        def observe(endpoint: str, *_: object) -> None:
            if endpoint == "one":
                raise ZeroDivisionError("any bug")

        async with house(tmp_path, receiver.endpoint("one"), second.endpoint("two"), observe=observe) as here:
            here.ledger.record(started())
            await second.has(1)
            await receiver.has(1)
            here.ledger.record(ended())
            await second.has(2)
    assert second.sequences() == [1, 2]
