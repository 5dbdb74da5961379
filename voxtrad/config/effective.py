"""A part of the configuration as it is in effect: every value with where it was written, or that it is a default.

Secrets are hidden, and what came by `${…}` is shown as the reference, not as its value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, SecretStr

from voxtrad.config.agents import Action
from voxtrad.config.diagnostics import Loc, shown_path
from voxtrad.config.fields import kind_of
from voxtrad.config.hours import OpeningHours
from voxtrad.config.loader import Origin
from voxtrad.config.masking import MASK, in_query, masked, names_secret
from voxtrad.config.providers import ProviderChoice
from voxtrad.config.types import show_duration

FindOrigin = Callable[[Loc, object], Origin | None]
"""`Loaded.origin`."""


@dataclass(frozen=True, slots=True)
class Line:
    """A key with its value, or, with `value` None, one with more lines below it."""

    loc: Loc
    depth: int
    value: str | None
    origin: Origin | None

    @property
    def key(self) -> str:
        last = self.loc[-1]
        return "-" if isinstance(last, int) else f"{last}:"


def in_effect(model: BaseModel, loc: Loc, origin: FindOrigin) -> Iterator[Line]:
    """All lines of a model that stands at `loc`, its own first."""
    yield Line(loc, 0, None, origin(loc, None))
    yield from _fields(model, loc, 1, origin)


def _fields(model: BaseModel, loc: Loc, depth: int, origin: FindOrigin) -> Iterator[Line]:
    for name, info in type(model).model_fields.items():
        kind = kind_of(info)
        if kind != "name":
            yield from _value(getattr(model, name), (*loc, info.alias or name), depth, origin, kind == "duration")


def _value(value: object, loc: Loc, depth: int, origin: FindOrigin, duration: bool) -> Iterator[Line]:
    if isinstance(value, ProviderChoice):
        yield Line(loc, depth, value.provider, origin(loc, value.provider))
        yield from _fields(value.options, loc, depth + 1, origin)
    elif isinstance(value, Action):
        yield Line(loc, depth, _action(value), origin(loc, None))
    elif isinstance(value, BaseModel):
        yield Line(loc, depth, None, origin(loc, None))
        yield from _fields(value, loc, depth + 1, origin)
    elif isinstance(value, Mapping) and value:
        yield Line(loc, depth, None, origin(loc, None))
        for key, item in value.items():
            yield from _value(item, (*loc, str(key)), depth + 1, origin, duration)
    elif isinstance(value, list | tuple) and value:
        yield Line(loc, depth, None, origin(loc, None))
        for index, item in enumerate(value):
            yield from _value(item, (*loc, index), depth + 1, origin, duration)
    else:
        found = origin(loc, value)
        yield Line(loc, depth, _shown(value, loc, found, duration), found)


def _shown(value: object, loc: Loc, origin: Origin | None, duration: bool) -> str:
    if isinstance(value, SecretStr) or (isinstance(value, str) and any(names_secret(str(part)) for part in loc)):
        return MASK
    if origin is not None and origin.written is not None:
        return _text(origin.written)
    match value:
        case float() if duration:
            return show_duration(value)
        case OpeningHours():
            return _text(value.text)
        case Path():
            return _text(shown_path(value))
        case str():
            return _text(value)
        case tuple():
            return "[]"
        case _:
            return json.dumps(value, default=str)


def _action(action: Action) -> str:
    if action.transfer is not None:
        return f"{{transfer: {_text(action.transfer)}}}"
    if action.continue_ is None:
        return "hangup"
    place = action.continue_.model_dump(exclude_none=True)
    return f"{{continue: {json.dumps(place)}}}" if place else "continue"


def _text(value: str) -> str:
    shown = re.sub(r"://[^/\s@]+@", f"://{MASK}@", value)
    shown = masked(shown, in_query(shown), 0, 0)[0]
    return shown if re.fullmatch(r"[A-Za-z][\w./+-]*", shown) else json.dumps(shown, ensure_ascii=False)
