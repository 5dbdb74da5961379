"""Which files a server watches: those of the configuration that it was given last, whatever came of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from voxtrad.config.loader import Loaded, load
from voxtrad.config.models import Config
from voxtrad.errors import VoxtradError
from voxtrad.providers.registry import provider_types
from voxtrad.reloading import Reloader

AGENT = "agents: {{a: {{stt: sphinx, llm: scripted, tts: espeak, greeting: {greeting}}}}}\n"


async def test_a_file_of_what_could_not_be_put_to_work_is_watched(tmp_path: Path) -> None:
    path, more = tmp_path / "voxtrad.yaml", tmp_path / "more.yaml"
    path.write_text(AGENT.format(greeting="one"), encoding="utf-8")
    tried: asyncio.Queue[str] = asyncio.Queue()

    def read() -> Loaded:
        return load(path, provider_types=provider_types())

    async def apply(config: Config) -> None:
        greeting = config.agents["a"].greeting.text
        tried.put_nowait(greeting)
        if greeting == "two":
            raise VoxtradError("no licence")

    reloader = Reloader(read(), read, apply)
    watching = asyncio.create_task(reloader.watch())
    try:
        async with asyncio.timeout(30):
            more.write_text(AGENT.format(greeting="two"), encoding="utf-8")
            path.write_text("include: [more.yaml]\n", encoding="utf-8")
            assert await tried.get() == "two"
            more.write_text(AGENT.format(greeting="three"), encoding="utf-8")
            assert await tried.get() == "three"
    finally:
        watching.cancel()
        await asyncio.wait([watching])
