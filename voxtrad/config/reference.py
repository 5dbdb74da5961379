"""The reference of the language as Markdown: prose from `reference.md`, tables from the models and their docstrings."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from importlib.resources import files
from typing import cast

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from voxtrad.config import agents, routes, server, tools
from voxtrad.config.availability import NOT_YET, NotYet
from voxtrad.config.fields import kind_of
from voxtrad.config.models import Config
from voxtrad.config.providers import KINDS, Kind, ProviderTypes
from voxtrad.config.types import show_duration

SECTIONS: tuple[tuple[str, type[BaseModel]], ...] = (
    ("At the top", Config),
    ("`asterisk`", server.AsteriskConfig),
    ("`asterisk.media`", server.MediaConfig),
    ("`asterisk.media.audiosocket`", server.AudioSocketConfig),
    ("`asterisk.media.rtp`", server.RtpConfig),
    ("`server`", server.ServerConfig),
    ("`server.tokens[]`", server.TokenConfig),
    ("`server.tls`", server.TlsConfig),
    ("`routes[]`", routes.Route),
    ("`agents.NAME`", agents.AgentConfig),
    ("`agents.NAME.greeting`", agents.Greeting),
    ("`agents.NAME.turn`", agents.TurnConfig),
    ("`agents.NAME.interrupt`", agents.InterruptConfig),
    ("`agents.NAME.fill`", agents.FillConfig),
    ("`agents.NAME.deadlines`", agents.DeadlinesConfig),
    ("`agents.NAME.idle`", agents.IdleConfig),
    ("`agents.NAME.on_failure` and `idle.then`", agents.Action),
    ("`agents.NAME.analysis`", agents.AnalysisConfig),
    ("`destinations.NAME` with `dial`", routes.DialDestination),
    ("`destinations.NAME` with `continue`", routes.ContinueDestination),
    ("`destinations.NAME` with `agent`", routes.AgentDestination),
    ("`continue`", agents.ContinueTarget),
    ("`tools.NAME`", tools.ToolBase),
    ("`tools.NAME.webhook` and `lookup.webhook`", tools.WebhookTarget),
    ("`tools.NAME.http`", tools.HttpRequest),
    ("`tools.NAME.mcp`", tools.McpServer),
    ("`webhooks[]`", server.WebhookConfig),
    ("`lookup`", server.LookupConfig),
    ("`outbound`", server.OutboundConfig),
    ("`outbound.limits`", server.OutboundLimits),
)


def reference(types: ProviderTypes) -> str:
    """The whole document."""
    text = files("voxtrad.config").joinpath("reference.md").read_text(encoding="utf-8")
    for marker, lines in (
        ("keys", _keys()),
        ("providers", _providers(types)),
        ("not yet", not_available(NOT_YET)),
    ):
        text = text.replace(f"<!-- {marker} -->\n", "".join(f"{line}\n" for line in lines))
    return text


def _keys() -> Iterator[str]:
    for title, model in SECTIONS:
        yield from (f"### {title}", "", *_paragraph(model), *_table(model), "")
        if model is tools.ToolBase:
            yield from _by_kind()
            yield from ("Built-in tools, `tools.NAME.builtin`, each with options of its own beside it:", "")
            yield from _builtins()
            yield ""


def _by_kind() -> Iterator[str]:
    for kinds, model, known in (
        ("With `webhook` or `http`, and with nothing that does it", tools.DescribedTool, tools.ToolBase),
        (
            "With `webhook`, `http`, `mcp` or `builtin` (which may have a `description` of its own)",
            tools.LimitedTool,
            tools.ToolBase,
        ),
        ("With `webhook`, `http` or `mcp`", tools.RepeatableTool, tools.LimitedTool),
    ):
        yield from (f"{kinds}:", "", *_table(model, known.model_fields), "")


def _builtins() -> Iterator[str]:
    common = {"description", *tools.LimitedTool.model_fields}
    yield from ("| `builtin:` | options | does |", "|---|---|---|")
    for name, model in tools.BUILTINS.items():
        own = [_key(key, info) for key, info in model.model_fields.items() if key not in common and key != "builtin"]
        yield f"| `{name}` | {', '.join(own)} | {_cell(model.__doc__)} |"


def _providers(types: ProviderTypes) -> Iterator[str]:
    titles: dict[Kind, str] = {
        "stt": "Speech to text: `stt`",
        "llm": "Language models: `llm`",
        "tts": "Text to speech: `tts`",
        "vad": "Voice activity: `vad`",
    }
    for kind in KINDS:
        yield from (f"### {titles[kind]}", "")
        for name in sorted(types.get(kind, {})):
            provider = types[kind][name]
            connection = list(_table(provider.connection))
            yield from (f"#### `{name}`", "")
            yield from (f"Under `providers.{name}`:", "", *connection, "") if connection else ()
            options = list(_table(provider.options))
            yield from (f"Beside `provider: {name}`:", "", *options, "") if options else ("No options.", "")
            yield from _nested(provider.options, types)


def _nested(model: type[BaseModel], types: ProviderTypes) -> Iterator[str]:
    """Tables of the models within a provider's options."""
    for info in model.model_fields.values():
        for inner in _models_in(info.annotation):
            yield from (f"Each of `{info.alias or _name_of(model, info)}`:", "", *_table(inner), "")


