"""How well turns are taken on recorded human speech, for each detector: through the real detectors and turn machine.

A sentence is cut in two and a pause put between; noise is laid over all of it. The recogniser is an ideal one, so that
only detectors and rules are judged: 200 ms after it is asked it knows the words that have been spoken, and none in
noise. The agent answers 800 ms after a turn was ended, as good ones do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from time import perf_counter
from typing import cast

import numpy as np

from tests.bench.corpus import FRAME, KINDS, RATE, SNRS, SPEECH_DBFS, Prompt, disturbed, prompts, silence
from tests.bench.figures import Spread, table
from voxtrad.audio.levels import dbfs
from voxtrad.conversation.floor import Kind, TurnDecision, TurnPolicy
from voxtrad.conversation.turns import TurnMachine
from voxtrad.providers.base import VoiceActivity, VoiceActivityDetector
from voxtrad.providers.extras import MissingExtra
from voxtrad.providers.options import Embedded
from voxtrad.providers.registry import BUILT_IN, provider_types

PAUSES = (200, 300, 500, 700, 1000, 1500)
ANSWER_AFTER = 0.8
_FINAL_AFTER = 0.2
_PARTIAL_EVERY = 0.3
_WARM, _LEAD, _TAIL = 5.0, 1.0, 4.5
"""Seconds of noise before anything counts (the greeting plays then), before the sentence, and after it."""
_TICK = FRAME / RATE


@dataclass
class Quality:
    """One detector under one noise."""

    vad: str
    noise: str
    scenes: int = 0
    onset: Spread = field(default_factory=Spread)
    """From the first sound of the sentence to the decision that somebody speaks."""
    deaf: int = 0
    """Sentences that were not noticed within a second."""
    false_onsets: int = 0
    """Scenes in which somebody was heard before the sentence began."""
    early_ends: dict[int, int] = field(default_factory=dict)
    """By pause: per cent of the turns that were ended in it."""
    talked_over: dict[int, int] = field(default_factory=dict)
    """By pause: per cent of the turns in which the agent was heard before the caller went on."""
    end_delay: Spread = field(default_factory=Spread)
    """From the sentence's last sound to the end of the turn; 500 ms of it are `min_silence`."""
    missed_ends: int = 0
    """Turns that had not ended 4.5 s after the sentence."""
    pauses_per_minute: float = 0.0
    flushes_per_minute: float = 0.0
    """While the agent speaks and the caller says nothing: false interruptions."""
    stop: Spread = field(default_factory=Spread)
    """From the first sound of a sentence said into the agent's to the agent's pause."""
    not_stopped: int = 0
    frame_us: float = 0.0
    """Microseconds of processor time for a frame."""


def judge(count: int = 20) -> list[Quality]:
    """All installed detectors under all noises, on so many sentences. Raises `NoRecordings`."""
    corpus = prompts(count)
    conditions: list[tuple[str, int | None]] = [("steady", None), *((kind, snr) for kind in KINDS for snr in SNRS)]
    return [_judge(vad, kind, snr, corpus) for kind, snr in conditions for vad in detectors()]


def detectors() -> list[str]:
    found = []
    for name in BUILT_IN["vad"]:
        try:
            _detector(name)
        except MissingExtra:
            continue
        found.append(name)
    return found


def report(figures: Sequence[Quality]) -> str:
    """What a person reads."""
    rows: list[Sequence[object]] = [
        ("noise", "vad", "onset ms", "deaf", "false", f"ended in pauses of {'/'.join(map(str, PAUSES))} ms, %",
         "talked over, %", "end after ms", "missed", "false pause|flush /min", "stop ms", "missed", "us/frame")
    ]  # fmt: skip
    for one in figures:
        rows.append(
            (one.noise, one.vad, _two(one.onset), one.deaf, one.false_onsets,
             "/".join(str(one.early_ends[pause]) for pause in PAUSES),
             "/".join(str(one.talked_over[pause]) for pause in PAUSES), _two(one.end_delay), one.missed_ends,
             f"{one.pauses_per_minute:.1f} | {one.flushes_per_minute:.1f}", _two(one.stop), one.not_stopped,
             f"{one.frame_us:.1f}")
        )  # fmt: skip
    return f"{table(rows)}\n(p50/p95; {figures[0].scenes} scenes a row)"


