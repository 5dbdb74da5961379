"""Calls that are cancelled at any moment, also while they are being ended: nobody is left in the PBX, with nothing
said, and nothing of ours."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest
from turned import CALLER, SETTINGS, Pbx, cancelled_after, start_of, turns

from voxtrad.leg import LegError, LegGone
from voxtrad.telephony.asterisk import app
from voxtrad.telephony.asterisk.app import AsteriskTelephony
from voxtrad.telephony.asterisk.ari import open_session
from voxtrad.telephony.asterisk.connection import EventsConnection
from voxtrad.telephony.asterisk.facts import Choice
from voxtrad.telephony.asterisk.leg import AsteriskLeg
from voxtrad.telephony.asterisk.messages import ChannelOver

STEPS = 400
"""Turns of the loop, more than a call takes to its end."""
AGAIN = [None, 0, 2, 8, 20]
"""Turns after which it is cancelled once more."""

Talk = Callable[[AsteriskLeg], Awaitable[object]]


@contextlib.asynccontextmanager
async def exchange(
    monkeypatch: pytest.MonkeyPatch, talk: Talk, deaf: Callable[[str, str], bool] = lambda *_: False
) -> AsyncIterator[tuple[Pbx, AsteriskTelephony]]:
    async with open_session() as http:
        pbx = Pbx(http, deaf=deaf)
        monkeypatch.setattr(app, "Ari", lambda http, settings: pbx)
        telephony = AsteriskTelephony(SETTINGS, talk, http=http)
        telephony._choice = Choice("websocket", frozenset({"slin"}), "")
        pbx.tell = telephony._happened
        yield pbx, telephony


async def nothing_left(pbx: Pbx, telephony: AsteriskTelephony) -> None:
    """But what is freed later."""
    await turns(STEPS)  # what Asterisk is still doing
    left = {path for path in pbx.has if not path.startswith("recordings/stored/")}
    assert left <= set(telephony._leftovers._paths)
    assert telephony.live_legs == 0
    assert not (telephony._dialling._ringing or telephony._entering or telephony._tracks)


async def answers(leg: AsteriskLeg) -> None:
    await leg.answer()


async def is_hung_up(leg: AsteriskLeg) -> None:
    await leg.hang_up()


@pytest.mark.parametrize("talk", [answers, is_hung_up])
@pytest.mark.parametrize("again", AGAIN)
async def test_whoever_is_called_is_hung_up(monkeypatch: pytest.MonkeyPatch, again: int | None, talk: Talk) -> None:
    ended = 0
    for steps in range(1, STEPS, 7):
        async with exchange(monkeypatch, talk) as (pbx, telephony):

            async def call(telephony: AsteriskTelephony = telephony) -> None:
                async with telephony.dial("PJSIP/200", timeout=30) as leg:
                    await talk(leg)

            ended += not await cancelled_after(steps, call(), again=again, busy=pbx)
            await nothing_left(pbx, telephony)
    assert 0 < ended < STEPS / 7


async def test_what_is_not_answered_for_is_freed_later(monkeypatch: pytest.MonkeyPatch) -> None:
    async with exchange(monkeypatch, answers, lambda method, path: method == "POST") as (pbx, telephony):
        with pytest.raises(LegError):
            async with telephony.dial("PJSIP/200", timeout=30):
                raise AssertionError
        leg = AsteriskLeg(start_of(CALLER), pbx, telephony)
        with pytest.raises(LegError):
            await leg.record("c_1")
        later = sorted(path.split("-")[2] for path in telephony._leftovers._paths)
        assert later == ["dial", "snoop", "snoop"]


async def test_a_server_that_stops_frees_what_was_to_be_freed_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EventsConnection, "run", asyncio.Event().wait)
    async with exchange(monkeypatch, answers) as (pbx, telephony):
        pbx.has.add("bridges/voxtrad-t-bridge-1")
        running = asyncio.create_task(telephony.run())
        await turns(1)
        telephony.free_later("bridges/voxtrad-t-bridge-1")
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        assert not pbx.has


async def is_put_on_hold(leg: AsteriskLeg) -> None:
    await leg.hold("music")
    await leg.hold("ringing")


async def proceeds(leg: AsteriskLeg) -> None:
    await leg.hold("music")
    await leg.proceed(context=None, extension=None, priority=None)


async def visits(leg: AsteriskLeg) -> None:
    await leg.visit(context="sales", extension="200", priority=1, within=600)


async def hears_a_sound(leg: AsteriskLeg) -> None:
    await leg.play_sound("tt-monkeys")


async def is_recorded(leg: AsteriskLeg) -> None:
    recording = await leg.record("c_1")
    try:
        await turns(20)
    finally:
        await recording.stop()


@pytest.mark.parametrize("talk", [is_put_on_hold, proceeds, visits, hears_a_sound, is_recorded, is_hung_up])
@pytest.mark.parametrize("again", AGAIN)
async def test_a_caller_is_led_on(monkeypatch: pytest.MonkeyPatch, again: int | None, talk: Talk) -> None:
    ended = 0
    for steps in range(1, STEPS, 7):
        async with exchange(monkeypatch, talk) as (pbx, telephony):
            leg = AsteriskLeg(start_of(CALLER), pbx, telephony)
            telephony._legs.add(leg)
            ended += not await cancelled_after(steps, telephony._serve(leg), again=again, busy=pbx)
            await nothing_left(pbx, telephony)
            assert not pbx.with_us and not pbx.subscribed and pbx.hears is None
    assert ended < STEPS / 7


async def test_nobody_is_told_of_an_end_that_nobody_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A telephone refuses, or a caller hangs up, just as whoever would wait for it is gone."""
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(str(context["message"])))
    over = ChannelOver("", "Busy", 17, hung_up=True)
    async with exchange(monkeypatch, answers) as (pbx, telephony):

        async def call() -> None:
            async with telephony.dial("PJSIP/200", timeout=30):
                raise AssertionError

        calling = asyncio.create_task(call())
        await turns(4)
        (ringing,) = telephony._dialling._ringing
        telephony._happened(replace(over, channel_id=ringing))
        calling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await calling
        leg = AsteriskLeg(start_of(CALLER), pbx, telephony)
        telephony._legs.add(leg)
        visiting = asyncio.create_task(leg.visit(context="sales", extension="200", priority=1, within=600))
        while not leg.visiting:  # noqa: ASYNC110 - turns are all that passes here
            await asyncio.sleep(0)
        telephony._happened(replace(over, channel_id=CALLER))
        with contextlib.suppress(LegGone):
            await visiting
    del calling, visiting, leg
    gc.collect()
    await turns(1)
    assert not complaints
