"""What all tests share: tests marked `virtual_time` run on a loop that jumps from timer to timer; logs are plain;
and all that voxtrad prints is looked through for secrets when the last of them has run (`printed.py`)."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import structlog

from tests.printed import Printed
from tests.virtual_time import VirtualTimeLoop

# Without this, structlog draws tracebacks with all their variables where `rich` is installed: minutes for deep values.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
)


def pytest_configure(config: pytest.Config) -> None:
    """All that is printed is looked through for secrets in the end."""
    printed = Printed(Path(__file__).parent)
    patch = pytest.MonkeyPatch()
    printed.tap(patch)
    config.add_cleanup(patch.undo)
    config.pluginmanager.register(printed, "printed")


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.get_closest_marker("virtual_time"):
        return {"virtual": VirtualTimeLoop}
    return {"real": asyncio.new_event_loop}
