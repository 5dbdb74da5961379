"""Which servers that share a data folder are alive and where they are reached, and which have died.

Each run of a server holds a lock on a file of its own, which the kernel lets go when the process ends, however it ends.
A file that nobody holds is a dead server's, and what that one left in the PBX can be cleared up. In a living one stands
its address, with a key for this machine's commands: whoever may read that file may do all that the API can.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import structlog
from pydantic import TypeAdapter, ValidationError

FOLDER = "instances"

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is reached, whatever its configuration says by now, and what lets its owner in."""

    url: str
    key: str = field(repr=False)
    """A bearer token of this run alone, for commands on this machine."""
    certificate: str | None = None
    """The server's own, as PEM, where it serves https."""


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

    def announce(self, address: Address) -> None:
        """Let commands on this machine find this run. Where that fails, they go by the configuration."""
        if self._mine is None:
            return
        try:
            os.ftruncate(self._mine, 0)
            os.pwrite(self._mine, TypeAdapter(Address).dump_json(address), 0)
        except OSError as error:
            log.warning("commands go by what the configuration says of the server's address", reason=str(error))

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


def address_of_living(data_dir: Path) -> Address | None:
    """Where the server that uses this data folder is reached; None where none runs, or its file is not ours to read."""
    folder = data_dir / FOLDER
    try:
        with (folder / ".lock").open() as gate:  # none begins while we look
            fcntl.flock(gate, fcntl.LOCK_SH)
            for path in folder.glob("[!.]*"):
                if (address := _announced(path)) is not None:
                    return address
    except OSError:
        pass
    return None


def _announced(path: Path) -> Address | None:
    try:
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return TypeAdapter(Address).validate_json(file.read(), strict=True)
    except (OSError, ValidationError):
        pass  # another's, or nothing is announced yet
    return None


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
