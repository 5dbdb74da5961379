"""RTP on real sockets: who is heard, where it is sent, how it begins and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
import uvloop
from aiohttp import web
from structlog.testing import capture_logs

from voxtrad.audio.g711 import decode_ulaw, encode_alaw
from voxtrad.leg import LegError, LegGone, Lossy, ReceptionReport
from voxtrad.telephony.asterisk.ari import Ari, AriError, open_session
from voxtrad.telephony.asterisk.formats import FORMATS
from voxtrad.telephony.asterisk.media import MediaChannel
from voxtrad.telephony.asterisk.rtp import RtpTransport
from voxtrad.telephony.asterisk.rtp_packets import Packer, Packet, parse
from voxtrad.telephony.asterisk.rtp_socket import RtpSocket
from voxtrad.telephony.asterisk.settings import AsteriskSettings, FormatName
from voxtrad.telephony.pacing import Metronome

HERE, ELSEWHERE = "127.0.0.1", "127.0.0.2"


class Far:
    """A UDP socket somewhere, and a stream of RTP from it."""

    def __init__(self, host: str = HERE, port: int = 0) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind((host, port))
        self._packer = Packer(160, source=7, sequence=65530, timestamp=2**32 - 1000)

    @property
    def address(self) -> tuple[str, int]:
        host, port = self._socket.getsockname()
        return str(host), int(port)

    def send(self, payload: bytes, to: tuple[str, int], payload_type: int = 0) -> None:
        self.send_raw(self._packer.pack(payload, payload_type), to)

    def send_raw(self, datagram: bytes, to: tuple[str, int]) -> None:
        self._socket.sendto(datagram, to)

    def received(self) -> bytes:
        """What has come already; raises `BlockingIOError` where nothing has."""
        return self._socket.recv(4096)

    async def packet(self) -> Packet:
        async with asyncio.timeout(5):
            return parse(await asyncio.get_running_loop().sock_recv(self._socket, 4096))

    def close(self) -> None:
        self._socket.close()


class PbxSide:
    """Answers `externalMedia` the way Asterisk does, with what it is to tell of where it listens."""

    def __init__(self) -> None:
        self.far = Far()
        self.told: tuple[str, int] | None = self.far.address
        self.us: tuple[str, int]
        self.body: dict[str, object] = {}

    async def external_media(self, request: web.Request) -> web.Response:
        self.body = await request.json()
        host, _, port = str(self.body["external_host"]).rpartition(":")
        self.us = host, int(port)
        variables: dict[str, str] = {}
        if self.told is not None:
            variables = {"UNICASTRTP_LOCAL_ADDRESS": self.told[0], "UNICASTRTP_LOCAL_PORT": str(self.told[1])}
        return web.json_response({"id": self.body["channelId"], "channelvars": variables})


class Office:
    """A transport, the PBX that it speaks with, and whether ARI is connected."""

    def __init__(self, ari: Ari, pbx: PbxSide, settings: AsteriskSettings) -> None:
        self.pbx = pbx
        self.reachable = True
        self.lost = asyncio.Event()
        self.transport = RtpTransport(ari, settings, Metronome(), reachable=lambda: self.reachable)
        self.transport.located(HERE, HERE)

    async def opened(self, name: FormatName = "ulaw") -> MediaChannel:
        return await self.transport.open("voxtrad-t-media-1", FORMATS[name], self.lost.set)


@contextlib.asynccontextmanager
async def office(
    *, listen: str | None = None, ports: tuple[int, int] | None = None, advertise: str | None = None
) -> AsyncIterator[Office]:
    pbx = PbxSide()
    app = web.Application()
    app.router.add_post("/ari/channels/externalMedia", pbx.external_media)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, HERE, 0).start()
    host, port = runner.addresses[0][:2]
    settings = AsteriskSettings(
        instance="t", url=f"http://{host}:{port}", rtp_listen=listen, rtp_ports=ports, rtp_advertise=advertise
    )
    async with open_session() as http:
        try:
            yield Office(Ari(http, settings), pbx, settings)
        finally:
            pbx.far.close()
            await runner.cleanup()


async def heard(port: MediaChannel, count: int) -> list[bytes]:
    """The first frames that are no silence."""
    found: list[bytes] = []
    async with asyncio.timeout(5):
        async for frame in port.frames():
            found += [frame] if any(frame) else []
            if len(found) == count:
                break
    return found


async def test_what_asterisk_is_asked_for() -> None:
    async with office() as it:
        port = await it.opened("alaw")
        assert it.pbx.body == {
            "channelId": "voxtrad-t-media-1", "app": "voxtrad", "external_host": f"{HERE}:{it.pbx.us[1]}",
            "transport": "udp", "encapsulation": "rtp", "connection_type": "client", "format": "alaw",
            "variables": {"VOXTRAD_OWNER": "t"},
        }  # fmt: skip
        assert (port.rate, port.codec) == (8000, "alaw")
        await port.close()
        await port.close()


async def test_one_frame_every_20_ms_from_the_start_and_what_was_u_law_is_it_again_to_the_bit() -> None:
    async with office() as it:
        port = await it.opened()
        first = await it.pbx.far.packet()
        assert first.marker and first.payload == b"\xff" * 160 and first.payload_type == 0
        codes = bytes(code for code in range(256) if code != 0x7F)  # u-law's second zero becomes the first
        speech = [bytes(codes[(number + at) % 255] for at in range(160)) for number in range(1, 31)]
        await port.play(decode_ulaw(b"".join(speech)))
        packets = [first]
        while len([packet for packet in packets if packet.payload != b"\xff" * 160]) < 30:
            packets.append(await it.pbx.far.packet())
        assert [packet.payload for packet in packets if packet.payload != b"\xff" * 160] == speech
        steps = {
            ((b.sequence - a.sequence) % 2**16, (b.timestamp - a.timestamp) % 2**32, b.source - a.source, b.marker)
            for a, b in pairwise(packets)
        }
        assert (1, 160, 0, False) in steps
        assert all(timestamp == 160 or marker for _, timestamp, _, marker in steps)  # unless the loop was held up
        await port.drained()
        assert port.heard == port.queued == 30 * 160
        await port.close()


@pytest.mark.parametrize(
    ("name", "payload_type", "payload", "pcm"),
    [
        ("ulaw", 0, b"\x01" * 160, decode_ulaw(b"\x01" * 160)),
        ("alaw", 8, encode_alaw(b"\x00\x10" * 160), None),
        ("slin", 10, b"\x10\x00" * 160, b"\x00\x10" * 160),
        ("slin", 11, b"\x10\x00" * 160, b"\x00\x10" * 160),
    ],
)
async def test_the_far_side_is_heard_and_spoken_to_in_each_format(
    name: FormatName, payload_type: int, payload: bytes, pcm: bytes | None
) -> None:
    async with office() as it:
        port = await it.opened(name)
        for _ in range(3):
            it.pbx.far.send(payload, it.pbx.us, payload_type)
        [frame, *_] = await heard(port, 3)
        assert pcm is None or frame == pcm
        await port.play(frame)
        while (packet := await it.pbx.far.packet()).payload == SILENT[name]:
            pass
        assert packet.payload == payload
        assert packet.payload_type == payload_type  # as it came
        await port.close()


SILENT = {"ulaw": b"\xff" * 160, "alaw": b"\xd5" * 160, "slin": bytes(320)}


async def test_what_is_no_audio_of_the_call_is_passed_over() -> None:
    async with office() as it:
        port = await it.opened()
        far, us = it.pbx.far, it.pbx.us
        far.send(b"\x01" * 160, us)
        for nonsense in (b"", b"\x80", b"GET / HTTP/1.1\r\n\r\n", bytes(3000), b"\x80\xc8" + bytes(26)):
            far.send_raw(nonsense, us)
        far.send(b"\x05\x0a\x00\xa0", us, 101)  # a key that is pressed
        far.send(b"\x40", us, 13)  # comfort noise
        far.send(b"\x02" * 160, us)
        assert await heard(port, 2) == [decode_ulaw(b"\x01" * 160), decode_ulaw(b"\x02" * 160)]
        await port.close()


@pytest.mark.parametrize("told", [HERE, ELSEWHERE], ids=["no NAT", "behind a NAT"])
async def test_strangers_are_not_heard_and_get_nothing(told: str) -> None:
    stranger, neighbour = Far("127.0.0.3"), Far(HERE)
    async with office() as it:
        it.pbx.told = (told, it.pbx.far.address[1])
        port = await it.opened()
        stranger.send(b"\x01" * 160, it.pbx.us)
        it.pbx.far.send(b"\x02" * 160, it.pbx.us)
        neighbour.send(b"\x05" * 160, it.pbx.us)  # of the same host, but another port, and too late
        neighbour.send(b"\x05" * 160, it.pbx.us)
        assert await heard(port, 1) == [decode_ulaw(b"\x02" * 160)]
        stranger.send(b"\x01" * 160, it.pbx.us)
        neighbour.send(b"\x03" * 160, it.pbx.us)
        it.pbx.far.send(b"\x04" * 160, it.pbx.us)
        assert await heard(port, 1) == [decode_ulaw(b"\x04" * 160)]
        await it.pbx.far.packet()  # and the one who was first is spoken to
        await port.close()
    for each in (stranger, neighbour):
        with pytest.raises(BlockingIOError):
            each.received()
        each.close()


@pytest.mark.parametrize("told", [HERE, ELSEWHERE], ids=["no NAT", "behind a NAT"])
async def test_where_we_listen_for_both_kinds_of_addresses_ipv4_is_heard_and_spoken_to(told: str) -> None:
    stranger = Far("127.0.0.3")
    async with office(listen="::") as it:
        it.pbx.told = (told, it.pbx.far.address[1])
        port = await it.opened()
        assert it.pbx.us[0] == HERE
        stranger.send(b"\x01" * 160, it.pbx.us)
        it.pbx.far.send(b"\x02" * 160, it.pbx.us)
        assert await heard(port, 1) == [decode_ulaw(b"\x02" * 160)]
        assert (await it.pbx.far.packet()).payload == b"\xff" * 160
        await port.close()
    stranger.close()


async def test_everywhere_is_by_ipv6_too_where_ari_is_reached_by_it() -> None:
    async with office(listen="0.0.0.0") as it:
        it.transport.located("::1", "::1")
        far = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        far.bind(("::1", 0))
        it.pbx.told = ("::1", far.getsockname()[1])
        port = await it.opened()
        assert it.pbx.us[0] == "[::1]"
        far.sendto(Packer(160, source=1, sequence=1, timestamp=0).pack(b"\x02" * 160, 0), ("::1", it.pbx.us[1]))
        assert await heard(port, 1) == [decode_ulaw(b"\x02" * 160)]
        await port.close()
        far.close()


@pytest.mark.parametrize(("told", "elsewhere"), [(ELSEWHERE, "127.0.0.3"), (HERE, HERE)], ids=["host", "port"])
@pytest.mark.parametrize("asterisk_too", [True, False])
async def test_that_only_strangers_came_is_said_when_the_call_is_over(
    asterisk_too: bool, told: str, elsewhere: str
) -> None:
    stranger = Far(elsewhere)
    async with office() as it:
        it.pbx.told = (told, it.pbx.far.address[1])
        port = await it.opened()
        stranger.send(b"\x01" * 160, it.pbx.us)
        if asterisk_too:
            it.pbx.far.send(b"\x02" * 160, it.pbx.us)
            await heard(port, 1)
        await asyncio.sleep(0.1)
        with capture_logs() as logs:
            await port.close()
        warnings = [entry for entry in logs if entry["log_level"] == "warning"]
        assert [entry["packets"] for entry in warnings] == ([] if asterisk_too else [1])
    stranger.close()


async def test_before_anything_came_it_is_sent_where_asterisk_says_it_listens() -> None:
    inside = Far(ELSEWHERE)
    async with office() as it:
        it.pbx.told = inside.address
        port = await it.opened()
        assert (await inside.packet()).payload == b"\xff" * 160
        await port.close()
    inside.close()


async def test_out_of_order_and_twice_is_put_right_and_silence_is_made_where_nothing_comes() -> None:
    async with office() as it:
        port = await it.opened()
        far, us = it.pbx.far, it.pbx.us
        packer = Packer(160, source=1, sequence=65534, timestamp=0)
        packets = [packer.pack(bytes([number]) * 160, 0) for number in range(1, 6)]
        for number in (0, 2, 1, 1, 4, 3):
            far.send_raw(packets[number], us)
        assert await heard(port, 5) == [decode_ulaw(bytes([number]) * 160) for number in range(1, 6)]
        loop = asyncio.get_running_loop()
        began, silent = loop.time(), 0
        async for frame in port.frames():
            assert frame == bytes(320)
            silent += 1
            if silent == 10:
                break
        assert loop.time() - began >= 0.15
        await port.close()


async def test_what_was_lost_and_what_came_late_is_counted_and_told_after_the_end_too() -> None:
    async with office() as it:
        port = await it.opened()
        packer = Packer(160, source=1, sequence=65534, timestamp=0)
        packets = [packer.pack(bytes([number]) * 160, 0) for number in range(1, 7)]
        for number in (0, 2, 4):
            it.pbx.far.send_raw(packets[number], it.pbx.us)
        await heard(port, 3 + 2)  # each that is missing is stood in for
        for number in (1, 5):
            it.pbx.far.send_raw(packets[number], it.pbx.us)
        await heard(port, 1)
        await port.close()
        assert isinstance(port, Lossy)
        assert port.reception == ReceptionReport(due=6, lost=2, late=1)


@pytest.mark.parametrize("listen", [HERE, "::"])
async def test_a_far_port_that_is_closed_ends_ours_and_wakes_whoever_waits(
    listen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("voxtrad.telephony.asterisk.rtp_source.REFUSED_FOR", 0.1)
    async with office(listen=listen) as it:
        port = await it.opened()
        playing = asyncio.create_task(port.play(bytes(320) * 1000))
        await it.pbx.far.packet()
        it.pbx.far.close()
        async with asyncio.timeout(5):
            await it.lost.wait()
        with pytest.raises(LegGone):
            await playing
        with pytest.raises(LegGone):
            await port.drained()
        assert all([len(frame) == 320 async for frame in port.frames()])  # and ends
        await port.close()


LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
"""A socket that a refusal was told of is watched differently by them; the server runs on uvloop."""


@pytest.mark.parametrize("loop", LOOPS)
def test_a_far_port_that_comes_back_has_not_been_lost(loop: str) -> None:
    async def scene() -> None:
        async with office() as it:
            port = await it.opened()
            await it.pbx.far.packet()
            address = it.pbx.far.address
            it.pbx.far.close()
            await port.play(bytes(320) * 5)
            await port.drained()  # sent, and refused
            it.pbx.far = Far(*address)
            await it.pbx.far.packet()
            it.pbx.far.send(b"\x01" * 160, it.pbx.us)
            assert await heard(port, 1) and not it.lost.is_set()
            await port.close()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(scene())


@pytest.mark.parametrize("told", [HERE, ELSEWHERE], ids=["no NAT", "behind a NAT"])
async def test_a_stream_that_goes_on_from_another_port_is_heard_whole_and_answered_there(told: str) -> None:
    """As behind a NAT that makes a mapping anew. Who has another stream is a stranger still."""
    async with office() as it:
        it.pbx.told = (told, it.pbx.far.address[1])
        port = await it.opened()
        packer = Packer(160, source=7, sequence=65530, timestamp=0)
        moved, neighbour = Far(HERE), Far(HERE)
        for number in range(1, 4):
            it.pbx.far.send_raw(packer.pack(bytes([number]) * 160, 0), it.pbx.us)
        got = await heard(port, 3)
        await port.play(bytes(320) * 10)
        await port.drained()  # for as long the caller is silent
        for number in range(4, 12):
            neighbour.send_raw(Packer(160, source=8, sequence=number, timestamp=0).pack(b"\x70" * 160, 0), it.pbx.us)
            moved.send_raw(packer.pack(bytes([number]) * 160, 0), it.pbx.us)
        got += await heard(port, 8)
        assert got == [decode_ulaw(bytes([number]) * 160) for number in range(1, 12)]
        assert (await moved.packet()).payload == b"\xff" * 160
        with pytest.raises(BlockingIOError):
            neighbour.received()
        await port.close()
        moved.close()
        neighbour.close()


@pytest.mark.parametrize("loop", LOOPS)
def test_rtp_that_begins_anew_at_another_port_is_heard_once_the_one_before_is_closed(loop: str) -> None:
    async def scene() -> None:
        async with office() as it:
            port = await it.opened()
            it.pbx.far.send(b"\x01" * 160, it.pbx.us)
            await heard(port, 1)
            anew = Far(HERE)
            packer = Packer(160, source=8, sequence=1, timestamp=0)
            it.pbx.far.close()
            await port.play(bytes(320) * 10)
            await port.drained()  # sent, and refused
            for number in range(2, 9):
                anew.send_raw(packer.pack(bytes([number]) * 160, 0), it.pbx.us)
            assert (await heard(port, 6))[-1] == decode_ulaw(b"\x08" * 160)  # of a new stream, the first is a stray
            assert (await anew.packet()).payload == b"\xff" * 160
            await port.close()
            anew.close()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(scene())


@pytest.mark.parametrize("loop", LOOPS)
def test_audio_that_comes_together_with_a_refusal_is_heard_on(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux tells of a refusal once a second; a frame that is sent before we look takes the error, and the queue has it
    still. Here the network is the loopback, where each is refused, so the error is taken by hand."""

    async def scene() -> None:
        async with office() as it:
            port = await it.opened()
            packer, moved = Packer(160, source=7, sequence=1, timestamp=0), Far(HERE)
            it.pbx.far.send_raw(packer.pack(b"\x01" * 160, 0), it.pbx.us)
            await heard(port, 1)
            it.pbx.far.close()
            send = RtpSocket.send

            def send_and_hear(own: RtpSocket, datagram: bytes, to: tuple[str, int]) -> None:
                send(own, datagram, to)
                with socket.socket(fileno=os.dup(own.fileno())) as same:
                    same.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                moved.send_raw(packer.pack(b"\x02" * 160, 0), it.pbx.us)

            monkeypatch.setattr(RtpSocket, "send", send_and_hear)
            await port.play(bytes(320) * 15)
            assert len(await heard(port, 12)) == 12
            await port.close()
            moved.close()

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(scene())


