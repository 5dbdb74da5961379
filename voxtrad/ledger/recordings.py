"""Recordings of calls on the disk: where they are, and when they go. Who records a call and how is not known here."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Iterable
from pathlib import Path

import structlog

log = structlog.stdlib.get_logger(__name__)

FOLDER = "recordings"
"""In the data directory."""
OWNER = "owner"
"""The name of the file with the owner's name."""
_OWNER = re.compile(r"[0-9a-f]{16}")
_CALL_ID = re.compile(r"c_[0-9a-z]{1,64}")


def owner_of(data_dir: Path) -> str:
    """What recordings at the PBX are called by that are to end up here, whichever run of the server makes them.

    Made at the first start. Empty where the directory cannot be written.
    """
    path = data_dir / OWNER
    try:
        if path.is_file() and _OWNER.fullmatch(known := path.read_text(encoding="ascii", errors="replace").strip()):
            return known
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(made := secrets.token_hex(8), encoding="ascii")
    except OSError as error:
        log.warning("recordings that are left at the PBX will not be found", file=str(path), reason=error.strerror)
        return ""
    return made


def recording_of(data_dir: Path, call_id: str) -> Path | None:
    """The recording of a call, if there is one."""
    path = data_dir / FOLDER / f"{call_id}.wav"
    return path if _CALL_ID.fullmatch(call_id) and path.is_file() else None


def remove(data_dir: Path, call_ids: Iterable[str]) -> bool:
    """Delete the recordings of these calls. False where none had one."""
    found = [path for call_id in call_ids if (path := recording_of(data_dir, call_id)) is not None]
    for path in found:
        _delete(path)
    return bool(found)


def remove_older(data_dir: Path, before: float) -> None:
    """Delete what was recorded before this time (seconds since 1970), whether or not its call has a record still."""
    for path in (data_dir / FOLDER).glob("*.wav*"):
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_mtime < before:
                _delete(path)


def _delete(path: Path) -> None:
    """Housekeeping comes by again, should it fail."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("a recording could not be deleted", file=str(path), reason=error.strerror)
