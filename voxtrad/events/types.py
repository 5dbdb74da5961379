"""Everything that happens on a call, as values.

A `PromisedEvent` is part of the contract with users: it has a public name and payload, is numbered, kept and delivered
by webhook. An `InternalEvent` is for those who watch from inside (metrics, the timeline) and may change with any
version.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import ClassVar, Literal

JSON = None | bool | int | float | str | Sequence["JSON"] | Mapping[str, "JSON"]

Outcome = Literal[
    "completed",
    "caller_hangup",
    "handed_over",
    "transferred",
    "idle",
    "max_duration",
    "failed",
    "crashed",
    "busy",
    "no_answer",
    "declined",
    "unreachable",
]
"""How a call ended: `completed` by the agent's or a handler's own decision. The last four are of calls that voxtrad
made and nobody took."""
Rejection = Literal[
    "draining", "max_calls", "agent_max_calls", "unrouted", "rejected", "outbound_denied", "outbound_limit"
]
"""Why a call is not taken: `rejected` by the caller lookup's word. Or not made: the number is not one of those that may
be called, or a limit of `outbound` is reached."""
Speaker = Literal["caller", "agent"]
_ENVELOPE = frozenset({"timestamp"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """`timestamp` is wall-clock time in seconds since 1970; durations never come from it."""

    call_id: str
    agent: str
    timestamp: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromisedEvent(Event):
    """An event that users are told of. `name` is its `type` in webhooks."""

    name: ClassVar[str]

    def data(self) -> dict[str, JSON]:
        """The payload without `sequence`, which each endpoint's delivery adds."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _ENVELOPE}


@dataclass(frozen=True, slots=True, kw_only=True)
class InternalEvent(Event):
    """An event that stays inside."""


