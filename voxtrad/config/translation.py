"""Errors of validation in the words of the configuration: where it stands, what is wrong, what was likely meant.

Nothing of pydantic's own wording or its web pages reaches a user, and no value does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from collections.abc import Mapping as MappingOf
from contextlib import suppress

from pydantic_core import ErrorDetails

from voxtrad.config.diagnostics import Diagnostic, Place, did_you_mean, show_loc
from voxtrad.config.raising import ELSEWHERE, UNKNOWN_KEY
from voxtrad.config.spelling import stretch
from voxtrad.config.tree import Found, Listing, Mapping, Scalar, Tree, locate
from voxtrad.config.types import DURATION_PATTERN, show_duration
from voxtrad.config.written import WrittenText

Context = MappingOf[str, object]

_BOOLEANS = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
_KNOWN_SHOWN = 12
MUST_BE_MAPPING = "must be a mapping"


def translate(errors: Iterable[ErrorDetails], tree: Tree) -> list[tuple[Diagnostic, bool]]:
    """Diagnostics for what a model refused, each with whether the value beside its place may be a secret."""
    errors = list(errors)
    misspelt = {
        (*error["loc"][:-1], did_you_mean(str(error["loc"][-1]), _strings(error.get("ctx", {}).get("expected"))))
        for error in errors
        if error["type"] == UNKNOWN_KEY
    }
    translated = []
    for error in errors:
        if error["type"] == ELSEWHERE or (error["type"] == "missing" and error["loc"] in misspelt):
            continue  # it is told where it stands
        context = error.get("ctx", {})
        secret = error["type"] == UNKNOWN_KEY and bool(context.get("secret"))
        translated.append((_diagnostic(error, context, tree), secret))
    return translated


def _diagnostic(error: ErrorDetails, context: Context, tree: Tree) -> Diagnostic:
    kind = error["type"]
    found = locate(tree, error["loc"])
    if kind == "missing":
        place = found.key or found.tree.place
        return Diagnostic(f"the key '{error['loc'][-1]}' is missing", place, show_loc(found.loc))
    if kind == UNKNOWN_KEY or kind == "extra_forbidden":
        return _unknown_key(found, context)
    expected = _expected(kind, context)
    written = _written(found)
    message = _message(kind, error["msg"], _with_units(context, written), expected)
    suggestion = did_you_mean(written, expected) if written is not None and expected else None
    if "suggestion" in context:
        suggestion = str(context["suggestion"])
    if written is not None and (kind in ("boolean", "bool_parsing", "bool_type") or "true" in expected):
        suggestion = _BOOLEANS.get(written.lower()) or did_you_mean(written, ("true", "false", *expected))
    hint = str(context["hint"]) if "hint" in context else None
    if "seconds" in context:
        hint = "a number without a unit is in seconds"
    if suggestion is not None and suggestion == written:
        suggestion, hint = None, "write it without quotes"
    if (len(expected) > 1 or kind.startswith("unknown_")) and len(expected) <= _KNOWN_SHOWN and kind != "literal_error":
        hint = f"there are: {', '.join(expected)}"
    if isinstance(found.tree, Scalar) and found.tree.value is None and message in _OF_NOTHING:
        message = _OF_NOTHING[message]
    if message == MUST_BE_MAPPING and hint is None and isinstance(found.tree, Scalar):
        message, hint = _no_mapping(found, tree)
    if message == MUST_BE_MAPPING and hint is None and 0 < len(keys := _strings(context.get("keys"))) <= _KNOWN_SHOWN:
        hint = f"its keys are: {', '.join(keys)}"
    if message == "must be a list" and isinstance(found.tree, Mapping):
        hint = "each item of it begins with '- '"
    if message == MUST_BE_MAPPING and hint is None and isinstance(found.tree, Listing):
        hint = "it is made of keys, each with a ':' behind it, and not of items"
    return Diagnostic(message, _place(found, context), show_loc(found.loc), suggestion=suggestion, hint=hint)


_OF_NOTHING = {
    "must be a list": "must not be empty",
    "must be a whole number": "must be a whole number, and is empty",
    "must be a number": "must be a number, and is empty",
    "must be true or false": "must be true or false, and is empty",
    "must be text": "must be text, and is empty",
}
"""What to say where the value was left out behind its key."""


def _no_mapping(found: Found, tree: Tree) -> tuple[str, str | None]:
    """What to say where a text or nothing stands instead of a mapping: mostly the indentation is not as meant."""
    around = locate(tree, found.loc[:-1]).tree
    names = list(around.entries) if isinstance(around, Mapping) else []
    at = names.index(str(found.loc[-1])) if found.loc and found.loc[-1] in names else 0
    if isinstance(found.tree, Scalar) and found.tree.value is None:
        in_braces = found.key is not None and isinstance(around, Mapping) and around.flow
        hint = "what belongs to it stands in braces: {…}" if in_braces else "what belongs to it is indented below it"
        return "must be a mapping, and is empty", hint
    for name in reversed(names[:at]):
        before = around.get(name) if isinstance(around, Mapping) else None
        if not isinstance(before, Scalar):
            break
        if before.value is None:
            return MUST_BE_MAPPING, f"indent it further, if it is to stand in '{name}'"
    return MUST_BE_MAPPING, None


def _with_units(context: Context, written: str | None) -> Context:
    """Limits as durations, where the value was written as one."""
    if "seconds" not in context and (written is None or not re.fullmatch(DURATION_PATTERN, written)):
        return context
    return {key: show_duration(v) if isinstance(v, int | float) else v for key, v in context.items()}


def _unknown_key(found: Found, context: Context) -> Diagnostic:
    expected = _strings(context.get("expected"))
    key = str(found.loc[-1]) if found.loc else ""
    suggestion = did_you_mean(key, expected)
    free = [key for key in expected if key not in _strings(context.get("given"))]
    hint = f"there are: {', '.join(free)}" if suggestion is None and 0 < len(free) <= _KNOWN_SHOWN else None
    return Diagnostic(
        "unknown key", found.key or found.tree.place, show_loc(found.loc), suggestion=suggestion, hint=hint
    )


def _place(found: Found, context: Context) -> Place:
    """The place of a value, or of the stretch of its text that the context names."""
    start, width, line, part = (context.get(key) for key in ("start", "width", "line", "part"))
    if isinstance(found.tree, Scalar):
        if isinstance(line, int) and isinstance(part, str):
            start, width = stretch(str(found.tree.value), line, part)
        if isinstance(start, int) and isinstance(width, int):
            return found.tree.place_of(start, width)
    return place_of(found)


def place_of(found: Found) -> Place:
    """The place of a value; of a mapping or list, its key."""
    return found.tree.place if found.key is None or isinstance(found.tree, Scalar) else found.key


def _written(found: Found) -> str | None:
    value = found.tree.value if isinstance(found.tree, Scalar) else None
    return str(value) if isinstance(value, WrittenText) and value.written is None else None


def _expected(kind: str, context: Context) -> list[str]:
    expected = context.get("expected")
    if kind == "literal_error" and isinstance(expected, str):
        return [word.lower() if word in ("True", "False") else word.strip("'") for word in _LITERAL.findall(expected)]
    return _strings(expected)


_LITERAL = re.compile(r"'[^']*'|True|False|\d+")


def _strings(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list | tuple) else []


def _message(kind: str, message: str, context: Context, expected: list[str]) -> str:
    if kind == "literal_error":
        return f"must be {expected[0]}" if len(expected) == 1 else f"must be one of {', '.join(expected)}"
    words = _WORDS.get(kind)
    if words is not None:
        with suppress(KeyError):  # a provider's own error may have a name of pydantic's and none of its context
            return words(context)
    return re.sub(r"^(Value error|Assertion failed), ", "", message)


def _said(words: str) -> Callable[[Context], str]:
    return lambda context: words.format_map({key: _number(value) for key, value in context.items()})


def _number(value: object) -> object:
    return int(value) if isinstance(value, float) and value == int(value) else value


def _count(words: str, key: str) -> Callable[[Context], str]:
    def say(context: Context) -> str:
        count = context.get(key)
        return f"{words} {count} {'item' if count == 1 else 'items'}"

    return say


_WORDS: MappingOf[str, Callable[[Context], str]] = {
    **dict.fromkeys(("model_type", "dict_type", "mapping_type", "model_attributes_type"), _said(MUST_BE_MAPPING)),
    **dict.fromkeys(("tuple_type", "list_type", "set_type", "iterable_type"), _said("must be a list")),
    **dict.fromkeys(("string_type", "string_sub_type"), _said("must be text")),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float", "int_parsing_size"), _said("must be a whole number")),
    **dict.fromkeys(("float_type", "float_parsing", "finite_number"), _said("must be a number")),
    **dict.fromkeys(("bool_type", "bool_parsing"), _said("must be true or false")),
    "greater_than": _said("must be greater than {gt}"),
    "greater_than_equal": _said("must be at least {ge}"),
    "less_than": _said("must be less than {lt}"),
    "less_than_equal": _said("must be at most {le}"),
    "too_short": _count("must have at least", "min_length"),
    "too_long": _count("must have at most", "max_length"),
    "string_too_short": _said("must have at least {min_length} characters"),
    "string_too_long": _said("must have at most {max_length} characters"),
    "string_pattern_mismatch": _said("does not have the expected form"),
}
