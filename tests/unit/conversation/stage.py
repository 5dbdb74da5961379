"""A stage for scenes of a conversation: real ears, mouth, agent and turn machine on a simulated leg, in virtual time.

Only the vendors are played: a recogniser that "hears" texts which the caller's audio stands for, a model and a voice
with stated delays.
"""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel

from voxtrad.config.models import AgentConfig, ProviderChoice
from voxtrad.conversation.call import Call
from voxtrad.conversation.dialogue import converse
from voxtrad.conversation.session import Plan, Providers, Session
from voxtrad.conversation.speech_cache import SpeechCache
from voxtrad.events.types import Decision, Event
from voxtrad.leg import LegInfo
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
    Unreachable,
    WordTiming,
)
from voxtrad.telephony.simulated import SimulatedLeg
from voxtrad.tools.base import CallActions
from voxtrad.tools.runner import ToolRunner

RATE = 8000
CHARS_PER_SECOND = 15.0


def tone(seconds: float, hz: float = 300.0, level: float = 0.3) -> bytes:
    """Sound that the scene's detector takes for speech."""
    count = round(seconds * RATE)
    return b"".join(
        struct.pack("<h", round(level * 32767 * math.sin(2 * math.pi * hz * n / RATE))) for n in range(count)
    )


class LoudIsSpeech:
    """Voice activity: any sound is speech."""

    name = "loud"

    def open(self, *, rate: int) -> LoudIsSpeech:
        return self

    def voiced(self, frame: bytes) -> bool:
        return any(frame)


@dataclass
class Recogniser:
    """Hears what the scene says the caller said: partial words while speech lasts, the final `delay` after finalize."""

    partials: bool = True
    delay: float = 0.3
    name: str = "recogniser"
    heard: bytearray = field(default_factory=bytearray)
    end_of_turn: bool = False

    def __post_init__(self) -> None:
        self.capabilities = STTCapabilities(
            partials=self.partials, final_delay=max(0.5, self.delay), end_of_turn=self.end_of_turn
        )
        self.events_out: asyncio.Queue[STTEvent | Exception | None] = asyncio.Queue()
        self.saying = ""

    async def open(self, *, rate: int, language: str, hints: Sequence[str] = ()) -> Recogniser:
        return self

    async def send(self, pcm: bytes) -> None:
        self.heard += pcm

    async def finalize(self) -> None:
        text, self.saying = self.saying, ""
        if text != "<nothing>":
            asyncio.get_running_loop().call_later(self.delay, self.tell, Transcript(text, final=True))

    def tell(self, event: STTEvent | Exception) -> None:
        self.events_out.put_nowait(event)

    async def events(self) -> AsyncIterator[STTEvent]:
        while (event := await self.events_out.get()) is not None:
            if isinstance(event, Exception):
                raise event
            yield event

    async def aclose(self) -> None:
        self.events_out.put_nowait(None)


Answer = str | ToolCall | Exception | float
"""Text, a tool call, a failure, or seconds to wait."""


@dataclass
class Model:
    """Answers each request with the next of its answers; a word every `pace` seconds, the first after `delay`."""

    answers: list[Sequence[Answer]] = field(default_factory=list)
    delay: float = 0.2
    pace: float = 0.02
    name: str = "model"
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
        answer = self.answers.pop(0) if self.answers else ["All right."]
        try:
            await asyncio.sleep(self.delay)
            for item in answer:
                match item:
                    case str():
                        for word in item.split(" "):
                            yield TextDelta(word + " ")
                            await asyncio.sleep(self.pace)
                    case float():
                        await asyncio.sleep(item)
                    case ToolCall():
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
    """Speaks 15 characters a second as a tone, in pieces of 100 ms made at ten times the speed they are played at."""

    delay: float = 0.1
    alignment: bool = True
    name: str = "synthesis"
    fingerprint: str = "synthesis"
    fails_after: dict[str, float] = field(default_factory=dict)
    spoken: list[str] = field(default_factory=list)
    cancelled: int = 0

    @property
    def capabilities(self) -> TTSCapabilities:
        return TTSCapabilities(alignment=self.alignment)

    async def open(self, *, rate: int, language: str) -> Synthesis:
        return self

    async def synthesize(self, text: str) -> AsyncIterator[SpeechChunk]:
        self.spoken.append(text)
        failure = next((after for start, after in self.fails_after.items() if text.startswith(start)), None)
        sound = tone(len(text) / CHARS_PER_SECOND, hz=200.0)
        starts = [i for i, c in enumerate(text) if i == 0 or text[i - 1] == " "]
        step = RATE // 10 * 2
        try:
            await asyncio.sleep(self.delay)
            for at in range(0, len(sound), step):
                second = at / 2 / RATE
                if failure is not None and second >= failure:
                    raise Unreachable("the voice died", provider=self.name)
                words = tuple(
                    WordTiming(i, i / CHARS_PER_SECOND) for i in starts if second <= i / CHARS_PER_SECOND < second + 0.1
                )
                yield SpeechChunk(sound[at : at + step], words if self.alignment else ())
                await asyncio.sleep(0.01)
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled += 1
            raise

    async def aclose(self) -> None:
        pass


