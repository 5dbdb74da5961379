"""Feeds the metrics from what happens on calls: a tap on the bus, so that nothing is missed and nothing waits."""

from __future__ import annotations

from collections.abc import Mapping

from voxtrad.events.bus import Bus, Tap
from voxtrad.events.types import (
    JSON,
    AudioUnderrun,
    BargeIn,
    CallEnded,
    CallStarted,
    Decision,
    Event,
    StageMeasured,
    TokensUsed,
    ToolCompleted,
    TransferCompleted,
    TransferDenied,
    TransferFailed,
    TurnEnded,
)
from voxtrad.observability import names
from voxtrad.observability.metrics import Metrics
from voxtrad.observability.names import known

_WAITED_FOR = ("endpointing", "llm_first_sentence", "tts_first_byte")
"""Stages that make up, one after the other, what a turn waits for."""
WATCHED: tuple[type[Event], ...] = (
    CallStarted, CallEnded, TurnEnded, StageMeasured, BargeIn, Decision, TokensUsed, ToolCompleted, TransferCompleted,
    TransferFailed, TransferDenied, AudioUnderrun,
)  # fmt: skip


class Watching:
    """Counts events. `watch` the bus with it."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._directions: dict[str, str] = {}

    def watch(self, bus: Bus) -> Tap[Event]:
        return bus.tap("metrics", WATCHED, self.count)

    def count(self, event: Event) -> None:
        """Count one event."""
        metrics = self._metrics
        agent = known(event.agent, metrics.names.agents)
        match event:
            case CallStarted():
                self._directions[event.call_id] = event.direction
            case CallEnded():
                direction = self._directions.pop(event.call_id, "inbound")
                metrics.calls.labels(agent, direction, event.outcome).inc()
                metrics.call_duration.labels(agent).observe(event.duration)
            case TurnEnded():
                metrics.turn_latency.labels(agent).observe(event.latency)
                if (added := added_latency(event.latency, event.stages)) is not None:
                    metrics.added_latency.observe(added)
            case StageMeasured():
                kind = names.STAGE_KINDS.get(event.stage)
                provider = known(event.provider, metrics.names.providers[kind]) if kind else ""
                metrics.stage_latency.labels(event.stage, provider).observe(event.seconds)
            case BargeIn():
                metrics.barge_in_stop.observe(event.stop_ms / 1000)
            case Decision():
                self._decided(event.what)
            case TokensUsed():
                provider = known(event.provider, metrics.names.providers["llm"])
                metrics.llm_tokens.labels(provider, "prompt").inc(event.prompt_tokens)
                metrics.llm_tokens.labels(provider, "completion").inc(event.completion_tokens)
            case ToolCompleted():
                tool = metrics.names.tool(event.tool)
                metrics.tool_calls.labels(tool, event.outcome).inc()
                metrics.tool_duration.labels(tool).observe(event.duration)
            case TransferCompleted() | TransferFailed():
                destination = known(event.destination, metrics.names.destinations)
                metrics.transfers.labels(destination, known(event.outcome, names.TRANSFER_OUTCOMES)).inc()
            case TransferDenied():
                metrics.transfers_denied.labels(event.reason).inc()
            case AudioUnderrun():
                metrics.audio_underruns.inc()
            case _:
                pass

    def _decided(self, what: str) -> None:
        if kind := names.INTERRUPTIONS.get(what):
            self._metrics.interruptions.labels(kind).inc()
        elif what == names.DEAD_AIR:
            self._metrics.dead_air.inc()


def added_latency(latency: float, stages: Mapping[str, JSON]) -> float | None:
    """What is left of a turn's latency without waiting for recogniser, model and synthesis; None where one is unknown.

    Pure. A draft that was begun before the turn was certain makes the parts overlap: then nothing is left.
    """
    waited = [value for stage in _WAITED_FOR if isinstance(value := stages.get(stage), int | float)]
    return max(0.0, latency - sum(waited)) if len(waited) == len(_WAITED_FOR) else None
