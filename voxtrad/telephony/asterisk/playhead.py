"""How much of what was sent to a PBX that paces playout by itself has been heard. Pure: positions and times go in.

Between messages from the PBX the position is estimated from the clock. Marks stand in the audio at known positions and
report when playout reaches them; the estimate never passes a mark that has not reported, so it never goes back.
"""

from __future__ import annotations

from collections import deque


class Playhead:
    """Positions are in samples and count only audio that was not thrown away."""

    def __init__(self, rate: int) -> None:
        self.queued = 0
        self._rate = rate
        self._base = 0
        """Position that was heard at time `_since`."""
        self._since = 0.0
        self._paused = False
        self._marks: deque[int] = deque()
        self.confirmed = 0
        """Position of the last mark that reported: this much is known to have been played."""

    def heard(self, now: float) -> int:
        """The position heard at time `now`."""
        limit = self._marks[0] if self._marks else self.queued
        if self._paused:
            return min(limit, self._base)
        return min(limit, self._base + round((now - self._since) * self._rate))

    def add(self, samples: int, now: float) -> None:
        """Audio was sent."""
        heard = self.heard(now)
        if heard == self.queued:
            self._base, self._since = heard, now  # the queue was empty: playout starts now
        self.queued += samples

    def mark(self) -> None:
        """A mark was sent after all the audio so far."""
        self._marks.append(self.queued)

    @property
    def unmarked(self) -> int:
        """Samples sent since the last mark, or since what is confirmed."""
        return self.queued - (self._marks[-1] if self._marks else self.confirmed)

    def marks_reached(self, count: int, now: float) -> None:
        """The first `count` marks reported: playout is where the last of them stands."""
        for _ in range(min(count, len(self._marks))):
            self.confirmed = self._base = self._marks.popleft()
            self._since = now

    def at(self, position: int, now: float) -> None:
        """The PBX says that playout is at `position`. An estimate that is further already stays."""
        if position >= self.heard(now):
            self._base, self._since = min(position, self.queued), now

    def pause(self, now: float) -> None:
        if not self._paused:
            self._base, self._paused = self.heard(now), True

    def resume(self, now: float) -> None:
        if self._paused:
            self._paused, self._since = False, now

    def flush(self, now: float) -> int:
        """All that waits was thrown away. Returns the position heard, as estimated."""
        heard = self.heard(now)
        self.queued = self.confirmed = self._base = heard
        self._since, self._paused = now, False
        self._marks.clear()
        return heard

    def correct(self, samples: int) -> None:
        """The position that `flush` estimated was `samples` too low: everything after it moves."""
        self.queued += samples
        self.confirmed += samples
        self._base += samples
        self._marks = deque(position + samples for position in self._marks)
