"""`voxtrad serve`: the daemon."""

from __future__ import annotations

import argparse

from voxtrad.cli.common import add_config_option, load_config

EXAMPLE = "voxtrad serve -c config/voxtrad.yaml"


def configure(parser: argparse.ArgumentParser) -> None:
    add_config_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Runs until SIGTERM or SIGINT. Exit code 1 when the configuration is not valid."""
    import uvloop

    from voxtrad.config.settings import read_settings
    from voxtrad.daemon import serve
    from voxtrad.observability.log import configure as configure_log

    settings = read_settings()
    loaded = load_config(arguments)
    configure_log(settings.log_level, settings.log_format)
    uvloop.run(serve(loaded, lambda: load_config(arguments)))
    return 0
