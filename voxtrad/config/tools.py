"""What a tool is in the configuration: what the model sees of it, when it may run, and who does the work.

The work is done by a webhook, an HTTP request, an MCP server or something built in; a tool with none of them is only
declared, and its calls are returned to the Python code that asked the model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from voxtrad.config.agents import ContinueTarget
from voxtrad.config.diagnostics import did_you_mean
from voxtrad.config.network_types import HttpUrl, check_url
from voxtrad.config.raising import Contradiction, as_details, at, together
from voxtrad.config.template_types import (
    TOOL_NAMES,
    ConditionText,
    HttpUrlTemplate,
    SecretTemplate,
    TemplateText,
    TemplateTree,
)
from voxtrad.config.types import (
    ONE_OR_MORE,
    Boolean,
    ConfigModel,
    Duration,
    Integer,
    JSONObject,
    Matching,
    Name,
    ReadOnly,
    Secret,
    Text,
    WebhookSecret,
    exactly_one,
)
from voxtrad.config.written import JSON, plain


def normalise_parameters(value: object) -> Mapping[str, JSON]:
    """A JSON Schema of type object, from one or from the short form `name: {type, description, required}`."""
    schema = plain(value)
    if not isinstance(schema, Mapping):
        raise PydanticCustomError("mapping", "must be a mapping")
    if isinstance(schema.get("type"), str):
        if schema["type"] != "object":
            raise PydanticCustomError("parameters", "must be a JSON Schema of type object")
        return schema
    properties: dict[str, JSON] = {}
    required: list[JSON] = []
    wrong = [name for name, short in schema.items() if not isinstance(short, Mapping)]
    if wrong:
        error = PydanticCustomError("parameters", "must be a mapping with type and description")
        raise together([at((name,), error) for name in wrong])
    for name, short in schema.items():
        assert isinstance(short, Mapping)
        needed = short.get("required", False)
        if isinstance(needed, bool):
            short = {key: item for key, item in short.items() if key != "required"}
            if needed:
                required.append(name)
        properties[name] = short
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


Parameters = Annotated[JSONObject, BeforeValidator(normalise_parameters)]

Secrets = Annotated[tuple[WebhookSecret, ...], ONE_OR_MORE, Field(min_length=1)]
"""A secret, or several while one is being replaced: all sign, the first is the newest."""


TOOL_NAME = "^[A-Za-z0-9_-]{1,64}$"
"""What language models accept as a name."""


def offered_name(server: str, tool: str) -> str:
    """What language models know a tool of an MCP server by, whatever stands in its own name."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", f"{server}_{tool}")[:64]


class ToolBase(ConfigModel):
    """What all tools have in common."""

    kind: ClassVar[str]

    name: Name = Field(json_schema_extra={"x-voxtrad": "name"})
    """The tool's name: its key under `tools:`."""
    fixed: TemplateTree = Field(default_factory=dict)
    """Values hidden from the model and merged into the arguments last."""
    timeout: Annotated[Duration, Field(ge=1, le=60)] = 8.0
    """The whole time it may take."""
    say: Annotated[TemplateText, TOOL_NAMES] | None = None
    """Said when it takes long enough for the caller to wonder."""
    sequential: Boolean = False
    """Whether it must not run while other tools of the same reply do."""
    confirm: Boolean = False
    """Whether the agent asks the caller before it runs."""
    when: ConditionText | None = None
    """An expression; the tool exists for the model only while it is true: `vars.verified`."""


class LimitedTool(ToolBase):
    """What tools have in common that voxtrad runs."""

    concurrency: Annotated[Integer, Field(ge=1)] | None = None
    """How many of it may run at once, over all calls."""


class RepeatableTool(LimitedTool):
    """What tools have in common whose work is done elsewhere."""

    idempotent: Boolean = False
    """Whether asking twice does no harm: then a failed request is tried once more."""


class DescribedTool(ToolBase):
    """What tools have in common that tell the model no more than is written here."""

    description: Name
    """What it does and when to use it, for the model."""
    parameters: Parameters = Field(
        default_factory=lambda: normalise_parameters({}), json_schema_extra={"x-voxtrad": "parameters"}
    )
    """The arguments: JSON Schema of type object, or short, `name: {type, description, required}`."""


# --- work done elsewhere ----------------------------------------------------------------------------------------------


class WebhookTarget(ConfigModel):
    """An endpoint that is asked by a signed POST."""

    url: HttpUrl
    """Where it is."""
    secret: Secrets
    """What signs the request (`whsec_…`); a list while rotating."""


class WebhookTool(DescribedTool, RepeatableTool):
    """A tool of your own, in any language."""

    kind: ClassVar[str] = "webhook"
    webhook: WebhookTarget
    """The endpoint that does the work."""


