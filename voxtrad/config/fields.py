"""Walks through validated models with the marks of their fields: where a template stands, where a name refers."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from voxtrad.config.diagnostics import Loc
from voxtrad.config.providers import ProviderChoice
from voxtrad.config.written import JSON

Marks = tuple[object, ...]


def kind_of(info: FieldInfo) -> object:
    """What a field is marked as for the schema, with `x-voxtrad`: `duration`, `name`, …; one that may be null, too."""
    inner = (mark for mark in _inner_of_union(info.annotation)[1] if isinstance(mark, FieldInfo))
    for extra in (field.json_schema_extra for field in (info, *inner)):
        if isinstance(extra, dict) and "x-voxtrad" in extra:
            return extra["x-voxtrad"]
    return None


def marked(model: BaseModel, loc: Loc = ()) -> Iterator[tuple[Loc, object, Marks]]:
    """Every value below a model that is no model itself, with its path in YAML and the marks of its annotation."""
    for name, info in type(model).model_fields.items():
        below = (*loc, info.alias or name)
        yield from _values(getattr(model, name), below, info.annotation, tuple(info.metadata))


def _values(value: object, loc: Loc, annotation: object, marks: Marks) -> Iterator[tuple[Loc, object, Marks]]:
    if isinstance(value, ProviderChoice):
        # What stands beside `provider:` in YAML are its options.
        yield from marked(value.options, loc)
    elif isinstance(value, BaseModel):
        yield from marked(value, loc)
    elif isinstance(value, tuple):
        for index, item in enumerate(value):
            yield from _values(item, (*loc, index), *_inner(annotation, 0))
    elif isinstance(value, Mapping) and not _is_json(annotation):
        for key, item in value.items():
            yield from _values(item, (*loc, str(key)), *_inner(annotation, 1))
    elif value is not None:
        yield loc, value, marks or _inner_of_union(annotation)[1]


def _is_json(annotation: object) -> bool:
    """Whether a mapping is one value: its keys are no part of the language."""
    annotation, _ = _inner_of_union(annotation)
    arguments = get_args(annotation)
    return len(arguments) != 2 or arguments[1] in (JSON, object)


def _inner(annotation: object, position: int) -> tuple[object, Marks]:
    """The annotation of an item of a container, and its marks."""
    container, _ = _inner_of_union(annotation)
    arguments = get_args(container)
    return _bare(arguments[position]) if len(arguments) > position else (object, ())


def _inner_of_union(annotation: object) -> tuple[object, Marks]:
    """What an optional annotation is when it is not `None`."""
    annotation, marks = _bare(annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        for argument in get_args(annotation):
            if argument is not type(None):
                return _bare(argument)
    return annotation, marks


def _bare(annotation: object) -> tuple[object, Marks]:
    if get_origin(annotation) is Annotated:
        inner, *marks = get_args(annotation)
        return inner, tuple(marks)
    return annotation, ()


def texts(value: object, loc: Loc) -> Iterator[tuple[Loc, str]]:
    """All texts in a value, however deep, with their paths."""
    match value:
        case str():
            yield loc, value
        case SecretStr():
            yield loc, value.get_secret_value()
        case Mapping():
            for key, item in value.items():
                yield from texts(item, (*loc, str(key)))
        case list() | tuple():
            for index, item in enumerate(value):
                yield from texts(item, (*loc, index))
        case _:
            pass
