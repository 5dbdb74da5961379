"""`voxtrad reload`: has the running server load its configuration again."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import cast

from voxtrad.cli.common import add_config_option, config_of_server
from voxtrad.cli.remote import RemoteError, ask_server
from voxtrad.events.types import JSON

EXAMPLE = "voxtrad reload -c config/voxtrad.yaml"


def configure(parser: argparse.ArgumentParser) -> None:
    add_config_option(parser)
    parser.add_argument("--json", action="store_true", help="for programs")


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 when the configuration is in effect; 1, with what is wrong, when the old one runs on."""
    config = config_of_server(arguments)
    try:
        answer = ask_server(config, "POST", "/v1/reload", {}, scope="reload")
    except RemoteError as error:
        if not arguments.json:
            raise
        print(json.dumps(error.problem or {"title": error.message}, ensure_ascii=False))
        return 1
    if arguments.json:
        print(json.dumps(answer, ensure_ascii=False))
        return 0
    print("reloaded; live calls keep what they started with")
    for path in cast("list[str]", cast("Mapping[str, JSON]", answer)["restart"]):
        print(f"{path}: takes effect only after a restart")
    return 0
