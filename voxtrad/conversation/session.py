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
from voxtrad.conversation.listener import Listener
from voxtrad.conversation.report import Reporter
from voxtrad.conversation.speaker import Speaker, SpokenAudio
from voxtrad.conversation.turns import TurnMachine, TurnPolicy
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

FAREWELL = 5.0
"""Seconds that a dialogue has to end by itself after the caller is gone."""

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

    async def run(self) -> None:
        """Carry the call to its end. Cancelling ends the conversation and leaves the leg to its carrier."""
        info = self.leg.info
        self.reporter.started(info)
        log.info("call", caller=info.caller, dialled=info.dialled, channel=info.channel, agent=self.plan.config.name)
        try:
            async with asyncio.TaskGroup() as group:
                call = self.call = self._call(group)
                watching = group.create_task(self._watch(call))
                await self._conversation(call)
                watching.cancel()
        finally:
            await self._clear()
            ending = (self.call.ending if self.call is not None else None) or Ending("failed", "the server stopped")
            self.reporter.ended(ending.outcome, ending.reason)
            log.info("call ended", outcome=ending.outcome, reason=ending.reason, seconds=self.reporter.since())

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
        """Leave nothing behind. A call that was cut off in the middle is its carrier's to lead on."""
        if self.call is not None and self.call.state == "ended":
            with contextlib.suppress(LegError):
                await self.leg.hang_up()
        await self.leg.release()

    # --- the conversation scope ---------------------------------------------------------------------------------------

    async def _conversation(self, call: Call) -> None:
        port: MediaPort | None = None
        try:
            port, stt, voice = await self._open()
            async with self._closing(stt, voice), asyncio.timeout(call.config.max_duration):
                await self._converse(call, port, stt, voice)
        except TimeoutError:
            call.ended("max_duration", f"the call lasted {call.config.max_duration:g} s")
        except Exception as error:  # noqa: BLE001 - the outermost supervisor of a conversation: the caller must not meet silence
            await self._broken(call, port, error)

    async def _open(self) -> tuple[MediaPort, TranscriptStream, Voice]:
        """Everything that a turn needs is connected before the call is answered."""
        providers, config = self.plan.providers, self.plan.config
        port = await self.leg.open_media()
        async with asyncio.TaskGroup() as group:
            stt = group.create_task(providers.stt.open(rate=port.rate, language=config.language, hints=self.plan.hints))
            voice = group.create_task(providers.tts.open(rate=port.rate, language=config.language))
            group.create_task(providers.llm.warm())
        return port, stt.result(), voice.result()

    @contextlib.asynccontextmanager
    async def _closing(self, stt: TranscriptStream, voice: Voice) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await stt.aclose()
            await voice.aclose()

    async def _converse(self, call: Call, port: MediaPort, stt: TranscriptStream, voice: Voice) -> None:
        config, providers = self.plan.config, self.plan.providers
        speaker = Speaker(
            port,
            voice,
            language=config.language,
            kept=self.plan.kept(providers.tts.fingerprint, port.rate),
            clock=self._clock,
            on_audible=call.agent_audible,
            on_played=call.agent_played,
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
            clock=self._clock,
        )
        call.attach(speaker, listener)
        try:
            async with asyncio.TaskGroup() as group:
                hearing = group.create_task(listener.run())
                talking = group.create_task(_as_coroutine(self.plan.dialogue(call)))
                over = group.create_task(call.over.wait())
                await asyncio.wait([talking, over], return_when=asyncio.FIRST_COMPLETED)
                if not talking.done():
                    await speaker.flush()
                    await asyncio.wait([talking], timeout=FAREWELL)
                    talking.cancel()
                over.cancel()
                hearing.cancel()
        except BaseExceptionGroup as errors:
            raise first_of(errors) from None
        call.ended("completed", "the dialogue ended")

    # --- when it breaks -----------------------------------------------------------------------------------------------

    async def _broken(self, call: Call, port: MediaPort | None, error: Exception) -> None:
        """Say sorry and lead the caller on."""
        if isinstance(error, LegGone):
            call.ended("caller_hangup", error.message)
        if call.ending is not None:
            if not isinstance(error, VoxtradError):
                log.exception("the conversation broke after the call had ended")
            return
        expected = isinstance(error, VoxtradError)
        reason = str(error) if isinstance(error, VoxtradError) else f"internal error: {type(error).__name__}"
        log.error("the conversation broke", reason=reason, exc_info=None if expected else error)
        self.reporter.failed(reason)
        self.reporter.error("conversation", reason)
        with contextlib.suppress(LegError):
            await self.leg.answer()
            if port is not None:
                await self._apologise(call, port)
            await self._lead_on(call)
        call.ended("failed", reason)

    async def _apologise(self, call: Call, port: MediaPort) -> None:
        apology = call.render(call.config.apology)
        pcm = self.plan.kept(self.plan.providers.tts.fingerprint, port.rate).get(apology)
        if pcm is None:
            log.warning("no voice for the apology: it was not synthesized before")
            return
        framer = Framer(port.rate)
        await port.flush()
        await port.play(framer.push(pcm) + framer.flush())
        await port.drained()
        call.agent.writer.said(apology, apology, interrupted=False)

    async def _lead_on(self, call: Call) -> None:
        on_failure = call.config.on_failure
        if on_failure.transfer is not None:
            await self.plan.handover(call, self.leg, on_failure.transfer)
        elif on_failure.continue_ is not None:
            place = on_failure.continue_
            call.ended("failed", "led on in the dialplan", state="handed-over")
            await self.leg.proceed(context=place.context, extension=place.extension, priority=place.priority)


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
        partials=capabilities.partials,
        end_of_turn=capabilities.end_of_turn,
        punctuates=capabilities.punctuates,
        final_delay=capabilities.final_delay,
    )


def first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first single error in nested groups."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def _as_coroutine(work: Awaitable[None]) -> None:
    await work
