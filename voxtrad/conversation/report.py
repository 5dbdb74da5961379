"""What is told of a call: its events on the bus, its transcript, its latencies.

Everything that watches a call hangs on what is published here; nothing here decides anything.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import quantiles

import structlog

from voxtrad.conversation.speaker import Spoken
from voxtrad.conversation.turns import Kind, Turn, TurnDecision
from voxtrad.events.types import (
    AgentResponse,
    AgentSpeechEnded,
    AgentSpeechStarted,
    AgentThinking,
    BargeIn,
    CallAnswered,
    CallEnded,
    CallFailed,
    CallStarted,
    Decision,
    DtmfReceived,
    ErrorOccurred,
    Event,
    Outcome,
    SilenceDetected,
    Stage,
    StageMeasured,
    TurnEnded,
    UserSpeechEnded,
    UserSpeechStarted,
    UserTranscript,
    UserTranscriptPartial,
)
from voxtrad.leg import LegInfo
from voxtrad.providers.base import JSON

log = structlog.stdlib.get_logger(__name__)


class Reporter:
    """One call's voice to those who watch. Times are seconds on the monotonic clock, given out since the ring."""

    def __init__(
        self,
        call_id: str,
        agent: str,
        *,
        publish: Callable[[Event], None],
        clock: Callable[[], float],
        providers: dict[str, str],
    ) -> None:
        self.call_id = call_id
        self.agent = agent
        self.transcript: list[dict[str, JSON]] = []
        self.latencies: list[float] = []
        self.turns = 0
        self._publish = publish
        self._clock = clock
        self._providers = providers
        self._began = clock()
        self._answered: float | None = None

    def since(self, at: float | None = None) -> float:
        """Seconds since the call began."""
        return round((self._clock() if at is None else at) - self._began, 3)

    # --- the call -----------------------------------------------------------------------------------------------------

    def started(self, info: LegInfo) -> None:
        self._publish(
            CallStarted(
                call_id=self.call_id,
                agent=self.agent,
                direction=info.direction,
                caller=info.caller,
                dialled=info.dialled,
                channel=info.channel,
                linkedid=info.linkedid,
            )
        )

    def answered(self) -> None:
        self._answered = self._clock()
        self._publish(CallAnswered(call_id=self.call_id, agent=self.agent))
        self.note("answered", "")

    def ended(self, outcome: Outcome, reason: str) -> None:
        now = self._clock()
        self._publish(
            CallEnded(
                call_id=self.call_id,
                agent=self.agent,
                outcome=outcome,
                reason=reason,
                duration=self.since(now),
                talk_time=round(now - self._answered, 3) if self._answered is not None else 0.0,
                transcript=tuple(self.transcript),
                latency=_figures(self.latencies),
            )
        )

    def failed(self, reason: str) -> None:
        self._publish(CallFailed(call_id=self.call_id, agent=self.agent, reason=reason))

    def error(self, where: str, message: str) -> None:
        self._publish(ErrorOccurred(call_id=self.call_id, agent=self.agent, where=where, message=message))

    def note(self, what: str, reason: str, at: float | None = None) -> None:
        """A line of the call's timeline."""
        self._publish(Decision(call_id=self.call_id, agent=self.agent, at=self.since(at), what=what, reason=reason))

    # --- the caller ---------------------------------------------------------------------------------------------------

    def decided(self, decision: TurnDecision) -> None:
        self.note(decision.kind.value, decision.reason, decision.at)
        match decision.kind:
            case Kind.SPEECH_STARTED:
                self._publish(UserSpeechStarted(call_id=self.call_id, agent=self.agent))
            case Kind.SPEECH_ENDED:
                seconds = round(decision.seconds, 3)
                self._publish(UserSpeechEnded(call_id=self.call_id, agent=self.agent, duration=seconds))
            case _:
                pass

    def partial(self, text: str) -> None:
        self._publish(UserTranscriptPartial(call_id=self.call_id, agent=self.agent, text=text))

    def turn(self, turn: Turn) -> None:
        """The dialogue has a turn of the caller."""
        self.turns += 1
        self.transcript.append({"speaker": "caller", "text": turn.text, "at": self.since(turn.voiced_until)})
        self._publish(
            UserTranscript(
                call_id=self.call_id, agent=self.agent, text=turn.text, confidence=turn.confidence, turn=self.turns
            )
        )
        self._publish(AgentThinking(call_id=self.call_id, agent=self.agent, turn=self.turns))

    def key(self, digit: str) -> None:
        self._publish(DtmfReceived(call_id=self.call_id, agent=self.agent, digit=digit))

    def silent(self, seconds: float) -> None:
        self._publish(SilenceDetected(call_id=self.call_id, agent=self.agent, seconds=seconds))

    # --- the agent ----------------------------------------------------------------------------------------------------

    def audible(self) -> None:
        self._publish(AgentSpeechStarted(call_id=self.call_id, agent=self.agent))

    def interrupted(self, decision: TurnDecision, spoken: Spoken) -> None:
        self._publish(
            BargeIn(
                call_id=self.call_id,
                agent=self.agent,
                reason=decision.reason,
                heard=spoken.heard,
                stop_ms=round((self._clock() - decision.at + decision.seconds) * 1000, 1),
            )
        )

    def said(self, spoken: Spoken, *, turn: Turn | None = None, first_token_at: float | None = None) -> None:
        """An utterance is over."""
        if spoken.audible_at is not None:
            seconds = round(spoken.seconds, 3)
            self._publish(
                AgentSpeechEnded(
                    call_id=self.call_id, agent=self.agent, duration=seconds, interrupted=spoken.interrupted
                )
            )
        if spoken.heard:
            self.transcript.append(
                {
                    "speaker": "agent",
                    "text": spoken.heard.strip(),
                    "at": self.since(spoken.audible_at),
                    "interrupted": spoken.interrupted,
                }
            )
            self._publish(
                AgentResponse(
                    call_id=self.call_id,
                    agent=self.agent,
                    text=spoken.heard.strip(),
                    interrupted=spoken.interrupted,
                    turn=self.turns,
                )
            )
        if turn is not None and spoken.audible_at is not None:
            self._measure(spoken, turn, first_token_at)

    def _measure(self, spoken: Spoken, turn: Turn, first_token_at: float | None) -> None:
        latency = (spoken.audible_at or 0.0) - turn.voiced_until
        self.latencies.append(latency)
        marks: list[tuple[Stage, str, float | None, float | None]] = [
            ("endpointing", "stt", turn.voiced_until, turn.decided_at),
            ("llm_first_token", "llm", turn.decided_at, first_token_at),
            ("llm_first_sentence", "llm", turn.decided_at, spoken.first_sentence_at),
            ("tts_first_byte", "tts", spoken.first_sentence_at, spoken.first_audio_at),
            ("playout", "", spoken.first_audio_at, spoken.audible_at),
        ]
        stages: dict[str, JSON] = {}
        for stage, kind, begin, end in marks:
            if begin is None or end is None:
                continue
            seconds = max(0.0, round(end - begin, 4))
            stages[stage] = seconds
            self._publish(
                StageMeasured(
                    call_id=self.call_id,
                    agent=self.agent,
                    stage=stage,
                    provider=self._providers.get(kind, ""),
                    seconds=seconds,
                )
            )
        self._publish(
            TurnEnded(call_id=self.call_id, agent=self.agent, turn=self.turns, latency=round(latency, 3), stages=stages)
        )


def _figures(latencies: list[float]) -> dict[str, JSON]:
    if not latencies:
        return {"turns": 0}
    cuts = quantiles(latencies, n=20, method="inclusive") if len(latencies) > 1 else [latencies[0]] * 19
    return {
        "turns": len(latencies),
        "p50": round(cuts[9], 3),
        "p95": round(cuts[18], 3),
        "max": round(max(latencies), 3),
    }
