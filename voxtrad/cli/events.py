"""`voxtrad events`: what endpoints were sent, what could not be delivered, and putting that right.

`list` and `dead` read the database in `data_dir`, beside a running server or without one. `replay` and `enable` change
something: they ask the running server, and where none runs do it themselves for the next start.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast
from urllib.parse import quote

from voxtrad.cli.calls import add_paging, print_table
from voxtrad.cli.common import add_config_option, config_of_server
from voxtrad.cli.remote import ask_server
from voxtrad.errors import VoxtradError
from voxtrad.events.types import JSON

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from voxtrad.config.models import Config
    from voxtrad.ledger.ledger import Ledger

T = TypeVar("T")

EXAMPLE = "voxtrad events dead\n  voxtrad events replay --endpoint crm\n  voxtrad events enable crm"


class NoSuchEndpoint(VoxtradError):
    """No endpoint of this name was ever configured."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action", nargs="?", choices=("list", "dead", "replay", "enable"), default="list",
        help="the latest messages, those that were given up; put these back, take an endpoint back",
    )  # fmt: skip
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="with enable: the endpoint that answered 410; with replay: one message"
    )
    parser.add_argument("--endpoint", metavar="NAME", help="only this endpoint's")
    parser.add_argument("--call", metavar="ID", help="only of this call")
    parser.add_argument("--state", choices=("waiting", "delivered", "dead"))
    add_paging(parser)
    add_config_option(parser)
    parser.add_argument("--json", action="store_true", help="for programs")


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0; errors are `VoxtradError`."""
    config = config_of_server(arguments)
    match arguments.action:
        case "replay":
            return _replay(arguments, config)
        case "enable":
            return _enable(arguments, config)
        case _:
            return _list(arguments, config.server.data_dir)


def _list(arguments: argparse.Namespace, directory: Path) -> int:
    from voxtrad.ledger.ledger import ask
    from voxtrad.ledger.queries import MessageFilter, list_endpoints, list_messages
    from voxtrad.ledger.schema import FILE_NAME

    path = directory / FILE_NAME
    wanted = MessageFilter(
        endpoint=arguments.endpoint,
        state="dead" if arguments.action == "dead" else arguments.state,
        call_id=arguments.call,
        after=arguments.after,
        limit=arguments.limit,
    )
    page = ask(path, partial(list_messages, wanted=wanted))
    endpoints = ask(path, list_endpoints)
    if arguments.json:
        whole: JSON = {"items": page.items, "next": page.next, "endpoints": endpoints}
        print(json.dumps(whole, indent=2, ensure_ascii=False))
        return 0
    print_table(
        ("id", "endpoint", "type", "call_id", "sequence", "state", "attempts", "queued", "due", "answer"),
        page.items,
        page.next,
    )
    if arguments.action == "list":
        print()
        print_table(("name", "waiting", "dead", "disabled", "answer"), endpoints, None)
    return 0


def _replay(arguments: argparse.Namespace, config: Config) -> int:
    async def do(ledger: Ledger) -> int:
        return await ledger.replay(endpoint=arguments.endpoint, message_id=arguments.name)

    def ask() -> int:
        body: JSON = {"endpoint": arguments.endpoint, "id": arguments.name}
        answer = ask_server(config, "POST", "/v1/events/replay", body, scope="events")
        return cast("int", cast("Mapping[str, JSON]", answer)["replayed"])

    count = _change(config, do, ask)
    print(json.dumps({"replayed": count}) if arguments.json else f"{count} put back")
    return 0


def _enable(arguments: argparse.Namespace, config: Config) -> int:
    name = arguments.name
    if name is None:
        raise NoSuchEndpoint("which endpoint?", hint="voxtrad events enable NAME")

    async def do(ledger: Ledger) -> bool:
        return await ledger.enable(name)

    def ask() -> bool:
        path = f"/v1/events/endpoints/{quote(name, safe='')}/enable"
        ask_server(config, "POST", path, {}, scope="events")
        return True

    if not _change(config, do, ask):
        raise NoSuchEndpoint(f"there is no endpoint '{name}'")
    print(json.dumps({"enabled": name}) if arguments.json else f"{name} is enabled")
    return 0


def _change(config: Config, do: Callable[[Ledger], Awaitable[T]], ask: Callable[[], T]) -> T:
    """By the running server, which holds the lock of the data directory; or here, where none does."""
    import asyncio

    from voxtrad.ledger.ledger import InUse, open_ledger
    from voxtrad.ledger.store import Settings

    async def here() -> T:
        async with open_ledger(config.server.data_dir, Settings.from_config(config)) as ledger:
            return await do(ledger)

    try:
        return asyncio.run(here())
    except InUse:
        return ask()
