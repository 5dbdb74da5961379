"""A NAT between Asterisk and voxtrad, for one call's RTP: Asterisk is inside, and its port outside may change."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable

INSIDE, OUTSIDE, VOXTRAD = "127.0.0.2", "127.0.0.3", "127.0.0.1"
"""Where Asterisk sends to; who seems to send to voxtrad; and where that is."""

_Address = tuple[str, int]
_NUMBERS = struct.Struct(">HHII")
_SILENCE = 0xFF  # of u-law


class Nat:
    """Passes on what Asterisk sends to `INSIDE`, and what voxtrad answers. Both are at the same port of their hosts."""

    def __init__(self, port: int) -> None:
        self._voxtrad = (VOXTRAD, port)
        self._asterisk: _Address | None = None
        self._inside: asyncio.DatagramTransport
        self._outside: asyncio.DatagramTransport
        self._mappings: list[asyncio.DatagramTransport] = []
        self._added = 0
        self.payloads: list[bytes] = []
        """What went on from Asterisk to voxtrad, silence left out."""
        self._more = asyncio.Event()
        self._came = 0
        self.lost = 0
        self.loses = 0
        """Every so manieth packet of Asterisk's does not get through; 0 loses none."""

    async def start(self) -> None:
        self._inside = await _bound((INSIDE, self._voxtrad[1]), self._outwards)
        await self.map_anew()

    async def map_anew(self) -> None:
        """From now on another port stands for Asterisk; at the one before nothing comes through any more."""
        self._outside = await _bound((OUTSIDE, 0), self._inwards)
        self._mappings.append(self._outside)

    async def begin_anew(self) -> None:
        """As when Asterisk itself has begun anew elsewhere: it is another stream, and the port before is closed."""
        before = self._outside
        self._added += 0x5EED
        await self.map_anew()
        before.close()

    async def passed(self, count: int) -> None:
        """Wait until so many packets with sound have gone on to voxtrad."""
        async with asyncio.timeout(20):
            while len(self.payloads) < count:
                self._more.clear()
                await self._more.wait()

    def close(self) -> None:
        for transport in (self._inside, *self._mappings):
            transport.close()

    def _outwards(self, datagram: bytes, sender: _Address, transport: asyncio.DatagramTransport) -> None:
        self._asterisk = sender
        self._came += 1
        if self.loses and not self._came % self.loses:
            self.lost += 1
            return
        kind, sequence, timestamp, source = _NUMBERS.unpack_from(datagram)
        sequence, source = (sequence + self._added) & 0xFFFF, (source + self._added) & 0xFFFFFFFF
        self._outside.sendto(
            _NUMBERS.pack(kind, sequence, timestamp, source) + datagram[_NUMBERS.size :], self._voxtrad
        )
        if set(payload := datagram[_NUMBERS.size :]) != {_SILENCE}:
            self.payloads.append(payload)
            self._more.set()

    def _inwards(self, datagram: bytes, sender: _Address, transport: asyncio.DatagramTransport) -> None:
        if transport is self._outside and sender == self._voxtrad and self._asterisk is not None:
            self._inside.sendto(datagram, self._asterisk)


class _Pass(asyncio.DatagramProtocol):
    def __init__(self, on: Callable[[bytes, _Address, asyncio.DatagramTransport], None]) -> None:
        self._on = on
        self._transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's has the methods, but not the class

    def datagram_received(self, data: bytes, addr: _Address) -> None:
        self._on(data, addr, self._transport)


async def _bound(
    address: _Address, on: Callable[[bytes, _Address, asyncio.DatagramTransport], None]
) -> asyncio.DatagramTransport:
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: _Pass(on), local_addr=address)
    return transport


def port_for_rtp() -> int:
    """An even port that is free at voxtrad's host and at the NAT's, and is none that Asterisk takes for its own RTP."""
    for port in range(41000, 60000, 2):
        with contextlib.ExitStack() as stack:
            try:
                for host in (VOXTRAD, INSIDE):
                    stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind((host, port))
            except OSError:
                continue
            return port
    raise OSError("no port is free")


@contextlib.asynccontextmanager
async def nat(port: int) -> AsyncIterator[Nat]:
    between = Nat(port)
    await between.start()
    try:
        yield between
    finally:
        between.close()
