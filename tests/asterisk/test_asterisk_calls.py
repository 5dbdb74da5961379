"""Whole calls: a SIP telephone dials, and talks with an agent of the configuration through a real Asterisk."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from nat import INSIDE, OUTSIDE, nat, port_for_rtp
from numpy.typing import NDArray
from office import Company, Office, configuration, working
from pbx import Pbx, PbxAri, Root
from proxy import proxy_to
from sipcaller import RATE, sip_caller
from tones import digits_in, tones_of

from voxtrad.audio.wav import WavWriter
from voxtrad.events.types import (
    AgentResponse,
    BargeIn,
    CallAnswered,
    CallEnded,
    CallStarted,
    Decision,
    UserTranscript,
)

pytestmark = pytest.mark.asterisk
each_transport = pytest.mark.parametrize("transport", ["websocket", "audiosocket", "rtp"])

TONES = """
    stt: tones
    tts: tones
    vad: energy
    turn: {min_silence: 0.4s}
    interrupt: {enabled: false}
    llm:
      provider: scripted
      rules:
        - match: 'order (?P<order_id>[0-9]+)'
          tool: lookup_order
          arguments: {order_id: "{{ match.order_id }}"}
          say: "{{ result.number }}"
    tools: [lookup_order]
"""


@pytest.fixture
async def company() -> AsyncIterator[Company]:
    async with Company().open() as company:
        yield company


def wav_of(digits: str, folder: Path) -> Path:
    path = folder / f"{digits}.wav"
    writer = WavWriter(path, RATE)
    writer.write(tones_of(digits))
    writer.close()
    return path


async def test_ten_calls_at_once_do_not_mix(pbx: Pbx, ari: PbxAri, company: Company, tmp_path: Path) -> None:
    numbers = [f"{n}{(n * 3 + 1) % 10}{(7 - n) % 10}{n}" for n in range(10)]

    async def call(office: Office, number: str) -> str:
        async with sip_caller(pbx) as caller:
            await caller.dial("1000")
            await caller.say(wav_of(number, tmp_path))
            await caller.hears(lambda samples: len(digits_in(samples)) >= len(number))
            await office.until(lambda: len(office.of(AgentResponse)) == len(numbers))
            await caller.hang_up()
            return digits_in(caller.heard())

    async with working(configuration(pbx, company, tmp_path, TONES)) as office:
        heard = await asyncio.gather(*(call(office, number) for number in numbers))
        assert heard == numbers
        await office.next(CallEnded, 10)
        assert sorted(str(asked["tool"]["arguments"]["order_id"]) for asked in company.asked) == sorted(numbers)
        for call_id in {asked["call"]["id"] for asked in company.asked}:
            (asked,) = (a for a in company.asked if a["call"]["id"] == call_id)
            number = asked["tool"]["arguments"]["order_id"]
            assert [e.text for e in office.of(UserTranscript) if e.call_id == call_id] == [f"order {number}"]
            assert [e.text for e in office.of(AgentResponse) if e.call_id == call_id] == [number]
        await ari.nothing_left()


@each_transport
async def test_barge_in_is_silence_on_the_wire(
    pbx: Pbx, ari: PbxAri, company: Company, tmp_path: Path, transport: str
) -> None:
    agent = """
        greeting: "0123456789 0123456789 0123456789 0123456789 0123456789 0123456789"
        stt: tones
        tts: tones
        vad: energy
        llm: {provider: scripted, rules: [], otherwise: "7"}
    """
    async with working(configuration(pbx, company, tmp_path, agent, transport=transport)) as office:
        async with sip_caller(pbx) as caller:
            await caller.dial("1000")
            await caller.hears(lambda samples: len(digits_in(samples)) >= 10)
            await caller.say(wav_of("5555555", tmp_path))
            barge_in = await office.next(BargeIn)
            answered = await office.next(UserTranscript)
            assert answered.text == "order 5555555"
            await office.next(AgentResponse, 2)
            digits = digits_in(await caller.hears(lambda samples: digits_in(samples).endswith("7")))
            await caller.hang_up()
        await office.next(CallEnded)
        assert digits.endswith("7") and len(digits) < 30, digits
        # What the event, the history and the caller's ear say is the same, give or take the word under way.
        assert len(barge_in.heard.replace(" ", "")) == pytest.approx(len(digits) - 1, abs=10)
        first = office.of(AgentResponse)[0]
        assert first.interrupted and first.text == barge_in.heard.strip()
        assert office.of(AgentResponse)[1].text == "7"
        await ari.nothing_left()


SPOKEN = """
    greeting: "Hello. What can I do for you?"
    stt: sphinx
    tts: kept
    hints: [my order number is, goodbye]
    llm:
      provider: scripted
      rules:
        - match: '(order|number)\\D*(?P<order_id>\\d[\\d ]*)'
          tool: lookup_order
          arguments: {order_id: "{{ match.order_id | replace(' ', '') }}"}
          say: "Your order {{ result.status }}. Is there anything else that I can do for you?"
        - {match: 'bye', say: "Goodbye, and thank you for calling.", tool: end_call}
      otherwise: "I did not understand."
    tools: [lookup_order, end_call]
