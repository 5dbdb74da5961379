"""Audio through a real Asterisk to a real telephone (SIP), over every transport and in every format that it carries,
counted and compared. What is the caller's own G.711 has to come through to the bit."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from nat import INSIDE, OUTSIDE, nat, port_for_rtp
from numpy.typing import NDArray
from pbx import Pbx, PbxAri
from proxy import proxy_to
from serving import Legs, end_of, serving, settings_for
from sipcaller import SipCaller, read_wav, sip_caller

from voxtrad.audio.codec import CODINGS, Codec
from voxtrad.audio.g711 import decode_ulaw
from voxtrad.leg import LegGone, MediaPort
from voxtrad.telephony.asterisk.leg import AsteriskLeg
from voxtrad.telephony.asterisk.settings import AsteriskSettings

pytestmark = pytest.mark.asterisk
RATE = 8000
FRAME = 160

Samples = NDArray[np.int16]


@dataclass(frozen=True)
class Line:
    """A way to a caller: a transport, the format asked for, the caller's codec, and what must come of it."""

    transport: str
    codec: Codec
    format: str = "auto"
    caller: str = "PCMU"

    def __str__(self) -> str:
        return f"{self.transport} {self.format} {self.caller}"


PLAIN = [Line("websocket", "ulaw"), Line("audiosocket", "linear"), Line("rtp", "ulaw")]
EVERY = [
    *PLAIN,
    *(Line(transport, "alaw", caller="PCMA") for transport in ("websocket", "rtp")),
    *(Line(transport, "alaw", "alaw") for transport in ("websocket", "rtp")),  # Asterisk converts
    *(Line(transport, "linear", "slin") for transport in ("websocket", "rtp")),
]
USERS = {"PCMU": "100", "PCMA": "101", "G722": "200"}

every_line = pytest.mark.parametrize("line", EVERY, ids=str)


@pytest.fixture(params=PLAIN, ids=str)
def line(request: pytest.FixtureRequest) -> Line:
    found: Line = request.param
    return found


@dataclass
class Answered:
    """A call under way."""

    caller: SipCaller
    leg: AsteriskLeg
    port: MediaPort


def of(pbx: Pbx, line: Line, **changes: Any) -> AsteriskSettings:
    return settings_for(pbx, transport=line.transport, format=line.format, **changes)


@contextlib.asynccontextmanager
async def answered(pbx: Pbx, line: Line, *, wideband: bool = True, **changes: Any) -> AsyncIterator[Answered]:
    legs = Legs()
    async with (
        serving(of(pbx, line, **changes), legs) as telephony,
        sip_caller(pbx, user=USERS[line.caller], codec=line.caller) as caller,
    ):
        dialling = asyncio.create_task(caller.dial("1000"))
        leg = await legs.next()
        await leg.answer()
        port = await leg.open_media(wideband=wideband)
        assert port.codec == line.codec
        await dialling
        yield Answered(caller, leg, port)
        await caller.hang_up()
        legs.let_go(leg)
        async with asyncio.timeout(10):
            await telephony.wait_idle()


def noise(frames: int, seed: str, rate: int = RATE) -> Samples:
    """Loud everywhere, so that every sample of it can be told from silence, and like nothing else."""
    chance = np.random.default_rng(int(hashlib.sha256(seed.encode()).hexdigest()[:8], 16))
    size = frames * rate // 50
    made: Samples = (chance.integers(2000, 9000, size) * chance.choice([-1, 1], size)).astype("<i2")
    return made


def as_carried(samples: Samples, codec: Codec) -> Samples:
    """What is left of samples that were carried in a codec."""
    coding = CODINGS[codec]
    return np.frombuffer(coding.decode(coding.encode(samples.tobytes())), dtype="<i2")


def find(needle: Samples, heard: Samples, *, exact: bool = False) -> int:
    """Where `needle` begins in `heard`, if it is there whole and unharmed (the rounding of G.711 aside)."""
    assert heard.size >= needle.size, f"{heard.size} samples heard, {needle.size} played"
    size = heard.size + needle.size
    product = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(needle, size)), size)
    start = int(product[: heard.size - needle.size + 1].argmax())
    part = heard[start : start + needle.size].astype(np.int32)
    allowed = 0 if exact else 64 + np.abs(needle.astype(np.int32)) // 16
    wrong = np.flatnonzero(np.abs(part - needle) > allowed)
    assert not wrong.size, f"differs first at sample {wrong[0]} of {needle.size} (frame {wrong[0] // FRAME})"
    return start


