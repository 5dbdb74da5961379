"""A stage for scenes of a conversation: real ears, mouth, agent and turn machine on a simulated leg, in virtual time.

Only the vendors are played: a recogniser that "hears" texts which the caller's audio stands for, a model and a voice
with stated delays.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import struct
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache as remember
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel

from voxtrad.audio._audioop import audioop
from voxtrad.audio.frames import FRAME_MS, frame_bytes, silence
from voxtrad.config.models import AgentConfig, ProviderChoice
from voxtrad.config.templates import Template
from voxtrad.conversation.analysis import Analyst
from voxtrad.conversation.call import Call, Handover
from voxtrad.conversation.dialogue import converse
from voxtrad.conversation.plan import Plan, Providers
from voxtrad.conversation.session import Session
from voxtrad.conversation.speech_cache import SpeechCache
from voxtrad.events.types import AgentResponse, CallEnded, DeadAir, Decision, Event, SilenceDetected, UserTranscript
from voxtrad.leg import Leg, LegInfo, ReceptionReport
from voxtrad.providers.base import (
    JSON,
    LLMEvent,
    Message,
    SpeechChunk,
    STTCapabilities,
    STTEvent,
    TextDelta,
    ToolCall,
    ToolSpec,
    Transcript,
    TTSCapabilities,
    TurnSignal,
    Unreachable,
    Usage,
    WordTiming,
)
from voxtrad.telephony.simulated import SimulatedLeg, SimulatedPort
from voxtrad.tools.base import CallActions, Declared, Outcome, Tool, ToolContext, ToolOptions
from voxtrad.tools.runner import ToolRunner

RATE = 8000
CHARS_PER_SECOND = 15.0


@remember
def tone(seconds: float, hz: float = 300.0, level: float = 0.3) -> bytes:
    """Sound that the scene's detector takes for speech."""
    count = round(seconds * RATE)
    return b"".join(
        struct.pack("<h", round(level * 32767 * math.sin(2 * math.pi * hz * n / RATE))) for n in range(count)
    )


NOTHING = "<nothing>"
"""Words that the recogniser never finds."""
FOREVER = math.inf


def later(seconds: float, what: Callable[..., object], *arguments: object) -> None:
    asyncio.get_running_loop().call_later(seconds, what, *arguments)


class LoudIsSpeech:
    """Voice activity: any sound is speech."""

    name = "loud"

    def open(self, *, rate: int) -> LoudIsSpeech:
        return self

    def voiced(self, frame: bytes) -> bool:
        return any(frame)


