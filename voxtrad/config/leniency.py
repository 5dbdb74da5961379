"""A second validation, once all errors were told: it keeps what it can, so that the rest is judged in the same run.

In it a model makes do without what it requires, as what stood there was broken, and a template without what does not
compile.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationInfo, create_model
from pydantic.fields import FieldInfo

LENIENT = "lenient"
"""In the context of a validation: what is wrong was told before."""

M = TypeVar("M", bound=BaseModel)


def is_lenient(info: ValidationInfo) -> bool:
    """Whether what is wrong was told before, and as much as can be is to be kept."""
    return isinstance(info.context, dict) and LENIENT in info.context


def lenient(context: object) -> dict[str, object]:
    """The same context, for a lenient validation."""
    return {**(context if isinstance(context, dict) else {}), LENIENT: True}


@cache
def forgiving(model: type[M]) -> type[M]:
    """The same model with a stand-in for everything that it requires; itself, where that is nothing."""
    required = {name: info for name, info in model.model_fields.items() if info.is_required()}
    if not required:
        return model
    fields: dict[str, Any] = {name: (info.annotation, _with_default(info)) for name, info in required.items()}
    return create_model(model.__name__, __base__=model, __module__=model.__module__, **fields)


def _with_default(info: FieldInfo) -> FieldInfo:
    optional = copy(info)
    optional.default_factory = partial(_stand_in, info.annotation)
    return optional


_EMPTY: Mapping[object, object] = {
    str: "",
    bool: False,
    int: 0,
    float: 0.0,
    Path: Path(),
    SecretStr: SecretStr(""),
    tuple: (),
}


def _stand_in(annotation: object) -> object:
    """Something of this type that says nothing."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated or (origin is Literal and arguments):
        return _stand_in(arguments[0]) if origin is Annotated else arguments[0]
    if origin in (Union, UnionType):
        return None if NoneType in arguments else _stand_in(arguments[0])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return forgiving(annotation).model_validate({}, context=lenient(None))
    return _EMPTY.get(origin or annotation, MappingProxyType({}))
