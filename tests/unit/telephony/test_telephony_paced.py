"""The paced playout: what goes out when, by a clock that the test turns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from voxtrad.telephony.asterisk.formats import FORMATS
from voxtrad.telephony.asterisk.paced import PacedPort
from voxtrad.telephony.asterisk.rtp import RtpEars
from voxtrad.telephony.asterisk.rtp_packets import Packet
from voxtrad.telephony.pacing import FRAME, Inbox, Metronome

ULAW = FORMATS["ulaw"]
SILENCE = b"\xff" * 160


class Clock(Metronome):
    """Beats when it is told."""

    beat: Callable[[float], object]

    def add(self, owner: object, tick: Callable[[float], object]) -> None:
        self.beat = tick


class Wire:
    """Remembers what it was given, and how many frames were skipped before it."""

    def __init__(self) -> None:
        self.writable = True
        self.sent: list[bytes | int] = []

    def send(self, frame: bytes) -> None:
        self.sent.append(frame)

    def skip(self, count: int) -> None:
        self.sent.append(count)

    async def close(self) -> None:
        self.writable = False


async def test_a_loop_that_was_held_up_catches_up_a_little_and_skips_the_rest() -> None:
    wire, clock, now = Wire(), Clock(), asyncio.get_running_loop().time()
    port = PacedPort(wire, Inbox(320, now), ULAW, clock, lambda: None)
    await port.play(b"\0\x10" * 160 * 4)
    speech = ULAW.coding.encode(b"\0\x10" * 160)
    clock.beat(now + 0.001)
    assert wire.sent == [speech]
    clock.beat(now + 0.001 + 2 * FRAME)
    assert wire.sent == [speech] * 3
    wire.sent.clear()
    clock.beat(now + 0.001 + 12 * FRAME)  # ten are owed
    assert wire.sent == [7, speech, SILENCE, SILENCE] and port.late == 7
    assert port.heard == port.queued == 4 * 160
    wire.sent.clear()
    wire.writable = False
    clock.beat(now + 0.001 + 13 * FRAME)
    assert wire.sent == []
    wire.writable = True
    clock.beat(now + 0.001 + 14 * FRAME)
    assert wire.sent == [SILENCE] * 2  # what could not go then goes now


def test_nothing_stands_in_for_what_is_held_and_soon_given() -> None:
    ears = RtpEars(ULAW, 0.2, 0.0)

    def came(number: int, now: float) -> None:
        audio = bytes([number + 1]) * 160
        ears.put(Packet(0, False, number, 160 * number, 7, audio), audio, now)

    came(0, 0.0)
    came(2, 0.1)  # 60 ms late, and one is missing before it
    for beat in range(1, 10):
        ears.tick(beat * FRAME)
    inbox = ears._inbox
    assert len(inbox) == 3  # the first, one that fades, and the third: not a frame of silence
    for beat in range(10, 40):
        ears.tick(beat * FRAME)
    assert len(inbox) == 3 + (39 - 9)  # then nothing comes, and silence is made for all of that time
