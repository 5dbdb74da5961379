"""The mouth: text becomes speech on the wire while it is still being written, and it is known what of it was heard.

One utterance at a time: its audio, which `voicing.py` makes of the text, is fed to the media port, a little ahead of
what is heard. It can be held, let go from a word's beginning, and thrown away. Whose turn it is, is not decided here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol

from voxtrad.audio.frames import FRAME_MS, frame_bytes, silence
from voxtrad.conversation.failures import single
from voxtrad.conversation.hearing import ECHO_TAIL
from voxtrad.conversation.spoken import Spoken, SpokenAudio, UtteranceAudio
from voxtrad.conversation.voicing import Voicing
from voxtrad.leg import LegGone, MediaPort
from voxtrad.providers.base import Voice

PORTION = 25
"""Frames (500 ms) that are handed to the media port at a time."""
ECHO_FRAMES = round(ECHO_TAIL * 1000) // FRAME_MS


class Audience(Protocol):
    """Who is told when the agent is heard."""

    async def agent_audible(self, interruptible: bool) -> None:
        """The first audio of an utterance, or of something that fills the time, is on its way."""
        ...

    async def agent_filled(self) -> None:
        """What filled the time was heard, and nothing of an utterance itself yet."""
        ...

    async def agent_played(self, text: str) -> None:
        """The utterance is over; `text` is what was heard of it."""
        ...

    def agent_starved(self) -> None:
        """All audio was heard in the middle of a sentence: the rest of it came too late."""
        ...


class _Saying(UtteranceAudio):
    """An utterance, and the work of saying it."""

    def __init__(self, rate: int, interruptible: bool, *, filler: bool = False) -> None:
        super().__init__(rate, interruptible)
        self.filler = filler
        self.sounding = False
        self.work: asyncio.Task[None] | None = None
        self.flushed = asyncio.Event()
        """Set once it is known what was heard of an utterance that is thrown away: a PBX takes a moment to tell."""


class Speaker:
    """One call's mouth."""

    def __init__(
        self,
        port: MediaPort,
        voice: Voice,
        *,
        language: str,
        kept: SpokenAudio,
        audience: Audience,
        clock: Callable[[], float],
    ) -> None:
        self._port = port
        self._audience = audience
        self._clock = clock
        self._open = asyncio.Event()
        """Not set while the agent is held back."""
        self._open.set()
        self._steady = asyncio.Event()
        """Not set while it is being changed where the audio goes on."""
        self._steady.set()
        self._speaking = asyncio.Lock()
        self._moving = asyncio.Lock()
        """Held, let go and thrown away one after the other, as decided: a PBX takes a moment for each."""
        self._held = False
        """Whether the last that was decided was to hold."""
        self._news = asyncio.Event()
        self._voicing = Voicing(port, voice, language=language, kept=kept, news=self._news, clock=clock)
        self._utterance: _Saying | None = None
        self._given_up: Spoken | None = None
        self._echoing: UtteranceAudio | None = None
        self._sounded_at = 0.0
        self._clear_at = 0.0
        self._flushes = 0
        """How often that was changed: audio that the port was given before is none that is heard."""

    def begin(self, lead_in: float) -> None:
        """The line is open: what is said in the first `lead_in` seconds may be clipped, so silence goes there."""
        self._clear_at = self._clock() + lead_in

    # --- speaking -----------------------------------------------------------------------------------------------------

    async def say(self, text: str | AsyncIterator[str], *, interruptible: bool = True) -> Spoken:
        """Say a text, or a stream of it as it is written; returns when it was heard or thrown away.

        Waits while another utterance is being said. What the text's stream or the synthesis raises is in `error`, after
        what had been synthesized was heard. A leg that ends is an interruption.
        """
        async with self._speaking:
            utterance = _Saying(self._port.rate, interruptible)
            try:
                await self._run(utterance, lambda: self._voicing.compose(utterance, text))
            except asyncio.CancelledError:
                spoken = self._given_up = utterance.spoken()
                await self._audience.agent_played(spoken.heard)
                raise
            spoken = utterance.spoken()
            await self._audience.agent_played(spoken.heard)
            return spoken

    def given_up(self) -> Spoken | None:
        """What was heard of the utterance whose `say` was cancelled last; once."""
        spoken, self._given_up = self._given_up, None
        return spoken

    async def fill(self, text: str, instead: Sequence[str] = ()) -> None:
        """Say something while nothing else is heard, within the utterance under way or by itself.

        One of `instead` where it would have to wait for the synthesis, which may never go on. Raises `ProviderError`
        where it is neither kept nor can be synthesized.
        """
        text = next(filter(self._voicing.at_once, (text, *instead)), text)
        if self._utterance is not None:
            await self._interject(text)
        elif not self._speaking.locked():
            async with self._speaking:
                utterance = _Saying(self._port.rate, interruptible=True, filler=True)
                await self._run(utterance, lambda: self._voicing.insert(utterance, text))
                await self._audience.agent_filled()

    async def interject(self, what: str | bytes) -> None:
        """Say a text, or play audio, after what is written of the utterance so far; returns when it was heard.

        It is no part of the utterance's text. Does nothing when nothing is being said. Raises `ProviderError`.
        """
        utterance = self._utterance
        while utterance is not None and utterance.unvoiced and not (utterance.interrupted or utterance.finished):
            self._news.clear()
            await self._news.wait()
        if utterance is self._utterance:
            await self._interject(what)

    async def _interject(self, what: str | bytes) -> None:
        """The same, as soon as the sentence is over that is being synthesized."""
        utterance = self._utterance
        if utterance is None or utterance.interrupted:
            return
        piece = await self._voicing.insert(utterance, what)
        while (ahead := piece.end - utterance.sample(self._port.heard)) > 0:
            self._news.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(ahead / utterance.rate, FRAME_MS / 1000)):
                    await self._news.wait()
            if utterance is not self._utterance or utterance.interrupted:
                return
        if utterance.sounding and not utterance.answers(utterance.length):
            utterance.sounding = False
            await self._audience.agent_filled()

    async def hush(self) -> None:
        """Drop what is left of something interjected: the caller has understood it, and presses keys."""
        utterance = self._utterance
        if utterance is None or utterance.interrupted:
            return
        async with self._moving:
            heard = utterance.sample(self._port.heard)
            if not utterance.under_way and not any(p.source and p.end > heard for p in utterance.pieces):
                await self._seek(utterance, None)

    async def _run(self, utterance: _Saying, compose: Callable[[], Awaitable[object]]) -> None:
        """Compose and play an utterance to its end, whatever that is."""
        self._utterance = self._echoing = utterance
        try:
            async with asyncio.TaskGroup() as group:
                utterance.work = group.create_task(self._perform(utterance, compose))
        except BaseExceptionGroup as errors:
            if not isinstance(error := single(errors), LegGone):
                raise error from None
            utterance.interrupted = True
            utterance.heard = utterance.sample(self._port.heard)
            utterance.flushed.set()
        except asyncio.CancelledError:  # what was heard of it is told to whoever asks
            utterance.interrupted = True
            utterance.heard = utterance.sample(self._port.heard)
            self._news.set()
            try:
                with contextlib.suppress(LegGone):
                    utterance.heard = utterance.sample(await self._port.flush())
            finally:
                utterance.flushed.set()
            raise
        finally:
            self._utterance = None
        if utterance.interrupted:
            await utterance.flushed.wait()
        else:
            utterance.heard = utterance.length

    async def _perform(self, utterance: _Saying, compose: Callable[[], Awaitable[object]]) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._composed(utterance, compose))
            await self._play_out(utterance)

    async def _composed(self, utterance: _Saying, compose: Callable[[], Awaitable[object]]) -> None:
        try:
            await compose()
        except Exception as error:  # noqa: BLE001 - whoever had it said raises it, once what is there has been heard
            utterance.error = single(error)
        finally:
            utterance.finished = True
            self._news.set()

    # --- from audio to the wire ---------------------------------------------------------------------------------------

    async def _play_out(self, utterance: _Saying) -> None:
        """Hand the audio to the port as it comes, from wherever it is to go on, until all of it was heard."""
        size = PORTION * frame_bytes(utterance.rate)
        while True:
            while not (self._open.is_set() and self._steady.is_set()):
                await self._open.wait()
                await self._steady.wait()
            portion = bytes(utterance.audio[utterance.sent : utterance.sent + size])
            if portion and not utterance.sounding:
                await self._begin(utterance)
            elif portion:
                if utterance.audible_at is None and utterance.answers((utterance.sent + len(portion)) // 2):
                    waiting = (self._port.queued - self._port.heard) / utterance.rate
                    utterance.audible_at = self._clock() + waiting
                utterance.sent += len(portion)
                await self._port.play(portion)
            elif not utterance.finished:
                await self._starve(utterance)
            else:
                flushes = self._flushes
                await self._port.drained()
                if flushes == self._flushes and utterance.sent == len(utterance.audio):
                    return

    async def _starve(self, utterance: _Saying) -> None:
        """Wait for more audio. In the middle of a sentence, once all of it was heard, the caller hears the gap."""
        sentence = utterance.under_way if utterance.sounding else None
        length = sentence.length if sentence is not None else 0
        self._news.clear()
        await self._news.wait()
        late = sentence is not None and sentence.length > length and self._port.queued <= self._port.heard
        if late and not utterance.interrupted:
            self._audience.agent_starved()

    async def _begin(self, utterance: _Saying) -> None:
        """The first audio, or the first after something that only filled the time."""
        utterance.sounding = True
        if not utterance.anchored:
            lead_in = round((self._clear_at - self._clock()) * 1000 / FRAME_MS)
            if lead_in > 0:
                await self._port.play(silence(utterance.rate, lead_in * FRAME_MS))
            utterance.anchor(self._port.queued, 0)
        await self._audience.agent_audible(utterance.interruptible)

    async def _seek(self, utterance: _Saying, sample: int | None) -> None:
        """Go on from a sample of the audio; from where it stands, and without the rest of it, with None."""
        self._flushes += 1
        self._steady.clear()
        try:
            heard = await self._port.flush()
            if sample is None:
                sample = utterance.sample(heard)
                utterance.cut(sample)
                sample = min(sample, utterance.length)
            utterance.anchor(heard, sample)
            utterance.sent = 2 * sample
        finally:
            self._steady.set()
            self._news.set()

    # --- being interrupted --------------------------------------------------------------------------------------------

    async def pause(self) -> None:
        """Be silent for the time being, whether something is heard already or not."""
        self._held = True
        self._open.clear()
        async with self._moving:
            if self._utterance is not None and self._utterance.sounding and self._held:
                await self._port.pause()

    async def resume(self) -> None:
        """Go on after `pause`, from the beginning of the word that was cut where it is known."""
        self._held = False
        try:
            async with self._moving:
                utterance = self._utterance
                known = None
                if utterance is not None and not utterance.interrupted:
                    known = utterance.word_start(utterance.sample(self._port.heard))
                if utterance is None or known is None:
                    await self._port.resume()
                else:
                    await self._seek(utterance, known)
        finally:
            if not self._held:  # or else: held again while the PBX was letting go
                self._open.set()

    async def flush(self) -> Spoken | None:
        """Fall silent for good: drop what has not been heard and stop writing and synthesizing.

        Returns what was heard of the utterance, None where none was under way, or only something to fill the time.
        """
        self._held = False
        utterance = self._utterance
        if utterance is None or utterance.interrupted:
            self._open.set()
            return None
        utterance.interrupted = True
        if utterance.work is not None:
            utterance.work.cancel()  # before the flush: nothing may be queued behind it
        try:
            async with self._moving:
                utterance.heard = utterance.sample(await self._port.flush())
        except LegGone:
            utterance.heard = utterance.sample(self._port.heard)
        finally:
            if not self._held:
                self._open.set()
            self._news.set()
            utterance.flushed.set()
        return None if utterance.filler else utterance.spoken()

    # --- what is heard ------------------------------------------------------------------------------------------------

    @property
    def rate(self) -> int:
        return self._port.rate

    @property
    def playout_level(self) -> float | None:
        """Level in dBFS of the loudest of the agent's frames that may be echoing now; None when it is silent."""
        utterance = self._echoing
        if utterance is None:
            return None
        now, heard = self._clock(), self._port.heard
        if self._port.queued > heard and self._open.is_set():
            self._sounded_at = now
        elif now - self._sounded_at > ECHO_TAIL:
            if self._utterance is None:
                self._echoing = None
            return None
        return utterance.level(utterance.sample(heard), ECHO_FRAMES)

    @property
    def saying(self) -> str:
        """The text that has been said of the utterance that is under way, or may still be echoing."""
        utterance = self._echoing
        return utterance.saying(utterance.sample(self._port.heard)) if utterance is not None else ""
