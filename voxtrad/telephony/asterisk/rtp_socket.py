"""The UDP socket of one call's RTP: datagrams from and to anybody, and word of ports that are closed.

It is not connected to the far end, which may move. So the kernel has to be asked for refusals (ip(7), `IP_RECVERR`): it
keeps them, each with the address that it is about, in a queue beside the datagrams.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import sys
from collections.abc import Iterator

from voxtrad.telephony.asterisk.rtp_source import Address

_MAPPED = "::ffff:"
"""Before an IPv4 address, on a socket that is for both kinds."""
_LARGEST = 4096
_TRAFFIC_CLASS = 0xB8
"""DSCP EF: audio goes first, where networks heed it."""
_IP_RECVERR, _IPV6_RECVERR = 11, 25
_ERROR = struct.Struct("=I")
"""How `struct sock_extended_err` begins."""


class RtpSocket:
    """Never waits: what cannot be done now raises `OSError`."""

    def __init__(self, host: str, port: int) -> None:
        """Bound to a port; 0 is a free one. An IPv6 address is for IPv4 too. Raises `OSError`."""
        self._family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(self._family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            if self._family is socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            self._socket.bind((host, port))
        except OSError:
            self.close()
            raise
        self._set(socket.IPPROTO_IP, socket.IP_TOS, _TRAFFIC_CLASS)
        self._set(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, _TRAFFIC_CLASS)
        if sys.platform == "linux":
            self._set(socket.IPPROTO_IP, _IP_RECVERR, 1)
            self._set(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def port(self) -> int:
        return int(self._socket.getsockname()[1])

    def close(self) -> None:
        """May be called again."""
        self._socket.close()

    def receive(self) -> tuple[bytes, Address]:
        """The next datagram and who sent it."""
        datagram, address = self._socket.recvfrom(_LARGEST)
        return datagram, _plain(address)

    def send(self, datagram: bytes, to: Address) -> None:
        host, port = to
        if self._family is socket.AF_INET6 and ":" not in host:
            host = _MAPPED + host
        with contextlib.suppress(OSError):
            self._socket.sendto(datagram, (host, port))
            return
        self._socket.sendto(datagram, (host, port))  # the error may have been an earlier one's, which took its place

    def errors(self) -> Iterator[Address | None]:
        """What networks told of what was sent: where a port is closed, and None for anything else. As long as any are
        left the socket is never quiet."""
        if sys.platform != "linux":
            return
        while True:
            try:
                _, about, _, address = self._socket.recvmsg(_LARGEST, 512, socket.MSG_ERRQUEUE)
            except OSError:
                return
            errors = [data for _, kind, data in about if kind in (_IP_RECVERR, _IPV6_RECVERR)]
            refused = any(_ERROR.unpack_from(error)[0] == errno.ECONNREFUSED for error in errors)
            yield _plain(address) if refused else None

    def _set(self, level: int, option: int, value: int) -> None:
        with contextlib.suppress(OSError):  # not everybody may, nor every kind of socket
            self._socket.setsockopt(level, option, value)


def _plain(address: tuple[str, int]) -> Address:
    return address[0].removeprefix(_MAPPED), address[1]