def loud(heard: Samples) -> int:
    """How many samples are no silence."""
    return int(np.count_nonzero(np.abs(heard.astype(np.int32)) > 1000))


@every_line
async def test_every_sample_of_an_odd_number_of_frames_is_heard(pbx: Pbx, ari: PbxAri, line: Line) -> None:
    async with answered(pbx, line) as call:
        assert call.port.rate == RATE
        pieces = [noise(frames, f"{line}{frames}") for frames in (1, 7, 33, 2, 61)]
        end = 0
        for piece in pieces:
            await call.port.play(piece.tobytes())
        async with asyncio.timeout(10):
            await call.port.drained()
        total = sum(piece.size for piece in pieces)
        assert call.port.queued == call.port.heard == total
        end = await call.caller.hears_silence()
        heard = call.caller.heard()
        played = as_carried(np.concatenate(pieces), call.port.codec)
        exact = line.format == "auto" and line.codec != "linear"
        assert find(played, heard, exact=exact) + total == end  # one after the other, no gap, nothing after
        assert loud(heard) == total
    await ari.nothing_left()


async def test_more_than_the_pbx_can_queue_is_played_whole(pbx: Pbx, ari: PbxAri, line: Line) -> None:
    async with answered(pbx, line) as call:
        long = noise(501, str(line))  # 10 s: play has to wait for room
        async with asyncio.timeout(30):
            await call.port.play(long.tobytes())
            assert call.port.queued == long.size
            assert call.port.heard < long.size
            await call.port.drained()
            await call.caller.hears_silence()
        find(long, call.caller.heard())
        assert loud(call.caller.heard()) == long.size
    await ari.nothing_left()


@every_line
async def test_pause_holds_the_playout_and_resume_loses_nothing(pbx: Pbx, ari: PbxAri, line: Line) -> None:
    async with answered(pbx, line) as call:
        speech = noise(75, str(line))
        await call.port.play(speech.tobytes())
        begin = await call.caller.hears_sound()
        await call.port.pause()
        await call.port.pause()  # idempotent
        held = await call.caller.hears_silence(0.5)
        position = call.port.heard
        assert 0 < position < speech.size
        assert abs((held - begin) - position) <= 3 * FRAME  # the caller heard as much as we think
        assert call.port.heard == position and call.port.queued == speech.size
        await call.port.resume()
        await call.port.resume()
        async with asyncio.timeout(5):
            await call.port.drained()
        await call.caller.hears_silence(0.5, after=held)
        heard = call.caller.heard()
        first = held - begin
        assert find(speech[:first], heard) == begin
        assert find(speech[first:], heard) >= held
        assert loud(heard) == speech.size
    await ari.nothing_left()


