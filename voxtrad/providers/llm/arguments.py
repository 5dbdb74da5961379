"""The arguments of a tool call, as language models write them: text that should be a JSON object."""

from __future__ import annotations

import json
from typing import cast

from voxtrad.providers.base import JSON


def written_arguments(text: str) -> dict[str, JSON] | str:
    """The object that the model wrote; its text where it is none (cut off by a limit, nested past what Python reads,
    NaN, which is no JSON); nothing at all is no arguments."""
    if not text.strip():
        return {}
    try:
        parsed = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return text
    return cast("dict[str, JSON]", parsed) if isinstance(parsed, dict) else text


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
