"""What is not counted but looked up when somebody asks for the metrics: states and sizes of other rooms.

The daemon hands in how to look; nothing here knows the rooms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from voxtrad.observability.names import Names


@dataclass(frozen=True, slots=True)
class Backlog:
    """What of the webhooks is not delivered."""

    depth: int = 0
    """Messages that wait."""
    oldest: float = 0.0
    """Seconds that the oldest of them waits."""
    expired: Mapping[str, int] = field(default_factory=dict)
    """Messages that were given up as too old, by endpoint, since the start."""
    lost: Mapping[str, int] = field(default_factory=dict)
    """Messages that were dropped because there was no room for them, by endpoint, since the start."""


@dataclass(frozen=True, slots=True)
class Readings:
    """Where to look. Each is called in the thread that asks for the metrics, and must be quick."""

    calls_active: Callable[[], int]
    calls_limit: Callable[[], int]
    ari_connected: Callable[[], bool]
    ari_reconnects: Callable[[], int]
    backlog: Callable[[], Backlog]
    reload_successful: Callable[[], bool]


class ReadingsCollector(Collector):
    """The readings as series."""

    def __init__(
        self, readings: Readings, configured: Callable[[], tuple[Names, str] | None], given_up: Mapping[str, int]
    ) -> None:
        """`configured` gives the names and the hash of the configuration, once there is one; `given_up` counts, by
        endpoint, the messages that became dead letters after their last attempt."""
        self._readings = readings
        self._configured = configured
        self._given_up = given_up

    def describe(self) -> Iterable[Metric]:
        """Nothing: the registry would look for the names in the readings of rooms that are not there yet."""
        return ()

    def collect(self) -> Iterable[Metric]:
        read = self._readings
        backlog = read.backlog()
        yield _gauge("calls_active", "Live calls.", read.calls_active())
        yield _gauge("calls_limit", "As many calls as are taken at once.", read.calls_limit())
        yield _gauge("ari_connected", "Whether the PBX's events are received.", read.ari_connected())
        yield _counter("ari_reconnects", "Times that a lost connection to the PBX came back.", read.ari_reconnects())
        yield _gauge("webhook_queue_depth", "Events that wait for delivery.", backlog.depth)
        yield _gauge("webhook_oldest_seconds", "How long the oldest of them waits.", backlog.oldest)
        dead = CounterMetricFamily(
            "voxtrad_webhook_dead_letters", "Events whose delivery was given up.", labels=("endpoint",)
        )
        names, config_hash = self._configured() or (None, "")
        for endpoint in names.endpoints if names else ():
            dropped = backlog.expired.get(endpoint, 0) + backlog.lost.get(endpoint, 0)
            dead.add_metric((endpoint,), self._given_up.get(endpoint, 0) + dropped)
        yield dead
        yield _gauge("config_last_reload_successful", "Whether the last reload was accepted.", read.reload_successful())
        info = GaugeMetricFamily("voxtrad_config_info", "The configuration in effect; always 1.", labels=("hash",))
        info.add_metric((config_hash,), 1)
        yield info


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"voxtrad_{name}", about, value=value)


def _counter(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(f"voxtrad_{name}", about, value=value)
