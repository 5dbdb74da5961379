"""Which provider an agent uses: from the name it gives to the validated connection and options.

The providers' own option models are handed in by cli and daemon (`ProviderTypes`), so that this room knows no vendor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Annotated, Literal, NoReturn, Protocol

from pydantic import BaseModel, BeforeValidator, Field, SerializeAsAny, ValidationError, ValidationInfo
from pydantic_core import InitErrorDetails, PydanticCustomError

from voxtrad.config.types import ONE_OR_MORE, ConfigModel

Kind = Literal["stt", "llm", "tts", "vad"]
KINDS: tuple[Kind, ...] = ("stt", "llm", "tts", "vad")


class ProviderModels(Protocol):
    """The part of a provider's registration that the configuration needs."""

    @property
    def connection(self) -> type[BaseModel]: ...

    @property
    def options(self) -> type[BaseModel]: ...


ProviderTypes = Mapping[Kind, Mapping[str, ProviderModels]]
"""kind -> type name -> its models."""


class ProviderEntry(ConfigModel):
    """One entry of `providers:`, with its connection for each kind that the type serves."""

    name: str
    type: str
    connections: Mapping[Kind, SerializeAsAny[BaseModel]]


class ProviderChoice(ConfigModel):
    """A provider that an agent uses, with the options it gives it."""

    provider: str
    """The provider's name in the configuration."""
    type: str
    """What it is: a name of the registry, such as `deepgram`."""
    connection: SerializeAsAny[BaseModel]
    """Key and endpoint, of the class that the type's `connection` names."""
    options: SerializeAsAny[BaseModel]
    """What stands beside `provider:`, of the class that the type's `options` names."""


ELSEWHERE = "elsewhere"
"""The type of an error that only says: what this refers to is broken, and that was reported where it stands."""


@dataclass(frozen=True)
class Directory:
    """Looks providers up while a configuration is being validated."""

    types: ProviderTypes
    entries: Mapping[str, object]
    """`providers:` as written."""
    _known: dict[str, ProviderEntry | None] = field(default_factory=dict)

    def entry(self, name: str, raw: object) -> ProviderEntry:
        """The validated entry. Raises `ValidationError` or `PydanticCustomError`."""
        try:
            entry = self._validate(name, raw)
        except (ValidationError, PydanticCustomError):
            self._known[name] = None
            raise
        self._known[name] = entry
        return entry

    def all(self, raw: Mapping[str, object]) -> dict[str, ProviderEntry]:
        """All entries; the errors of each stand below its name. Raises `ValidationError`."""
        entries: dict[str, ProviderEntry] = {}
        errors: list[InitErrorDetails] = []
        for name, value in raw.items():
            try:
                entries[name] = self.entry(name, value)
            except PydanticCustomError as error:
                errors.append(InitErrorDetails(type=error, loc=(name,), input=None))
            except ValidationError as error:
                for detail in error.errors(include_url=False, include_input=False):
                    errors.append(as_detail({**detail, "loc": (name, *detail["loc"])}))
        if errors:
            raise ValidationError.from_exception_data("providers", errors)
        return entries

    def choice(self, kind: Kind, raw: object, context: object) -> ProviderChoice:
        """A provider named as text, or a mapping with `provider:` and its options."""
        options = {"provider": raw} if isinstance(raw, str) else raw
        if not isinstance(options, Mapping):
            raise PydanticCustomError("choice", "must be a provider's name, or a mapping with 'provider:'")
        name = options.get("provider")
        if not isinstance(name, str):
            raise PydanticCustomError("choice", "must name a provider with 'provider:'")
        entry = self._find(kind, str.__str__(name), within=isinstance(raw, Mapping))
        given = {key: value for key, value in options.items() if key != "provider"}
        return ProviderChoice(
            provider=entry.name,
            type=entry.type,
            connection=entry.connections[kind],
            options=self.types[kind][entry.type].options.model_validate(given, context=context),
        )

    def _find(self, kind: Kind, name: str, *, within: bool) -> ProviderEntry:
        if name in self.entries:
            if name not in self._known:
                with suppress(ValidationError, PydanticCustomError):
                    self.entry(name, self.entries[name])
            entry = self._known[name]
            if entry is None:
                raise PydanticCustomError(ELSEWHERE, "the provider is not valid")
            if kind not in entry.connections:
                self._refuse(kind, entry.type, within)
            return entry
        if name not in self.types.get(kind, {}):
            if any(name in types for types in self.types.values()):
                self._refuse(kind, name, within)
            expected = sorted({*self.types.get(kind, {}), *self.entries})
            raise_at(
                ("provider",) if within else (),
                PydanticCustomError(
                    "unknown_provider", "unknown {kind} provider", {"kind": kind.upper(), "expected": expected}
                ),
            )
        try:
            return self._validate(name, {})
        except ValidationError as error:
            missing = ", ".join(".".join(map(str, e["loc"])) for e in error.errors(include_url=False))
            raise PydanticCustomError(
                "no_entry",
                "'{name}' needs an entry under providers: with {missing}",
                {"name": name, "missing": missing},
            ) from None

    def _refuse(self, kind: Kind, type_name: str, within: bool) -> NoReturn:
        expected = sorted(self.types.get(kind, {}))
        raise_at(
            ("provider",) if within else (),
            PydanticCustomError(
                "wrong_kind",
                "'{type}' is no {kind} provider; there are: {known}",
                {"type": type_name, "kind": kind.upper(), "known": ", ".join(expected)},
            ),
        )

    def _validate(self, name: str, raw: object) -> ProviderEntry:
        given = {} if raw is None else raw
        if not isinstance(given, Mapping):
            raise PydanticCustomError("mapping", "must be a mapping")
        type_name = given.get("type", name)
        kinds = [kind for kind in KINDS if type_name in self.types.get(kind, {})]
        if not kinds:
            known = sorted({type_name for types in self.types.values() for type_name in types})
            error = PydanticCustomError("unknown_type", "unknown provider type", {"expected": known})
            if "type" not in given:
                error = PydanticCustomError(
                    "unknown_type", "'{name}' is no known type of provider; say which it is with 'type:'",
                    {"name": name, "expected": known},
                )  # fmt: skip
            raise_at(("type",) if "type" in given else (), error)
        keys = {key: value for key, value in given.items() if key != "type"}
        return ProviderEntry(name=name, type=str(type_name), connections=self._connections(kinds, str(type_name), keys))

    def _connections(self, kinds: list[Kind], type_name: str, keys: Mapping[str, object]) -> dict[Kind, BaseModel]:
        """One connection a kind; a key is unknown when no kind knows it."""
        models = {kind: self.types[kind][type_name].connection for kind in kinds}
        known = {model_key for model in models.values() for model_key in model_keys(model)}
        connections: dict[Kind, BaseModel] = {}
        errors: dict[tuple[object, ...], InitErrorDetails] = {}
        for kind, model in models.items():
            mine = model_keys(model)
            given = {key: value for key, value in keys.items() if key in mine or key not in known}
            try:
                connections[kind] = model.model_validate(given)
            except ValidationError as error:
                for detail in error.errors(include_url=False, include_context=True):
                    errors.setdefault((detail["loc"], detail["type"]), as_detail(detail))
        if errors:
            raise ValidationError.from_exception_data(type_name, list(errors.values()))
        return connections


