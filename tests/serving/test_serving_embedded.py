"""Whole calls with the providers that run inside voxtrad; nothing is a stand-in but the weights of one voice."""

from __future__ import annotations

from pathlib import Path

import pytest
from vendors import VendorPremises, tone

from tests.fakes.piper_voice import make_voice

RULES = {"provider": "scripted", "rules": [{"match": "goodbye", "say": "Hello there."}]}


@pytest.mark.parametrize("tts", ["espeak", "piper"])
async def test_a_call_without_any_vendor(tmp_path: Path, tts: str) -> None:
    premises = VendorPremises(tmp_path)
    voice = {"provider": "piper", "voice": str(make_voice(tmp_path))} if tts == "piper" else "espeak"
    leg = await premises.call({"provider": "sphinx", "workers": 1}, RULES, voice)
    assert premises.said() == (["goodbye"], ["Hello there."])
    assert tone(leg) > 1.0
