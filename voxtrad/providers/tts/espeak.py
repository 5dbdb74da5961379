"""Speech by espeak-ng, which runs inside voxtrad: no key, no network, a hundred languages, and a robot's voice.

The C library speaks one text at a time for the whole process, about a thousand times faster than it is heard, so one
worker thread per provider does it and the event loop never waits. What happens to the audio is left to others.
"""

from __future__ import annotations

import asyncio
import ctypes
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import espeakng_loader
from pydantic import Field

from voxtrad.audio.resample import Resampler
from voxtrad.config.types import ConfigModel, Integer, Name
from voxtrad.providers.base import (
    BadRequest,
    ProviderError,
    ProviderType,
    SpeechChunk,
    TextToSpeech,
    TTSCapabilities,
    WordTiming,
)
from voxtrad.providers.options import Embedded


class EspeakOptions(ConfigModel):
    voice: Name | None = None
    """An espeak-ng voice such as en-us, de or en-us+f3; unset follows the agent's language."""
    speed: Integer = Field(default=160, ge=80, le=450)
    """Words per minute."""
    pitch: Integer = Field(default=50, ge=0, le=99)
    """Base pitch."""
    volume: Integer = Field(default=100, ge=0, le=200)
    """Loudness; 100 is normal."""
    word_gap: Integer = Field(default=0, ge=0, le=100)
    """Extra pause between words, in units of 10 ms."""


class Espeak:
    """The provider: its options, and the thread that speaks for all its calls."""

    capabilities = TTSCapabilities(alignment=True)

    def __init__(self, name: str, options: EspeakOptions) -> None:
        self.name = name
        self._options = options
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"tts-{name}")

    @property
    def fingerprint(self) -> str:
        return f"espeak {self._options.model_dump_json()}"

    async def open(self, *, rate: int, language: str) -> EspeakVoice:
        """Raises `BadRequest` where espeak-ng has no such voice, or none for the language."""

        def prepare() -> str | None:
            with _LIBRARY:
                engine = _Engine()
                wanted = self._options.voice
                return engine.voice_named(wanted) if wanted else engine.voice_for(language)

        try:
            voice = await asyncio.get_running_loop().run_in_executor(self._thread, prepare)
        except OSError as error:
            raise ProviderError(f"espeak-ng cannot be loaded: {error}", provider=self.name) from error
        if voice is None:
            missing = f"voice '{self._options.voice}'" if self._options.voice else f"voice for language '{language}'"
            raise BadRequest(
                f"espeak-ng has no {missing}", provider=self.name, hint="set voice to one such as en-us, en-us+f3 or de"
            )
        return EspeakVoice(self.name, self._options, voice, rate, self._thread)

    async def aclose(self) -> None:
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)


class EspeakVoice:
    """One call's synthesis. There is no connection to keep: only a voice, a rate, and the thread."""

    def __init__(self, name: str, options: EspeakOptions, voice: str, rate: int, thread: ThreadPoolExecutor) -> None:
        self._name = name
        self._options = options
        self._voice = voice
        self._rate = rate
        self._thread = thread

    async def synthesize(self, text: str) -> AsyncIterator[SpeechChunk]:
        """Speak; chunks of some 100 ms come as they are made. The queue between holds one sentence at most."""
        loop = asyncio.get_running_loop()
        chunks: asyncio.Queue[SpeechChunk | None] = asyncio.Queue()
        stop = threading.Event()

        def deliver(chunk: SpeechChunk) -> bool:
            if not stop.is_set():
                loop.call_soon_threadsafe(chunks.put_nowait, chunk)
            return not stop.is_set()

        job = self._thread.submit(self._speak, text, deliver)
        speaking = asyncio.wrap_future(job)
        speaking.add_done_callback(lambda _: chunks.put_nowait(None))
        try:
            while (chunk := await chunks.get()) is not None:
                yield chunk
            await speaking
        finally:
            stop.set()
            if not job.cancel():  # it runs: it ends with the piece at hand, within a millisecond
                await asyncio.wait([speaking])

    async def aclose(self) -> None:
        """Nothing is held."""

    def _speak(self, text: str, deliver: Callable[[SpeechChunk], bool]) -> None:
        resampler: Resampler | None = None
        last_offset = -1

        def heard(pcm: bytes, timings: list[WordTiming]) -> bool:
            nonlocal last_offset
            new = []
            for timing in timings:
                if last_offset < timing.offset < len(text):
                    new.append(timing)
                    last_offset = timing.offset
            assert resampler is not None
            pcm = resampler.push(pcm)
            return deliver(SpeechChunk(pcm, tuple(new))) if pcm or new else True

        with _LIBRARY:
            engine = _Engine()
            resampler = Resampler(engine.rate, self._rate)
            if not engine.speak(text, self._voice, self._options, heard):
                raise ProviderError("espeak-ng failed to speak a text", provider=self._name)
        if tail := resampler.flush():
            deliver(SpeechChunk(tail))


