"""What `explain` shows of a value is what may be written for it."""

from __future__ import annotations

from pathlib import Path

from voxtrad.config.effective import in_effect
from voxtrad.config.loader import load
from voxtrad.providers.registry import provider_types

TEXT = """
providers: {deepgram: {api_key: k}}
agents:
  a:
    stt: {provider: deepgram, model: flux-general-en, eot_timeout: 5000ms}
    llm: scripted
    tts: espeak
    turn: {min_silence: 0.4}
"""


def test_a_length_of_time_is_shown_as_one(tmp_path: Path) -> None:
    """Also where null may stand instead."""
    path = tmp_path / "voxtrad.yaml"
    path.write_text(TEXT, encoding="utf-8")
    loaded = load(path, provider_types=provider_types(), environment={})
    shown = {line.loc[2:]: line.value for line in in_effect(loaded.config.agents["a"], ("agents", "a"), loaded.origin)}
    assert shown["turn", "min_silence"] == "400ms"
    assert shown["stt", 0, "endpointing"] == "300ms"
    assert shown["stt", 0, "eot_timeout"] == "5s"
    assert shown["max_calls",] == "null"
