"""Media over AudioSocket: Asterisk connects to one listener of ours, and we pace the playout.

Measured on Asterisk 22.10: frames written in a burst leave the connection dead, and nothing comes while the caller's
side sends nothing. So the port is there, and sends, from the moment Asterisk has said who it is. It carries linear PCM
alone. Source: "AudioSocket" in the Asterisk documentation.
"""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import Callable
from typing import cast

import structlog

from voxtrad.leg import LegError
from voxtrad.telephony.asterisk import audiosocket_frames as frames
from voxtrad.telephony.asterisk.ari import Ari
from voxtrad.telephony.asterisk.formats import Format
from voxtrad.telephony.asterisk.media import AHEAD_FRAMES, MediaChannel
from voxtrad.telephony.asterisk.paced import PacedPort
from voxtrad.telephony.asterisk.settings import AsteriskSettings, TransportName
from voxtrad.telephony.pacing import Inbox, Metronome

log = structlog.stdlib.get_logger(__name__)

_CONNECT_TIMEOUT = 5.0
_PEER_TIMEOUT_MS = 20_000


class AudioSocketTransport:
    """One listener for all calls; a connection says by its UUID which call it is for."""

    name: TransportName = "audiosocket"

    def __init__(self, ari: Ari, settings: AsteriskSettings, metronome: Metronome) -> None:
        self._ari = ari
        self._settings = settings
        self._metronome = metronome
        self._server: asyncio.Server | None = None
        self._own_address = ""
        self._expected: dict[uuid.UUID, asyncio.Future[_Connection]] = {}
        self._open: set[_Connection] = set()

    async def listen(self, own_address: str) -> None:
        """Start to listen, once. `own_address` is ours as Asterisk sees it. Raises `LegError` where it cannot."""
        self._own_address = own_address
        if self._server is not None:
            return
        host, port = _split(self._settings.audiosocket_listen, "asterisk.media.audiosocket.listen")
        try:
            self._server = await asyncio.get_running_loop().create_server(lambda: _Connection(self), host, port)
        except OSError as error:
            raise LegError(
                f"cannot listen for AudioSocket on {host}:{port}: {error.strerror or error}",
                hint="another program uses the port, or the address is not of this machine",
            ) from error

    @property
    def advertised(self) -> str:
        """`HOST:PORT` that Asterisk connects to."""
        if self._settings.audiosocket_advertise:
            return self._settings.audiosocket_advertise
        if self._server is None or not self._server.sockets:
            raise LegError("not listening for AudioSocket")
        host = f"[{self._own_address}]" if ":" in self._own_address else self._own_address
        return f"{host}:{self._server.sockets[0].getsockname()[1]}"

    async def open(self, channel_id: str, format: Format, on_closed: Callable[[], None]) -> MediaChannel:
        identity = uuid.uuid4()
        expected = self._expected[identity] = asyncio.get_running_loop().create_future()
        try:
            await self._ari.post(
                "channels/externalMedia",
                {
                    "channelId": channel_id, "app": self._settings.app, "external_host": self.advertised,
                    "transport": "tcp", "encapsulation": "audiosocket", "connection_type": "client",
                    "format": format.name, "data": str(identity),
                    "variables": {"VOXTRAD_OWNER": self._settings.instance},
                },
            )  # fmt: skip
            async with asyncio.timeout(_CONNECT_TIMEOUT):
                connection = await expected
        except BaseException as error:
            if expected.done() and not expected.cancelled():
                expected.result().cut()
            if not isinstance(error, TimeoutError):
                raise
            raise LegError(
                f"Asterisk did not connect to AudioSocket at {self.advertised}",
                hint="asterisk.media.audiosocket.advertise must be reachable from the PBX",
            ) from None
        finally:
            del self._expected[identity]
        inbox = Inbox(format.pcm_bytes, asyncio.get_running_loop().time())
        port = PacedPort(connection, inbox, format, self._metronome, on_closed)
        connection.attach(format, inbox, port.lost)
        return port

    async def close(self) -> None:
        """Stop listening and close every connection."""
        for connection in tuple(self._open):
            connection.cut()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    # --- what connections tell ----------------------------------------------------------------------------------------

    def connected(self, connection: _Connection) -> None:
        self._open.add(connection)

    def disconnected(self, connection: _Connection) -> None:
        self._open.discard(connection)

    def identified(self, connection: _Connection, identity: uuid.UUID) -> bool:
        """A connection said for which call it is; false when nobody expects it."""
        expected = self._expected.get(identity)
        if expected is None or expected.done():
            return False
        expected.set_result(connection)
        return True


