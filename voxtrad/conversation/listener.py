"""The ears: moves the caller's audio to the voice-activity detector and the recogniser, and acts on whose turn it is.

Every decision is made by the turn machine; here bytes are moved, its decisions are carried out and told to those who
watch. What a turn means, and the answer to it, is not known here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from voxtrad.audio.levels import dbfs
from voxtrad.conversation.floor import Kind, Turn, TurnDecision
from voxtrad.conversation.spoken import Spoken
from voxtrad.conversation.turns import TurnMachine
from voxtrad.leg import LegGone, MediaPort
from voxtrad.providers.base import STTCapabilities, Transcript, TranscriptStream, Unreachable, VoiceActivity

PRE_ROLL = 15
"""Frames (300 ms) from before the onset that the recogniser gets, so that it loses no first syllable."""


class Mouth(Protocol):
    """What the ears may do with the agent's speech."""

    @property
    def playout_level(self) -> float | None: ...

    @property
    def saying(self) -> str: ...

    async def pause(self) -> None: ...

    async def resume(self) -> None: ...

    async def flush(self) -> Spoken | None: ...


class Witness(Protocol):
    """Who is told what was heard and decided."""

    def decided(self, decision: TurnDecision) -> None: ...

    def partial(self, text: str) -> None: ...

    def interrupted(self, decision: TurnDecision, spoken: Spoken, silent_at: float) -> None: ...


class Drafts(Protocol):
    """Who thinks ahead."""

    def draft(self, text: str) -> None: ...

    def forget_draft(self) -> None: ...