def model_keys(model: type[BaseModel]) -> frozenset[str]:
    """The YAML keys of a model."""
    return frozenset(info.alias or name for name, info in model.model_fields.items())


def as_detail(detail: Mapping[str, object]) -> InitErrorDetails:
    """An error of a nested validation, to be raised again in an outer one. Keeps no input."""
    context = {k: v for k, v in _mapping(detail.get("ctx")).items() if isinstance(v, str | int | float | list)}
    custom = PydanticCustomError(str(detail["type"]), str(detail["msg"]), context)
    if not isinstance(detail["loc"], tuple):
        raise TypeError("an error without a place")
    return InitErrorDetails(type=custom, loc=detail["loc"], input=None)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def raise_at(loc: tuple[str | int, ...], error: PydanticCustomError) -> NoReturn:
    """Raises `error` as a validation error of something deeper than the value being validated."""
    if not loc:
        raise error
    detail = InitErrorDetails(type=error, loc=loc, input=None)
    raise ValidationError.from_exception_data("configuration", [detail])


def _resolve(kind: Kind) -> Callable[[object, ValidationInfo], object]:
    def resolve(value: object, info: ValidationInfo) -> object:
        if isinstance(value, ProviderChoice):
            return value
        directory = info.context.get("directory") if isinstance(info.context, dict) else None
        if not isinstance(directory, Directory):
            raise PydanticCustomError("choice", "providers can only be looked up while a configuration is loaded")
        return directory.choice(kind, value, info.context)

    return resolve


_STT = Annotated[ProviderChoice, BeforeValidator(_resolve("stt")), Field(json_schema_extra={"x-voxtrad": "stt"})]
_LLM = Annotated[ProviderChoice, BeforeValidator(_resolve("llm")), Field(json_schema_extra={"x-voxtrad": "llm"})]
_TTS = Annotated[ProviderChoice, BeforeValidator(_resolve("tts")), Field(json_schema_extra={"x-voxtrad": "tts"})]

STTChoices = Annotated[tuple[_STT, ...], ONE_OR_MORE, Field(min_length=1)]
LLMChoices = Annotated[tuple[_LLM, ...], ONE_OR_MORE, Field(min_length=1)]
TTSChoices = Annotated[tuple[_TTS, ...], ONE_OR_MORE, Field(min_length=1)]
VADChoice = Annotated[ProviderChoice, BeforeValidator(_resolve("vad")), Field(json_schema_extra={"x-voxtrad": "vad"})]