async def test_a_pbx_that_has_vanished_ends_the_port_only_when_ari_is_away_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxtrad.telephony.asterisk.rtp._QUIET_FOR", 0.05)
    async with office() as it:
        port = await it.opened()
        for _ in range(10):
            await it.pbx.far.packet()
        assert not it.lost.is_set()  # a caller may be silent for as long as they like
        it.reachable = False
        async with asyncio.timeout(5):
            await it.lost.wait()
        await port.close()


async def test_a_caller_who_was_silent_for_long_is_not_lost_with_a_moment_without_ari(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("voxtrad.telephony.asterisk.rtp._QUIET_FOR", 0.4)
    async with office() as it:
        port = await it.opened()
        for _ in range(25):
            await it.pbx.far.packet()
        it.reachable = False
        for _ in range(5):
            await it.pbx.far.packet()
        it.reachable = True
        for _ in range(3):
            await it.pbx.far.packet()
        assert not it.lost.is_set()
        await port.close()


async def test_two_refusals_of_which_one_is_long_past_are_no_closed_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxtrad.telephony.asterisk.rtp_source.REFUSED_FOR", 0.3)
    monkeypatch.setattr("voxtrad.telephony.asterisk.rtp_source.FORGOTTEN_AFTER", 0.2)
    async with office() as it:
        port = await it.opened()
        for _ in range(2):  # a firewall that is set up anew, say; the caller is silent all the time
            await it.pbx.far.packet()
            address = it.pbx.far.address
            it.pbx.far.close()
            await asyncio.sleep(0.06)
            it.pbx.far = Far(*address)
            for _ in range(25):
                await it.pbx.far.packet()
        assert not it.lost.is_set()
        await port.close()


async def test_ports_of_a_range_are_taken_in_turn_and_the_odd_ones_left_out() -> None:
    base = Far()
    first = base.address[1] + base.address[1] % 2 + 2
    base.close()
    async with office(ports=(first - 1, first + 5)) as it:
        used, ports = [], []
        for _ in range(3):
            ports.append(await it.opened())
            used.append(it.pbx.us[1])
        assert sorted(used) == [first, first + 2, first + 4]
        with pytest.raises(LegError, match="no port for RTP") as full:
            await it.opened()
        assert "ports" in str(full.value.hint)
        await ports[0].close()
        await it.opened()
        assert it.pbx.us[1] == used[0]


async def test_what_is_advertised() -> None:
    async with office(listen="0.0.0.0") as it:
        await (await it.opened()).close()
        assert it.pbx.us[0] == HERE  # as ARI sees us
    async with office(listen=HERE, advertise="voice.example") as it:
        await (await it.opened()).close()
        assert it.pbx.us[0] == "voice.example"
    async with office(listen="192.0.2.1") as it:
        with pytest.raises(LegError, match=r"no port for RTP at 192\.0\.2\.1"):
            await it.opened()


async def test_an_answer_that_does_not_tell_where_asterisk_listens() -> None:
    async with office() as it:
        it.pbx.told = None
        with pytest.raises(AriError, match="where it listens"):
            await it.opened()
        Far(*it.pbx.us).close()  # the port is free again
