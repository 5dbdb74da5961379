"""`voxtrad serve`: the daemon."""

from __future__ import annotations

import argparse
import os
import signal
from typing import TYPE_CHECKING

from voxtrad.cli.common import add_config_option, load_config

if TYPE_CHECKING:
    from voxtrad.config.loader import Loaded

EXAMPLE = "voxtrad serve -c config/voxtrad.yaml"


def configure(parser: argparse.ArgumentParser) -> None:
    add_config_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Runs until SIGTERM or SIGINT. Exit code 1 when the configuration is not valid, or cannot be put to work."""
    import structlog
    import uvloop

    from voxtrad.config.secrets import secrets_in
    from voxtrad.config.settings import read_settings
    from voxtrad.daemon import serve
    from voxtrad.observability.log import configure as configure_log

    os.umask(0o077)  # what the server writes is its owner's alone
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until it is known what to reload
    settings = read_settings()
    redaction = configure_log(settings.log_level, settings.log_format)
    log = structlog.stdlib.get_logger(__name__)

    def read() -> Loaded:
        """Its secrets are hidden before anybody can log them; those of former ones stay so, as calls still use them."""
        loaded = load_config(arguments, handlers=True)
        redaction.hide(secrets_in(loaded.config))
        for warning in loaded.warnings:
            log.warning("about the configuration", what=str(warning))
        return loaded

    uvloop.run(serve(read(), read, hide=redaction.hide))
    return 0
