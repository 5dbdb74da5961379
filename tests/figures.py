"""Looking for a number that must not be told, in text that is full of ids and times with any figures in them."""

from __future__ import annotations

import re


def tells(number: str, text: str) -> bool:
    """Whether a number stands in a text as itself, not as a part of an id, a time or a longer number."""
    return re.search(rf"(?<![\w.]){re.escape(number)}(?!\w)", text) is not None