@pytest.mark.parametrize("paused", [False, True], ids=["while playing", "while paused"])
async def test_after_a_flush_the_rest_is_silent_and_a_new_reply_is_heard(
    pbx: Pbx, ari: PbxAri, line: Line, paused: bool
) -> None:
    async with answered(pbx, line) as call:
        first, second = noise(150, "first"), noise(25, "second")
        await call.port.play(first.tobytes())
        begin = await call.caller.hears_sound()
        if paused:
            await call.port.pause()
            await call.caller.hears_silence(0.3)
        position = await call.port.flush()
        assert position == call.port.heard == call.port.queued
        assert position % FRAME == 0
        async with asyncio.timeout(1):
            await call.port.drained()  # at once: nothing waits
        stopped = await call.caller.hears_silence(0.5, after=begin)
        assert stopped - begin == position  # exactly what was heard, in samples

        await call.port.play(second.tobytes())
        assert call.port.queued == position + second.size
        async with asyncio.timeout(5):
            await call.port.drained()
        await call.caller.hears_silence(0.5, after=stopped + RATE // 4)
        heard = call.caller.heard()
        assert find(second, heard) > stopped
        assert loud(heard) == position + second.size  # the first one's rest never came
    await ari.nothing_left()


async def test_a_reply_right_after_a_flush_is_heard_whole(pbx: Pbx, ari: PbxAri, line: Line) -> None:
    async with answered(pbx, line) as call:
        total = 0
        for turn in range(5):
            await call.port.play(noise(100, f"thrown away {turn}").tobytes())
            await call.caller.hears_sound(after=max(0, call.caller.heard().size - FRAME))
            await call.port.pause()
            total = await call.port.flush()
            await call.port.play(noise(11, f"kept {turn}").tobytes())
            async with asyncio.timeout(5):
                await call.port.drained()
        assert call.port.heard == call.port.queued > total
        await call.caller.hears_silence(0.5)
        heard = call.caller.heard()
        starts = [find(noise(11, f"kept {turn}"), heard) for turn in range(5)]
        assert starts == sorted(starts)
        assert loud(heard) == call.port.heard
    await ari.nothing_left()


async def test_a_flush_releases_a_play_that_waits_for_room(pbx: Pbx, ari: PbxAri, line: Line) -> None:
    async with answered(pbx, line) as call:
        playing = asyncio.create_task(call.port.play(noise(1500, "too long").tobytes()))
        await call.caller.hears_sound()
        position = await call.port.flush()
        async with asyncio.timeout(1):
            await playing
        assert call.port.queued == position  # the part that had not been queued yet is thrown away too
        assert await call.caller.hears_silence(0.5) > 0
        assert loud(call.caller.heard()) == position
    await ari.nothing_left()


@every_line
async def test_what_the_caller_says_comes_back_as_it_was_said(pbx: Pbx, ari: PbxAri, line: Line) -> None:
    async with answered(pbx, line) as call:
        sentence = pbx.root.flite("where is my order number seventeen")

        async def echo() -> None:
            async for frame in call.port.frames():
                assert len(frame) == 2 * FRAME
                with contextlib.suppress(LegGone):
                    await call.port.play(frame)

        echoing = asyncio.create_task(echo())
        await call.caller.say(sentence)
        await call.caller.hears_silence(0.5)
        said, heard = read_wav(sentence).astype(float), call.caller.heard().astype(float)
        assert _intact(said, call.caller.said().astype(float)) > 0.7
        assert _intact(said, heard) > 0.7
        await call.caller.hang_up()
        async with asyncio.timeout(5):
            await echoing
    await ari.nothing_left()


@pytest.mark.parametrize("begins_anew", [False, True], ids=["another mapping", "another port of Asterisk's"])
async def test_rtp_that_comes_from_another_port_in_the_middle_of_a_sentence(
    pbx: Pbx, ari: PbxAri, begins_anew: bool
) -> None:
    """Behind a NAT: what the caller says goes on being heard, and what is said to them goes where they are now."""
    port = port_for_rtp()
    at: dict[str, Any] = {"rtp_ports": (port, port + 1), "rtp_advertise": INSIDE}
    async with (
        nat(port) as between,
        proxy_to(pbx.url, OUTSIDE) as proxy,
        answered(pbx, Line("rtp", "ulaw"), url=proxy.url, **at) as call,
    ):
        sentence = pbx.root.flite("where is my order number seventeen")
        heard: list[bytes] = []

        async def listen() -> None:
            async for frame in call.port.frames():
                heard.extend([frame] if any(frame) else [])

        listening = asyncio.create_task(listen())
        saying = asyncio.create_task(call.caller.say(sentence))
        await between.passed(25)
        await (between.begin_anew() if begins_anew else between.map_anew())
        before = len(between.payloads)
        await saying
        await call.port.play(noise(25, "after").tobytes())
        async with asyncio.timeout(5):
            await call.port.drained()
        await call.caller.hears_silence(0.5)
        find(noise(25, "after"), call.caller.heard())
        await call.caller.hang_up()
        async with asyncio.timeout(5):
            await listening
    passed = [decode_ulaw(payload) for payload in between.payloads]
    assert len(passed) > before + 50
    if begins_anew:  # whoever it is that speaks is known only after some time
        assert heard[:before] == passed[:before]
        assert heard[before:] == passed[-len(heard[before:]) :] and len(heard) > before + 25
    else:
        assert heard == passed
    await ari.nothing_left()


def _intact(said: NDArray[np.float64], heard: NDArray[np.float64]) -> float:
    """How much of a sentence is heard as it was said, in quarters of a second: a busy machine tears a piece or two."""
    pieces = said[: said.size // _PIECE * _PIECE].reshape(-1, _PIECE)
    voiced = [piece for piece in pieces if np.abs(piece).max() > 1000]
    return float(np.mean([_likeness(piece, heard) > 0.99 for piece in voiced]))


def _likeness(needle: NDArray[np.float64], heard: NDArray[np.float64]) -> float:
    """The correlation at the place where it is the highest."""
    size = heard.size + needle.size
    product = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(needle, size)), size)
    energy = np.cumsum(np.concatenate([[0.0], heard**2]))
    energy = energy[needle.size :] - energy[: -needle.size]
    start = int((product[: energy.size] / np.sqrt(energy + 1.0)).argmax())
    return float(np.corrcoef(needle, heard[start : start + needle.size])[0, 1])


