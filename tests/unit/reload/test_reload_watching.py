"""Files are watched where nothing notifies, and a folder that goes away ends nothing."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from voxtrad.config import reload
from voxtrad.config.reload import ConfigWatcher


async def next_change(watcher: ConfigWatcher) -> set[str]:
    async with asyncio.timeout(20), aclosing(watcher.changes()) as changes:
        return {file.name for file in await anext(changes)}


async def test_a_change_is_seen_without_notifications(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def none_left(*folders: Path, **options: object) -> AsyncIterator[None]:
        raise OSError(28, "inotify watch limit reached")
        yield

    monkeypatch.setattr(reload, "awatch", none_left)
    file = tmp_path / "voxtrad.yaml"
    file.write_text("one", encoding="utf-8")
    watcher = ConfigWatcher([file], settle=0.02, every=0.02)
    file.write_text("second", encoding="utf-8")
    assert await next_change(watcher) == {"voxtrad.yaml"}


async def test_a_folder_that_goes_and_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "config"
    folder.mkdir()
    file = folder / "voxtrad.yaml"
    file.write_text("one", encoding="utf-8")
    watcher = ConfigWatcher([file], settle=0.05, every=0.1)
    async with asyncio.timeout(30), aclosing(watcher.changes()) as changes:
        shutil.rmtree(folder)
        assert await anext(changes) == {file}
        folder.mkdir()
        file.write_text("one", encoding="utf-8")
        assert await anext(changes) == {file}
