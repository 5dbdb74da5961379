"""The line between a caller and an agent: ears and mouth, connected while the agent is with the caller.

It opens the leg's audio and the providers' streams, keeps audio moving through them, and closes all of it while people
talk with each other. What is said on it is the dialogue's business.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from math import inf
from typing import TypeVar

from voxtrad.config.models import AgentConfig
from voxtrad.conversation.call import Call
from voxtrad.conversation.discretion import Discreet
from voxtrad.conversation.filler import Filler
from voxtrad.conversation.floor import TurnPolicy
from voxtrad.conversation.line_quality import EVERY, LineQuality
from voxtrad.conversation.listener import Listener
from voxtrad.conversation.plan import Plan
from voxtrad.conversation.report import Reporter
from voxtrad.conversation.speaker import Speaker
from voxtrad.conversation.speech_text import SpeechText
from voxtrad.conversation.turns import TurnMachine
from voxtrad.finishing import finished
from voxtrad.leg import Leg, LegError, Lossy, MediaPort
from voxtrad.providers.base import STTCapabilities, Substitutes, TranscriptStream, Voice
from voxtrad.providers.opening import open_stream, open_voice

T = TypeVar("T")

SETUP = 15.0
"""Seconds that the providers have to connect, before the call is answered."""
GRACE = 2.0
"""Seconds within which the leg tells that the caller has hung up, after the audio has ended."""


class Line:
    """One agent's line. It lives in the conversation's task group, and what breaks on it breaks there."""

    def __init__(
        self,
        leg: Leg,
        plan: Plan,
        call: Call,
        reporter: Reporter,
        group: asyncio.TaskGroup,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._leg = leg
        self._plan = plan
        self._call = call
        self._reporter = reporter
        self._group = group
        self._clock = clock
        self._filler = Filler(call)
        self._listener: Listener | None = None
        self._task: asyncio.Task[None] | None = None
        self.port: MediaPort | None = None
        """The caller's audio, as long as it is connected."""

    async def connect(self) -> None:
        """Returns when the agent can hear and speak."""
        ready = asyncio.get_running_loop().create_future()
        self._task = task = self._group.create_task(self._run(ready), name="line")
        try:
            await ready
        except asyncio.CancelledError:
            if not task.done():  # or else it has failed, and the conversation with it
                await finished(self.disconnect())
            raise

    async def disconnect(self) -> None:
        """Ears and mouth are gone; the leg's audio is for others to close."""
        task, self._task = self._task, None
        self.port = None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def silence_left(self) -> float:
        """Seconds that the agent has until the caller has heard nothing for too long; unlimited where it can fill."""
        if self._listener is None or self.port is None:
            return inf
        plan = self._plan
        kept = plan.kept(plan.providers.tts.fingerprint, plan.config.language, self.port.rate, self.port.codec)
        return inf if self._filler.ready(kept) else self._listener.silence_left()

    async def _run(self, ready: asyncio.Future[None]) -> None:
        call = self._call
        try:
            wideband = self._plan.providers.stt.capabilities.wideband
            port = self.port = await self._leg.open_media(wideband=wideband)
            async with self._opened(port) as (stt, voice):
                listener, speaker = self._attach(port, stt, voice)
                self._listener = listener
                if not ready.done():  # whoever waited may be gone, and about to end this
                    ready.set_result(None)
                async with asyncio.TaskGroup() as group:
                    beside = [group.create_task(self._filler.run(speaker))]
                    if isinstance(port, Lossy):
                        beside.append(group.create_task(self._watch_reception(port)))
                    await self._hear(listener)
                    for task in beside:
                        task.cancel()
        finally:
            self._listener = None
            call.detach()
            if not ready.done():
                ready.cancel()

    @contextlib.asynccontextmanager
    async def _opened(self, port: MediaPort) -> AsyncIterator[tuple[TranscriptStream, Voice]]:
        """Everything that a turn needs is connected before the call is answered."""
        providers, config = self._plan.providers, self._plan.config
        rate, codec = port.rate, port.codec
        async with contextlib.AsyncExitStack() as stack:

            async def hear() -> TranscriptStream:
                stt = await open_stream(
                    providers.stt, rate=rate, language=config.language, hints=self._plan.hints, codec=codec
                )
                stack.push_async_callback(stt.aclose)
                return stt

            async def speak() -> Voice:
                tts = hurried(providers.tts, self.silence_left)
                voice = await open_voice(tts, rate=rate, language=config.language, codec=codec)
                stack.push_async_callback(voice.aclose)
                return voice

            async with asyncio.timeout(SETUP), asyncio.TaskGroup() as group:
                hearing, speaking = group.create_task(hear()), group.create_task(speak())
                group.create_task(providers.llm.warm())
            yield hearing.result(), speaking.result()

    def _attach(self, port: MediaPort, stt: TranscriptStream, voice: Voice) -> tuple[Listener, Speaker]:
        config, providers, call = self._plan.config, self._plan.providers, self._call
        audience = _Audience(self._reporter)
        speaker = Speaker(
            port,
            voice,
            language=config.language,
            kept=self._plan.kept(providers.tts.fingerprint, config.language, port.rate, port.codec),
            audience=audience,
            clock=self._clock,
        )
        listener = audience.listener = Listener(
            port,
            providers.vad.open(rate=port.rate),
            Discreet(stt, config.language, secret=lambda: call.discreet, saying=lambda: speaker.saying),
            providers.stt.capabilities,
            TurnMachine(policy_of(config, providers.stt.capabilities)),
            mouth=speaker,
            drafts=call.agent,
            witness=self._reporter,
            fill=self._filler.want,
            clock=self._clock,
        )
        call.attach(speaker, listener)
        return listener, speaker

    async def _watch_reception(self, port: Lossy) -> None:
        """Tell from time to time how the caller's audio comes, and at the end once more."""
        quality = LineQuality()

        def tell() -> None:
            report = port.reception
            self._reporter.received(quality.news(report), quality.change(report))

        try:
            while True:
                await asyncio.sleep(EVERY)
                tell()
        finally:
            tell()

    async def _hear(self, listener: Listener) -> None:
        """The ears, as long as there is audio. A caller who hung up is told by the leg, in its own time."""
        await listener.run()
        try:
            async with asyncio.timeout(GRACE):
                await self._call.over.wait()
        except TimeoutError:
            raise LegError("the media connection was lost") from None


