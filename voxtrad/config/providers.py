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

from voxtrad.config.keys import yaml_keys
from voxtrad.config.leniency import lenient
from voxtrad.config.raising import ELSEWHERE, as_details, at, details_of, together
from voxtrad.config.types import ONE_OR_MORE, ConfigModel
from voxtrad.errors import VoxtradError

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


@dataclass(frozen=True)
class Directory:
    """Looks providers up while a configuration is being validated."""

    types: ProviderTypes
    entries: Mapping[str, object]
    """`providers:` as written."""
    lenient: bool = False
    """What is wrong was told before: an entry makes do without what it requires."""
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
            except (ValidationError, PydanticCustomError) as error:
                errors += details_of(error, name)
        if errors:
            raise together(errors)
        return entries

    def choice(self, kind: Kind, raw: object, context: object) -> ProviderChoice:
        """A provider named as text, or a mapping with `provider:` and its options."""
        options = {"provider": raw} if isinstance(raw, str) else raw
        if not isinstance(options, Mapping):
            raise PydanticCustomError("choice", "must be a provider's name, or a mapping with 'provider:'")
        name = options.get("provider")
        if not isinstance(name, str):
            raise PydanticCustomError("choice", "must name a provider with 'provider:'")
        given = {key: value for key, value in options.items() if key != "provider"}
        try:
            entry = self._find(kind, str.__str__(name), within=isinstance(raw, Mapping))
        except (ValidationError, PydanticCustomError) as error:
            wrong = self._wrong_options(kind, str.__str__(name), given, context)
            raise together([*details_of(error), *wrong]) from None
        return ProviderChoice(
            provider=entry.name,
            type=entry.type,
            connection=entry.connections[kind],
            options=self._models(kind, entry.type).options.model_validate(given, context=context),
        )

    def _wrong_options(
        self, kind: Kind, name: str, given: Mapping[str, object], context: object
    ) -> list[InitErrorDetails]:
        """Errors of options beside an entry that is missing or not valid, where its type can be told."""
        entry = self.entries.get(name)
        type_name = entry.get("type", name) if isinstance(entry, Mapping) else name
        if not isinstance(type_name, str) or type_name not in self.types.get(kind, {}):
            return []
        try:
            self._models(kind, str.__str__(type_name)).options.model_validate(given, context=context)
        except ValidationError as error:
            return as_details(error)
        return []

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
            raise _below(
                ("provider",) if within else (),
                PydanticCustomError(
                    "unknown_provider", "unknown {kind} provider", {"kind": kind.upper(), "expected": expected}
                ),
            )
        try:
            return self._validate(name, {})
        except ValidationError as error:
            errors = error.errors(include_url=False, include_input=False)
            missing = ", ".join(".".join(map(str, e["loc"])) for e in errors if e["loc"])
            raise PydanticCustomError(
                "no_entry",
                "'{name}' needs an entry under providers:{missing}",
                {"name": name, "missing": f" with {missing}" if missing else f", which {errors[0]['msg']}"},
            ) from None

    def _refuse(self, kind: Kind, type_name: str, within: bool) -> NoReturn:
        expected = sorted(self.types.get(kind, {}))
        raise _below(
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
        if not isinstance(type_name, str):
            raise _below(("type",), PydanticCustomError("string_type", "must be text"))
        kinds = [kind for kind in KINDS if type_name in self.types.get(kind, {})]
        if not kinds:
            known = sorted({type_name for types in self.types.values() for type_name in types})
            error = PydanticCustomError("unknown_type", "unknown provider type", {"expected": known})
            if "type" not in given:
                error = PydanticCustomError(
                    "unknown_type", "'{name}' is no known type of provider; say which it is with 'type:'",
                    {"name": name, "expected": known},
                )  # fmt: skip
            raise _below(("type",) if "type" in given else (), error)
        keys = {key: value for key, value in given.items() if key != "type"}
        return ProviderEntry(name=name, type=str(type_name), connections=self._connections(kinds, str(type_name), keys))

    def _connections(self, kinds: list[Kind], type_name: str, keys: Mapping[str, object]) -> dict[Kind, BaseModel]:
        """One connection a kind; a key is unknown when no kind knows it."""
        models = {kind: self._models(kind, type_name).connection for kind in kinds}
        known = {key for model in models.values() for key in yaml_keys(model)}
        connections: dict[Kind, BaseModel] = {}
        errors: dict[tuple[object, ...], InitErrorDetails] = {}
        for kind, model in models.items():
            mine = yaml_keys(model)
            given = {key: value for key, value in keys.items() if key in mine or key not in known}
            try:
                connections[kind] = model.model_validate(given, context=lenient(None) if self.lenient else None)
            except ValidationError as error:
                for detail in as_details(error):
                    errors.setdefault((detail.get("loc"), str(detail["type"])), detail)
        if errors:
            raise together(list(errors.values()))
        return connections

    def _models(self, kind: Kind, type_name: str) -> ProviderModels:
        try:
            return self.types[kind][type_name]
        except VoxtradError as error:
            raise PydanticCustomError("broken_provider", "{why}", {"why": error.message}) from None


def _below(loc: tuple[str, ...], error: PydanticCustomError) -> Exception:
    return together([at(loc, error)]) if loc else error


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
