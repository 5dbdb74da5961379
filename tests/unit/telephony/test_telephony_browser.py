"""A page as a leg: what was heard, by its reports and by the clock; and what a page that lies can do."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrad.leg import Digit, Ended, LegError, LegGone, LegInfo
from voxtrad.telephony.browser import AHEAD, BrowserLeg, BrowserPort, Playout
from voxtrad.telephony.browser_messages import RATE, BadMessage, Flushed, Played, Pressed, Start, parse

INFO = LegInfo(id="phone-1", channel="Browser/phone-1", caller="console", dialled="", agent="a")
FRAME = bytes(640)


class Page:
    """The far end of the wire: notes what it is sent and answers as a page does, playing as fast as it is told to."""

    def __init__(self) -> None:
        self.told: list[dict[str, Any]] = []
        self.audio = bytearray()
        self.waiting = 0
        self.answers = True
        self.gone = False
        self.leg: BrowserLeg
        self.news = asyncio.Event()

    async def send_bytes(self, data: bytes) -> None:
        self._check()
        self.audio += data
        self.waiting += len(data) // 2
        self.news.set()

    async def send_str(self, data: str) -> None:
        self._check()
        message = json.loads(data)
        self.told.append(message)
        if message["type"] == "flush":
            played, self.played, self.waiting, self.epoch = self.played, 0, 0, message["epoch"]
            if self.answers:
                self.leg.take(Flushed(type="flushed", epoch=message["epoch"], samples=played))
        self.news.set()

    played = 0
    epoch = 0

    def plays(self, samples: int) -> None:
        """Some of what waits is heard, and reported."""
        samples = min(samples, self.waiting)
        self.waiting -= samples
        self.played += samples
        self.leg.take(Played(type="played", epoch=self.epoch, samples=self.played))

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not condition():
                self.news.clear()
                await self.news.wait()

    @property
    def kinds(self) -> list[str]:
        return [str(message["type"]) for message in self.told]

    def _check(self) -> None:
        if self.gone:
            raise ConnectionResetError


@contextlib.asynccontextmanager
async def connected(microphone: int = RATE) -> AsyncIterator[tuple[Page, BrowserLeg, BrowserPort]]:
    page = Page()
    leg = page.leg = BrowserLeg(page, INFO, microphone=microphone)
    port = await leg.open_media()
    assert isinstance(port, BrowserPort)
    try:
        yield page, leg, port
    finally:
        await leg.release()


# --- audio ------------------------------------------------------------------------------------------------------------


async def test_what_is_played_is_heard_when_the_page_says_so() -> None:
    async with connected() as (page, _, port):
        await port.play(FRAME * 50)
        assert (len(page.audio), port.queued) == (RATE * 2, RATE)
        draining = asyncio.create_task(port.drained())
        page.plays(RATE // 2)
        assert not draining.done()
        page.plays(RATE)
        await draining
        assert port.heard == port.queued == RATE


async def test_only_so_much_waits_in_the_page() -> None:
    async with connected() as (page, _, port):
        playing = asyncio.create_task(port.play(FRAME * 500))
        await page.until(lambda: page.waiting >= AHEAD)
        assert not playing.done() and page.waiting < AHEAD * 2
        for _ in range(20):
            page.plays(AHEAD)
            await asyncio.sleep(0)
        while not playing.done():
            page.plays(AHEAD)
            await asyncio.sleep(0)
        assert port.queued == 500 * 320


async def test_a_flush_tells_what_was_heard_and_what_comes_after_is_counted_anew() -> None:
    async with connected() as (page, _, port):
        await port.play(FRAME * 50)
        page.plays(4800)
        await port.pause()
        page.plays(160)  # was on its way when the pause came
        assert await port.flush() == 4960
        assert port.queued == 4960
        await port.play(FRAME * 10)
        assert port.queued == 4960 + 3200
        page.plays(3200)
        await port.drained()
        assert port.heard == 4960 + 3200
        assert page.kinds == ["pause", "flush"]


async def test_pause_and_resume_are_told_once() -> None:
    async with connected() as (page, _, port):
        await port.play(FRAME * 5)
        for _ in range(2):
            await port.pause()
        for _ in range(2):
            await port.resume()
        assert page.kinds == ["pause", "resume"]


@pytest.mark.virtual_time
async def test_a_page_that_does_not_answer_a_flush() -> None:
    async with connected() as (page, _, port):
        page.answers = False
        await port.play(FRAME * 50)
        page.plays(3200)
        heard = await port.flush()
        assert heard == port.queued and 3200 <= heard <= 3200 + RATE // 4
        page.leg.take(Flushed(type="flushed", epoch=1, samples=3200))
        assert port.queued == heard, "too late: it was decided otherwise"
        await port.play(FRAME)
        page.plays(320)
        await port.drained()


async def test_play_that_waits_is_over_with_a_flush() -> None:
    async with connected() as (page, _, port):
        playing = asyncio.create_task(port.play(FRAME * 500))
        await page.until(lambda: page.waiting >= AHEAD)
        await port.flush()
        async with asyncio.timeout(20):
            await playing
        assert port.queued == port.heard


async def test_torn_frames_are_refused() -> None:
    async with connected() as (_, _, port):
        with pytest.raises(ValueError):
            await port.play(b"abc")


async def test_the_microphone_comes_in_frames_at_another_rate_too() -> None:
    async with connected(48000) as (_, leg, port):
        frames = port.frames()
        for _ in range(40):
            leg.hear(bytes([1, 2]) * 960)
        assert {len(await anext(frames)) for _ in range(20)} == {640}
        with pytest.raises(BadMessage):
            leg.hear(b"abc")


@pytest.mark.virtual_time
async def test_silence_is_made_where_the_page_sends_none() -> None:
    async with connected() as (_, _, port):
        frames = port.frames()
        assert [await anext(frames) for _ in range(100)] == [FRAME] * 100


# --- the end ----------------------------------------------------------------------------------------------------------


async def test_keys_and_the_end() -> None:
    async with connected() as (_, leg, port):
        leg.take(parse('{"type": "digit", "digit": "5"}'))
        leg.take(parse('{"type": "hangup"}'))
        leg.take(Pressed(type="digit", digit="6"))
        assert [event async for event in leg.events()] == [Digit("5"), Ended("the page has hung up")]
        assert [frame async for frame in port.frames()] == []
        for work in (leg.answer(), leg.send_digits("1"), leg.hold("music"), port.play(FRAME), leg.open_media()):
            with pytest.raises(LegGone):
                await work


async def test_a_wire_that_breaks_ends_the_leg() -> None:
    async with connected() as (page, leg, port):
        await port.play(FRAME * 5)
        waiting = asyncio.create_task(port.drained())
        await asyncio.sleep(0)
        page.gone = True
        with pytest.raises(LegGone):
            await port.play(FRAME)
        with pytest.raises(LegGone):
            await waiting
        assert leg.cause == "the page is gone"


@pytest.mark.virtual_time
async def test_a_page_that_stops_playing_has_hung_up() -> None:
    async with connected() as (_, leg, port):
        await port.play(FRAME * 5)
        with pytest.raises(LegGone):
            await port.drained()
        assert leg.cause == "the page has stopped playing"


async def test_hold_closes_the_audio_and_it_can_be_opened_again() -> None:
    async with connected() as (page, leg, port):
        with pytest.raises(LegError):
            await leg.open_media()
        await leg.hold("music")
        with pytest.raises(LegGone):
            await port.play(FRAME)
        again = await leg.open_media()
        leg.take(Played(type="played", epoch=0, samples=99999))  # was on its way, of what was before
        await again.play(FRAME * 50)
        assert again.heard < again.queued
        page.plays(RATE)
        await again.drained()
        assert page.kinds == ["hold", "flush"] and len(page.audio) == 2 * RATE


async def test_the_dialplan_is_where_a_page_cannot_follow() -> None:
    async with connected() as (page, leg, _):
        assert await leg.visit(context="office", extension="200", priority=1, within=5) == "left"
        assert page.told == [{"type": "led-on", "context": "office", "extension": "200", "priority": 1}]
        events = [event async for event in leg.events()]
        assert isinstance(events[0], Ended) and events[0].handed_back
        assert leg.dialer is None


# --- whatever a page says ---------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
near = st.fixed_dictionaries(
    {"type": st.sampled_from(["start", "played", "flushed", "digit", "hangup", "x"])},
    optional=dict.fromkeys(("agent", "rate", "epoch", "samples", "digit"), json_values),
)


@settings(deadline=None)
@given(st.text() | st.binary().map(lambda raw: raw.decode("utf-8", "replace")) | near.map(json.dumps))
def test_only_messages_are_messages(text: str) -> None:
    try:
        message = parse(text)
    except BadMessage:
        return
    match message:
        case Start():
            assert message.agent and 8000 <= message.rate <= 96000
        case Played() | Flushed():
            assert message.samples >= 0 and message.epoch >= 0
        case Pressed():
            assert len(message.digit) == 1
        case _:
            assert message.type == "hangup"


steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 5)),
        st.tuples(st.just("wait"), st.floats(0, 3)),
        st.tuples(st.just("played"), st.integers(0, 3), st.integers(0, 5000)),
        st.tuples(st.just("pause")),
        st.tuples(st.just("resume")),
        st.tuples(st.just("flush")),
    ),
    max_size=30,
)


@settings(deadline=None)
@given(steps)
def test_whatever_a_page_reports_the_count_makes_sense(steps: list[tuple[Any, ...]]) -> None:
    now, playout, before = 5.0, Playout(5.0), 0
    for step in steps:
        match step:
            case ("add", frames):
                playout.add(frames * 320, now)
            case ("wait", seconds):
                now += seconds
            case ("played", epoch, samples):
                playout.played(epoch, samples, now)
            case ("pause",):
                playout.pause(now)
            case ("resume",):
                playout.resume(now)
            case ("flush",):
                assert playout.flush(now) == playout.queued == playout.heard(now)
        heard = playout.heard(now)
        assert before <= heard <= playout.queued
        assert playout.confirmed <= heard
        before = heard
    playout.resume(now)
    playout.played(playout.epoch, 10**9, now)
    assert playout.empty and playout.heard(now) == playout.queued


@pytest.mark.virtual_time
async def test_a_hold_that_is_cancelled_leaves_no_audio_open() -> None:
    for steps in range(8):
        async with connected() as (page, leg, port):
            page.answers = False
            await port.play(FRAME)
            holding = asyncio.create_task(leg.hold("music"))
            for _ in range(steps + 1):
                await asyncio.sleep(0)
            holding.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await holding
            assert [frame async for frame in port.frames()] == []  # and ends
            await leg.open_media()
            assert page.told[-1] == {"type": "flush", "epoch": port.epoch + 1}