class _Connection(asyncio.Protocol):
    """One TCP connection: parses what comes and hands audio to its port, whose `Wire` it is, once there is one."""

    def __init__(self, owner: AudioSocketTransport) -> None:
        self._owner = owner
        self._parser = frames.AudioSocketParser()
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._identified = False
        self._early: list[bytes] = []
        self._header = b""
        self._inbox: Inbox | None = None
        self._on_closed: Callable[[], None] = _nothing
        self.closed = False
        self.writable = True
        self._loop = asyncio.get_running_loop()
        self._finished: asyncio.Future[None] = self._loop.create_future()

    def attach(self, format: Format, inbox: Inbox, on_closed: Callable[[], None]) -> None:
        """From now on audio goes into `inbox`, with what came before; `on_closed` tells that the far side closed."""
        self._header = frames.encode(frames.AUDIO[format.rate], bytes(format.frame_bytes))[:3]
        self._inbox, self._on_closed = inbox, on_closed
        early, self._early = self._early, []
        for pcm in early:
            inbox.put(pcm, self._loop.time())
        if self.closed:
            on_closed()

    def send(self, frame: bytes) -> None:
        if self._transport is not None and not self.closed:
            self._transport.write(self._header + frame)

    def skip(self, count: int) -> None:
        """Asterisk plays what comes when it comes."""

    async def close(self) -> None:
        self.cut()
        await asyncio.wait([self._finished])

    def cut(self) -> None:
        self._on_closed = _nothing
        self._abort()

    # --- asyncio.Protocol ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's has the methods, but not the class
        if (raw := transport.get_extra_info("socket")) is not None:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux: notice a PBX that vanished
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _PEER_TIMEOUT_MS)
        self._deadline = self._loop.call_later(_CONNECT_TIMEOUT, self._abort)
        self._owner.connected(self)

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._parser.feed(data):
                self._take(message)
        except frames.AudioSocketError as error:
            log.warning("an AudioSocket connection is broken", reason=error.message)
            self._abort()

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True

    def eof_received(self) -> bool:
        return False  # closes the transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._deadline is not None:
            self._deadline.cancel()
        self._owner.disconnected(self)
        if not self._finished.done():
            self._finished.set_result(None)
        self._on_closed()

    def _take(self, message: frames.Message) -> None:
        match message:
            case frames.Audio(_, pcm) if self._identified:
                if self._inbox is not None:
                    self._inbox.put(pcm, self._loop.time())
                elif len(self._early) < AHEAD_FRAMES:
                    self._early.append(pcm)
            case frames.Identity(identity) if not self._identified:
                self._identified = self._owner.identified(self, identity)
                if not self._identified:
                    log.warning("an AudioSocket connection that no call expects")
                    self._abort()
                elif self._deadline is not None:
                    self._deadline.cancel()
            case frames.HangUp():
                if self._transport is not None:
                    self._transport.close()
            case frames.Failure(code):
                log.warning("Asterisk reports an AudioSocket error", code=code)
            case frames.Digit() | frames.Unknown():
                pass  # digits come from ARI's events too, on every transport
            case _:
                raise frames.AudioSocketError("audio before the UUID, or a second UUID")

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


def _split(address: str, what: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise LegError(f"{what} is not HOST:PORT: {address}")
    return host.strip("[]") or "0.0.0.0", int(port)


def _nothing() -> None:
    pass
