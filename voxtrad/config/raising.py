"""Errors of validation that say where they belong and what would have been known there."""

from __future__ import annotations

from pydantic import ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

ELSEWHERE = "elsewhere"
"""The type of an error that only says: what this refers to is broken, and that was reported where it stands."""

UNKNOWN_KEY = "unknown_key"
"""The type of an error at a key that a model does not have; its context says which keys there are."""


def as_details(error: ValidationError, *below: str | int) -> list[InitErrorDetails]:
    """The errors of a nested validation, to be raised again in an outer one. Keeps no input."""
    return [_as_detail(detail, below) for detail in error.errors(include_url=False, include_input=False)]


def _as_detail(detail: ErrorDetails, below: tuple[str | int, ...]) -> InitErrorDetails:
    given = detail.get("ctx", {})
    context = {key: value for key, value in given.items() if isinstance(value, str | int | float | list | bool)}
    custom = PydanticCustomError(detail["type"], detail["msg"], context)
    return InitErrorDetails(type=custom, loc=(*below, *detail["loc"]), input=None)


def at(loc: tuple[str | int, ...], error: PydanticCustomError) -> InitErrorDetails:
    """An error of something deeper than the value being validated."""
    return InitErrorDetails(type=error, loc=loc, input=None)


def together(errors: list[InitErrorDetails]) -> ValidationError:
    """The errors as one exception; raised in a validator, they stand below the value being validated."""
    return ValidationError.from_exception_data("configuration", errors)
