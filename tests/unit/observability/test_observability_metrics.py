"""The metrics are those that users are promised, present from the start, and count what happens."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path
from typing import cast, get_args, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.ledger.support import WHO, ended, started
from tests.unit.api.running_server import running, write_config
from tests.unit.observability.exposition import families, value, whole_config, whole_metrics
from voxtrad.config.tools import McpServer, McpTool
from voxtrad.conversation.floor import Kind
from voxtrad.events.bus import Bus
from voxtrad.events.types import (
    AgentSpeechEnded,
    AudioReceived,
    AudioUnderrun,
    BargeIn,
    CallEnded,
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
from voxtrad.ledger.ledger import open_ledger
from voxtrad.ledger.store import Settings as LedgerSettings
from voxtrad.leg import Refusal
from voxtrad.observability import names
from voxtrad.observability.lag import measure_lag
from voxtrad.observability.names import Names, fingerprint
from voxtrad.observability.readings import Backlog
from voxtrad.observability.watching import WATCHED, Watching
from voxtrad.outbound import schedule
from voxtrad.providers.base import TextToSpeech
from voxtrad.providers.fallback import circle
from voxtrad.providers.registry import provider_types

PROMISED = """
calls_total{agent,direction,outcome} calls_active calls_limit calls_rejected_total{reason} call_duration_seconds{agent}
turn_latency_seconds{agent} stage_latency_seconds{stage,provider} added_latency_seconds
barge_in_stop_seconds interruptions_total{kind} dead_air_total provider_requests_total{provider,kind,outcome}
provider_fallbacks_total{kind} llm_tokens_total{provider,kind}
tool_calls_total{tool,outcome} tool_duration_seconds{tool} transfers_total{destination,outcome}
transfers_denied_total{reason}
webhook_deliveries_total{endpoint,outcome} webhook_queue_depth webhook_oldest_seconds
webhook_dead_letters_total{endpoint}
audio_underruns_total audio_packets_total audio_packets_lost_total audio_packets_late_total
event_loop_lag_seconds ari_connected ari_reconnects_total config_last_reload_successful
config_info{hash} build_info auth_failures_total
"""
"""As in the documentation. build_info has what is usual beside: version and python."""


def promised() -> dict[str, set[str]]:
    found = re.findall(r"(\w+)(?:{([\w,]+)})?", PROMISED)
    return {f"voxtrad_{name}": set(labels.split(",")) - {""} for name, labels in found}


def test_exactly_what_is_promised(tmp_path: Path) -> None:
    shown = families(whole_metrics(tmp_path))
    labels = {
        name: {label for sample in family.samples for label in sample.labels} - {"le"} for name, family in shown.items()
    }
    labels["voxtrad_build_info"] -= {"version", "python"}
    assert labels == promised()


def test_every_series_is_there_from_the_start_and_nothing_was_counted(tmp_path: Path) -> None:
    metrics = whole_metrics(tmp_path)
    for family in families(metrics).values():
        assert family.samples, f"{family.name} has no series"
        if family.type in ("counter", "histogram") and "reconnects" not in family.name:
            assert {sample.value for sample in family.samples} == {0.0}, family.name
    for agent in ("support", "sales"):
        for outcome in names.OUTCOMES:
            assert value(metrics, "voxtrad_calls_total", agent=agent, direction="inbound", outcome=outcome) == 0
    stages = {
        (s.labels["stage"], s.labels["provider"]) for s in families(metrics)["voxtrad_stage_latency_seconds"].samples
    }
    assert stages == {
        ("endpointing", "sphinx"), ("stt_final", "sphinx"), ("llm_first_token", "ollama"),
        ("llm_first_token", "scripted"), ("llm_first_sentence", "ollama"), ("llm_first_sentence", "scripted"),
        ("tts_first_byte", "espeak"), ("playout", ""),
    }  # fmt: skip


def test_closed_sets_are_those_of_the_rooms() -> None:
    assert set(names.REQUEST_OUTCOMES) == set(get_args(circle.Outcome))
    assert set(names.DELIVERIES) == set(get_args(schedule.Outcome))
    assert set(names.INTERRUPTIONS) <= {kind.value for kind in Kind}
    assert set(names.TOOL_OUTCOMES) == set(get_args(get_type_hints(ToolCompleted)["outcome"]))
    assert set(names.TRANSFER_DENIALS) == set(get_args(get_type_hints(TransferDenied)["reason"]))
    assert set(names.TRANSFER_OUTCOMES) == {*get_args(Refusal), "answered", "handed_over", "abandoned"}
    assert set(names.STAGE_KINDS) == set(names.STAGES) - {"playout"}


COUNTED: list[tuple[Event, str, dict[str, str], float]] = [
    (TurnEnded(**WHO, turn=1, latency=0.7), "voxtrad_turn_latency_seconds_sum", {"agent": "support"}, 0.7),
    (LatencyAdded(**WHO, seconds=0.004), "voxtrad_added_latency_seconds_bucket", {"le": "0.005"}, 1),
    (LatencyAdded(**WHO, seconds=0.004), "voxtrad_added_latency_seconds_bucket", {"le": "0.003"}, 0),
    (
        StageMeasured(**WHO, stage="tts_first_byte", provider="espeak", seconds=0.2),
        "voxtrad_stage_latency_seconds_sum", {"stage": "tts_first_byte", "provider": "espeak"}, 0.2,
    ),
    (
        StageMeasured(**WHO, stage="playout", provider="", seconds=0.02),
        "voxtrad_stage_latency_seconds_count", {"stage": "playout", "provider": ""}, 1,
    ),
    (BargeIn(**WHO, reason="words", heard="I", stop_ms=240.0), "voxtrad_barge_in_stop_seconds_sum", {}, 0.24),
    (Decision(**WHO, at=1.0, what="flush", reason=""), "voxtrad_interruptions_total", {"kind": "barge_in"}, 1),
    (Decision(**WHO, at=1.0, what="resume", reason=""), "voxtrad_interruptions_total", {"kind": "false"}, 1),
    (
        Decision(**WHO, at=1.0, what="merge_and_restart", reason=""),
        "voxtrad_interruptions_total", {"kind": "continued"}, 1,
    ),
    (DeadAir(**WHO, seconds=4.0), "voxtrad_dead_air_total", {}, 1),
    (AudioUnderrun(**WHO), "voxtrad_audio_underruns_total", {}, 1),
    (AudioReceived(**WHO, due=500, lost=20, late=3), "voxtrad_audio_packets_total", {}, 500),
    (AudioReceived(**WHO, due=500, lost=20, late=3), "voxtrad_audio_packets_lost_total", {}, 20),
    (AudioReceived(**WHO, due=500, lost=20, late=3), "voxtrad_audio_packets_late_total", {}, 3),
    (
        TokensUsed(**WHO, provider="ollama", prompt_tokens=30, completion_tokens=7),
        "voxtrad_llm_tokens_total", {"provider": "ollama", "kind": "completion"}, 7,
    ),
    (
        ToolCompleted(**WHO, tool="look_up", tool_call_id="t", outcome="timeout", duration=8.0),
        "voxtrad_tool_calls_total", {"tool": "look_up", "outcome": "timeout"}, 1,
    ),
    (
        ToolCompleted(**WHO, tool="look_up", tool_call_id="t", outcome="ok", duration=0.3),
        "voxtrad_tool_duration_seconds_sum", {"tool": "look_up"}, 0.3,
    ),
    (
        TransferCompleted(**WHO, destination="reception", outcome="answered"),
        "voxtrad_transfers_total", {"destination": "reception", "outcome": "answered"}, 1,
    ),
    (
        TransferFailed(**WHO, destination="reception", outcome="busy"),
        "voxtrad_transfers_total", {"destination": "reception", "outcome": "busy"}, 1,
    ),
    (TransferDenied(**WHO, reason="not_allowed"), "voxtrad_transfers_denied_total", {"reason": "not_allowed"}, 1),
    (
        ended(outcome="idle"),
        "voxtrad_calls_total", {"agent": "support", "direction": "inbound", "outcome": "idle"}, 1,
    ),
    (ended(duration=61.0), "voxtrad_call_duration_seconds_sum", {"agent": "support"}, 61.0),
]  # fmt: skip


@pytest.mark.parametrize(("event", "name", "labels", "then"), COUNTED)
def test_what_happens_is_counted(tmp_path: Path, event: Event, name: str, labels: dict[str, str], then: float) -> None:
    metrics, bus = whole_metrics(tmp_path), Bus()
    Watching(metrics).watch(bus)
    bus.publish(event)
    assert value(metrics, name, **labels) == pytest.approx(then)


def test_the_table_above_has_every_event_that_is_watched() -> None:
    assert {type(event) for event, *_ in COUNTED} | {type(started())} == set(WATCHED)


def test_a_call_is_counted_by_its_direction(tmp_path: Path) -> None:
    metrics = whole_metrics(tmp_path)
    watching = Watching(metrics)
    watching.count(started(direction="outbound"))
    watching.count(ended())
    assert value(metrics, "voxtrad_calls_total", agent="support", direction="outbound", outcome="completed") == 1


def test_reports_of_the_rooms(tmp_path: Path) -> None:
    metrics = whole_metrics(tmp_path, Backlog(5, 12.5, {"crm": 3}, {"crm": 7}))
    metrics.on_rejected("max_calls")
    metrics.on_request("ollama", "llm", "timeout")
    metrics.on_fallback("llm", "ollama", "scripted", "it was late")
    metrics.on_delivery("crm", "dead", 0.1)
    metrics.on_auth_failure()
    assert value(metrics, "voxtrad_calls_rejected_total", reason="max_calls") == 1
    assert value(metrics, "voxtrad_provider_requests_total", provider="ollama", kind="llm", outcome="timeout") == 1
    assert value(metrics, "voxtrad_provider_fallbacks_total", kind="llm") == 1
    assert value(metrics, "voxtrad_webhook_deliveries_total", endpoint="crm", outcome="dead") == 1
    assert value(metrics, "voxtrad_webhook_dead_letters_total", endpoint="crm") == 11, (
        "one now, three too old, seven dropped"
    )
    assert value(metrics, "voxtrad_webhook_queue_depth") == 5
    assert value(metrics, "voxtrad_webhook_oldest_seconds") == 12.5
    assert value(metrics, "voxtrad_auth_failures_total") == 1
    assert value(metrics, "voxtrad_calls_active") == 3
    assert value(metrics, "voxtrad_ari_reconnects_total") == 2


@settings(deadline=None, max_examples=40)
@given(st.lists(st.text(max_size=20), min_size=1, max_size=10))
def test_nobody_can_make_series(tmp_path_factory: pytest.TempPathFactory, words: list[str]) -> None:
    """Whatever callers and models say, there are only so many series."""
    metrics = whole_metrics(tmp_path_factory.mktemp("metrics"))
    watching = Watching(metrics)
    for word in words:
        who = {"call_id": word, "agent": word}
        watching.count(ToolCompleted(**who, tool=word, tool_call_id=word, outcome="ok", duration=1.0))
        watching.count(TransferFailed(**who, destination=word, outcome=word))
        watching.count(TurnEnded(**who, turn=1, latency=1.0))
        watching.count(StageMeasured(**who, stage="stt_final", provider=word, seconds=1.0))
        watching.count(TokensUsed(**who, provider=word, prompt_tokens=1, completion_tokens=1))
        watching.count(Decision(**who, at=0.0, what=word, reason=word))
        metrics.on_request(word, "llm", word)
        metrics.on_request("ollama", word, "ok")
        metrics.on_fallback(word, word, word, word)
        metrics.on_delivery(word, word, 0.0)
        metrics.on_rejected(word)
    allowed = {
        *names.OUTCOMES, *names.DIRECTIONS, *names.REJECTIONS, *names.STAGES, *names.KINDS, *names.REQUEST_OUTCOMES,
        *names.TOKEN_KINDS, *names.TOOL_OUTCOMES, *names.INTERRUPTIONS.values(), *names.TRANSFER_OUTCOMES,
        *names.TRANSFER_DENIALS, *names.DELIVERIES, "support", "sales", "sphinx", "espeak", "scripted", "ollama",
        "look_up", "end_call", "crm", "reception", "", names.OTHER,
    }  # fmt: skip
    for name, family in families(metrics).items():
        if not name.endswith("_info"):
            for sample in family.samples:
                assert {v for label, v in sample.labels.items() if label != "le"} <= allowed, name


def test_tools_of_an_mcp_server_go_by_what_the_configuration_names(tmp_path: Path) -> None:
    some = Names.of(whole_config(tmp_path))
    known = Names(some.agents, (*some.tools, "crm_find", "docs"), ("crm", "docs"), (), (), some.providers)
    assert known.tool("crm_find") == "crm_find"
    assert known.tool("docs_anything") == "docs"
    assert known.tool("look_up") == "look_up"
    assert known.tool("whatever") == names.OTHER


def test_a_tool_of_an_mcp_server_is_counted_by_the_name_that_models_know_it_by(tmp_path: Path) -> None:
    metrics, config = whole_metrics(tmp_path), whole_config(tmp_path)
    server = McpTool(name="crm", mcp=McpServer(url="http://127.0.0.1:1/mcp", tools=("say.hello",)))
    metrics.configure(config.model_copy(update={"tools": {**config.tools, "crm": server}}))
    assert metrics.names.tool("crm_say_hello") == "crm_say_hello"
    assert value(metrics, "voxtrad_tool_calls_total", tool="crm_say_hello", outcome="ok") == 0


def test_a_reload_adds_series_and_takes_none(tmp_path: Path) -> None:
    metrics = whole_metrics(tmp_path)
    config = whole_config(tmp_path)
    metrics.configure(config.model_copy(update={"agents": {"new": config.agents["sales"]}}))
    for agent in ("new", "support"):
        assert value(metrics, "voxtrad_call_duration_seconds_count", agent=agent) == 0
    assert len(families(metrics)["voxtrad_config_info"].samples) == 1


def test_the_hash_tells_configurations_apart(tmp_path: Path) -> None:
    config = whole_config(tmp_path)
    assert fingerprint(config) == fingerprint(whole_config(tmp_path))
    assert fingerprint(config) != fingerprint(config.model_copy(update={"webhooks": ()}))


@pytest.mark.parametrize("accept", ["", "text/plain", "application/openmetrics-text;version=1.0.0", "nonsense;;q=x"])
def test_both_formats(tmp_path: Path, accept: str) -> None:
    text, content_type = whole_metrics(tmp_path).exposition(accept)
    assert ("openmetrics" in content_type) == ("openmetrics" in accept)
    assert b"voxtrad_calls_total{" in text and b"_created" not in text


class Enough(Exception):
    pass


async def test_lag_is_measured() -> None:
    found: list[float] = []

    def blocking(lag: float) -> None:
        found.append(lag)
        if len(found) == 1:
            loop.call_later(0.005, time.sleep, 0.1)  # while the next timer runs
        if len(found) == 3:
            raise Enough

    loop = asyncio.get_running_loop()
    with pytest.raises(Enough):
        await measure_lag(blocking, every=0.01)
    assert found[1] >= 0.08, "it was blocked for 100 ms"
    assert min(found) >= 0.0


async def test_calls_that_a_crash_left_open_are_counted_at_the_next_start(tmp_path: Path) -> None:
    async with open_ledger(tmp_path / "var", LedgerSettings()) as ledger:
        ledger.record(started())
        await ledger.flush()
    series = 'voxtrad_calls_total{agent="support",direction="inbound",outcome="crashed"}'
    for count in (1, 0):
        async with running(write_config(tmp_path)) as house:
            assert await house.metric(series) == count


async def test_a_real_call_is_counted(tmp_path: Path) -> None:
    async with running(write_config(tmp_path)) as house:
        async with house.call():
            await house.happened(AgentSpeechEnded)
            assert await house.metric("voxtrad_calls_active") == 1
        await house.happened(CallEnded)
        series = 'voxtrad_calls_total{agent="support",direction="inbound",outcome="caller_hangup"}'
        assert await house.metric(series) == 1
        assert await house.metric('voxtrad_call_duration_seconds_count{agent="support"}') == 1
        assert await house.metric("voxtrad_calls_active") == 0
        assert await house.metric("voxtrad_calls_limit") == 4
        assert await house.metric("voxtrad_event_loop_lag_seconds_count") > 0


async def goodbye() -> bytes:
    """A caller's word, in the built-in voice."""
    type_ = provider_types()["tts"]["espeak"]
    narrator = cast("TextToSpeech", type_.build("caller", type_.connection(), type_.options()))
    voice = await narrator.open(rate=8000, language="en")
    try:
        return b"".join([chunk.pcm async for chunk in voice.synthesize("bye. Goodbye.")])
    finally:
        await voice.aclose()
        await narrator.aclose()


