"""What comes out of order, twice, late or never over UDP is made a stream again. Pure: packets and times go in.

Nobody listens to this stream as it comes: it goes to a recogniser, which wants all of it, in order, and soon. So there
is no playout clock here that would delay everything by the longest delay there may be. What is next in line is given at
once; only what comes after a gap is held, until the gap is filled or `patience` is over. Then something stands in for
what is missing (its predecessor, fading), and when it comes after all it is thrown away.

Patience follows what the network does: it is how much later than the earliest ones packets have lately come, and never
more than the limit. A packet that does not belong to the stream (another sender's, or far from where it should be)
counts only when the next one follows it: then the sender has begun anew. One stray packet changes nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from voxtrad.audio._audioop import audioop
from voxtrad.leg import FRAME_MS

_FRAME = FRAME_MS / 1000
_LEAST = 2 * _FRAME
_AHEAD, _BEHIND = 3000, 100
"""Packets by which a sequence number may be away from the one that is next (RFC 3550, appendix A.1)."""
_FADING = (0.5, 0.25)
"""How loud a frame is repeated in the place of missing ones; after that there is silence."""
_FORGETTING = 0.998
"""What is left of the delay after each packet that was not late: half of it is gone after 7 s."""
_DRIFT = 0.00002
"""Seconds by which the far clock may be slower for each packet, without seeming to be late more and more."""
_LEAP = 1.0
"""Seconds by which nothing is late: there the far clock has been set."""


@dataclass(slots=True)
class _Held:
    pcm: bytes
    came: float


class JitterBuffer:
    """The audio of one far side; the methods return what can be given now, in frames as they came."""

    def __init__(self, rate: int, most: float) -> None:
        """`most` is how many seconds of audio are held back, and how long, at most."""
        self._rate = rate
        self._most = most
        self._source: int | None = None
        self._next = 0
        """The number that is next in line, counted on past 65,535."""
        self._held: dict[int, _Held] = {}
        self._held_bytes = 0
        self._given_up: deque[int] = deque(maxlen=_BEHIND)
        self._anew: tuple[int, int] | None = None
        """Whose packet, and which, would show that a sender has begun anew."""
        self._last = b""
        self._stood_in = False
        self._earliest: float | None = None
        """The least difference between when a packet came and its own time."""
        self._delay = 0.0
        self.given = 0
        """Packets that were given in their turn."""
        self.late = 0
        """Packets that came when something stood in for them already."""
        self.lost = 0
        """Packets that had not come in time; those that came late are among them."""
        self.twice = 0
        self.strays = 0
        """Packets that do not belong to the stream."""

    @property
    def patience(self) -> float:
        """Seconds that are waited for what is missing."""
        return min(self._most, max(_LEAST, self._delay + _FRAME))

    @property
    def holding(self) -> float:
        """Seconds of audio that are held back."""
        return self._held_bytes / 2 / self._rate

    def put(self, source: int, sequence: int, timestamp: int, pcm: bytes, now: float) -> list[bytes]:
        """A packet came, with this audio in it; it may have none, and counts all the same."""
        if self._source is None:
            self._begin(source, sequence)
        away = (sequence - self._next + 0x8000) % 0x10000 - 0x8000
        if source != self._source or not -_BEHIND <= away <= _AHEAD:
            if (source, sequence) != self._anew:
                self.strays += 1
                self._anew = source, (sequence + 1) & 0xFFFF
                return []
            given = list(self._rest())
            self._begin(source, sequence)
            return given + self._place(0, timestamp, pcm, now)
        return self._place(away, timestamp, pcm, now)

    def due(self, now: float) -> list[bytes]:
        """What has been held for long enough, and what stands in for the missing before it."""
        given: list[bytes] = []
        while self._held and now - min(held.came for held in self._held.values()) >= self.patience:
            given += self._give_up()
        return given

    def stood_in(self) -> None:
        """Silence was given for the time in which nothing came: what is missing of it is not waited for."""
        self._stood_in = True

    # ------------------------------------------------------------------------------------------------------------------

    def _begin(self, source: int, sequence: int) -> None:
        self._source, self._next = source, sequence
        self._anew, self._earliest = None, None
        self._given_up.clear()

    def _place(self, away: int, timestamp: int, pcm: bytes, now: float) -> list[bytes]:
        number = self._next + away
        self._measure(timestamp, now)
        if away < 0:
            if number in self._given_up:
                self._given_up.remove(number)
                self.late += 1
            else:
                self.twice += 1
            return []
        if number in self._held:
            self.twice += 1
            return []
        if self._stood_in:
            self._stood_in = False
            if away and not self._held:
                self._skip(number)
        self._held[number] = _Held(pcm, now)
        self._held_bytes += len(pcm)
        given = list(self._in_line())
        while self._held and self.holding > self._most:
            given += self._give_up()
        return given

    def _measure(self, timestamp: int, now: float) -> None:
        """Learn from when a packet came how late others may come."""
        period = 0x100000000 / self._rate
        passed = now - timestamp / self._rate
        if self._earliest is None:
            self._earliest = passed
        late = (passed - self._earliest + period / 2) % period - period / 2
        if abs(late) > _LEAP:
            self._earliest = passed
            return
        self._earliest += late if late < 0 else min(late, _DRIFT)
        self._delay = max(late, self._delay * _FORGETTING)

    def _in_line(self) -> Iterator[bytes]:
        while (held := self._held.pop(self._next, None)) is not None:
            self._held_bytes -= len(held.pcm)
            self._next += 1
            self.given += 1
            if held.pcm:
                self._last = held.pcm
                yield held.pcm

    def _give_up(self) -> Iterator[bytes]:
        """Something stands in for what is missing before the first that is held."""
        first = min(self._held)
        missing = first - self._next
        self._skip(first)
        most = int(self._most / _FRAME)
        for nth in range(min(missing, most)):
            yield audioop.mul(self._last, 2, _FADING[nth]) if nth < len(_FADING) else bytes(len(self._last))
        yield from self._in_line()

    def _skip(self, number: int) -> None:
        self.lost += number - self._next
        self._given_up.extend(range(max(self._next, number - _BEHIND), number))
        self._next = number

    def _rest(self) -> Iterator[bytes]:
        self.given += len(self._held)
        for number in sorted(self._held):
            if pcm := self._held[number].pcm:
                yield pcm
        self._held.clear()
        self._held_bytes = 0
