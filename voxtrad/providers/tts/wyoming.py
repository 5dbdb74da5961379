"""Speech by a Wyoming server (piper and others): a request for each sentence, over a connection that stays open.

An interrupted sentence is cancelled by hanging up; the protocol has nothing else for it. Source: the README of the
`wyoming` project, "Text to speech".
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from voxtrad.audio.resample import Resampler
from voxtrad.config.types import ConfigModel, Name
from voxtrad.providers.base import (
    JSON,
    MalformedAnswer,
    ProviderType,
    SpeechChunk,
    TextToSpeech,
    TTSCapabilities,
    Unreachable,
)
from voxtrad.providers.vendors.wyoming import Event, Peer, WyomingConnection

_RATES = range(4000, 192_001)


class WyomingTTSOptions(ConfigModel):
    voice: Name | None = None
    """The voice's name; unset is the server's voice for the agent's language."""
    speaker: Name | None = None
    """The speaker, for a voice that has several."""


class WyomingTTS:
    """The provider: where the server is; each call has a connection of its own."""

    capabilities = TTSCapabilities()

    def __init__(self, name: str, connection: WyomingConnection, options: WyomingTTSOptions) -> None:
        self.name = name
        self.options = options
        self._connection = connection

    @property
    def fingerprint(self) -> str:
        return f"wyoming {self._connection.uri} {self.options.model_dump_json()}"

    async def open(self, *, rate: int, language: str) -> WyomingVoice:
        """Connect. Raises `ProviderError`."""
        return WyomingVoice(self, await self.connect(), rate, language)

    async def connect(self) -> Peer:
        return await Peer.connect(self.name, self._connection)

    async def aclose(self) -> None:
        """Connections belong to their calls."""


class WyomingVoice:
    """One call's synthesis, one sentence at a time."""

    def __init__(self, provider: WyomingTTS, peer: Peer, rate: int, language: str) -> None:
        self._provider = provider
        self._peer: Peer | None = peer
        self._rate = rate
        options = provider.options
        voice: dict[str, JSON] = {"name": options.voice} if options.voice else {"language": language}
        self._voice = {**voice, **({"speaker": options.speaker} if options.speaker else {})}

    async def synthesize(self, text: str) -> AsyncIterator[SpeechChunk]:
        resampler: Resampler | None = None
        heard = False
        peer, event = await self._ask(text)
        try:
            while event.type != "audio-stop":
                if event.type in ("audio-start", "audio-chunk"):
                    resampler = resampler or Resampler(self._pcm_rate(event), self._rate)
                    heard = heard or bool(event.payload)
                    if ready := resampler.push(event.payload):
                        yield SpeechChunk(ready)
                event = await peer.receive()
        except BaseException:
            await self.aclose()  # what is still to come of this sentence must not be taken for the next
            raise
        if not heard and any(char.isalnum() for char in text):
            raise MalformedAnswer("an answer without audio", provider=self._provider.name)
        if resampler is not None and (tail := resampler.flush()):
            yield SpeechChunk(tail)

    async def aclose(self) -> None:
        peer, self._peer = self._peer, None
        if peer is not None:
            await peer.aclose()

    async def _ask(self, text: str) -> tuple[Peer, Event]:
        """The first event of the answer. A server that hangs up after each sentence, or after a while, is asked over
        another connection."""
        used = self._peer
        if used is not None and not used.gone:
            try:
                await used.send("synthesize", {"text": text, "voice": self._voice})
                return used, await used.receive()
            except Unreachable:
                if not used.gone:
                    raise
            except BaseException:
                await self.aclose()
                raise
        await self.aclose()
        self._peer = peer = await self._provider.connect()
        try:
            await peer.send("synthesize", {"text": text, "voice": self._voice})
            return peer, await peer.receive()
        except BaseException:
            await self.aclose()
            raise

    def _pcm_rate(self, event: Event) -> int:
        rate = event.data.get("rate")
        if event.data.get("width") != 2 or event.data.get("channels") != 1 or rate not in _RATES:
            raise MalformedAnswer("audio that is not mono and 16 bits", provider=self._provider.name)
        return int(rate)  # type: ignore[arg-type]  # it is in a range of integers


def _build(name: str, connection: WyomingConnection, options: WyomingTTSOptions) -> TextToSpeech:
    return WyomingTTS(name, connection, options)


PROVIDER = ProviderType(kind="tts", connection=WyomingConnection, options=WyomingTTSOptions, build=_build)
