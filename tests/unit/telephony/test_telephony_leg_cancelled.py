"""A leg that is cancelled at any moment leaves nothing in the PBX: neither what it makes nor what it frees."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest
from turned import CALLER, SETTINGS, Pbx, cancelled_after, start_of, turns

from voxtrad.leg import Dialer, LegError
from voxtrad.telephony.asterisk.ari import open_session
from voxtrad.telephony.asterisk.facts import Choice
from voxtrad.telephony.asterisk.formats import Format
from voxtrad.telephony.asterisk.leg import AsteriskLeg
from voxtrad.telephony.asterisk.media import MediaChannel, MediaTransport
from voxtrad.telephony.asterisk.recording import Track
from voxtrad.telephony.asterisk.settings import TransportName

STEPS = 250
"""The loop's turns after which a leg is cancelled: more than it takes to its end."""


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
    await turns(STEPS)  # what Asterisk is still doing
    assert pbx.has <= set(exchange.later)


async def talk(leg: AsteriskLeg) -> None:
    await leg.open_media()
    await leg.hold("music")
    await leg.open_media()


@pytest.mark.parametrize("busy", [True, False])
@pytest.mark.parametrize("hung_up", [True, False])
@pytest.mark.parametrize("freeing", [*range(1, 12), 16, 24, STEPS])
async def test_nothing_is_left_whenever_it_is_cancelled(freeing: int, hung_up: bool, busy: bool) -> None:
    ended = 0
    for steps in range(0, STEPS, 5):
        async with exchange() as (pbx, here):
            leg = AsteriskLeg(start_of(CALLER), pbx, here)
            ended += not await cancelled_after(steps, talk(leg))
            if hung_up:
                leg.left("Normal Clearing")
            others = [
                asyncio.create_task(pbx.get("channels/1.1")) for _ in range(16 if busy else 0)
            ]  # as many as may ask
            await asyncio.sleep(0)
            await cancelled_after(freeing, leg.let_go())
            await asyncio.gather(*others)
            await nothing_left(pbx, here)
            if freeing == STEPS:
                assert not pbx.has, "a leg that could free all left nothing for later"
    assert 0 < ended < STEPS / 5, "some were cancelled on their way, and some had arrived"


@pytest.mark.parametrize("method", ["POST", "DELETE"])
@pytest.mark.parametrize("kind", ["bridges", "channels"])
async def test_what_is_not_answered_for_is_freed_later(method: str, kind: str) -> None:
    async with exchange(deaf=lambda asked, path: asked == method and path.startswith(kind)) as (pbx, here):
        leg = AsteriskLeg(start_of(CALLER), pbx, here)
        with contextlib.suppress(LegError):
            await talk(leg)
        await leg.let_go()
        await nothing_left(pbx, here)
        assert here.later and all(path.startswith(kind) for path in here.later)