_PIECE = 2000
"""Samples."""


async def test_silence_is_made_where_the_caller_sends_nothing(pbx: Pbx, ari: PbxAri, line: Line) -> None:
    """A Local channel in Wait sends no frame at all: the clock makes them, one for every 20 ms."""
    legs = Legs()
    async with serving(of(pbx, line), legs):
        await ari.call("1000", caller="wait")
        leg = await legs.next()
        await leg.answer()
        port = await leg.open_media()
        loop = asyncio.get_running_loop()
        begin, count = loop.time(), 0
        async for frame in port.frames():
            assert frame == bytes(port.rate // 25)
            count += 1
            if count == 100:
                break
        assert abs((loop.time() - begin) - 2.0) < 0.5
        await leg.hang_up()
        await end_of(leg)
        legs.let_go(leg)
        await ari.nothing_left()


@pytest.mark.parametrize("transport", ["websocket", "audiosocket"])
async def test_a_wideband_caller_is_heard_and_spoken_to_at_16_khz(pbx: Pbx, ari: PbxAri, transport: str) -> None:
    async with answered(pbx, Line(transport, "linear", caller="G722")) as call:
        assert call.port.rate == 16000
        time = np.arange(16000) / 16000
        tone = (8000 * np.sin(2 * np.pi * 5000 * time)).astype("<i2")  # above what narrowband can carry
        await call.port.play(tone.tobytes())
        async with asyncio.timeout(5):
            await call.port.drained()
        await call.caller.hears_silence(0.5)
        heard = call.caller.heard().astype(float)
        spectrum = np.abs(np.fft.rfft(heard * np.hanning(heard.size)))
        assert abs(np.fft.rfftfreq(heard.size, 1 / 16000)[int(spectrum.argmax())] - 5000) < 50
    await ari.nothing_left()


@pytest.mark.parametrize(
    "line", [Line("websocket", "linear", caller="G722"), Line("rtp", "linear", caller="G722")], ids=str
)
async def test_a_wideband_caller_is_carried_at_8_khz_where_that_is_enough(pbx: Pbx, ari: PbxAri, line: Line) -> None:
    """Where the recogniser hears no more, or the transport carries no more."""
    async with answered(pbx, line, wideband=line.transport == "rtp") as call:
        assert call.port.rate == RATE
        time = np.arange(RATE) / RATE
        await call.port.play((8000 * np.sin(2 * np.pi * 1000 * time)).astype("<i2").tobytes())
        async with asyncio.timeout(5):
            await call.port.drained()
        await call.caller.hears_silence(0.5)
        heard = call.caller.heard().astype(float)  # recorded at 16 kHz, as the caller's codec is
        spectrum = np.abs(np.fft.rfft(heard * np.hanning(heard.size)))
        assert abs(np.fft.rfftfreq(heard.size, 1 / 16000)[int(spectrum.argmax())] - 1000) < 50
    await ari.nothing_left()


async def test_torn_frames_are_refused(pbx: Pbx, ari: PbxAri, line: Line) -> None:
    async with answered(pbx, line) as call:
        with pytest.raises(ValueError, match="whole number"):
            await call.port.play(bytes(321))
        await call.port.play(b"")
        assert call.port.queued == 0
        async with asyncio.timeout(1):
            await call.port.drained()
    await ari.nothing_left()