async def test_a_spoken_turn_is_counted(tmp_path: Path) -> None:
    """From the recogniser to the tool that ends the call: every stage leaves its figure."""
    word = await goodbye()
    async with running(write_config(tmp_path)) as house:
        async with house.call() as leg:
            await house.happened(AgentSpeechEnded)
            await leg.say(word)
            await house.happened(CallEnded)
        assert await house.metric('voxtrad_turn_latency_seconds_count{agent="support"}') == 1
        assert await house.metric("voxtrad_added_latency_seconds_count") == 1
        for stage, provider in (
            ("endpointing", "sphinx"), ("stt_final", "sphinx"), ("llm_first_token", "scripted"),
            ("llm_first_sentence", "scripted"), ("tts_first_byte", "espeak"), ("playout", ""),
        ):  # fmt: skip
            series = f'voxtrad_stage_latency_seconds_count{{provider="{provider}",stage="{stage}"}}'
            assert await house.metric(series) == 1, stage
        assert await house.metric('voxtrad_tool_calls_total{outcome="ok",tool="end_call"}') == 1
        assert await house.metric('voxtrad_provider_requests_total{kind="llm",outcome="ok",provider="scripted"}') >= 1
        assert await house.metric('voxtrad_calls_total{agent="support",direction="inbound",outcome="completed"}') == 1
        assert await house.metric("voxtrad_dead_air_total") == 0
        assert await house.metric("voxtrad_audio_underruns_total") == 0
