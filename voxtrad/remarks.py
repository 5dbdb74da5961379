"""What a diagnosis found, one thing at a time: `voxtrad doctor` and `voxtrad check --online` print it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing that was tried, and what came of it. Holds no secret."""

    path: str
    """What of the configuration it is about: `providers.openai`, `tools.lookup_order.webhook.url`."""
    text: str
    level: Literal["ok", "warning", "error"] = "ok"
    hint: str | None = None
    """What to do about it."""


Tell = Callable[[Remark], None]
"""Takes each remark as it is made, so that whoever waits sees something happen."""
