"""Whole calls through vendors' protocols: every provider in its place once, and one call in which each stage dies."""

from __future__ import annotations

from pathlib import Path

import pytest
from vendors import HEARS, Fake, VendorPremises, longest_silence, tone

from tests.fakes import anthropic_server
from tests.fakes.anthropic_server import fake_anthropic
from tests.fakes.assemblyai_server import fake_assemblyai
from tests.fakes.cartesia_server import fake_cartesia
from tests.fakes.deepgram_server import fake_deepgram
from tests.fakes.deepgram_speak_server import fake_deepgram_speak
from tests.fakes.elevenlabs_listen_server import fake_scribe
from tests.fakes.elevenlabs_server import fake_elevenlabs
from tests.fakes.openai_realtime_server import fake_openai_realtime
from tests.fakes.openai_server import Cut, Stall, Text, fake_openai
from tests.fakes.wyoming_server import fake_wyoming

pytestmark = pytest.mark.virtual_time

STT: dict[str, tuple[Fake, str, dict[str, object]]] = {
    "deepgram": (fake_deepgram, "deepgram", {}),
    "flux": (fake_deepgram, "deepgram", {"model": "flux-general-en"}),
    "assemblyai": (fake_assemblyai, "assemblyai", {}),
    "assemblyai without turns": (fake_assemblyai, "assemblyai", {"ends_turns": False}),
    "elevenlabs": (fake_scribe, "elevenlabs", {}),
    "openai": (fake_openai, "openai", {}),
    "openai realtime": (fake_openai_realtime, "openai", {"realtime": True}),
    "wyoming": (fake_wyoming, "wyoming", {}),
}
LLM: dict[str, Fake] = {"openai": fake_openai, "anthropic": fake_anthropic}
TTS: dict[str, tuple[Fake, str, dict[str, object]]] = {
    "elevenlabs": (fake_elevenlabs, "elevenlabs", {}),
    "elevenlabs over http": (fake_elevenlabs, "elevenlabs", {"transport": "http", "encoding": "ulaw"}),
    "deepgram": (fake_deepgram_speak, "deepgram", {}),
    "openai": (fake_openai, "openai", {}),
    "wyoming": (fake_wyoming, "wyoming", {}),
    "cartesia": (fake_cartesia, "cartesia", {}),
}


@pytest.fixture
async def premises(tmp_path: Path):
    made = VendorPremises(tmp_path)
    async with made.stack:
        yield made


async def whole_call(
    premises: VendorPremises, *, stt: str = "deepgram", llm: str = "openai", tts: str = "elevenlabs"
) -> None:
    """Two turns, in which nothing is connected to that is waited for."""
    fake, type, options = STT[stt]
    hears = {} if fake in (fake_openai, fake_wyoming) else HEARS
    ears = await premises.serve(fake, type, **hears)
    mind = await premises.serve(LLM[llm], llm)
    voice, voice_type, voice_options = TTS[tts]
    mouth = await premises.serve(voice, voice_type)
    leg = await premises.call({"provider": ears, **options}, mind, {"provider": mouth, **voice_options}, turns=2)
    assert premises.said() == (["goodbye"] * 2, ["Hello there."] * 2)
    assert tone(leg) > 1.0
    before, *after = premises.connections
    assert all(before[name] for name in (ears, mind, mouth))
    for turn, counts in enumerate(after, 1):
        if stt == "wyoming":  # asked by a connection for each utterance, opened ahead
            assert counts.pop(ears) <= before[ears] + turn
        assert counts == {name: before[name] for name in counts}


@pytest.mark.parametrize("name", STT)
async def test_a_call_with_each_recogniser(premises: VendorPremises, name: str) -> None:
    await whole_call(premises, stt=name)


@pytest.mark.parametrize("name", LLM)
async def test_a_call_with_each_model(premises: VendorPremises, name: str) -> None:
    await whole_call(premises, llm=name)


@pytest.mark.parametrize("name", TTS)
async def test_a_call_with_each_voice(premises: VendorPremises, name: str) -> None:
    await whole_call(premises, tts=name)


async def test_a_call_in_which_each_stage_dies_once_is_finished_by_the_others(
    premises: VendorPremises,
) -> None:
    """The recogniser's socket breaks in the caller's word, the model's connection in its first, the voice stalls."""
    ears = [
        await premises.serve(fake_deepgram, "deepgram", behaviour="cut", **HEARS),
        await premises.serve(fake_assemblyai, "assemblyai", **HEARS),
    ]
    mind = [
        await premises.serve(fake_openai, "openai", answers=[Cut([]), Text(["not me"])]),
        await premises.serve(fake_anthropic, "anthropic", answers=[anthropic_server.Text(["Hello", " there."])]),
    ]
    mouth = [
        await premises.serve(fake_elevenlabs, "elevenlabs", behaviour="stall"),
        await premises.serve(fake_deepgram_speak, "deepgram"),
    ]
    leg = await premises.call(ears, mind, mouth)
    assert premises.said() == (["goodbye"], ["Hello there."])
    assert longest_silence(leg) < 4.0