def _two(spread: Spread) -> str:
    return f"{spread.p50:.0f}/{spread.p95:.0f}" if spread.count else "-"


def _judge(vad: str, kind: str, snr: int | None, corpus: Sequence[Prompt]) -> Quality:
    quality = Quality(vad, "none" if snr is None else f"{kind} {snr} dB")
    onsets, delays = [], []
    spent, frames = 0.0, 0
    for pause in PAUSES:
        ended = over = 0
        for index, prompt in enumerate(corpus):
            scene = Scene(prompt, pause / 1000, kind, snr, index)
            warm = _warm(vad, kind, snr)
            began = perf_counter()
            scene.run(warm)
            spent, frames = spent + perf_counter() - began, frames + scene.judged
            quality.scenes += 1
            quality.false_onsets += scene.false_onset
            quality.deaf += scene.onset is None
            quality.missed_ends += scene.end is None
            if scene.onset is not None:
                onsets.append(scene.onset)
            if scene.end is not None:
                delays.append(scene.end)
            ended, over = ended + scene.ended_early, over + scene.talked_over
        quality.early_ends[pause] = round(100 * ended / len(corpus))
        quality.talked_over[pause] = round(100 * over / len(corpus))
    quality.onset, quality.end_delay = Spread.of(onsets), Spread.of(delays)
    quality.frame_us = round(1e6 * spent / frames, 1)
    _judge_interruptions(quality, vad, kind, snr, corpus)
    return quality


class Scene:
    """One turn: a sentence with a pause in it, on a line with noise."""

    def __init__(self, prompt: Prompt, pause: float, kind: str, snr: int | None, index: int) -> None:
        self.prompt = prompt
        cut = prompt.quietest()
        self._began = _LEAD
        self._cut = _LEAD + cut / RATE
        self._went_on = self._cut + pause
        self._over = _LEAD + prompt.seconds + pause
        parts = (silence(_LEAD), prompt.sound[:cut], silence(pause), prompt.sound[cut:], silence(_TAIL))
        self.frames = disturbed(np.concatenate(parts), kind, snr, start=index * 7000)
        self.onset: float | None = None
        self.end: float | None = None
        self.judged = 0
        self.false_onset = self.ended_early = self.talked_over = False

    def said(self, t: float) -> str:
        """The words that have been spoken until then."""
        spoken = min(t, self._cut) - self._began + max(0.0, t - self._went_on)
        return self.prompt.said(spoken) if spoken > 0 else ""

    def run(self, vad: VoiceActivity) -> None:
        """`vad` has heard the line for a while."""
        machine = TurnMachine(TurnPolicy())
        machine.begin(0.0)
        machine.waiting(0.0)
        recogniser = Recogniser(self)
        audible_at: float | None = None
        for index, frame in enumerate(self.frames):
            t = index * _TICK
            self.judged += 1
            decisions = machine.frame(t, voiced=vad.voiced(frame))
            for text, final in recogniser.news(t):
                decisions += machine.transcript(t, text, final=final)
            if audible_at is not None and t >= audible_at:
                audible_at = None
                self.talked_over = self.talked_over or t < self._over
                decisions += machine.audible(t, interruptible=True)
            for decision in decisions:
                recogniser.told(t, decision)
                match decision.kind:
                    case Kind.SPEECH_STARTED if t < self._began:
                        self.false_onset = True
                    case Kind.SPEECH_STARTED if self.onset is None and t < self._began + 1:
                        self.onset = t - self._began
                    case Kind.END_TURN:
                        machine.handed(t)
                        audible_at = t + ANSWER_AFTER
                        if t < self._went_on:
                            self.ended_early = True
                        elif t >= self._over:
                            self.end = t - self._over
                            return
                    case Kind.MERGE | Kind.FLUSH:
                        audible_at = None
                        machine.waiting(t)
                    case _:
                        pass


