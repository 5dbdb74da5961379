"""RTP's packets: a datagram becomes a packet or is refused, and frames that go out become datagrams. Pure.

Source: RFC 3550, section 5.1, and RFC 5761, section 4, for what tells RTCP from RTP.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from voxtrad.errors import VoxtradError

_HEADER = struct.Struct(">BBHII")
_VERSION = 2 << 6
_PADDING, _EXTENSION, _SOURCES = 0x20, 0x10, 0x0F
_MARKER = 0x80


class RtpError(VoxtradError):
    """What came is no RTP packet."""


@dataclass(frozen=True, slots=True)
class Packet:
    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    source: int
    """The SSRC: who sends."""
    payload: bytes


def parse(datagram: bytes) -> Packet:
    """Raises `RtpError` for RTCP too: it is not for us."""
    size = len(datagram)
    if size < _HEADER.size:
        raise RtpError(f"{size} bytes are no RTP packet")
    flags, kind, sequence, timestamp, source = _HEADER.unpack_from(datagram)
    if flags & 0xC0 != _VERSION:
        raise RtpError("not of RTP's version")
    if 192 <= kind <= 223:
        raise RtpError("RTCP")
    start, end = _HEADER.size + 4 * (flags & _SOURCES), size
    if flags & _EXTENSION:
        if start + 4 > size:
            raise RtpError("a header extension that is cut off")
        start += 4 + 4 * int.from_bytes(datagram[start + 2 : start + 4], "big")
    if flags & _PADDING:
        if not datagram[-1]:
            raise RtpError("padding that has no length")
        end -= datagram[-1]
    if start > end:
        raise RtpError("a header that is longer than the packet")
    return Packet(kind & 0x7F, bool(kind & _MARKER), sequence, timestamp, source, datagram[start:end])


class Packer:
    """Makes packets of the frames of one stream, each of `samples` samples."""

    def __init__(self, samples: int, *, source: int, sequence: int, timestamp: int) -> None:
        """They begin anywhere: guessing them must not be easy."""
        self._samples = samples
        self._source = source
        self._sequence = sequence
        self._timestamp = timestamp
        self._begins = True

    def pack(self, payload: bytes, payload_type: int) -> bytes:
        """The first packet, and one after a gap, has the marker."""
        kind = payload_type | (_MARKER if self._begins else 0)
        header = _HEADER.pack(_VERSION, kind, self._sequence, self._timestamp, self._source)
        self._begins = False
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._timestamp = (self._timestamp + self._samples) & 0xFFFFFFFF
        return header + payload

    def skip(self, frames: int) -> None:
        """So many frames are never sent."""
        self._timestamp = (self._timestamp + frames * self._samples) & 0xFFFFFFFF
        self._begins = True
