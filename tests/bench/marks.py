"""Audio that says of itself what it is: each frame carries the number of its utterance, the sentence and its position.

The first nine samples of a frame are the mark: digits, each a level that G.711 does not change. So a mark comes out as
it went in, and both ends of a call know without any recognition what they hear. Words carry numbers in the same way.
"""

from __future__ import annotations

import re
import struct
from functools import cache
from typing import NamedTuple

import numpy as np

from voxtrad.audio.g711 import decode_ulaw

RATE = 8000
FRAME = 0.02
FRAME_BYTES = 320
_LEVELS = struct.unpack("<64h", decode_ulaw(bytes(range(255, 191, -1))))
_DIGITS = {level: digit for digit, level in enumerate(_LEVELS)}
_MAGIC = tuple(_LEVELS[digit] for digit in (37, 11, 52))
_MARK = struct.Struct("<9h")


class Mark(NamedTuple):
    utterance: int
    """0 is what belongs to no utterance of a caller: a greeting."""
    sentence: int
    frame: int


def marked(pcm: bytes, utterance: int, sentence: int = 0, first: int = 0) -> list[bytes]:
    """The whole frames of a sound, each with its mark."""
    frames = []
    for index, start in enumerate(range(0, len(pcm) - FRAME_BYTES + 1, FRAME_BYTES)):
        position = first + index
        if position >= 64**2 or sentence >= 64 or utterance >= 64**3:
            raise ValueError("out of range for a mark")
        digits = (*(utterance // 64**place % 64 for place in range(3)), sentence, position % 64, position // 64)
        head = _MARK.pack(*_MAGIC, *(_LEVELS[digit] for digit in digits))
        frames.append(head + pcm[start + _MARK.size : start + FRAME_BYTES])
    return frames


def read(frame: bytes) -> Mark | None:
    """The mark of a frame; None where it has none."""
    levels = _MARK.unpack_from(frame)
    if levels[:3] != _MAGIC:
        return None
    ones, tens, hundreds, sentence, low, high = (_DIGITS.get(level, 0) for level in levels[3:])
    return Mark(ones + 64 * tens + 64**2 * hundreds, sentence, low + 64 * high)


_CONSONANTS, _VOWELS = "bdfgklmnprstvz", "aiou"
_BASE = len(_CONSONANTS) * len(_VOWELS)
_WORD = re.compile(rf"\bqu((?:[{_CONSONANTS}][{_VOWELS}]){{3}})\b")


def word(utterance: int) -> str:
    """A word that stands for a number: letters only, since digits would be taken for a dictation."""
    syllables = ""
    for _ in range(3):
        utterance, digit = divmod(utterance, _BASE)
        syllables += _CONSONANTS[digit // 4] + _VOWELS[digit % 4]
    return f"qu{syllables}"


def number(text: str) -> int:
    """The number of the last such word in a text; 0 without one."""
    found = _WORD.findall(text)
    if not found:
        return 0
    digits = [_CONSONANTS.index(found[-1][at]) * 4 + _VOWELS.index(found[-1][at + 1]) for at in (0, 2, 4)]
    return sum(digit * _BASE**place for place, digit in enumerate(digits))


@cache
def voice(seconds: float, dbfs: float = -28.0) -> bytes:
    """Something voice-like of a length: a hum with harmonics that rises and falls."""
    at = np.arange(round(seconds / FRAME) * FRAME_BYTES // 2) / RATE
    tone = sum(np.sin(2 * np.pi * 130 * harmonic * at) / harmonic for harmonic in range(1, 12))
    tone *= 0.6 + 0.4 * np.sin(2 * np.pi * 4 * at)
    tone *= 32768 * 10 ** (dbfs / 20) / np.sqrt(np.mean(tone**2))
    return tone.clip(-32768, 32767).astype("<i2").tobytes()


def line_noise(frames: int, dbfs: float = -65.0) -> list[bytes]:
    """What a line sounds like on which nobody speaks."""
    noise = np.random.default_rng(7).normal(0, 32768 * 10 ** (dbfs / 20), frames * FRAME_BYTES // 2)
    pcm = noise.clip(-32768, 32767).astype("<i2").tobytes()
    return [pcm[start : start + FRAME_BYTES] for start in range(0, len(pcm), FRAME_BYTES)]