class HttpRequest(ConfigModel):
    """A plain HTTP request. Templates may stand in all but scheme, host and port of the URL."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    """The method."""
    url: HttpUrlTemplate
    """Where to; values in its path and query are encoded."""
    query: TemplateTree = Field(default_factory=dict)
    """The query's parameters."""
    headers: ReadOnly[SecretTemplate] = Field(default_factory=dict)
    """Headers; their values are treated as secrets."""
    body: TemplateTree | None = None
    """A JSON body."""
    select: Name | None = None
    """A JMESPath expression: the part of the answer that the model gets."""


class HttpTool(DescribedTool, RepeatableTool):
    """A request to an API that knows nothing of voxtrad."""

    kind: ClassVar[str] = "http"
    http: HttpRequest
    """The request."""


class McpServer(ConfigModel):
    """An MCP server: by `url` (streamable HTTP) or by `command` (stdio)."""

    model_config = ConfigDict(json_schema_extra=exactly_one(url=None, command=[]))

    url: HttpUrl | None = None
    """Where it is."""
    headers: ReadOnly[Secret] = Field(default_factory=dict)
    """Headers sent to it; their values are treated as secrets."""
    command: Annotated[tuple[Name, ...], ONE_OR_MORE] = ()
    """A program and its arguments, started once."""
    env: ReadOnly[Secret] = Field(default_factory=dict)
    """Environment variables of the program; treated as secrets."""
    tools: Annotated[tuple[Name, ...], ONE_OR_MORE] | None = None
    """Which of its tools agents get. Left out: all."""

    def contradictions(self) -> Iterator[Contradiction]:
        if (self.url is None) == (not self.command):
            yield Contradiction("needs either 'url' or 'command'", ("url", "command"), whole=True)


class McpTool(RepeatableTool):
    """The tools of an MCP server; each is named `<this name>_<its name>`."""

    kind: ClassVar[str] = "mcp"
    mcp: McpServer
    """The server."""


class DeclaredTool(DescribedTool):
    """A tool without an implementation: its calls are returned to a Python handler in `reply.tool_calls`."""

    kind: ClassVar[str] = "declared"


# --- built in ---------------------------------------------------------------------------------------------------------


class BuiltinTool(LimitedTool):
    """What all built-in tools have in common. Their parameters are their own; a description may be given."""

    kind: ClassVar[str] = "builtin"
    description: Text = ""
    """What it does and when to use it, for the model; left out: what the tool says of itself."""


class EndCallTool(BuiltinTool):
    """Says its last sentence to the end and hangs up, unless the caller speaks up."""

    builtin: Literal["end_call"]
    """Which built-in tool it is."""


class TransferTool(BuiltinTool):
    """Hands the caller to a destination."""

    builtin: Literal["transfer"]
    """Which built-in tool it is."""
    destinations: Annotated[tuple[Name, ...], ONE_OR_MORE] | None = None
    """Which of `destinations:` the model may choose from. Left out: all."""


class SendDtmfTool(BuiltinTool):
    """Sends key presses to the far side."""

    builtin: Literal["send_dtmf"]
    """Which built-in tool it is."""


class CollectDigitsTool(BuiltinTool):
    """Collects digits that the caller presses."""

    builtin: Literal["collect_digits"]
    """Which built-in tool it is."""
    length: Annotated[Integer, Field(ge=1, le=64)] | None = None
    """How many; left out: until the terminator or the time-out."""
    terminator: Annotated[Text, Matching(r"^[0-9A-D*#]$", "one key of a telephone")] | None = "#"
    """The key that ends the input."""
    digit_timeout: Annotated[Duration, Field(gt=0)] = 5.0
    """The longest wait for the next digit."""
    sensitive: Boolean = False
    """Keeps the digits out of logs, events, transcript and recording."""
    timeout: Annotated[Duration, Field(ge=1, le=120)] = 30.0
    """The whole time it may take."""


def _media(value: str) -> str:
    return value if value.startswith("sound:") else check_url(value)


class PlayTool(BuiltinTool):
    """Plays a recording to the caller."""

    builtin: Literal["play"]
    """Which built-in tool it is."""
    media: Annotated[
        Text,
        Matching(r"^(sound:[\w/.-]+|https?://[^\s/?#]+\S*)$", "like sound:tt-monkeys or http://host/file.wav"),
        AfterValidator(_media),
    ]
    """A sound of the PBX (`sound:tt-monkeys`, without its ending), or an http(s) URL of a WAV file."""
    timeout: Annotated[Duration, Field(ge=1, le=600)] = 60.0
    """The longest it may take."""


class SetVariableTool(BuiltinTool):
    """Lets the model keep a value in `vars.`."""

    builtin: Literal["set_variable"]
    """Which built-in tool it is."""
    variables: Annotated[tuple[Name, ...], ONE_OR_MORE]
    """Which of the agent's variables it may set."""


