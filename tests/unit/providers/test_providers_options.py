"""What is wrong with a vendor's keys and options is told with the configuration, at the key, and not in every call."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ValidationError

from voxtrad.config.diagnostics import ConfigError
from voxtrad.config.loader import load
from voxtrad.providers.registry import BUILT_IN, provider_types


def connections_with_a_key() -> list[type[BaseModel]]:
    types = provider_types()
    every = {types[kind][name].connection for kind in BUILT_IN for name in BUILT_IN[kind]}
    return sorted((each for each in every if "api_key" in each.model_fields), key=lambda each: each.__name__)


@pytest.mark.parametrize("connection", connections_with_a_key())
@pytest.mark.parametrize("key", ["sk-123\n", "sk-123\r\n", " sk-123", "sk-1\n23", "sk-123…", "\ufeffsk-123", "\n"])
def test_a_key_that_no_header_can_hold_is_refused_without_being_told(connection: type[BaseModel], key: str) -> None:
    with pytest.raises(ValidationError) as raised:
        connection.model_validate({"api_key": key})
    (error,) = raised.value.errors(include_input=False)
    assert error["loc"] == ("api_key",) and "line break" in error["msg"] and "123" not in error["msg"]


@pytest.mark.parametrize("connection", connections_with_a_key())
@pytest.mark.parametrize("key", ["sk-123_+/=.~!", "x", "one two", "${env:KEY:-not set\n}"])
def test_other_keys_are_none_of_our_business(connection: type[BaseModel], key: str) -> None:
    connection.model_validate({"api_key": key})


FLUX = "stt: {provider: deepgram, model: flux-general-en"


@pytest.mark.parametrize(
    ("line", "places"),
    [
        (f"{FLUX}, eot_timeout: 90s}}", {"stt.eot_timeout"}),
        (f"{FLUX}, smart_format: true, language: de}}", {"stt.smart_format", "stt.language"}),
        (f"{FLUX}, eager_eot_threshold: 0.8, eot_threshold: 0.6}}", {"stt.eager_eot_threshold"}),
        (f"{FLUX}, eot_threshold: 7, eager_eot_threshold: 0.8}}", {"stt.eot_threshold"}),
        ("stt: {provider: deepgram, eot_timeout: 2s, keyterm: [x]}", {"stt.eot_timeout", "stt.keyterm"}),
        ("stt: {provider: deepgram, model: nova-2, keyterms: [x]}", {"stt.keyterms"}),
        ("stt: {provider: openai, realtime: true, temperature: 0}", {"stt.temperature"}),
        ("stt: {provider: openai, noise_reduction: near_field}", {"stt.noise_reduction"}),
        ("stt: {provider: openai, model: gpt-realtime-whisper, prompt: x, keyterms: [x]}",
         {"stt.prompt", "stt.keyterms"}),
        ("stt: {provider: assemblyai, ends_turns: false, end_of_turn_confidence: 1}", {"stt.end_of_turn_confidence"}),
        ("stt: {provider: assemblyai, min_turn_silence: 2s, max_turn_silence: 1s}", {"stt.min_turn_silence"}),
        ("tts: {provider: elevenlabs, model: eleven_v3}", {"tts.model"}),
        ("tts: {provider: elevenlabs, model: eleven_v3, transport: websocket}", {"tts.transport"}),
        ("llm: {provider: scripted, rules: [{match: x, say: x, on_error: x}]}", {"llm.rules[0].on_error"}),
        ("llm: {provider: scripted, rules: [{match: x, sai: x}]}", {"llm.rules[0].sai"}),
        ("llm: {provider: scripted, rules: [{match: x, say: '{{ match.n }}', tol: 1}]}",
         {"llm.rules[0].say", "llm.rules[0].tol"}),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_told_at_a_key_and_beside_what_else_is_wrong(line: str, places: set[str]) -> None:
    vendors = ", ".join(f"{name}: {{api_key: k}}" for name in ("deepgram", "openai", "assemblyai", "elevenlabs"))
    usual = {"stt": "stt: sphinx", "llm": "llm: scripted", "tts": "tts: espeak"}
    agent = {**usual, line.partition(":")[0]: line}
    text = f"providers: {{{vendors}}}\nagents: {{a: {{{', '.join(agent.values())}}}}}\n"
    with pytest.raises(ConfigError) as raised:
        load(Path("v.yaml"), provider_types=provider_types(), environment={}, read=lambda _: text.encode())
    assert {diagnostic.path for diagnostic in raised.value.diagnostics} == {f"agents.a.{place}" for place in places}
