"""What is told of a call: its events on the bus, its transcript, its latencies.

Everything that watches a call hangs on what is published here; nothing here decides anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import quantiles

import structlog

from voxtrad.conversation.analysis import Analysis
from voxtrad.conversation.floor import Kind, Turn, TurnDecision
from voxtrad.conversation.line_quality import Change
from voxtrad.conversation.spoken import Spoken
from voxtrad.events.types import (
    AgentResponse,
    AgentSpeechEnded,
    AgentSpeechStarted,
    AgentThinking,
    AudioReceived,
    AudioUnderrun,
    BargeIn,
    CallAnalyzed,
    CallAnswered,
    CallEnded,
    CallFailed,
    CallStarted,
    CallTransferred,
    DeadAir,
    Decision,
    DtmfReceived,
    ErrorOccurred,
    Event,
    LatencyAdded,
    Outcome,
    RecordingReady,
    SecurityDenied,
    SilenceDetected,
    Stage,
    StageMeasured,
    TokensUsed,
    TransferCompleted,
    TransferDenied,
    TransferFailed,
    TransferStarted,
    TurnEnded,
    UserSpeechEnded,
    UserSpeechStarted,
    UserTranscript,
    UserTranscriptPartial,
)
from voxtrad.ledger.sensitive import Sensitive
from voxtrad.leg import LegInfo, ReceptionReport
from voxtrad.providers.base import JSON, Usage

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Thought:
    """When the model was asked and began to answer, on the monotonic clock."""

    asked_at: float | None = None
    first_token_at: float | None = None
    provider: str = ""
    """Who answered, where another stood in for the model that was asked."""


def recording_location(call_id: str) -> str:
    """Where a call's recording is found in the server's API."""
    return f"/v1/calls/{call_id}/recording"


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
        self.interruptions = 0
        self.sensitive = Sensitive()
        """What the caller has keyed in and nobody may keep."""
        self._tell = publish
        self._clock = clock
        self._providers = providers
        self._began = clock()
        self._answered: float | None = None
        self._over: float | None = None
        self._audible_since: float | None = None
        self._packets = self._packets_lost = 0

    def since(self, at: float | None = None) -> float:
        """Seconds since the call began."""
        return round((self._clock() if at is None else at) - self._began, 3)

    def publish(self, event: Event) -> None:
        """Tell those who watch, also for whoever else has something to tell of this call."""
        self._tell(self.sensitive.without(event))

    # --- the call -----------------------------------------------------------------------------------------------------

    def started(self, info: LegInfo) -> None:
        self.publish(
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
        self.publish(CallAnswered(call_id=self.call_id, agent=self.agent))

    def over(self) -> None:
        """The call is over, for the caller; it may take a while until all of it is done."""
        self._over = self._over or self._clock()

    def ended(self, outcome: Outcome, reason: str) -> None:
        self.silenced(interrupted=True)
        now = self._over or self._clock()
        self.publish(
            CallEnded(
                call_id=self.call_id,
                agent=self.agent,
                outcome=outcome,
                reason=reason,
                duration=self.since(now),
                talk_time=round(now - self._answered, 3) if self._answered is not None else 0.0,
                transcript=sorted(self.transcript, key=lambda entry: float(str(entry["at"]))),
                latency=_figures(self.latencies),
            )
        )

    def failed(self, reason: str) -> None:
        self.publish(CallFailed(call_id=self.call_id, agent=self.agent, reason=reason))

    def error(self, where: str, message: str) -> None:
        self.publish(ErrorOccurred(call_id=self.call_id, agent=self.agent, where=where, message=message))

    def figures(self) -> dict[str, JSON]:
        """How the call went, in few numbers: for the log."""
        figures: dict[str, JSON] = {
            "turns": self.turns,
            "latency_p95": _figures(self.latencies).get("p95"),
            "interruptions": self.interruptions,
        }
        if self._packets:
            figures["audio_lost"] = f"{self._packets_lost / self._packets:.1%}"
        return figures

    def kept_transcript(self) -> Sequence[Mapping[str, JSON]]:
        """What was said, as it may be kept."""
        return [{name: self.sensitive.value(value) for name, value in line.items()} for line in self.transcript]

    def used(self, provider: str, usage: Usage) -> None:
        """A request to a language model outside the conversation."""
        self.publish(
            TokensUsed(
                call_id=self.call_id,
                agent=self.agent,
                provider=usage.provider or provider,
                model=usage.model,
                prompt_tokens=usage.prompt_tokens,
                completion_tokens=usage.completion_tokens,
            )
        )

    def analyzed(self, found: Analysis) -> None:
        self.publish(
            CallAnalyzed(
                call_id=self.call_id,
                agent=self.agent,
                summary=found.summary,
                fields=found.fields,
                success=found.success,
                reason=found.reason,
            )
        )

    def recorded(self, seconds: float) -> None:
        """The call's recording can be fetched."""
        location = recording_location(self.call_id)
        self.publish(RecordingReady(call_id=self.call_id, agent=self.agent, location=location, seconds=seconds))

    def note(self, what: str, reason: str, at: float | None = None) -> None:
        """A line of the call's timeline."""
        self.publish(Decision(call_id=self.call_id, agent=self.agent, at=self.since(at), what=what, reason=reason))

    # --- handing over -------------------------------------------------------------------------------------------------

    def hand_to(self, agent: str, providers: dict[str, str]) -> None:
        """From now on it is another agent's call."""
        self.agent, self._providers = agent, providers

    def transfer_denied(self, destination: str) -> None:
        """Somebody's words asked for a destination that there is not."""
        what, reason = f"destination {destination[:64]}", "the configuration has no such destination"
        self.publish(SecurityDenied(call_id=self.call_id, agent=self.agent, what=what, reason=reason))
        self.publish(TransferDenied(call_id=self.call_id, agent=self.agent, reason="unknown_destination"))

    def transfer_started(self, destination: str) -> None:
        self.publish(TransferStarted(call_id=self.call_id, agent=self.agent, destination=destination))
        self.note("transfer", f"to {destination}")

    def transfer_completed(self, destination: str, outcome: str) -> None:
        """Somebody, or something, has the caller."""
        self.publish(
            TransferCompleted(call_id=self.call_id, agent=self.agent, destination=destination, outcome=outcome)
        )
        self.publish(CallTransferred(call_id=self.call_id, agent=self.agent, destination=destination))
        self.note("transferred", f"to {destination}: {outcome}")

    def transfer_failed(self, destination: str, outcome: str) -> None:
        self.publish(TransferFailed(call_id=self.call_id, agent=self.agent, destination=destination, outcome=outcome))
        self.note("transfer_failed", f"to {destination}: {outcome}")

    # --- the caller ---------------------------------------------------------------------------------------------------

    def decided(self, decision: TurnDecision) -> None:
        self.note(decision.kind.value, decision.reason, decision.at)
        match decision.kind:
            case Kind.SPEECH_STARTED:
                self.publish(UserSpeechStarted(call_id=self.call_id, agent=self.agent))
            case Kind.DEAD_AIR:
                self.publish(DeadAir(call_id=self.call_id, agent=self.agent, seconds=round(decision.seconds, 3)))
            case Kind.SILENCE:
                seconds = round(decision.seconds, 3)
                self.publish(SilenceDetected(call_id=self.call_id, agent=self.agent, seconds=seconds))
            case Kind.SPEECH_ENDED:
                seconds = round(decision.seconds, 3)
                self.publish(UserSpeechEnded(call_id=self.call_id, agent=self.agent, duration=seconds))
            case _:
                pass

    def partial(self, text: str) -> None:
        self.publish(UserTranscriptPartial(call_id=self.call_id, agent=self.agent, text=text))

    def turn(self, turn: Turn) -> None:
        """The dialogue has a turn of the caller."""
        if turn.text:
            self._heard(turn)
        self.publish(AgentThinking(call_id=self.call_id, agent=self.agent, turn=self.turns))

    def left(self, turn: Turn) -> None:
        """What the caller said last, and nobody answered."""
        self._heard(turn)

    def _heard(self, turn: Turn) -> None:
        merged = turn.merged and self._forget_beginning(turn.text)
        if not merged:
            self.turns += 1
        self.transcript.append({"speaker": "caller", "text": turn.text, "at": self.since(turn.voiced_until)})
        self.publish(
            UserTranscript(
                call_id=self.call_id,
                agent=self.agent,
                text=turn.text,
                confidence=turn.confidence,
                turn=self.turns,
                merged=merged,
            )
        )

    def _forget_beginning(self, text: str) -> bool:
        """The caller went on: what was a turn before is the beginning of this one, where it is not answered yet."""
        for index in range(len(self.transcript) - 1, -1, -1):
            entry = self.transcript[index]
            if entry["speaker"] == "caller":
                if begins := text.startswith(str(entry["text"])):
                    del self.transcript[index]
                return begins
        return False

    def received(self, news: ReceptionReport, change: Change | None) -> None:
        """How the caller's audio has come of late, where a network may lose it, and whether that is another change."""
        if news.due or news.late:
            self._packets += news.due
            self._packets_lost += news.lost
            self.publish(
                AudioReceived(call_id=self.call_id, agent=self.agent, due=news.due, lost=news.lost, late=news.late)
            )
        if change is not None:
            self.note("audio_lost" if change.bad else "audio_whole", change.reason)
            if change.bad:
                log.warning("the caller is heard with gaps", reason=change.reason)

    def key(self, digit: str) -> None:
        self.publish(DtmfReceived(call_id=self.call_id, agent=self.agent, digit=digit))

    # --- the agent ----------------------------------------------------------------------------------------------------

    def starved(self) -> None:
        """The caller heard a gap in the middle of a sentence."""
        self.note("underrun", "the rest of the sentence was not synthesized in time")
        self.publish(AudioUnderrun(call_id=self.call_id, agent=self.agent))

    def audible(self) -> None:
        """The agent begins to be heard."""
        if self._audible_since is None:
            self._audible_since = self._clock()
            self.publish(AgentSpeechStarted(call_id=self.call_id, agent=self.agent))

    def silenced(self, *, interrupted: bool = False) -> None:
        """The agent is not heard any more."""
        began, self._audible_since = self._audible_since, None
        if began is not None:
            seconds = round(self._clock() - began, 3)
            self.publish(
                AgentSpeechEnded(call_id=self.call_id, agent=self.agent, duration=seconds, interrupted=interrupted)
            )

    def interrupted(self, decision: TurnDecision, spoken: Spoken, silent_at: float) -> None:
        """The caller interrupted; the playout has been silent since `silent_at`."""
        self.interruptions += 1
        self.publish(
            BargeIn(
                call_id=self.call_id,
                agent=self.agent,
                reason=decision.reason,
                heard=spoken.heard,
                stop_ms=round((silent_at - decision.since) * 1000, 1),
            )
        )

    def said(self, spoken: Spoken, turn: Turn | None = None, thought: Thought | None = None) -> None:
        """An utterance is over: an answer to `turn`, if there is one."""
        self.silenced(interrupted=spoken.interrupted)
        if spoken.heard:
            text = spoken.heard.strip()
            self.transcript.append(
                {
                    "speaker": "agent",
                    "text": text,
                    "at": self.since(spoken.audible_at),
                    "interrupted": spoken.interrupted,
                }
            )
            self.publish(
                AgentResponse(
                    call_id=self.call_id,
                    agent=self.agent,
                    text=text,
                    interrupted=spoken.interrupted,
                    turn=self.turns,
                )
            )
        if turn is not None and spoken.audible_at is not None:
            self._measure(spoken, spoken.audible_at, turn, thought or Thought())

    def _measure(self, spoken: Spoken, audible_at: float, turn: Turn, thought: Thought) -> None:
        latency = audible_at - turn.voiced_until
        self.latencies.append(latency)
        marks: list[tuple[Stage, str, float | None, float | None]] = [
            ("endpointing", "stt", turn.voiced_until, turn.decided_at),
            ("stt_final", "stt", turn.voiced_until, turn.final_at),
            ("llm_first_token", "llm", turn.decided_at, thought.first_token_at),
            ("llm_first_sentence", "llm", turn.decided_at, spoken.first_sentence_at),
            ("tts_first_byte", "tts", spoken.first_sentence_at, spoken.first_audio_at),
            ("playout", "", spoken.first_audio_at, audible_at),
        ]
        stood_in = {"stt": turn.provider, "llm": thought.provider, "tts": spoken.provider}
        stages: dict[str, JSON] = {}
        for stage, kind, begin, end in marks:
            if begin is None or end is None:
                continue
            seconds = max(0.0, round(end - begin, 4))
            stages[stage] = seconds
            provider = stood_in.get(kind) or self._providers.get(kind, "")
            self.publish(
                StageMeasured(call_id=self.call_id, agent=self.agent, stage=stage, provider=provider, seconds=seconds)
            )
        if spoken.first_audio_at is not None:
            asked = max(0.0, thought.asked_at - turn.decided_at) if thought.asked_at is not None else 0.0
            added = round(asked + audible_at - spoken.first_audio_at, 4)
            self.publish(LatencyAdded(call_id=self.call_id, agent=self.agent, seconds=added))
        parts = ", ".join(f"{stage} {float(str(seconds)) * 1000:.0f} ms" for stage, seconds in stages.items())
        self.note("answered_turn", f"after {latency * 1000:.0f} ms ({parts})", audible_at)
        self.publish(
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
