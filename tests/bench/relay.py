"""The yardstick: a bare program that forwards frames between PBX and vendor and runs the WebRTC detector on them.

Nothing of voxtrad is in it: no turns, no events, no state. What it costs is what any such server costs on this machine.

    python -m tests.bench.relay PBX_URL VENDOR_URL
"""

from __future__ import annotations

import asyncio
import sys
import uuid

import aiohttp
import uvloop
import webrtcvad

from tests.bench.process import until_told


async def carry(http: aiohttp.ClientSession, pbx: str, vendor: str) -> None:
    """One call, until it is cancelled."""
    id = f"relay-{uuid.uuid4().hex}"
    async with http.post(f"{pbx}/ari/channels/externalMedia", json={"channelId": id}) as answer:
        connection = (await answer.json())["channelvars"]["MEDIA_WEBSOCKET_CONNECTION_ID"]
    try:
        async with (
            http.ws_connect(f"{pbx}/media/{connection}", protocols=("media",)) as media,
            http.ws_connect(f"{vendor}/relay", compress=0) as far,
        ):
            vad = webrtcvad.Vad(2)

            async def back() -> None:
                async for message in far:
                    await media.send_bytes(message.data)

            backwards = asyncio.create_task(back())
            try:
                async for message in media:
                    if message.type is aiohttp.WSMsgType.BINARY:
                        vad.is_speech(message.data, 8000)
                        await far.send_bytes(message.data)
            finally:
                backwards.cancel()
    finally:
        await http.delete(f"{pbx}/ari/channels/{id}")


async def main(pbx: str, vendor: str) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http, asyncio.TaskGroup() as calls:  # noqa: SIM117
        async with http.ws_connect(f"{pbx}/ari/events") as events:
            print("ready", flush=True)
            told = asyncio.create_task(until_told())
            told.add_done_callback(lambda _: asyncio.ensure_future(events.close()))
            carried: dict[str, asyncio.Task[None]] = {}
            async for message in events:
                event = message.json()
                id = event["channel"]["id"]
                if event["type"] == "StasisStart" and id.startswith("bench-"):
                    carried[id] = calls.create_task(carry(http, pbx, vendor))
                elif event["type"] == "StasisEnd" and id in carried:
                    carried.pop(id).cancel()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:3]))
