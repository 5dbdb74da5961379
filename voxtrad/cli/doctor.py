"""`voxtrad doctor`: the PBX as seen over ARI, the providers, the URLs; and the lines to paste into Asterisk's files.

It takes no call and disturbs none: the events of the application in use are never asked for, media is tried in an
application of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import socket
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlsplit

from voxtrad.cli.common import add_config_option, load_config
from voxtrad.cli.remarks import Told, as_json
from voxtrad.config.models import Action, Config, ContinueDestination, ContinueTarget, DialDestination, VoicemailTool
from voxtrad.config.secrets import secrets_in
from voxtrad.daemon import asterisk_settings
from voxtrad.ledger.ledger import InUse, only_one
from voxtrad.observability.log import configure as configure_log
from voxtrad.outbound.client import OutboundClient
from voxtrad.probing import probe
from voxtrad.providers.registry import provider_types
from voxtrad.telephony.asterisk import examination, paste
from voxtrad.telephony.asterisk.ari import open_session
from voxtrad.telephony.asterisk.examination import Target
from voxtrad.telephony.asterisk.settings import AsteriskSettings

EXAMPLE = "voxtrad doctor -c config/voxtrad.yaml"


def configure(parser: argparse.ArgumentParser) -> None:
    add_config_option(parser)
    parser.add_argument("--json", action="store_true", help="for programs")


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0, or 1 when something is wrong."""
    redaction = configure_log("error")
    config = load_config(arguments).config
    redaction.hide(secrets_in(config))
    told = Told(printing=not arguments.json)
    asyncio.run(_examine(config, told))
    if arguments.json:
        print(as_json(told.remarks))
    else:
        _print_paste(config)
    return 1 if told.failed else 0


async def _examine(config: Config, told: Told) -> None:
    if config.asterisk is not None:
        told.title("The PBX")
        await _examine_pbx(config, told)
    told.title("Providers and URLs")
    async with OutboundClient() as client:
        await probe(config, provider_types(), client, told)


async def _examine_pbx(config: Config, told: Told) -> None:
    settings = asterisk_settings(config)
    running = _server_runs(config)
    async with open_session() as http:
        if not await examination.ask(http, settings, told):
            return
        told(await examination.taken(http, settings, running=running))
        recorded = (f"agents.{name}.record" for name, agent in config.agents.items() if agent.record is not False)
        beside, targets = _beside_a_server(settings), list(_targets(config))
        await examination.try_media(http, beside, targets, next(recorded, None), told)


def _server_runs(config: Config) -> bool:
    """Whether a server uses this configuration's data on this machine."""
    try:
        with only_one(config.server.data_dir):
            return False
    except InUse:
        return True
    except OSError:
        return False


def _beside_a_server(settings: AsteriskSettings) -> AsteriskSettings:
    """Listens for AudioSocket where the server would, or, where that is taken, at another port."""
    host, _, port = settings.audiosocket_listen.rpartition(":")
    with contextlib.closing(socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)) as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind((host.strip("[]"), int(port)))
        except OSError:
            return replace(settings, audiosocket_listen=f"{host}:0", audiosocket_advertise=None)
    return settings


def _targets(config: Config) -> Iterator[Target]:
    """Every place that a call can be sent to."""
    for name, destination in config.destinations.items():
        match destination:
            case DialDestination():
                yield Target(f"destinations.{name}.dial", endpoint=destination.dial)
            case ContinueDestination():
                yield from _place(f"destinations.{name}.continue", destination.continue_)
            case _:
                pass
    for name, agent in config.agents.items():
        yield from _of_action(f"agents.{name}.on_failure", agent.on_failure)
        yield from _of_action(f"agents.{name}.idle.then", agent.idle.then)
    for name, tool in config.tools.items():
        if isinstance(tool, VoicemailTool):
            yield from _place(f"tools.{name}.continue", tool.continue_)


def _of_action(path: str, action: Action) -> Iterator[Target]:
    if action.continue_ is not None:
        yield from _place(f"{path}.continue", action.continue_)


def _place(path: str, target: ContinueTarget) -> Iterator[Target]:
    if target.context is not None and target.extension is not None:
        yield Target(path, context=target.context, extension=target.extension, priority=target.priority or 1)


def _print_paste(config: Config) -> None:
    """What belongs into Asterisk's files."""
    asterisk = config.asterisk
    if asterisk is None:
        return
    parts = {
        "http.conf": paste.http_conf(urlsplit(asterisk.url).port or 8088),
        "ari.conf": paste.ari_conf(asterisk.username, "THE-PASSWORD-OF-voxtrad.yaml"),
        "extensions.conf (on FreePBX: extensions_custom.conf)": paste.extensions_conf(app=asterisk.app),
    }
    if any(isinstance(destination, ContinueDestination) for destination in config.destinations.values()):
        parts["extensions.conf, for destinations that come back"] = paste.transfer_conf(app=asterisk.app)
    if config.outbound is not None:
        parts["extensions.conf, for calls that voxtrad makes (with your trunk)"] = paste.outbound_conf()
    print("\nFor Asterisk's own files, where they do not have it yet:")
    for name, text in parts.items():
        print(f"\n; --- {name} ---\n{text}", end="")
