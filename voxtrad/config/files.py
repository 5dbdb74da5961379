"""Reading files that somebody named: never more than a configuration may hold, and never what has no end.

A named pipe would let a server wait for ever, and a device give without end. What a shell puts under `/dev/fd` for
`<(…)` is a pipe that somebody writes to, and is read like a file.
"""

from __future__ import annotations

import errno
import os
import stat
from glob import has_magic
from pathlib import Path

MAX_BYTES = 4 * 1024 * 1024
"""The most that a configuration file may have."""

_OF_THE_SHELL = (Path("/dev"), Path("/proc"))


def folder_of(pattern: Path) -> Path:
    """The deepest folder of a pattern that holds no wildcard."""
    return next((parent for parent in pattern.parents if not has_magic(str(parent))), Path())


def is_closed(folder: Path) -> bool:
    """Whether there is such a folder, or may be, and who this process runs as may not list it or open its files."""
    try:
        return folder.is_dir() and not _may(folder, os.R_OK | os.X_OK)
    except OSError:
        return True  # one above it is closed


def is_readable(file: Path) -> bool:
    """Whether who this process runs as may read it."""
    return _may(file, os.R_OK)


def _may(path: Path, rights: int) -> bool:
    return os.access(path, rights, effective_ids=os.access in os.supports_effective_ids)


def read_bytes(path: Path) -> bytes:
    """At most one byte more than `MAX_BYTES`. Raises `OSError`."""
    kind = path.stat().st_mode
    pipe = stat.S_ISFIFO(kind) and any(path.is_relative_to(folder) for folder in _OF_THE_SHELL)
    if stat.S_ISDIR(kind):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(kind) and not pipe:
        raise OSError(errno.EINVAL, "it is a pipe, a socket or a device, and no file", str(path))
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)
