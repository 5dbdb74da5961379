"""Feeds the metrics from what happens on calls: a tap on the bus, so that nothing is missed and nothing waits."""

from __future__ import annotations

from voxtrad.events.bus import Bus, Tap
from voxtrad.events.types import (
    AudioReceived,
    AudioUnderrun,
    BargeIn,
    CallEnded,
    CallStarted,
    DeadAir,
    Decision,
    Event,
    LatencyAdded,
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

WATCHED: tuple[type[Event], ...] = (
    CallStarted, CallEnded, TurnEnded, LatencyAdded, StageMeasured, BargeIn, Decision, DeadAir, TokensUsed,
    ToolCompleted, TransferCompleted, TransferFailed, TransferDenied, AudioUnderrun,
    AudioReceived,
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
            case LatencyAdded():
                metrics.added_latency.observe(event.seconds)
            case StageMeasured():
                kind = names.STAGE_KINDS.get(event.stage)
                provider = known(event.provider, metrics.names.providers[kind]) if kind else ""
                metrics.stage_latency.labels(event.stage, provider).observe(event.seconds)
            case BargeIn():
                metrics.barge_in_stop.observe(event.stop_ms / 1000)
            case Decision():
                if kind := names.INTERRUPTIONS.get(event.what):
                    metrics.interruptions.labels(kind).inc()
            case DeadAir():
                metrics.dead_air.inc()
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
            case AudioReceived():
                metrics.audio_packets.inc(event.due)
                metrics.audio_packets_lost.inc(event.lost)
                metrics.audio_packets_late.inc(event.late)
            case _:
                pass
