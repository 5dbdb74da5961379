"""The scalar types of the YAML language: text, numbers, durations, paths, secrets.

Models of this room and of the providers are written with them, so that one value is read the same everywhere: a number
stands where text is expected as it was written, a duration is `500ms` or seconds, and only `true` and `false` are
booleans.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    JsonValue,
    ModelWrapValidatorHandler,
    PlainSerializer,
    SecretStr,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError, core_schema

from voxtrad.config.diagnostics import did_you_mean
from voxtrad.config.keys import in_seconds, of_a_switch, told, unknown_keys, written_keys, yaml_keys
from voxtrad.config.leniency import forgiving, is_lenient, lenient
from voxtrad.config.raising import Contradiction, as_details, together
from voxtrad.config.written import JSON, WrittenFloat, WrittenInt, WrittenText, plain, read_plain

# --- models -----------------------------------------------------------------------------------------------------------


class ConfigModel(BaseModel):
    """The base of everything in the configuration: frozen, unknown keys are errors, numbers pass as text."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        coerce_numbers_to_str=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    without: ClassVar[str | None] = None
    """What to write where it is not wanted, for who writes `false` or `off`."""

    def contradictions(self) -> Iterable[Contradiction]:
        """What is wrong with valid keys taken together."""
        return ()

    @model_validator(mode="wrap")
    @classmethod
    def _all_at_once(cls, value: object, validate: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        """Unknown keys and contradictions are reported beside what is wrong with single keys."""
        if not isinstance(value, Mapping):
            if isinstance(value, cls):
                return validate(value)
            hint = of_a_switch(cls, value, cls.without)
            context = {"keys": written_keys(cls), **({} if hint is None else {"hint": hint})}
            raise PydanticCustomError("model_type", "must be a mapping", context)
        if is_lenient(info) and (model := forgiving(cls)) is not cls:
            forgiven: Self = model.model_validate(value, context=info.context)
            return forgiven
        known = yaml_keys(cls)
        strangers = [key for key in value if key not in known]
        given = {key: item for key, item in value.items() if key in known} if strangers else value
        errors = list(unknown_keys(cls, strangers, value)) if strangers else []
        doubtful: set[object] = {did_you_mean(str(key), known) for key in strangers}
        try:
            made = validate(given)
        except ValidationError as error:
            if is_lenient(info):
                raise together([*errors, *as_details(error)]) from None
            errors += [in_seconds(cls, detail, given) for detail in as_details(error)]
            broken = {detail["loc"][0] for detail in errors if detail["loc"]}
            rest = cls._rest({key: item for key, item in given.items() if key not in broken}, info)
            raise together([*errors, *told(rest.contradictions() if rest else (), given, doubtful | broken)]) from None
        if not is_lenient(info):
            errors += told(made.contradictions(), given, doubtful)
        if errors:
            raise together(errors)
        return made

    @classmethod
    def _rest(cls, kept: Mapping[str, object], info: ValidationInfo) -> Self | None:
        """What is valid by itself, with stand-ins for the rest."""
        try:
            rest: Self = forgiving(cls).model_validate(kept, context=lenient(info.context))
        except ValidationError:
            return None
        return rest


LEAVE_OUT = "leave it out: without it there is none"
"""What to do where a part is not wanted that need not be there."""


def exactly_one(**unset: JsonValue) -> dict[str, JsonValue]:
    """For editors: exactly one of these keys is set, to something else than what is as good as nothing."""
    return {"oneOf": [is_set(key, none) for key, none in unset.items()]}


def is_set(key: str, unset: JsonValue = None) -> dict[str, JsonValue]:
    """For editors: the key is there, and not with the value that is as good as nothing."""
    return {"required": [key], "properties": {key: {"not": {"const": unset}}}}


@dataclass(frozen=True, slots=True)
class Refers:
    """Marks a text that names something of the agent around it; `check` says when there is no such thing."""

    to: Literal["tool"]


# --- text and numbers -------------------------------------------------------------------------------------------------


def read_text(value: object) -> object:
    """What stands where text is expected; a number as it was written."""
    if isinstance(value, WrittenInt | WrittenFloat):
        return value.written
    if isinstance(value, bool):
        raise PydanticCustomError("text", "must be text; put it in quotes if the word is meant")
    if isinstance(value, str):
        return str.__str__(value)
    return value


def _reread(value: object) -> object:
    """What came by `${…}` is read like an unquoted scalar, where a number or a boolean is expected."""
    if isinstance(value, WrittenText) and value.written is not None:
        return read_plain(str(value))
    return value


def _integer(value: object) -> object:
    value = _reread(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise PydanticCustomError("integer", "must be a whole number")
    return int(value)


def _number(value: object) -> object:
    value = _reread(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PydanticCustomError("number", "must be a number")
    return float(value)


def read_choice(value: object) -> object:
    """What stands where a word or a boolean is expected: 1 is neither, although to Python it equals `true`."""
    value = _reread(value)
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _boolean(value: object) -> object:
    value = _reread(value)
    if not isinstance(value, bool):
        raise PydanticCustomError("boolean", "must be true or false")
    return value


def _not_blank(value: str) -> str:
    if not value.strip():
        raise PydanticCustomError("blank", "must not be empty")
    return value


Text = Annotated[str, BeforeValidator(read_text)]
"""Text. An unquoted number is taken as it was written."""


def editor_form(pattern: str, words: str) -> object:
    """For editors: the form of a text that is judged otherwise here, and what to say where it is another."""
    return Field(json_schema_extra={"pattern": pattern, "patternErrorMessage": words})


NOT_BLANK = editor_form(r"\S", "must not be empty")

Key = Annotated[str, BeforeValidator(read_text), AfterValidator(_not_blank)]
"""What names an entry of a mapping."""

Name = Annotated[str, BeforeValidator(read_text), AfterValidator(_not_blank), NOT_BLANK]
"""Text that is not empty."""

ToolName = Annotated[str, BeforeValidator(read_text), AfterValidator(_not_blank), NOT_BLANK, Refers("tool")]
"""The name of a tool that the agent has."""

Integer = Annotated[int, BeforeValidator(_integer)]
Number = Annotated[float, BeforeValidator(_number)]
Boolean = Annotated[bool, BeforeValidator(_boolean)]

Secret = Annotated[SecretStr, BeforeValidator(read_text)]
"""Text that is never shown."""


def _webhook_secret(value: SecretStr) -> SecretStr:
    """As Standard Webhooks has it: `whsec_` and 24 to 64 bytes in base64."""
    text = value.get_secret_value()
    if text.startswith("${"):
        return value  # a reference that failed, which was reported where it stands
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not text.startswith("whsec_") or not 24 <= len(key) <= 64:
        raise PydanticCustomError(
            "webhook_secret",
            "must be 'whsec_' and 24 to 64 bytes in base64; make one with: echo whsec_$(openssl rand -base64 32)",
        )
    return value


WebhookSecret = Annotated[
    SecretStr,
    BeforeValidator(read_text),
    AfterValidator(_webhook_secret),
    editor_form(r"^whsec_[A-Za-z0-9+/]{32,}={0,2}$", "must be 'whsec_' and 24 to 64 bytes in base64"),
]
"""What signs a webhook."""


@dataclass(frozen=True, slots=True)
class OneOrMore:
    """Lets a single value stand for a list of one."""

    without: str | None = None
    """What to write where none is wanted, for who writes `false`."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(self._list_of_one, handler(source))

    @staticmethod
    def __get_pydantic_json_schema__(
        schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> Mapping[str, object]:
        listed = handler.resolve_ref_schema(handler(schema))
        return {"anyOf": [listed.get("items", {}), listed]}

    def _list_of_one(self, value: object) -> object:
        if value is False and self.without is not None:
            raise PydanticCustomError("list_type", "must be a list", {"hint": self.without})
        return value if isinstance(value, list | tuple) or value is None else [value]


ONE_OR_MORE = OneOrMore()
"""Marks a list for which a single value may stand."""


@dataclass(frozen=True, slots=True)
class Matching:
    """Text of a form that a regular expression gives and `words` say: "must be …". Editors know the form too."""

    pattern: str
    words: str

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> Mapping[str, object]:
        # What `editor_form` says beside it is the closer form.
        return {"pattern": self.pattern, "patternErrorMessage": f"must be {self.words}", **handler(schema)}

    def _check(self, value: str) -> str:
        if re.search(self.pattern, value, re.ASCII) is None:
            raise PydanticCustomError("form", "must be {words}", {"words": self.words})
        return value


T = TypeVar("T")

ReadOnly = Annotated[
    Mapping[str, T],
    AfterValidator(lambda value: MappingProxyType(dict(value))),
    PlainSerializer(lambda value: dict(value), return_type=dict),
]
"""A mapping that nobody can change."""


JSONObject = Annotated[Mapping[str, JSON], BeforeValidator(plain)]
"""Any mapping of JSON values, as plain dicts and lists so that it can be serialized."""


# --- durations --------------------------------------------------------------------------------------------------------

DURATION_PATTERN = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d|w))+$|^[0-9]+(\.[0-9]+)?$"
_NO_DURATION = "must be a duration like 500ms, 10s, 30m or 3d, or a number of seconds"
_IN_WORDS = re.compile(
    r"\s*([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d|w)(?:ec|econd|in|inute|r|our|ay|eek)?s?\s*", re.IGNORECASE | re.ASCII
)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def parse_duration(text: str) -> float:
    """Seconds in `500ms`, `10s`, `1h30m`, `3d`, or a bare number of seconds. Raises `ValueError`."""
    if len(text) > 40 or not re.fullmatch(DURATION_PATTERN, text, re.ASCII):
        raise ValueError("not a duration")
    parts = re.findall(r"([0-9.]+)(ms|s|m|h|d|w)", text)
    return sum(float(n) * _UNITS[unit] for n, unit in parts) if parts else float(text)


def show_duration(seconds: float) -> str:
    """`30m`, `1.5s`, `500ms`: a duration as one would write it."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{int(seconds // size)}{unit}"
    if 0 < seconds < 1:
        return f"{seconds * 1000:g}ms"
    return f"{int(seconds)}s" if seconds == int(seconds) else f"{seconds:.6g}s"


def _duration(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return float(value)
    if isinstance(value, str):
        try:
            return parse_duration(str.__str__(value).strip())
        except ValueError:
            pass
    meant = _IN_WORDS.fullmatch(value) if isinstance(value, str) else None
    context = {"suggestion": f"{meant[1]}{meant[2].lower()}"} if meant else {}
    raise PydanticCustomError("duration", _NO_DURATION, context)


Duration = Annotated[
    float,
    BeforeValidator(_duration),
    Field(
        json_schema_extra={
            "type": ["number", "string"],
            "pattern": DURATION_PATTERN,
            "patternErrorMessage": _NO_DURATION,
            "x-voxtrad": "duration",
        }
    ),
]
"""A length of time in seconds."""


# --- paths ------------------------------------------------------------------------------------------------------------


def _path(value: object) -> object:
    if not isinstance(value, str) or not value or "\0" in value:
        raise PydanticCustomError("path", "must be a path")
    folder = value.folder if isinstance(value, WrittenText) else None
    path = Path(str.__str__(value)).expanduser()
    return path if folder is None else folder / path


FilePath = Annotated[
    Path,
    BeforeValidator(_path),
    Field(json_schema_extra={"type": "string", "minLength": 1, "x-voxtrad": "path"}),
]
"""A path; a relative one counts from the folder of the file that names it."""
