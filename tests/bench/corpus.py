"""Recorded human speech with its words: the prompts that come with Asterisk, cut, disturbed by noise, as frames.

The recordings are those of the test PBX (`tests/asterisk/provision.sh`), 8 kHz, read by one voice, transcribed by their
makers. Everything is drawn from a fixed seed: two runs hear the same.
"""

from __future__ import annotations

import gzip
import subprocess
import wave
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]

RATE = 8000
FRAME = RATE // 50
SPEECH_DBFS = -22.0
LINE_DBFS = -65.0
KINDS = ("steady", "babble")
SNRS = (20, 10, 5)


class NoRecordings(Exception):
    """There are none on this machine, and why."""


@dataclass(frozen=True)
class Prompt:
    """A recording from its first to its last sound, at `SPEECH_DBFS`."""

    name: str
    words: tuple[str, ...]
    sound: Samples

    @property
    def seconds(self) -> float:
        return self.sound.size / RATE

    def said(self, seconds: float) -> str:
        """The words that have been spoken after so many seconds of it, as if all letters took the same time."""
        share = seconds / self.seconds * sum(map(len, self.words))
        spoken: list[str] = []
        for word in self.words:
            share -= len(word)
            if share < -0.3 * len(word):
                break
            spoken.append(word)
        return " ".join(spoken)

    def quietest(self) -> int:
        """The sample in the middle third at which it can be cut between two words."""
        size = RATE // 20
        starts = range(self.sound.size // 3, 2 * self.sound.size // 3, FRAME)
        return min(starts, key=lambda at: float(np.abs(self.sound[at : at + size]).mean())) + size // 2


def prompts(count: int) -> list[Prompt]:
    """So many different sentences of 2 to 5 seconds. Raises `NoRecordings`."""
    root = _root()
    sounds = root / "usr/share/asterisk/sounds/en_US_f_Allison"
    written = root / "usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz"
    if not sounds.is_dir() or not written.is_file():
        raise NoRecordings(f"no English prompts with their text under {root}")
    found = []
    for line in gzip.decompress(written.read_bytes()).decode("utf-8", "replace").splitlines():
        name, colon, text = line.partition(":")
        words = tuple(text.strip(" .").split())
        if not colon or name.startswith(";") or len(words) < 5 or text.strip()[0] in "([":
            continue
        if text.strip().endswith("..") or not (path := sounds / f"{name.strip()}.wav").is_file():
            continue
        sound = _trimmed(_read(path))
        if 2.0 <= sound.size / RATE <= 5.0:
            found.append(Prompt(name.strip(), words, sound))
    if len(found) < count:
        raise NoRecordings(f"only {len(found)} sentences are under {sounds}")
    return found[:: len(found) // count][:count]


@cache
def noise(kind: str, seconds: int = 20) -> Samples:
    """Noise of unit level: `steady` like a room or an engine, `babble` of several people talking behind the caller."""
    count = seconds * RATE
    draw = np.random.default_rng(11)
    if kind == "steady":
        spectrum = np.fft.rfft(draw.normal(size=count))
        spectrum[1:] /= np.sqrt(np.arange(1, spectrum.size))
        made = np.fft.irfft(spectrum, count)
    else:
        talk = np.concatenate([prompt.sound for prompt in prompts(60)])
        made = sum(np.roll(np.resize(talk, count), int(draw.integers(count))) for _ in range(6)) + np.zeros(count)
    return np.asarray(made / np.sqrt(np.mean(made**2)))


def disturbed(sound: Samples, kind: str, snr: int | None, start: int = 0) -> list[bytes]:
    """Frames of a sound on a line with noise so many decibels below the speech; None is a quiet line."""
    level = LINE_DBFS if snr is None else SPEECH_DBFS - snr
    behind = np.resize(np.roll(noise(kind), -start), sound.size) * 10 ** (level / 20)
    pcm = ((sound + behind) * 32768).clip(-32768, 32767).astype("<i2").tobytes()
    return [pcm[at : at + 2 * FRAME] for at in range(0, len(pcm) - 2 * FRAME + 1, 2 * FRAME)]


def silence(seconds: float) -> Samples:
    return np.zeros(round(seconds * RATE))


@cache
def _root() -> Path:
    script = Path(__file__).parents[1] / "asterisk" / "provision.sh"
    made = subprocess.run(["sh", str(script)], capture_output=True, text=True, check=False)
    if made.returncode:
        raise NoRecordings((made.stderr.strip().splitlines() or ["provision.sh has failed"])[-1])
    return Path(made.stdout.strip())


def _read(path: Path) -> Samples:
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(np.float64) / 32768


def _trimmed(sound: Samples) -> Samples:
    """From the first to the last 10 ms that is heard, as loud as all others."""
    size = RATE // 100
    blocks = sound[: sound.size - sound.size % size].reshape(-1, size)
    levels = np.sqrt((blocks**2).mean(axis=1))
    heard = np.flatnonzero(levels > 0.03 * levels.max())
    speech = blocks[heard[0] : heard[-1] + 1].ravel()
    active = np.sqrt(np.mean(blocks[heard] ** 2))
    return np.asarray(speech * 10 ** (SPEECH_DBFS / 20) / active)
