"""The error behind a group of them: what a task group raises says where it happened, not what."""

from __future__ import annotations


def single(error: BaseException) -> Exception:
    """The first single error in (nested) groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if not isinstance(error, Exception):
        raise error
    return error
