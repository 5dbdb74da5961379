"""What is said of keys that a model refuses: unknown ones, contradictions, units, a switch that is none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from pydantic import BaseModel
from pydantic_core import InitErrorDetails, PydanticCustomError

from voxtrad.config.raising import UNKNOWN_KEY, Contradiction, at


def yaml_keys(model: type[BaseModel]) -> tuple[str, ...]:
    """The keys that a model has in YAML."""
    return tuple(info.alias or name for name, info in model.model_fields.items())


def holds_secrets(model: type[BaseModel]) -> bool:
    """Whether a field of the model itself is a secret."""
    return any("SecretStr" in str(info.annotation) for info in model.model_fields.values())


def in_seconds(model: type[BaseModel], detail: InitErrorDetails, given: Mapping[str, object]) -> InitErrorDetails:
    """An error of a length of time that was written without a unit, so that it can be told with one."""
    loc, kind = detail["loc"], detail["type"]
    if len(loc) != 1 or not isinstance(given.get(str(loc[0])), int | float) or isinstance(kind, str):
        return detail
    if not kind.type.startswith(("greater", "less")):
        return detail
    field = next(info for name, info in model.model_fields.items() if (info.alias or name) == loc[0])
    if "'x-voxtrad': 'duration'" not in f"{field.json_schema_extra}{field.annotation}":
        return detail
    context = {**(kind.context or {}), "seconds": True}
    return at(loc, PydanticCustomError(kind.type, kind.message_template, context))


def written_keys(model: type[BaseModel]) -> list[str]:
    """Its keys, without the name that stands above them."""
    fields = model.model_fields.items()
    return [info.alias or name for name, info in fields if info.json_schema_extra != {"x-voxtrad": "name"}]


def of_a_switch(model: type[BaseModel], value: object, without: str | None) -> str | None:
    """What to write instead of a switch that is no mapping; `without` is for who switches off."""
    word = value.lower() if isinstance(value, str) else value
    switch = "enabled" in model.model_fields
    if word in (False, "false", "off", "no", "none", "never", "disabled"):
        return without or ("to switch it off write {enabled: false}" if switch else None)
    if word in (True, "true", "on", "yes", "enabled"):
        return "leave it out: it is on" if switch else None
    return None


def unknown_keys(
    model: type[BaseModel], strangers: list[object], given: Mapping[object, object]
) -> Iterator[InitErrorDetails]:
    context = {"expected": list(yaml_keys(model)), "given": [*map(str, given)], "secret": holds_secrets(model)}
    for key in strangers:
        yield at((str(key),), PydanticCustomError(UNKNOWN_KEY, "unknown key", context))


def told(found: Iterable[Contradiction], given: Mapping[str, object], doubtful: set[object]) -> list[InitErrorDetails]:
    """Those that are not of keys which are broken, or misspelt."""
    return [at(one.place(given), one.error()) for one in found if doubtful.isdisjoint(one.keys)]