@pytest.mark.parametrize("filler", [[], ["One moment, please."]], ids=["no fillers", "fillers"])
async def test_a_call_in_which_each_stage_falls_silent_once_is_finished_by_the_others(
    premises: VendorPremises, filler: list[str]
) -> None:
    """No socket breaks and no error comes: the recogniser, the model and the voice just say nothing."""
    ears = [
        await premises.serve(fake_deepgram, "deepgram", behaviour="silent", **HEARS),
        await premises.serve(fake_scribe, "elevenlabs", **HEARS),
    ]
    mind = [
        await premises.serve(fake_openai, "openai", answers=[Stall()]),
        await premises.serve(fake_anthropic, "anthropic", answers=[anthropic_server.Text(["Hello", " there."])]),
    ]
    mouth = [
        await premises.serve(fake_cartesia, "cartesia", behaviour="stall"),
        await premises.serve(fake_elevenlabs, "elevenlabs"),
    ]
    leg = await premises.call(ears, mind, mouth, filler=filler, patience=3.9)
    assert premises.said() == (["goodbye"], ["Hello there."])
    assert longest_silence(leg) < 4.0


async def test_how_long_one_may_take_before_the_next_takes_over_is_the_agents_to_say(premises: VendorPremises) -> None:
    ears = await premises.serve(fake_deepgram, "deepgram", **HEARS)
    mind = [
        await premises.serve(fake_openai, "openai", answers=[Stall()]),
        await premises.serve(fake_anthropic, "anthropic"),
    ]
    mouth = [
        await premises.serve(fake_elevenlabs, "elevenlabs", behaviour="stall"),
        await premises.serve(fake_deepgram_speak, "deepgram"),
    ]
    leg = await premises.call(ears, mind, mouth, deadlines={"first_token": "500ms", "first_audio": "400ms"})
    assert premises.said() == (["goodbye"], ["Hello there."])
    assert longest_silence(leg) < 2.0


@pytest.mark.parametrize("behaviour", ["silent", "silent after a word"])
async def test_one_that_ends_turns_and_falls_silent_in_one_is_stood_in_for_in_it(
    premises: VendorPremises, behaviour: str
) -> None:
    flux = await premises.serve(fake_deepgram, "deepgram", behaviour=behaviour, **HEARS)
    ears = [
        {"provider": flux, "model": "flux-general-en"},
        await premises.serve(fake_assemblyai, "assemblyai", **HEARS),
    ]
    leg = await premises.call(
        ears, await premises.serve(fake_openai, "openai"), await premises.serve(fake_elevenlabs, "elevenlabs"),
        patience=3.9,
    )  # fmt: skip
    assert premises.said() == (["goodbye"], ["Hello there."])
    assert longest_silence(leg) < 4.0


async def test_assemblyai_falls_silent_in_a_turn(premises: VendorPremises) -> None:
    ears = [
        await premises.serve(fake_assemblyai, "assemblyai", behaviour="silent after a word", **HEARS),
        await premises.serve(fake_deepgram, "deepgram", **HEARS),
    ]
    leg = await premises.call(
        ears, await premises.serve(fake_openai, "openai"), await premises.serve(fake_elevenlabs, "elevenlabs"),
        patience=3.9,
    )  # fmt: skip
    assert premises.said() == (["goodbye"], ["Hello there."])
    assert longest_silence(leg) < 4.0


@pytest.mark.parametrize("alone", [False, True])
async def test_a_recogniser_that_falls_silent_without_an_error_is_stood_in_for_in_the_same_turn(
    premises: VendorPremises, alone: bool
) -> None:
    """Audio flows and nothing comes. The utterance is heard by the next, or over a new connection to the same."""
    first = await premises.serve(fake_deepgram, "deepgram", behaviour="silent once" if alone else "silent", **HEARS)
    ears = [first] if alone else [first, await premises.serve(fake_assemblyai, "assemblyai", **HEARS)]
    leg = await premises.call(
        ears, await premises.serve(fake_openai, "openai"), await premises.serve(fake_elevenlabs, "elevenlabs")
    )
    assert premises.said() == (["goodbye"], ["Hello there."])
    assert longest_silence(leg) < 4.0
