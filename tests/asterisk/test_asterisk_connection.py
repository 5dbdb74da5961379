"""The connection to a real Asterisk: lost, refused, taken by another client, and got back."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from pbx import Pbx, PbxAri, Root, authorization, free_port
from proxy import proxy_to
from serving import Legs, end_of, serving, settings_for
from structlog.testing import capture_logs

from voxtrad.leg import LegGone

pytestmark = pytest.mark.asterisk
each_transport = pytest.mark.parametrize("transport", ["websocket", "audiosocket", "rtp"])


@each_transport
@pytest.mark.parametrize("requests_too", [False, True], ids=["events", "events and requests"])
async def test_a_caller_who_hangs_up_while_the_events_are_cut(
    pbx: Pbx, ari: PbxAri, transport: str, requests_too: bool
) -> None:
    legs = Legs()
    async with (
        proxy_to(pbx.url) as proxy,
        serving(settings_for(pbx, url=proxy.url, transport=transport), legs) as telephony,
    ):
        caller = await ari.call("1000")
        leg = await legs.next()
        stays = await ari.call("1000")
        staying = await legs.next()
        for each in (leg, staying):
            await each.answer()
            await each.open_media()
        proxy.cut_events(requests_too=requests_too)
        async with asyncio.timeout(5):
            await telephony.wait_state("disconnected")
        assert not telephony.connected and telephony.state_reason
        await ari.hang_up(caller)
        proxy.mend()
        _, cause = await end_of(leg)
        assert cause == "gone while there was no connection to Asterisk"
        legs.let_go(leg)
        async with asyncio.timeout(10):
            await telephony.wait_ready()
        assert telephony.reconnects == 1

        await ari.hang_up(stays)  # the other call went on over the gap
        assert (await end_of(staying))[1] == "Normal Clearing"
        legs.let_go(staying)
        await ari.nothing_left()


async def test_a_hang_up_is_seen_even_while_no_events_come(pbx: Pbx, ari: PbxAri) -> None:
    legs = Legs()
    async with proxy_to(pbx.url) as proxy:
        settings = settings_for(pbx, url=proxy.url, retry_after=30.0, retry_at_most=30.0)
        async with serving(settings, legs) as telephony:
            caller = await ari.call("1000")
            leg = await legs.next()
            await leg.open_media()
            proxy.cut_events(requests_too=False)
            async with asyncio.timeout(5):
                await telephony.wait_state("disconnected")
            await ari.hang_up(caller)
            assert (await end_of(leg))[1] == "gone while there was no connection to Asterisk"
            assert telephony.state == "disconnected"
            legs.let_go(leg)
            await ari.nothing_left()


@each_transport
@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
async def test_asterisk_is_restarted(own_pbx: Pbx, transport: str, kill: bool) -> None:
    legs = Legs()
    async with own_pbx.ari() as ari, serving(settings_for(own_pbx, transport=transport), legs) as telephony:
        await ari.call("1000")
        leg = await legs.next()
        await leg.answer()
        port = await leg.open_media()
        with capture_logs() as logs:
            await asyncio.to_thread(own_pbx.stop, kill=kill)
            await end_of(leg)
            with pytest.raises(LegGone):
                await port.play(bytes(port.rate // 25))
            legs.let_go(leg)
            async with asyncio.timeout(5):
                await telephony.wait_state("disconnected")
                await telephony.wait_idle()
            await asyncio.to_thread(own_pbx.start)
            async with asyncio.timeout(10):
                await telephony.wait_ready()
        assert telephony.reconnects == 1
        said = [(entry["event"], entry.get("reason")) for entry in logs if "connected to Asterisk" in entry["event"]]
        # That it is gone, again only where the reason changed (refused, then up but not ready), and that it is back.
        assert said[-1] == ("connected to Asterisk", None) and len(said) == len(set(said)) <= 5, said
        await ari.call("1000")
        leg = await legs.next()
        await leg.answer()
        await (await leg.open_media()).play(bytes(3200))
        await leg.hang_up()
        await end_of(leg)
        legs.let_go(leg)
        await ari.nothing_left()


async def test_another_client_takes_the_application(pbx: Pbx, ari: PbxAri) -> None:
    legs = Legs()
    async with (
        serving(settings_for(pbx, take_back_after=0.3), legs) as telephony,
        aiohttp.ClientSession(headers=authorization()) as http,
    ):
        caller = await ari.call("1000")
        leg = await legs.next()
        await leg.answer()
        await leg.open_media()
        with capture_logs() as logs:
            async with http.ws_connect(f"{pbx.url}/ari/events?app={pbx.app}") as other:
                async with asyncio.timeout(5):
                    await telephony.wait_state("replaced")
                assert not telephony.connected
                assert "another client has taken the Stasis application 'voxtrad'" in telephony.state_reason
                await ari.hang_up(caller)  # no event of it comes to us
                assert (await end_of(leg))[1]
                legs.let_go(leg)
                async with asyncio.timeout(5):
                    await telephony.wait_ready()  # taken back
                    while (event := await other.receive_json())["type"] != "ApplicationReplaced":
                        pass
                assert event["application"] == pbx.app
        assert [entry["log_level"] for entry in logs if "not connected" in entry["event"]] == ["error"]
        await ari.call("1000")
        again = await legs.next()
        await again.hang_up()
        await end_of(again)
        legs.let_go(again)
        await ari.nothing_left()


async def test_what_stands_in_the_way_is_said_once_and_clearly(pbx: Pbx) -> None:
    legs = Legs()
    cases = {
        "no connection to Asterisk": settings_for(pbx, url=f"http://127.0.0.1:{free_port()}", retry_at_most=0.1),
        "refuses the ARI user name or password": settings_for(pbx, password="S3CRET-guess", retry_at_most=0.1),
        "cannot listen for AudioSocket": settings_for(
            pbx, transport="audiosocket", audiosocket_listen=f"127.0.0.1:{pbx.http_port}", retry_at_most=0.1
        ),
    }
    for reason, settings in cases.items():
        with capture_logs() as logs:
            async with serving(settings, legs, ready=False) as telephony:
                async with asyncio.timeout(10):
                    while telephony.attempts < 4:  # noqa: ASYNC110 - nothing else tells of an attempt without a change
                        await asyncio.sleep(0.01)
                assert telephony.state == "disconnected" and reason in telephony.state_reason
        warnings = [entry for entry in logs if entry["log_level"] == "warning" and "not connected" in entry["event"]]
        assert len(warnings) == 1 and warnings[0]["hint"] and reason in warnings[0]["reason"]
        assert "S3CRET" not in str(logs)


@pytest.mark.parametrize(
    ("missing", "transport", "chosen", "why"),
    [
        ({"chan_websocket"}, "auto", "audiosocket", "chan_websocket.so is not loaded"),
        ({"chan_audiosocket", "res_audiosocket"}, "auto", "websocket", "has chan_websocket.so"),
        ({"chan_websocket"}, "websocket", None, "chan_websocket.so is not loaded"),
        ({"chan_websocket", "chan_audiosocket"}, "auto", "rtp", "chan_audiosocket.so is not loaded"),
        ({"chan_websocket", "chan_audiosocket", "chan_rtp"}, "auto", None, "chan_rtp.so is not loaded"),
    ],
)
async def test_the_transport_follows_from_what_the_pbx_has(
    asterisk_root: Root, missing: set[str], transport: str, chosen: str | None, why: str
) -> None:
    pbx = Pbx(asterisk_root, leave_out=frozenset(missing))
    legs = Legs()
    try:
        await asyncio.to_thread(pbx.start)
        async with serving(settings_for(pbx, transport=transport), legs, ready=chosen is not None) as telephony:
            if chosen is None:
                async with asyncio.timeout(5):
                    await telephony.wait_state("disconnected")
                    while "not loaded" not in telephony.state_reason:  # noqa: ASYNC110 - it begins disconnected
                        await asyncio.sleep(0.01)
                assert why in telephony.state_reason
            else:
                assert telephony.media_choice is not None
                assert telephony.media_choice.transport == chosen and why in telephony.media_choice.why
                assert telephony.version is not None and telephony.version.startswith("22.")
                async with pbx.ari() as ari:
                    await ari.call("1000")
                    leg = await legs.next()
                    await leg.open_media()
                    await leg.hang_up()
                    await end_of(leg)
                    legs.let_go(leg)
                    await ari.nothing_left()
    finally:
        await asyncio.to_thread(pbx.close)
