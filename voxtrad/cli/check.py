"""`voxtrad check`: all that is wrong with a configuration, at once, without starting anything."""

from __future__ import annotations

import argparse
import sys

from voxtrad.cli.common import add_config_option, config_path, load_config, wants_color
from voxtrad.config.diagnostics import ConfigError, Diagnostic, as_github, as_json, as_text, shown_path

EXAMPLE = "voxtrad check -c config/voxtrad.yaml --format github"


def configure(parser: argparse.ArgumentParser) -> None:
    add_config_option(parser)
    parser.add_argument("--format", choices=("text", "json", "github"), default="text", help="how to say it")


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 when the configuration is valid (warnings may be printed), 1 when it is not."""
    try:
        found: tuple[Diagnostic, ...] = load_config(arguments).warnings
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


def _summary(path: str, errors: int, warnings: int) -> str:
    counts = [f"{n} {word}{'' if n == 1 else 's'}" for n, word in ((errors, "error"), (warnings, "warning")) if n]
    return f"{path}: {' and '.join(counts)}" if counts else f"{path}: valid"
