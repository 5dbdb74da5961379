"""Speech recognition by PocketSphinx, which runs inside voxtrad: no key and no network, for English only.

Over a telephone it is good at words it was told to expect and poor at anything else. PocketSphinx holds Python's lock
while it decodes, so it works in processes of its own (`sphinx_worker.py`), each serving several calls; what is expected
is made into a language model there (`sphinx_words.py`).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Literal, cast

import structlog
from pydantic import Field

from voxtrad.config.types import ConfigModel, FilePath, Integer, Name
from voxtrad.providers.base import (
    BadRequest,
    ProviderError,
    ProviderType,
    SpeechToText,
    STTCapabilities,
    STTEvent,
    Transcript,
    Unreachable,
)
from voxtrad.providers.options import Embedded
from voxtrad.providers.stt.sphinx_protocol import AUDIO, CLOSE, FINAL, FINALIZE, HEADER, OPEN, PARTIAL, READY
from voxtrad.providers.stt.sphinx_words import letters_plain, numerals


class SphinxOptions(ConfigModel):
    hints: tuple[Name, ...] = ()
    """Words and phrases that callers are likely to say, beside those that the agent's rules expect."""
    vocabulary: Literal["hints", "open"] = "hints"
    """hints: hear what is expected (where there is nothing to expect: anything). open: hear anything."""
    digits: Literal["numerals", "words"] = "numerals"
    """Spoken digits in a row become 1234, or stay one two three four."""
    workers: Integer | None = Field(default=None, ge=1, le=64)
    """How many processes recognise; unset: one per processor. Each serves several callers."""
    model: FilePath | None = None
    """A folder with an acoustic model (16 kHz); unset is the US-English one that is built in."""
    dictionary: FilePath | None = None
    """The pronunciation dictionary that belongs to the model."""


UNCLEAR = "[unclear]"
"""The transcript of an utterance that was speech but none of what was expected."""

_log = structlog.get_logger(__name__)


class Sphinx:
    """The provider: options, and the processes that its calls share."""

    capabilities = STTCapabilities(partials=True, final_delay=0.5, continuous=False)

    def __init__(self, name: str, options: SphinxOptions) -> None:
        self.name = name
        self._options = options
        self._most = options.workers or os.cpu_count() or 1
        self._workers: list[_Worker] = []
        self._starting = asyncio.Lock()

    async def open(self, *, rate: int, language: str, hints: Sequence[str] = ()) -> SphinxStream:
        """A stream that is ready to hear. Starting a process and loading a model take some 0.5 s here, not later.

        Raises `BadRequest` for a language that the model is not for, `Unreachable` where no process can be started.
        """
        if self._options.model is None and language.lower().partition("-")[0] != "en":
            raise BadRequest(
                f"the recogniser that is built in hears English only, not '{language}'",
                provider=self.name,
                hint="configure another stt, or a model and dictionary for sphinx",
            )
        expected = tuple(dict.fromkeys([*self._options.hints, *hints]))
        worker = await self._worker()
        stream = SphinxStream(self.name, worker, self._options.digits)
        await stream.start(
            {
                "rate": rate,
                "hints": expected,
                "open_vocabulary": self._options.vocabulary == "open" or not expected,
                "model": None if self._options.model is None else str(self._options.model),
                "dictionary": None if self._options.dictionary is None else str(self._options.dictionary),
            }
        )
        return stream

    async def aclose(self) -> None:
        """End the processes; streams that are still open break."""
        async with self._starting:
            workers, self._workers = self._workers, []
            for worker in workers:
                await worker.aclose()

    async def _worker(self) -> _Worker:
        """The least busy process; a new one while all are busy and there may be more."""
        async with self._starting:
            for dead in [worker for worker in self._workers if worker.dead]:
                self._workers.remove(dead)
                await dead.aclose()
            idlest = min(self._workers, key=lambda worker: len(worker.streams), default=None)
            if idlest is not None and (not idlest.streams or len(self._workers) >= self._most):
                return idlest
            worker = _Worker(self.name)
            await worker.start()
            self._workers.append(worker)
            return worker


