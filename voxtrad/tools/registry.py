"""From a tool's configuration to the tool: one place that knows which kinds there are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from voxtrad.config.models import AgentConfig, Config
from voxtrad.config.templates import Condition, Template, TemplateTree
from voxtrad.config.tools import (
    BuiltinTool,
    CollectDigitsTool,
    DeclaredTool,
    DescribedTool,
    EndCallTool,
    HttpTool,
    LimitedTool,
    McpTool,
    PlayTool,
    SendDtmfTool,
    SetVariableTool,
    ToolBase,
    TransferTool,
    VoicemailTool,
    WaitTool,
    WebhookTool,
)
from voxtrad.errors import VoxtradError
from voxtrad.outbound.client import OutboundClient
from voxtrad.outbound.signing import Signer
from voxtrad.providers.base import JSON, ToolSpec
from voxtrad.tools import http, webhook
from voxtrad.tools.arguments import check_schema, without
from voxtrad.tools.base import Declared, Proceed, Tool, ToolOptions
from voxtrad.tools.builtin.collect_digits import CollectDigitsTool as CollectDigits
from voxtrad.tools.builtin.end_call import EndCallTool as EndCall
from voxtrad.tools.builtin.play import PlayTool as Play
from voxtrad.tools.builtin.send_dtmf import SendDtmfTool as SendDtmf
from voxtrad.tools.builtin.set_variable import SetVariableTool as SetVariable
from voxtrad.tools.builtin.transfer import TransferTool as Transfer
from voxtrad.tools.builtin.voicemail import VoicemailTool as Voicemail
from voxtrad.tools.builtin.wait import WaitTool as Wait
from voxtrad.tools.callbacks import Callbacks
from voxtrad.tools.limits import Limited
from voxtrad.tools.mcp import McpServer, McpTarget, McpTools


class UnknownTool(VoxtradError):
    """An agent names a tool that this version cannot make; `voxtrad check` refuses such a configuration."""


def build_tools(
    config: Config,
    agent: AgentConfig,
    *,
    client: OutboundClient,
    callbacks: Callbacks | None = None,
    servers: Mapping[str, McpServer] | None = None,
    built: dict[str, Tool] | None = None,
) -> Mapping[str, Tool]:
    """The tools of one agent by name, to be shared by its calls; those of MCP `servers` come and go.

    `built` keeps what was made for other agents of the same configuration: two agents with one tool share it, and its
    `concurrency`. Raises `UnknownTool`, `BadSecret`, `BadSchema` and `BadRequestTemplate`.
    """
    built = {} if built is None else built
    parts: list[Mapping[str, Tool]] = []
    for name in agent.tools:
        offered = _of_a_server(name, config, servers or {})
        if offered is None and name not in built:
            built[name] = _build(name, config, client, callbacks)
        parts.append({name: built[name]} if offered is None else offered)
    return _Tools(parts)


class _Tools(Mapping[str, Tool]):
    """What several hold, in their order and as they are at the moment."""

    def __init__(self, parts: Sequence[Mapping[str, Tool]]) -> None:
        self._parts = parts

    def __getitem__(self, name: str) -> Tool:
        for part in self._parts:
            if (tool := part.get(name)) is not None:
                return tool
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(chain.from_iterable(self._parts)))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _of_a_server(name: str, config: Config, servers: Mapping[str, McpServer]) -> McpTools | None:
    """The tools that an agent's word stands for, where it is that of a server, or `<server>_<tool>`."""
    if name in config.tools:
        return McpTools(servers[name]) if name in servers else None
    owner = next((server for server in servers if name.startswith(f"{server}_")), None)
    return None if owner is None else McpTools(servers[owner], only=name)


