"""RTP's packets, from any bytes."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voxtrad.telephony.asterisk.rtp_packets import Packer, Packet, RtpError, parse


def header(flags: int = 0x80, kind: int = 0, sequence: int = 1, timestamp: int = 2, source: int = 3) -> bytes:
    return struct.pack(">BBHII", flags, kind, sequence, timestamp, source)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_packet_within_them_or_a_typed_error(datagram: bytes) -> None:
    with contextlib.suppress(RtpError):
        packet = parse(datagram)
        assert packet.payload in datagram
        assert 0 <= packet.payload_type < 128


@given(st.binary(max_size=40), st.integers(0x80, 0xBF), st.integers(0, 255))
def test_any_flags_on_any_rest(rest: bytes, flags: int, kind: int) -> None:
    with contextlib.suppress(RtpError):
        assert len(parse(header(flags, kind) + rest).payload) <= len(rest)


def test_what_asterisk_sends() -> None:
    datagram = bytes.fromhex("8000397d000000a073089708") + b"\xff" * 160
    assert parse(datagram) == Packet(0, False, 0x397D, 160, 0x73089708, b"\xff" * 160)


def test_what_stands_around_the_payload_is_passed_over() -> None:
    sources = header(0x82) + bytes(8) + b"sound"
    extended = header(0x90) + struct.pack(">HH", 0xBEDE, 2) + bytes(8) + b"sound"
    padded = header(0xA0, 0x80 | 8) + b"sound" + b"\0\0\x03"
    assert [parse(each).payload for each in (sources, extended, padded)] == [b"sound"] * 3
    assert parse(padded).marker and parse(padded).payload_type == 8


@pytest.mark.parametrize(
    "datagram",
    [
        b"", header()[:11], header(0x40), header(0xC0), header(kind=200), header(kind=201) + bytes(20),
        header(0xA0) + b"\0", header(0xA0) + b"ab\x04", header(0x82) + bytes(4), header(0x90) + bytes(2),
        header(0x90) + struct.pack(">HH", 0, 5) + bytes(4),
    ],
)  # fmt: skip
def test_what_is_no_packet(datagram: bytes) -> None:
    with pytest.raises(RtpError):
        parse(datagram)


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF), st.lists(st.binary(min_size=1)))
def test_what_is_packed_is_parsed_and_counts_on_past_the_end(
    sequence: int, timestamp: int, source: int, payloads: list[bytes]
) -> None:
    packer = Packer(160, source=source, sequence=sequence, timestamp=timestamp)
    for number, payload in enumerate(payloads):
        assert parse(packer.pack(payload, 8)) == Packet(
            8, number == 0, (sequence + number) % 0x10000, (timestamp + 160 * number) % 0x100000000, source, payload
        )


def test_frames_that_are_never_sent_leave_a_hole_in_time_but_none_in_the_numbers() -> None:
    packer = Packer(160, source=1, sequence=7, timestamp=1000)
    packer.pack(b"x", 0)
    packer.skip(5)
    later = parse(packer.pack(b"y", 0))
    assert (later.sequence, later.timestamp, later.marker) == (8, 1000 + 6 * 160, True)
    assert not parse(packer.pack(b"z", 0)).marker
