"""From text to audio: sentences are cut from a text that is still being written, and synthesized into an utterance.

Each is made while the one before it plays, and not too long before it is heard. Playing them is `speaker.py`'s.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable

from voxtrad.audio.frames import Framer
from voxtrad.conversation.speech_text import Sentence, SpeechText
from voxtrad.conversation.spoken import Piece, SpokenAudio, UtteranceAudio
from voxtrad.leg import MediaPort
from voxtrad.providers.base import ProviderTimeout, SpeechChunk, Voice

AHEAD = 6.0
"""Seconds of audio that may wait to be heard before the next sentence is synthesized: what an interruption wastes."""
FIRST_AUDIO = 10.0
NEXT_AUDIO = 3.0
"""Seconds that the synthesis may be silent: before a sentence, and in the middle of one when all of it was heard."""
READ_AHEAD = 3
"""Sentences that may wait for the synthesis, with the one that is in it."""
HESITATION = 0.4
"""Seconds without another word after which a sentence that looks whole is said, although more may follow it."""
_WHOLE_SENTENCE = re.compile(r"(?:[^\W\d_]{4,}[.…]|[a-zß-ÿ]{2,}[.…]|[!?。！？।॥؟])[\"'”’»)\]」』）]*\s*$")


class Voicing:
    """One call's. `news` is set whenever there is more of an utterance."""

    def __init__(
        self,
        port: MediaPort,
        voice: Voice,
        *,
        language: str,
        kept: SpokenAudio,
        news: asyncio.Event,
        clock: Callable[[], float],
    ) -> None:
        self._port = port
        self._voice = voice
        self._language = language
        self._kept = kept
        self._news = news
        self._clock = clock
        self._busy = asyncio.Lock()

    async def compose(self, utterance: UtteranceAudio, text: str | AsyncIterator[str]) -> None:
        """The whole of a text, or of a stream of it. Raises what the stream raises, and `ProviderError`."""
        if not isinstance(text, str):
            await self._voice_all(utterance, text)
            return
        utterance.written = text
        kept = self._kept.get(text)
        if kept is not None:
            self._add_whole(utterance, utterance.begin(text, text), kept)
            return
        await self._voice_all(utterance, text)
        if utterance.own and all(piece.source for piece in utterance.pieces):
            self._kept.put(text, bytes(utterance.audio))

    def at_once(self, text: str) -> bool:
        """Whether this can be inserted without waiting for a sentence that is being synthesized."""
        return self._kept.get(text) is not None or not self._busy.locked()

    async def insert(self, utterance: UtteranceAudio, what: str | bytes) -> Piece:
        """Something that is no part of the utterance's text; between sentences, wherever the audio stands."""
        pcm = what if isinstance(what, bytes) else self._kept.get(what)
        if pcm is None and isinstance(what, str):
            async with self._busy:
                piece = utterance.begin("", what)
                try:
                    await self._synthesize(utterance, piece)
                finally:
                    piece.complete = True
            return piece
        while utterance.under_way and not utterance.interrupted:
            self._news.clear()
            await self._news.wait()
        piece = utterance.begin("", what if isinstance(what, str) else "")
        self._add_whole(utterance, piece, pcm or b"")
        return piece

    async def _voice_all(self, utterance: UtteranceAudio, text: str | AsyncIterator[str]) -> None:
        """Read ahead by a sentence or two, so that the next is being written and synthesized while this one plays."""
        queue: asyncio.Queue[Sentence | None] = asyncio.Queue()
        failure: Exception | None = None

        async def read() -> None:
            nonlocal failure
            try:
                await self._read(utterance, text, queue)
            except Exception as error:  # noqa: BLE001 - raised below, after the sentences before it
                failure = error
            finally:  # also where a handler's stream was cancelled by somebody else: nothing more comes of it
                queue.put_nowait(None)

        async with asyncio.TaskGroup() as group:
            group.create_task(read())
            while (sentence := await queue.get()) is not None:
                await self._not_too_far_ahead(utterance)
                utterance.first_sentence_at = utterance.first_sentence_at or self._clock()
                await self._voice_sentence(utterance, sentence.source, sentence.text)
                utterance.unvoiced -= 1
                self._news.set()
        if failure is not None:
            raise failure

    async def _read(
        self, utterance: UtteranceAudio, text: str | AsyncIterator[str], queue: asyncio.Queue[Sentence | None]
    ) -> None:
        """Cut a text into sentences. One that looks whole is one as soon as no other word has come for a while."""
        cutter = SpeechText(self._language)
        pause: asyncio.TimerHandle | None = None

        def found(sentences: Iterable[Sentence]) -> None:
            for sentence in sentences:
                utterance.unvoiced += 1
                queue.put_nowait(sentence)

        def hesitated() -> None:
            if _WHOLE_SENTENCE.search(utterance.written):
                found(cutter.flush())

        if isinstance(text, str):
            found((*cutter.push(text), *cutter.flush()))
            return
        try:
            async for delta in text:
                if pause is not None:
                    pause.cancel()
                utterance.written += delta
                found(cutter.push(delta))
                while utterance.unvoiced > READ_AHEAD:
                    self._news.clear()
                    await self._news.wait()
                pause = asyncio.get_running_loop().call_later(HESITATION, hesitated)
        finally:
            if pause is not None:
                pause.cancel()
            if isinstance(text, AsyncGenerator):
                await text.aclose()
        found(cutter.flush())

    async def _not_too_far_ahead(self, utterance: UtteranceAudio) -> None:
        while True:
            ahead = utterance.ahead(self._port.heard)
            if ahead <= AHEAD:
                return
            await asyncio.sleep(ahead - AHEAD)

    async def _voice_sentence(self, utterance: UtteranceAudio, source: str, text: str) -> None:
        async with self._busy:
            piece = utterance.begin(source, text)
            if text:
                await self._synthesize(utterance, piece)
            piece.complete = True

    def _add_whole(self, utterance: UtteranceAudio, piece: Piece, pcm: bytes) -> None:
        framer = Framer(utterance.rate)
        self._add(utterance, piece, framer.push(pcm) + framer.flush())
        piece.complete = True

    async def _synthesize(self, utterance: UtteranceAudio, piece: Piece) -> None:
        framer = Framer(utterance.rate)
        stream = aiter(self._voice.synthesize(piece.text))
        try:
            while (chunk := await self._chunk(stream, utterance, piece)) is not None:
                piece.timings.extend(chunk.timings)
                utterance.own = utterance.own and chunk.own
                if piece.source and utterance.first_audio_at is None:
                    utterance.provider = chunk.provider
                self._add(utterance, piece, framer.push(chunk.pcm))
            self._add(utterance, piece, framer.flush())
        finally:
            if isinstance(stream, AsyncGenerator):
                await stream.aclose()

    async def _chunk(
        self, stream: AsyncIterator[SpeechChunk], utterance: UtteranceAudio, piece: Piece
    ) -> SpeechChunk | None:
        patience = (FIRST_AUDIO if piece.start is None else NEXT_AUDIO) + utterance.ahead(self._port.heard)
        try:
            async with asyncio.timeout(patience) as limit:
                return await anext(stream)
        except StopAsyncIteration:
            return None
        except TimeoutError:
            if not limit.expired():
                raise
            raise ProviderTimeout(f"no audio of a sentence came for {patience:.1f} s", provider="tts") from None

    def _add(self, utterance: UtteranceAudio, piece: Piece, pcm: bytes) -> None:
        if pcm:
            if piece.source and utterance.first_audio_at is None:
                utterance.first_audio_at = self._clock()
            utterance.add(piece, pcm)
            self._news.set()
