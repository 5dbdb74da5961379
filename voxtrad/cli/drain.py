"""`voxtrad drain`: has the running server take no more calls, and waits until the live ones are over."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from typing import cast

from voxtrad.cli.common import add_config_option, config_of_server
from voxtrad.cli.remote import ask_server
from voxtrad.events.types import JSON

EXAMPLE = "voxtrad drain --timeout 120"
EVERY = 1.0
"""Seconds between two looks."""


def configure(parser: argparse.ArgumentParser) -> None:
    add_config_option(parser)
    parser.add_argument("--no-wait", action="store_true", help="do not wait for the live calls to end")
    parser.add_argument("--timeout", type=float, metavar="S", help="seconds to wait (default: server.drain_timeout)")


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 when no call is left (or with --no-wait), 1 when some still are after the time. The server stays."""
    config = config_of_server(arguments)
    patience = config.server.drain_timeout if arguments.timeout is None else arguments.timeout
    live = _live(ask_server(config, "POST", "/v1/drain", {}, scope="reload"))
    print("draining: no more calls are taken")
    if arguments.no_wait:
        return 0
    until = time.monotonic() + patience
    while live and time.monotonic() < until:
        _progress(f"{live} live")
        time.sleep(min(EVERY, max(0.0, until - time.monotonic())))
        live = _live(ask_server(config, "GET", "/v1/drain", scope="reload"))
    _progress("")
    print(f"{live} calls are still live" if live else "no call is left")
    return 1 if live else 0


def _live(answer: JSON) -> int:
    return cast("int", cast("Mapping[str, JSON]", answer)["live"])


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
