"""The configuration as a whole: frozen models, one attribute for each key of the YAML.

`loader.load` makes a `Config`; a call keeps the one it started with. Models of the parts live in the modules that
this one gathers, and are imported from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, PlainSerializer, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from voxtrad.config.agents import (
    Action,
    AgentConfig,
    AnalysisConfig,
    ContinueTarget,
    Greeting,
    IdleConfig,
    InterruptConfig,
    TurnConfig,
)
from voxtrad.config.hours import OpeningHours
from voxtrad.config.providers import Directory, Kind, ProviderChoice, ProviderEntry, ProviderModels, ProviderTypes
from voxtrad.config.routes import (
    AgentDestination,
    AnyDestination,
    ContinueDestination,
    Destination,
    DestinationBase,
    DialDestination,
    Route,
)
from voxtrad.config.server import (
    EVENT_NAMES,
    AsteriskConfig,
    AudioSocketConfig,
    LookupConfig,
    MediaConfig,
    OutboundConfig,
    OutboundLimits,
    ServerConfig,
    TlsConfig,
    TokenConfig,
    WebhookConfig,
)
from voxtrad.config.tools import (
    BUILTINS,
    IMPLICIT,
    TOOL_NAME,
    AnyTool,
    BuiltinTool,
    CollectDigitsTool,
    DeclaredTool,
    EndCallTool,
    HttpRequest,
    HttpTool,
    McpServer,
    McpTool,
    PlayTool,
    SendDtmfTool,
    SetVariableTool,
    ToolBase,
    ToolConfig,
    TransferTool,
    VoicemailTool,
    WaitTool,
    WebhookTarget,
    WebhookTool,
)
from voxtrad.config.types import ONE_OR_MORE, ConfigModel, Key

__all__ = [
    "EVENT_NAMES",
    "Action",
    "AgentConfig",
    "AgentDestination",
    "AnalysisConfig",
    "AsteriskConfig",
    "AudioSocketConfig",
    "BuiltinTool",
    "CollectDigitsTool",
    "Config",
    "ContinueDestination",
    "ContinueTarget",
    "DeclaredTool",
    "Destination",
    "DestinationBase",
    "DialDestination",
    "EndCallTool",
    "Greeting",
    "HttpRequest",
    "HttpTool",
    "IdleConfig",
    "InterruptConfig",
    "Kind",
    "LookupConfig",
    "McpServer",
    "McpTool",
    "MediaConfig",
    "OpeningHours",
    "OutboundConfig",
    "OutboundLimits",
    "PlayTool",
    "ProviderChoice",
    "ProviderEntry",
    "ProviderModels",
    "ProviderTypes",
    "Route",
    "SendDtmfTool",
    "ServerConfig",
    "SetVariableTool",
    "TlsConfig",
    "TokenConfig",
    "ToolBase",
    "ToolConfig",
    "TransferTool",
    "TurnConfig",
    "VoicemailTool",
    "WaitTool",
    "WebhookConfig",
    "WebhookTarget",
    "WebhookTool",
]

T = TypeVar("T")


def _named(value: object) -> object:
    """Gives every entry of a section its key as `name`."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise PydanticCustomError("mapping", "must be a mapping")
    return {key: {**item, "name": key} if isinstance(item, Mapping) else item for key, item in value.items()}


def _entries(value: object, info: ValidationInfo) -> object:
    directory = info.context.get("directory") if isinstance(info.context, dict) else None
    if value is None or not isinstance(directory, Directory):
        return value or {}
    if not isinstance(value, Mapping):
        raise PydanticCustomError("mapping", "must be a mapping")
    return directory.all(value)


def _version(value: object) -> object:
    return None if isinstance(value, bool) else value  # which equals 1 where it is true


Section = Annotated[
    Mapping[Key, T],
    BeforeValidator(_named),
    AfterValidator(lambda value: MappingProxyType(dict(value))),
    PlainSerializer(lambda value: dict(value)),
]
"""A mapping of named things that nobody can change."""


_TOOL_NAMES: dict[str, JsonValue] = {
    "propertyNames": {"pattern": TOOL_NAME},
    "allOf": [
        {
            "properties": {
                name: {"required": ["builtin"], "properties": {"builtin": {"const": name}}} for name in BUILTINS
            }
        }
    ],
}
"""What a tool may be called; the names of the built-in ones are theirs."""


_Pattern = Annotated[str, Field(min_length=1, json_schema_extra={"x-voxtrad": "path"})]


class Config(ConfigModel):
    """Everything that was written, checked and with defaults filled in."""

    version: Annotated[Literal[1], BeforeValidator(_version)] = 1
    """The version of this language."""
    include: Annotated[tuple[_Pattern, ...], ONE_OR_MORE] = ()
    """More files, relative to this one, with `*`. Mappings merge; one name twice is an error."""
    asterisk: AsteriskConfig | None = None
    """The PBX. Left out: voxtrad runs without one."""
    server: ServerConfig = Field(default_factory=ServerConfig)
    """The server itself: API, console, metrics, limits."""
    providers: Annotated[Mapping[str, ProviderEntry], BeforeValidator(_entries)] = Field(
        default_factory=dict, json_schema_extra={"x-voxtrad": "providers"}
    )
    """Connections: keys and endpoints, once. The name is the type, unless `type:` says otherwise."""
    routes: tuple[Route, ...] = ()
    """Who takes which call; the first match wins. None at all: the only agent takes every call."""
    webhooks: tuple[WebhookConfig, ...] = ()
    """Where events are delivered."""
    lookup: LookupConfig | None = None
    """Asked while a call rings."""
    agents: Section[AgentConfig]
    """The agents, by name."""
    destinations: Section[AnyDestination] = Field(default_factory=dict)
    """The only places a call can be sent, by name; the model sees the names."""
    tools: Section[AnyTool] = Field(default_factory=dict, json_schema_extra=_TOOL_NAMES)
    """What agents can do, by name."""
    outbound: OutboundConfig | None = None
    """Calls that voxtrad makes; without it there are none."""

    @model_validator(mode="before")
    @classmethod
    def _nothing_is_left_out(cls, value: object) -> object:
        """A section whose lines are all commented out is as good as left out. `agents` has words of its own for it."""
        if not isinstance(value, Mapping):
            return value
        may_be_empty = cls.model_fields.keys() - {"agents"}
        return {key: item for key, item in value.items() if item is not None or key not in may_be_empty}

    @model_validator(mode="before")
    @classmethod
    def _implicit_tools(cls, value: object) -> object:
        """Built-in tools that an agent names are tools like any other."""
        if not isinstance(value, Mapping):
            return value
        tools = value.get("tools", {})
        named = _tools_of_agents(value.get("agents"))
        if not isinstance(tools, Mapping) or named <= tools.keys():
            return value
        return {**value, "tools": {**tools, **{name: {"builtin": name} for name in sorted(named - tools.keys())}}}


def _tools_of_agents(agents: object) -> set[str]:
    """Names of built-in tools that stand in the agents' lists."""
    named: set[str] = set()
    for agent in agents.values() if isinstance(agents, Mapping) else ():
        tools = agent.get("tools") if isinstance(agent, Mapping) else None
        listed = tools if isinstance(tools, list) else [tools]
        named.update(str(tool) for tool in listed if isinstance(tool, str) and tool in IMPLICIT)
    return named