def hurried(provider: T, left: Callable[[], float]) -> T:
    """A provider that replaces whoever is late, sooner where the caller would be left in silence: `left` seconds."""
    return provider.hurried(left) if isinstance(provider, Substitutes) else provider


class _Audience:
    """The ears, and those who watch, are told when the mouth is heard."""

    listener: Listener
    """Set before anything is said: ears and mouth know each other."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter

    async def agent_audible(self, interruptible: bool) -> None:
        self._reporter.audible()
        await self.listener.agent_audible(interruptible)

    async def agent_filled(self) -> None:
        self._reporter.silenced()
        await self.listener.agent_filled()

    async def agent_played(self, text: str) -> None:
        await self.listener.agent_played(text)

    def agent_starved(self) -> None:
        self._reporter.starved()


async def speech_of(plan: Plan, text: str, rate: int, *, within: float) -> bytes:
    """The agent's voice saying a text: kept from before, or synthesized for up to `within` seconds.

    Raises `ProviderError`, and `TimeoutError`.
    """
    tts, language = plan.providers.tts, plan.config.language
    pcm = plan.kept(tts.fingerprint, language, rate, "linear").get(text)
    if pcm is not None:
        return pcm
    cutter = SpeechText(language)
    async with asyncio.timeout(within):
        voice = await tts.open(rate=rate, language=language)
        try:
            sentences = [sentence.text for sentence in (*cutter.push(text), *cutter.flush()) if sentence.text]
            return b"".join([chunk.pcm for sentence in sentences async for chunk in voice.synthesize(sentence)])
        finally:
            await voice.aclose()


def policy_of(config: AgentConfig, capabilities: STTCapabilities) -> TurnPolicy:
    """The agent's settings for turns, with what its recogniser can do."""
    turn, interrupt = config.turn, config.interrupt
    return TurnPolicy(
        language=config.language,
        min_silence=turn.min_silence,
        max_silence=turn.max_silence,
        speculate=turn.speculate,
        interrupt=interrupt.enabled,
        pause_after=interrupt.pause_after,
        min_speech=interrupt.min_speech,
        min_words=interrupt.min_words,
        ignore=interrupt.ignore,
        resume_after=interrupt.resume_after,
        fill_after=config.fill.after,
        fill_every=config.fill.every,
        dead_air=config.fill.dead_air,
        nudges=bool(config.idle.say) and config.idle.max > 0,
        partials=capabilities.partials,
        end_of_turn=capabilities.end_of_turn,
        punctuates=capabilities.punctuates,
        final_delay=capabilities.final_delay,
    )
