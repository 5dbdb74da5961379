"""OpenTelemetry: a call is a trace, a turn a span with its stages, a tool a span. A subscriber, with the extra `otel`.

Switched on and set up by OpenTelemetry's own variables (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_SERVICE_NAME`, sampling,
batches), so that nothing of it stands in the configuration. Neither numbers nor words are in a span. Spans lie on the
call's monotonic clock: one that is put back tears none.

Source: "OpenTelemetry Protocol Exporter" and "Environment Variable Specification" in the OpenTelemetry specification.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from voxtrad import __version__
from voxtrad.errors import VoxtradError
from voxtrad.events.bus import Bus, Subscription
from voxtrad.events.types import (
    BargeIn,
    CallAnswered,
    CallEnded,
    CallFailed,
    CallStarted,
    CallTransferred,
    Decision,
    ErrorOccurred,
    Event,
    StageMeasured,
    ToolCompleted,
    TransferFailed,
    TurnEnded,
)

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

WATCHED: tuple[type[Event], ...] = (
    CallStarted, CallAnswered, CallEnded, CallFailed, CallTransferred, TransferFailed, BargeIn, ErrorOccurred,
    ToolCompleted, Decision, StageMeasured, TurnEnded,
)  # fmt: skip
CAPACITY = 10_000
"""Events that wait while the processor is busy; more are dropped."""
MOST_CALLS = 10_000
"""Calls whose end is waited for: that of a dropped event never comes."""
LAST_WORDS = 3.0
"""Seconds for exporting what is left when the server stops."""

log = structlog.stdlib.get_logger(__name__)


class TracesUnavailable(VoxtradError):
    """The environment asks for traces, and they cannot be exported."""


@contextlib.asynccontextmanager
async def traced(bus: Bus, environment: Mapping[str, str]) -> AsyncIterator[None]:
    """Export traces of what happens on the bus, where the environment names a collector, until the block is left.

    Raises `TracesUnavailable`.
    """
    if not wanted(environment):
        yield
        return
    provider = _provider(environment)
    traces = Traces(provider.get_tracer("voxtrad", __version__))
    with bus.subscribe("traces", WATCHED, capacity=CAPACITY) as events:
        reading = asyncio.create_task(traces.read(events), name="traces")
        log.info("calls are traced")
        try:
            yield
        finally:
            events.close()
            await reading
            await _shut_down(provider)


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether the standard variables name somebody to send traces to. Raises `TracesUnavailable`."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    named = any(environment.get(name) for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))
    if not named or environment.get("OTEL_TRACES_EXPORTER", "otlp").strip() == "none":
        return False
    protocol = environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environment.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if protocol and protocol != "http/protobuf":
        raise TracesUnavailable(
            f"traces cannot be exported by {protocol}",
            hint="OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf, with the collector's port for it (4318)",
        )
    return True


@dataclass(slots=True)
class _Call:
    span: Span
    began: float
    """Seconds since 1970, of which everything on the call is counted."""
    audible: float | None = None
    """When the last turn's answer was first heard, in seconds since the call began."""
    providers: dict[str, str] | None = None
    """Of the turn's stages."""