class VoicemailTool(BuiltinTool):
    """Leads the caller on to the PBX's voicemail."""

    builtin: Literal["voicemail"]
    """Which built-in tool it is."""
    continue_: ContinueTarget = Field(alias="continue")
    """Where the dialplan takes messages."""


class WaitTool(BuiltinTool):
    """The caller asked for a moment: nobody is nudged while it lasts."""

    builtin: Literal["wait"]
    """Which built-in tool it is."""
    max: Annotated[Duration, Field(gt=0)] = 120.0
    """The longest it holds."""


IMPLEMENTATIONS = ("webhook", "http", "mcp", "builtin")
BUILTINS: Mapping[str, type[BuiltinTool]] = {
    "end_call": EndCallTool,
    "transfer": TransferTool,
    "send_dtmf": SendDtmfTool,
    "collect_digits": CollectDigitsTool,
    "play": PlayTool,
    "set_variable": SetVariableTool,
    "voicemail": VoicemailTool,
    "wait": WaitTool,
}
IMPLICIT = ("end_call", "transfer", "send_dtmf", "collect_digits", "wait")
"""Built-in tools that an agent may name without an entry under `tools:`."""


def _variant(value: object) -> str | None:
    """The tag of a tool's class, in brackets so that it is no key of YAML."""
    variant = _implementation(value)
    return None if variant is None else f"({variant})"


def _implementation(value: object) -> str | None:
    if isinstance(value, ToolBase):
        return str(getattr(value, "builtin", value.kind))
    if not isinstance(value, Mapping):
        return None
    given = [key for key in IMPLEMENTATIONS if key in value]
    if len(given) > 1:
        return None
    if given != ["builtin"]:
        return given[0] if given else "declared"
    builtin = value["builtin"]
    return builtin if isinstance(builtin, str) and builtin in BUILTINS else None


def _one_implementation(value: object) -> object:
    if isinstance(value, ToolBase):
        return value
    if not isinstance(value, Mapping):
        raise PydanticCustomError("mapping", "must be a mapping")
    given = [key for key in IMPLEMENTATIONS if key in value]
    if len(given) > 1:
        several = PydanticCustomError("tool", "a tool is one of {given}, not several", {"given": " and ".join(given)})
        raise together([at((), several), *_wrong_within(value)])
    builtin = value.get("builtin")
    if given == ["builtin"] and not (isinstance(builtin, str) and builtin in BUILTINS):
        error = PydanticCustomError("unknown_builtin", "unknown built-in tool", {"expected": list(BUILTINS)})
        meant = did_you_mean(builtin, BUILTINS) if isinstance(builtin, str) else None
        raise together([at(("builtin",), error), *(_wrong_options(meant, value) if meant else ())])
    return value


def _wrong_options(builtin: str, tool: Mapping[str, object]) -> list[InitErrorDetails]:
    """What is wrong with a tool that is likely meant to be this built-in one."""
    try:
        BUILTINS[builtin].model_validate({**tool, "builtin": builtin})
    except ValidationError as error:
        return as_details(error)
    return []


def _wrong_within(tool: Mapping[str, object]) -> Iterator[InitErrorDetails]:
    """What is wrong with each implementation of a tool that has several."""
    models: dict[str, type[ConfigModel]] = {"webhook": WebhookTarget, "http": HttpRequest, "mcp": McpServer}
    for key, model in models.items():
        if key in tool:
            try:
                model.model_validate(tool[key])
            except ValidationError as error:
                yield from as_details(error, key)


ToolConfig = (
    WebhookTool
    | HttpTool
    | McpTool
    | DeclaredTool
    | EndCallTool
    | TransferTool
    | SendDtmfTool
    | CollectDigitsTool
    | PlayTool
    | SetVariableTool
    | VoicemailTool
    | WaitTool
)

AnyTool = Annotated[
    Annotated[WebhookTool, Tag("(webhook)")]
    | Annotated[HttpTool, Tag("(http)")]
    | Annotated[McpTool, Tag("(mcp)")]
    | Annotated[DeclaredTool, Tag("(declared)")]
    | Annotated[EndCallTool, Tag("(end_call)")]
    | Annotated[TransferTool, Tag("(transfer)")]
    | Annotated[SendDtmfTool, Tag("(send_dtmf)")]
    | Annotated[CollectDigitsTool, Tag("(collect_digits)")]
    | Annotated[PlayTool, Tag("(play)")]
    | Annotated[SetVariableTool, Tag("(set_variable)")]
    | Annotated[VoicemailTool, Tag("(voicemail)")]
    | Annotated[WaitTool, Tag("(wait)")],
    Discriminator(_variant),
    BeforeValidator(_one_implementation),
]
