"""The root of every exception that voxtrad raises on purpose.

An expected failure is a subclass of `VoxtradError` that lives in the room it belongs to; what is not one is a bug.
"""

import re


class VoxtradError(Exception):
    """An expected failure, with a message an administrator can read and, where one helps, a hint what to do.

    Neither holds a secret: both are logged and shown.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def in_words(error: OSError) -> str:
    """Why the system refused something, without numbers, paths and OpenSSL's source files: `permission denied`."""
    return re.sub(r"^\[.*?\] ?| ?\(_ssl\.c.*?\)$", "", error.strerror or type(error).__name__).lower()
