"""Noticing that a configuration changed, and what of a change needs a restart. What to do then is the daemon's.

Files are compared by what the file system says of them, so an editor that renames, a bind mount without notifications
and a link that is switched (as Kubernetes does) are all seen; notifications only make it quick.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from pathlib import Path

from watchfiles import awatch

from voxtrad.config.files import folder_of, is_readable
from voxtrad.config.models import Config

SETTLE = 1.0
"""Seconds without another change, after which a change counts as finished."""
LOOK_EVERY = 2.0
"""Seconds between looks where nothing notifies."""

Stamp = tuple[int, int, int, bool] | None

RESTART: tuple[str, ...] = (
    "asterisk.url",
    "asterisk.username",
    "asterisk.password",
    "asterisk.app",
    "asterisk.media",
    "server.listen",
    "server.data_dir",
    "server.watch",
)
"""What is set up once, at start; of `server.tls`, whether there is one: another certificate is taken as it comes."""


def restart_needed(old: Config, new: Config) -> list[str]:
    """Paths of changed values that only a restart brings into effect."""
    changed = [path for path in RESTART if _at(old, path) != _at(new, path)]
    return changed if (old.server.tls is None) == (new.server.tls is None) else [*changed, "server.tls"]


def _at(config: Config, path: str) -> object:
    value: object = config
    for part in path.split("."):
        value = getattr(value, part, None)
    return value


def stamps(files: Iterable[Path], patterns: Iterable[Path] = ()) -> Mapping[Path, Stamp]:
    """For every file, and every file that a pattern matches: which it is, how long, how old and whether it can be
    read; `None` if it is not."""
    found: dict[Path, Stamp] = {file: _stamp(file) for file in files}
    for pattern in patterns:
        for match in folder_of(pattern).glob(str(pattern.relative_to(folder_of(pattern)))):
            found[match] = _stamp(match)
    return found


def _stamp(file: Path) -> Stamp:
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, is_readable(file)


class ConfigWatcher:
    """Tells when files of a configuration have changed and stayed as they are for `settle` seconds.

    Follow the files of each load, a failed one too (`Loaded.files`, `ConfigError.files`): the next change may be the
    mending of a file that was just included.
    """

    def __init__(
        self, files: Iterable[Path], patterns: Iterable[Path] = (), *, settle: float = SETTLE, every: float = LOOK_EVERY
    ) -> None:
        self._files = frozenset(files)
        self._patterns = frozenset(patterns)
        self._settle = settle
        self._every = every
        self._known = stamps(self._files, self._patterns)
        self._moved = asyncio.Event()

    def follow(self, files: Iterable[Path], patterns: Iterable[Path] = ()) -> None:
        """Watches these from now on; what was watched and is not among them is forgotten, patterns are kept."""
        files, patterns = frozenset(files), self._patterns | frozenset(patterns)
        if (files, patterns) == (self._files, self._patterns):
            return
        fresh = stamps(files, patterns)
        self._known = {file: self._known.get(file, stamp) for file, stamp in fresh.items()}
        self._files, self._patterns = files, patterns
        self._moved.set()

    async def changes(self) -> AsyncGenerator[frozenset[Path], None]:
        """The files of each change, once it has settled. Endless; cancel it to stop."""
        while True:
            self._moved.clear()
            async with aclosing(self._looks()) as looks:
                async for _ in looks:
                    if changed := await self._settled():
                        yield changed

    async def _looks(self) -> AsyncGenerator[None, None]:
        """Whenever it is time to look: something was notified, or some time has passed."""
        notified = awatch(
            *await asyncio.to_thread(self._folders),
            stop_event=self._moved,
            recursive=False,
            debounce=250,
            step=250,  # its thread wakes up so often, and takes the interpreter from the audio
            rust_timeout=int(self._every * 1000),
            yield_on_timeout=True,
            ignore_permission_denied=True,
        )
        try:
            async with aclosing(notified):
                async for _ in notified:
                    yield
        except (OSError, RuntimeError):
            # No notifications to be had: their number is limited, and folders come and go.
            await asyncio.sleep(self._every)
            yield

    def _folders(self) -> set[Path]:
        """Existing folders that hold the files, or will hold them."""
        folders = {file.parent for file in self._files} | {folder_of(pattern) for pattern in self._patterns}
        return {folder for folder in folders if os.path.isdir(folder)} or {Path()}  # noqa: PTH112  # this never raises

    async def _settled(self) -> frozenset[Path]:
        current = await asyncio.to_thread(stamps, self._files, self._patterns)
        if current == self._known:
            return frozenset()
        while True:
            await asyncio.sleep(self._settle)
            later = await asyncio.to_thread(stamps, self._files, self._patterns)
            if later == current:
                break
            current = later
        changed = {file for file in {*current, *self._known} if current.get(file) != self._known.get(file)}
        self._known = current
        return frozenset(changed)