# --- the C library ----------------------------------------------------------------------------------------------------
# Its functions and constants are those of espeak-ng's speak_lib.h; the comments there are its documentation.

_LIBRARY: Final = threading.Lock()
"""Held while the C library is used: its state belongs to the process, so its lock does too."""

_SYNCHRONOUS, _UTF8, _CHARACTER, _DONT_EXIT = 2, 1, 1, 0x8000
_WORD, _END_OF_LIST = 1, 0
_RATE, _VOLUME, _PITCH, _WORD_GAP = 1, 2, 3, 7


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


class _VoiceInfo(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.POINTER(ctypes.c_char)),
        ("identifier", ctypes.c_char_p),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))


class _Engine:
    """The library, initialised. Make and use it only under `_LIBRARY`; loading it again gives the loaded one."""

    def __init__(self) -> None:
        self._lib = ctypes.CDLL(espeakng_loader.get_library_path())
        if not self._lib.espeak_ng_GetSampleRate():  # the library knows whether it was initialised before
            self._lib.espeak_Initialize(_SYNCHRONOUS, 100, espeakng_loader.get_data_path().encode(), _DONT_EXIT)
        self.rate = int(self._lib.espeak_ng_GetSampleRate())
        if self.rate <= 0:
            raise OSError("its data files are missing")

    def voice_named(self, name: str) -> str | None:
        return name if self._lib.espeak_SetVoiceByName(name.encode()) == 0 else None

    def voice_for(self, language: str) -> str | None:
        """The voice for a language tag (`en`, `en-GB`, `de-DE`): the exact one, else one of the same language."""
        tag = language.replace("_", "-").lower()
        for wanted in ("en-us" if tag == "en" else tag, tag.partition("-")[0]):
            for spoken, voice in self._voices():
                if spoken == wanted:
                    return voice
        return None

    def _voices(self) -> list[tuple[str, str]]:
        """Pairs of a language and the voice that speaks it, the preferred ones first."""
        self._lib.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_VoiceInfo))
        found = self._lib.espeak_ListVoices(None)
        pairs: list[tuple[int, str, str]] = []
        for index in range(100_000):
            if not found[index]:
                break
            info = found[index].contents
            # A list of: one byte of priority, then a zero-terminated tag; a zero priority ends it.
            at = ctypes.cast(info.languages, ctypes.c_void_p).value or 0
            while at and (priority := ctypes.string_at(at, 1)[0]):
                tag = ctypes.string_at(at + 1)
                pairs.append((priority, tag.decode(), info.identifier.decode()))
                at += len(tag) + 2
        return [(tag, voice) for _, tag, voice in sorted(pairs)]

    def speak(
        self, text: str, voice: str, options: EspeakOptions, heard: Callable[[bytes, list[WordTiming]], bool]
    ) -> bool:
        """Speak a text, handing each piece to `heard` until it says no. False when the library failed."""
        if self._lib.espeak_SetVoiceByName(voice.encode()) != 0:
            return False
        for parameter, value in (
            (_RATE, options.speed),
            (_PITCH, options.pitch),
            (_VOLUME, options.volume),
            (_WORD_GAP, options.word_gap),
        ):
            self._lib.espeak_SetParameter(parameter, value, 0)

        def callback(wav: int | None, samples: int, events: ctypes._Pointer[_Event]) -> int:
            timings = []
            index = 0
            while (event := events[index]).type != _END_OF_LIST:
                if event.type == _WORD:
                    timings.append(WordTiming(event.text_position - 1, event.audio_position / 1000))
                index += 1
            pcm = ctypes.string_at(wav, samples * 2) if wav and samples > 0 else b""
            return 0 if heard(pcm, timings) else 1

        called = _Callback(callback)  # referred to until the library is done with it
        self._lib.espeak_SetSynthCallback(called)
        data = text.replace("\0", " ").encode(errors="replace")
        size = ctypes.c_size_t(len(data) + 1)
        return bool(self._lib.espeak_Synth(data, size, 0, _CHARACTER, 0, _UTF8, None, None) == 0)


def _build(name: str, connection: Embedded, options: EspeakOptions) -> TextToSpeech:
    return Espeak(name, options)


PROVIDER = ProviderType(kind="tts", connection=Embedded, options=EspeakOptions, build=_build)