@dataclass
class Recogniser:
    """Hears what the scene says the caller said: partial words while speech lasts, the final `delay` after finalize.

    `delay` None: never a final transcript. `pieces` finals per utterance instead of one.
    """

    partials: bool = True
    delay: float | None = 0.3
    name: str = "recogniser"
    heard: bytearray = field(default_factory=bytearray)
    end_of_turn: bool = False
    punctuates: bool = False
    continuous: bool = True
    pieces: int = 1
    final_delay: float | None = None
    opening: float = 0.0
    broken: Exception | None = None
    closed: bool = False
    finalized: int = 0

    def __post_init__(self) -> None:
        self.capabilities = STTCapabilities(
            partials=self.partials,
            final_delay=self.final_delay if self.final_delay is not None else max(0.5, 0.25 + (self.delay or 0.0)),
            end_of_turn=self.end_of_turn,
            punctuates=self.punctuates,
            continuous=self.continuous,
        )
        self.events_out: asyncio.Queue[STTEvent | Exception | None] = asyncio.Queue()
        self.saying = ""

    async def open(self, *, rate: int, language: str, hints: Sequence[str] = ()) -> Recogniser:
        await asyncio.sleep(self.opening)
        if self.broken is not None:
            raise self.broken
        return self

    async def send(self, pcm: bytes) -> None:
        self.heard += pcm

    async def finalize(self) -> None:
        self.finalized += 1
        text, self.saying = self.saying, ""
        if text == NOTHING or self.delay is None or self.end_of_turn:
            return
        words = text.split()
        size = max(1, -(-len(words) // self.pieces))
        parts = [" ".join(words[i : i + size]) for i in range(0, len(words), size)] or [""]
        for n, part in enumerate(parts):
            later(self.delay + 0.05 * n, self.tell, Transcript(part, final=True, confidence=0.9))

    def tell(self, event: STTEvent | Exception | None) -> None:
        self.events_out.put_nowait(event)

    async def events(self) -> AsyncIterator[STTEvent]:
        while (event := await self.events_out.get()) is not None:
            if isinstance(event, Exception):
                raise event
            yield event

    async def aclose(self) -> None:
        self.closed = True
        self.events_out.put_nowait(None)


Answer = str | ToolCall | Usage | Exception | float
"""Text, a tool call, how many tokens it took, a failure, or seconds to wait."""


@dataclass
class Model:
    """Answers each request with the next of its answers; a word every `pace` seconds, the first after `delay`."""

    answers: list[Sequence[Answer]] = field(default_factory=list)
    delay: float = 0.2
    pace: float = 0.02
    name: str = "model"
    otherwise: Sequence[Answer] = ("All right.",)
    asked: list[list[Message]] = field(default_factory=list)
    cancelled: int = 0

    async def stream(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec] = (),
        *,
        variables: Mapping[str, Mapping[str, JSON]] | None = None,
    ) -> AsyncIterator[LLMEvent]:
        self.asked.append(list(messages))
        answer = self.answers.pop(0) if self.answers else self.otherwise
        try:
            await asyncio.sleep(self.delay)
            for item in answer:
                match item:
                    case str():
                        for word in item.split(" "):
                            yield TextDelta(word + " ")
                            await asyncio.sleep(self.pace)
                    case float() if item == FOREVER:
                        await asyncio.Event().wait()
                    case float():
                        await asyncio.sleep(item)
                    case ToolCall() | Usage():
                        yield item
                    case Exception():
                        raise item
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled += 1
            raise

    async def warm(self) -> None:
        pass

    async def aclose(self) -> None:
        pass


@dataclass
class Synthesis:
    """Speaks 15 characters a second as a tone, in pieces of 100 ms made at ten times the speed they are played at.

    `fails` and `stalls`: the beginning of a sentence, and the second of its audio at which that happens.
    """

    delay: float = 0.1
    alignment: bool = True
    name: str = "synthesis"
    fingerprint: str = "synthesis"
    fails: dict[str, float] = field(default_factory=dict)
    stalls: dict[str, float] = field(default_factory=dict)
    broken: Exception | None = None
    spoken: list[str] = field(default_factory=list)
    cancelled: int = 0
    open_voices: int = 0

    @property
    def capabilities(self) -> TTSCapabilities:
        return TTSCapabilities(alignment=self.alignment)

    async def open(self, *, rate: int, language: str) -> Synthesis:
        if self.broken is not None:
            raise self.broken
        self.open_voices += 1
        return self

    async def synthesize(self, text: str) -> AsyncIterator[SpeechChunk]:
        self.spoken.append(text)
        fails, stalls = _at(self.fails, text), _at(self.stalls, text)
        sound = voice_of(text)
        starts = [i for i, c in enumerate(text) if i == 0 or text[i - 1] == " "]
        step = RATE // 10 * 2
        try:
            await asyncio.sleep(self.delay)
            for at in range(0, len(sound), step):
                second = at / 2 / RATE
                if fails is not None and second >= fails:
                    raise Unreachable("the voice died", provider=self.name)
                if stalls is not None and second >= stalls:
                    await asyncio.Event().wait()
                words = tuple(
                    WordTiming(i, i / CHARS_PER_SECOND) for i in starts if second <= i / CHARS_PER_SECOND < second + 0.1
                )
                yield SpeechChunk(sound[at : at + step], words if self.alignment else ())
                await asyncio.sleep(0.01)
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled += 1
            raise

    async def aclose(self) -> None:
        self.open_voices -= 1


def voice_of(text: str) -> bytes:
    return tone(len(text) / CHARS_PER_SECOND, hz=200.0)


def _at(moments: Mapping[str, float], text: str) -> float | None:
    return next((second for start, second in moments.items() if text.startswith(start)), None)


@dataclass
class Job:
    """A tool that takes its time. Keeps what it was asked, and when it was done."""

    name: str = "look_up"
    seconds: float = 0.0
    outcome: Outcome | Exception = field(default_factory=lambda: Outcome({"status": "sent"}))
    say: str | None = None
    declared: bool = False
    runs: list[Mapping[str, JSON]] = field(default_factory=list)
    done: int = 0
    work: Callable[[CallActions], Awaitable[Outcome]] | None = None

    @property
    def spec(self) -> ToolSpec:
        return ToolSpec(self.name, "A tool of the scene.", {"type": "object", "properties": {}})

    @property
    def options(self) -> ToolOptions:
        return ToolOptions(timeout=60.0, say=Template(self.say) if self.say else None)

    async def run(self, arguments: Mapping[str, JSON], context: ToolContext, actions: CallActions) -> Outcome:
        self.runs.append(arguments)
        await asyncio.sleep(self.seconds)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        outcome = self.outcome if self.work is None else await self.work(actions)
        self.done += 1
        return outcome


def asks(tool: str = "look_up", call_id: str = "t1", **arguments: JSON) -> ToolCall:
    return ToolCall(call_id, tool, arguments)


class Caller:
    """What the scene's caller does."""

    def __init__(self, leg: SimulatedLeg, stt: Recogniser) -> None:
        self.leg = leg
        self.stt = stt

    async def says(
        self,
        text: str,
        seconds: float | None = None,
        *,
        partial_after: float = 0.15,
        level: float = 0.3,
        sign: float | None = None,
    ) -> None:
        """Speak; returns when it was said. Partial transcripts come while it is spoken.

        `sign`: seconds after it at which a recogniser that decides turns says that this one has ended.
        """
        words = text.split() if text != NOTHING else []
        seconds = seconds if seconds is not None else max(0.4, len(text) / CHARS_PER_SECOND)
        self.stt.saying = f"{self.stt.saying} {text}".strip() if words else self.stt.saying or text
        if self.stt.partials:
            for n in range(1, len(words) + 1):
                at = partial_after + (n - 1) * seconds / max(1, len(words))
                later(at, self.stt.tell, Transcript(" ".join(words[:n]), final=False))
        if sign is not None:
            later(seconds + sign, self.stt.tell, TurnSignal("end", text))
        await self.leg.say(tone(seconds, level=level))

    async def noise(self, seconds: float, level: float = 0.3) -> None:
        """Sound without words: a cough, a door."""
        await self.leg.say(tone(seconds, level=level))

    def recognised(self, text: str, *, final: bool = True, after: float = 0.0) -> None:
        """The recogniser gives a transcript, whatever was said."""
        later(after, self.stt.tell, Transcript(text, final=final))

    def signals(self, kind: Literal["started", "eager_end", "resumed", "end"], text: str, after: float = 0.0) -> None:
        later(after, self.stt.tell, TurnSignal(kind, text))

    async def waits(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def quiet(self, seconds: float = 0.5) -> None:
        """Wait until the agent has been silent for so long."""
        await self.leg.quiet(seconds)

    async def hears_agent(self) -> None:
        """Wait until the agent speaks."""
        await self.leg.spoken_to()

    async def answered(self, seconds: float = 0.5) -> None:
        """Wait until the agent has spoken, and is silent again."""
        await self.hears_agent()
        await self.quiet(seconds)

    def presses(self, keys: str, every: float = 0.3) -> None:
        for n, key in enumerate(keys):
            later(n * every, self.leg.press, key)


Scene = Callable[[Caller], Awaitable[None]]


def hangs_up_after(seconds: float, scene: Scene) -> Scene:
    """The scene, cut off by the caller's hanging up."""

    async def cut(caller: Caller) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await scene(caller)

    return cut


@dataclass
class Played:
    """What came of a scene."""

    call: Call
    leg: SimulatedLeg
    log: list[tuple[float, Event]]
    stt: Recogniser
    model: Model
    voice: Synthesis

    @property
    def events(self) -> list[Event]:
        return [event for _, event in self.log]

    def of(self, kind: type[EventT]) -> list[EventT]:
        return [event for event in self.events if isinstance(event, kind)]

    def at(self, kind: type[Event]) -> list[float]:
        """When such events were, in seconds since the media began."""
        return [at - self.leg.port.began for at, event in self.log if isinstance(event, kind)]

    def decided(self, *what: str) -> list[str]:
        """What was decided, in order; only these kinds if any are named."""
        return [e.what for e in self.of(Decision) if not what or e.what in what]

    def reasons(self, what: str) -> list[str]:
        return [e.reason for e in self.of(Decision) if e.what == what]

    def when(self, what: str) -> list[float]:
        """When it was decided, in seconds since the media began."""
        began = self.leg.port.began
        return [at - began for at, e in self.log if isinstance(e, Decision) and e.what == what]

    def dialogue(self) -> list[tuple[str, str]]:
        return [(m.role, m.content.strip()) for m in self.call.agent.history]

    def turns(self) -> list[str]:
        """What the caller said, turn by turn as they were handed over."""
        return [event.text for event in self.of(UserTranscript)]

    def said(self) -> list[str]:
        """What was heard of the agent."""
        return [event.text for event in self.of(AgentResponse)]

    @property
    def ended(self) -> CallEnded:
        (ended,) = self.of(CallEnded)
        return ended

    def spans(self, track: bytearray, gap: float = 0.03) -> list[tuple[float, float]]:
        """When a track holds sound, in seconds since the media began; shorter gaps do not count."""
        spans: list[tuple[float, float]] = []
        size = frame_bytes(RATE)
        for n in range(len(track) // size):
            if not any(track[n * size : (n + 1) * size]):
                continue
            at = n * 0.02
            if spans and at - spans[-1][1] <= gap:
                spans[-1] = (spans[-1][0], at + 0.02)
            else:
                spans.append((at, at + 0.02))
        return spans

    @property
    def agent_spans(self) -> list[tuple[float, float]]:
        return self.spans(self.leg.port.agent_track)

    @property
    def caller_spans(self) -> list[tuple[float, float]]:
        return self.spans(self.leg.port.caller_track)

    def silences(self) -> list[tuple[float, float]]:
        """When nobody spoke and it was the agent's to: after a turn of the caller's and before its answer was done."""
        owed: list[tuple[float, float]] = []
        since: float | None = None
        began = self.leg.port.began
        for at, event in self.log:
            if isinstance(event, UserTranscript) and since is None:
                since = at - began
            elif isinstance(event, AgentResponse | CallEnded | SilenceDetected) and since is not None:
                owed.append((since, at - began))
                since = None
        sounds = sorted([*self.agent_spans, *self.caller_spans])
        silences: list[tuple[float, float]] = []
        until = 0.0
        for start, end in [*sounds, (len(self.leg.port.agent_track) / 2 / RATE, math.inf)]:
            # A silence that begins in what is owed, or reaches into it from the caller's last sound.
            mine = [min(start, b) for a, b in owed if a < start and until < b]
            if mine and max(mine) > until:
                silences.append((until, max(mine)))
            until = max(until, end)
        return silences

    def longest_silence(self) -> float:
        return max((end - start for start, end in self.silences()), default=0.0)


class FarPort(SimulatedPort):
    """A port behind a network, as a PBX's: each order takes a while, and there is room for 8 s of audio only."""

    def __init__(self, rate: int, clock: Callable[[], float], lag: float) -> None:
        super().__init__(rate, clock)
        self._lag = lag
        self._orders = asyncio.Lock()
        self._epoch = 0

    async def play(self, pcm: bytes) -> None:
        epoch = self._epoch
        async with self.moved:
            await self.moved.wait_for(lambda: self.closed or self.queued - self.heard + len(pcm) // 2 <= 8 * RATE)
        async with self._orders:
            if epoch == self._epoch:
                await asyncio.sleep(self._lag / 10)
                await super().play(pcm)

    async def pause(self) -> None:
        async with self._orders:
            await asyncio.sleep(self._lag)
            await super().pause()

    async def resume(self) -> None:
        async with self._orders:
            await asyncio.sleep(self._lag)
            await super().resume()

    async def flush(self) -> int:
        self._epoch += 1
        async with self._orders:
            await asyncio.sleep(self._lag)
            heard = await super().flush()
            await asyncio.sleep(self._lag)
            return heard


class LossyPort(SimulatedPort):
    """A port behind a network that loses every `nth` frame from `begin` to `end`, in seconds; silence stands for it."""

    def __init__(self, rate: int, clock: Callable[[], float], nth: int, begin: float, end: float) -> None:
        super().__init__(rate, clock)
        self._clock = clock
        self._nth, self._begin, self._end = nth, clock() + begin, clock() + end
        self.reception = ReceptionReport()

    async def frames(self) -> AsyncIterator[bytes]:
        async for frame in super().frames():
            due, lost = self.reception.due + 1, self.reception.lost
            gone = self._begin <= self._clock() < self._end and not due % self._nth
            self.reception = ReceptionReport(due, lost + gone)
            yield bytes(len(frame)) if gone else frame


class ReverberantPort(SimulatedPort):
    """A port on which the agent's sound comes back `frames` later, as from a speakerphone behind two networks."""

    def __init__(self, rate: int, clock: Callable[[], float], frames: int, factor: float) -> None:
        super().__init__(rate, clock)
        self._under_way = deque([silence(rate, FRAME_MS)] * frames)
        self._factor = factor

    async def frames(self) -> AsyncIterator[bytes]:
        said, size = 0, frame_bytes(self.rate)
        async for frame in super().frames():
            self._under_way.append(bytes(self.agent_track[said : said + size]))
            said += size
            yield audioop.add(frame, audioop.mul(self._under_way.popleft(), 2, self._factor), 2)


EventT = TypeVar("EventT", bound=Event)
DEAD_AIR = 4.0


async def play(
    scene: Scene,
    *,
    config: Mapping[str, object] | None = None,
    stt: Recogniser | None = None,
    model: Model | None = None,
    voice: Synthesis | None = None,
    tools: Sequence[Job | Tool] = (),
    dialogue: Callable[[Call], Awaitable[None]] = converse,
    handover: Handover | None = None,
    cached: Sequence[str] = (),
    echo: float = 0.0,
    echo_after: int = 0,
    lag: float = 0.0,
    loss: tuple[int, float, float] | None = None,
    dead_air: bool = False,
    destinations: Sequence[str] = ("reception",),
    recordings: Path | None = None,
    unrecordable: str = "",
    analyst: Analyst | None = None,
) -> Played:
    """Run a scene: the caller is `scene`, and the call ends when it returns.

    Whatever the scene: nothing may be left of it and, unless `dead_air` is expected, the agent is never silent so long.
    """
    loop = asyncio.get_running_loop()
    clock = loop.time
    stt, model, voice = stt or Recogniser(), model or Model(), voice or Synthesis()
    settings = agent_config(**(config or {}))
    cache = SpeechCache(None)
    for text in (*settings.filler, settings.apology, *cached):
        cache.voice(voice.fingerprint, settings.language, RATE).put(text, voice_of(text))
    log: list[tuple[float, Event]] = []
    info = LegInfo(id="leg", channel="Simulated/1", caller="100", dialled="1000")
    leg = SimulatedLeg(info, lambda leg: scene(Caller(leg, stt)), rate=RATE, clock=clock)
    if lag:
        leg.port = FarPort(RATE, clock, lag)
    if loss is not None:
        leg.port = LossyPort(RATE, clock, *loss)
    if echo_after:
        leg.port = ReverberantPort(RATE, clock, echo_after, echo)
    else:
        leg.port.echo = echo
    leg.unrecordable = unrecordable

    def publish(event: Event) -> None:
        log.append((clock(), event))

    def toolbox(
        facts: Mapping[str, JSON], actions: CallActions, group: asyncio.TaskGroup, publish: Callable[[Event], None]
    ) -> ToolRunner:
        boxes: dict[str, Tool] = {
            tool.spec.name: Declared(tool.spec) if isinstance(tool, Job) and tool.declared else tool for tool in tools
        }
        return ToolRunner(boxes, call=facts, destinations=destinations, actions=actions, group=group, publish=publish)

    async def nowhere(call: Call, leg: Leg, name: str) -> None:
        raise AssertionError(f"nobody is handed over in this scene, yet {name}")

    plan = Plan(
        call_id="c_1",
        config=settings,
        providers=Providers(stt, model, voice, LoudIsSpeech()),
        dialogue=dialogue,
        kept=cache.voice,
        toolbox=toolbox,
        handover=handover or nowhere,
        variables={},
        recordings=recordings,
        analyst=analyst,
    )
    session = Session(leg, plan, publish=publish, clock=clock)
    await session.run()
    await session.wrap_up()
    if leg.failure is not None:
        raise leg.failure
    assert session.call is not None
    played = Played(session.call, leg, log, stt, model, voice)
    left = {task for task in asyncio.all_tasks() if not task.get_name().startswith("probe-")}  # not the call's
    assert left == {asyncio.current_task()}, "nothing of a call may be left"
    assert voice.open_voices == 0, "a voice was left open"
    _assert_history_is_sound(played.call.agent.history)
    users = [text for role, text in played.dialogue() if role == "user"]
    told = [line["text"] for line in played.ended.transcript if line["speaker"] == "caller"]
    assert told == users or not users, f"told of the caller: {told}, and kept: {users}\n{timeline(played)}"
    for at in played.when("fill"):
        assert not any(start < at - 0.02 < end for start, end in played.agent_spans), (
            f"filled no silence\n{timeline(played)}"
        )
    if not dead_air:
        assert played.longest_silence() < DEAD_AIR, f"dead air: {played.silences()}\n{timeline(played)}"
        assert not played.of(DeadAir), timeline(played)
    return played


def _assert_history_is_sound(history: Sequence[Message]) -> None:
    """What every LLM API demands: a result for each tool call, right behind it, and no result without a call."""
    awaited: list[str] = []
    for message in history:
        if message.role == "tool":
            assert message.tool_call_id in awaited, f"a result without a call: {history}"
            awaited.remove(message.tool_call_id)
            continue
        assert not awaited, f"tool calls without a result: {history}"
        awaited = [call.id for call in message.tool_calls]
        assert message.content.strip() or awaited, f"an empty message: {history}"
    assert not awaited, f"tool calls without a result: {history}"


class _Nothing(BaseModel):
    """The options of a provider that the scene plays."""


def agent_config(**values: object) -> AgentConfig:
    """An agent with the language's defaults."""
    choice = ProviderChoice(provider="played", type="played", connection=_Nothing(), options=_Nothing())
    played = {"stt": [choice], "llm": [choice], "tts": [choice], "vad": choice}
    return AgentConfig.model_validate({"name": "support", "greeting": "", **played, **values})


def timeline(played: Played) -> str:
    """The call's decisions, to print."""
    return "\n".join(f"{e.at:7.3f}  {e.what:18} {e.reason}" for e in played.of(Decision))
