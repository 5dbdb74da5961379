"""Sentences that are said again and again (greetings, fillers, prompts, the apology), kept as audio.

What the configuration says is synthesized ahead of the first call and kept on disk; what calls say is kept in memory.
Both are bounded, one never drives the other out, and neither touches the disk while a call runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

import structlog

from voxtrad.audio.codec import Codec
from voxtrad.audio.frames import Framer
from voxtrad.conversation.speech_text import SpeechText
from voxtrad.providers.base import ProviderError, TextToSpeech, Voice

log = structlog.stdlib.get_logger(__name__)

MEMORY = 32 * 1024 * 1024
"""Bytes of audio kept in memory: about half an hour at 8 kHz."""
DISK = 128 * 1024 * 1024
"""Bytes of audio kept on disk."""


DIGEST = 16
"""Bytes in front of the audio in a file: who lost power while it was written finds it cut off, or full of zeros."""


class SpeechCache:
    """Audio by text, for all voices. `folder` is made when it is needed; None keeps nothing on disk."""

    def __init__(self, folder: Path | None, *, memory: int = MEMORY, disk: int = DISK) -> None:
        self._folder = folder
        self._disk = disk
        self._prepared = _Memory(memory)
        self._said = _Memory(memory)

    def voice(self, fingerprint: str, language: str, rate: int, codec: Codec = "linear") -> KeptVoice:
        """What was said by one voice, which sounds as the language demands, at a sample rate, on lines of a codec."""
        return KeptVoice(self._prepared, self._said, f"{fingerprint}\0{language}\0{rate}", codec)

    async def prepare(self, tts: TextToSpeech, language: str, rate: int, texts: Iterable[str]) -> None:
        """Have these sentences ready in memory and on disk. What cannot be synthesized is logged, and said live."""
        voice = self.voice(tts.fingerprint, language, rate)
        missing = []
        for text in dict.fromkeys(text for text in texts if text.strip()):
            key = voice.key(text)
            if self._prepared.get(key) is not None:
                continue
            pcm = await asyncio.to_thread(self._load, key)
            if pcm is None:
                missing.append(text)
            else:
                self._prepared.put(key, pcm)
        if not missing:
            return
        try:
            speaking = await tts.open(rate=rate, language=language)
            try:
                for text in missing:
                    pcm = await synthesized(speaking, text, language=language, rate=rate)
                    if pcm is None:
                        continue
                    self._prepared.put(voice.key(text), pcm)
                    await asyncio.to_thread(self._save, voice.key(text), pcm)
            finally:
                await speaking.aclose()
        except ProviderError as error:
            log.warning("sentences could not be synthesized ahead", provider=tts.name, reason=error.message)

    # --- the disk -----------------------------------------------------------------------------------------------------

    def _load(self, key: str) -> bytes | None:
        if self._folder is None:
            return None
        try:
            path = self._folder / f"{key}.pcm"
            kept = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        pcm = kept[DIGEST:]
        return pcm if pcm and kept[:DIGEST] == _digest(pcm) else None

    def _save(self, key: str, pcm: bytes) -> None:
        if self._folder is None or not pcm:
            return
        part = self._folder / f"{key}.{os.getpid()}.part"
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            part.write_bytes(_digest(pcm) + pcm)
            part.replace(self._folder / f"{key}.pcm")
            self._prune(self._folder)
        except OSError as error:
            log.warning("synthesized audio could not be kept on disk", reason=str(error))
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)

    def _prune(self, folder: Path) -> None:
        """Drop what was used longest ago, until the rest fits; what somebody died writing is there too."""
        files = sorted((f.stat().st_mtime, f.stat().st_size, f) for f in folder.iterdir() if f.is_file())
        excess = sum(size for _, size, _ in files) - self._disk
        for _, size, path in files:
            if excess <= 0:
                break
            path.unlink(missing_ok=True)
            excess -= size


def _digest(pcm: bytes) -> bytes:
    return hashlib.blake2b(pcm, digest_size=DIGEST).digest()


async def synthesized(voice: Voice, text: str, *, language: str, rate: int) -> bytes | None:
    """A whole text as it is said live: made speakable, sentence by sentence, each in whole frames.

    None where another voice stood in. Raises `ProviderError`.
    """
    cutter = SpeechText(language)
    pcm = bytearray()
    for sentence in (*cutter.push(text), *cutter.flush()):
        framer = Framer(rate)
        if sentence.text:
            async for chunk in voice.synthesize(sentence.text):
                if not chunk.own:
                    return None
                pcm += framer.push(chunk.pcm)
            pcm += framer.flush()
    return bytes(pcm)


class _Memory:
    """Audio by key, up to so many bytes; what was used longest ago goes first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._size = 0

    def get(self, key: str) -> bytes | None:
        pcm = self._kept.get(key)
        if pcm is not None:
            self._kept.move_to_end(key)
        return pcm

    def put(self, key: str, pcm: bytes) -> None:
        if not pcm or len(pcm) > self._limit // 8:
            return
        self._size += len(pcm) - len(self._kept.pop(key, b""))
        self._kept[key] = pcm
        while self._size > self._limit:
            self._size -= len(self._kept.popitem(last=False)[1])


class KeptVoice:
    """The audio of one voice, by text.

    What was prepared is linear PCM from its synthesis on and good for every line. What was said in a call may have been
    G.711 on its way, and is said again on lines of that codec only.
    """

    def __init__(self, prepared: _Memory, said: _Memory, voice: str, codec: Codec) -> None:
        self._prepared = prepared
        self._said = said
        self._voice = voice
        self._codec = codec

    def key(self, text: str) -> str:
        return hashlib.sha256(f"{self._voice}\0{text}".encode()).hexdigest()

    def get(self, text: str) -> bytes | None:
        key = self.key(text)
        return self._prepared.get(key) or self._said.get(f"{key} {self._codec}")

    def put(self, text: str, pcm: bytes) -> None:
        self._said.put(f"{self.key(text)} {self._codec}", pcm)
