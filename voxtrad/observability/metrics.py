"""Everything that is counted, by the names that users are promised (prefix `voxtrad_`), in a registry handed in.

This module has the series and what makes them go up; `watching.py` feeds it from the bus. Gauges are read when
somebody asks, from what the daemon hands in (`readings.py`). Each series is there from the start, at 0.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from voxtrad import __version__
from voxtrad.config.models import Config
from voxtrad.observability import names
from voxtrad.observability.names import Names, fingerprint, known
from voxtrad.observability.readings import Readings, ReadingsCollector

TURN = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0)
"""Seconds from the caller's last sound to the agent's first: 0.2 is human, 0.8 is good, 4 is lost."""
STAGE = (0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
OWN = (0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 1.0)
"""Seconds that voxtrad itself costs; 3 ms is the median to reach, 10 ms the 95th percentile."""
STOP = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 0.75, 1.0, 2.0)
TOOL = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
CALL = (5.0, 15.0, 30.0, 60.0, 120.0, 180.0, 300.0, 600.0, 900.0, 1800.0, 3600.0)
LAG = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.04, 0.06, 0.1, 0.25, 0.5, 1.0, 5.0)
"""Seconds; a frame of audio lasts 0.02, and a telephone's buffer forgives 0.06 or so."""


class Metrics:
    """All series. Label values that the configuration does not know are counted as `other`."""

    def __init__(self, registry: CollectorRegistry, readings: Readings) -> None:
        self._registry = registry
        self._configured: tuple[Names, str] | None = None

        def counter(name: str, about: str, *labels: str) -> Counter:
            return Counter(f"voxtrad_{name}", about, labels, registry=registry)

        def histogram(name: str, about: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"voxtrad_{name}", about, labels, registry=registry, buckets=buckets)

        self.calls = counter("calls", "Calls that ended.", "agent", "direction", "outcome")
        self.calls_rejected = counter("calls_rejected", "Calls that were not taken.", "reason")
        self.call_duration = histogram("call_duration_seconds", "From the ring to the end of a call.", CALL, "agent")
        self.turn_latency = histogram(
            "turn_latency_seconds", "From the caller's last voiced frame to the agent's first frame.", TURN, "agent"
        )
        self.stage_latency = histogram(
            "stage_latency_seconds", "Stages of a turn's latency.", STAGE, "stage", "provider"
        )
        self.added_latency = histogram(
            "added_latency_seconds", "The part of a turn's latency that is not waiting for anybody else.", OWN
        )
        self.barge_in_stop = histogram(
            "barge_in_stop_seconds", "From the onset of the caller's speech to the agent's silence.", STOP
        )
        self.interruptions = counter(
            "interruptions",
            "Speech into the agent's: barge_in ended it, false only held it up, continued took the question back.",
            "kind",
        )
        self.dead_air = counter("dead_air", "Times that nobody was heard for 4 s, and it was not the caller's silence.")
        self.provider_requests = counter("provider_requests", "Requests to providers.", "provider", "kind", "outcome")
        self.provider_fallbacks = counter("provider_fallbacks", "Times that another provider took over.", "kind")
        self.llm_tokens = counter("llm_tokens", "Tokens of language models.", "provider", "kind")
        self.tool_calls = counter("tool_calls", "Calls of tools.", "tool", "outcome")
        self.tool_duration = histogram("tool_duration_seconds", "How long tools took.", TOOL, "tool")
        self.transfers = counter("transfers", "Transfers, by how they ended.", "destination", "outcome")
        self.transfers_denied = counter("transfers_denied", "Transfers that were asked for and refused.", "reason")
        self.webhook_deliveries = counter("webhook_deliveries", "Attempts to deliver an event.", "endpoint", "outcome")
        self.audio_underruns = counter("audio_underruns", "Gaps inside the agent's speech.")
        self.audio_packets = counter("audio_packets", "Packets of callers' audio that were due, over RTP.")
        self.audio_packets_lost = counter(
            "audio_packets_lost", "Of these, those that had not come in time; the late ones are among them."
        )
        self.audio_packets_late = counter("audio_packets_late", "Of the lost, those that came after all.")
        self.event_loop_lag = histogram("event_loop_lag_seconds", "How late a timer of the event loop was.", LAG)
        self.auth_failures = counter("auth_failures", "Requests to the API with a wrong token.")
        build = Gauge("voxtrad_build_info", "What is running; always 1.", ("version", "python"), registry=registry)
        build.labels(__version__, platform.python_version()).set(1)
        self._given_up: dict[str, int] = {}
        registry.register(ReadingsCollector(readings, lambda: self._configured, self._given_up))
        _all(self.calls_rejected, names.REJECTIONS)
        _all(self.interruptions, names.INTERRUPTIONS.values())
        _all(self.provider_fallbacks, names.KINDS)
        _all(self.transfers_denied, names.TRANSFER_DENIALS)

    def configure(self, config: Config) -> None:
        """Have all series of a configuration; those of the one before stay, as counters must."""
        now = Names.of(config) if self._configured is None else self.names | Names.of(config)
        self._configured = now, fingerprint(config)
        _all(self.calls, now.agents, names.DIRECTIONS, names.OUTCOMES)
        _all(self.call_duration, now.agents)
        _all(self.turn_latency, now.agents)
        for stage in names.STAGES:
            kind = names.STAGE_KINDS.get(stage)
            _all(self.stage_latency, (stage,), now.providers[kind] if kind else ("",))
        for kind, providers in now.providers.items():
            _all(self.provider_requests, providers, (kind,), names.REQUEST_OUTCOMES)
        _all(self.llm_tokens, now.providers["llm"], names.TOKEN_KINDS)
        _all(self.tool_calls, now.tools, names.TOOL_OUTCOMES)
        _all(self.tool_duration, now.tools)
        _all(self.transfers, now.destinations, names.TRANSFER_OUTCOMES)
        _all(self.webhook_deliveries, now.endpoints, names.DELIVERIES)

    @property
    def names(self) -> Names:
        """What label values there are. Raises `ValueError` before the first `configure`."""
        if self._configured is None:
            raise ValueError("the metrics know no configuration yet")
        return self._configured[0]

    # --- what the rooms report, where it is no event of a call --------------------------------------------------------

    def on_rejected(self, reason: str) -> None:
        """A call was not taken."""
        self.calls_rejected.labels(known(reason, names.REJECTIONS)).inc()

    def on_crashed(self, agent: str, direction: str) -> None:
        """A call of an earlier run had no end, and was given one at the start of this."""
        self.calls.labels(known(agent, self.names.agents), known(direction, names.DIRECTIONS), "crashed").inc()

    def on_request(self, provider: str, kind: str, outcome: str) -> None:
        """A request to a provider was answered or failed (`providers/fallback`)."""
        if kind in names.KINDS:
            provider = known(provider, self.names.providers[kind])
            self.provider_requests.labels(provider, kind, known(outcome, names.REQUEST_OUTCOMES)).inc()

    def on_fallback(self, kind: str, from_: str, to: str, reason: str) -> None:
        """Another provider took over."""
        self.provider_fallbacks.labels(known(kind, names.KINDS)).inc()

    def on_delivery(self, endpoint: str, outcome: str, seconds: float) -> None:
        """An attempt to deliver an event (`outbound/delivery.py`)."""
        endpoint = known(endpoint, self.names.endpoints)
        if outcome == "dead":
            self._given_up[endpoint] = self._given_up.get(endpoint, 0) + 1
        self.webhook_deliveries.labels(endpoint, known(outcome, names.DELIVERIES)).inc()

    def on_auth_failure(self) -> None:
        self.auth_failures.inc()

    # --- for whoever asks ---------------------------------------------------------------------------------------------

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """All series as text, in the format that an `Accept` header asks for, and its content type.

        May be called in a thread of its own, as it takes milliseconds.
        """
        encode, content_type = choose_encoder(accept)
        return encode(_Promised(self._registry)), content_type


def _all(series: Counter | Histogram, *values: Iterable[str]) -> None:
    """Make the series of every combination of label values."""
    for labels in product(*values):
        series.labels(*labels)


class _Promised(Collector):
    """The registry without the creation times that the library adds as series of their own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        for metric in self._registry.collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric
