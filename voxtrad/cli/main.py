"""The command line: `voxtrad COMMAND`. Each command is a module of its own, imported only when it is the one given.

A command's module has `EXAMPLE` (a line or two for its `--help`), `configure(parser)` and `run(arguments) -> int`,
the exit code. To add one, add its line to `COMMANDS`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from voxtrad import __version__
from voxtrad.cli.common import wants_color
from voxtrad.errors import VoxtradError, in_words


@dataclass(frozen=True, slots=True)
class Command:
    name: str
    module: str
    does: str


COMMANDS: tuple[Command, ...] = (
    Command("serve", "voxtrad.cli.serve", "answer calls: the daemon"),
    Command("check", "voxtrad.cli.check", "say all that is wrong with a configuration"),
    Command(
        "doctor", "voxtrad.cli.doctor", "look at the PBX, the providers and the URLs, and print the lines to paste"
    ),
    Command("explain", "voxtrad.cli.explain", "show which agent takes a call and why, and where its values come from"),
    Command("schema", "voxtrad.cli.schema", "print the JSON Schema of the configuration, for editors"),
    Command("chat", "voxtrad.cli.chat", "talk to an agent in text, tools and all"),
    Command("call", "voxtrad.cli.call", "hold a whole call with an agent, with real audio and no PBX"),
    Command("calls", "voxtrad.cli.calls", "say what became of calls: transcript, tools, timeline, figures"),
    Command("events", "voxtrad.cli.events", "show what webhooks were sent, and put back what was given up"),
    Command("reload", "voxtrad.cli.reload", "have the running server load its configuration again"),
    Command(
        "drain",
        "voxtrad.cli.drain",
        "have the running server take no more calls until it is restarted, and wait for the live ones",
    ),
    Command("init", "voxtrad.cli.init", "write a starter configuration that runs without any key"),
)


class CommandModule(Protocol):
    EXAMPLE: str

    def configure(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, arguments: argparse.Namespace) -> int: ...


def main(argv: Sequence[str] | None = None, commands: Sequence[Command] = COMMANDS) -> int:
    """Runs a command and returns its exit code: 0 well, 1 not, 2 for a wrong command line, 130 when interrupted."""
    try:
        return _run(list(sys.argv[1:] if argv is None else argv), commands)
    except VoxtradError as error:
        _say(error)
        return 1
    except BrokenPipeError:
        # Whoever read our output has gone, as `head` does. Python would complain again while it ends.
        sys.stdout = sys.stderr
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 - the outermost supervisor of a command
        return _give_up(error)


def _run(given: list[str], commands: Sequence[Command]) -> int:
    chosen = next((word for word in given if not word.startswith("-")), None)
    parser, module = _parser(chosen, commands)
    if chosen is not None and given[0] != chosen and given[0] not in _BEFORE_A_COMMAND:
        parser.error(f"options come after the command: voxtrad COMMAND {given[0]} …")
    if chosen is not None and module is None:
        parser.error(_unknown(chosen, commands))
    arguments = parser.parse_args(given)
    if module is None:
        parser.print_help()
        return 2
    return module.run(arguments)


_BEFORE_A_COMMAND = ("-h", "--help", "--version")


def _parser(chosen: str | None, commands: Sequence[Command]) -> tuple[argparse.ArgumentParser, CommandModule | None]:
    """The parser, with the options of the chosen command only: the others are not imported."""
    parser = argparse.ArgumentParser(
        prog="voxtrad",
        description="The self-hosted voice-agent server for Asterisk.",
        epilog="`voxtrad COMMAND --help` says more, with an example.",
    )
    parser.add_argument("--version", action="version", version=f"voxtrad {__version__}")
    below = parser.add_subparsers(metavar="COMMAND", title="commands")
    module: CommandModule | None = None
    for command in commands:
        if command.name != chosen:
            below.add_parser(command.name, help=command.does)
            continue
        module = cast("CommandModule", import_module(command.module))
        options = below.add_parser(
            command.name,
            help=command.does,
            description=f"{command.does[0].upper()}{command.does[1:]}.",
            epilog=f"example:\n  {module.EXAMPLE}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.configure(options)
    return parser, module


def _give_up(error: Exception) -> int:
    """What nobody foresaw, in a line or two. Of a group of errors the expected ones are what matters."""
    from voxtrad.cli.common import wants_traceback

    if isinstance(error, ExceptionGroup):
        expected, rest = error.split(VoxtradError)
        for one in _leaves(expected):
            _say(cast("VoxtradError", one))
        if rest is None:
            return 1
        error = _leaves(rest)[0]
    if wants_traceback():
        raise error
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        print(f"voxtrad: {where}{in_words(error)}", file=sys.stderr)
        return 1
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    where = f" in {Path(at.tb_frame.f_code.co_filename).name}:{at.tb_lineno}" if at is not None else ""
    print(f"voxtrad: internal error: {type(error).__name__}{where}", file=sys.stderr)
    print("         this is a fault of voxtrad; with VOXTRAD_LOG_LEVEL=debug it tells more", file=sys.stderr)
    return 1


def _leaves(error: Exception | None) -> list[Exception]:
    if isinstance(error, ExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [] if error is None else [error]


def _say(error: VoxtradError) -> None:
    from voxtrad.config.diagnostics import ConfigError, as_text

    if isinstance(error, ConfigError):
        print(as_text(error.diagnostics, color=wants_color(sys.stderr)), file=sys.stderr)
        return
    print(f"voxtrad: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"         {error.hint}", file=sys.stderr)


def _unknown(word: str, commands: Sequence[Command]) -> str:
    from difflib import get_close_matches

    meant = get_close_matches(word, [command.name for command in commands], n=1)
    return f"there is no command '{word}'" + (f" (did you mean '{meant[0]}'?)" if meant else "")
