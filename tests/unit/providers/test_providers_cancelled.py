"""Connections of a call are closed, whenever whoever opens, uses or closes them is cancelled, and however often."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import suppress
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from tests.fakes.line import Line
from tests.unit.providers.benches import EMBEDDED, STT, TTS
from voxtrad.providers import opening
from voxtrad.providers.base import STTCapabilities, STTEvent, Unreachable
from voxtrad.providers.fallback.circle import Nobody
from voxtrad.providers.fallback.stt import FallbackSTT
from voxtrad.providers.fallback.tts import FallbackTTS
from voxtrad.providers.stock import Stock

POOLED = {"openai", "elevenlabs http"}
"""These keep their connections for the next call."""
VOICES = [name for name in TTS if name not in EMBEDDED | POOLED]
RECOGNISERS = [name for name in STT if name not in EMBEDDED | POOLED]
OPENING = range(1, 400, 31)
CLOSING = range(1, 9)
"""Turns of the loop after which it is cancelled."""


async def cancelled_after(steps: int, work: Coroutine[object, object, object], again: int | None = None) -> None:
    task = asyncio.create_task(work)
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    if again is not None:
        for _ in range(again):
            await asyncio.sleep(0)
        task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def nothing_runs(before: set[asyncio.Task[object]]) -> bool:
    names = ("stt-", "socket-", "aura-")
    return not [task for task in asyncio.all_tasks() - before if task.get_name().startswith(names)]


@pytest.mark.parametrize("again", [None, 1])
@pytest.mark.parametrize("name", [*VOICES, *(f"{name} hears" for name in RECOGNISERS)])
async def test_opening(name: str, again: int | None) -> None:
    hears, known = name.endswith(" hears"), name.removesuffix(" hears")
    async with Line() as line, (STT if hears else TTS)[known]("none", line) as provider:
        before = asyncio.all_tasks()
        for steps in OPENING:

            async def use() -> None:
                opened = await provider.open(rate=8000, language="en")
                await opened.aclose()

            await cancelled_after(steps, use(), again)
            await line.idle()
            assert nothing_runs(before)


@pytest.mark.parametrize("again", [None, 0, 1])
@pytest.mark.parametrize("name", [*VOICES, *(f"{name} hears" for name in RECOGNISERS)])
async def test_closing(name: str, again: int | None) -> None:
    hears, known = name.endswith(" hears"), name.removesuffix(" hears")
    async with Line() as line, (STT if hears else TTS)[known]("none", line) as provider:
        before = asyncio.all_tasks()
        for steps in CLOSING:
            opened = await provider.open(rate=8000, language="en")
            await cancelled_after(steps, opened.aclose(), again)
            await line.idle()
            assert nothing_runs(before)


@pytest.mark.parametrize("name", VOICES)
async def test_speaking(name: str) -> None:
    async with Line() as line, TTS[name]("none", line) as provider:
        before = asyncio.all_tasks()
        for steps in range(1, 200, 23):
            voice = await provider.open(rate=8000, language="en")
            stream = voice.synthesize("Your order is on its way. " * 5)
            await cancelled_after(steps, anext(stream))
            await stream.aclose()
            await voice.aclose()
            await line.idle()
            assert nothing_runs(before)


@pytest.mark.parametrize("kind", ["stt", "tts"])
async def test_closing_those_that_stand_in_for_each_other(kind: str) -> None:
    """Voices are opened as they are wanted: by a sentence that the first one fails to speak."""
    async with Line() as line, Line() as another:
        for steps in range(1, 24, 2):
            if kind == "stt":
                async with STT["assemblyai"]("none", line) as stt, STT["elevenlabs"]("none", another) as other:
                    recogniser = FallbackSTT([stt, other])
                    stream = await recogniser.open(rate=8000, language="en")
                    stream._ask_another(stream._line)  # type: ignore[arg-type]
                    while stream._second is not None and not stream._second.live:  # noqa: ASYNC110
                        await asyncio.sleep(0)
                    await cancelled_after(steps, stream.aclose())
                    await line.idle()
                    await another.idle()
            else:
                async with TTS["cartesia"]("none", line) as tts, TTS["elevenlabs"]("none", another) as other:
                    speech = FallbackTTS([tts, other])
                    voice = await speech.open(rate=8000, language="en")
                    await voice._voice(1, last=True)
                    await cancelled_after(steps, voice.aclose())
                    await line.idle()
                    await another.idle()


class Recogniser:
    """A recogniser, and its one stream: it breaks when it is told to, and takes a few turns of the loop to close."""

    capabilities = STTCapabilities(partials=True, punctuates=True)

    def __init__(self, name: str) -> None:
        self.name = name
        self.open_now = False
        self.breaks = asyncio.Event()

    async def open(self, *, rate: int, language: str, hints: Sequence[str] = ()) -> Recogniser:
        self.open_now = True
        return self

    async def send(self, pcm: bytes) -> None: ...

    async def finalize(self) -> None: ...

    async def events(self) -> AsyncIterator[STTEvent]:
        await self.breaks.wait()
        raise Unreachable("it broke", provider=self.name)
        yield

    async def aclose(self) -> None:
        for _ in range(4):
            await asyncio.sleep(0)
        self.open_now = False


async def test_the_second_opinion_is_closed_when_the_first_has_just_broken() -> None:
    for steps in range(12):
        first, second = Recogniser("first"), Recogniser("second")
        stt = FallbackSTT([first, second])
        stream = await stt.open(rate=8000, language="en")
        stream._ask_another(stream._line)  # type: ignore[arg-type]
        reading = asyncio.ensure_future(anext(stream.events(), None))
        for _ in range(8):
            await asyncio.sleep(0)
        assert first.open_now and second.open_now
        first.breaks.set()
        for _ in range(steps):
            await asyncio.sleep(0)
        reading.cancel()
        with suppress(asyncio.CancelledError):
            await reading
        await stream.aclose()
        await stt.aclose()
        assert not first.open_now and not second.open_now, steps


class Stuck(Recogniser):
    """A recogniser, or a voice: what is opened of it does not close."""

    async def open(self, *, rate: int, language: str, hints: Sequence[str] = ()) -> Stuck:
        return self

    async def aclose(self) -> None:
        await asyncio.Event().wait()


@pytest.mark.virtual_time
@pytest.mark.parametrize("cancelled", [False, True])
@pytest.mark.parametrize("kind", ["stt", "tts"])
async def test_a_connection_that_does_not_close_holds_no_call(kind: str, cancelled: bool) -> None:
    provider = Stuck("it")
    made = FallbackSTT([provider]) if kind == "stt" else FallbackTTS([provider])  # type: ignore[list-item]
    opened = await made.open(rate=8000, language="en")
    if kind == "tts":
        await opened.connect()  # type: ignore[union-attr]
    began = asyncio.get_running_loop().time()
    with capture_logs() as logs:
        await (cancelled_after(3, opened.aclose()) if cancelled else opened.aclose())
    assert asyncio.get_running_loop().time() - began == opening.CLOSING
    assert [line["provider"] for line in logs if "does not close" in line["event"]] == ["it"]


async def test_all_of_a_configurations_providers_are_closed() -> None:
    for steps in range(1, 16):
        made: list[Recogniser] = []

        def build(name: str, connection: object, options: object, made: list[Recogniser] = made) -> Recogniser:
            made.append(Recogniser(name))
            made[-1].open_now = True
            return made[-1]

        type_ = SimpleNamespace(build=build)
        stock = Stock({"stt": {"it": type_}}, Nobody())  # type: ignore[dict-item]
        for name in ("one", "two", "three"):
            stock.stt([SimpleNamespace(type="it", provider=name, connection=None, options=None)])  # type: ignore[list-item]
        await cancelled_after(steps, stock.aclose())
        assert len(made) == 3 and not any(recogniser.open_now for recogniser in made), steps
