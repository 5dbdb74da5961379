"""Traces, by the real exporter, as a collector that speaks OTLP receives them."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.unit.api.running_server import running, write_config
from tests.unit.observability.test_observability_metrics import goodbye
from voxtrad.events.bus import Bus
from voxtrad.events.types import AgentSpeechEnded, CallEnded, CallStarted, ErrorOccurred, ToolCompleted
from voxtrad.observability.traces import TracesUnavailable, traced, wanted

Attributes = dict[str, str | int | float]


class Collector:
    def __init__(self) -> None:
        self.url = ""
        self.services: set[str] = set()
        self.spans: list[Span] = []
        self.raw = b""

    async def take(self, request: web.Request) -> web.Response:
        assert request.content_type == "application/x-protobuf"
        body = await request.read()
        self.raw += body
        sent = ExportTraceServiceRequest.FromString(body)
        for group in sent.resource_spans:
            self.services |= {a.value.string_value for a in group.resource.attributes if a.key == "service.name"}
            self.spans += [span for scope in group.scope_spans for span in scope.spans]
        text = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=text, content_type="application/x-protobuf")

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    made = Collector()
    app = web.Application()
    app.router.add_post("/v1/traces", made.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = "http://{}:{}".format(*runner.addresses[0][:2])
    yield made
    await runner.cleanup()


def attributes(span: Span) -> Attributes:
    found: Attributes = {}
    for attribute in span.attributes:
        kind = attribute.value.WhichOneof("value")
        assert kind is not None
        found[attribute.key] = getattr(attribute.value, kind)
    return found


async def test_a_call_is_a_trace_and_a_turn_a_span_with_its_stages(
    tmp_path: Path, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    word = await goodbye()
    async with running(write_config(tmp_path)) as house, house.call() as leg:
        await house.happened(AgentSpeechEnded)
        await leg.say(word)
        await house.happened(CallEnded)
    (ended,) = [event for event in house.events if isinstance(event, CallEnded)]
    assert collector.services == {"voxtrad"}
    assert len({span.trace_id for span in collector.spans}) == 1
    (call,), (turn,), (tool,) = collector.named("call"), collector.named("turn"), collector.named("tool end_call")
    told = attributes(call)
    assert (told["voxtrad.call.id"], told["voxtrad.agent"]) == (ended.call_id, "support")
    assert (told["voxtrad.direction"], told["voxtrad.outcome"]) == ("inbound", "completed")
    assert [event.name for event in call.events] == ["answered"]
    assert not call.parent_span_id and turn.parent_span_id == tool.parent_span_id == call.span_id
    assert (call.end_time_unix_nano - call.start_time_unix_nano) / 1e9 == pytest.approx(ended.duration, abs=0.001)
    assert call.start_time_unix_nano < turn.start_time_unix_nano < turn.end_time_unix_nano < call.end_time_unix_nano
    stages = {span.name: span for span in collector.spans if span.parent_span_id == turn.span_id}
    assert set(stages) == {
        "endpointing", "stt_final", "llm_first_token", "llm_first_sentence", "tts_first_byte", "playout",
    }  # fmt: skip
    slack = 2_000_000  # figures are rounded to milliseconds
    for span in stages.values():
        assert turn.start_time_unix_nano - slack <= span.start_time_unix_nano
        assert span.start_time_unix_nano <= span.end_time_unix_nano <= turn.end_time_unix_nano + slack
    assert attributes(stages["endpointing"]) == {"voxtrad.provider": "sphinx"}
    assert attributes(stages["tts_first_byte"]) == {"voxtrad.provider": "espeak"}
    assert attributes(tool)["voxtrad.tool.outcome"] == "ok"
    for secret in (b"442071234567", b"Hello", b"oodbye", b"PJSIP"):
        assert secret not in collector.raw


async def test_failures_are_errors_and_the_service_is_named_as_usual(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "office")
    bus = Bus()
    who: Any = {"call_id": "c_1", "agent": "support"}
    async with traced(bus, os.environ):
        bus.publish(CallStarted(**who, direction="outbound", caller="1", dialled="2", channel="x", linkedid="l"))
        bus.publish(ToolCompleted(**who, tool="lookup", tool_call_id="t", outcome="timeout", duration=1.0))
        bus.publish(ErrorOccurred(**who, where="conversation", message="a secret"))
        bus.publish(CallEnded(**who, outcome="failed", reason="a secret", duration=2.0, talk_time=1.0))
        bus.publish(
            CallEnded(call_id="c_unknown", agent="support", outcome="failed", reason="", duration=2, talk_time=1)
        )
    (call,), (tool,) = collector.named("call"), collector.named("tool lookup")
    assert call.status.code == tool.status.code == Status.STATUS_CODE_ERROR
    assert [event.name for event in call.events] == ["error"]
    assert collector.services == {"office"} and b"a secret" not in collector.raw


async def test_a_collector_that_is_gone_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    async with running(write_config(tmp_path)) as house:  # which waits for the server's end for 20 s
        async with house.call():
            await house.happened(AgentSpeechEnded)
        await house.happened(CallEnded)
        assert (await house.ask("GET", "/live")).status == 200


def test_the_standard_variables_switch_it_on_and_off() -> None:
    here = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}
    assert wanted(here)
    assert wanted({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"})
    assert wanted({**here, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"})
    for off in ({"OTEL_SDK_DISABLED": "True"}, {"OTEL_TRACES_EXPORTER": "none"}):
        assert not wanted({**here, **off})
    assert not wanted({})
    with pytest.raises(TracesUnavailable) as error:
        wanted({**here, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})
    assert error.value.hint is not None and "4318" in error.value.hint


async def test_without_the_extra_the_server_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(TracesUnavailable, match="not installed"):
        async with running(write_config(tmp_path)):
            pass


async def test_it_is_imported_only_where_it_is_wanted(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from tests.unit.api.running_server import running, write_config\n"
        "async def main():\n"
        f"    async with running(write_config(Path({str(tmp_path)!r}))): pass\n"
        "asyncio.run(main())\n"
        "sys.exit(any(name.partition('.')[0] == 'opentelemetry' for name in sys.modules))\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, cwd=Path(__file__).parents[3], stdout=asyncio.subprocess.DEVNULL
    )
    assert await process.wait() == 0
