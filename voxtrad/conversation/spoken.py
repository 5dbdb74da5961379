"""What is being said and what of it was heard: an utterance's text, its audio, and where in one the other stands.

Pure bookkeeping in samples and characters; moving the audio is the speaker's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from voxtrad.audio.frames import frame_bytes
from voxtrad.audio.levels import dbfs
from voxtrad.providers.base import WordTiming

USUAL_RATE = 15
"""Characters of text that are spoken in a second, where nothing better is known."""
TRAILING = 0.15
"""Seconds at the end of a sentence that hold no word any more."""


class SpokenAudio(Protocol):
    """Audio kept from before, by text (`speech_cache.py`)."""

    def get(self, text: str) -> bytes | None: ...

    def put(self, text: str, pcm: bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class Spoken:
    """What became of an utterance."""

    written: str
    """All the text that was to be said, as far as it had been written."""
    heard: str
    """The part of `written` that the far side heard, in whole words."""
    interrupted: bool
    seconds: float = 0.0
    """Length of the audio that was heard."""
    first_sentence_at: float | None = None
    """When the first sentence was there to be synthesized; these three on the monotonic clock."""
    first_audio_at: float | None = None
    """When the first audio came from the synthesis."""
    audible_at: float | None = None
    """When its first frame went to the media port."""
    provider: str = ""
    """Who spoke the first of it, where another stood in for the voice that was asked."""
    error: Exception | None = None
    """Why the text or its synthesis ended too soon; what had been synthesized was heard."""


@dataclass(slots=True)
class Piece:
    """A sentence in the utterance's audio, or something else that is said in between (`source` is empty)."""

    source: str
    text: str
    start: int | None = None
    """Its first sample in the utterance; None as long as it has no audio."""
    length: int = 0
    complete: bool = False
    timings: list[WordTiming] = field(default_factory=list)

    @property
    def under_way(self) -> bool:
        """Some of its audio is there, and more is to come."""
        return self.start is not None and not self.complete

    @property
    def end(self) -> int:
        return (self.start or 0) + self.length


