"""Media over RTP: a UDP port of ours for each call, and one of Asterisk's, which we pace the playout to.

Measured on Asterisk 22.10: it sends nothing before the caller does, tells by channel variables where it listens, sends
neither RTCP nor markers, and numbers u-law 0, A-law 8 and linear PCM at 8 kHz 10, most significant byte first. It takes
what we send by the same numbers, but nothing by a dynamic one, which is what wider PCM has: there is no 16 kHz here.
Its port refuses what comes after the channel's end. Source: "External Media and ARI" in the Asterisk documentation, RFC
3550 and RFC 3551.

RTP has no authentication. We send where Asterisk said it listens, and where that is the host that ARI is on, nobody
else begins a stream. Where it is another, there may be a NAT between: then the first packet from one of the two hosts
settles it. Whether another port of theirs may take a stream over is decided in `rtp_source.py`. UDP tells nothing of
the far side's end either; most often ARI does. Where it does not, what is refused at the far port for long enough, or a
PBX of which neither audio nor ARI gives a sign, ends the port.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass

import structlog

from voxtrad.audio._audioop import audioop
from voxtrad.leg import LegError, ReceptionReport
from voxtrad.telephony.asterisk.ari import Ari, AriError
from voxtrad.telephony.asterisk.formats import Format
from voxtrad.telephony.asterisk.jitter import JitterBuffer
from voxtrad.telephony.asterisk.media import MediaChannel
from voxtrad.telephony.asterisk.paced import PacedPort
from voxtrad.telephony.asterisk.rtp_packets import Packer, Packet, RtpError, parse
from voxtrad.telephony.asterisk.rtp_socket import RtpSocket
from voxtrad.telephony.asterisk.rtp_source import Address, FarEnd
from voxtrad.telephony.asterisk.settings import AsteriskSettings, FormatName, TransportName
from voxtrad.telephony.pacing import FRAME, Inbox, Metronome

log = structlog.stdlib.get_logger(__name__)

_TYPES: Mapping[FormatName, tuple[int, ...]] = {"ulaw": (0,), "alaw": (8,), "slin": (10, 11)}
"""Payload types by which Asterisk knows a format. We send the first, or what it sends."""
_EVERYWHERE, _EVERYWHERE_6 = "0.0.0.0", "::"
_AT_ONCE = 64
"""Datagrams that are read before others have their turn."""
_QUIET_FOR = 20.0
"""Seconds without a packet, and without ARI, after which a PBX has vanished."""


class RtpTransport:
    """Opens a port for each call. `reachable` tells whether ARI is connected."""

    name: TransportName = "rtp"

    def __init__(
        self, ari: Ari, settings: AsteriskSettings, metronome: Metronome, *, reachable: Callable[[], bool]
    ) -> None:
        self._ari = ari
        self._settings = settings
        self._metronome = metronome
        self._reachable = reachable
        self._own_host = ""
        self._pbx_host = ""
        self._tried = 0

    def located(self, own_host: str, pbx_host: str) -> None:
        """Where we are as Asterisk sees us, and where it is, by the ARI connection."""
        self._own_host, self._pbx_host = own_host, pbx_host

    async def open(self, channel_id: str, format: Format, on_closed: Callable[[], None]) -> MediaChannel:
        own = self._bind()
        try:
            made = await self._ari.post(
                "channels/externalMedia",
                {
                    "channelId": channel_id, "app": self._settings.app, "external_host": self._advertised(own),
                    "transport": "udp", "encapsulation": "rtp", "connection_type": "client",
                    "format": format.name, "variables": {"VOXTRAD_OWNER": self._settings.instance},
                },
            )  # fmt: skip
            far = _told(made)
        except BaseException:
            own.close()
            raise
        ears = RtpEars(format, self._settings.buffer, asyncio.get_running_loop().time())
        peer = _Peer(own, far, self._pbx_host, format, ears, self._reachable)
        port = RtpPort(peer, ears, format, self._metronome, on_closed)
        peer.attach(port.lost)
        return port

    def _advertised(self, own: RtpSocket) -> str:
        host = self._host
        return f"[{host}]:{own.port}" if ":" in host else f"{host}:{own.port}"

    @property
    def _host(self) -> str:
        """Where Asterisk sends to: as configured, or where we listen; where that is everywhere, where ARI sees us."""
        listen = self._settings.rtp_listen or _EVERYWHERE
        everywhere = listen in (_EVERYWHERE, _EVERYWHERE_6)
        return self._settings.rtp_advertise or (self._own_host if everywhere else listen)

    @property
    def _listen(self) -> str:
        """An IPv4 socket hears nothing of who sends to an IPv6 address; the other way round it does."""
        listen = self._settings.rtp_listen or self._own_host
        return _EVERYWHERE_6 if listen == _EVERYWHERE and ":" in self._host else listen

    def _bind(self) -> RtpSocket:
        """A socket on a free port. With a range they are taken in turn, so that one that was in use rests; the odd
        ones are left out: there RTCP would be expected."""
        host = self._listen
        first, last = self._settings.rtp_ports or (0, 0)
        ports = range(first + first % 2, last + 1, 2)
        failure: OSError | None = None
        for _ in ports:
            self._tried += 1
            try:
                return RtpSocket(host, ports[self._tried % len(ports)])
            except OSError as error:
                failure = error
        raise LegError(
            f"no port for RTP at {host}: {failure.strerror if failure else 'there is none in the range'}",
            hint="asterisk.media.rtp.ports are all in use, or asterisk.media.rtp.listen is not of this machine",
        ) from failure


class RtpPort(PacedPort):
    """A `PacedPort` that tells what was lost on its way: see `Lossy`."""

    def __init__(
        self, peer: _Peer, ears: RtpEars, format: Format, metronome: Metronome, on_closed: Callable[[], None]
    ) -> None:
        super().__init__(peer, ears, format, metronome, on_closed)
        self._buffer = ears.buffer

    @property
    def reception(self) -> ReceptionReport:
        buffer = self._buffer
        return ReceptionReport(buffer.given + buffer.lost, buffer.lost, buffer.late)


@dataclass(slots=True)
class RtpCounts:
    """What came and was no audio of the call, and what did not go."""

    useless: int = 0
    """Datagrams that are no RTP, or carry something else than the call's audio."""
    unsent: int = 0
    """Frames that the network did not take."""


