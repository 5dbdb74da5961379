"""Log set-up: lines for people in a terminal, JSON everywhere else, the call's id on each, and no secret in any.

Whoever logs takes `structlog.stdlib.get_logger(__name__)` and says what happened with its facts as keywords; libraries'
own log lines pass through here too. What a caller said is no business of the log; where an agent's `privacy` is not
`full`, whoever carries a call binds `privacy` beside `call_id`, and a line of the call keeps no more than events do.
The same goes for numbers that the caller keyed in and nobody may keep (`sensitive_numbers`).
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Literal, TextIO, cast
from urllib.parse import quote

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from voxtrad.events.types import JSON
from voxtrad.ledger.privacy import Privacy, mask, mask_number
from voxtrad.ledger.sensitive import Sensitive

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "console", "json"]

_TALKATIVE = (
    "watchfiles",
    "aiohttp",
    "asyncio",
    "httpcore",
    "httpx",
    "httpcore2",
    "httpx2",
    "mcp",
    "openai",
    "urllib3",
    "websockets",
)
_HIDDEN = "(hidden)"
PRIVACY = "privacy"
"""The key that is bound in a call's context: `full`, `redacted` or `none`. It is not printed."""
SENSITIVE = "sensitive_numbers"
"""The same for the numbers of a call that nobody may keep; not `sensitive`, which handlers may log."""
_OWN_KEYS = frozenset({"timestamp", "level", "logger"})
_HARMLESS_KEYS = _OWN_KEYS | {"call_id", "leg", "agent", "tool", "tool_call_id", "provider", "transport", "asterisk"}
"""Ids, and names of the configuration: no call's privacy hides them."""
_SHORT = 8
"""A secret of fewer characters is likely to be an everyday word as well (`voxtrad`)."""
_NUMBER = re.compile(r"\+\d{7,15}(?!\d)")
_BARE_NUMBER = re.compile(r"\+?\d{7,15}")
_IN_CHANNEL = re.compile(r"(?<![\w-])\+?\d{7,15}(?!\w)")
"""As in `Local/447911123456@trunk-00000001;1`, of which the end is no number."""
_NUMBER_KEYS = frozenset({"caller", "dialled", "from", "number", "to"})


def configure(
    level: Level = "info", format: Format = "auto", secrets: Iterable[str] = (), stream: TextIO | None = None
) -> Redaction:
    """Send all log lines to `stream` (standard error) from now on; may be called again.

    `auto` is for people where the stream is a terminal. `secrets` are hidden wherever they appear, and so is what the
    redaction that is returned is told to hide later; telephone numbers are shortened to `+4420…12`, except at `debug`.
    """
    redaction = Redaction(secrets, numbers=level != "debug")
    out = stream if stream is not None else sys.stderr
    people = format == "console" or (format == "auto" and out.isatty())
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_COMMON,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.TimeStamper(fmt="%H:%M:%S.%f" if people else "iso", utc=not people),
                structlog.processors.StackInfoRenderer(),
                structlog.processors.format_exc_info,
                redaction,
                *_renderer(people, colors=out.isatty() and not os.environ.get("NO_COLOR")),
            ],
        )
    )
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h.formatter, structlog.stdlib.ProcessorFormatter)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_COMMON,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    return redaction


_COMMON: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.PositionalArgumentsFormatter(),
)


def _renderer(people: bool, *, colors: bool) -> tuple[Processor, ...]:
    if people:
        return (structlog.dev.ConsoleRenderer(colors=colors),)
    return (structlog.processors.JSONRenderer(ensure_ascii=False),)


class Redaction:
    """A structlog processor that hides secrets and shortens telephone numbers in every value of a line."""

    def __init__(self, secrets: Iterable[str], *, numbers: bool) -> None:
        self._numbers = numbers
        self._known: frozenset[str] = frozenset()
        self._short: frozenset[str] = frozenset()
        self._secrets: re.Pattern[str] | None = None
        self.hide(secrets)

    def hide(self, secrets: Iterable[str]) -> None:
        """Hide these as well from now on; what was hidden before stays so. May be called from any thread."""
        known = self._known | {secret for secret in secrets if secret}
        if known == self._known:
            return
        self._known = known
        short = frozenset(secret for secret in known if len(secret) < _SHORT)
        long = {spelled for secret in known - short for spelled in _spellings(secret)}
        patterns = [re.escape(spelled) for spelled in sorted(long, key=len, reverse=True)]
        patterns += [rf"(?<=:){re.escape(secret)}(?=@)" for secret in short]  # in a URL
        self._short, self._secrets = short, re.compile("|".join(patterns)) if patterns else None

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        level: Privacy = event.pop(PRIVACY, "full")
        numbers = event.pop(SENSITIVE) if isinstance(event.get(SENSITIVE), Sensitive) else None
        shown = {key: value if key in _OWN_KEYS else self._value(key, value) for key, value in event.items()}
        if numbers is not None:
            shown = {k: v if k in _HARMLESS_KEYS else numbers.value(cast("JSON", v)) for k, v in shown.items()}
        if level == "full":
            return shown
        return {key: value if key in _HARMLESS_KEYS else _private(key, value, level) for key, value in shown.items()}

    def _value(self, key: str, value: object) -> object:
        match value:
            case None | bool() | int() | float():
                return value
            case str():
                return self._text(key, value)
            case Mapping():
                return {self._text("", str(name)): self._value(str(name), item) for name, item in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self._value(key, item) for item in value]
            case _:
                return self._text(key, repr(value))

    def _text(self, key: str, text: str) -> str:
        if text in self._short:
            return _HIDDEN
        if self._secrets is not None:
            text = self._secrets.sub(_HIDDEN, text)
        if not self._numbers:
            return text
        if key in _NUMBER_KEYS and _BARE_NUMBER.fullmatch(text):
            return shorten(text)
        if key == "channel":
            return _IN_CHANNEL.sub(lambda match: shorten(match[0]), text)
        return _NUMBER.sub(lambda match: shorten(match[0]), text)


def _private(key: str, value: object, level: Privacy) -> object:
    """A value as it may be logged of a call that keeps less than everything. What happened is always told."""
    match value:
        case str() if key in ("event", "exception"):
            return mask(value)
        case str() | Mapping() | list() if level == "none":
            return _HIDDEN
        case str():
            return mask_number(value) if key in _NUMBER_KEYS else mask(value)
        case Mapping():
            return {mask(str(name)): _private(str(name), item, level) for name, item in value.items()}
        case list():
            return [_private(key, item, level) for item in value]
        case _:
            return value


def _spellings(secret: str) -> Iterable[str]:
    """As it is, and as it stands within other text: quoted by Python or JSON, or in a URL."""
    yield secret
    yield repr(secret)[1:-1]
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield quote(secret.encode("utf-8", "replace"), safe="")


def shorten(number: str) -> str:
    """A telephone number as it may stand in a log: enough to find a call by, too little to call back."""
    return f"{number[:5]}…{number[-2:]}"
