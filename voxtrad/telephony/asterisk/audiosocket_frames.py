"""AudioSocket's frames: bytes in any pieces become messages. Pure.

A frame is one byte of kind, two bytes of length (big endian), and the payload. Source: "AudioSocket" in the Asterisk
documentation; kinds 0x11 to 0x18 (other sample rates than 8 kHz) since 20.17, 22.7 and 23.1.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from voxtrad.errors import VoxtradError

HANG_UP, UUID, DTMF, ERROR = 0x00, 0x01, 0x03, 0xFF
AUDIO: Mapping[int, int] = {
    8000: 0x10, 12000: 0x11, 16000: 0x12, 24000: 0x13, 32000: 0x14, 44100: 0x15, 48000: 0x16, 96000: 0x17, 192000: 0x18,
}  # fmt: skip
"""The kind of frame that carries linear PCM of a sample rate."""

_RATES = {kind: rate for rate, kind in AUDIO.items()}
_HEADER = struct.Struct(">BH")
_MOST = 0xFFFF


class AudioSocketError(VoxtradError):
    """What came is no AudioSocket."""


@dataclass(frozen=True, slots=True)
class Audio:
    rate: int
    pcm: bytes


@dataclass(frozen=True, slots=True)
class Identity:
    id: uuid.UUID


@dataclass(frozen=True, slots=True)
class Digit:
    digit: str


@dataclass(frozen=True, slots=True)
class HangUp:
    pass


@dataclass(frozen=True, slots=True)
class Failure:
    """Asterisk's error frame, with its code where it has one."""

    code: int | None


@dataclass(frozen=True, slots=True)
class Unknown:
    """A kind of frame that a later version may have; its length tells how to pass over it."""

    kind: int


Message = Audio | Identity | Digit | HangUp | Failure | Unknown


def encode(kind: int, payload: bytes = b"") -> bytes:
    if len(payload) > _MOST:
        raise ValueError("an AudioSocket frame carries at most 65535 bytes")
    return _HEADER.pack(kind, len(payload)) + payload


class AudioSocketParser:
    """Takes bytes as they come and gives the messages that are complete. Keeps less than one frame."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Message]:
        """Raises `AudioSocketError` for a payload that its kind does not allow; the stream is of no use after that."""
        if self._rest:
            data = self._rest + data
        messages: list[Message] = []
        start, size = 0, len(data)
        while size - start >= 3:
            kind, length = _HEADER.unpack_from(data, start)
            end = start + 3 + length
            if end > size:
                break
            messages.append(_message(kind, data[start + 3 : end]))
            start = end
        self._rest = data[start:]
        return messages


def _message(kind: int, payload: bytes) -> Message:
    if rate := _RATES.get(kind):
        if len(payload) % 2:
            raise AudioSocketError("an audio frame of an odd number of bytes")
        return Audio(rate, payload)
    if kind == UUID:
        if len(payload) != 16:
            raise AudioSocketError(f"a UUID of {len(payload)} bytes")
        return Identity(uuid.UUID(bytes=payload))
    if kind == DTMF:
        if len(payload) != 1 or not payload.isascii():
            raise AudioSocketError("a digit that is no ASCII character")
        return Digit(payload.decode("ascii"))
    if kind == HANG_UP:
        return HangUp()
    if kind == ERROR:
        return Failure(payload[0] if payload else None)
    return Unknown(kind)
