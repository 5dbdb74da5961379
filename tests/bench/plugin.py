"""The vendors' recogniser and voice as providers: as thin as a provider over a websocket can be.

A running `voxtrad serve` finds them by their entry points, as any package of a third party.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Sequence

import aiohttp

from voxtrad.config.types import ConfigModel
from voxtrad.providers.base import (
    ProviderType,
    SpeechChunk,
    STTCapabilities,
    STTEvent,
    Transcript,
    TTSCapabilities,
    Unreachable,
)
from voxtrad.providers.options import NetworkConnection


class Options(ConfigModel):
    """None."""


class _Shared:
    def __init__(self, name: str, connection: NetworkConnection, options: Options) -> None:
        self.name = name
        self.fingerprint = name
        self._url = str(connection.base_url)
        self._http: aiohttp.ClientSession | None = None

    async def connect(self) -> aiohttp.ClientWebSocketResponse:
        if self._http is None:
            self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        return await self._http.ws_connect(self._url, compress=0)

    async def aclose(self) -> None:
        if self._http is not None:
            await self._http.close()


class BenchSTT(_Shared):
    capabilities = STTCapabilities(partials=True, final_delay=0.35)

    async def open(self, *, rate: int, language: str, hints: Sequence[str] = ()) -> _Stream:
        return _Stream(await self.connect())


class _Stream:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def send(self, pcm: bytes) -> None:
        await self._socket.send_bytes(pcm)

    async def finalize(self) -> None:
        await self._socket.send_str("finalize")

    async def events(self) -> AsyncIterator[STTEvent]:
        async for message in self._socket:
            told = json.loads(message.data)
            yield Transcript(told.get("final", told.get("partial")), final="final" in told)

    async def aclose(self) -> None:
        await self._socket.close()


class BenchTTS(_Shared):
    capabilities = TTSCapabilities()

    async def open(self, *, rate: int, language: str) -> _Voice:
        return _Voice(await self.connect())


class _Voice:
    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._ids = itertools.count(1)

    async def synthesize(self, text: str) -> AsyncIterator[SpeechChunk]:
        id = next(self._ids)
        began = ended = False
        try:
            await self._socket.send_str(json.dumps({"text": text, "id": id}))
            async for message in self._socket:
                if message.type is aiohttp.WSMsgType.TEXT:
                    told = json.loads(message.data)
                    began = began or told.get("begin") == id
                    if ended := told.get("end") == id:
                        return
                elif began:  # what comes before is of a sentence that was cancelled
                    yield SpeechChunk(message.data)
            raise Unreachable("the voice has gone", provider="bench")
        finally:
            if not ended:
                with contextlib.suppress(ConnectionError):
                    await self._socket.send_str(json.dumps({"stop": id}))

    async def aclose(self) -> None:
        await self._socket.close()


STT = ProviderType(kind="stt", connection=NetworkConnection, options=Options, build=BenchSTT)
TTS = ProviderType(kind="tts", connection=NetworkConnection, options=Options, build=BenchTTS)
