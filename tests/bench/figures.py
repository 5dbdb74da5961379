"""From what callers and vendors noted to figures: what was added to each turn, how soon it stopped, where it gapped.

A turn's way is: the frame on which its end can be decided -> the model is asked -> (model) -> the first sentence ->
the voice is asked -> (voice) -> the first audio -> the caller's side has it. What is not in brackets is counted: it is
voxtrad's, the network's, and that of the vendors' and the PBX's own programs. What those cost is what the bare relay
shows, which goes the same way in the same run; what voxtrad adds is what is counted beyond that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

Noted = Mapping[str, Any]


@dataclass(frozen=True)
class Spread:
    """Percentiles in milliseconds."""

    count: int = 0
    p50: float = 0.0
    p95: float = 0.0
    p99: float = 0.0
    most: float = 0.0

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Spread:
        values = sorted(seconds)
        if not values:
            return cls()

        def at(share: float) -> float:
            return round(1000 * values[min(len(values) - 1, int(share * len(values)))], 2)

        return cls(len(values), at(0.5), at(0.95), at(0.99), round(1000 * values[-1], 2))

    def __str__(self) -> str:
        return f"{self.p50:.1f} / {self.p95:.1f} / {self.p99:.1f}" if self.count else "-"


@dataclass
class Level:
    """All figures of so many calls at once."""

    calls: int
    seconds: float
    turns: int = 0
    unanswered: int = 0
    added: Spread = field(default_factory=Spread)
    added_deciding: Spread = field(default_factory=Spread)
    """From the frame on which the turn's end can be decided until the model is asked."""
    added_cutting: Spread = field(default_factory=Spread)
    """From the first sentence's last token until the voice is asked for it."""
    added_playing: Spread = field(default_factory=Spread)
    """From the first audio until the PBX has it."""
    turn: Spread = field(default_factory=Spread)
    """All of it, from the caller's last frame: what the caller notices."""
    stop: Spread = field(default_factory=Spread)
    """From the onset of speech into the agent's until the agent's last frame was played."""
    stop_own: Spread = field(default_factory=Spread)
    """From the frame on which `pause_after` is over until the PBX is told."""
    greeted: Spread = field(default_factory=Spread)
    """From the answer until the PBX has the greeting's first sound, behind the silence that leads it in."""
    gaps: int = 0
    gap_ms: float = 0.0
    cpu_per_call: float = 0.0
    """Per cent of one core."""
    memory_per_call: float = 0.0
    """Megabytes above the memory of a warm server without calls."""
    pbx_late_ms: float = 0.0
    """The most that the simulated PBX was late: figures below it are the PBX's."""

    def json(self) -> dict[str, object]:
        return asdict(self)


def of_level(level: Level, noted: Noted, vendors: Mapping[str, Mapping[str, float]], since: float) -> Level:
    """Fill in what was noted from `since` on. An utterance that was not over at the end counts for nothing."""
    said: Sequence[Noted] = [one for one in noted["utterances"] if one["began"] >= since and one["ended"]]
    parts: dict[str, list[float]] = {"deciding": [], "cutting": [], "playing": [], "added": [], "turn": []}
    latest = max((one["began"] for one in noted["utterances"]), default=0.0)
    for one in said:
        seen = vendors.get(str(one["id"]), {})
        if (
            one["received"] is None
            or one["decidable"] is None
            or not {"asked", "sentence", "speak", "audio"} <= set(seen)
        ):
            level.unanswered += latest - one["ended"] > 3.0
            continue
        certain = max(one["decidable"], seen.get("final", 0.0))
        deciding, cutting = seen["asked"] - certain, seen["speak"] - seen["sentence"]
        playing = one["received"] - seen["audio"]
        parts["deciding"].append(deciding)
        parts["cutting"].append(cutting)
        parts["playing"].append(playing)
        parts["added"].append(deciding + cutting + playing)
        parts["turn"].append(one["received"] - one["ended"])
    level.turns = len(parts["added"])
    level.added = Spread.of(parts["added"])
    level.added_deciding = Spread.of(parts["deciding"])
    level.added_cutting = Spread.of(parts["cutting"])
    level.added_playing = Spread.of(parts["playing"])
    level.turn = Spread.of(parts["turn"])
    stops = [one for one in said if one["interrupts"] and one["stopped"] and one["onset"]]
    level.stop = Spread.of(one["stopped"] - one["onset"] for one in stops)
    level.stop_own = Spread.of(
        one["told_to_stop"] - one["pausable"] for one in stops if one["told_to_stop"] and one["pausable"]
    )
    level.greeted = Spread.of(noted["greeted"])
    gaps = [gap for one in said for gap in one["gaps"]]
    level.gaps, level.gap_ms = len(gaps), round(1000 * sum(gaps), 1)
    level.pbx_late_ms = round(1000 * noted["late"], 1)
    return level


TARGETS = """\
targets: added p50 <= 3, p95 <= 10 ms at one call, p95 <= 25 ms at 100; barge-in p95 <= 350 ms, own part <= 10 ms;
greeting <= 50 ms; no gaps; memory <= 1.5 MB per call, <= 120 MB idle; ready in < 1500 ms; CPU <= 0.6 % of a core per
call where the relay needs 0.2 to 0.3 %: two to three times as much"""


def table(rows: Sequence[Sequence[object]]) -> str:
    """Columns as wide as they need to be; the first row is the head."""
    texts = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in texts) for column in range(len(texts[0]))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in texts]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def beyond(counted: Spread, bare: Spread) -> str:
    """What is counted beyond that which the bare relay needs."""
    return f"{counted.p50 - bare.p50:.1f} / {counted.p95 - bare.p95:.1f}" if counted.count and bare.count else "-"


def report(result: Mapping[str, Any]) -> str:
    """What a person reads."""
    levels: Sequence[Level] = result["levels"]
    relay: Mapping[int, Level] = {level.calls: level for level in result["relay"]}
    latency: list[Sequence[object]] = [
        ("calls", "turns", "lost", "counted ms p50/p95/p99", "deciding", "cutting", "playing", "relay", "added p50/p95",
         "barge-in stop", "own", "greeting", "gaps", "PBX late")
    ]  # fmt: skip
    cost: list[Sequence[object]] = [
        ("calls", "CPU %/call", "relay", "ratio", "MB/call", "relay"),
    ]
    for level in levels:
        bare = relay.get(level.calls)
        latency.append(
            (level.calls, level.turns, level.unanswered, level.added, level.added_deciding, level.added_cutting,
             level.added_playing, bare.added if bare else "-", beyond(level.added, bare.added if bare else Spread()),
             level.stop, level.stop_own, level.greeted, level.gaps, level.pbx_late_ms)
        )  # fmt: skip
        ratio = f"{level.cpu_per_call / bare.cpu_per_call:.1f}" if bare and bare.cpu_per_call else "-"
        cost.append(
            (level.calls, f"{level.cpu_per_call:.2f}", f"{bare.cpu_per_call:.2f}" if bare else "-", ratio,
             f"{level.memory_per_call:.2f}", f"{bare.memory_per_call:.2f}" if bare else "-")
        )  # fmt: skip
    start, idle = result["start_ms"], result["idle_mb"]
    return "\n\n".join(
        [
            table(latency),
            table(cost),
            (
                f"start-up {start['voxtrad']:.0f} ms until calls can come (relay {start['relay']:.0f} ms); "
                f"idle {idle['voxtrad']:.0f} MB with the default providers (relay {idle['relay']:.0f} MB)"
            ),
            TARGETS,
        ]
    )
