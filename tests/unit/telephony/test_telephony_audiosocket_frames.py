"""AudioSocket's framing: 1 byte of kind, 2 bytes of length, payload; in whatever pieces it comes."""

import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrad.telephony.asterisk import audiosocket_frames as frames
from voxtrad.telephony.asterisk.audiosocket_frames import (
    AudioSocketError,
    AudioSocketParser,
    Message,
    encode,
)

IDENTITY = uuid.UUID("40325ec2-5efd-4bd3-805f-53576e581d13")

messages = st.one_of(
    st.tuples(st.sampled_from(sorted(frames.AUDIO)), st.binary(max_size=400)).map(
        lambda drawn: frames.Audio(drawn[0], drawn[1] + drawn[1])
    ),
    st.uuids().map(frames.Identity),
    st.sampled_from("0123456789*#ABCD").map(frames.Digit),
    st.just(frames.HangUp()),
    st.one_of(st.none(), st.integers(0, 255)).map(frames.Failure),
    st.integers(0x40, 0x50).map(frames.Unknown),
)


def encoded(message: Message) -> bytes:
    match message:
        case frames.Audio(rate, pcm):
            return encode(frames.AUDIO[rate], pcm)
        case frames.Identity(identity):
            return encode(frames.UUID, identity.bytes)
        case frames.Digit(digit):
            return encode(frames.DTMF, digit.encode())
        case frames.HangUp():
            return encode(frames.HANG_UP)
        case frames.Failure(code):
            return encode(frames.ERROR, b"" if code is None else bytes([code]))
        case frames.Unknown(kind):
            return encode(kind, b"whatever")


def test_the_bytes_are_those_of_the_specification() -> None:
    assert encode(frames.UUID, IDENTITY.bytes) == b"\x01\x00\x10" + IDENTITY.bytes
    assert encode(frames.AUDIO[8000], bytes(320)) == b"\x10\x01\x40" + bytes(320)
    assert encode(frames.AUDIO[16000], bytes(640))[:3] == b"\x12\x02\x80"
    assert encode(frames.HANG_UP) == b"\x00\x00\x00"
    assert AudioSocketParser().feed(b"\x03\x00\x015") == [frames.Digit("5")]
    assert AudioSocketParser().feed(b"\xff\x00\x01\x02") == [frames.Failure(2)]


@settings(deadline=None)
@given(st.lists(messages, max_size=8), st.data())
def test_messages_survive_any_tearing(sent: list[Message], data: st.DataObject) -> None:
    stream = b"".join(encoded(message) for message in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    parser, got = AudioSocketParser(), []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        got += parser.feed(stream[begin:end])
    assert got == sent


def test_one_byte_at_a_time() -> None:
    parser = AudioSocketParser()
    stream = encode(frames.UUID, IDENTITY.bytes) + encode(0x10, bytes(range(200)) * 2)
    got = [message for byte in stream for message in parser.feed(bytes([byte]))]
    assert got == [frames.Identity(IDENTITY), frames.Audio(8000, bytes(range(200)) * 2)]


@settings(deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=10))
def test_any_bytes_give_messages_or_a_typed_error(pieces: list[bytes]) -> None:
    parser = AudioSocketParser()
    try:
        for piece in pieces:
            parser.feed(piece)
    except AudioSocketError:
        pass


def test_the_largest_frame_and_one_that_is_too_large() -> None:
    assert AudioSocketParser().feed(encode(0x10, bytes(65534))) == [frames.Audio(8000, bytes(65534))]
    with pytest.raises(ValueError):
        encode(0x10, bytes(65536))


@pytest.mark.parametrize(
    "stream", [encode(0x10, b"odd"), encode(0x01, bytes(15)), encode(0x03, b"12"), encode(0x03), encode(0x03, b"\xe9")]
)
def test_a_payload_that_its_kind_does_not_allow(stream: bytes) -> None:
    with pytest.raises(AudioSocketError):
        AudioSocketParser().feed(stream)
