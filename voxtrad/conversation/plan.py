"""All that is decided about a call before an agent takes it: who the agent is, and with what it works."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from voxtrad.audio.codec import Codec
from voxtrad.config.models import AgentConfig
from voxtrad.conversation.agent import Agent, Toolbox
from voxtrad.conversation.analysis import Analyst
from voxtrad.conversation.call import Call, Handover
from voxtrad.conversation.spoken import SpokenAudio
from voxtrad.events.types import Event
from voxtrad.leg import LegInfo
from voxtrad.providers.base import JSON, LanguageModel, SpeechToText, TextToSpeech, VoiceActivityDetector
from voxtrad.tools.base import CallActions

Dialogue = Callable[[Call], Awaitable[None]]
ToolboxMaker = Callable[[Mapping[str, JSON], CallActions, asyncio.TaskGroup, Callable[[Event], None]], Toolbox]


@dataclass(frozen=True, slots=True)
class Providers:
    """What one agent hears, thinks and speaks with."""

    stt: SpeechToText
    llm: LanguageModel
    tts: TextToSpeech
    vad: VoiceActivityDetector


@dataclass(frozen=True, slots=True)
class Plan:
    """What a call with one agent is done with."""

    call_id: str
    config: AgentConfig
    providers: Providers
    dialogue: Dialogue
    kept: Callable[[str, str, int, Codec], SpokenAudio]
    """Audio kept from before, for a synthesis' fingerprint, a language, and the sample rate and codec of the line."""
    toolbox: ToolboxMaker
    """Makes the agent's tools for a call, from its facts (`call.`), what they may do with the caller, where they run,
    and whom they tell."""
    handover: Handover
    variables: Mapping[str, JSON]
    hints: Sequence[str] = ()
    """What the caller is likely to say."""
    recordings: Path | None = None
    """Where recordings are kept; with None the call is not recorded, whatever the agent's configuration says."""
    analyst: Analyst | None = None
    """Who reads the transcript after the call."""
    taking_over: str | None = None
    """What the agent is told of the call, where it takes it over from another."""

    def agent(
        self,
        info: LegInfo,
        model: LanguageModel,
        actions: CallActions,
        group: asyncio.TaskGroup,
        *,
        publish: Callable[[Event], None],
        clock: Callable[[], float],
    ) -> Agent:
        """The agent, ready to think about a call; its tools run in `group`."""
        facts: dict[str, JSON] = {
            "id": self.call_id,
            "from": info.caller,
            "to": info.dialled,
            "agent": self.config.name,
            "direction": info.direction,
            "channel": info.channel,
            "linkedid": info.linkedid,
        }
        agent = Agent(
            self.config.name,
            self.config.prompt,
            model,
            self.toolbox(facts, actions, group, publish),
            call=facts,
            variables={**self.config.variables, **self.variables},
            group=group,
            publish=publish,
            clock=clock,
        )
        if self.taking_over:
            agent.writer.note(self.taking_over)
        return agent

    def for_takeover(self, told: str) -> Plan:
        """The same, for an agent that takes a call over and is told this of it."""
        return replace(self, taking_over=told)
