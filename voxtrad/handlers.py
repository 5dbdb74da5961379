"""Finds the Python functions that agents name as their `handler`, and says what is wrong with those that are none.

A module is looked for where Python looks, that is among the installed packages, and then beside the configuration file.
What a handler does with a call is its own business (`conversation/call.py` is what it gets).
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

from voxtrad.config.diagnostics import ConfigError, Diagnostic
from voxtrad.config.loader import Loaded
from voxtrad.conversation.call import Call
from voxtrad.errors import VoxtradError

HINT = "its module is an installed package, or stands beside the configuration file"


class HandlerNotFound(VoxtradError):
    """An agent's `handler` cannot be imported, or is not a coroutine function."""


def find_handler(path: str) -> Callable[[Call], Awaitable[None]]:
    """The coroutine function that `package.module:function` names. Raises `HandlerNotFound`."""
    module, _, name = path.partition(":")
    importlib.invalidate_caches()  # the module may have been written since the last look
    try:
        imported = importlib.import_module(module)
    except Exception as error:  # somebody's module: importing it runs it
        reason = f"{type(error).__name__}: {error}"
        raise HandlerNotFound(f"the module '{module}' cannot be imported: {reason}", hint=HINT) from error
    found: object = getattr(imported, name, None)
    if found is None:
        raise HandlerNotFound(f"the module '{module}' has no function '{name}'", hint=str(imported.__file__))
    if not inspect.iscoroutinefunction(found):
        raise HandlerNotFound(f"'{path}' is not a coroutine function", hint=f"write 'async def {name}(call)'")
    try:
        inspect.signature(found).bind(None)
    except TypeError as error:
        raise HandlerNotFound(f"'{path}' does not take a call", hint=f"write 'async def {name}(call)'") from error
    return cast("Callable[[Call], Awaitable[None]]", found)


def look_beside(configuration: Path) -> None:
    """From now on modules are looked for in the configuration's folder too, after all other places."""
    folder = str(configuration.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)


def check_handlers(loaded: Loaded) -> None:
    """Looks beside the configuration, too, and imports its handlers. Raises `ConfigError` with what is wrong."""
    if wrong := wrong_handlers(loaded):
        raise ConfigError([*loaded.warnings, *wrong], loaded.files)


def wrong_handlers(loaded: Loaded) -> list[Diagnostic]:
    """What is wrong with each handler that is none; they are looked for beside the configuration, too."""
    agents = [agent for agent in loaded.config.agents.values() if agent.handler is not None]
    if agents:
        look_beside(loaded.path)
    return [found for agent in agents if (found := _wrong(agent.name, str(agent.handler), loaded)) is not None]


def _wrong(agent: str, handler: str, loaded: Loaded) -> Diagnostic | None:
    try:
        find_handler(handler)
    except HandlerNotFound as error:
        return loaded.diagnostic(f"agents.{agent}.handler", error.message, hint=error.hint)
    return None
