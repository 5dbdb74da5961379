"""What the tests of ledger and delivery share: a receiver of webhooks that checks them, a clock, a house that runs."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook

from voxtrad.events.types import CallEnded, CallStarted, UserTranscript
from voxtrad.ledger.ledger import Ledger, ask, open_ledger
from voxtrad.ledger.schema import FILE_NAME, LedgerError
from voxtrad.ledger.store import Settings
from voxtrad.outbound.client import OutboundClient
from voxtrad.outbound.delivery import Delivery, Endpoint, Observer

SECRET = "whsec_" + base64.b64encode(b"thirty-two bytes, no more no less").decode()
OTHER_SECRET = "whsec_" + base64.b64encode(b"another thirty-two bytes or so, ok").decode()
WHO: dict[str, Any] = {"call_id": "c_1", "agent": "support"}


def started(call_id: str = "c_1", agent: str = "support", **more: Any) -> CallStarted:
    facts = {"direction": "inbound", "caller": "+442071234567", "dialled": "1000", "channel": "PJSIP/100-0000001f"}
    return CallStarted(call_id=call_id, agent=agent, linkedid="1.1", **(facts | more))


def said(text: str, call_id: str = "c_1", agent: str = "support") -> UserTranscript:
    return UserTranscript(call_id=call_id, agent=agent, text=text)


def ended(call_id: str = "c_1", agent: str = "support", **more: Any) -> CallEnded:
    facts: dict[str, Any] = {"outcome": "completed", "reason": "", "duration": 2.0, "talk_time": 1.0}
    return CallEnded(call_id=call_id, agent=agent, **(facts | more))


class Clock:
    """Wall-clock time that moves when told to."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass(frozen=True)
class Received:
    id: str
    signed_at: int
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        return json.loads(self.body)

    @property
    def call_id(self) -> str:
        return self.event["data"]["call_id"]

    @property
    def sequence(self) -> int | None:
        return self.event["data"].get("sequence")

    @property
    def type(self) -> str:
        return self.event["type"]


Answer = Callable[[Received], Awaitable[web.StreamResponse]]


@dataclass
class Receiver:
    """Verifies what comes with the published library; `answer` says what to answer, 200 if nothing."""

    url: str = ""
    secret: str = SECRET
    received: list[Received] = field(default_factory=list)
    answer: Answer | None = None
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)
    real_time: bool = True

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        message_id, stamp = request.headers["webhook-id"], int(request.headers["webhook-timestamp"])
        library = Webhook(self.secret)
        if self.real_time:
            library.verify(body, dict(request.headers))
        else:  # the library knows only its own idea of now
            signature = library.sign(message_id, datetime.fromtimestamp(stamp, UTC), body.decode())
            assert signature in request.headers["webhook-signature"].split(" ")
        assert request.headers["Content-Type"] == "application/json"
        received = Received(message_id, stamp, body)
        self.received.append(received)
        async with self.arrived:
            self.arrived.notify_all()
        return await self.answer(received) if self.answer else web.Response()

    async def has(self, count: int) -> None:
        """Wait until so many came."""
        async with asyncio.timeout(20), self.arrived:
            await self.arrived.wait_for(lambda: len(self.received) >= count)

    def sequences(self, call_id: str = "c_1") -> list[int | None]:
        return [received.sequence for received in self.received if received.call_id == call_id]

    def endpoint(self, name: str = "crm", events: Collection[str] = ("*",), **more: Any) -> Endpoint:
        return Endpoint(name, self.url, (self.secret,), tuple(events), **more)


@asynccontextmanager
async def receiving(*, real_time: bool = True, port: int = 0) -> AsyncIterator[Receiver]:
    receiver = Receiver(real_time=real_time)
    app = web.Application()
    app.router.add_post("/hook", receiver.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        yield receiver
    finally:
        await runner.cleanup()


@dataclass
class House:
    ledger: Ledger
    delivery: Delivery
    clock: Callable[[], float]
    outcomes: list[tuple[str, str]]

    async def settled(self) -> None:
        """All recorded is written, all that is due was tried."""
        async with asyncio.timeout(30):
            await self.ledger.flush()
            await self.delivery.idle()

    async def later(self, seconds: float, *endpoints: str) -> None:
        """Let time pass."""
        assert isinstance(self.clock, Clock)
        self.clock.advance(seconds)
        self.delivery.wake(endpoints or ("crm",))
        await self.settled()


@asynccontextmanager
async def house(
    data_dir: Path,
    *endpoints: Endpoint,
    clock: Callable[[], float] = time.time,
    timeout: float = 10.0,
    observe: Observer | None = None,
    **settings: Any,
) -> AsyncIterator[House]:
    outcomes: list[tuple[str, str]] = []
    async with (
        open_ledger(data_dir, Settings(endpoints, **settings), clock=clock) as ledger,
        OutboundClient() as client,
        asyncio.TaskGroup() as group,
    ):
        delivery = Delivery(
            ledger, client, clock=clock, luck=lambda: 0.5, timeout=timeout,
            observe=observe or (lambda endpoint, outcome, seconds: outcomes.append((endpoint, outcome))),
        )  # fmt: skip
        delivery.configure(endpoints)
        ledger.on_due(delivery.wake)
        running = group.create_task(delivery.run())
        yield House(ledger, delivery, clock, outcomes)
        running.cancel()


# --- what must hold after a crash -------------------------------------------------------------------------------------


def written(data_dir: Path) -> set[str]:
    """The ids of all messages that the ledger promises to deliver."""
    try:
        return ask(
            data_dir / FILE_NAME, lambda db: {row["message_id"] for row in db.execute("SELECT message_id FROM outbox")}
        )
    except LedgerError as error:
        if "no database" in error.message or "schema 0" in error.message:
            return set()  # killed before it had made its tables
        raise


def open_calls(data_dir: Path) -> int:
    """How many calls have a record and no end."""
    return ask(
        data_dir / FILE_NAME, lambda db: db.execute("SELECT count(*) FROM calls WHERE ended IS NULL").fetchone()[0]
    )


def complete(receiver: Receiver) -> Mapping[str, Counter[str]]:
    """The types of what came of each call, after a look that nothing is missing, and nothing there twice."""
    bodies: dict[str, bytes] = {}
    numbers: dict[str, set[int | None]] = defaultdict(set)
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    for received in receiver.received:
        if received.id not in bodies:
            numbers[received.call_id].add(received.sequence)
            kinds[received.call_id][received.type] += 1
        assert bodies.setdefault(received.id, received.body) == received.body, "one id, one body"
    for call_id, given in numbers.items():
        assert given == set(range(1, len(given) + 1)), "a number is missing"
        assert sum(kinds[call_id].values()) == len(given), "a number was given twice"
        assert (kinds[call_id]["call.started"], kinds[call_id]["call.ended"]) == (1, 1)
    return kinds
