"""Legs on a real Asterisk: who calls, what they are told, how they end, and that nothing is left of them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
from holding import holding
from pbx import Pbx, PbxAri
from serving import Legs, end_of, serving, settings_for
from sipcaller import sip_caller

from voxtrad.leg import Digit, Ended, LegGone, PutOnHold
from voxtrad.telephony.asterisk.leg import AsteriskLeg

pytestmark = pytest.mark.asterisk
each_transport = pytest.mark.parametrize("transport", ["websocket", "audiosocket", "rtp"])


async def test_a_leg_tells_who_calls_and_what_the_dialplan_asks_for(pbx: Pbx, ari: PbxAri) -> None:
    legs = Legs()
    async with serving(settings_for(pbx, variables=("TIER", "ABSENT")), legs):
        await ari.call("1002", caller_id="Ada <0044207>")
        info = (await legs.next()).info
        assert info.caller == "0044207" and info.caller_name == "Ada"
        assert info.dialled == "442079460000"  # FROM_DID comes before the extension
        assert info.channel.startswith("Local/1002@")
        assert info.variables == {"TIER": "gold"}
        assert info.greeting == "Good day" and info.agent is None
        assert info.linkedid and info.id
        await ari.call("1001")
        info = (await legs.next()).info
        assert info.dialled == "1001" and info.agent == "support" and info.greeting is None
    await ari.hang_up_all()
    await ari.nothing_left()


async def test_the_first_stasis_argument_comes_before_the_variables(pbx: Pbx, ari: PbxAri) -> None:
    legs = Legs()
    async with serving(settings_for(pbx), legs):
        # Local channels inherit variables that begin with two underscores.
        await ari.call("1001", __VOXTRAD_AGENT="sales", __DIALED_NUMBER="5551", __FROM_DID="5552")
        leg = await legs.next()
        assert (leg.info.agent, leg.info.dialled) == ("support", "5551")
        await ari.call("1000", __VOXTRAD_AGENT="sales", __AI_AGENT="other")
        assert (await legs.next()).info.agent == "sales"
        await ari.call("1000", __AI_AGENT="other")
        assert (await legs.next()).info.agent == "other"
    await ari.hang_up_all()
    await ari.nothing_left()


@each_transport
async def test_set_up_and_hang_up_by_either_side_leave_nothing(pbx: Pbx, ari: PbxAri, transport: str) -> None:
    legs = Legs()
    async with serving(settings_for(pbx, transport=transport), legs) as telephony:
        assert telephony.media_choice is not None and telephony.media_choice.transport == transport
        caller = await ari.call("1000")
        leg = await legs.next()
        await leg.answer()
        port = await leg.open_media()
        await ari.has(channels=3, bridges=1)
        await ari.hang_up(caller)
        assert await end_of(leg) == ("", "Normal Clearing")
        frames = [frame async for frame in port.frames()]  # ends, because the leg has
        assert all(len(frame) == port.rate // 25 for frame in frames)
        with pytest.raises(LegGone):
            await port.play(bytes(port.rate // 25))
        with pytest.raises(LegGone):
            await leg.answer()
        await leg.hang_up()  # does nothing
        legs.let_go(leg)
        await ari.nothing_left()

        await ari.call("1000")
        leg = await legs.next()
        await leg.open_media()  # before the answer: the media is warm when the call is answered
        await leg.answer()
        await leg.hang_up()
        assert (await end_of(leg))[1] == "hung up by us"
        legs.let_go(leg)
        await ari.nothing_left()


@each_transport
async def test_our_channels_carry_their_owner(pbx: Pbx, ari: PbxAri, transport: str) -> None:
    legs = Legs()
    async with serving(settings_for(pbx, transport=transport, instance="owner7"), legs):
        await ari.call("1000")
        leg = await legs.next()
        await leg.open_media()
        marked = {}
        found = await ari.get("channels")
        assert isinstance(found, list)
        for channel in found:
            if channel["id"] == leg.info.id or "owner7" in channel["id"]:
                answer = await ari.get(f"channels/{channel['id']}/variable", variable="VOXTRAD_OWNER")
                assert isinstance(answer, dict)
                marked[channel["id"]] = answer["value"]
        assert list(marked.values()) == ["owner7", "owner7"]
        assert "owner7" in (await ari.bridges())[0]
    await ari.nothing_left()


@each_transport
async def test_50_legs_hung_up_at_random_moments_leave_nothing(pbx: Pbx, ari: PbxAri, transport: str) -> None:
    chance = random.Random(7)
    rang = 0

    async def on_leg(leg: AsteriskLeg) -> None:
        nonlocal rang
        rang += 1
        side = chance.random()
        if side < 0.8:
            await leg.answer()
            port = await leg.open_media()
            async with asyncio.TaskGroup() as group:
                group.create_task(_listen(port.frames()))
                await port.play(bytes(port.rate // 25) * 25)
                if side < 0.3:
                    await port.drained()
                    await leg.hang_up(chance.choice(["normal", "busy"]))
                await end_of(leg)
        elif side < 0.9:
            await leg.hang_up("busy")
            await end_of(leg)
        # the rest return at once: the caller goes on in the dialplan

    async def call() -> None:
        caller = await ari.call("1000", caller=chance.choice(["wait", "echo", "play-tt-monkeys"]))
        await asyncio.sleep(chance.uniform(0.0, 1.2))
        await ari.hang_up(caller)

    async with serving(settings_for(pbx, transport=transport), on_leg) as telephony:
        for _ in range(5):
            async with asyncio.TaskGroup() as group:
                for _ in range(10):
                    group.create_task(call())
        await ari.nothing_left()
        async with asyncio.timeout(10):
            await telephony.wait_idle()
        assert rang > 25  # the rest hung up before they had entered the application


async def _listen(frames: AsyncIterator[bytes]) -> None:
    async for _ in frames:
        pass


async def test_callers_of_a_server_that_stops_go_on_in_the_dialplan(pbx: Pbx, ari: PbxAri) -> None:
    legs = Legs()
    async with serving(settings_for(pbx), legs):
        for mark in ("m5", "m6"):
            await ari.call("1001", __MARK=mark)
            await (await legs.next()).open_media()
    await _arrives(ari, "CAME_BACK", "FAILED-m6", "FAILED-m5")
    await ari.has(bridges=0)
    await ari.hang_up_all()
    await ari.nothing_left()


@each_transport
async def test_digits_that_the_caller_presses_reach_the_leg(pbx: Pbx, ari: PbxAri, transport: str) -> None:
    legs = Legs()
    async with serving(settings_for(pbx, transport=transport), legs), sip_caller(pbx) as caller:
        dialling = asyncio.create_task(caller.dial("1000"))
        leg = await legs.next()
        await leg.answer()
        await leg.open_media()
        await dialling
        events = leg.events()
        for digit in "42#":
            await caller.press(digit)
            async with asyncio.timeout(5):
                assert await anext(events) == Digit(digit)
        await caller.hang_up()
        async with asyncio.timeout(5):
            assert await anext(events) == Ended("Normal Clearing")
    await ari.nothing_left()


@each_transport
async def test_digits_that_the_leg_sends_reach_the_caller(pbx: Pbx, ari: PbxAri, transport: str) -> None:
    legs = Legs()
    async with serving(settings_for(pbx, transport=transport), legs):
        await ari.call("1000", caller="read-4", MARK=transport)
        leg = await legs.next()
        await leg.answer()
        await leg.open_media()
        await leg.send_digits("73*1")
        await _arrives(ari, "DIGITS", f"{transport} 73*1")
        await leg.hang_up()
    await ari.nothing_left()


async def test_proceed_hands_the_caller_back_to_the_dialplan(pbx: Pbx, ari: PbxAri) -> None:
    legs = Legs()
    async with serving(settings_for(pbx), legs):
        await ari.call("1000")
        leg = await legs.next()
        await leg.answer()
        await leg.open_media()
        await leg.set_variables({"MARK": "from 1000: 7 & 8", "VOXTRAD_STATUS": ""})
        await leg.proceed(context="arrive", extension="given", priority=1)
        assert (await end_of(leg))[1] == "handed back to the dialplan"
        legs.let_go(leg)
        await _arrives(ari, "ARRIVED", "from 1000: 7 & 8")
        await ari.has(bridges=0)

        await ari.call("1001")
        leg = await legs.next()
        await leg.set_variables({"MARK": "m2", "VOXTRAD_STATUS": "BUSY"})
        await leg.proceed(context=None, extension=None, priority=None)
        legs.let_go(leg)
        await _arrives(ari, "CAME_BACK", "BUSY-m2")
        await ari.hang_up_all()
    await ari.nothing_left()


async def test_a_caller_whose_call_breaks_goes_on_in_the_dialplan(pbx: Pbx, ari: PbxAri) -> None:
    async def broken(leg: AsteriskLeg) -> None:
        await leg.open_media()
        raise RuntimeError("a bug")

    async with serving(settings_for(pbx), broken) as telephony:
        await ari.call("1001", __MARK="m3")
        await _arrives(ari, "CAME_BACK", "FAILED-m3")
        assert telephony.connected
        await ari.has(bridges=0)
        await ari.hang_up_all()
    await ari.nothing_left()


async def test_a_caller_whose_media_is_lost_goes_on_in_the_dialplan(pbx: Pbx, ari: PbxAri) -> None:
    legs = Legs()
    async with serving(settings_for(pbx), legs):
        await ari.call("1001", __MARK="m4")
        leg = await legs.next()
        await leg.answer()
        await leg.open_media()
        found = await ari.get("channels")
        assert isinstance(found, list)
        (media,) = [channel["id"] for channel in found if channel["id"].startswith("voxtrad-")]
        await ari.hang_up(media)
        assert (await end_of(leg))[1] == "the media connection was lost"
        legs.let_go(leg)
        await _arrives(ari, "CAME_BACK", "FAILED-m4")
        await ari.hang_up_all()
    await ari.nothing_left()


async def test_hang_up_tells_the_caller_why(pbx: Pbx, ari: PbxAri) -> None:
    legs = Legs()
    async with serving(settings_for(pbx), legs), sip_caller(pbx) as caller:
        dialling = asyncio.create_task(caller.dial("1000"))
        leg = await legs.next()
        await leg.hang_up("busy")
        with pytest.raises(ConnectionError, match="486"):
            await dialling
    await ari.nothing_left()


async def test_a_telephone_puts_us_on_hold_and_comes_back(pbx: Pbx, ari: PbxAri) -> None:
    legs = Legs()
    async with serving(settings_for(pbx), legs), holding(pbx) as telephone:
        leg = await legs.next()
        await leg.open_media()
        await leg.answer()
        async with asyncio.timeout(20):
            happened = [event async for event in leg.events()]
        await telephone.done()
        assert happened == [PutOnHold(True), PutOnHold(False), Ended("Normal Clearing")]
        legs.let_go(leg)
    await ari.nothing_left()


async def _arrives(ari: PbxAri, variable: str, *values: str) -> None:
    """Wait until the dialplan has set a global variable to one of the values."""
    found = ""
    try:
        async with asyncio.timeout(5):
            while (found := await ari.global_variable(variable)) not in values:  # noqa: ASYNC110 - another process's state
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"{variable} is {found!r}, not one of {values}") from None