class SphinxStream:
    """One call. Every `finalize` is answered by one final transcript, an empty one where nothing was said."""

    def __init__(self, provider: str, worker: _Worker, digits: Literal["numerals", "words"]) -> None:
        self._provider = provider
        self._worker = worker
        self._written = numerals if digits == "numerals" else letters_plain
        self._answers: asyncio.Queue[_Answer | ProviderError | None] = asyncio.Queue()
        self._number = worker.attach(self._answers)
        self._closed = False

    async def start(self, setup: Mapping[str, object]) -> None:
        """Have the process load what this call needs."""
        try:
            self._worker.post(OPEN, self._number, json.dumps(setup).encode())
            answer = await self._answers.get()
            if isinstance(answer, ProviderError):
                raise answer
            if answer is None or answer[0] != READY:
                reason = answer[1].decode(errors="replace") if answer else "closed"
                raise BadRequest(f"the recogniser cannot start: {reason}", provider=self._provider)
        except BaseException:
            await self.aclose()
            raise
        if unknown := json.loads(answer[1])["unknown"]:
            _log.warning("hints without pronunciation left out", provider=self._provider, words=unknown)

    async def send(self, pcm: bytes) -> None:
        self._worker.post(AUDIO, self._number, pcm)
        await self._worker.drain()

    async def finalize(self) -> None:
        self._worker.post(FINALIZE, self._number, b"")

    async def events(self) -> AsyncIterator[STTEvent]:
        while not self._closed:
            answer = await self._answers.get()
            if answer is None:
                return
            if isinstance(answer, ProviderError):
                raise answer
            kind, payload = answer
            if kind == PARTIAL:
                yield Transcript(self._written(payload.decode()), final=False)
            elif kind == FINAL:
                yield self._final(payload)
            else:
                raise Unreachable(f"the recogniser failed: {payload.decode(errors='replace')}", provider=self._provider)

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            self._answers.put_nowait(None)
            self._worker.detach(self._number)

    def _final(self, payload: bytes) -> Transcript:
        said = json.loads(payload)
        text = UNCLEAR if said["unclear"] else self._written(cast("str", said["text"]))
        return Transcript(text, final=True, confidence=cast("float | None", said["confidence"]))


# --- processes --------------------------------------------------------------------------------------------------------

_Answer = tuple[bytes, bytes]
"""Kind and payload."""


class _Worker:
    """A process and the streams that it serves."""

    def __init__(self, provider: str) -> None:
        self.streams: dict[int, asyncio.Queue[_Answer | ProviderError | None]] = {}
        self._provider = provider
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._number = 0

    @property
    def dead(self) -> bool:
        return self._reader is None or self._reader.done()

    async def start(self) -> None:
        try:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "voxtrad.providers.stt.sphinx_worker"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
        except OSError as error:
            raise Unreachable(f"no process for the recogniser: {error}", provider=self._provider) from error
        self._reader = asyncio.create_task(self._read(self._process), name=f"stt-{self._provider}")

    def attach(self, answers: asyncio.Queue[_Answer | ProviderError | None]) -> int:
        self._number += 1
        self.streams[self._number] = answers
        return self._number

    def detach(self, number: int) -> None:
        if self.streams.pop(number, None) is not None and not self.dead:
            self.post(CLOSE, number, b"")

    def post(self, kind: bytes, number: int, payload: bytes) -> None:
        """Send without waiting; for a process that is gone the reader has told its streams."""
        if self._process is not None and self._process.stdin is not None and not self.dead:
            self._process.stdin.write(HEADER.pack(kind, number, len(payload)) + payload)

    async def drain(self) -> None:
        """Wait while more than a second or two of audio is on its way."""
        if self._process is not None and self._process.stdin is not None and not self.dead:
            try:
                await self._process.stdin.drain()
            except ConnectionError:
                return  # the reader sees the same end and tells

    async def aclose(self) -> None:
        process, reader = self._process, self._reader
        if process is None or reader is None:
            return
        if process.returncode is None:
            process.kill()
        await asyncio.wait([reader])
        await process.wait()

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        """Hand answers to their streams; when the process ends, tell those that are left."""
        assert process.stdout is not None
        try:
            while True:
                kind, number, length = HEADER.unpack(await process.stdout.readexactly(HEADER.size))
                payload = await process.stdout.readexactly(length)
                if answers := self.streams.get(number):
                    answers.put_nowait((kind, payload))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            for answers in self.streams.values():
                answers.put_nowait(Unreachable("the recogniser's process ended", provider=self._provider))
            self.streams.clear()


def _build(name: str, connection: Embedded, options: SphinxOptions) -> SpeechToText:
    return Sphinx(name, options)


PROVIDER = ProviderType(kind="stt", connection=Embedded, options=SphinxOptions, build=_build)
