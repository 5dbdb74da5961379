"""Metrics of a configuration that has one of everything, read back as Prometheus would, for the tests beside."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.ledger.support import SECRET
from voxtrad.config.loader import load
from voxtrad.config.models import Config
from voxtrad.observability.metrics import Metrics
from voxtrad.observability.readings import Backlog, Readings
from voxtrad.providers.registry import provider_types

WHOLE = f"""
version: 1
providers:
  ollama: {{type: openai, base_url: "http://127.0.0.1:1/v1", api_key: none}}
agents:
  support:
    prompt: Help.
    stt: sphinx
    tts: espeak
    llm: [{{provider: ollama, model: small}}, scripted]
    tools: [look_up, end_call]
  sales: {{prompt: Sell., stt: sphinx, tts: espeak, llm: scripted}}
routes: [{{agent: support}}]
destinations:
  reception: {{continue: {{context: office, extension: "200"}}}}
tools:
  look_up: {{description: Look up., webhook: {{url: "http://127.0.0.1:1/", secret: {SECRET}}}}}
webhooks: [{{name: crm, url: "http://127.0.0.1:1/", secret: {SECRET}}}]
"""


def whole_config(folder: Path) -> Config:
    path = folder / "voxtrad.yaml"
    path.write_text(WHOLE)
    return load(path, provider_types=provider_types(), environment={}).config


def whole_metrics(folder: Path, backlog: Backlog | None = None) -> Metrics:
    readings = Readings(
        calls_active=lambda: 3,
        calls_limit=lambda: 100,
        ari_connected=lambda: True,
        ari_reconnects=lambda: 2,
        backlog=lambda: backlog or Backlog(),
        reload_successful=lambda: True,
    )
    metrics = Metrics(CollectorRegistry(), readings)
    metrics.configure(whole_config(folder))
    return metrics


def families(metrics: Metrics) -> dict[str, Metric]:
    """By name as it is written in queries: with `_total`, without `_bucket`."""
    found = text_string_to_metric_families(metrics.exposition()[0].decode())
    return {family.name + ("_total" if family.type == "counter" else ""): family for family in found}


def value(metrics: Metrics, name: str, **labels: str) -> float:
    """The value of one series."""
    for family in families(metrics).values():
        for sample in family.samples:
            if sample.name == name and sample.labels == labels:
                return sample.value
    raise AssertionError(f"there is no series {name}{labels}")