"""


@each_transport
async def test_a_question_is_answered_and_goodbye_ends_the_call(
    asterisk_root: Root, pbx: Pbx, ari: PbxAri, company: Company, tmp_path: Path, transport: str
) -> None:
    company.statuses["1234"] = "was sent on Monday by the morning post"
    async with working(configuration(pbx, company, tmp_path, SPOKEN, transport=transport)) as office:
        async with sip_caller(pbx) as caller:
            await caller.dial("1000")
            await office.next(AgentResponse, 1)
            await caller.say(asterisk_root.flite("my order number is one two three four", voice="rms"))
            await office.next(AgentResponse, 2)
            await caller.say(asterisk_root.flite("goodbye", voice="rms"))
            async with asyncio.timeout(20):
                await caller.ended.wait()
            heard = caller.heard()
        ended = await office.next(CallEnded)
        assert ended.outcome == "completed", office.story()
        assert len(company.asked) == 1, office.story()
        (asked,) = company.asked  # signed, or the company would not have answered
        assert asked["tool"]["arguments"]["order_id"] == "1234", office.story()
        sentences = (
            "Your order was sent on Monday by the morning post.",
            "Is there anything else that I can do for you?",
            "Goodbye, and thank you for calling.",
        )
        last = 0
        for sentence in sentences:
            wanted = np.frombuffer(office.kept.said[sentence], dtype="<i2")
            alike, at = correlation(heard, wanted)
            assert alike > 0.95, f"{sentence!r} was heard with a likeness of {alike:.3f}"
            assert at > last, "out of order"
            last = at
            for start in range(0, wanted.size - RATE // 10, RATE // 10):  # whole, without gaps: every tenth of a second
                piece = wanted[start : start + RATE // 10].astype(float)
                got = heard[at + start : at + start + RATE // 10].astype(float)
                if np.abs(piece).max() > 1000:
                    assert piece @ got / (np.linalg.norm(piece) * np.linalg.norm(got) + 1) > 0.8, (
                        f"a gap at {start / RATE} s"
                    )
        await ari.nothing_left()


def correlation(heard: NDArray[np.int16], wanted: NDArray[np.int16]) -> tuple[float, int]:
    """How alike the best matching stretch is (1.0: the same), and where it begins."""
    size = 1 << (heard.size + wanted.size).bit_length()
    spectrum = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(wanted, size))
    at = int(np.argmax(np.fft.irfft(spectrum, size)[: heard.size]))
    stretch = heard[at : at + wanted.size].astype(float)
    alike = stretch @ wanted[: stretch.size] / (np.linalg.norm(stretch) * np.linalg.norm(wanted) + 1e-9)
    return float(alike), at


async def test_fifty_calls_hung_up_at_any_moment_leave_nothing(pbx: Pbx, company: Company, tmp_path: Path) -> None:
    agent = """
        greeting: "0123456789 0123456789"
        stt: tones
        tts: tones
        vad: energy
        filler: ["1"]
        llm: {provider: scripted, rules: [], otherwise: "7 8 9"}
    """
    chance = random.Random(7)

    async def call(ari: PbxAri) -> None:
        await asyncio.sleep(chance.uniform(0, 6))  # when this caller calls
        channel = await ari.call("1000", caller="play-demo-congrats")
        await asyncio.sleep(chance.choice((0.0, 0.005, 0.02, chance.uniform(0, 3))))  # how long this caller stays
        await ari.hang_up(channel)

    before = open_files()
    async with pbx.ari() as ari, working(configuration(pbx, company, tmp_path, agent)) as office:
        calls = office.server.core.switchboard.calls
        tasks = len(asyncio.all_tasks())
        await asyncio.gather(*(call(ari) for _ in range(50)))
        await office.until(lambda: len(office.of(CallEnded)) == len(office.of(CallStarted)) and not calls)
        await ari.nothing_left()
        assert len(asyncio.all_tasks()) <= tasks
        assert {event.outcome for event in office.of(CallEnded)} == {"caller_hangup"}, office.story()
    for _ in range(250):  # sockets close on the loop's next turns
        if not (left := open_files() - before):
            break
        await asyncio.sleep(0.02)
    assert not left


def open_files() -> set[str]:
    """Files and sockets that this process has open, each by a name of its own."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(str(entry.readlink()))
    return found