class Traces:
    """Makes spans of events."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._calls: dict[str, _Call] = {}

    async def read(self, events: Subscription[Event]) -> None:
        """Until the subscription is closed."""
        async for event in events:
            self.take(event)

    def take(self, event: Event) -> None:
        """Make what an event says part of its call's trace."""
        if isinstance(event, CallStarted):
            self._begin(event)
        elif (call := self._calls.get(event.call_id)) is not None:
            self._add(call, event)

    def _begin(self, event: CallStarted) -> None:
        span = self._tracer.start_span(
            "call",
            start_time=_ns(event.timestamp),
            attributes={
                "voxtrad.call.id": event.call_id,
                "voxtrad.agent": event.agent,
                "voxtrad.direction": event.direction,
                "voxtrad.linkedid": event.linkedid,
            },
        )
        self._calls[event.call_id] = _Call(span, event.timestamp)
        if len(self._calls) > MOST_CALLS:
            self._calls.pop(next(iter(self._calls)))

    def _add(self, call: _Call, event: Event) -> None:
        match event:
            case CallEnded():
                self._end(call, event)
            case Decision(what="answered_turn"):
                call.audible = event.at
            case StageMeasured():
                call.providers = {**(call.providers or {}), event.stage: event.provider}
            case TurnEnded():
                self._turn(call, event)
            case ToolCompleted():
                self._child(
                    call.span, f"tool {event.tool}", event.timestamp - event.duration, event.timestamp,
                    {"voxtrad.tool": event.tool, "voxtrad.tool.outcome": event.outcome}, failed=event.outcome != "ok",
                )  # fmt: skip
            case CallAnswered():
                call.span.add_event("answered", timestamp=_ns(event.timestamp))
            case BargeIn():
                call.span.add_event("barge_in", {"voxtrad.stop_ms": event.stop_ms}, _ns(event.timestamp))
            case CallTransferred():
                call.span.add_event("transferred", {"voxtrad.destination": event.destination}, _ns(event.timestamp))
            case TransferFailed():
                told = {"voxtrad.destination": event.destination, "voxtrad.outcome": event.outcome}
                call.span.add_event("transfer failed", told, _ns(event.timestamp))
            case CallFailed():
                call.span.add_event("failed", timestamp=_ns(event.timestamp))
            case ErrorOccurred():
                call.span.add_event("error", {"voxtrad.where": event.where}, _ns(event.timestamp))
            case _:
                pass

    def _turn(self, call: _Call, event: TurnEnded) -> None:
        """From the caller's last voiced frame to the first sound of the answer, and in it each stage where it lay."""
        audible, providers = call.audible, call.providers or {}
        call.audible = call.providers = None
        if audible is None:
            return
        end = call.began + audible
        start = end - event.latency
        turn = self._child(
            call.span, "turn", start, end, {"voxtrad.agent": event.agent, "voxtrad.turn": event.turn}, open=True
        )
        seconds = {stage: value for stage, value in event.stages.items() if isinstance(value, int | float)}
        decided = start + seconds.get("endpointing", 0.0)
        begins = {
            "endpointing": start,
            "stt_final": start,
            "llm_first_token": decided,
            "llm_first_sentence": decided,
            "tts_first_byte": decided + seconds.get("llm_first_sentence", 0.0),
            "playout": end - seconds.get("playout", 0.0),
        }
        for stage, begin in begins.items():
            if stage in seconds:
                named = {"voxtrad.provider": providers[stage]} if providers.get(stage) else {}
                self._child(turn, stage, begin, begin + seconds[stage], named)
        turn.end(_ns(end))

    def _child(
        self,
        parent: Span,
        name: str,
        start: float,
        end: float,
        attributes: Mapping[str, str | int],
        *,
        failed: bool = False,
        open: bool = False,
    ) -> Span:
        from opentelemetry.trace import StatusCode, set_span_in_context

        context = set_span_in_context(parent)
        span = self._tracer.start_span(name, context, attributes=dict(attributes), start_time=_ns(start))
        if failed:
            span.set_status(StatusCode.ERROR)
        if not open:
            span.end(_ns(end))
        return span

    def _end(self, call: _Call, event: CallEnded) -> None:
        from opentelemetry.trace import StatusCode

        del self._calls[event.call_id]
        call.span.set_attribute("voxtrad.outcome", event.outcome)
        call.span.set_attribute("voxtrad.talk_time", event.talk_time)
        if event.outcome in ("failed", "crashed"):
            call.span.set_status(StatusCode.ERROR)
        call.span.end(_ns(call.began + event.duration))


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)


def _provider(environment: Mapping[str, str]) -> TracerProvider:
    """Set up from the environment. Nothing of it is made the process's own. Raises `TracesUnavailable`."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise TracesUnavailable(
            "OTEL_EXPORTER_OTLP_ENDPOINT asks for traces, and OpenTelemetry is not installed",
            hint="pip install 'voxtrad[otel]'",
        ) from error
    resource = Resource.create({SERVICE_VERSION: __version__})
    if not environment.get("OTEL_SERVICE_NAME") and str(resource.attributes[SERVICE_NAME]).startswith("unknown_"):
        resource = resource.merge(Resource({SERVICE_NAME: "voxtrad"}))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


async def _shut_down(provider: TracerProvider) -> None:
    """In a thread of its own, that nobody waits for longer than this: a collector may be gone."""
    done, loop = asyncio.Event(), asyncio.get_running_loop()

    def work() -> None:
        provider.shutdown()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=work, name="traces", daemon=True).start()
    try:
        async with asyncio.timeout(LAST_WORDS):
            await done.wait()
    except TimeoutError:
        log.warning("some traces were not exported")
