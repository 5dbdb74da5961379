"""What no single model can see: names that refer to each other, routes no call reaches; what templates use is looked at
by `template_checks`.

Each check is a function from the configuration to findings; where they stand in a file is the loader's business.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from voxtrad.config.addresses import is_never_asked
from voxtrad.config.diagnostics import Loc, did_you_mean
from voxtrad.config.fields import marked
from voxtrad.config.findings import Finding, unknown
from voxtrad.config.hours import OpeningHours
from voxtrad.config.json_schemas import faults_of
from voxtrad.config.models import (
    Action,
    AgentConfig,
    AgentDestination,
    AsteriskConfig,
    BuiltinTool,
    Config,
    DeclaredTool,
    DialDestination,
    HttpTool,
    McpTool,
    PlayTool,
    SetVariableTool,
    ToolBase,
    TransferTool,
    WebhookTool,
)
from voxtrad.config.numbers import covers, known_country, text_matches
from voxtrad.config.routes import Route
from voxtrad.config.server import TlsConfig, load_certificate
from voxtrad.config.template_checks import template_findings, templates_of, undeclared, variable_findings
from voxtrad.config.tools import BUILTINS, IMPLICIT, TOOL_NAME, DescribedTool, offered_name
from voxtrad.config.tree import Mapping, Tree
from voxtrad.config.types import Refers
from voxtrad.errors import in_words


@dataclass(frozen=True, slots=True)
class Names:
    """All names that were written, those of broken things too."""

    agents: tuple[str, ...]
    tools: tuple[str, ...]
    destinations: tuple[str, ...]


def check(config: Config, tree: Mapping) -> Iterator[Finding]:
    """All findings. `config` may lack what is not valid; `tree` has every name."""
    names = Names(*(_names(tree, section) for section in ("agents", "tools", "destinations")))
    yield from _agents_present(names, config)
    yield from _routes(config, names)
    if config.asterisk is not None:
        yield from _asterisk(config.asterisk, config.server.max_calls)
    yield from _server(config)
    yield from _webhooks(config)
    for loc, url in _asked(config):
        if is_never_asked(_host(url)):
            yield Finding(loc, "a link-local or metadata address is never asked")
    yield from _outbound(config)
    yield from _destinations(config, names)
    for name, tool in config.tools.items():
        yield from _tool(name, tool, config, names)
    for name, agent in config.agents.items():
        yield from _agent(name, agent, config, names)


def _names(tree: Mapping, section: str) -> tuple[str, ...]:
    found: Tree | None = tree.get(section)
    return tuple(found.entries) if isinstance(found, Mapping) else ()


# --- the house --------------------------------------------------------------------------------------------------------


def _agents_present(names: Names, config: Config) -> Iterator[Finding]:
    if not names.agents:
        yield Finding(("agents",), "there is no agent", hint="a configuration has at least one under agents:")
    elif not config.routes and len(config.agents) > 1:
        message = "there are no routes: only calls whose dialplan names an agent are taken"
        yield Finding(("agents",), message, severity="warning", at_key=True, needs=(("routes",),))


def _asterisk(asterisk: AsteriskConfig, max_calls: int) -> Iterator[Finding]:
    loc: Loc = ("asterisk", "url")
    if re.search(r"/ari/*$", asterisk.url):
        message = "'/ari' is added to it, and stands in it already"
        yield Finding(loc, message, severity="warning", hint="end it before /ari, as in http://127.0.0.1:8088")
    ports = asterisk.media.rtp.ports if asterisk.media.transport in ("auto", "rtp") else None
    if ports is not None and ports.calls < max_calls:
        loc = ("asterisk", "media", "rtp", "ports")
        message = f"there are ports for {ports.calls} calls only, and server.max_calls is {max_calls}"
        hint = "every second port is for a call"
        yield Finding(loc, message, severity="warning", hint=hint, needs=(("server", "max_calls"),))


def _server(config: Config) -> Iterator[Finding]:
    server = config.server
    if server.tokens == () and not _is_loopback(server.listen):
        message = "others can reach this address, and no token is demanded"
        hint = "set server.tokens, or 'tokens: auto', or listen on 127.0.0.1"
        yield Finding(("server", "listen"), message, hint=hint, needs=(("server", "tokens"),))
    if server.country is not None and not known_country(server.country):
        suggestion = "GB" if server.country == "UK" else None
        yield Finding(("server", "country"), "unknown country", suggestion, "write two capitals, like GB or US")
    if server.tls is not None:
        yield from _certificate(server.tls)
    if _is_file(server.data_dir):
        yield Finding(("server", "data_dir"), "there is a file of that name, and it must be a folder")
    if server.tokens != "auto":
        yield from _unique(("server", "tokens"), [token.name for token in server.tokens])
        tokens = [token.token.get_secret_value() for token in server.tokens]
        for index, token in enumerate(tokens):
            if token in tokens[:index]:
                other = f"server.tokens[{tokens.index(token)}]"
                yield Finding(("server", "tokens", index, "token"), f"the token of {other} stands here again")


def _certificate(tls: TlsConfig) -> Iterator[Finding]:
    loc: Loc = ("server", "tls")
    missing = [(*loc, key) for key, file in (("cert", tls.cert), ("key", tls.key)) if not _is_file(file)]
    for key in missing:
        yield Finding(key, "there is no such file")
    if not missing:
        try:
            load_certificate(tls)
        except OSError as error:
            hint = "cert and key are PEM files that belong together; the key has no passphrase"
            yield Finding(loc, f"the certificate cannot be used: {in_words(error)}", hint=hint, at_key=True)


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113  # unlike Path.is_file it never raises


def _is_loopback(address: str) -> bool:
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _outbound(config: Config) -> Iterator[Finding]:
    outbound = config.outbound
    if outbound is None:
        return
    if config.asterisk is None:
        message = "nobody carries these calls: there is no PBX"
        yield Finding(("outbound",), message, severity="warning", at_key=True, needs=(("asterisk",),))
    if "*" in outbound.allow:
        message = "any number of the world may be called, premium ones too"
        yield Finding(("outbound", "allow"), message, severity="warning", hint="name prefixes, like +44")


def _webhooks(config: Config) -> Iterator[Finding]:
    yield from _unique(("webhooks",), [webhook.name for webhook in config.webhooks])


def _asked(config: Config) -> Iterator[tuple[Loc, str]]:
    """The URLs that are asked over the guarded client, and where they stand."""
    for index, webhook in enumerate(config.webhooks):
        yield ("webhooks", index, "url"), webhook.url
    if config.lookup is not None:
        yield ("lookup", "webhook", "url"), config.lookup.webhook.url
    for name, tool in config.tools.items():
        if isinstance(tool, WebhookTool):
            yield ("tools", name, "webhook", "url"), tool.webhook.url
        elif isinstance(tool, HttpTool):
            yield ("tools", name, "http", "url"), tool.http.url
        elif isinstance(tool, McpTool) and tool.mcp.url is not None:
            yield ("tools", name, "mcp", "url"), tool.mcp.url
        elif isinstance(tool, PlayTool):
            yield ("tools", name, "media"), tool.media


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _unique(loc: Loc, names: list[str]) -> Iterator[Finding]:
    for index, name in enumerate(names):
        if name in names[:index]:
            yield Finding((*loc, index, "name"), f"the name '{name}' stands twice")


# --- routes and destinations ------------------------------------------------------------------------------------------


def _routes(config: Config, names: Names) -> Iterator[Finding]:
    for index, route in enumerate(config.routes):
        loc = ("routes", index)
        if route.agent not in names.agents:
            yield unknown((*loc, "agent"), "agent", route.agent, names.agents)
        for earlier, other in enumerate(config.routes[:index]):
            if _shadows(other, route, config.server.country):
                message = f"no call reaches this route: routes[{earlier}] takes all that it would match"
                yield Finding(loc, message, needs=(("server", "country"), ("routes", earlier)))
                break


def _shadows(earlier: Route, later: Route, country: str | None) -> bool:
    """Whether every condition of the earlier route holds wherever those of the later one do."""
    variables = later.variables or {}
    return (
        all(
            name in variables and text_matches(value, variables[name])
            for name, value in (earlier.variables or {}).items()
        )
        and _wider(earlier.to, later.to, country)
        and _wider(earlier.from_, later.from_, country)
        and _longer(earlier.hours, later.hours)
    )


def _wider(earlier: tuple[str, ...] | None, later: tuple[str, ...] | None, country: str | None) -> bool:
    if earlier is None:
        return True
    return later is not None and all(any(covers(wide, narrow, country) for wide in earlier) for narrow in later)


def _longer(earlier: tuple[OpeningHours, ...] | None, later: tuple[OpeningHours, ...] | None) -> bool:
    if earlier is None:
        return True
    return later is not None and all(any(long.covers(short) for long in earlier) for short in later)


def _destinations(config: Config, names: Names) -> Iterator[Finding]:
    for name, destination in config.destinations.items():
        if isinstance(destination, AgentDestination) and destination.agent not in names.agents:
            yield unknown(("destinations", name, "agent"), "agent", destination.agent, names.agents)
        yield from template_findings(templates_of(destination, ("destinations", name)), None)


# --- tools ------------------------------------------------------------------------------------------------------------


def _tool(name: str, tool: ToolBase, config: Config, names: Names) -> Iterator[Finding]:
    loc = ("tools", name)
    if not re.fullmatch(TOOL_NAME, name):
        message = "a tool's name has letters, digits, _ and - only, 64 at most"
        yield Finding(loc, message, hint="language models accept no other", at_key=True)
    if name in BUILTINS and not (isinstance(tool, BuiltinTool) and getattr(tool, "builtin", None) == name):
        yield Finding(loc, f"clashes with the built-in tool '{name}'", hint="call it otherwise", at_key=True)
    for other in config.tools:
        if isinstance(config.tools[other], McpTool) and name.startswith(f"{other}_"):
            message = f"clashes with the tools of '{other}', which are named {other}_…"
            yield Finding(loc, message, hint="call it otherwise", at_key=True)
    if isinstance(tool, DescribedTool):
        yield from _json_schema(tool.parameters, (*loc, "parameters"))
    if isinstance(tool, TransferTool):
        for index, destination in enumerate(tool.destinations or ()):
            if destination not in names.destinations:
                yield unknown((*loc, "destinations", index), "destination", destination, names.destinations)
    if isinstance(tool, HttpTool) and tool.http.select is not None:
        yield from _jmespath(tool.http.select, (*loc, "http", "select"))
    users = {agent.name: agent for agent in config.agents.values() if name in agent.tools}
    templates = templates_of(tool, loc)
    yield from template_findings(templates, tool)
    for agent in users.values():
        yield from variable_findings(templates, agent, within_agent=False)
        if isinstance(tool, SetVariableTool):
            for index, variable in enumerate(tool.variables):
                if variable not in agent.variables:
                    yield undeclared((*loc, "variables", index), variable, agent, within_agent=False)


def _json_schema(schema: object, loc: Loc) -> Iterator[Finding]:
    for fault in faults_of(schema):
        yield Finding((*loc, *fault.loc), fault.message, fault.suggestion, at_key=fault.at_key)


def _jmespath(expression: str, loc: Loc) -> Iterator[Finding]:
    import jmespath
    from jmespath.exceptions import JMESPathError

    try:
        jmespath.compile(expression)
    except JMESPathError:
        yield Finding(loc, "not a JMESPath expression")


# --- agents -----------------------------------------------------------------------------------------------------------


def _agent(name: str, agent: AgentConfig, config: Config, names: Names) -> Iterator[Finding]:
    loc = ("agents", name)
    for index, tool in enumerate(agent.tools):
        if not _has_tool(tool, config, names):
            if tool in BUILTINS:
                message = f"the built-in tool '{tool}' needs an entry under tools: with its options"
                yield Finding((*loc, "tools", index), message, hint=f"as in {tool}: {{builtin: {tool}, …}}")
            else:
                yield unknown((*loc, "tools", index), "tool", tool, dict.fromkeys((*names.tools, *IMPLICIT)))
        if tool in agent.tools[:index]:
            yield Finding((*loc, "tools", index), f"the tool '{tool}' stands twice", severity="warning")
        if isinstance(config.tools.get(tool), DeclaredTool) and agent.handler is None:
            message = f"nobody runs the tool '{tool}': it has no webhook, http, mcp or builtin"
            hint = "give it one, or the agent a handler that runs it"
            yield Finding((*loc, "tools", index), message, hint=hint, needs=(("tools", tool), (*loc, "handler")))
        if tool == "transfer" and not names.destinations:
            yield Finding((*loc, "tools", index), "there is nowhere to transfer to: destinations: is empty")
    yield from _foreign(agent, loc, config)
    yield from _kept(agent, loc)
    yield from _action(agent.on_failure, (*loc, "on_failure"), names)
    yield from _action(agent.idle.then, (*loc, "idle", "then"), names)
    yield from _references(agent, loc, config, names)
    templates = templates_of(agent, loc)
    yield from template_findings(templates, None)
    yield from variable_findings(templates, agent, within_agent=True)


def _foreign(agent: AgentConfig, loc: Loc, config: Config) -> Iterator[Finding]:
    """An agent of another language is not to say our English sentences."""
    if agent.language.split("-")[0].lower() == "en":
        return
    unwritten = [key for key in ("filler", "apology") if key not in agent.model_fields_set]
    if agent.idle.enabled and "say" not in agent.idle.model_fields_set:
        unwritten.append("idle.say")
    if agent.record == "consent" and "consent" not in agent.model_fields_set:
        unwritten.append("consent")
    if unwritten:
        message = f"left out, and so English, is what is said by {', '.join(unwritten)}"
        hint, needs = "write them in the agent's language", tuple((*loc, *key.split(".")) for key in unwritten)
        yield Finding((*loc, "language"), message, severity="warning", hint=hint, needs=needs)
    for name in dict.fromkeys(_reached(agent, config)):
        to = config.destinations.get(name or "")
        if isinstance(to, DialDestination) and to.mode == "attended" and "question" not in to.model_fields_set:
            message = f"left out, and so English, is the question that the agent '{agent.name}' asks there"
            hint = "write question: in the agent's language"
            needs = (("destinations", to.name, "question"),)
            yield Finding(("destinations", to.name), message, severity="warning", hint=hint, at_key=True, needs=needs)


def _reached(agent: AgentConfig, config: Config) -> Iterator[str | None]:
    """Names of the destinations that the agent may transfer to."""
    yield from (agent.on_failure.transfer, agent.idle.then.transfer)
    for tool in map(config.tools.get, agent.tools):
        if isinstance(tool, TransferTool):
            yield from config.destinations if tool.destinations is None else tool.destinations


def _kept(agent: AgentConfig, loc: Loc) -> Iterator[Finding]:
    """What is recorded and found out must go together with what may be kept."""
    if agent.record is not False and agent.privacy != "full":
        none = agent.privacy == "none"
        message = "privacy: none never records" if none else "what privacy: redacted hides is heard in the recording"
        needs = ((*loc, "privacy"),)
        yield Finding((*loc, "record"), message, severity="error" if none else "warning", needs=needs)
    if agent.analysis is not None:
        for name, schema in agent.analysis.fields.items():
            yield from _json_schema(schema, (*loc, "analysis", "fields", name))


def _has_tool(tool: str, config: Config, names: Names) -> bool:
    return tool in names.tools or tool in IMPLICIT or _server_of(tool, config) is not None


def _server_of(tool: str, config: Config) -> str | None:
    """The name of the MCP server that may have a tool of this name."""
    for name, other in config.tools.items():
        if isinstance(other, McpTool) and tool.startswith(f"{name}_"):
            offered = None if other.mcp.tools is None else {offered_name(name, one) for one in other.mcp.tools}
            if offered is None or tool in offered:
                return name
    return None


def _action(action: Action, loc: Loc, names: Names) -> Iterator[Finding]:
    if action.transfer is not None and action.transfer not in names.destinations:
        yield unknown((*loc, "transfer"), "destination", action.transfer, names.destinations)


def _references(agent: AgentConfig, loc: Loc, config: Config, names: Names) -> Iterator[Finding]:
    known = (*names.tools, *IMPLICIT)
    right = [tool for tool in agent.tools if _has_tool(tool, config, names)]
    written = {name.strip() for tool in agent.tools for name in tool.split(",")}
    meant = [one for tool in agent.tools if tool not in right and (one := did_you_mean(tool, known))]
    for below, value, marks in marked(agent, loc):
        if any(isinstance(mark, Refers) for mark in marks) and value not in written:
            if _server_of(str(value), config) in agent.tools or value in meant:
                continue  # a misspelling in the list of tools was told there
            message = f"the agent has no tool '{value}'"
            hint = f"add it to {'.'.join(map(str, loc))}.tools"
            suggestion = None if _has_tool(str(value), config, names) else did_you_mean(str(value), (*right, *meant))
            yield Finding(below, message, suggestion, None if suggestion else hint, needs=((*loc, "tools"),))
