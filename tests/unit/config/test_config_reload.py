"""Changes of real files are noticed once, settled, however an editor makes them; what needs a restart is named."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from provider_models import TYPES

from voxtrad.config.diagnostics import ConfigError
from voxtrad.config.loader import Loaded, load
from voxtrad.config.reload import ConfigWatcher, restart_needed

TEXT = "include: [agents/*.yaml]\nasterisk: {password: '${file:secret}'}\n"
AGENT = "agents: {a: {stt: sphinx, llm: scripted, tts: espeak, prompt_file: p.md}}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "agents").mkdir()
    (tmp_path / "voxtrad.yaml").write_text(TEXT, encoding="utf-8")
    (tmp_path / "secret").write_text("s\n", encoding="utf-8")
    (tmp_path / "agents/a.yaml").write_text(AGENT, encoding="utf-8")
    (tmp_path / "agents/p.md").write_text("Hello\n", encoding="utf-8")
    return tmp_path


def loaded(folder: Path) -> Loaded:
    return load(folder / "voxtrad.yaml", provider_types=TYPES, environment={})


@asynccontextmanager
async def watching(folder: Path) -> AsyncIterator[tuple[ConfigWatcher, asyncio.Queue[set[str]]]]:
    result = loaded(folder)
    watcher = ConfigWatcher(result.files, result.patterns, settle=0.05, every=0.1)
    seen: asyncio.Queue[set[str]] = asyncio.Queue()

    async def watch() -> None:
        async with aclosing(watcher.changes()) as changes:
            async for files in changes:
                seen.put_nowait({file.name for file in files})

    task = asyncio.create_task(watch())
    try:
        yield watcher, seen
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("name", ["voxtrad.yaml", "agents/a.yaml", "agents/p.md", "secret"])
async def test_every_file_that_took_part_is_watched(folder: Path, name: str) -> None:
    async with watching(folder) as (_, seen):
        path = folder / name
        path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
        assert await asyncio.wait_for(seen.get(), 20) == {path.name}


async def test_an_editor_that_renames(folder: Path) -> None:
    async with watching(folder) as (_, seen):
        for text in ("# one\n", "# two\n"):
            temporary = folder / "agents/.a.yaml.swp"
            temporary.write_text(AGENT + text, encoding="utf-8")
            temporary.rename(folder / "agents/a.yaml")
            assert "a.yaml" in await asyncio.wait_for(seen.get(), 20)


async def test_a_link_that_is_switched(folder: Path) -> None:
    (folder / "one").mkdir()
    (folder / "two").mkdir()
    (folder / "one/b.yaml").write_text("server: {max_calls: 1}\n", encoding="utf-8")
    (folder / "two/b.yaml").write_text("server: {max_calls: 2}\n", encoding="utf-8")
    (folder / "data").symlink_to("one")
    (folder / "voxtrad.yaml").write_text("include: [agents/a.yaml, data/b.yaml]\n", encoding="utf-8")
    async with watching(folder) as (_, seen):
        (folder / "new").symlink_to("two")
        (folder / "new").rename(folder / "data")
        assert await asyncio.wait_for(seen.get(), 20) == {"b.yaml"}
        assert loaded(folder).config.server.max_calls == 2


async def test_a_new_file_that_a_pattern_matches(folder: Path) -> None:
    async with watching(folder) as (watcher, seen):
        path = folder / "agents/b.yaml"
        path.write_text("agents: {b: {stt: sphinx, llm: scripted, tts: espeak}}\n", encoding="utf-8")
        assert await asyncio.wait_for(seen.get(), 20) == {"b.yaml"}
        result = loaded(folder)
        assert set(result.config.agents) == {"a", "b"}
        watcher.follow(result.files, result.patterns)
        path.unlink()
        assert await asyncio.wait_for(seen.get(), 20) == {"b.yaml"}


async def test_a_file_elsewhere_that_came_by_a_reload(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other") / "more.yaml"
    other.write_text("server: {max_calls: 1}\n", encoding="utf-8")
    async with watching(folder) as (watcher, seen):
        (folder / "voxtrad.yaml").write_text(f"include: [agents/a.yaml, {other}]\n", encoding="utf-8")
        assert await asyncio.wait_for(seen.get(), 20) == {"voxtrad.yaml"}
        result = loaded(folder)
        watcher.follow(result.files, result.patterns)
        other.write_text("server: {max_calls: 22}\n", encoding="utf-8")
        assert await asyncio.wait_for(seen.get(), 20) == {"more.yaml"}


async def test_many_writes_are_one_change(folder: Path) -> None:
    result = loaded(folder)
    watcher = ConfigWatcher(result.files, result.patterns, settle=0.3, every=0.1)
    async with aclosing(watcher.changes()) as changes:
        path = folder / "agents/p.md"

        async def write() -> None:
            for text in "abcdefgh":
                path.write_text(text, encoding="utf-8")
                await asyncio.to_thread(path.stat)
            path.write_text("the last", encoding="utf-8")

        async with asyncio.TaskGroup() as group:
            group.create_task(write())
            assert await asyncio.wait_for(anext(changes), 20) == {path}
        assert path.read_text(encoding="utf-8") == "the last"


def test_the_certificate_is_watched(folder: Path) -> None:
    (folder / "voxtrad.yaml").write_text(TEXT + "server: {tls: {cert: c.pem, key: c.key}}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        loaded(folder)
    assert {folder / "c.pem", folder / "c.key"} <= raised.value.files
    (folder / "voxtrad.yaml").write_text(TEXT + "server: {tls: {cert: c.pem}}\n", encoding="utf-8")
    with pytest.raises(ConfigError) as raised:
        loaded(folder)
    assert folder / "c.pem" in raised.value.files and Path() not in raised.value.files


def test_what_needs_a_restart(folder: Path) -> None:
    old = loaded(folder).config
    (folder / "voxtrad.yaml").write_text(
        TEXT + "server: {listen: '127.0.0.1:1', max_calls: 3, data_dir: ./d}\n", encoding="utf-8"
    )
    new = loaded(folder).config
    assert restart_needed(old, new) == ["server.listen", "server.data_dir"]
    assert restart_needed(new, new) == []
    (folder / "secret").write_text("other\n", encoding="utf-8")
    assert restart_needed(new, loaded(folder).config) == ["asterisk.password"]
    (folder / "voxtrad.yaml").write_text("include: [agents/*.yaml]\n", encoding="utf-8")
    assert "asterisk.url" in restart_needed(old, loaded(folder).config)
