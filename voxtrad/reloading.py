"""Keeps a running server at what its configuration says: all of it or nothing, for the calls to come.

It reads when it is told to, or when a file that took part has changed. How a configuration is put to work, it is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from voxtrad.config.diagnostics import ConfigError
from voxtrad.config.loader import Loaded
from voxtrad.config.models import Config
from voxtrad.config.reload import ConfigWatcher, restart_needed
from voxtrad.errors import VoxtradError

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What came of a reload."""

    ok: bool
    errors: tuple[str, ...] = ()
    """Why the old configuration runs on, one line an error."""
    restart: tuple[str, ...] = ()
    """Changed values that only a restart brings into effect."""


class Reloader:
    """`load` reads the configuration and runs off the event loop; `apply` puts it to work or raises `VoxtradError`."""

    def __init__(self, loaded: Loaded, load: Callable[[], Loaded], apply: Callable[[Config], Awaitable[None]]) -> None:
        self.loaded = loaded
        self.last = Reloaded(ok=True)
        """What came of the last one; the start counts as one."""
        self._started_with = loaded.config
        self._load = load
        self._apply = apply
        self._one_at_a_time = asyncio.Lock()
        self._watcher = ConfigWatcher(loaded.files, loaded.patterns)

    async def reload(self, why: str) -> Reloaded:
        """Read the configuration again. Never raises for what is wrong with it: the one that runs stays."""
        async with self._one_at_a_time:
            self.last = await self._reload(why)
            return self.last

    async def watch(self) -> None:
        """Reload when a file changes, until cancelled."""
        async for changed in self._watcher.changes():
            names = ", ".join(sorted(file.name for file in changed))
            await self.reload(f"changed: {names}")

    async def _reload(self, why: str) -> Reloaded:
        try:
            loaded = await asyncio.to_thread(self._load)
            self._watcher.follow(loaded.files | self.loaded.files, loaded.patterns | self.loaded.patterns)
            await self._apply(loaded.config)
        except ConfigError as error:
            self._watcher.follow(error.files | self.loaded.files, error.patterns | self.loaded.patterns)
            errors = tuple(str(diagnostic) for diagnostic in error.diagnostics if diagnostic.severity == "error")
            log.error("not reloaded: the configuration is not valid, the old one runs on", why=why, errors=errors)
            return Reloaded(ok=False, errors=errors)
        except VoxtradError as error:
            log.error("not reloaded: the configuration cannot be put to work", why=why, reason=error.message)
            return Reloaded(ok=False, errors=(error.message,))
        except Exception as error:
            # The outermost supervisor of a reload: whatever breaks here, calls go on.
            log.exception("not reloaded: a fault of voxtrad's own; the old configuration runs on", why=why)
            return Reloaded(ok=False, errors=(f"internal error: {type(error).__name__}",))
        self.loaded = loaded
        self._watcher.follow(loaded.files, loaded.patterns)
        restart = tuple(restart_needed(self._started_with, loaded.config))
        log.info("reloaded; live calls keep what they started with", why=why)
        if restart:
            log.warning("some changes take effect only after a restart", values=restart)
        return Reloaded(ok=True, restart=restart)
