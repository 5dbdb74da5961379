"""`voxtrad chat`: a conversation with an agent in text; its prompt, model and tools are those of a call."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import sys
from typing import TextIO

from voxtrad.cli.common import add_config_option, agent_named, load_config, wants_color
from voxtrad.cli.timeline import labelled
from voxtrad.config.models import Config
from voxtrad.config.secrets import secrets_in
from voxtrad.conversation.typed import TypedCall
from voxtrad.core import Core
from voxtrad.errors import VoxtradError
from voxtrad.events.types import ErrorOccurred, Event, SecurityDenied, ToolCalled, ToolCompleted
from voxtrad.leg import LegInfo
from voxtrad.observability.log import configure as configure_log
from voxtrad.switchboard import Refused
from voxtrad.telephony.simulated import SimulatedLeg

EXAMPLE = "voxtrad chat support\n  printf 'my order number is 1234\\nbye\\n' | voxtrad chat support --json"


def configure(parser: argparse.ArgumentParser) -> None:
    add_config_option(parser)
    parser.add_argument("agent", metavar="AGENT", help="the agent to talk to; the end of the input (Ctrl-D) ends it")
    parser.add_argument("--from", dest="caller", default="100", metavar="NUMBER", help="the caller's number")
    parser.add_argument("--to", default="1000", metavar="NUMBER", help="the number dialled")
    parser.add_argument("--json", action="store_true", help="for programs: a JSON object a line")
    parser.add_argument("-v", "--verbose", action="store_true", help="print the log as well")


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 when the conversation took place; errors are `VoxtradError`."""
    redaction = configure_log(level="info" if arguments.verbose else "warning")
    config = load_config(arguments, handlers=True).config
    redaction.hide(secrets_in(config))
    agent = agent_named(arguments.agent, config)
    if agent.handler is not None:
        raise VoxtradError(
            f"the agent '{agent.name}' has a handler of its own, which needs a call", hint=f"voxtrad call {agent.name}"
        )
    asyncio.run(_chat(config, arguments))
    return 0


async def _chat(config: Config, arguments: argparse.Namespace) -> None:
    clock = asyncio.get_running_loop().time
    screen = _Json(Keyboard(sys.stdin)) if arguments.json else _Lines(Keyboard(sys.stdin))
    info = LegInfo(
        id="typed", channel="Typed/caller", caller=arguments.caller, dialled=arguments.to, agent=arguments.agent
    )
    async with Core(config, keep_speech=False) as core:
        core.bus.tap("screen", (ToolCalled, ToolCompleted, SecurityDenied, ErrorOccurred), screen.shows)
        try:
            plan = await core.roster.plan(f"c_{secrets.token_hex(10)}", _nobody(info))
        except Refused as refused:
            raise VoxtradError(f"the call is not taken: {refused.message}") from refused
        call = TypedCall(
            screen,
            info,
            destinations=config.destinations,
            planner=core.roster.plan_for,
            publish=core.bus.publish,
            clock=clock,
        )
        await call.run(plan)


def _nobody(info: LegInfo) -> SimulatedLeg:
    """A leg that only tells who calls."""

    async def silent(leg: SimulatedLeg) -> None:
        return

    return SimulatedLeg(info, silent, rate=8000, clock=asyncio.get_running_loop().time)


class Keyboard:
    """The lines of a terminal, a pipe or a file, awaited without a thread."""

    def __init__(self, file: TextIO) -> None:
        self.is_terminal = file.isatty()
        self._descriptor = file.fileno()
        self._read = b""
        self._over = False

    async def line(self) -> str | None:
        """The next line; None at the end."""
        while b"\n" not in self._read and not self._over:
            await self._readable()
            data = os.read(self._descriptor, 65536)
            self._read += data
            self._over = not data
        line, end, self._read = self._read.partition(b"\n")
        return line.decode(errors="replace") if line or end else None

    async def _readable(self) -> None:
        loop, readable = asyncio.get_running_loop(), asyncio.Event()
        try:
            loop.add_reader(self._descriptor, readable.set)
        except PermissionError:
            return  # a regular file always is
        try:
            await readable.wait()
        finally:
            loop.remove_reader(self._descriptor)


class _Lines:
    """For a person."""

    def __init__(self, keyboard: Keyboard) -> None:
        self._keyboard = keyboard
        self._color = wants_color(sys.stdout)
        self._speaking = False

    def reads(self, piece: str) -> None:
        piece = piece.replace("\n", " ")
        if piece and not self._speaking:
            piece = f"{labelled('agent', colour=self._color)} {piece.lstrip()}"
        elif not piece and self._speaking:
            print()
        self._speaking = bool(piece)
        print(piece, end="", flush=True)

    def learns(self, what: str) -> None:
        self._line("→", what)

    async def types(self) -> str | None:
        print(f"{labelled('caller', colour=self._color)} ", end="", flush=True)
        line = await self._keyboard.line()
        if line is None or not self._keyboard.is_terminal:
            print(line or "")
        return line

    def shows(self, event: Event) -> None:
        match event:
            case ToolCalled():
                arguments = ", ".join(f"{key}={value!r}" for key, value in event.arguments.items())
                self._line("tool", f"{event.tool}({arguments})")
            case ToolCompleted():
                result = json.dumps(event.result, ensure_ascii=False)
                self._line("tool", f"{event.tool}: {event.outcome} in {event.duration * 1000:.0f} ms: {result}")
            case SecurityDenied() | ErrorOccurred():
                self._line("error", event.message if isinstance(event, ErrorOccurred) else event.reason)
            case _:
                pass

    def _line(self, who: str, what: str) -> None:
        self.reads("")
        print(f"{labelled(who, colour=self._color)} {what}", flush=True)


class _Json:
    """For a program: an object a line, `who` and what of them."""

    def __init__(self, keyboard: Keyboard) -> None:
        self._keyboard = keyboard
        self._written = ""

    def reads(self, piece: str) -> None:
        self._written += piece
        if not piece and self._written:
            text, self._written = self._written.strip(), ""
            _print({"who": "agent", "text": text})

    def learns(self, what: str) -> None:
        _print({"who": "note", "text": what})

    async def types(self) -> str | None:
        line = await self._keyboard.line()
        if line is not None:
            _print({"who": "caller", "text": line.strip()})
        return line

    def shows(self, event: Event) -> None:
        self.reads("")
        match event:
            case ToolCalled():
                _print({"who": "tool", "tool": event.tool, "arguments": event.arguments})
            case ToolCompleted():
                told = {"tool": event.tool, "outcome": event.outcome, "result": event.result}
                _print({"who": "tool", **told, "seconds": round(event.duration, 3)})
            case SecurityDenied() | ErrorOccurred():
                _print({"who": "error", "text": event.message if isinstance(event, ErrorOccurred) else event.reason})
            case _:
                pass


def _print(record: dict[str, object]) -> None:
    print(json.dumps(record, ensure_ascii=False), flush=True)
