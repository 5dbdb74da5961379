"""The table of all endpoints."""

from __future__ import annotations

from voxtrad.api import health
from voxtrad.api.table import Endpoint, Nothing, endpoint

TABLE: tuple[Endpoint, ...] = (
    endpoint(
        "GET", "/live", health.live, query=Nothing, body=Nothing, scope=None, answer=health.Alive,
        summary="Whether the process is alive.",
    ),
    endpoint(
        "GET", "/ready", health.ready, query=Nothing, body=Nothing, scope=None, answer=health.Ready, problems=(503,),
        summary="Whether calls can be taken: not while draining, and not without the PBX.",
    ),
    endpoint(
        "GET", "/metrics", health.metrics, query=Nothing, body=Nothing, scope=None, media="text/plain",
        summary="Figures for Prometheus.",
    ),
)  # fmt: skip
