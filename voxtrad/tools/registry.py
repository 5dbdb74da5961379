"""From a tool's configuration to the tool: one place that knows which kinds there are."""

from __future__ import annotations

import asyncio
from collections import ChainMap
from collections.abc import Mapping

from voxtrad.config.models import AgentConfig, Config
from voxtrad.config.templates import Condition, Template, TemplateTree
from voxtrad.config.tools import (
    BuiltinTool,
    CollectDigitsTool,
    DeclaredTool,
    EndCallTool,
    HttpTool,
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
from voxtrad.providers.base import ToolSpec
from voxtrad.tools import http, webhook
from voxtrad.tools.arguments import check_schema
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
from voxtrad.tools.mcp import McpServer, McpTarget


class UnknownTool(VoxtradError):
    """An agent names a tool that this version cannot make; `voxtrad check` refuses such a configuration."""


def mcp_servers(config: Config) -> dict[str, McpServer]:
    """The MCP servers by the tools' names: somebody has to let each `run`. Raises `McpNotInstalled`."""
    return {name: _mcp(tool) for name, tool in config.tools.items() if isinstance(tool, McpTool)}


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
    own: dict[str, Tool] = {}
    live: list[dict[str, Tool]] = []
    for name in agent.tools:
        if servers is not None and name in servers:
            live.append(servers[name].tools)
            continue
        if name not in built:
            built[name] = _build(name, config, client, callbacks)
        own[name] = built[name]
    return ChainMap(own, *live)


def _build(name: str, config: Config, client: OutboundClient, callbacks: Callbacks | None) -> Tool:
    wanted = config.tools.get(name)
    if wanted is None:
        raise UnknownTool(f"there is no tool '{name}'")
    tool = _builtin(wanted, config, client) if isinstance(wanted, BuiltinTool) else _made(wanted, client, callbacks)
    check_schema(tool.spec.parameters)
    return tool if wanted.concurrency is None else Limited(tool, asyncio.Semaphore(wanted.concurrency))


def _made(config: ToolBase, client: OutboundClient, callbacks: Callbacks | None) -> Tool:
    spec, options = ToolSpec(config.name, config.description, config.parameters), _options(config)
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


def _mcp(config: McpTool) -> McpServer:
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
        case PlayTool() if config.media.startswith(("http://", "https://")):
            return Play(config.media, client=client, name=name, description=about, options=options)
        case _:
            raise UnknownTool(f"the tool '{name}' cannot be made by this version")


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