def _build(name: str, config: Config, client: OutboundClient, callbacks: Callbacks | None) -> Tool:
    tool: Tool
    wanted = config.tools.get(name)
    if wanted is None:
        raise UnknownTool(f"there is no tool '{name}'")
    match wanted:
        case BuiltinTool():
            tool = _builtin(wanted, config, client)
            tool = _Preset(tool, wanted.fixed) if wanted.fixed else tool
        case DescribedTool():
            tool = _described(wanted, client, callbacks)
        case _:
            raise UnknownTool(f"the tool '{name}' cannot be made by this version")
    check_schema(tool.spec.parameters)
    if not isinstance(wanted, LimitedTool) or wanted.concurrency is None:
        return tool
    return Limited(tool, asyncio.Semaphore(wanted.concurrency))


def _described(config: DescribedTool, client: OutboundClient, callbacks: Callbacks | None) -> Tool:
    spec = ToolSpec(config.name, config.description, without(config.parameters, config.fixed))
    options = _options(config)
    match config:
        case WebhookTool():
            secrets = [secret.get_secret_value() for secret in config.webhook.secret]
            return webhook.WebhookTool(
                spec,
                options,
                url=config.webhook.url,
                client=client,
                signer=Signer(secrets) if secrets else None,
                callbacks=callbacks,
                idempotent=config.idempotent,
            )
        case HttpTool():
            request = http.RequestTemplate(
                method=config.http.method,
                url=config.http.url,
                query=config.http.query,
                headers={name: value.get_secret_value() for name, value in config.http.headers.items()},
                body=config.http.body,
                select=config.http.select,
            )
            return http.HttpTool(spec, options, request, client=client, idempotent=config.idempotent)
        case DeclaredTool():
            return Declared(spec, options)
        case _:
            raise UnknownTool(f"the tool '{config.name}' cannot be made by this version")


def mcp_server(config: McpTool) -> McpServer:
    """The server that a tool stands for: somebody has to let it `run`. Raises `McpNotInstalled`."""
    server = config.mcp
    target = McpTarget(
        url=server.url,
        headers={name: value.get_secret_value() for name, value in server.headers.items()},
        command=server.command,
        env={name: value.get_secret_value() for name, value in server.env.items()},
    )
    return McpServer(
        config.name,
        target,
        only=server.tools,
        options=_options(config),
        hidden=tuple(config.fixed),
        concurrency=config.concurrency,
        idempotent=config.idempotent,
    )


def _builtin(config: BuiltinTool, whole: Config, client: OutboundClient) -> Tool:
    name, about, options = config.name, config.description, _options(config)
    match config:
        case EndCallTool():
            return EndCall(name, about, options)
        case TransferTool():
            wanted = whole.destinations if config.destinations is None else config.destinations
            return Transfer({place: whole.destinations[place].description for place in wanted}, name, about, options)
        case SendDtmfTool():
            return SendDtmf(name, about, options)
        case CollectDigitsTool():
            return CollectDigits(
                length=config.length,
                terminator=config.terminator or "",
                digit_timeout=config.digit_timeout,
                sensitive=config.sensitive,
                name=name,
                description=about,
                options=options,
            )
        case SetVariableTool():
            return SetVariable(config.variables, name, about, options)
        case WaitTool():
            return Wait(config.max, name, about, options)
        case VoicemailTool():
            place = config.continue_
            return Voicemail(Proceed(place.context, place.extension, place.priority), name, about, options)
        case PlayTool():
            return Play(config.media, client=client, name=name, description=about, options=options)
        case _:
            raise UnknownTool(f"the tool '{name}' cannot be made by this version")


class _Preset:
    """A built-in tool some of whose parameters the configuration sets (`fixed`): no model sees those."""

    def __init__(self, tool: Tool, fixed: Mapping[str, JSON]) -> None:
        self.spec = replace(tool.spec, parameters=without(tool.spec.parameters, fixed))
        self.options = tool.options
        self.run = tool.run


def _options(config: ToolBase) -> ToolOptions:
    fixed: Mapping[str, object] = config.fixed
    return ToolOptions(
        timeout=config.timeout,
        say=Template(config.say) if config.say else None,
        fixed=TemplateTree(config.fixed) if fixed else None,
        sequential=config.sequential,
        confirm=config.confirm,
        when=Condition(config.when) if config.when else None,
    )
