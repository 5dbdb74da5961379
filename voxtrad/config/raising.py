"""Errors of validation that say where they belong and what would have been known there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from voxtrad.config.diagnostics import Loc

ELSEWHERE = "elsewhere"
"""The type of an error that only says: what this refers to is broken, and that was reported where it stands."""

CONTRADICTION = "contradiction"
"""The type of an error of keys that are each valid."""

UNKNOWN_KEY = "unknown_key"
"""The type of an error at a key that a model does not have; its context says which keys there are."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Something wrong with keys of a model taken together, each of which is valid."""

    why: str
    keys: tuple[str, ...]
    """What it is about; where one of them is broken, there is no telling. It stands at the first that was written."""
    whole: bool = False
    """It stands at the model instead."""
    below: Loc = ()
    """Where in the value of that key."""
    line: int = 0
    """The line of the text there, from 1, and `part`, what to point at; 0 is all of it."""
    part: str = ""

    def place(self, given: Mapping[str, object]) -> Loc:
        """The path from the model to where it stands."""
        key = next((key for key in self.keys if key in given), None)
        return () if key is None or self.whole else (key, *self.below)

    def error(self) -> PydanticCustomError:
        """It, to be raised."""
        context = {"line": self.line, "part": self.part} if self.line else {}
        return PydanticCustomError(CONTRADICTION, "{why}", {"why": self.why, **context})


def as_details(error: ValidationError, *below: str | int) -> list[InitErrorDetails]:
    """The errors of a nested validation, to be raised again in an outer one. Keeps no input."""
    return [_as_detail(detail, below) for detail in error.errors(include_url=False, include_input=False)]


def details_of(error: ValidationError | PydanticCustomError, *below: str | int) -> list[InitErrorDetails]:
    """The errors of a validation, or the one that a validator raised, to be raised again with others."""
    return [at(below, error)] if isinstance(error, PydanticCustomError) else as_details(error, *below)


def _as_detail(detail: ErrorDetails, below: Loc) -> InitErrorDetails:
    given = detail.get("ctx", {})
    context = {key: value for key, value in given.items() if isinstance(value, str | int | float | list | bool)}
    custom = PydanticCustomError(detail["type"], detail["msg"], context)
    return InitErrorDetails(type=custom, loc=(*below, *detail["loc"]), input=None)


def at(loc: Loc, error: PydanticCustomError) -> InitErrorDetails:
    """An error of something deeper than the value being validated."""
    return InitErrorDetails(type=error, loc=loc, input=None)


def together(errors: list[InitErrorDetails]) -> ValidationError:
    """The errors as one exception; raised in a validator, they stand below the value being validated."""
    return ValidationError.from_exception_data("configuration", errors)
