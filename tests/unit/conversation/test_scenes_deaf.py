"""Scenes in which a recogniser that ends turns itself goes deaf in the middle of one: another hears it from its
beginning, a lone one is connected to again, and where neither helps the turn ends with the words that there are.

The stage proves that the caller is never left in silence for 4 seconds; all are played without fillers.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Literal

import pytest
from stage import DEAD_AIR, RATE, Caller, Model, Played, Scene, later, play, tone

from voxtrad.providers.base import STTCapabilities, STTEvent, Transcript, TurnSignal, Unreachable
from voxtrad.providers.fallback.stt import FallbackSTT

pytestmark = pytest.mark.virtual_time

Manner = Literal["updates", "quiet", "finalize"]
"""Flux, which tells of every quarter of a second; AssemblyAI, which tells of words; and one that ends no turns."""
Moment = Literal["start", "partial", "eager"]

SAID = "where is my order now"
ANSWER = "It was sent on Monday."
FRAME = RATE // 50 * 2
WORD = 15
"""Frames of sound that are a word."""
TURN_SILENCE = 1.28


class Vendor:
    """Hears `SAID`, a word in every 0.3 s of sound. Its first `troubled` connections go deaf at a moment, or break."""

    def __init__(
        self, name: str, manner: Manner, *, at: Moment | None = None, troubled: int = 0, breaks: bool = False
    ) -> None:
        self.name = name
        self.manner = manner
        self.at = at
        self.troubled = troubled
        self.breaks = breaks
        self.connections: list[Connection] = []
        self.capabilities = STTCapabilities(
            partials=True,
            end_of_turn=manner != "finalize",
            final_delay=0.4,
            turn_silence=TURN_SILENCE if manner == "quiet" else 0.0,
        )

    async def open(self, *, rate: int, language: str, hints: Sequence[str] = ()) -> Connection:
        await asyncio.sleep(0.1)
        at = self.at if len(self.connections) < self.troubled else None
        self.connections.append(Connection(self, at))
        return self.connections[-1]

    async def aclose(self) -> None:
        pass


class Connection:
    """One of them. What it tells comes 0.1 s after the audio."""

    def __init__(self, vendor: Vendor, at: Moment | None) -> None:
        self.vendor = vendor
        self.frames = 0
        self.sound = 0
        self.silence = 0
        self.text = ""
        self.eager = False
        self.goes_deaf: Moment | None = at
        self.deaf = False
        self.closed = False
        self.on_the_way: deque[STTEvent | Exception] = deque()
        self.out: asyncio.Queue[STTEvent | Exception | None] = asyncio.Queue()

    async def send(self, pcm: bytes) -> None:
        for at in range(0, len(pcm), FRAME):
            self._frame(any(pcm[at : at + FRAME]))

    async def finalize(self) -> None:
        if self.vendor.manner == "finalize" and not self.deaf:
            self._tell(Transcript(self.text, final=True))
            self.text, self.sound = "", 0

    async def events(self) -> AsyncIterator[STTEvent]:
        while (event := await self.out.get()) is not None:
            if isinstance(event, Exception):
                raise event
            yield event

    async def aclose(self) -> None:
        self.closed = True
        self.out.put_nowait(None)

    def _frame(self, loud: bool) -> None:
        if self.deaf:
            return
        self.frames += 1
        self.sound += loud
        self.silence = 0 if loud else self.silence + 1
        if loud and self.goes_deaf == "start":
            return self._go_deaf()
        words = " ".join(SAID.split()[: self.sound // WORD])
        if self.vendor.manner == "finalize":
            if words != self.text:
                self.text = words
                self._tell(Transcript(words, final=False))
            return
        if words != self.text:
            self._tell(*([] if self.text else [TurnSignal("started")]), Transcript(words, final=False))
            self.text = words
            if self.goes_deaf == "partial" and len(words.split()) == 3:
                return self._go_deaf()
        elif self.vendor.manner == "updates" and self.frames % 12 == 0:
            self._tell(Transcript(self.text, final=False))
        if self.text and self.silence == 12:
            self._tell(TurnSignal("eager_end", self.text))
            if self.goes_deaf == "eager":
                return self._go_deaf()
        if self.text and self.silence == (TURN_SILENCE * 50 if self.vendor.manner == "quiet" else 25):
            self._tell(Transcript(self.text, final=True), TurnSignal("end", self.text))
            self.text, self.sound = "", 0
        return None

    def _go_deaf(self) -> None:
        self.deaf = True
        if self.vendor.breaks:
            self._tell(Unreachable("half closed", provider=self.vendor.name))

    def _tell(self, *events: STTEvent | Exception) -> None:
        for event in events:
            self.on_the_way.append(event)
            later(0.1, self._arrive)

    def _arrive(self) -> None:
        """In the order in which they were sent: timers of one moment have none."""
        self.out.put_nowait(self.on_the_way.popleft())


class Ears(FallbackSTT):
    """Several as a call has them, and what was told of them."""

    def __init__(self, *vendors: Vendor) -> None:
        self.stands_in: list[tuple[str, str]] = []
        super().__init__(vendors, observer=self)

    def on_request(self, provider: str, kind: str, outcome: str) -> None:
        pass

    def on_fallback(self, kind: str, from_: str, to: str, reason: str) -> None:
        self.stands_in.append((from_, to))


async def asks(caller: Caller) -> None:
    await caller.leg.say(tone(len(SAID.split()) * WORD / 50))


async def asks_and_listens(caller: Caller) -> None:
    await asks(caller)
    await caller.answered(3.5)


async def asks_twice(caller: Caller) -> None:
    """Whoever is deaf in the first turn is not believed in the second."""
    await asks_and_listens(caller)
    await asks_and_listens(caller)


async def heard(*vendors: Vendor, scene: Scene = asks_twice, **config: object) -> tuple[Played, Ears]:
    ears = Ears(*vendors)
    model = Model([[ANSWER], [ANSWER]])
    settings = {"filler": [], **config}
    played = await play(scene, config=settings, stt=ears, model=model)  # type: ignore[arg-type]  # made of several
    await ears.aclose()
    assert played.ended.outcome == "caller_hangup", played.ended
    assert all(connection.closed for vendor in vendors for connection in vendor.connections)
    return played, ears


@pytest.mark.parametrize("second", ["updates", "quiet", "finalize"])
@pytest.mark.parametrize("breaks", [False, True], ids=["stalls", "half closed"])
@pytest.mark.parametrize("at", ["start", "partial", "eager"])
@pytest.mark.parametrize("first", ["updates", "quiet"])
async def test_another_takes_over_in_the_turn(first: Manner, at: Moment, breaks: bool, second: Manner) -> None:
    deaf = Vendor("a", first, at=at, troubled=1, breaks=breaks)
    played, ears = await heard(deaf, Vendor("b", second))
    assert played.turns() == [SAID, SAID]
    assert played.said() == [ANSWER, ANSWER]
    assert ears.stands_in == [("a", "b")]


@pytest.mark.parametrize("breaks", [False, True], ids=["stalls", "half closed"])
@pytest.mark.parametrize("at", ["start", "partial", "eager"])
@pytest.mark.parametrize("manner", ["updates", "quiet"])
async def test_a_lone_one_is_connected_to_again(manner: Manner, at: Moment, breaks: bool) -> None:
    lone = Vendor("a", manner, at=at, troubled=1, breaks=breaks)
    played, _ = await heard(lone)
    first, second = played.turns()
    assert second == SAID and len(lone.connections) == 2
    assert first == SAID or SAID.startswith(first)  # the silence has ended it before the new connection had heard it
    assert played.said() == [ANSWER, ANSWER]


@pytest.mark.parametrize("manner", ["updates", "quiet"])
async def test_one_that_waits_as_long_as_it_declares_is_not_doubted(manner: Manner) -> None:
    well = Vendor("a", manner)
    played, ears = await heard(well, Vendor("b", "finalize"))
    assert played.turns() == [SAID, SAID]
    assert len(well.connections) == 1 and ears.stands_in == []


@pytest.mark.parametrize("manner", ["updates", "quiet"])
@pytest.mark.parametrize("others", [0, 1], ids=["alone", "with another"])
async def test_where_nobody_hears_the_turn_ends_with_the_words_that_there_are(manner: Manner, others: int) -> None:
    """Also where the connection is a new one each time: a caller is not left hanging by one that says half of it."""
    deaf = [Vendor(name, manner, at="partial", troubled=99) for name in "ab"[: others + 1]]
    played, _ = await heard(*deaf, scene=asks_and_listens)
    assert played.turns() == ["where is my"] and played.said() == [ANSWER]


@pytest.mark.parametrize("manner", ["updates", "quiet", "finalize"])
@pytest.mark.parametrize("others", [0, 1], ids=["alone", "with another"])
async def test_a_caller_whom_nobody_hears_is_asked_and_then_heard(manner: Manner, others: int) -> None:
    """The vendors are deaf for a while. Whoever hears at last hears all that was said meanwhile."""
    deaf = [Vendor(name, manner, at="start", troubled=1 + (not others)) for name in "ab"[: others + 1]]

    async def scene(caller: Caller) -> None:
        await asks(caller)
        await caller.hears_agent()
        await caller.quiet(1.0)
        await asks_and_listens(caller)

    played, _ = await heard(*deaf, scene=scene)
    (_, spoken), (asked, _), *_ = sorted([*played.caller_spans, *played.agent_spans])
    assert asked - spoken < DEAD_AIR
    assert played.said() == ["Are you still there?", ANSWER]
    (turn,) = played.turns()
    assert turn in (SAID, f"{SAID} {SAID}")


async def test_an_agent_that_would_hang_up_waits_as_long_as_it_was_told() -> None:
    async def scene(caller: Caller) -> None:
        await asks(caller)
        await caller.waits(9.0)

    played, _ = await heard(Vendor("a", "updates", at="start", troubled=99), scene=scene, idle={"say": []})
    assert played.said() == []
