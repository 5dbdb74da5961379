"""The AudioSocket listener on a real port: who may stay connected, and how audio goes out."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from voxtrad.leg import LegError, LegGone
from voxtrad.telephony.asterisk import audiosocket_frames as frames
from voxtrad.telephony.asterisk.ari import Ari, open_session
from voxtrad.telephony.asterisk.audiosocket import AudioSocketTransport
from voxtrad.telephony.asterisk.formats import FORMATS
from voxtrad.telephony.asterisk.media import MediaChannel
from voxtrad.telephony.asterisk.settings import AsteriskSettings, FormatName
from voxtrad.telephony.pacing import Metronome


class PbxSide:
    """Answers `externalMedia` the way Asterisk does: it connects and says the UUID, then the test speaks for it."""

    def __init__(self) -> None:
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter
        self.connects = True
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def external_media(self, request: web.Request) -> web.Response:
        body = await request.json()
        assert body["encapsulation"] == "audiosocket" and body["variables"] == {"VOXTRAD_OWNER": "t"}
        if self.connects:
            host, _, port = body["external_host"].rpartition(":")
            self.reader, self.writer = await asyncio.open_connection(host, int(port))
            self.writer.write(frames.encode(frames.UUID, uuid.UUID(body["data"]).bytes))
        await self.may_answer.wait()
        return web.json_response({"id": body["channelId"]})

    async def frame(self) -> tuple[int, bytes]:
        kind, high, low = await self.reader.readexactly(3)
        return kind, await self.reader.readexactly(high << 8 | low)


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[tuple[AudioSocketTransport, PbxSide, tuple[str, int]]]:
    pbx = PbxSide()
    app = web.Application()
    app.router.add_post("/ari/channels/externalMedia", pbx.external_media)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    settings = AsteriskSettings(instance="t", url=f"http://{host}:{port}", audiosocket_listen="127.0.0.1:0")
    async with open_session() as http:
        transport = AudioSocketTransport(Ari(http, settings), settings, Metronome())
        await transport.listen("127.0.0.1")
        await transport.listen("127.0.0.1")  # once is enough
        address, _, number = transport.advertised.rpartition(":")
        try:
            yield transport, pbx, (address, int(number))
        finally:
            await transport.close()
            await runner.cleanup()


async def opened(transport: AudioSocketTransport, name: FormatName = "slin") -> tuple[MediaChannel, asyncio.Event]:
    lost = asyncio.Event()
    return await transport.open("voxtrad-t-media-1", FORMATS[name], lost.set), lost


@pytest.mark.parametrize(
    "greeting",
    [
        frames.encode(frames.UUID, uuid.uuid4().bytes),
        frames.encode(frames.UUID, b"short"),
        frames.encode(frames.AUDIO[8000], bytes(320)),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 600,
    ],
    ids=["unknown id", "broken id", "audio first", "not AudioSocket"],
)
async def test_whoever_is_not_expected_is_cut_off(greeting: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxtrad.telephony.asterisk.audiosocket._CONNECT_TIMEOUT", 0.2)
    async with listening() as (_, _, address):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(greeting)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()


async def test_one_frame_every_20_ms_from_the_start_and_all_that_is_played_in_order() -> None:
    async with listening() as (transport, pbx, _):
        port, _ = await opened(transport)
        kind, payload = await pbx.frame()
        assert (kind, payload) == (0x10, bytes(320))  # silence, before anything was played or heard
        speech = [bytes([number]) * 320 for number in range(1, 31)]
        loop = asyncio.get_running_loop()
        begin = loop.time()
        await port.play(b"".join(speech))
        got: list[bytes] = []
        while len(got) < 30:
            _, payload = await pbx.frame()
            if any(payload):
                got.append(payload)
        assert got == speech
        assert loop.time() - begin >= 0.5  # no burst: 30 frames cannot come sooner
        await port.drained()
        assert port.heard == port.queued == 30 * 160
        await port.close()


async def test_wideband_has_its_own_kind_of_frame() -> None:
    async with listening() as (transport, pbx, _):
        port, _ = await opened(transport, "slin16")
        assert await pbx.frame() == (0x12, bytes(640))
        await port.close()


async def test_the_callers_audio_in_torn_pieces_becomes_frames() -> None:
    async with listening() as (transport, pbx, _):
        port, _ = await opened(transport)
        sound = bytes(range(1, 161)) * 2
        stream = frames.encode(0x10, sound) * 2 + frames.encode(0x10, sound[:100]) + frames.encode(0x10, sound[100:])
        for start in range(0, len(stream), 97):
            pbx.writer.write(stream[start : start + 97])
            await pbx.writer.drain()
        heard = [frame async for frame, _ in _numbered(port.frames()) if any(frame)]
        assert heard == [sound] * 3
        await port.close()


async def _numbered(stream: AsyncIterator[bytes]) -> AsyncIterator[tuple[bytes, int]]:
    """The frames up to the third that is no silence."""
    loud = 0
    async for frame in stream:
        loud += any(frame)
        yield frame, loud
        if loud == 3:
            return


@pytest.mark.parametrize("how", ["hang-up frame", "closed", "garbage"])
async def test_the_end_from_the_far_side_is_told_and_wakes_whoever_waits(how: str) -> None:
    async with listening() as (transport, pbx, _):
        port, lost = await opened(transport)
        playing = asyncio.create_task(port.play(bytes(320) * 1000))
        await pbx.frame()
        match how:
            case "hang-up frame":
                pbx.writer.write(frames.encode(frames.HANG_UP))
            case "closed":
                pbx.writer.close()
            case "garbage":
                pbx.writer.write(frames.encode(frames.AUDIO[8000], b"odd"))
        await lost.wait()
        with pytest.raises(LegGone):
            await playing
        with pytest.raises(LegGone):
            await port.drained()
        assert all([len(frame) == 320 async for frame in port.frames()])  # and ends
        await port.close()
        await port.close()


async def test_a_call_that_asterisk_does_not_connect_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxtrad.telephony.asterisk.audiosocket._CONNECT_TIMEOUT", 0.05)
    async with listening() as (transport, pbx, _):
        pbx.connects = False
        with pytest.raises(LegError, match="did not connect") as refused:
            await opened(transport)
        assert "advertise" in str(refused.value.hint)


async def test_a_connection_for_a_call_that_was_cancelled_meanwhile_is_cut() -> None:
    async with listening() as (transport, pbx, _):
        pbx.may_answer.clear()
        opening = asyncio.create_task(opened(transport))
        await asyncio.sleep(0)
        await asyncio.wait(list(transport._expected.values()))
        opening.cancel()
        pbx.may_answer.set()
        with contextlib.suppress(asyncio.CancelledError):
            await opening
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionResetError):
                assert await pbx.reader.read() == b""


async def test_closing_that_is_cancelled_can_be_done_again() -> None:
    async with listening() as (transport, _, _):
        port, _ = await opened(transport)
        closing = asyncio.create_task(port.close())
        await asyncio.sleep(0)
        closing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await closing
        await port.close()


async def test_an_address_that_is_none_or_is_taken() -> None:
    async with listening() as (_, _, (host, port)), open_session() as http:
        for address, reason in (
            (f"{host}:{port}", "cannot listen"),
            ("nowhere", "HOST:PORT"),
            ("h:99999", "HOST:PORT"),
        ):
            settings = AsteriskSettings(instance="t", audiosocket_listen=address)
            transport = AudioSocketTransport(Ari(http, settings), settings, Metronome())
            with pytest.raises(LegError, match=reason):
                await transport.listen("127.0.0.1")
