"""A Wyoming server for both kinds, written on the published `wyoming` package: its reader, writer and event types.

Like the faster-whisper server it hangs up after a transcript; like the piper server it stays after speech, unless a
test says otherwise. 50 ms of tone for each character.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from wyoming.asr import Transcribe, Transcript, TranscriptChunk, TranscriptStart, TranscriptStop
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event
from wyoming.server import AsyncEventHandler
from wyoming.tts import Synthesize

Behaviour = Literal["well", "stall", "cut", "malformed", "odd shape", "error"]
PER_CHARACTER = 0.05


@dataclass
class FakeWyoming:
    uri: str = ""
    behaviour: Behaviour = "well"
    text: str = "goodbye"
    rate: int = 22050
    hangs_up: bool = False
    """After each sentence."""
    asked: list[Transcribe | Synthesize] = field(default_factory=list)
    audio: int = 0
    connections: int = 0


@asynccontextmanager
async def fake_wyoming(**settings: Any) -> AsyncIterator[FakeWyoming]:
    fake = FakeWyoming(**settings)
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fake.connections += 1
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await _Handler(fake, reader, writer).run()
        except (ConnectionError, asyncio.CancelledError):
            writer.close()
        finally:
            tasks.discard(task)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    fake.uri = f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield fake
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(list(tasks))


class _Handler(AsyncEventHandler):
    def __init__(self, fake: FakeWyoming, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer)
        self.fake = fake

    async def handle_event(self, event: Event) -> bool:
        if Transcribe.is_type(event.type):
            self.fake.asked.append(Transcribe.from_event(event))
        elif AudioChunk.is_type(event.type):
            self.fake.audio += len(AudioChunk.from_event(event).audio)
        elif AudioStop.is_type(event.type):
            return not await self.trouble() and await self.transcribe()
        elif Synthesize.is_type(event.type):
            asked = Synthesize.from_event(event)
            self.fake.asked.append(asked)
            return not await self.trouble() and await self.speak(asked.text)
        return True

    async def trouble(self) -> bool:
        match self.fake.behaviour:
            case "well":
                return False
            case "stall":
                await asyncio.Event().wait()
            case "malformed":
                self.writer.write(b"{not json\n")
            case "odd shape":
                await self.write_event(Event("transcript", {"text": 7}))
                await self.write_event(AudioStart(rate=22050, width=4, channels=2).event())
            case "error":
                await self.write_event(Error(text="out of memory", code="oom").event())
            case "cut":
                self.writer.transport.abort()
        return True

    async def transcribe(self) -> bool:
        await self.write_event(TranscriptStart(language="en").event())
        await self.write_event(TranscriptChunk(text=self.fake.text).event())
        await self.write_event(Transcript(text=f" {self.fake.text}").event())
        await self.write_event(TranscriptStop().event())
        return False

    async def speak(self, text: str) -> bool:
        rate = self.fake.rate
        await self.write_event(AudioStart(rate=rate, width=2, channels=1).event())
        for char in text:
            pcm = b"\1\2" * int(PER_CHARACTER * rate) if char else b""
            await self.write_event(AudioChunk(rate=rate, width=2, channels=1, audio=pcm).event())
        await self.write_event(AudioStop().event())
        return not self.fake.hangs_up
