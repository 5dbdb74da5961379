"""How well the caller's audio comes, where a network loses some of it. Pure: reports go in, changes come out.

A recogniser gets over a word of which a fiftieth of a second is missing. Where there are gaps in most of the words, the
caller is misunderstood, and whoever looks for the reason has to find it: when that began, and when it was over.
"""

from __future__ import annotations

from dataclasses import dataclass

from voxtrad.leg import ReceptionReport

EVERY = 10.0
"""Seconds between reports."""
BAD, GOOD = 0.03, 0.01
"""What part of the audio is lost when it becomes bad, and good again."""
ENOUGH = 100
"""Packets (2 s of sound) that it takes to tell: one that is missing of ten is nothing."""


@dataclass(frozen=True, slots=True)
class Change:
    """The audio has become bad, or good again."""

    bad: bool
    reason: str
    """In words and numbers, for a person."""


class LineQuality:
    """The quality of one line, from reports that count on."""

    def __init__(self) -> None:
        self._told = self._judged = ReceptionReport()
        self._bad = False

    def news(self, report: ReceptionReport) -> ReceptionReport:
        """What has come since this was asked last."""
        news, self._told = report - self._told, report
        return news

    def change(self, report: ReceptionReport) -> Change | None:
        """Whether the line has changed with what came since it was judged last."""
        packets = report - self._judged
        if packets.due < ENOUGH:
            return None
        self._judged = report
        part = packets.lost / packets.due
        if self._bad == (part > GOOD if self._bad else part >= BAD):
            return None
        self._bad = not self._bad
        late = f"; {packets.late} of these came too late" if packets.late else ""
        return Change(
            self._bad, f"{part:.1%} of the caller's audio was lost: {packets.lost} of {packets.due} packets{late}"
        )
