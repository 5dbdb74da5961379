"""Sentences kept as audio: what the configuration says is there before the first call, and stays."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from stage import RATE, Synthesis, voice_of

from voxtrad.conversation.speech_cache import DIGEST, SpeechCache
from voxtrad.providers.base import SpeechChunk, Unreachable
from voxtrad.providers.fallback.tts import FallbackTTS

pytestmark = pytest.mark.virtual_time


def files(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_prepared_sentences_are_in_memory_and_on_disk(tmp_path: Path) -> None:
    tts = Synthesis()
    await SpeechCache(tmp_path / "speech").prepare(tts, "en", RATE, ["Hello.", "One moment.", "Hello.", " "])
    assert tts.spoken == ["Hello.", "One moment."]
    assert tts.open_voices == 0
    again = SpeechCache(tmp_path / "speech")
    await again.prepare(tts, "en", RATE, ["Hello.", "One moment."])
    assert tts.spoken == ["Hello.", "One moment."], "read from the disk"
    kept = again.voice(tts.fingerprint, "en", RATE).get("Hello.")
    assert kept is not None and len(kept) == pytest.approx(len(voice_of("Hello.")), abs=RATE // 25)


async def test_what_another_voice_stood_in_for_is_not_kept(tmp_path: Path) -> None:
    first, second = Synthesis(fails={"Hello": 0.0}), Synthesis(fingerprint="second")
    tts = FallbackTTS([first, second])
    cache = SpeechCache(tmp_path / "speech")
    await cache.prepare(tts, "en", RATE, ["Hello."])
    assert second.spoken == ["Hello."]
    assert cache.voice(tts.fingerprint, "en", RATE).get("Hello.") is None and not (tmp_path / "speech").exists()
    await tts.aclose()


async def test_another_voice_or_rate_is_another_sound() -> None:
    cache = SpeechCache(None)
    cache.voice("a", "en", 8000).put("Hello.", b"\1\0")
    assert cache.voice("a", "en", 8000).get("Hello.") == b"\1\0"
    assert cache.voice("b", "en", 8000).get("Hello.") is None
    assert cache.voice("a", "en", 16000).get("Hello.") is None
    assert cache.voice("a", "en", 8000).get("Hello") is None
    assert cache.voice("a", "de", 8000).get("Hello.") is None, "many voices speak as the agent's language demands"


async def test_what_calls_say_never_drives_out_what_was_prepared() -> None:
    tts, cache = Synthesis(), SpeechCache(None, memory=160_000)
    await cache.prepare(tts, "en", RATE, ["Sorry."])
    voice = cache.voice(tts.fingerprint, "en", RATE)
    for n in range(200):
        voice.put(f"Your number is {n}.", bytes(16_000))
    assert voice.get("Sorry.") is not None
    assert voice.get("Your number is 199.") is not None
    assert voice.get("Your number is 0.") is None, "memory is bounded"


async def test_one_long_text_does_not_take_all_the_memory() -> None:
    cache = SpeechCache(None, memory=160_000)
    voice = cache.voice("a", "en", RATE)
    voice.put("Short.", bytes(16_000))
    voice.put("Long.", bytes(100_000))
    assert voice.get("Short.") is not None and voice.get("Long.") is None


async def test_what_was_used_longest_ago_goes_first() -> None:
    cache = SpeechCache(None, memory=100_000)
    voice = cache.voice("a", "en", RATE)
    for n in range(8):
        voice.put(str(n), bytes(12_000))
        voice.get("0")
    voice.put("8", bytes(12_000))
    assert voice.get("0") is not None and voice.get("1") is None


async def test_prepared_text_is_made_speakable() -> None:
    tts = Synthesis()
    await SpeechCache(None).prepare(tts, "en", RATE, ["**Hello** there, and welcome! Press *one*."])
    assert not any("*" in text for text in tts.spoken)
    assert len(tts.spoken) >= 2


async def test_damaged_and_torn_files_are_made_again(tmp_path: Path) -> None:
    tts = Synthesis()
    await SpeechCache(tmp_path).prepare(tts, "en", RATE, ["Hello."])
    (file,) = files(tmp_path)
    whole = file.read_bytes()
    for damage in (b"", b"\0", whole[: len(whole) // 4 * 2], bytes(len(whole))):
        file.write_bytes(damage)
        cache = SpeechCache(tmp_path)
        await cache.prepare(tts, "en", RATE, ["Hello."])
        assert cache.voice(tts.fingerprint, "en", RATE).get("Hello.") == whole[DIGEST:]
    assert tts.spoken == ["Hello."] * 5
    assert file.read_bytes() == whole


async def test_disk_is_bounded(tmp_path: Path) -> None:
    texts = [f"Sentence {n}." for n in range(10)]
    (tmp_path / "somebody-died.1.part").write_bytes(bytes(50_000))
    cache = SpeechCache(tmp_path, disk=60_000)
    await cache.prepare(Synthesis(), "en", RATE, texts)
    assert sum(file.stat().st_size for file in files(tmp_path)) <= 60_000
    assert all(cache.voice("synthesis", "en", RATE).get(text) for text in texts), "memory has them all"
    assert all(file.suffix == ".pcm" for file in files(tmp_path))


async def test_disk_that_cannot_be_written_is_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "speech").write_text("a file, where the folder should be")
    cache = SpeechCache(tmp_path / "speech")
    await cache.prepare(Synthesis(), "en", RATE, ["Hello."])
    assert cache.voice("synthesis", "en", RATE).get("Hello.")
    assert [file.name for file in files(tmp_path)] == ["speech"]


@pytest.mark.parametrize("broken", ["opening", "speaking"])
async def test_voice_that_fails_is_no_trouble_either(broken: str) -> None:
    gone = Unreachable("gone", provider="synthesis")
    tts = Synthesis(broken=gone if broken == "opening" else None, fails={"Two": 0.1})
    cache = SpeechCache(None)
    await cache.prepare(tts, "en", RATE, ["One.", "Two.", "Three."])
    voice = cache.voice(tts.fingerprint, "en", RATE)
    assert (voice.get("One.") is None) == (broken == "opening")
    assert voice.get("Two.") is None
    assert tts.open_voices == 0


async def test_torn_chunks_become_whole_frames() -> None:
    class Torn(Synthesis):
        async def synthesize(self, text: str) -> AsyncIterator[SpeechChunk]:
            for size in (1001, 3, 777):
                yield SpeechChunk(bytes([1]) * size)

    tts = Torn()
    cache = SpeechCache(None)
    await cache.prepare(tts, "en", RATE, ["Hello."])
    kept = cache.voice(tts.fingerprint, "en", RATE).get("Hello.")
    assert kept is not None and len(kept) % 320 == 0 and len(kept) >= 1780
