"""Logging: console in a terminal, JSON lines otherwise; the call's id on every line, and no secret on any.

Everything goes through structlog, the standard library's loggers of other packages too.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Collection
from typing import Literal, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

Format = Literal["auto", "console", "json"]

HIDDEN = "***"
QUIET = ("aiohttp.access", "asyncio", "httpcore", "httpx", "openai", "websockets")
"""Loggers of other packages that say something every second; heard from `warning` on."""


def configure(
    level: str = "info", format: Format = "auto", secrets: Collection[str] = (), stream: TextIO | None = None
) -> None:
    """Set logging up for this process. `secrets` are values that no line may hold; may be called again."""
    stream = stream if stream is not None else sys.stderr
    json = format == "json" or (format == "auto" and not stream.isatty())
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    hide = _Hider(secrets)
    rendering: list[Processor] = (
        [structlog.processors.dict_tracebacks, hide, structlog.processors.JSONRenderer()]
        if json
        else [hide, structlog.dev.ConsoleRenderer(colors=stream.isatty())]
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(threshold)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))


class _Hider:
    """Replaces secret values wherever they stand in a line."""

    def __init__(self, secrets: Collection[str]) -> None:
        self._secrets = sorted((s for s in secrets if len(s) >= 4), key=len, reverse=True)

    def __call__(self, logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
        if self._secrets:
            for key, value in event.items():
                event[key] = self._hide(value)
        return event

    def _hide(self, value: object) -> object:
        match value:
            case str():
                for secret in self._secrets:
                    value = value.replace(secret, HIDDEN)
                return value
            case dict():
                return {key: self._hide(item) for key, item in value.items()}
            case list() | tuple():
                return [self._hide(item) for item in value]
            case _:
                return value
