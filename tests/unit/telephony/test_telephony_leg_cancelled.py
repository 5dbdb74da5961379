"""A leg that is cancelled at any moment leaves nothing in the PBX: neither what it makes nor what it frees."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping

import aiohttp
import pytest

from voxtrad.events.types import JSON
from voxtrad.leg import Dialer, LegError
from voxtrad.telephony.asterisk.ari import Ari, AriUnreachable, open_session, refusal
from voxtrad.telephony.asterisk.facts import Choice
from voxtrad.telephony.asterisk.formats import Format
from voxtrad.telephony.asterisk.leg import AsteriskLeg
from voxtrad.telephony.asterisk.media import MediaChannel, MediaTransport
from voxtrad.telephony.asterisk.messages import StasisStart, parse_event
from voxtrad.telephony.asterisk.recording import Track
from voxtrad.telephony.asterisk.settings import AsteriskSettings, TransportName

SETTINGS = AsteriskSettings(instance="t")
STEPS = 250
"""The loop's turns after which a leg is cancelled: more than it takes to its end."""
START = parse_event(
    '{"type": "StasisStart", "args": [], "channel": {"id": "1.1", "name": "PJSIP/100", "caller": {"number": "100"}}}'
)


class Pbx(Ari):
    """The real client, but for the wire: a request is read at once, done some turns of the loop later, and answered
    some turns after that."""

    def __init__(self, http: aiohttp.ClientSession, *, deaf: Callable[[str, str], bool] = lambda *_: False) -> None:
        super().__init__(http, SETTINGS)
        self._deaf = deaf
        self.has: set[str] = set()

    async def _send(self, method: str, path: str, query: Mapping[str, str] | None, body: JSON) -> JSON:
        doing = asyncio.create_task(self._do(method, path, body))  # Asterisk's own business, whatever becomes of us
        return await asyncio.shield(doing)

    async def _do(self, method: str, path: str, body: JSON) -> JSON:
        for _ in range(3 if method == "DELETE" else 12):
            await asyncio.sleep(0)
        kind, identity, *rest = path.split("/")
        if method == "POST" and kind == "bridges" and not rest:
            self.has.add(path)
        elif method == "POST" and identity == "externalMedia":
            assert isinstance(body, Mapping)
            self.has.add(f"channels/{body['channelId']}")
        elif method == "DELETE" and not rest:
            if path not in self.has:
                raise refusal(404, "not found")
            self.has.remove(path)
        if self._deaf(method, path):
            raise AriUnreachable("no answer in time")
        await asyncio.sleep(0)
        return {}


class Media:
    def end(self) -> None: ...

    async def close(self) -> None:
        await asyncio.sleep(0)


class Exchange:
    """What a leg needs of the application; keeps what is to be freed later."""

    settings = SETTINGS
    choice = Choice("websocket", frozenset({"slin"}), "")
    name: TransportName = "websocket"

    def __init__(self, pbx: Pbx) -> None:
        self._pbx = pbx
        self._made = 0
        self.later: list[str] = []

    @property
    def transport(self) -> MediaTransport:
        return self

    @property
    def dialer(self) -> Dialer:
        raise NotImplementedError

    async def open(self, channel_id: str, format: Format, on_closed: Callable[[], None]) -> MediaChannel:
        await self._pbx.post("channels/externalMedia", {"channelId": channel_id})
        return Media()  # type: ignore[return-value]  # no audio here

    def new_id(self, what: str) -> str:
        self._made += 1
        return f"voxtrad-t-{what}-{self._made}"

    def entered(self, channel_id: str) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future

    def recording(self, name: str) -> str:
        return name

    def track(self, name: str) -> Track:
        return Track()

    def free_later(self, path: str) -> None:
        self.later.append(path)


@contextlib.asynccontextmanager
async def exchange(deaf: Callable[[str, str], bool] = lambda *_: False) -> AsyncIterator[tuple[Pbx, Exchange]]:
    async with open_session() as http:
        pbx = Pbx(http, deaf=deaf)
        yield pbx, Exchange(pbx)


async def nothing_left(pbx: Pbx, exchange: Exchange) -> None:
    """But what was to be freed later."""
    for _ in range(STEPS):  # what Asterisk is still doing
        await asyncio.sleep(0)
    assert pbx.has <= set(exchange.later)


async def cancelled_after(steps: int, task: asyncio.Task[None]) -> bool:
    """Whether it had not ended before."""
    for _ in range(steps):
        await asyncio.sleep(0)
    cancelled = task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return cancelled


async def talk(leg: AsteriskLeg) -> None:
    await leg.open_media()
    await leg.hold("music")
    await leg.open_media()


@pytest.mark.parametrize("busy", [True, False])
@pytest.mark.parametrize("hung_up", [True, False])
@pytest.mark.parametrize("freeing", [*range(1, 12), 16, 24, STEPS])
async def test_nothing_is_left_whenever_it_is_cancelled(freeing: int, hung_up: bool, busy: bool) -> None:
    assert isinstance(START, StasisStart)
    ended = 0
    for steps in range(0, STEPS, 5):
        async with exchange() as (pbx, here):
            leg = AsteriskLeg(START, pbx, here)
            ended += not await cancelled_after(steps, asyncio.create_task(talk(leg)))
            if hung_up:
                leg.left("Normal Clearing")
            others = [
                asyncio.create_task(pbx.get("channels/1.1")) for _ in range(16 if busy else 0)
            ]  # as many as may ask
            await asyncio.sleep(0)
            await cancelled_after(freeing, asyncio.create_task(leg.let_go()))
            await asyncio.gather(*others)
            await nothing_left(pbx, here)
            if freeing == STEPS:
                assert not pbx.has, "a leg that could free all left nothing for later"
    assert 0 < ended < STEPS / 5, "some were cancelled on their way, and some had arrived"


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize("kind", ["bridges", "channels"])
async def test_what_is_not_answered_for_is_freed_later(method: str, kind: str) -> None:
    assert isinstance(START, StasisStart)
    async with exchange(deaf=lambda asked, path: asked == method and path.startswith(kind)) as (pbx, here):
        leg = AsteriskLeg(START, pbx, here)
        with contextlib.suppress(LegError):
            await talk(leg)
        await leg.let_go()
        await nothing_left(pbx, here)
        assert here.later and all(path.startswith(kind) for path in here.later)