class Caller:
    """What the scene's caller does."""

    def __init__(self, leg: SimulatedLeg, stt: Recogniser) -> None:
        self.leg = leg
        self.stt = stt

    async def says(self, text: str, seconds: float | None = None, *, partial_after: float = 0.15) -> None:
        """Speak; returns when it was said. Partial transcripts come while it is spoken."""
        words = text.split() if text != "<nothing>" else []
        seconds = seconds if seconds is not None else max(0.4, len(text) / CHARS_PER_SECOND)
        self.stt.saying = f"{self.stt.saying} {text}".strip() if words else self.stt.saying or text
        loop = asyncio.get_running_loop()
        if self.stt.partials:
            for n in range(1, len(words) + 1):
                at = partial_after + (n - 1) * seconds / max(1, len(words))
                loop.call_later(at, self.stt.tell, Transcript(" ".join(words[:n]), final=False))
        await self.leg.say(tone(seconds))

    async def noise(self, seconds: float) -> None:
        """Sound without words: a cough, a door."""
        self.stt.saying = self.stt.saying or ""
        await self.leg.say(tone(seconds))

    async def waits(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def quiet(self, seconds: float = 0.5) -> None:
        """Wait until the agent has been silent for so long."""
        await self.leg.quiet(seconds)

    async def hears_agent(self) -> None:
        """Wait until the agent speaks."""
        await self.leg.spoken_to()


Scene = Callable[[Caller], Awaitable[None]]


@dataclass
class Played:
    """What came of a scene."""

    call: Call
    leg: SimulatedLeg
    events: list[Event]
    stt: Recogniser
    model: Model
    voice: Synthesis

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    def dialogue(self) -> list[tuple[str, str]]:
        return [(m.role, m.content.strip()) for m in self.call.agent.history]


async def play(
    scene: Scene,
    *,
    config: Mapping[str, object] | None = None,
    stt: Recogniser | None = None,
    model: Model | None = None,
    voice: Synthesis | None = None,
    tools: Mapping[str, object] | None = None,
    dialogue: Callable[[Call], Awaitable[None]] = converse,
    cached: Sequence[str] = (),
) -> Played:
    """Run a scene: the caller is `scene`, and the call ends when it returns."""
    clock = asyncio.get_running_loop().time
    stt, model, voice = stt or Recogniser(), model or Model(), voice or Synthesis()
    cache = SpeechCache(None)
    for text in cached:
        cache.voice(voice.fingerprint, RATE).put(text, tone(len(text) / CHARS_PER_SECOND, hz=200.0))
    events: list[Event] = []
    info = LegInfo(id="leg", channel="Simulated/1", caller="100", dialled="1000")
    leg = SimulatedLeg(info, lambda leg: scene(Caller(leg, stt)), rate=RATE, clock=clock)

    def toolbox(facts: Mapping[str, JSON], actions: CallActions, group: asyncio.TaskGroup) -> ToolRunner:
        return ToolRunner(tools or {}, call=facts, actions=actions, group=group, publish=events.append)  # type: ignore[arg-type]

    async def nowhere(call: Call, leg: object, name: str) -> None:
        raise AssertionError(f"nobody handed over in this scene, yet {name}")

    plan = Plan(
        call_id="c_1",
        config=agent_config(**(config or {})),
        providers=Providers(stt, model, voice, LoudIsSpeech()),
        dialogue=dialogue,
        kept=cache.voice,
        toolbox=toolbox,
        handover=nowhere,
        variables={},
    )
    session = Session(leg, plan, publish=events.append, clock=clock)
    await session.run()
    if leg.failure is not None:
        raise leg.failure
    assert session.call is not None
    assert asyncio.all_tasks() == {asyncio.current_task()}, "nothing of a call may be left"
    return Played(session.call, leg, events, stt, model, voice)


class _Nothing(BaseModel):
    """The options of a provider that the scene plays."""


def agent_config(**values: object) -> AgentConfig:
    """An agent with the language's defaults."""
    choice = ProviderChoice(provider="played", type="played", connection=_Nothing(), options=_Nothing())
    played = {"stt": [choice], "llm": [choice], "tts": [choice], "vad": choice}
    return AgentConfig.model_validate({"name": "support", "greeting": "", **played, **values})


def timeline(played: Played) -> str:
    """The call's decisions, to print."""
    return "\n".join(f"{e.at:7.3f}  {e.what:18} {e.reason}" for e in played.events if isinstance(e, Decision))
