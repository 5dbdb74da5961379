"""`voxtrad schema`: the JSON Schema of the configuration, or its reference as Markdown."""

from __future__ import annotations

import argparse
import json

EXAMPLE = "voxtrad schema > config/voxtrad.schema.json"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format", choices=("json", "markdown"), default="json",
        help="json: for editors; markdown: for people (config/README.md)",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Always 0."""
    from voxtrad.config.reference import reference
    from voxtrad.config.schema import json_schema
    from voxtrad.providers.registry import provider_types

    if arguments.format == "markdown":
        print(reference(provider_types()), end="")
    else:
        print(json.dumps(json_schema(provider_types()), indent=1, ensure_ascii=False))
    return 0
