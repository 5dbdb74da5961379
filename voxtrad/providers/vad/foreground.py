"""Who speaks into the telephone, told from the noise of the line by loudness: what detectors share. Pure.

The noise is learned by order statistics: speech has gaps, noise has none, so what the quieter moments of the last
seconds have in common is the noise. Levels are taken with the low rumble of rooms and engines weakened, or its swings
would hide more than half of the speech.
"""

from __future__ import annotations

from collections import deque

from voxtrad.audio.levels import BrightLevel

_QUIETEST = -75.0
"""The noise is never taken for quieter than this (dBFS): digital silence says nothing about the line."""
_BLOCK = 25
"""Frames after which the noise is reckoned anew; where it falls, at once."""
_GAP = 5
"""Blocks (2.5 s) in which speech has a gap."""
_MEMORY = 12
"""Blocks (6 s) whose frames are ranked."""
_RANK = 0.2
"""The share of them that is taken for noise."""
_SWING = 7.0
"""Decibels by which noise may swing; what is more than that above the quietest moment is speech."""
_SMOOTH = 0.4
"""Weight of a frame in the level whose minimum is taken, so that no single quiet one decides."""

_LEAST = 3.0
"""Decibels above a noise that never swings, and for each decibel by which it does, that a frame must have ..."""
_PER_SWING = 1.2
_RELEASE = 2.0
"""... and so many less as long as somebody speaks."""

_HOLD = 8
"""Frames (160 ms) of a word's end that a noise hides when it is as loud as `_LOUD`; none at `QUIET`."""
_LOUD = -35.0
QUIET = -60.0
"""A line with less noise (dBFS) is a quiet one."""
_WORD = 3
"""Frames in a row that make a word, whose end is then waited for."""


class Noise:
    """How loud a line is when nobody speaks on it, and how much that swings. Told the level of every frame."""

    __slots__ = ("_block", "_frames", "_gap", "_levels", "_ranked", "_smooth", "level", "swing")

    def __init__(self, start: float) -> None:
        """`start` is the noise in dBFS until a line is known to be louder."""
        self._levels: deque[float] = deque(maxlen=_MEMORY * _BLOCK)
        self._gap: deque[float] = deque([start], maxlen=_GAP)
        self._smooth = self._ranked = start
        self._block = 0.0
        self._frames = 0
        self._reckon()

    def hear(self, level: float) -> None:
        self._levels.append(level)
        self._smooth += _SMOOTH * (level - self._smooth)
        self._frames += 1
        falls = self._smooth < self._block
        if falls:
            self._block = self._smooth
        if self._frames == _BLOCK:
            self._gap.append(self._block)
            self._block, self._frames = 0.0, 0
            if min(self._gap) > self._ranked:  # a noise has begun: what was heard before tells nothing of it
                while len(self._levels) > _GAP * _BLOCK:
                    self._levels.popleft()
            self._ranked = sorted(self._levels)[int(_RANK * len(self._levels))]
            self._reckon()
        elif falls and self._block < self.level - self.swing:
            self._reckon()

    def _reckon(self) -> None:
        quietest = max(min(self._block, *self._gap), _QUIETEST)
        self.level = max(_QUIETEST, min(self._ranked, quietest + _SWING))
        """In dBFS."""
        self.swing = max(0.0, self.level - quietest)
        """In decibels, down to its quietest moment."""


class Foreground:
    """One call's. Words are kept to their ends, which noise hides."""

    __slots__ = ("_bright", "_held", "_most", "_noise", "_row", "_trusting")

    def __init__(self, start: float, *, most: float, trusting: bool = False) -> None:
        """`start`: the noise in dBFS that is expected; `most`: how many decibels above it are always enough.

        `trusting`: on a quiet line every frame that is like speech is speech.
        """
        self._bright = BrightLevel()
        self._noise = Noise(start)
        self._most = most
        self._trusting = trusting
        self._row = 0
        self._held = 0

    def voiced(self, frame: bytes, *, like_speech: bool) -> bool:
        """Whether somebody speaks in a frame that is `like_speech` or not, in its detector's opinion."""
        noise = self._noise
        level = self._bright.dbfs(frame)
        needed = min(self._most, _LEAST + _PER_SWING * noise.swing) - (_RELEASE if self._row else 0.0)
        trusted = self._trusting and noise.level - noise.swing < QUIET
        speaks = like_speech and (trusted or level >= noise.level + needed)
        noise.hear(level)
        if speaks:
            self._row += 1
            if self._row >= _WORD:
                self._held = round(_HOLD * min(1.0, max(0.0, (noise.level - QUIET) / (_LOUD - QUIET))))
            return True
        self._row = 0
        self._held -= 1
        return self._held >= 0
