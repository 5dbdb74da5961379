"""Two legs on a real Asterisk: one is called for the other, both are bridged, and neither leaves anything behind."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pbx import MUSIC_HZ, Pbx, PbxAri, Root
from proxy import proxy_to
from serving import Legs, end_of, serving, settings_for
from sipcaller import RATE, SipCaller, sip_caller, telephone
from tones import digits_in, tones_of

from voxtrad.audio.wav import WavWriter
from voxtrad.leg import Ended, LegGone, NotReached
from voxtrad.telephony.asterisk.leg import AsteriskLeg

pytestmark = pytest.mark.asterisk
both = pytest.mark.parametrize("transport", ["websocket", "audiosocket"])


async def answered(legs: Legs, caller: SipCaller) -> AsteriskLeg:
    dialling = asyncio.create_task(caller.dial("1000"))
    leg = await legs.next()
    await leg.answer()
    await dialling
    return leg


def strength(samples: NDArray[np.int16], *hz: float) -> float:
    """How much of the sound is at these frequencies, from 0 to 1."""
    spectrum = np.abs(np.fft.rfft(samples.astype(float))) ** 2
    bins = np.fft.rfftfreq(samples.size, 1 / RATE)
    near = np.any([np.abs(bins - f) < 20 for f in hz], axis=0)
    return float(spectrum[near].sum() / (spectrum.sum() + 1e-9))


async def hears_tone(caller: SipCaller, *hz: float) -> None:
    """Wait until a tenth of a second of nothing but these frequencies was heard."""
    start = caller.heard().size
    await caller.hears(lambda all_: all_.size - start > 800 and strength(all_[-800:], *hz) > 0.9)


@both
async def test_a_caller_hears_ringing_then_music_then_the_agent_again(pbx: Pbx, ari: PbxAri, transport: str) -> None:
    legs = Legs()
    async with serving(settings_for(pbx, transport=transport), legs), sip_caller(pbx) as caller:
        leg = await answered(legs, caller)
        port = await leg.open_media()
        await leg.hold("ringing")
        frames = [frame async for frame in port.frames()]  # ends, because the port has
        assert all(len(frame) == port.rate // 25 for frame in frames)
        with pytest.raises(LegGone):
            await port.play(bytes(port.rate // 25))
        await hears_tone(caller, 440, 480)
        await ari.has(channels=1, bridges=1)
        await leg.hold("music")
        await hears_tone(caller, MUSIC_HZ)
        port = await leg.open_media()
        position = caller.heard().size
        pcm = tones_of("4711", port.rate)
        await port.play(pcm + bytes(-len(pcm) % (port.rate // 25)))
        await caller.hears(lambda heard: digits_in(heard[position:]).endswith("4711"))
        await leg.hang_up()
        assert (await end_of(leg))[1] == "hung up by us"
        legs.let_go(leg)
    await ari.nothing_left()


@both
@pytest.mark.parametrize("endpoint", ["PJSIP/301", "Local/301@telephones"])
async def test_two_parties_talk_and_the_agent_comes_back(
    pbx: Pbx, ari: PbxAri, asterisk_root: Root, transport: str, endpoint: str
) -> None:
    legs = Legs()
    async with (
        serving(settings_for(pbx, transport=transport), legs) as telephony,
        sip_caller(pbx) as caller,
        telephone(pbx) as phone,
    ):
        leg = await answered(legs, caller)
        await leg.open_media()
        await leg.hold("ringing")

        async def pick_up() -> str:
            shown = await phone.rings()
            await phone.pick_up()
            return shown

        picking_up = asyncio.create_task(pick_up())
        async with telephony.dial(
            endpoint, timeout=10, caller=leg.info.caller, caller_name=leg.info.caller_name, beside=leg.info
        ) as other:
            assert await picking_up == "Caller One <100>"
            port = await other.open_media()
            pcm = tones_of("55", port.rate)
            await port.play(pcm + bytes(-len(pcm) % (port.rate // 25)))
            await phone.hears(lambda heard: digits_in(heard).endswith("55"))
            events = other.events()
            await phone.press("1")
            async with asyncio.timeout(5):
                assert str(await anext(events)) == "Digit(digit='1')"
            await leg.bridge_with(other)
            await ari.has(bridges=1 + endpoint.startswith("Local"))  # Dial's own, between the halves of the channel
            one, two = write(caller, "1234"), write(phone, "9876")
            # The ringing that the caller heard may run into the first digit.
            async with asyncio.TaskGroup() as group:
                group.create_task(caller.say(one))
                group.create_task(phone.say(two))
                group.create_task(caller.hears(lambda heard: "876" in digits_in(heard)))
                group.create_task(phone.hears(lambda heard: "1234" in digits_in(heard)))
            await phone.hang_up()
            async with asyncio.timeout(5):
                assert isinstance(await anext(events), Ended)
        port = await leg.open_media()
        await caller.say(one)
        heard = b""
        async with asyncio.timeout(5):
            async for frame in port.frames():
                heard += frame
                if "1234" in digits_in(np.frombuffer(heard, dtype="<i2"), port.rate):
                    break
        await caller.hang_up()
        assert (await end_of(leg))[1] == "Normal Clearing"
        legs.let_go(leg)
    await ari.nothing_left()


def write(caller: SipCaller, digits: str) -> Path:
    path = caller.folder / f"{digits}.wav"
    writer = WavWriter(path, RATE)
    writer.write(tones_of(digits))
    writer.close()
    return path


@pytest.mark.parametrize(
    ("endpoint", "why"),
    [
        ("PJSIP/301", "busy"), ("Local/301@telephones", "busy"), ("PJSIP/302", "unavailable"),
        ("Local/302@telephones", "unavailable"), ("Local/999@telephones", "unavailable"),
        ("Local/310@telephones", "declined"),
        ("Nonsense/1", "unavailable"),
    ],
)  # fmt: skip
async def test_nobody_takes_the_call(pbx: Pbx, ari: PbxAri, endpoint: str, why: str) -> None:
    async with serving(settings_for(pbx), Legs()) as telephony, telephone(pbx) as phone:

        async def refuse() -> None:
            await phone.rings()
            phone.refuse()

        refusing = asyncio.create_task(refuse())
        with pytest.raises(NotReached) as failed:
            async with telephony.dial(endpoint, timeout=10, caller="100"):
                pass
        assert failed.value.why == why, failed.value
        refusing.cancel()
    await ari.nothing_left()


@pytest.mark.parametrize("endpoint", ["PJSIP/301", "Local/301@telephones"])
async def test_nobody_picks_up_and_a_caller_who_does_not_wait(pbx: Pbx, ari: PbxAri, endpoint: str) -> None:
    async with serving(settings_for(pbx), Legs()) as telephony:
        async with telephone(pbx) as phone:
            with pytest.raises(NotReached) as failed:
                async with telephony.dial(endpoint, timeout=1.0, caller="100"):
                    pass
            assert failed.value.why == "no_answer"
            assert phone.shown == " <100>"
        await ari.nothing_left()
        async with telephone(pbx) as phone:

            async def dial() -> None:
                async with telephony.dial(endpoint, timeout=20):
                    raise AssertionError("answered")

            dialling = asyncio.create_task(dial())
            assert "anonymous" in (await phone.rings()).lower()
            dialling.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await dialling
            await ari.nothing_left()
            async with asyncio.timeout(5):
                await phone.ended.wait()


@pytest.mark.parametrize("end", ["answered", "busy", "no_answer", "unavailable", "gone"])
async def test_a_visit_to_a_place_that_comes_back(pbx: Pbx, ari: PbxAri, end: str) -> None:
    legs = Legs()
    async with serving(settings_for(pbx), legs) as telephony, sip_caller(pbx) as caller, telephone(pbx) as phone:
        leg = await answered(legs, caller)
        await leg.open_media()
        to = "302" if end == "unavailable" else "301"
        visiting = asyncio.create_task(leg.visit(context="voxtrad-transfer", extension=to, priority=1, within=30))
        match end:
            case "answered":
                assert await phone.rings() == "Caller One <100>"
                await phone.pick_up()
                assert await visiting == "answered"
                legs.let_go(leg)
                await caller.say(write(caller, "42"))
                await phone.hears(lambda heard: "42" in digits_in(heard))
                await phone.hang_up()
                await caller.ended.wait()
            case "gone":
                await phone.rings()
                await caller.hang_up()
                with pytest.raises(LegGone):
                    await visiting
                legs.let_go(leg)
            case _:
                if end == "busy":
                    await phone.rings()
                    phone.refuse()
                with pytest.raises(NotReached) as failed:
                    await visiting
                assert failed.value.why == end
                port = await leg.open_media()
                await caller.say(write(caller, "1234"))
                frames = [await anext(port.frames()) for _ in range(50)]
                assert digits_in(np.frombuffer(b"".join(frames), dtype="<i2"), port.rate)
                await leg.hang_up()
                legs.let_go(leg)
        async with asyncio.timeout(10):
            await telephony.wait_idle()
    await ari.nothing_left()


async def test_a_visit_to_a_place_that_is_not_there_or_does_not_come_back(pbx: Pbx, ari: PbxAri) -> None:
    legs = Legs()
    async with serving(settings_for(pbx), legs):
        await ari.call("1000")
        leg = await legs.next()
        await leg.answer()
        await leg.open_media()
        with pytest.raises(NotReached) as failed:
            await leg.visit(context="arrive", extension="nowhere", priority=1, within=5)
        assert failed.value.why == "unavailable"
        await leg.set_variables({"MARK": "visited"})
        assert await leg.visit(context="arrive", extension="given", priority=1, within=5) == "left"
        legs.let_go(leg)
        async with asyncio.timeout(5):
            while await ari.global_variable("ARRIVED") != "visited":  # noqa: ASYNC110 - another process's state
                await asyncio.sleep(0.02)
        await ari.hang_up_all()
    await ari.nothing_left()


async def test_a_talk_ends_for_us_when_asterisk_is_not_heard_of_any_more(pbx: Pbx, ari: PbxAri) -> None:
    legs = Legs()
    async with proxy_to(pbx.url) as proxy:
        settings = settings_for(pbx, url=proxy.url, retry_after=12.0, retry_at_most=12.0, unseen=1.0)
        async with serving(settings, legs) as telephony, sip_caller(pbx) as caller, telephone(pbx) as phone:
            leg = await answered(legs, caller)
            await leg.open_media()
            picking_up = asyncio.create_task(picked_up(phone))
            async with telephony.dial("PJSIP/301", timeout=10, caller=leg.info.caller, beside=leg.info) as other:
                await picking_up
                await leg.bridge_with(other)
                proxy.cut_events(requests_too=True)
                for each in (leg, other):
                    assert (await end_of(each, timeout=20))[1] == "nothing was heard of Asterisk for 1 s"
            legs.let_go(leg)
            await telephony.wait_idle()
            await ari.has(bridges=1)
            proxy.mend()
            async with asyncio.timeout(40):
                await telephony.wait_ready()
            await ari.nothing_left()


async def picked_up(phone: SipCaller) -> None:
    await phone.rings()
    await phone.pick_up()