def _name_of(model: type[BaseModel], info: FieldInfo) -> str:
    return next(name for name, other in model.model_fields.items() if other is info)


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in getattr(annotation, "__args__", ()):
        yield from _models_in(argument)


# --- tables -----------------------------------------------------------------------------------------------------------


def _paragraph(model: type[BaseModel]) -> Iterator[str]:
    if model is not Config:
        yield from (" ".join((model.__doc__ or "").split()), "")


def _table(model: type[BaseModel], known: Collection[str] = ()) -> Iterator[str]:
    """Its keys but those that are `known` from elsewhere."""
    schema = model.model_json_schema(by_alias=True)
    properties = cast("dict[str, dict[str, object]]", schema.get("properties", {}))
    rows = [
        f"| {_key(name, info)} | {_kind(info, properties.get(info.alias or name, {}), schema)} | {_default(info)} "
        f"| {_cell(info.description)} |"
        for name, info in model.model_fields.items()
        if name not in known and not _is_name(info)
    ]
    if rows:
        yield from ("| key | type | default | |", "|---|---|---|---|")
        yield from rows


def _key(name: str, info: FieldInfo) -> str:
    key = f"`{info.alias or name}`"
    return f"**{key}**" if info.is_required() else key


def _is_name(info: FieldInfo) -> bool:
    return kind_of(info) == "name"


_MOST_CHOICES = 12
"""More of them are told elsewhere."""


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def _kind(info: FieldInfo, schema: dict[str, object], root: dict[str, object]) -> str:
    if "TemplateNames" in str(info.metadata) or "TemplateNames" in str(info.annotation):
        return "list of templates" if "array" in json.dumps(schema) else "template"
    return _words(schema, root)


def _words(schema: dict[str, object], root: dict[str, object]) -> str:
    """A JSON Schema in a word or two."""
    mark = schema.get("x-voxtrad")
    if mark in ("duration", "path"):
        return str(mark)
    if mark in KINDS:
        return "provider"
    if "enum" in schema and len(choices := cast("list[object]", schema["enum"])) <= _MOST_CHOICES:
        return " ".join(f"`{_plain(choice)}`" for choice in choices)
    if "const" in schema:
        return f"`{_plain(schema['const'])}`"
    if "$ref" in schema or "allOf" in schema:
        return _referred(schema, root)
    for union in ("anyOf", "oneOf"):
        if union in schema:
            branches = [b for b in cast("list[dict[str, object]]", schema[union]) if b.get("type") != "null"]
            words = list(dict.fromkeys(_words(branch, root) for branch in branches))
            if len(words) == 2 and words[1] == f"list of {words[0]}":
                return f"{words[0]}, or several"
            return " or ".join(dict.fromkeys(words))
    return _simple(schema, root)


def _simple(schema: dict[str, object], root: dict[str, object]) -> str:
    kind = schema.get("type")
    if kind == "array":
        item = _words(cast("dict[str, object]", schema.get("items", {})), root)
        return f"list of {'mappings' if item == 'mapping' else item}"
    if schema.get("format") == "password":
        return "secret"
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true` `false`"}
    return words.get(str(kind), "mapping")


def _referred(schema: dict[str, object], root: dict[str, object]) -> str:
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    definitions = cast("dict[str, dict[str, object]]", root.get("$defs", {}))
    target = definitions.get(name, {})
    return _words(target, root) if "enum" in target else "mapping"


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return ""
    value = info.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, BaseModel):
        value = _written(value)
        return "" if value == {} else f"`{json.dumps(value, ensure_ascii=False)}`"
    if value is None or value in ("", ()) or value == {} or isinstance(value, SecretStr):
        return ""
    if kind_of(info) == "duration" and isinstance(value, float):
        return f"`{show_duration(value)}`"
    if isinstance(value, bool | int | float):
        return f"`{json.dumps(value)}`"
    return f"`{value}`" if not isinstance(value, tuple) else f"`{json.dumps(list(value), ensure_ascii=False)}`"


def _written(model: BaseModel) -> object:
    return model.model_dump(by_alias=True, exclude_defaults=True, mode="json")


def not_available(not_yet: Sequence[NotYet]) -> Iterator[str]:
    """What the language has and this version has not; nothing, where it has all of it."""
    if not_yet:
        yield from ("", "## Not available in this version", "", "`check` refuses these:", "")
        yield from (f"- {_not_yet(entry)}" for entry in not_yet)


def _not_yet(entry: NotYet) -> str:
    path = f"`{entry.path.replace('.*', '.NAME')}`"
    if entry.values:
        return f"{path}: {_listed(entry.values)}"
    if entry.except_for:
        return f"{path}: anything but {_listed(entry.except_for)}"
    return path


def _listed(values: Iterable[object]) -> str:
    return ", ".join(f"`{_plain(value)}`" for value in values)
