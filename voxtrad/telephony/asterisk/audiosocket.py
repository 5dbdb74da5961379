"""Media over AudioSocket: Asterisk connects to one listener of ours, and we pace the playout.

Measured on Asterisk 22.10: frames written in a burst leave the connection dead, and nothing comes while the caller's
side sends nothing. So exactly one frame goes out every 20 ms from the moment Asterisk has said who it is, silence where
there is nothing to play. Source: "AudioSocket" in the Asterisk documentation.
"""

from __future__ import annotations

import asyncio
import math
import socket
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import cast

import structlog

from voxtrad.leg import FRAME_MS, LegError, LegGone
from voxtrad.telephony.asterisk import audiosocket_frames as frames
from voxtrad.telephony.asterisk.ari import Ari
from voxtrad.telephony.asterisk.media import AHEAD_FRAMES, MediaChannel
from voxtrad.telephony.asterisk.settings import AsteriskSettings, TransportName
from voxtrad.telephony.pacing import FRAME, Inbox, Metronome, Pulse

log = structlog.stdlib.get_logger(__name__)

_CONNECT_TIMEOUT = 5.0
_PEER_TIMEOUT_MS = 20_000
_CATCH_UP = 3  # frames sent at once at most, after the loop was held up: more would be a burst
_FORMATS = {8000: "slin", 16000: "slin16"}


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

    async def open(self, channel_id: str, rate: int, on_closed: Callable[[], None]) -> MediaChannel:
        identity = uuid.uuid4()
        expected = self._expected[identity] = asyncio.get_running_loop().create_future()
        try:
            await self._ari.post(
                "channels/externalMedia",
                {
                    "channelId": channel_id, "app": self._settings.app, "external_host": self.advertised,
                    "transport": "tcp", "encapsulation": "audiosocket", "connection_type": "client",
                    "format": _FORMATS[rate], "data": str(identity),
                    "variables": {"VOXTRAD_OWNER": self._settings.instance},
                },
            )  # fmt: skip
            async with asyncio.timeout(_CONNECT_TIMEOUT):
                connection = await expected
        except TimeoutError:
            raise LegError(
                f"Asterisk did not connect to AudioSocket at {self.advertised}",
                hint="asterisk.media.audiosocket.advertise must be reachable from the PBX",
            ) from None
        finally:
            del self._expected[identity]
        return AudioSocketPort(connection, rate, self._metronome, on_closed)

    async def close(self) -> None:
        """Stop listening and close every connection."""
        for connection in tuple(self._open):
            connection.close()
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
    """One TCP connection: parses what comes and hands audio to its port, once there is one."""

    def __init__(self, owner: AudioSocketTransport) -> None:
        self._owner = owner
        self._parser = frames.AudioSocketParser()
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._identified = False
        self._early: list[bytes] = []
        self._on_audio: Callable[[bytes], None] | None = None
        self._on_closed: Callable[[], None] = _nothing
        self.closed = False
        self.writable = True
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def attach(self, on_audio: Callable[[bytes], None], on_closed: Callable[[], None]) -> None:
        """From now on audio goes to `on_audio`, with what came before; `on_closed` tells that the far side closed."""
        self._on_audio, self._on_closed = on_audio, on_closed
        early, self._early = self._early, []
        for pcm in early:
            on_audio(pcm)
        if self.closed:
            on_closed()

    def write(self, frame: bytes) -> None:
        if self._transport is not None and not self.closed:
            self._transport.write(frame)

    def close(self) -> None:
        self._on_closed = _nothing
        self._abort()

    # --- asyncio.Protocol ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's has the methods, but not the class
        if (raw := transport.get_extra_info("socket")) is not None:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux: notice a PBX that vanished
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _PEER_TIMEOUT_MS)
        self._deadline = asyncio.get_running_loop().call_later(_CONNECT_TIMEOUT, self._abort)
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
        if not self.finished.done():
            self.finished.set_result(None)
        self._on_closed()

    def _take(self, message: frames.Message) -> None:
        match message:
            case frames.Audio(_, pcm) if self._identified:
                if self._on_audio is not None:
                    self._on_audio(pcm)
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


