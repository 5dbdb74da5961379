"""The process in which PocketSphinx decodes: it holds Python's lock while it works, so it must not share a process.

Started by `sphinx.py`, spoken to over its standard input and output as `sphinx_protocol.py` says;
it ends when its input does. One process serves several calls in turn.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import numpy as np
import numpy.typing as npt

from voxtrad.audio.resample import Resampler
from voxtrad.providers.stt.sphinx_protocol import (
    AUDIO,
    CLOSE,
    FAILED,
    FINAL,
    FINALIZE,
    HEADER,
    OPEN,
    PARTIAL,
    READY,
)
from voxtrad.providers.stt.sphinx_words import LETTERS, Words, candidates, expect

if TYPE_CHECKING:
    from pocketsphinx import Decoder

_RATE = 16000
_PARTIAL_EVERY = int(0.2 * _RATE * 2)
_GARBAGE: Final = (
    *("AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY", "F", "G", "HH", "IH", "IY", "JH"),
    *("K", "L", "M", "N", "NG", "OW", "OY", "P", "R", "S", "SH", "T", "TH", "UH", "UW", "V", "W", "Y", "Z", "ZH"),
)
_GARBAGE_PROBABILITY = 1e-13
"""Of one garbage phone. Measured on four voices at telephone bandwidth: at 1e-8 expected words are lost to garbage, at
1e-18 unexpected speech turns into expected words."""

UNCLEAR_SHARE = 0.34
"""An utterance with more garbage than this is none of the expected ones; those
had 0.31 at most, others 0.35 and more."""

_FOLD = 0.5
"""How loud the mirror image of a narrow band is made in the empty upper band; see `_Widener`."""


@dataclass(frozen=True)
class _Setup:
    """What a decoder is made for."""

    hints: tuple[str, ...]
    open_vocabulary: bool
    model: str | None
    dictionary: str | None


@dataclass
class _Made:
    decoder: Decoder
    cepstral_mean: str
    unknown: list[str]


class _Stream:
    """One call: audio in, hypotheses out."""

    def __init__(self, made: _Made, setup: _Setup, rate: int) -> None:
        self.made = made
        self.setup = setup
        self._to_16k: _Widener | Resampler = _Widener() if rate == 8000 else Resampler(rate, _RATE)
        self._speaking = False
        self._since_partial = 0
        self._partial = ""
        made.decoder.set_cmn(made.cepstral_mean)

    def audio(self, pcm: bytes) -> str | None:
        """Decode; the new partial text, where there is one."""
        decoder = self.made.decoder
        if not self._speaking:
            decoder.start_utt()
            self._speaking = True
            self._partial = ""
        wide = self._to_16k.push(pcm)
        if wide:
            decoder.process_raw(wide)
        self._since_partial += len(wide)
        if self._since_partial < _PARTIAL_EVERY:
            return None
        self._since_partial = 0
        found = decoder.hyp()
        text = _clean(found.hypstr) if found else ""
        if text == self._partial:
            return None
        self._partial = text
        return text

    def finalize(self) -> dict[str, object]:
        """The final text of what was heard since the last, how sure it is, and whether it was none of the expected."""
        if not self._speaking:
            return {"text": "", "confidence": None, "unclear": False}
        decoder = self.made.decoder
        if tail := self._to_16k.flush():
            decoder.process_raw(tail)
        decoder.end_utt()
        self._speaking = False
        found = decoder.hyp()
        text = _clean(found.hypstr) if found else ""
        garbage = words = 0
        for segment in decoder.seg() or ():
            frames = segment.end_frame - segment.start_frame + 1
            if segment.word.startswith("++"):
                garbage += frames
            elif not segment.word.startswith(("<", "[")):
                words += frames
        share = garbage / (garbage + words) if garbage + words else 0.0
        # 0.3 s of speech-like sound and nothing expected in it: somebody said something else.
        unclear = share > UNCLEAR_SHARE and garbage >= 30
        return {"text": text, "confidence": round(1 - share, 3) if text else None, "unclear": unclear}

    def close(self) -> None:
        if self._speaking:
            self.made.decoder.end_utt()


class _Widener:
    """8 kHz telephone audio to 16 kHz with its mirror image above 4 kHz.

    The acoustic model was trained on wide-band speech; an empty upper band makes it deaf. Measured on four voices with
    the open vocabulary: 4 of 14 sentences right with silence there, 7 with the image.
    """

    def __init__(self) -> None:
        taps = np.arange(-31, 32)
        low = np.sinc(taps / 2) / 2 * np.hamming(len(taps))
        image = -low
        image[31] += 1
        self._filter: npt.NDArray[np.float64] = 2 * (low + _FOLD * image)
        self._before = np.zeros(len(taps) - 1)

    def push(self, pcm: bytes) -> bytes:
        samples = np.frombuffer(pcm, dtype="<i2")
        spread = np.zeros(len(self._before) + 2 * len(samples))
        spread[: len(self._before)] = self._before
        spread[len(self._before) :: 2] = samples
        self._before = spread[len(spread) - len(self._before) :]
        wide = np.convolve(spread, self._filter, "valid")
        return bytes(np.clip(wide, -32768, 32767).astype("<i2").tobytes())

    def flush(self) -> bytes:
        self._before = np.zeros(len(self._before))
        return b""


def _clean(hypothesis: str) -> str:
    """Words alone: no markers of alternative pronunciations."""
    return " ".join(word.partition("(")[0] for word in hypothesis.split() if not word.startswith(("<", "[", "+")))


# --- decoders ---------------------------------------------------------------------------------------------------------


class _Decoders:
    """Decoders, made when needed and kept for the next call that expects the same."""

    def __init__(self) -> None:
        self._free: dict[_Setup, list[_Made]] = {}

    def take(self, setup: _Setup) -> _Made:
        free = self._free.get(setup)
        return free.pop() if free else _make(setup)

    def give_back(self, setup: _Setup, made: _Made) -> None:
        self._free.setdefault(setup, []).append(made)


def _make(setup: _Setup) -> _Made:
    from pocketsphinx import Decoder, get_model_path

    folder = setup.model or get_model_path("en-us/en-us")
    dictionary = setup.dictionary or get_model_path("en-us/cmudict-en-us.dict")
    unknown: list[str] = []
    if setup.open_vocabulary:
        decoder = Decoder(loglevel="FATAL", hmm=folder, dict=dictionary, lm=get_model_path("en-us/en-us.lm.bin"))
    else:
        pronunciations = _pronunciations(dictionary, candidates(setup.hints))
        words, missing = expect(setup.hints, pronunciations)
        unknown = sorted(missing)
        with _files(words, pronunciations) as (model, spoken, fillers):
            decoder = Decoder(
                loglevel="FATAL", hmm=folder, dict=spoken, fdict=fillers, lm=model, fillprob=_GARBAGE_PROBABILITY
            )
    return _Made(decoder, decoder.get_cmn(False), unknown)


def _pronunciations(dictionary: str, wanted: Iterable[str]) -> dict[str, list[str]]:
    """The pronunciations of the wanted words; letters (`a.`) are spoken as their names."""
    letters = {letter: f"{letter}." for letter in LETTERS}
    wanted = {*wanted}
    found: dict[str, list[str]] = {}
    with Path(dictionary).open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            entry, _, phones = line.strip().partition(" ")
            word = entry.partition("(")[0]
            if word in wanted and not word.endswith("."):
                found.setdefault(word, []).append(phones)
            if word in letters and not (word == "a" and phones == "AH"):
                found.setdefault(letters[word], []).append(phones)
    return found


@contextmanager
def _files(words: Words, pronunciations: dict[str, list[str]]) -> Iterator[tuple[str, str, str]]:
    """Language model, dictionary and filler dictionary as files, for as long as PocketSphinx reads them."""
    with tempfile.TemporaryDirectory(prefix="voxtrad-sphinx-") as name:
        folder = Path(name)
        (folder / "lm").write_text(words.arpa)
        lines = [
            f"{word}{f'({at})' if at > 1 else ''} {phones}"
            for word in sorted(words.vocabulary)
            for at, phones in enumerate(pronunciations[word], 1)
        ]
        (folder / "dict").write_text("\n".join(lines) + "\n")
        fillers = ["<s> SIL", "</s> SIL", "<sil> SIL", *(f"++{phone}++ {phone}" for phone in _GARBAGE)]
        (folder / "fillers").write_text("\n".join(fillers) + "\n")
        yield str(folder / "lm"), str(folder / "dict"), str(folder / "fillers")


# --- the process ------------------------------------------------------------------------------------------------------


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until they end."""
    decoders = _Decoders()
    streams: dict[int, _Stream] = {}

    def answer(kind: bytes, number: int, payload: bytes) -> None:
        answers.write(HEADER.pack(kind, number, len(payload)) + payload)
        answers.flush()

    while header := requests.read(HEADER.size):
        kind, number, length = HEADER.unpack(header)
        payload = requests.read(length)
        try:
            if kind == OPEN:
                asked = json.loads(payload)
                rate = asked.pop("rate")
                setup = _Setup(**{**asked, "hints": tuple(asked["hints"])})
                made = decoders.take(setup)
                streams[number] = _Stream(made, setup, rate)
                answer(READY, number, json.dumps({"unknown": made.unknown}).encode())
            elif kind == AUDIO and number in streams:
                if (text := streams[number].audio(payload)) is not None:
                    answer(PARTIAL, number, text.encode())
            elif kind == FINALIZE and number in streams:
                answer(FINAL, number, json.dumps(streams[number].finalize()).encode())
            elif kind == CLOSE and (stream := streams.pop(number, None)):
                stream.close()
                decoders.give_back(stream.setup, stream.made)
        except (RuntimeError, ValueError, KeyError, OSError) as error:
            streams.pop(number, None)
            answer(FAILED, number, f"{type(error).__name__}: {error}".encode())


def main() -> None:
    """Serve on standard input and output, below the event loop's priority, until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches the group; the server ends us
    os.nice(5)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not fall among the answers
    serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