class RtpEars:
    """The far side's packets as frames, in order and without gaps: the `Ears` of a port."""

    def __init__(self, format: Format, buffer: float, now: float) -> None:
        self._swapped = format.codec == "linear"
        self._decode = format.coding.decode
        self._inbox = Inbox(format.pcm_bytes, now)
        self.buffer = JitterBuffer(format.rate, buffer)

    @property
    def dropped(self) -> int:
        return self._inbox.dropped

    def put(self, packet: Packet, audio: bytes, now: float) -> None:
        """A packet came, with this audio in it, or with none."""
        pcm = audioop.byteswap(audio, 2) if self._swapped else self._decode(audio)
        for frame in self.buffer.put(packet.source, packet.sequence, packet.timestamp, pcm, now):
            self._inbox.put(frame, now)

    def tick(self, now: float) -> None:
        """Silence is made only where nothing is held that will be given soon."""
        for frame in self.buffer.due(now):
            self._inbox.put(frame, now)
        if not self.buffer.holding and self._inbox.tick(now, self.buffer.patience + FRAME):
            self.buffer.stood_in()

    def frames(self) -> AsyncIterator[bytes]:
        return self._inbox.frames()

    def close(self) -> None:
        self._inbox.close()


class _Peer:
    """The UDP socket of one call, and who is at its far end: the `Wire` of a port."""

    def __init__(
        self,
        own: RtpSocket,
        far: Address,
        pbx_host: str,
        format: Format,
        ears: RtpEars,
        reachable: Callable[[], bool],
    ) -> None:
        """`far` is where Asterisk says it listens, `pbx_host` where ARI is."""
        self._loop = asyncio.get_running_loop()
        self._own = own
        self._far = FarEnd(far, (far[0], pbx_host), certain=far[0] == pbx_host)
        self._ears = ears
        self._reachable = reachable
        self._types = _TYPES[format.name]
        self._type = self._types[0]
        self._swapped = format.codec == "linear"
        self._packer = Packer(
            format.frame_samples,
            source=secrets.randbits(32),
            sequence=secrets.randbits(16),
            timestamp=secrets.randbits(32),
        )
        self._alive = self._loop.time()
        """When there was the last sign of the PBX: a packet, or that ARI is connected."""
        self._lost: Callable[[], None] = _nothing
        self._closed = False
        self.counts = RtpCounts()
        self._loop.add_reader(own.fileno(), self._readable)

    def attach(self, lost: Callable[[], None]) -> None:
        """`lost` is told when there is no far side any more."""
        self._lost = lost

    @property
    def writable(self) -> bool:
        return True

    def send(self, frame: bytes) -> None:
        packet = self._packer.pack(audioop.byteswap(frame, 2) if self._swapped else frame, self._type)
        try:
            self._own.send(packet, self._far.address)
        except OSError:
            self.counts.unsent += 1
        now = self._loop.time()
        if self._reachable():
            self._alive = now
        elif now - self._alive > _QUIET_FOR:
            self._lost()

    def skip(self, count: int) -> None:
        self._packer.skip(count)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._own.fileno())
        self._own.close()
        buffer, counts, far = self._ears.buffer, self.counts, self._far
        if far.strangers and not far.heard:
            log.warning(
                "a caller was not heard: RTP came only from elsewhere than Asterisk or ARI", packets=far.strangers,
                hint="something between the PBX and here changes the sender's address",
            )  # fmt: skip
        log.debug(
            "RTP ended", lost=buffer.lost, late=buffer.late, twice=buffer.twice, strays=buffer.strays,
            strangers=far.strangers, moves=far.moves, useless=counts.useless, unsent=counts.unsent,
        )  # fmt: skip

    def _readable(self) -> None:
        nothing = True
        for _ in range(_AT_ONCE):
            try:
                datagram, address = self._own.receive()
            except OSError:  # nothing there, most often
                break
            nothing = False
            self._take(datagram, address)
        self._hear_of_errors(nothing_else=nothing)

    def _hear_of_errors(self, *, nothing_else: bool) -> None:
        """Once it was told of an error, uvloop watches a socket no more; datagrams may have come with it."""
        errors = list(self._own.errors())
        for address in errors:
            if address is not None and self._far.refused(address, self._loop.time()):
                self._lost()
        if (errors or nothing_else) and not self._closed:
            self._loop.remove_reader(self._own.fileno())
            self._loop.add_reader(self._own.fileno(), self._readable)

    def _take(self, datagram: bytes, address: Address) -> None:
        try:
            packet = parse(datagram)
        except RtpError:
            self.counts.useless += 1
            return
        now, moves = self._loop.time(), self._far.moves
        taken = self._far.take(address, packet, now, audio=self._is_audio(packet))
        if taken:
            self._alive = now
        if self._far.moves != moves:
            log.info("RTP comes from another port than before", host=address[0], port=address[1])
        for each in taken:
            self._hear(each, now)

    def _hear(self, packet: Packet, now: float) -> None:
        if self._is_audio(packet):
            self._type = packet.payload_type
            self._ears.put(packet, packet.payload, now)
        else:
            self.counts.useless += 1
            self._ears.put(packet, b"", now)  # digits, which ARI tells, and comfort noise, which is made here

    def _is_audio(self, packet: Packet) -> bool:
        """Whether we have what it takes to hear it: the format, and whole samples."""
        return packet.payload_type in self._types and not (self._swapped and len(packet.payload) % 2)


def _told(made: object) -> Address:
    """Where Asterisk says it listens. Raises `AriError`."""
    variables = made.get("channelvars") if isinstance(made, Mapping) else None
    if isinstance(variables, Mapping):
        host, port = variables.get("UNICASTRTP_LOCAL_ADDRESS"), str(variables.get("UNICASTRTP_LOCAL_PORT"))
        if isinstance(host, str) and host and port.isdecimal() and 0 < int(port) <= 0xFFFF:
            return host, int(port)
    raise AriError("Asterisk made a media channel without telling where it listens")


def _nothing() -> None:
    pass