class Listener:
    """One call's ears. `run` is to run as long as the conversation does; it returns when the media port has closed.

    `fill` is called, with the reason, when the agent owes the caller a sound. Raises `ProviderError` when the
    recogniser is lost.
    """

    def __init__(
        self,
        port: MediaPort,
        vad: VoiceActivity,
        stt: TranscriptStream,
        capabilities: STTCapabilities,
        machine: TurnMachine,
        *,
        mouth: Mouth,
        drafts: Drafts,
        witness: Witness,
        fill: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self._port = port
        self._vad = vad
        self._stt = stt
        self._continuous = capabilities.continuous
        self._machine = machine
        self._mouth = mouth
        self._drafts = drafts
        self._witness = witness
        self._fill = fill
        self._clock = clock
        self._pre_roll: deque[bytes] = deque(maxlen=PRE_ROLL)
        self._sending = self._continuous
        self._turns: deque[Turn] = deque()
        self._taken_back: str | None = None
        self._silent = False
        self._silent_at: float | None = None
        self._closed = False
        self._prompted = False
        self._recognised_by = ""
        self._news = asyncio.Event()
        self.overtaken = False
        """The caller went on after the last turn, while there was no answer being said that could be dropped."""

    # --- the dialogue's side ------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """The call was answered."""
        self._machine.begin(self._clock())

    async def turn(self, timeout: float | None) -> Turn | None:
        """The caller's next turn; None after `timeout` seconds in which nobody spoke, or when the call is over.

        What was said in several turns since the last call, while the agent could not be interrupted, is one, and a turn
        that was taken back is the beginning of the next.
        """
        self._silent = self.overtaken = False
        try:
            await self._act(self._machine.waiting(self._clock(), timeout))
            while True:
                while not (self._closed or self._silent or self._due()):
                    self._news.clear()
                    await self._news.wait()
                if self._prompted and not self._turns and self._due() and not self._closed:
                    self._prompted, now = False, self._clock()
                    await self._act(self._machine.prompted(now))
                    return Turn("", voiced_until=now, decided_at=now, unasked=True)
                if self._closed or not self._turns:
                    return None
                if turn := self._next():
                    await self._act(self._machine.handed(self._clock()))
                    return turn
        finally:
            self._machine.busy(self._clock())

    def _due(self) -> bool:
        """Whether there is a turn, of the caller or the agent's own, and nothing of the caller is undecided."""
        return bool(self._turns or self._prompted) and not self._machine.undecided

    def _next(self) -> Turn | None:
        """All that was said, as one turn; None when there is nothing to answer in it."""
        turns, self._turns = self._turns, deque()
        before, self._taken_back = self._taken_back, None
        texts = [text for text in (before, *(turn.text for turn in turns)) if text]
        if not texts and before is None:
            return None
        keys = not before and all(turn.keys for turn in turns if turn.text)
        return replace(
            turns[-1],
            text=" ".join(texts),
            keys=keys and bool(texts),
            merged=before is not None,
            provider=self._recognised_by,
        )

    def take_back(self, text: str) -> None:
        """A turn that was handed over is not answered: its words begin the turn that follows.

        Empty where they stand in the history already, and the answer is to go on from there.
        """
        self._taken_back = " ".join(part for part in (self._taken_back, text) if part)

    def prompt(self, wanted: bool) -> None:
        """Whether the agent has something to say by itself: when nobody speaks it then gets a turn without words."""
        self._prompted = wanted
        self._news.set()

    @property
    def undecided(self) -> bool:
        """Something was heard of the caller that is no turn yet."""
        return self._machine.undecided and not self._closed

    async def settled(self) -> bool:
        """Wait until it is known whether what the caller does now is a turn; whether there is one to be answered."""
        while self._machine.undecided and not self._closed:
            self._news.clear()
            await self._news.wait()
        return bool(self._turns) and not self._closed

    def excuse(self, excused: bool) -> None:
        """Silence is not the agent's for the time being: keys are awaited, or others talk with the caller."""
        self._machine.excuse(self._clock(), excused)

    def close(self) -> Turn | None:
        """The call is over: whoever waits for a turn gets None. Returns what the caller said and nobody answered."""
        if self._closed:
            return None
        self._closed = True
        self._news.set()
        left = self._machine.end(self._clock())
        for decision in left:
            self._witness.decided(decision)
        self._turns.extend(decision.turn for decision in left if decision.turn is not None)
        if not self._turns:
            self._turns.append(Turn("", voiced_until=self._clock()))
        turn = self._next()
        return turn if turn is not None and turn.text else None

    def silence_left(self) -> float:
        """Seconds until silence is dead air."""
        return self._machine.silence_left(self._clock())

    # --- the mouth's side ---------------------------------------------------------------------------------------------

    async def agent_audible(self, interruptible: bool) -> None:
        await self._act(self._machine.audible(self._clock(), interruptible=interruptible))

    async def agent_filled(self) -> None:
        await self._act(self._machine.filled(self._clock()))

    async def agent_played(self, text: str) -> None:
        await self._act(self._machine.played(self._clock(), text))

    async def key(self, digit: str) -> None:
        await self._act(self._machine.key(self._clock(), digit))

    # --- audio and text -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(self._read())
            await self._hear()
            reading.cancel()

    async def _hear(self) -> None:
        machine, vad, mouth, clock = self._machine, self._vad, self._mouth, self._clock
        async for frame in self._port.frames():
            playout = mouth.playout_level
            level = dbfs(frame) if playout is not None else 0.0
            decisions = machine.frame(clock(), voiced=vad.voiced(frame), level=level, playout=playout)
            if self._sending:
                await self._stt.send(frame)
            else:
                self._pre_roll.append(frame)
            if decisions:
                await self._act(decisions)

    async def _read(self) -> None:
        machine = self._machine
        async for event in self._stt.events():
            now, said = self._clock(), self._mouth.saying
            self._recognised_by = event.provider
            if isinstance(event, Transcript):
                if not event.final and event.text:
                    self._witness.partial(event.text)
                decisions = machine.transcript(
                    now, event.text, final=event.final, confidence=event.confidence, agent_said=said
                )
            else:
                decisions = machine.signal(now, event.kind, event.text, agent_said=said)
            await self._act(decisions)
        raise Unreachable("the recogniser has stopped", provider="stt")

    async def _act(self, decisions: list[TurnDecision]) -> None:
        for decision in decisions:
            with contextlib.suppress(LegGone):  # who watches the leg knows, and ends the call
                await self._carry_out(decision)

    async def _carry_out(self, decision: TurnDecision) -> None:
        if decision.kind is Kind.FILL:
            self._fill(decision.reason)
            return
        self._witness.decided(decision)
        match decision.kind:
            case Kind.SPEECH_STARTED if not self._continuous:
                self._sending = True
                for frame in self._pre_roll:
                    await self._stt.send(frame)
                self._pre_roll.clear()
            case Kind.SPEECH_ENDED:
                self._sending = self._continuous
                await self._stt.finalize()
            case Kind.SPECULATE if decision.turn is not None:
                self._drafts.draft(" ".join(text for text in (self._taken_back, decision.turn.text) if text))
            case Kind.FORGET_DRAFT:
                self._drafts.forget_draft()
            case Kind.PAUSE:
                await self._mouth.pause()
                self._silent_at = self._clock()
            case Kind.RESUME:
                self._silent_at = None
                await self._mouth.resume()
            case Kind.FLUSH | Kind.MERGE:
                await self._flush(decision)
            case Kind.END_TURN if decision.turn is not None:
                self._turns.append(decision.turn)
                self._news.set()
            case Kind.DROP:
                self._news.set()
            case Kind.SILENCE:
                self._silent = True
                self._news.set()
            case _:
                pass

    async def _flush(self, decision: TurnDecision) -> None:
        spoken = await self._mouth.flush()
        silent_at, self._silent_at = self._silent_at or self._clock(), None
        if spoken is None:
            self.overtaken = True
        if decision.kind is Kind.FLUSH:
            if spoken is None or not spoken.heard:
                self._machine.unheard()
            if spoken is not None:
                self._witness.interrupted(decision, spoken, silent_at)