class AudioSocketPort:
    """A `MediaChannel` whose playout queue is here."""

    def __init__(
        self,
        connection: _Connection,
        rate: int,
        metronome: Metronome,
        on_closed: Callable[[], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._rate = rate
        self._frame_bytes = rate * FRAME_MS // 1000 * 2
        self._header = frames.encode(frames.AUDIO[rate], bytes(self._frame_bytes))[:3]
        self._silence = self._header + bytes(self._frame_bytes)
        self._metronome = metronome
        self._on_closed = on_closed
        self._waiting: deque[bytes] = deque()  # frames with their headers
        self._queued = 0
        self._paused = False
        self._closed = False
        self._epoch = 0  # grows with every flush
        self._progress = Pulse()
        self._due = self._loop.time()
        """When the next frame has to go out."""
        self.late = 0
        """Frames that were never due to be sent because the loop was held up for longer than can be caught up."""
        self._inbox = Inbox(self._frame_bytes, self._due)
        metronome.add(self, self._tick)
        connection.attach(self._heard_from, self._lost)

    @property
    def rate(self) -> int:
        return self._rate

    @property
    def queued(self) -> int:
        return self._queued

    @property
    def heard(self) -> int:
        return self._queued - len(self._waiting) * (self._frame_bytes // 2)

    @property
    def dropped(self) -> int:
        """Frames of the caller that nobody took."""
        return self._inbox.dropped

    def frames(self) -> AsyncIterator[bytes]:
        return self._inbox.frames()

    async def play(self, pcm: bytes) -> None:
        size = self._frame_bytes
        if len(pcm) % size:
            raise ValueError(f"{len(pcm)} bytes are no whole number of {size}-byte frames")
        epoch = self._epoch
        for start in range(0, len(pcm), size):
            while len(self._waiting) >= AHEAD_FRAMES and not self._closed and epoch == self._epoch:
                await self._progress.wait()
            if epoch != self._epoch:
                return  # flushed meanwhile: the rest of it is thrown away too
            if self._closed:
                break
            self._waiting.append(self._header + pcm[start : start + size])
            self._queued += size // 2
        if self._closed:
            raise _gone()

    async def pause(self) -> None:
        self._check()
        self._paused = True

    async def resume(self) -> None:
        self._check()
        self._paused = False

    async def flush(self) -> int:
        self._epoch += 1
        self._paused = False
        self._queued = self.heard
        self._waiting.clear()
        self._progress.fire()
        return self._queued

    async def drained(self) -> None:
        epoch, target = self._epoch, self._queued
        while epoch == self._epoch and self.heard < target:
            self._check()
            await self._progress.wait()

    def end(self) -> None:
        self._on_closed = _nothing
        self._lost()

    async def close(self) -> None:
        self.end()
        self._connection.close()
        await self._connection.finished

    # ------------------------------------------------------------------------------------------------------------------

    def _tick(self, now: float) -> None:
        """Send what is due: one frame, or a few when the loop was late."""
        self._inbox.tick(now)
        owed = math.floor((now - self._due + 0.001) / FRAME) + 1
        if owed > _CATCH_UP:
            self.late += owed - _CATCH_UP
            self._due += (owed - _CATCH_UP) * FRAME
            owed = _CATCH_UP
        if owed <= 0 or not self._connection.writable:
            return
        self._due += owed * FRAME
        waiting = self._waiting
        for _ in range(owed):
            self._connection.write(waiting.popleft() if waiting and not self._paused else self._silence)
        if not self._paused:
            self._progress.fire()

    def _heard_from(self, pcm: bytes) -> None:
        self._inbox.put(pcm, self._loop.time())

    def _lost(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._metronome.remove(self)
        self._inbox.close()
        self._progress.fire()
        self._on_closed()

    def _check(self) -> None:
        if self._closed:
            raise _gone()


def _split(address: str, what: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise LegError(f"{what} is not HOST:PORT: {address}")
    return host.strip("[]") or "0.0.0.0", int(port)


def _gone() -> LegGone:
    return LegGone("the media connection is closed")


def _nothing() -> None:
    pass
