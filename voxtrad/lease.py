"""Which servers that share a data folder are alive, and which have died.

Each run of a server holds a lock on a file of its own, which the kernel lets go when the process ends, however it ends.
A file that nobody holds is a dead server's, and what that one left in the PBX can be cleared up.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import structlog

FOLDER = "instances"

log = structlog.stdlib.get_logger(__name__)


class Lease:
    """This run's lock, and those of the dead, held so that of several servers that start only one clears up."""

    def __init__(self, instance: str, folder: Path, mine: int | None, dead: dict[str, int]) -> None:
        self.instance = instance
        """The name of this run: what it makes in the PBX carries it."""
        self._folder = folder
        self._mine = mine
        self._dead = dead

    @property
    def dead(self) -> frozenset[str]:
        """Runs that have ended without clearing up."""
        return frozenset(self._dead)

    def forget(self) -> None:
        """Nothing is left of the dead."""
        dead, self._dead = self._dead, {}
        for name, lock in dead.items():
            (self._folder / name).unlink(missing_ok=True)
            os.close(lock)

    def release(self) -> None:
        """This run ends, and has cleared up; who is still dead stays so for the next."""
        locks = list(self._dead.values())
        self._dead = {}
        if self._mine is not None:
            (self._folder / self.instance).unlink(missing_ok=True)
            locks.append(self._mine)
        for lock in locks:
            os.close(lock)


@contextlib.contextmanager
def leased(data_dir: Path) -> Iterator[Lease]:
    """Be among the living until the block is left. Where the folder cannot be used, nobody is known to be dead."""
    folder, instance = data_dir / FOLDER, secrets.token_hex(4)
    try:
        lease = _take(folder, instance)
    except OSError as error:
        log.warning("after a crash nothing of this run can be cleared up", folder=str(folder), reason=str(error))
        lease = Lease(instance, folder, None, {})
    try:
        yield lease
    finally:
        lease.release()


def _take(folder: Path, instance: str) -> Lease:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as gate:  # one at a time: a file that was just made is not locked yet
        fcntl.flock(gate, fcntl.LOCK_EX)
        dead = {path.name: lock for path in sorted(folder.glob("[!.]*")) if (lock := _locked(path)) is not None}
        return Lease(instance, folder, _locked(folder / instance, create=True), dead)


def _locked(path: Path, *, create: bool = False) -> int | None:
    """The file, open and locked; None where another process holds it or it is gone."""
    try:
        lock = os.open(path, os.O_RDWR | (os.O_CREAT if create else 0), 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock
