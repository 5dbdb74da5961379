"""Speech by Piper, from a voice file on this machine: no key, no network, and nearly as natural as a vendor's voice.

The neural network needs a good part of a core while it speaks, so a few threads do it (onnxruntime lets go of Python's
lock) and the event loop never waits. Voices are files of some 60 MB to download once. Source: the `piper-tts` package.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pydantic import Field

from voxtrad.audio.resample import Resampler
from voxtrad.config.types import ConfigModel, FilePath, Integer, Number
from voxtrad.providers.base import (
    BadRequest,
    ProviderError,
    ProviderType,
    SpeechChunk,
    TextToSpeech,
    TTSCapabilities,
)
from voxtrad.providers.extras import needs
from voxtrad.providers.options import Embedded

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, RunOptions
    from piper.config import PiperConfig, SynthesisConfig

_PIECE = 0.1
"""Seconds of audio handed on at once."""
_HINT = "voice names a Piper voice (.onnx); the .onnx.json that was downloaded with it belongs beside it"


class PiperOptions(ConfigModel):
    voice: FilePath
    """The voice: an .onnx file, with its .onnx.json beside it."""
    speaker: Integer | None = Field(default=None, ge=0)
    """Which speaker, for a voice that has several."""
    speed: Number = Field(default=1, ge=0.25, le=4)
    """How fast it speaks; 1 is normal."""
    volume: Number = Field(default=1, ge=0, le=2)
    """How loud it speaks; 1 is normal."""
    noise: Number | None = Field(default=None, ge=0, le=2)
    """How much the sound varies; unset is the voice's own."""
    noise_width: Number | None = Field(default=None, ge=0, le=2)
    """How much the length of sounds varies; unset is the voice's own."""
    threads: Integer = Field(default=2, ge=1, le=64)
    """How many sentences are spoken at once; others wait. Each takes a core."""


@dataclass(frozen=True, slots=True)
class _Model:
    """A voice that was loaded."""

    session: InferenceSession
    config: PiperConfig
    how: SynthesisConfig


class Piper:
    """The provider: the options, the voice, and the threads that speak for all calls."""

    capabilities = TTSCapabilities()

    def __init__(self, name: str, options: PiperOptions) -> None:
        """Raises `MissingExtra` where Piper is not installed, `BadRequest` where the voice is not there."""
        with needs("piper", name):
            import piper  # noqa: F401 - whether it is there
        for path in (options.voice, _told_in(options.voice)):
            if not path.is_file():
                raise BadRequest(f"there is no {path}", provider=name, hint=_HINT)
        self.name = name
        self._options = options
        self._threads = ThreadPoolExecutor(options.threads, thread_name_prefix=f"tts-{name}")
        self._model: _Model | None = None
        self._loading = asyncio.Lock()

    @property
    def fingerprint(self) -> str:
        return f"piper {self._options.model_dump_json(exclude={'threads'})}"

    async def open(self, *, rate: int, language: str) -> PiperVoice:
        """Loads the voice when it is first wanted. Raises `BadRequest` where that is none."""
        async with self._loading:
            if self._model is None:
                self._model = await asyncio.get_running_loop().run_in_executor(self._threads, self._load)
        return PiperVoice(self.name, self._model, rate, self._threads)

    async def aclose(self) -> None:
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)

    def _load(self) -> _Model:
        import onnxruntime
        from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidGraph, InvalidProtobuf, NoSuchFile
        from piper.config import PiperConfig, SynthesisConfig

        options, voice = self._options, self._options.voice
        tuning = onnxruntime.SessionOptions()
        tuning.intra_op_num_threads = tuning.inter_op_num_threads = 1
        tuning.log_severity_level = 3
        try:
            told: object = json.loads(_told_in(voice).read_text(encoding="utf-8"))
            if not isinstance(told, dict):
                raise TypeError("its .json is no object")
            config = PiperConfig.from_dict(told)
            session = onnxruntime.InferenceSession(str(voice), tuning, providers=["CPUExecutionProvider"])
        except (OSError, ValueError, KeyError, TypeError, Fail, InvalidGraph, InvalidProtobuf, NoSuchFile) as error:
            raise BadRequest(
                f"no voice in {voice} ({type(error).__name__}: {error})", provider=self.name, hint=_HINT
            ) from error
        if options.speaker is not None and options.speaker >= config.num_speakers:
            raise BadRequest(
                f"the voice has no speaker {options.speaker}",
                provider=self.name,
                hint=f"its speakers are 0 to {config.num_speakers - 1}",
            )
        how = SynthesisConfig(
            speaker_id=options.speaker,
            length_scale=config.length_scale / options.speed,
            noise_scale=options.noise,
            noise_w_scale=options.noise_width,
            volume=options.volume,
        )
        return _Model(session, config, how)


class PiperVoice:
    """One call's synthesis. There is no connection to keep: only a voice, a rate, and the threads."""

    def __init__(self, name: str, model: _Model, rate: int, threads: ThreadPoolExecutor) -> None:
        self._name = name
        self._model = model
        self._rate = rate
        self._threads = threads

    async def synthesize(self, text: str) -> AsyncIterator[SpeechChunk]:
        """Speak. The network makes a sentence whole; the queue between holds no more than that."""
        from onnxruntime import RunOptions

        loop = asyncio.get_running_loop()
        made: asyncio.Queue[bytes | None] = asyncio.Queue()
        terms = RunOptions()

        def speak() -> None:
            for pcm in self._speak(text, terms):
                loop.call_soon_threadsafe(made.put_nowait, pcm)

        job = self._threads.submit(speak)
        speaking = asyncio.wrap_future(job)
        speaking.add_done_callback(lambda _: made.put_nowait(None))
        resampler = Resampler(self._model.config.sample_rate, self._rate)
        step = int(self._model.config.sample_rate * _PIECE) * 2
        try:
            while (pcm := await made.get()) is not None:
                for start in range(0, len(pcm), step):
                    if ready := resampler.push(pcm[start : start + step]):
                        yield SpeechChunk(ready)
            await speaking
            if tail := resampler.flush():
                yield SpeechChunk(tail)
        finally:
            terms.terminate = True
            if not job.cancel():  # it runs: it ends with the operation at hand
                await asyncio.wait([speaking])
                speaking.exception()  # what was broken off has nothing to tell

    async def aclose(self) -> None:
        """Nothing is held."""

    def _speak(self, text: str, terms: RunOptions) -> Iterator[bytes]:
        from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, RuntimeException
        from piper import PiperVoice as Engine

        model = self._model
        session = cast("InferenceSession", _Breakable(model.session, terms))
        try:
            for chunk in Engine(session=session, config=model.config).synthesize(text, model.how):
                yield chunk.audio_int16_bytes
        except (Fail, InvalidArgument, RuntimeException, ValueError, KeyError) as error:
            raise ProviderError(f"the voice failed ({type(error).__name__}: {error})", provider=self._name) from error


class _Breakable:
    """As much of a session as the engine uses; a run of it can be broken off."""

    def __init__(self, session: InferenceSession, terms: RunOptions) -> None:
        self._session = session
        self._terms = terms

    def run(self, outputs: None, inputs: Mapping[str, object]) -> object:
        return self._session.run(outputs, inputs, self._terms)


def _told_in(voice: Path) -> Path:
    """The file that tells about the voice."""
    return voice.with_name(voice.name + ".json")


def _build(name: str, connection: Embedded, options: PiperOptions) -> TextToSpeech:
    return Piper(name, options)


PROVIDER = ProviderType(kind="tts", connection=Embedded, options=PiperOptions, build=_build)
