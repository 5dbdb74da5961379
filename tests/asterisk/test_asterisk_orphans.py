"""A server that was killed: what it left in Asterisk is cleared up by the next one, and nothing of the living is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from office import Company, configuration, working
from pbx import Pbx, PbxAri, authorization
from serving import Legs, serving, settings_for
from sipcaller import SipCaller, sip_caller, telephone
from test_asterisk_bridging import write
from tones import digits_in

pytestmark = pytest.mark.asterisk

AGENT = """
    greeting: "One moment."
    stt: sphinx
    tts: espeak
    llm: {provider: scripted, rules: [], otherwise: "Yes."}
    idle: {after: 300s}
"""


@pytest.fixture
async def company() -> AsyncIterator[Company]:
    async with Company().open() as company:
        yield company


@contextlib.asynccontextmanager
async def another_process(config: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A server to be killed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "from voxtrad.cli.main import main; main()", "serve", "-c", str(config),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            while b"connected to Asterisk" not in (line := await process.stdout.readline()):
                assert line, "the server ended"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_callers_of_a_killed_server_go_on_in_the_dialplan(
    pbx: Pbx, ari: PbxAri, company: Company, tmp_path: Path
) -> None:
    config = configuration(pbx, company, tmp_path, AGENT)
    async with another_process(config) as server:
        for mark in ("k1", "k2"):
            await ari.call("1001", __MARK=mark)
        await ari.has(channels=6, bridges=2)
        await calls_written(tmp_path, 2)
        os.kill(server.pid, signal.SIGKILL)
        await server.wait()
    async with working(config) as office:
        async with asyncio.timeout(20):
            while await waiting_in_the_dialplan(ari) < 2:  # noqa: ASYNC110 - another process's state
                await asyncio.sleep(0.02)
        await ari.has(channels=4, bridges=0)
        assert await ari.global_variable("CAME_BACK") in ("FAILED-k1", "FAILED-k2")
        ended = await office.server.ledger.read(lambda db: db.execute("SELECT outcome FROM calls").fetchall())
        assert [row[0] for row in ended] == ["crashed", "crashed"]
        await ari.hang_up_all()
    await ari.nothing_left()


async def calls_written(folder: Path, count: int) -> None:
    """Wait until another process's ledger knows of so many calls: what it has not written yet, no one can close."""
    async with asyncio.timeout(20):
        while True:
            for file in folder.rglob("*.db"):  # noqa: ASYNC240 - a handful of files
                with contextlib.suppress(sqlite3.OperationalError), contextlib.closing(sqlite3.connect(file)) as db:
                    if db.execute("SELECT count(*) FROM calls").fetchone()[0] >= count:
                        return
            await asyncio.sleep(0.02)


async def waiting_in_the_dialplan(ari: PbxAri) -> int:
    """Callers in the lines after `Stasis()`."""
    found = await ari.get("channels")
    assert isinstance(found, list)
    return sum(
        channel["dialplan"]["exten"] == "1001" and channel["dialplan"]["app_name"] == "Wait" for channel in found
    )


async def test_people_talk_on_and_the_living_keep_their_calls(pbx: Pbx, ari: PbxAri) -> None:
    legs, sibling = Legs(), Legs()
    async with (
        serving(settings_for(pbx, app="sibling", instance="alive"), sibling),
        sip_caller(pbx) as caller,
        telephone(pbx) as phone,
    ):
        await ari.post("channels", {"endpoint": "Local/wait@test-callers/n", "app": "sibling"})
        kept = await sibling.next()
        await kept.open_media()
        await left_talking(pbx, ari, caller, phone)
        async with serving(settings_for(pbx), legs) as telephony:
            clearing = asyncio.create_task(telephony.clear_up_after({"dead"}))
            one, other = write(caller, "246"), write(phone, "753")
            async with asyncio.TaskGroup() as group:
                group.create_task(caller.say(one))
                group.create_task(phone.say(other))
                group.create_task(caller.hears(lambda heard: "53" in digits_in(heard)))
                group.create_task(phone.hears(lambda heard: "246" in digits_in(heard)))
            assert not clearing.done()
            await phone.hang_up()
            async with asyncio.timeout(15):
                await clearing
                await caller.ended.wait()
            assert [name for name in await ari.bridges() if "dead" in name] == []
        assert len(await ari.bridges()) == 1, "the sibling's"
        await kept.hang_up()
        sibling.let_go(kept)
    await ari.nothing_left()


async def left_talking(pbx: Pbx, ari: PbxAri, caller: SipCaller, phone: SipCaller) -> None:
    """A caller and a person in a bridge of a server that has died: made by hand, in its name."""
    address = f"{pbx.url}/ari/events".replace("http", "ws", 1)
    async with (
        aiohttp.ClientSession(headers=authorization()) as http,
        http.ws_connect(address, params={"app": pbx.app}) as events,
    ):

        async def entered() -> str:
            while True:
                event = await events.receive_json(timeout=10)
                if event["type"] == "StasisStart":
                    return str(event["channel"]["id"])

        dialling = asyncio.create_task(caller.dial("1000"))
        channel = await entered()
        await ari.post(f"channels/{channel}/answer")
        await dialling
        await ari.post(f"channels/{channel}/variable", {"variable": "VOXTRAD_OWNER", "value": "dead"})
        dialled = {"endpoint": "PJSIP/301", "app": pbx.app, "channelId": "voxtrad-dead-dial-1"}
        await ari.post("channels", dialled)
        await phone.rings()
        await phone.pick_up()
        await entered()
        await ari.post("bridges/voxtrad-dead-bridge-1", {"type": "mixing"})
        await ari.post("bridges/voxtrad-dead-bridge-1/addChannel", {"channel": [channel, "voxtrad-dead-dial-1"]})