class UtteranceAudio:
    """One utterance. Positions on the port count what it took; samples count from the utterance's beginning."""

    def __init__(self, rate: int, interruptible: bool) -> None:
        self.rate = rate
        self.interruptible = interruptible
        self.audio = bytearray()
        self.sent = 0
        """Bytes of it that the port was given."""
        self.pieces: list[Piece] = []
        self.written = ""
        self.finished = False
        """No more audio comes."""
        self.unvoiced = 0
        """Sentences that are written and not synthesized yet."""
        self.own = True
        """No other voice stood in for any of it."""
        self.interrupted = False
        self.heard = 0
        """Samples that were heard, once that is settled."""
        self.error: Exception | None = None
        self.audible_at: float | None = None
        self.first_sentence_at: float | None = None
        self.first_audio_at: float | None = None
        self.provider = ""
        self._levels: list[float] = []
        self._position: int | None = None
        self._sample = 0

    # --- audio --------------------------------------------------------------------------------------------------------

    @property
    def length(self) -> int:
        """Samples of audio so far."""
        return len(self.audio) // 2

    def begin(self, source: str, text: str) -> Piece:
        piece = Piece(source, text)
        self.pieces.append(piece)
        return piece

    def add(self, piece: Piece, pcm: bytes) -> None:
        """Whole frames of a piece's audio."""
        if not pcm:
            return
        if piece.start is None:
            piece.start = self.length
        size = frame_bytes(self.rate)
        self._levels.extend(dbfs(pcm[i : i + size]) for i in range(0, len(pcm), size))
        self.audio += pcm
        piece.length += len(pcm) // 2

    def cut(self, sample: int) -> None:
        """Drop the audio from a sample on, and what was to be heard after it."""
        sample -= sample % (self.rate // 50)
        del self.audio[2 * sample :]
        del self._levels[sample // (self.rate // 50) :]
        self.sent = min(self.sent, 2 * sample)
        for piece in self.pieces:
            if piece.start is not None:
                piece.length = max(0, min(piece.length, sample - piece.start))

    def answers(self, sample: int) -> bool:
        """Whether what comes before a sample holds something of the utterance's own text."""
        return any(piece.source and piece.start is not None and piece.start < sample for piece in self.pieces)

    @property
    def under_way(self) -> Piece | None:
        """The sentence in the middle of which the audio ends, while the rest of it is to come."""
        return next((piece for piece in self.pieces if piece.under_way), None) if not self.finished else None

    # --- where it is --------------------------------------------------------------------------------------------------

    def anchor(self, position: int, sample: int) -> None:
        """The audio from `sample` on stands at `position` on the port."""
        self._position, self._sample = position, sample

    @property
    def anchored(self) -> bool:
        return self._position is not None

    def sample(self, position: int) -> int:
        """The sample that stands at a position on the port."""
        if self._position is None:
            return 0
        return max(0, min(self._sample + position - self._position, self.length))

    def ahead(self, position: int) -> float:
        """Seconds of its audio that are heard after a position on the port."""
        return (self.length - self.sample(position)) / self.rate

    def level(self, sample: int, frames: int) -> float | None:
        """The level in dBFS of the loudest of so many frames up to a sample; None where there is no audio."""
        now = sample // (self.rate // 50)
        near = self._levels[max(0, now - frames) : now + 2]
        return max(near) if near else None

    def word_start(self, sample: int) -> int | None:
        """The whole frame in which the word that stands at a sample begins; None where that is not known."""
        frame = self.rate // 50
        for piece in self.pieces:
            if piece.start is None or not piece.timings or not piece.start <= sample < piece.end:
                continue
            into = sample - piece.start
            begun = [start for timing in piece.timings if (start := round(timing.start * self.rate)) <= into]
            start = piece.start + min(max(begun, default=0), piece.length)
            return start - start % frame
        return None

    # --- what was heard -----------------------------------------------------------------------------------------------

    def saying(self, sample: int) -> str:
        """The text that was said up to a sample, and that of the sentence under way there."""
        return "".join(p.source or p.text + " " for p in self.pieces if p.start is not None and p.start <= sample)

    def spoken(self) -> Spoken:
        whole = not self.interrupted and self.error is None
        heard = self.written if whole else "".join(self._heard_of(piece) for piece in self.pieces).rstrip()
        samples = self.length if whole else self.heard
        return Spoken(
            self.written,
            heard,
            self.interrupted,
            samples / self.rate,
            self.first_sentence_at,
            self.first_audio_at,
            self.audible_at,
            self.provider,
            self.error,
        )

    def _heard_of(self, piece: Piece) -> str:
        """The words of a piece that were heard: by the synthesis's own timings, by proportion where it has none."""
        if not piece.source:
            return ""
        if piece.start is None:
            return piece.source if piece.complete and not piece.text else ""
        into = self.heard - piece.start
        if into <= 0:
            return ""
        if piece.complete and into >= piece.length - round(TRAILING * self.rate):
            return piece.source
        if piece.timings:
            begun = [timing.offset for timing in piece.timings if round(timing.start * self.rate) <= into]
            spoken = piece.text[: max(begun, default=0)]
            if piece.source.startswith(spoken):
                return spoken
            share = len(spoken) / max(1, len(piece.text))
        else:
            # A piece that is not complete yet is as long as its text is at the usual rate of speech.
            usual = round(len(piece.text) / USUAL_RATE * self.rate)
            share = into / max(1, piece.length if piece.complete else max(piece.length, usual))
        return whole_words(piece.source, round(share * len(piece.source)))


def whole_words(text: str, end: int) -> str:
    """A text up to an index, without a word that was cut there."""
    if end >= len(text):
        return text
    if end <= 0:
        return ""
    if text[end].isspace() or text[end - 1].isspace():
        return text[:end]
    cut = max(text.rfind(" ", 0, end), text.rfind("\n", 0, end))
    return text[: cut + 1] if cut >= 0 else ""
