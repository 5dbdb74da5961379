"""What commands share: the `-c` option, loading a configuration, colours on a terminal."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from voxtrad.errors import VoxtradError

if TYPE_CHECKING:
    from voxtrad.config.loader import Loaded
    from voxtrad.config.models import AgentConfig, Config


class NoSuchAgent(VoxtradError):
    """The command line names an agent that the configuration does not have."""


def add_config_option(parser: argparse.ArgumentParser) -> None:
    """`-c`, for every command that reads a configuration."""
    parser.add_argument(
        "-c", "--config", type=Path, metavar="FILE",
        help="the configuration (default: config/voxtrad.yaml, or what VOXTRAD_CONFIG says)",
    )  # fmt: skip


def config_path(arguments: argparse.Namespace) -> Path:
    """The configuration that `-c` or the environment names."""
    from voxtrad.config.settings import read_settings

    given: Path | None = arguments.config
    return given if given is not None else read_settings().config


def load_config(arguments: argparse.Namespace, *, handlers: bool = False) -> Loaded:
    """Loads the configuration with all provider types of this installation, and what the environment says instead.

    With `handlers` the agents' Python handlers are imported, too. Raises `ConfigError` and `SettingsError`.
    """
    from voxtrad.config.loader import load
    from voxtrad.config.settings import read_settings
    from voxtrad.providers.registry import provider_types

    settings = read_settings()
    loaded = load(config_path(arguments), provider_types=provider_types(), data_dir=settings.data_dir)
    if handlers:
        from voxtrad.handlers import check_handlers

        check_handlers(loaded)
    return loaded


def config_of_server(arguments: argparse.Namespace) -> Config:
    """The configuration, for finding the server that runs with it.

    While one does, what is valid of the file will do: since the start it may have been broken, and the variables of the
    server's environment need not be set here. Raises `ConfigError` and `SettingsError`.
    """
    from voxtrad.config.loader import InvalidConfig
    from voxtrad.lease import address_of_living

    try:
        return load_config(arguments).config
    except InvalidConfig as error:
        if error.valid is None or address_of_living(error.valid.server.data_dir) is None:
            raise
        return error.valid


def agent_named(name: str, config: Config) -> AgentConfig:
    """Raises `NoSuchAgent`, with what was probably meant."""
    from voxtrad.config.diagnostics import did_you_mean

    if name not in config.agents:
        meant = did_you_mean(name, config.agents)
        hint = f"did you mean '{meant}'?" if meant else f"there are: {', '.join(config.agents)}"
        raise NoSuchAgent(f"there is no agent '{name}'", hint=hint)
    return config.agents[name]


def wants_traceback() -> bool:
    """Whether whoever runs a command has asked to see everything."""
    return os.environ.get("VOXTRAD_LOG_LEVEL", "").lower() == "debug"


def wants_color(stream: TextIO) -> bool:
    """Whether to use colours: on a terminal, unless NO_COLOR asks not to."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