async def test_the_pbx_restarts_and_the_next_call_is_taken(own_pbx: Pbx, company: Company, tmp_path: Path) -> None:
    async with working(configuration(own_pbx, company, tmp_path, TONES)) as office:
        telephony = office.server.telephony
        assert telephony is not None
        for attempt in (1, 2):
            async with own_pbx.ari() as ari:
                await ari.call("1000")
                await office.next(CallAnswered, attempt)
            if attempt == 1:
                await asyncio.to_thread(own_pbx.stop, kill=True)
                await telephony.wait_state("disconnected")
                assert telephony.state_reason
                assert figure(office, "voxtrad_ari_connected") == 0
                await office.next(CallEnded, 1)
                await asyncio.to_thread(own_pbx.start)
                async with asyncio.timeout(40):
                    await telephony.wait_ready()
                assert telephony.reconnects == 1
                assert figure(office, "voxtrad_ari_connected") == 1
        assert figure(office, "voxtrad_ari_reconnects_total") == 1
        await office.until(lambda: figure(office, "voxtrad_calls_total") == len(office.of(CallEnded)))


async def test_audio_that_the_network_loses_is_told_and_counted(pbx: Pbx, company: Company, tmp_path: Path) -> None:
    port = port_for_rtp()
    rtp = f"{{listen: 127.0.0.1, ports: {port}-{port + 1}, advertise: {INSIDE}}}"
    async with nat(port) as between, proxy_to(pbx.url, OUTSIDE) as proxy:
        config = configuration(pbx, company, tmp_path, TONES, transport="rtp", url=proxy.url, rtp=rtp)
        async with working(config) as office, sip_caller(pbx) as caller:
            await caller.dial("1000")
            await caller.say(wav_of("123", tmp_path))
            await office.next(UserTranscript)
            between.loses = 10
            await caller.say(wav_of("123456789" * 3, tmp_path))
            await caller.hang_up()
            await office.next(CallEnded)
            told = [event.reason for event in office.of(Decision) if event.what == "audio_lost"]
            assert len(told) == 1 and "of the caller's audio was lost" in told[0], office.story()
            await office.until(lambda: figure(office, "voxtrad_audio_packets_lost_total") > 0)
            due, lost = (
                figure(office, "voxtrad_audio_packets_total"),
                figure(office, "voxtrad_audio_packets_lost_total"),
            )
            assert lost == pytest.approx(between.lost, abs=2) and due > 5 * lost
            assert figure(office, "voxtrad_audio_packets_late_total") == 0


def figure(office: Office, name: str) -> float:
    """A metric as it is exposed, added up over its labels."""
    lines = office.server.metrics.exposition("text/plain")[0].decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.partition(" ")[0].partition("{")[0] == name)
