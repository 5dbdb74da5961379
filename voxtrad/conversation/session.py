"""The life of one call, from the ring to nothing left: two scopes, one inside the other.

The call scope holds the leg and outlives the conversation; the conversation scope holds ears, agent and mouth, and may
break. Then the call scope tells the caller so, in the cached voice, and leads them on as the agent's `on_failure` says.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from voxtrad.audio.frames import Framer
from voxtrad.config.models import AgentConfig
from voxtrad.conversation.actions import Actions
from voxtrad.conversation.agent import Agent, Toolbox
from voxtrad.conversation.call import Call, Ending, Handover
from voxtrad.conversation.failures import single
from voxtrad.conversation.floor import TurnPolicy
from voxtrad.conversation.listener import Listener
from voxtrad.conversation.report import Reporter
from voxtrad.conversation.speaker import Speaker
from voxtrad.conversation.spoken import Spoken, SpokenAudio
from voxtrad.conversation.turns import TurnMachine
from voxtrad.errors import VoxtradError
from voxtrad.events.types import Event
from voxtrad.leg import Digit, Leg, LegError, LegGone, MediaPort
from voxtrad.providers.base import (
    JSON,
    LanguageModel,
    SpeechToText,
    STTCapabilities,
    TextToSpeech,
    TranscriptStream,
    Voice,
    VoiceActivityDetector,
)
from voxtrad.tools.base import CallActions

log = structlog.stdlib.get_logger(__name__)

SETUP = 15.0
"""Seconds that the providers have to connect, before the call is answered."""
FAREWELL = 5.0
"""Seconds that a dialogue has to end by itself after the caller is gone."""
GRACE = 2.0
"""Seconds within which the leg tells that the caller has hung up, after the audio has ended."""
APOLOGY = 3.0
"""Seconds for synthesizing an apology that was not kept: better none than silence."""
WRAP_UP = 10.0
"""Seconds that tools under way have to finish after the call."""

Dialogue = Callable[[Call], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Providers:
    """What one agent hears, thinks and speaks with."""

    stt: SpeechToText
    llm: LanguageModel
    tts: TextToSpeech
    vad: VoiceActivityDetector


@dataclass(frozen=True, slots=True)
class Plan:
    """All that is decided about a call before it begins."""

    call_id: str
    config: AgentConfig
    providers: Providers
    dialogue: Dialogue
    kept: Callable[[str, int], SpokenAudio]
    """Audio kept from before, for a synthesis' fingerprint and a sample rate."""
    toolbox: Callable[[Mapping[str, JSON], CallActions, asyncio.TaskGroup], Toolbox]
    """Makes the agent's tools for a call, from its facts (`call.`), what they may do with the caller, and where
    they run."""
    handover: Handover
    variables: Mapping[str, JSON]
    hints: Sequence[str] = ()
    """What the caller is likely to say."""


