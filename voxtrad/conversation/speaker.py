"""The mouth: text becomes speech on the wire while it is still being written, and it is known what of it was heard.

One utterance at a time: sentences are cut from the text, synthesized while the one before plays, and queued on the
media port. It can be held, let go from a word's beginning, and thrown away. Whose turn it is, is not decided here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from voxtrad.audio.frames import Framer, frame_bytes, silence
from voxtrad.audio.levels import dbfs
from voxtrad.conversation.speech_text import SpeechText
from voxtrad.leg import LegGone, MediaPort
from voxtrad.providers.base import SpeechChunk, Voice, WordTiming

AHEAD = 6.0
"""Seconds of audio that may wait to be heard before the next sentence is synthesized: what an interruption wastes."""
ECHO_FRAMES = 15
"""Frames (300 ms) within which the agent's own sound may come back as echo."""


class SpokenAudio(Protocol):
    """Audio kept from before, by text (`speech_cache.py`)."""

    def get(self, text: str) -> bytes | None: ...

    def put(self, text: str, pcm: bytes) -> None: ...


@dataclass(frozen=True, slots=True)
class Spoken:
    """What became of an utterance."""

    written: str
    """All the text that was to be said, as far as it had been written."""
    heard: str
    """The part of `written` that the far side heard, in whole words."""
    interrupted: bool
    seconds: float = 0.0
    """Length of the audio that was heard."""
    first_sentence_at: float | None = None
    """When the first sentence was there to be synthesized; these three on the monotonic clock."""
    first_audio_at: float | None = None
    """When the first audio came from the synthesis."""
    audible_at: float | None = None
    """When the first frame went to the media port."""


@dataclass(slots=True)
class _Piece:
    """A sentence in the utterance's audio; positions in samples from the utterance's beginning."""

    source: str
    start: int
    text: str
    length: int = 0
    complete: bool = False
    timings: list[WordTiming] = field(default_factory=list)


@dataclass(slots=True)
class _Utterance:
    interruptible: bool
    position: int
    """A position on the port, and the sample of this utterance that stands there."""
    sample: int = 0
    audio: bytearray = field(default_factory=bytearray)
    levels: list[float] = field(default_factory=list)
    pieces: list[_Piece] = field(default_factory=list)
    written: str = ""
    interrupted: bool = False
    flushed: asyncio.Event | None = None
    """Set once it is known what was heard of an utterance that is thrown away: a PBX takes a moment to tell."""
    audible_at: float | None = None
    first_sentence_at: float | None = None
    first_audio_at: float | None = None
    heard: int = 0
    perform: asyncio.Task[None] | None = None


class Filler(Protocol):
    """What to say while an answer is not there yet."""

    def __call__(self) -> str | None: ...


