"""The ears: moves the caller's audio to the voice-activity detector and the recogniser, and acts on whose turn it is.

Every decision is made by the turn machine; here bytes are moved, its decisions are carried out and told to those who
watch. What a turn means, and the answer to it, is not known here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from voxtrad.audio.levels import dbfs
from voxtrad.conversation.speaker import Spoken
from voxtrad.conversation.turns import Kind, Turn, TurnDecision, TurnMachine
from voxtrad.leg import MediaPort
from voxtrad.providers.base import STTCapabilities, Transcript, TranscriptStream, VoiceActivity

PRE_ROLL = 15
"""Frames (300 ms) from before the onset that the recogniser gets, so that it loses no first syllable."""


class Mouth(Protocol):
    """What the ears may do with the agent's speech."""

    @property
    def playout_level(self) -> float | None: ...

    async def pause(self) -> None: ...

    async def resume(self) -> None: ...

    async def flush(self) -> Spoken | None: ...


class Witness(Protocol):
    """Who is told what was heard and decided."""

    def decided(self, decision: TurnDecision) -> None: ...

    def partial(self, text: str) -> None: ...

    def interrupted(self, decision: TurnDecision, spoken: Spoken) -> None: ...


class Drafts(Protocol):
    """Who thinks ahead."""

    def draft(self, text: str) -> None: ...

    def forget_draft(self) -> None: ...


class Listener:
    """One call's ears. `run` is to run as long as the conversation does; it ends with the media port.

    Raises `ProviderError` when the recogniser is lost.
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
        self._clock = clock
        self._pre_roll: deque[bytes] = deque(maxlen=PRE_ROLL)
        self._sending = self._continuous
        self._turns: deque[Turn] = deque()
        self._silent = False
        self._closed = False
        self._news = asyncio.Event()

    # --- the dialogue's side ------------------------------------------------------------------------------------------

    async def turn(self, timeout: float | None) -> Turn | None:
        """The caller's next turn; None after `timeout` seconds in which nobody spoke, or when the call is over.

        What was said in several turns since the last call, while the agent could not be interrupted, is one.
        """
        await self._act(self._machine.waiting(self._clock()))
        self._silent = False
        if not self._turns:
            self._machine.expect_silence(timeout)
        while not (self._turns or self._silent or self._closed):
            self._news.clear()
            await self._news.wait()
        self._machine.expect_silence(None)
        if self._closed or not self._turns:
            return None
        turns, self._turns = self._turns, deque()
        await self._act(self._machine.handed(self._clock()))
        last = turns[-1]
        return last if len(turns) == 1 else replace(last, text=" ".join(t.text for t in turns), keys=False)

    def take_back(self, text: str) -> None:
        """A turn that was handed over is not answered: its words begin the turn that follows."""
        self._machine.take_back(text)

    def close(self) -> None:
        """The call is over: whoever waits for a turn gets None."""
        self._closed = True
        self._news.set()

    # --- the mouth's side ---------------------------------------------------------------------------------------------

    async def agent_audible(self, interruptible: bool) -> None:
        await self._act(self._machine.audible(self._clock(), interruptible=interruptible))

    async def agent_played(self, text: str) -> None:
        await self._act(self._machine.played(self._clock(), text))

    async def key(self, digit: str) -> None:
        await self._act(self._machine.key(self._clock(), digit))

    # --- audio and text -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(self._read())
                await self._hear()
                reading.cancel()
        finally:
            self.close()

    async def _hear(self) -> None:
        machine, vad, mouth, clock = self._machine, self._vad, self._mouth, self._clock
        async for frame in self._port.frames():
            voiced = vad.voiced(frame)
            playout = mouth.playout_level if voiced else None
            level = dbfs(frame) if playout is not None else 0.0
            decisions = machine.frame(clock(), voiced=voiced, level=level, playout=playout)
            if not self._continuous:
                self._pre_roll.append(frame)
            if self._sending:
                await self._stt.send(frame)
            if decisions:
                await self._act(decisions)

    async def _read(self) -> None:
        async for event in self._stt.events():
            now = self._clock()
            if isinstance(event, Transcript):
                if not event.final and event.text:
                    self._witness.partial(event.text)
                decisions = self._machine.transcript(now, event.text, final=event.final, confidence=event.confidence)
            else:
                decisions = self._machine.signal(now, event.kind, event.text)
            await self._act(decisions)

    async def _act(self, decisions: list[TurnDecision]) -> None:
        for decision in decisions:
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
                    self._drafts.draft(decision.turn.text)
                case Kind.FORGET_DRAFT:
                    self._drafts.forget_draft()
                case Kind.PAUSE:
                    await self._mouth.pause()
                case Kind.RESUME:
                    await self._mouth.resume()
                case Kind.FLUSH | Kind.MERGE:
                    spoken = await self._mouth.flush()
                    if spoken is not None and decision.kind is Kind.FLUSH:
                        self._witness.interrupted(decision, spoken)
                case Kind.END_TURN if decision.turn is not None:
                    self._turns.append(decision.turn)
                    self._news.set()
                case Kind.SILENCE:
                    self._silent = True
                    self._news.set()
                case _:
                    pass
