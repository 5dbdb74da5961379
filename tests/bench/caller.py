"""A simulated caller: what it says when, and what it notes of what it hears. Pure: one frame out and one in per tick.

It speaks when the agent has been quiet for a moment, and speaks into every third answer. It runs the same detector on
its own frames as the server does, so it knows on which frame the server can decide at the earliest.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import webrtcvad

from tests.bench.marks import FRAME, RATE, marked, read
from voxtrad.conversation.hearing import Speech

MIN_SILENCE, PAUSE_AFTER = 25, 10
"""Frames: the defaults of `turn.min_silence` and `interrupt.pause_after`."""
_QUIET = (25, 45)
"""Frames of the agent's silence before the caller speaks."""
_INTO = 40
"""Frames of an answer before the caller speaks into it."""
_PATIENCE = 400
"""Frames after which an answer is not waited for any longer."""


@dataclass(slots=True)
class Utterance:
    """What a caller said, and what became of it. Times are seconds on the machine's monotonic clock."""

    id: int
    interrupts: bool
    began: float = 0.0
    ended: float = 0.0
    decidable: float | None = None
    """When the frame was sent on which its end can be decided."""
    pausable: float | None = None
    """When the frame was sent on which an agent that is spoken into can be paused."""
    onset: float | None = None
    """When its first voiced frame was sent."""
    stopped: float | None = None
    """When the agent's last frame had been played, for one that interrupts."""
    told_to_stop: float | None = None
    """When PAUSE or FLUSH came."""
    received: float | None = None
    """When the first audio of its answer came."""
    played: float | None = None
    """When the first frame of its answer was played."""
    gaps: list[float] = field(default_factory=list)
    """Silences inside its answer, in seconds."""


class Caller:
    """One caller. `next_frame` and `heard` are to be called once per tick, in this order."""

    def __init__(self, ids: Iterator[int], speech: bytes, noise: Sequence[bytes], seed: int) -> None:
        self.utterances: list[Utterance] = []
        self.frames = 0
        self._ids = ids
        self._speech = speech
        self._noise = noise
        self._random = random.Random(seed)
        self._vad = webrtcvad.Vad(2)
        self._hearing = Speech()
        self._sent: list[float] = []
        self._saying: list[bytes] = []
        self._said = 0
        self._quiet_for = 0
        self._patience = 0
        self._awaits = False
        self._will_speak = self._random.randint(*_QUIET)
        self._heard_anything = False
        self._answer_frames = 0
        self._last_agent_frame = -10_000
        self._paused = False
        self._speech_of: Utterance | None = None

    @property
    def latest(self) -> Utterance | None:
        return self.utterances[-1] if self.utterances else None

    # --- one tick -----------------------------------------------------------------------------------------------------

    def next_frame(self, now: float) -> bytes:
        if not self._saying and self._wants_to_speak():
            self._begin(now)
        if self._saying:
            frame = self._saying[self._said]
            self._said += 1
            if self._said == len(self._saying):
                self._saying = []
                self.utterances[-1].ended = now
                self._awaits = True
                self._patience = 0
        else:
            frame = self._noise[self.frames % len(self._noise)]
        self._listen_to_itself(frame, now)
        self.frames += 1
        return frame

    def heard(self, frame: bytes | None, now: float) -> None:
        """What was played in this tick."""
        mark = read(frame) if frame is not None else None
        if mark is None:
            self._quiet_for += 1
            self._patience += 1
            return
        latest = self.latest
        self._heard_anything = True
        gap = self.frames - self._last_agent_frame - 1
        inside = mark.frame > 0 or mark.sentence > 0
        if gap > 0 and inside and not self._paused and self._quiet_for < _PATIENCE and latest and mark.utterance:
            latest.gaps.append(gap * FRAME)
        self._quiet_for = 0
        self._paused = False
        self._last_agent_frame = self.frames
        if latest is not None and mark.utterance == latest.id:
            if latest.played is None:
                latest.played = now
                self._answer_frames = 0
            self._awaits = False
            self._answer_frames += 1
        elif latest is not None and latest.interrupts and latest.played is None:
            latest.stopped = now + FRAME

    # --- what the PBX is told -----------------------------------------------------------------------------------------

    def told_to_stop(self, now: float) -> None:
        """PAUSE_MEDIA or FLUSH_MEDIA came."""
        self._paused = True
        latest = self.latest
        if latest is not None and latest.interrupts and latest.told_to_stop is None and latest.played is None:
            latest.told_to_stop = now

    def received(self, frame: bytes, now: float) -> None:
        """A message of audio came that begins with this frame."""
        latest = self.latest
        if latest is None or latest.received is not None:
            return
        mark = read(frame)
        if mark is not None and mark.utterance == latest.id:
            latest.received = now

    # ------------------------------------------------------------------------------------------------------------------

    def _wants_to_speak(self) -> bool:
        if not self._heard_anything:
            return False
        if self._awaits:
            return self._patience > _PATIENCE
        latest = self.latest
        if latest is not None and latest.id % 3 == 0 and not self._quiet_for and self._answer_frames >= _INTO:
            return True
        return self._quiet_for >= self._will_speak

    def _begin(self, now: float) -> None:
        interrupts = self._quiet_for == 0 and self._heard_anything
        utterance = Utterance(next(self._ids), interrupts, began=now)
        self.utterances.append(utterance)
        self._saying = marked(self._speech, utterance.id)
        self._said = 0
        self._answer_frames = 0
        self._will_speak = self._random.randint(*_QUIET)

    def _listen_to_itself(self, frame: bytes, now: float) -> None:
        """Time is counted in frames here: `Speech` knows no other clock than the one that it is given."""
        index = self.frames
        self._sent.append(now)
        change = self._hearing.frame(index * FRAME, self._vad.is_speech(frame, RATE))
        if change and self.latest is not None:
            self._speech_of = self.latest
            if self._speech_of.onset is None:
                self._speech_of.onset = self._sent[round(self._hearing.started / FRAME)]
        utterance = self._speech_of
        if utterance is None:
            return
        if utterance.pausable is None and index >= round(self._hearing.started / FRAME) + PAUSE_AFTER:
            utterance.pausable = now
        if index == round(self._hearing.voiced_until / FRAME) + MIN_SILENCE:
            utterance.decidable = now