class Speaker:
    """One call's mouth.

    `on_audible(interruptible)` and `on_played(text)` tell the turn machine; `on_first_audio()` marks the time of the
    first frame of an utterance. `lead_in` seconds of silence go before the very first utterance (trunks clip it).
    """

    def __init__(
        self,
        port: MediaPort,
        voice: Voice,
        *,
        language: str,
        kept: SpokenAudio,
        clock: Callable[[], float],
        on_audible: Callable[[bool], Awaitable[None]],
        on_played: Callable[[str], Awaitable[None]],
        lead_in: float = 0.3,
    ) -> None:
        self._port = port
        self._voice = voice
        self._language = language
        self._kept = kept
        self._clock = clock
        self._on_audible = on_audible
        self._on_played = on_played
        self._lead_in = silence(port.rate, round(lead_in * 50) * 20)
        self._open = asyncio.Event()
        self._open.set()
        self._voicing = asyncio.Lock()
        self._utterance: _Utterance | None = None
        self._silent_since = clock()

    # --- speaking -----------------------------------------------------------------------------------------------------

    async def say(
        self,
        text: str | AsyncIterator[str],
        *,
        interruptible: bool = True,
        filler: Filler | None = None,
        fill_after: float = 1.5,
        fill_every: float = 6.0,
    ) -> Spoken:
        """Say a text, or a stream of it as it is written; returns when it was heard or thrown away.

        While nothing is heard for `fill_after` seconds, what `filler` gives is said, and again every `fill_every`.
        Raises what the text's stream or the synthesis raises (`ProviderError`). A leg that ends is an interruption.
        """
        if self._utterance is not None:
            raise RuntimeError("an utterance is being said already")
        utterance = self._utterance = _Utterance(interruptible, self._port.queued)
        self._silent_since = self._clock()
        try:
            await self._run(utterance, text, filler, fill_after, fill_every)
        except LegGone:
            utterance.interrupted = True
            utterance.heard = self._sample(utterance, self._port.heard) if utterance.audible_at is not None else 0
        finally:
            self._utterance = None
        if utterance.flushed is not None:
            await utterance.flushed.wait()
        if not utterance.interrupted:
            utterance.heard = len(utterance.audio) // 2
        spoken = self._spoken(utterance)
        await self._on_played(spoken.heard)
        return spoken

    async def _run(
        self,
        utterance: _Utterance,
        text: str | AsyncIterator[str],
        filler: Filler | None,
        fill_after: float,
        fill_every: float,
    ) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                fill = group.create_task(self._fill(utterance, filler, fill_after, fill_every)) if filler else None
                utterance.perform = group.create_task(self._perform(utterance, text))
                await asyncio.wait([utterance.perform])
                if fill:
                    fill.cancel()
        except BaseExceptionGroup as errors:
            raise _only(errors) from None

    async def _perform(self, utterance: _Utterance, text: str | AsyncIterator[str]) -> None:
        if isinstance(text, str):
            kept = self._kept.get(text)
            utterance.written = text
            if kept is not None:
                await self._voice_kept(utterance, text, kept)
            else:
                await self._voice_all(utterance, _sentences_of(text, self._language))
                self._kept.put(text, bytes(utterance.audio))
        else:
            await self._voice_all(utterance, self._read(utterance, text))
        await self._port.drained()

    async def _read(self, utterance: _Utterance, deltas: AsyncIterator[str]) -> AsyncGenerator[tuple[str, str], None]:
        cutter = SpeechText(self._language)
        async for delta in deltas:
            utterance.written += delta
            for sentence in cutter.push(delta):
                yield sentence.source, sentence.text
        for sentence in cutter.flush():
            yield sentence.source, sentence.text

    async def _voice_all(self, utterance: _Utterance, sentences: AsyncGenerator[tuple[str, str], None]) -> None:
        """Read ahead by one sentence, so that the next is being written and synthesized while this one plays."""
        queue: asyncio.Queue[tuple[str, str] | None] = asyncio.Queue(maxsize=2)

        async def read() -> None:
            async with contextlib.aclosing(sentences):
                async for item in sentences:
                    await queue.put(item)
            await queue.put(None)

        async with asyncio.TaskGroup() as group:
            group.create_task(read())
            while (item := await queue.get()) is not None:
                await self._not_too_far_ahead()
                source, text = item
                utterance.first_sentence_at = utterance.first_sentence_at or self._clock()
                await self._voice_piece(utterance, source, text)

    async def _voice_piece(self, utterance: _Utterance, source: str, text: str) -> None:
        async with self._voicing:
            piece = _Piece(source, len(utterance.audio) // 2, text)
            utterance.pieces.append(piece)
            if text:
                framer = Framer(self._port.rate)
                stream = self._voice.synthesize(text)
                try:
                    async for chunk in stream:
                        utterance.first_audio_at = utterance.first_audio_at or self._clock()
                        piece.timings.extend(chunk.timings)
                        await self._play(utterance, piece, framer.push(chunk.pcm))
                    await self._play(utterance, piece, framer.flush())
                finally:
                    await _close(stream)
            piece.complete = True

    async def _voice_kept(self, utterance: _Utterance, source: str, pcm: bytes) -> None:
        async with self._voicing:
            piece = _Piece(source, len(utterance.audio) // 2, source)
            utterance.pieces.append(piece)
            framer = Framer(self._port.rate)
            await self._play(utterance, piece, framer.push(pcm) + framer.flush())
            piece.complete = True

    async def _play(self, utterance: _Utterance, piece: _Piece, pcm: bytes) -> None:
        if not pcm:
            return
        await self._open.wait()
        if utterance.audible_at is None:
            utterance.audible_at = self._clock()
            await self._on_audible(utterance.interruptible)
        if self._lead_in:
            lead_in, self._lead_in = self._lead_in, b""
            utterance.position += len(lead_in) // 2
            await self._port.play(lead_in)
        size = frame_bytes(self._port.rate)
        utterance.levels.extend(dbfs(pcm[i : i + size]) for i in range(0, len(pcm), size))
        utterance.audio += pcm
        piece.length += len(pcm) // 2
        await self._port.play(pcm)

    async def _not_too_far_ahead(self) -> None:
        while (ahead := self._ahead()) > AHEAD:
            await asyncio.sleep(ahead - AHEAD)
            await self._open.wait()

    async def _fill(self, utterance: _Utterance, filler: Filler | None, after: float, every: float) -> None:
        """Never let an answer that is not there yet be a silence."""
        wait = after
        while filler:
            quiet = self._clock() - self._silent_since - self._ahead()
            if self._ahead() > 0:
                await asyncio.sleep(self._ahead() + 0.02)
                self._silent_since = self._clock()
                wait = max(wait, every) if utterance.pieces else wait
                continue
            if quiet < wait:
                await asyncio.sleep(wait - quiet)
                continue
            await self._open.wait()
            text = filler()
            if text is None:
                return
            await self.interject(text)
            wait = every

    def _ahead(self) -> float:
        return (self._port.queued - self._port.heard) / self._port.rate

    async def interject(self, what: str | bytes) -> None:
        """Say a text, or play audio, in the middle of the utterance that is under way; returns when it was queued.

        It is no part of the utterance's text. Does nothing when nothing is being said.
        """
        if (utterance := self._utterance) is None or utterance.interrupted:
            return
        pcm = what if isinstance(what, bytes) else self._kept.get(what)
        if pcm is not None:
            await self._voice_kept(utterance, "", pcm)
        elif isinstance(what, str):
            await self._voice_piece(utterance, "", what)

    # --- being interrupted --------------------------------------------------------------------------------------------

    async def pause(self) -> None:
        """Be silent for the time being, whether something is heard already or not."""
        self._open.clear()
        if self._utterance is not None and self._utterance.audible_at is not None:
            await self._port.pause()

    async def resume(self) -> None:
        """Go on after `pause`, from the beginning of the word that was cut where it is known."""
        utterance = self._utterance
        if utterance is not None and utterance.audible_at is not None:
            boundary = self._word_start(utterance, self._sample(utterance, self._port.heard))
            if boundary is None:
                await self._port.resume()
            else:
                heard = await self._port.flush()
                utterance.position, utterance.sample = heard, boundary
                await self._port.play(bytes(utterance.audio[2 * boundary :]))
        self._open.set()

    async def flush(self) -> Spoken | None:
        """Fall silent for good: drop what has not been heard and stop writing and synthesizing."""
        utterance = self._utterance
        self._open.set()
        if utterance is None or utterance.interrupted:
            return None
        utterance.interrupted = True
        utterance.flushed = asyncio.Event()
        if utterance.perform is not None:
            utterance.perform.cancel()  # before the flush: nothing may be queued behind it
        try:
            heard = await self._port.flush()
            utterance.heard = max(0, self._sample(utterance, heard)) if utterance.audible_at is not None else 0
        except LegGone:
            utterance.heard = max(0, self._sample(utterance, self._port.heard))
        finally:
            utterance.flushed.set()
        return self._spoken(utterance)

    # --- what is heard ------------------------------------------------------------------------------------------------

    @property
    def rate(self) -> int:
        return self._port.rate

    @property
    def busy(self) -> bool:
        return self._utterance is not None

    @property
    def playout_level(self) -> float | None:
        """Level in dBFS of the loudest of the agent's frames that may be echoing now; None when it is silent."""
        utterance = self._utterance
        if utterance is None or not utterance.levels:
            return None
        now = self._sample(utterance, self._port.heard) // (self._port.rate // 50)
        near = utterance.levels[max(0, now - ECHO_FRAMES) : now + 2]
        return max(near) if near else None

    def _sample(self, utterance: _Utterance, position: int) -> int:
        return utterance.sample + position - utterance.position

    def _word_start(self, utterance: _Utterance, sample: int) -> int | None:
        """The whole frame in which the word that stands at a sample begins."""
        frame = self._port.rate // 50
        for piece in utterance.pieces:
            if piece.start <= sample < piece.start + piece.length and piece.timings:
                begun = [t.start for t in piece.timings if piece.start + t.start * self._port.rate <= sample]
                start = piece.start + round((begun[-1] if begun else 0.0) * self._port.rate)
                return start - start % frame
        return None

    def _spoken(self, utterance: _Utterance) -> Spoken:
        heard = utterance.written
        if utterance.interrupted:
            heard = "".join(self._heard_of(piece, utterance.heard) for piece in utterance.pieces).rstrip()
        return Spoken(
            utterance.written,
            heard,
            utterance.interrupted,
            utterance.heard / self._port.rate,
            utterance.first_sentence_at,
            utterance.first_audio_at,
            utterance.audible_at,
        )

    def _heard_of(self, piece: _Piece, heard: int) -> str:
        """The words of a piece that were heard: by the synthesis's own timings, by proportion where it has none."""
        into = heard - piece.start
        if into <= 0 or not piece.source:
            return ""
        if piece.complete and into >= piece.length:
            return piece.source
        if piece.timings:
            later = [t.offset for t in piece.timings if t.start * self._port.rate > into]
            spoken = piece.text[: min(later)] if later else piece.text
            share = len(spoken) / max(1, len(piece.text))
            end = len(spoken) if piece.source.startswith(spoken) else round(share * len(piece.source))
        else:
            # A piece that is not complete yet is as long as its text is at the usual rate of speech.
            length = (
                piece.length if piece.complete else max(piece.length, round(len(piece.text) / 15 * self._port.rate))
            )
            end = round(len(piece.source) * into / max(1, length))
        return _whole_words(piece.source, end)


def _whole_words(text: str, end: int) -> str:
    """A text up to an index, without a word that was cut there."""
    if end >= len(text):
        return text
    if text[end : end + 1].isspace() or text[end - 1 : end].isspace():
        return text[:end]
    cut = max(text.rfind(" ", 0, end), text.rfind("\n", 0, end))
    return text[: cut + 1] if cut >= 0 else ""


async def _sentences_of(text: str, language: str) -> AsyncGenerator[tuple[str, str], None]:
    cutter = SpeechText(language)
    for sentence in (*cutter.push(text), *cutter.flush()):
        yield sentence.source, sentence.text


async def _close(stream: AsyncIterator[SpeechChunk]) -> None:
    if isinstance(stream, AsyncGenerator):
        await stream.aclose()


def _only(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first single error in nested groups."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