class Session:
    """One call under supervision. `run` never raises for what happens on the call."""

    def __init__(self, leg: Leg, plan: Plan, *, publish: Callable[[Event], None], clock: Callable[[], float]) -> None:
        self.leg = leg
        self.plan = plan
        self._publish = publish
        self._clock = clock
        providers = plan.providers
        names = {"stt": providers.stt.name, "llm": providers.llm.name, "tts": providers.tts.name}
        self.reporter = Reporter(plan.call_id, plan.config.name, publish=publish, clock=clock, providers=names)
        self.call: Call | None = None
        self._port: MediaPort | None = None
        self._ending = Ending("failed", "the server stopped")

    async def run(self) -> None:
        """Carry the call to its end. Cancelling ends the conversation and leaves the leg to its carrier."""
        info = self.leg.info
        self.reporter.started(info)
        log.info("call", caller=info.caller, dialled=info.dialled, channel=info.channel, agent=self.plan.config.name)
        try:
            async with asyncio.TaskGroup() as group:
                watching: asyncio.Task[None] | None = None
                try:
                    async with self._work() as work:
                        call = self.call = self._call(work)
                        watching = group.create_task(self._watch(call))
                        await self._conversation(call)
                        await self._clear()
                except Exception as error:  # noqa: BLE001 - the outermost supervisor of a call: no caller is left in silence
                    await self._broken(single(error))
                if watching is not None:
                    watching.cancel()
        finally:
            await self._clear()
            ending = (self.call.ending if self.call is not None else None) or self._ending
            self.reporter.ended(ending.outcome, ending.reason)
            log.info("call ended", outcome=ending.outcome, reason=ending.reason, seconds=self.reporter.since())

    @contextlib.asynccontextmanager
    async def _work(self) -> AsyncIterator[asyncio.TaskGroup]:
        """Where tools and drafts run. What is under way when the conversation has ended may finish, for a while."""
        try:
            async with asyncio.timeout(None) as patience:
                async with asyncio.TaskGroup() as group:
                    yield group
                    patience.reschedule(asyncio.get_running_loop().time() + WRAP_UP)
        except TimeoutError:
            if not patience.expired():
                raise
            log.warning("tools were stopped: the call is over", seconds=WRAP_UP)

    def hang_up(self, outcome_reason: str) -> None:
        """End the call from outside (an administrator, a server that stops)."""
        if self.call is not None:
            self.call.ended("completed", outcome_reason)

    # --- the call scope -----------------------------------------------------------------------------------------------

    def _call(self, group: asyncio.TaskGroup) -> Call:
        plan, info = self.plan, self.leg.info
        facts: dict[str, JSON] = {
            "id": plan.call_id,
            "from": info.caller,
            "to": info.dialled,
            "agent": plan.config.name,
            "direction": info.direction,
            "channel": info.channel,
            "linkedid": info.linkedid,
        }
        actions = Actions()
        agent = Agent(
            plan.config.name,
            plan.config.prompt,
            plan.providers.llm,
            plan.toolbox(facts, actions, group),
            call=facts,
            variables={**plan.config.variables, **plan.variables},
            group=group,
            publish=self._publish,
            clock=self._clock,
        )
        call = Call(plan.call_id, self.leg, plan.config, agent, self.reporter, plan.handover, clock=self._clock)
        actions.attach(call, self.leg)
        return call

    async def _watch(self, call: Call) -> None:
        """Keys, and the end of the leg."""
        async for event in self.leg.events():
            if isinstance(event, Digit):
                await call.key(event.digit)
            else:
                call.ended("caller_hangup", event.cause)

    async def _clear(self) -> None:
        """Leave nothing of the leg behind. A call that was cut off in the middle is its carrier's to lead on."""
        self.reporter.over()
        if self.call is not None and self.call.state == "ended":
            with contextlib.suppress(LegError):
                await self.leg.hang_up()
        await self.leg.release()

    # --- the conversation scope ---------------------------------------------------------------------------------------

    async def _conversation(self, call: Call) -> None:
        """From the ring to the end of the conversation. Never raises: what breaks, breaks in here."""
        try:
            port = self._port = await self.leg.open_media()
            async with self._opened(port.rate) as (stt, voice):
                await self._converse(call, port, stt, voice)
        except Exception as error:  # noqa: BLE001 - the outermost supervisor of a conversation, as `run` is of the call
            await self._broken(single(error))

    @contextlib.asynccontextmanager
    async def _opened(self, rate: int) -> AsyncIterator[tuple[TranscriptStream, Voice]]:
        """Everything that a turn needs is connected before the call is answered."""
        providers, config = self.plan.providers, self.plan.config
        async with contextlib.AsyncExitStack() as stack:

            async def hear() -> TranscriptStream:
                stt = await providers.stt.open(rate=rate, language=config.language, hints=self.plan.hints)
                stack.push_async_callback(stt.aclose)
                return stt

            async def speak() -> Voice:
                voice = await providers.tts.open(rate=rate, language=config.language)
                stack.push_async_callback(voice.aclose)
                return voice

            async with asyncio.timeout(SETUP), asyncio.TaskGroup() as group:
                hearing, speaking = group.create_task(hear()), group.create_task(speak())
                group.create_task(providers.llm.warm())
            yield hearing.result(), speaking.result()

    async def _converse(self, call: Call, port: MediaPort, stt: TranscriptStream, voice: Voice) -> None:
        config, providers = self.plan.config, self.plan.providers
        speaker = Speaker(
            port,
            voice,
            language=config.language,
            kept=self.plan.kept(providers.tts.fingerprint, port.rate),
            audience=call,
            clock=self._clock,
        )
        listener = Listener(
            port,
            providers.vad.open(rate=port.rate),
            stt,
            providers.stt.capabilities,
            TurnMachine(policy_of(config, providers.stt.capabilities)),
            mouth=speaker,
            drafts=call.agent,
            witness=self.reporter,
            fill=call.want_filler,
            clock=self._clock,
        )
        call.attach(speaker, listener)
        async with asyncio.TaskGroup() as group:
            others = [
                group.create_task(self._hear(call, listener)),
                group.create_task(self._limit(call)),
                group.create_task(call.keep_from_silence()),
            ]
            over = group.create_task(call.over.wait())
            talking = group.create_task(_as_coroutine(self.plan.dialogue(call)))
            await asyncio.wait([talking, over], return_when=asyncio.FIRST_COMPLETED)
            if not talking.done():
                await speaker.flush()
                await asyncio.wait([talking], timeout=FAREWELL)
                talking.cancel()
            call.agent.forget_draft()
            for task in (*others, over):
                task.cancel()
        call.ended("completed", "the dialogue ended")

    async def _hear(self, call: Call, listener: Listener) -> None:
        """The ears, as long as there is audio. A caller who hung up is told by the leg, in its own time."""
        await listener.run()
        try:
            async with asyncio.timeout(GRACE):
                await call.over.wait()
        except TimeoutError:
            raise LegError("the media connection was lost") from None

    async def _limit(self, call: Call) -> None:
        await asyncio.sleep(call.config.max_duration)
        call.ended("max_duration", f"the call lasted {call.config.max_duration:g} s")

    # --- when it breaks -----------------------------------------------------------------------------------------------

    async def _broken(self, error: Exception) -> None:
        """Say sorry and lead the caller on."""
        call = self.call
        if isinstance(error, LegGone) and call is not None:
            call.ended("caller_hangup", error.message)
        expected = isinstance(error, VoxtradError)
        reason = str(error) if expected else f"internal error: {type(error).__name__}"
        if call is not None and call.ending is not None:
            if not expected:
                log.error("the conversation broke after the call had ended", exc_info=error)
            return
        log.error("the conversation broke", reason=reason, exc_info=None if expected else error)
        self._ending = Ending("failed", reason)
        self.reporter.failed(reason)
        self.reporter.error("conversation", reason)
        with contextlib.suppress(LegError):
            await self.leg.answer()
            if call is None:
                await self.leg.proceed(context=None, extension=None, priority=None)
                return
            call.failing(reason)
            if self._port is not None:
                await self._apologise(call, self._port)
            await self._lead_on(call)
        if call is not None:
            call.ended("failed", reason)

    async def _apologise(self, call: Call, port: MediaPort) -> None:
        try:
            apology = call.render(call.config.apology)
            pcm = await self._voice_of(apology, port.rate) if apology.strip() else b""
        except (VoxtradError, TimeoutError) as error:
            log.warning("no voice for the apology, and it was not synthesized before", reason=str(error))
            return
        if call.ending is not None or not pcm:
            return
        framer = Framer(port.rate)
        began = self._clock()
        await port.flush()
        await port.play(framer.push(pcm) + framer.flush())
        await port.drained()
        call.agent.writer.said(apology, interrupted=False)
        seconds = len(pcm) / 2 / port.rate
        self.reporter.said(Spoken(apology, apology, interrupted=False, seconds=seconds, audible_at=began))

    async def _voice_of(self, text: str, rate: int) -> bytes:
        """The audio of a text: kept from before, or from a synthesis that may still work. Raises `ProviderError`."""
        tts = self.plan.providers.tts
        pcm = self.plan.kept(tts.fingerprint, rate).get(text)
        if pcm is not None:
            return pcm
        async with asyncio.timeout(APOLOGY):
            voice = await tts.open(rate=rate, language=self.plan.config.language)
            try:
                return b"".join([chunk.pcm async for chunk in voice.synthesize(text)])
            finally:
                await voice.aclose()

    async def _lead_on(self, call: Call) -> None:
        on_failure = call.config.on_failure
        if call.ending is not None:
            return
        if on_failure.transfer is not None:
            try:
                await self.plan.handover(call, self.leg, on_failure.transfer)
            except VoxtradError as error:
                log.warning("the caller could not be handed over", to=on_failure.transfer, reason=error.message)
                await call.proceed()
        elif (place := on_failure.continue_) is not None:
            await call.proceed(context=place.context, extension=place.extension, priority=place.priority)


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
        partials=capabilities.partials,
        end_of_turn=capabilities.end_of_turn,
        punctuates=capabilities.punctuates,
        final_delay=capabilities.final_delay,
    )


async def _as_coroutine(work: Awaitable[None]) -> None:
    await work
