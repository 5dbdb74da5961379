"""`voxtrad check`: all that is wrong with a configuration, at once, without starting anything."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

from voxtrad.cli.common import add_config_option, config_path, load_config, wants_color
from voxtrad.config.diagnostics import ConfigError, Diagnostic, Severity, as_github, as_json, as_text, shown_path

if TYPE_CHECKING:
    from voxtrad.cli.remarks import Told
    from voxtrad.config.loader import Loaded
    from voxtrad.remarks import Remark

EXAMPLE = "voxtrad check -c config/voxtrad.yaml --online\n  voxtrad check --format github"


def configure(parser: argparse.ArgumentParser) -> None:
    add_config_option(parser)
    parser.add_argument("--online", action="store_true", help="ask the PBX, the providers and the URLs of tools, too")
    parser.add_argument("--format", choices=("text", "json", "github"), default="text", help="how to say it")


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 when the configuration is valid (warnings may be printed), 1 when it is not."""
    try:
        loaded = load_config(arguments)
        found = (*loaded.warnings, *_handlers(loaded), *_commands(loaded))
        remarks = _online(loaded, printing=arguments.format == "text") if arguments.online else _offline(loaded)
        found += tuple(_diagnostic(remark, loaded) for remark in remarks if remark.level != "ok")
    except ConfigError as error:
        found = error.diagnostics
    errors = sum(diagnostic.severity == "error" for diagnostic in found)
    match arguments.format:
        case "json":
            print(as_json(found))
        case "github":
            print(as_github(found), end="\n" if found else "")
        case _:
            color = wants_color(sys.stdout)
            print(as_text(found, color=color), end="\n" if found else "")
            print(_summary(str(shown_path(config_path(arguments))), errors, len(found) - errors))
    return 1 if errors else 0


def _handlers(loaded: Loaded) -> list[Diagnostic]:
    if all(agent.handler is None for agent in loaded.config.agents.values()):
        return []
    from voxtrad.handlers import wrong_handlers

    return wrong_handlers(loaded)


def _commands(loaded: Loaded) -> Iterator[Diagnostic]:
    """MCP servers whose program is not on this machine."""
    from voxtrad.config.models import McpTool

    if find_spec("mcp") is None:
        return  # which is told, and that first
    for name, tool in loaded.config.tools.items():
        if isinstance(tool, McpTool) and tool.mcp.command:
            program, path = tool.mcp.command[0], tool.mcp.env.get("PATH")
            if shutil.which(program, path=None if path is None else path.get_secret_value()) is None:
                yield loaded.diagnostic(f"tools.{name}.mcp.command", f"there is no program '{program}' on this machine")


def _offline(loaded: Loaded) -> list[Remark]:
    """What cannot be put to work on this machine, as where a package is not installed; nobody is asked."""
    from voxtrad.probing import build
    from voxtrad.providers.registry import provider_types

    return asyncio.run(build(loaded.config, provider_types()))


def _online(loaded: Loaded, *, printing: bool) -> list[Remark]:
    """What came of asking everything that the configuration names."""
    from voxtrad.cli.remarks import Told
    from voxtrad.config.secrets import secrets_in
    from voxtrad.observability.log import configure as configure_log

    configure_log("error", secrets=secrets_in(loaded.config))
    told = Told(printing=printing, only_ok=True)
    asyncio.run(_ask(loaded, told))
    return told.remarks


async def _ask(loaded: Loaded, told: Told) -> None:
    from voxtrad.daemon import asterisk_settings
    from voxtrad.outbound.client import OutboundClient
    from voxtrad.probing import probe
    from voxtrad.providers.registry import provider_types
    from voxtrad.telephony.asterisk.ari import open_session
    from voxtrad.telephony.asterisk.examination import ask

    if loaded.config.asterisk is not None:
        async with open_session() as http:
            await ask(http, asterisk_settings(loaded.config), told)
    async with OutboundClient() as client:
        await probe(loaded.config, provider_types(), client, told)


def _diagnostic(remark: Remark, loaded: Loaded) -> Diagnostic:
    severity: Severity = "error" if remark.level == "error" else "warning"
    return loaded.diagnostic(remark.path, remark.text, hint=remark.hint, severity=severity)


def _summary(path: str, errors: int, warnings: int) -> str:
    counts = [f"{n} {word}{'' if n == 1 else 's'}" for n, word in ((errors, "error"), (warnings, "warning")) if n]
    return f"{path}: {' and '.join(counts)}" if counts else f"{path}: valid"