class Recogniser:
    """Knows what is said, and tells it as one that has partial transcripts does."""

    def __init__(self, scene: Scene | None) -> None:
        self._scene = scene
        self._due: list[float] = []
        self._speaking = False
        self._partial_at = 0.0
        self._finalised = ""

    def told(self, t: float, decision: TurnDecision) -> None:
        if decision.kind is Kind.SPEECH_STARTED:
            self._speaking, self._partial_at = True, t + _PARTIAL_EVERY
        elif decision.kind is Kind.SPEECH_ENDED:
            self._speaking = False
            self._due.append(t + _FINAL_AFTER)

    def news(self, t: float) -> Iterator[tuple[str, bool]]:
        while self._due and t >= self._due[0]:
            yield self._rest(self._due.pop(0) - _FINAL_AFTER, final=True), True
        if self._speaking and t >= self._partial_at:
            self._partial_at += _PARTIAL_EVERY
            if text := self._rest(t, final=False):
                yield text, False

    def _rest(self, t: float, *, final: bool) -> str:
        said = self._scene.said(t) if self._scene is not None else ""
        rest = said.removeprefix(self._finalised).strip()
        if final:
            self._finalised = said
        return rest


def _judge_interruptions(quality: Quality, vad: str, kind: str, snr: int | None, corpus: Sequence[Prompt]) -> None:
    """The agent speaks: first nobody speaks into it, then somebody."""
    minutes = 2.0
    quiet = disturbed(silence(minutes * 60), kind, snr)
    decided = list(_over_agent(_warm(vad, kind, snr), quiet, None))
    quality.pauses_per_minute = sum(what is Kind.PAUSE for _, what in decided) / minutes
    quality.flushes_per_minute = sum(what is Kind.FLUSH for _, what in decided) / minutes
    stops = []
    for index, prompt in enumerate(corpus):
        sound = np.concatenate((silence(2.0), prompt.sound, silence(1.0)))
        frames = disturbed(sound, kind, snr, start=index * 5000)
        decided = list(_over_agent(_warm(vad, kind, snr), frames, prompt))
        halted = [t - 2.0 for t, what in decided if what is Kind.PAUSE and t >= 2.0]
        if halted and halted[0] < 1.0:
            stops.append(halted[0])
        else:
            quality.not_stopped += 1
    quality.stop = Spread.of(stops)


def _over_agent(vad: VoiceActivity, frames: Sequence[bytes], prompt: Prompt | None) -> Iterator[tuple[float, Kind]]:
    """What is decided while the agent speaks all the time, as loud as callers do and without an echo."""
    machine = TurnMachine(TurnPolicy())
    machine.begin(0.0)
    machine.audible(0.0, interruptible=True)
    recogniser = Recogniser(Scene(prompt, 0.0, "steady", None, 0) if prompt is not None else None)
    for index, frame in enumerate(frames):
        t = index * _TICK
        level = dbfs(frame)
        decisions = machine.frame(t, voiced=vad.voiced(frame), level=level, playout=SPEECH_DBFS)
        for text, final in recogniser.news(t):
            decisions += machine.transcript(t, text, final=final)
        for decision in decisions:
            recogniser.told(t, decision)
            yield t, decision.kind
            if decision.kind is Kind.FLUSH:
                machine.played(t)
                machine.audible(t, interruptible=True)


def _warm(name: str, kind: str, snr: int | None) -> VoiceActivity:
    """A detector for a new call that has heard the line's noise during the greeting."""
    vad = _detector(name).open(rate=RATE)
    for frame in _noise_before(kind, snr):
        vad.voiced(frame)
    return vad


@cache
def _noise_before(kind: str, snr: int | None) -> list[bytes]:
    return disturbed(silence(_WARM), kind, snr, start=99_000)


@cache
def _detector(name: str) -> VoiceActivityDetector:
    found = provider_types()["vad"][name]
    return cast("VoiceActivityDetector", found.build(name, Embedded(), found.options()))