# --- the call ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class CallStarted(PromisedEvent):
    """A leg rang and was matched to an agent."""

    name: ClassVar[str] = "call.started"
    direction: Literal["inbound", "outbound"]
    caller: str
    dialled: str
    channel: str
    linkedid: str

    def data(self) -> dict[str, JSON]:
        return {
            "call_id": self.call_id, "agent": self.agent, "direction": self.direction, "from": self.caller,
            "to": self.dialled, "channel": self.channel, "linkedid": self.linkedid,
        }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAnswered(PromisedEvent):
    name: ClassVar[str] = "call.answered"


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEnded(PromisedEvent):
    """Exactly one for each `call.started`."""

    name: ClassVar[str] = "call.ended"
    outcome: Outcome
    reason: str
    duration: float
    """Seconds from the ring to the end."""
    talk_time: float
    """Seconds from the answer to the end; 0 when never answered."""
    transcript: Sequence[Mapping[str, JSON]] = ()
    """In order: `speaker`, `text`, `at` (seconds since the ring), `interrupted`."""
    latency: Mapping[str, JSON] = field(default_factory=dict)
    """Turn latency of this call in seconds: `turns`, `p50`, `p95`, `max`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFailed(PromisedEvent):
    """The conversation broke; `call.ended` follows."""

    name: ClassVar[str] = "call.failed"
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTransferred(PromisedEvent):
    name: ClassVar[str] = "call.transferred"
    destination: str


# --- who speaks -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSpeechStarted(PromisedEvent):
    name: ClassVar[str] = "user.speech.started"


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSpeechEnded(PromisedEvent):
    name: ClassVar[str] = "user.speech.ended"
    duration: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UserTranscript(PromisedEvent):
    """What the caller said in a whole turn."""

    name: ClassVar[str] = "user.transcript"
    text: str
    confidence: float | None = None
    turn: int = 0
    merged: bool = False
    """The caller went on before the answer was heard: this takes the place of the one before, of the same `turn`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserTranscriptPartial(PromisedEvent):
    """Has no number, and goes only to endpoints that ask for it by name."""

    name: ClassVar[str] = "user.transcript.partial"
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentThinking(PromisedEvent):
    name: ClassVar[str] = "agent.thinking"
    turn: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentResponse(PromisedEvent):
    """What the agent said and the caller heard of it."""

    name: ClassVar[str] = "agent.response"
    text: str
    interrupted: bool = False
    turn: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSpeechStarted(PromisedEvent):
    name: ClassVar[str] = "agent.speech.started"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSpeechEnded(PromisedEvent):
    name: ClassVar[str] = "agent.speech.ended"
    duration: float
    interrupted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BargeIn(PromisedEvent):
    """The caller interrupted the agent."""

    name: ClassVar[str] = "barge_in"
    reason: str
    heard: str
    """The text that was played before."""
    stop_ms: float
    """From the onset of the caller's speech to the end of playout, in milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnEnded(PromisedEvent):
    name: ClassVar[str] = "turn.ended"
    turn: int
    latency: float
    """Seconds from the caller's last voiced frame to the first frame of the agent's answer."""
    stages: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SilenceDetected(PromisedEvent):
    name: ClassVar[str] = "silence.detected"
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DtmfReceived(PromisedEvent):
    name: ClassVar[str] = "dtmf.received"
    digit: str


# --- tools, handover, the rest ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCalled(PromisedEvent):
    name: ClassVar[str] = "tool.called"
    tool: str
    tool_call_id: str
    arguments: Mapping[str, JSON]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCompleted(PromisedEvent):
    name: ClassVar[str] = "tool.completed"
    tool: str
    tool_call_id: str
    outcome: Literal["ok", "error", "timeout", "refused"]
    duration: float
    result: JSON = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferStarted(PromisedEvent):
    name: ClassVar[str] = "transfer.started"
    destination: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferCompleted(PromisedEvent):
    name: ClassVar[str] = "transfer.completed"
    destination: str
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferFailed(PromisedEvent):
    name: ClassVar[str] = "transfer.failed"
    destination: str
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingReady(PromisedEvent):
    """A call's recording can be fetched: WAV, the caller on the left and what they heard on the right."""

    name: ClassVar[str] = "recording.ready"
    location: str
    """Its path in the server's own API."""
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CallAnalyzed(PromisedEvent):
    """What a language model made of the transcript; comes after `call.ended`."""

    name: ClassVar[str] = "call.analyzed"
    summary: str | None
    """None where none was asked for."""
    fields: Mapping[str, JSON]
    """The configuration's, by name; null where the call did not tell."""
    success: bool | None
    """Whether it was what the configuration calls a success; None where that was not asked."""
    reason: str
    """Why, in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityDenied(PromisedEvent):
    """Somebody's words asked for what the configuration does not give."""

    name: ClassVar[str] = "security.denied"
    what: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorOccurred(PromisedEvent):
    name: ClassVar[str] = "error"
    where: str
    message: str


# --- internal ---------------------------------------------------------------------------------------------------------

Stage = Literal["endpointing", "stt_final", "llm_first_token", "llm_first_sentence", "tts_first_byte", "playout"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageMeasured(InternalEvent):
    """How long one stage of a turn took, in seconds."""

    stage: Stage
    provider: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyAdded(InternalEvent):
    """What voxtrad itself added to a turn, in seconds: all that is not endpointing, nor waiting for STT, LLM or TTS."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadAir(InternalEvent):
    """Nobody was heard for this many seconds, and it was not the caller's silence."""

    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TokensUsed(InternalEvent):
    """What one request to a language model took; a call's record adds them up."""

    provider: str
    prompt_tokens: int
    completion_tokens: int
    model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioUnderrun(InternalEvent):
    """The far side heard a gap inside an utterance: audio came too late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioReceived(InternalEvent):
    """How the caller's audio came over a network that may lose some of it, since this was told last; in packets."""

    due: int
    lost: int
    """Of those that were due, those that had not come in time."""
    late: int
    """Of the lost, those that came after all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferDenied(InternalEvent):
    """Somebody's words asked for a destination that they may not have."""

    reason: Literal["unknown_destination", "not_allowed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision(InternalEvent):
    """Something that voxtrad decided on a call, with the reason; the call's timeline is made of these."""

    at: float
    """Seconds since the call began, on the monotonic clock."""
    what: str
    reason: str
