"""`voxtrad explain`: which agent would take a call and why, and where each value of the agent was written."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime

from voxtrad.cli.common import add_config_option, agent_named, load_config, wants_color
from voxtrad.config.diagnostics import show_loc
from voxtrad.config.effective import Line, in_effect
from voxtrad.config.loader import Loaded
from voxtrad.errors import VoxtradError
from voxtrad.leg import LegInfo
from voxtrad.routing import Decision, Step, decide

EXAMPLE = "voxtrad explain --to +442071234567 --from +353123 --var TIER=gold"


class UsageError(VoxtradError):
    """The command line names something that is not there."""


def configure(parser: argparse.ArgumentParser) -> None:
    add_config_option(parser)
    parser.add_argument("agent", nargs="?", metavar="AGENT", help="show this agent, whatever the routes say")
    parser.add_argument("--to", default="", metavar="N", help="the number that is dialled")
    parser.add_argument("--from", default="", dest="caller", metavar="N", help="the caller's number")
    parser.add_argument("--var", action="append", default=[], metavar="K=V", help="a channel variable; repeatable")
    parser.add_argument("--at", metavar="TIME", help="when, as in 2026-05-04T18:00+02:00 (default: now)")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0, or 1 when no agent takes the call."""
    loaded = load_config(arguments)
    decision = None if arguments.agent else decide(loaded.config, _leg(arguments), _moment(arguments.at))
    name = arguments.agent if decision is None else decision.agent
    if name is not None:
        agent_named(name, loaded.config)
    lines = [] if name is None else _lines(loaded, name)
    if arguments.json:
        print(json.dumps(_record(decision, name, lines), indent=2, ensure_ascii=False))
    else:
        _print(loaded, decision, lines, color=wants_color(sys.stdout))
    return 0 if name is not None else 1


def _leg(arguments: argparse.Namespace) -> LegInfo:
    for pair in arguments.var:
        if not pair.partition("=")[1]:
            raise UsageError(f"--var: '{pair}' has no '='", hint="write it like TIER=gold")
    variables = dict(pair.partition("=")[::2] for pair in arguments.var)
    asked = variables.get("VOXTRAD_AGENT") or variables.get("AI_AGENT")
    return LegInfo(
        id="", channel="", caller=arguments.caller, dialled=arguments.to, variables=variables, agent=asked or None
    )


def _moment(text: str | None) -> datetime:
    if text is None:
        return datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--at: '{text}' is not a time", hint="write it like 2026-05-04T18:00+02:00") from None
    return moment.astimezone() if moment.tzinfo is None else moment


def _lines(loaded: Loaded, name: str) -> list[Line]:
    """The agent, then its tools."""
    agent = loaded.config.agents[name]
    lines = list(in_effect(agent, ("agents", name), loaded.origin))
    for tool in agent.tools:
        if tool in loaded.config.tools:
            lines += in_effect(loaded.config.tools[tool], ("tools", tool), loaded.origin)
    return lines


# --- printing ---------------------------------------------------------------------------------------------------------


def _print(loaded: Loaded, decision: Decision | None, lines: list[Line], *, color: bool) -> None:
    bold, dim, green, off = ("\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[0m") if color else ("", "", "", "")
    if decision is not None:
        for step in decision.trail:
            mark = f"{green}✓{off}" if step.matched else "✗"
            print(f"{mark} {step.what}{_place(loaded, step, dim, off)}: {step.reason}")
        taker = f"{bold}{decision.agent}{off} takes the call" if decision.agent else "no agent takes the call"
        print(f"→ {taker}: {decision.reason}")
        if loaded.config.lookup is not None and decision.agent:
            print("  unless `lookup`, which is asked while it rings, names another agent or rejects the call")
        if lines:
            print()
    rows = [_row(line) for line in lines]
    width = min(_WIDTH, max((len(row) for row in rows), default=0))
    for row, line in zip(rows, lines, strict=True):
        if line.depth == 0:
            row = f"{bold}{show_loc(line.loc)}{off}:" + " " * (len(row) - len(show_loc(line.loc)) - 1)
        print(f"{row:{width}}  {dim}# {line.origin or 'default'}{off}".rstrip())


_WIDTH = 80


def _row(line: Line) -> str:
    row = f"{'  ' * line.depth}{line.key}{f' {line.value}' if line.value is not None else ''}"
    return row if len(row) <= _WIDTH else row[: _WIDTH - 1] + "…"


def _place(loaded: Loaded, step: Step, dim: str, off: str) -> str:
    origin = loaded.origins.get(step.what)
    return f" {dim}({origin}){off}" if origin else ""


def _record(decision: Decision | None, name: str | None, lines: list[Line]) -> dict[str, object]:
    record: dict[str, object] = {"agent": name}
    if decision is not None:
        record["reason"] = decision.reason
        record["warning"] = decision.warning
        record["trail"] = [{"what": s.what, "matched": s.matched, "reason": s.reason} for s in decision.trail]
    record["values"] = [
        {"path": show_loc(line.loc), "value": line.value, "origin": str(line.origin) if line.origin else None}
        for line in lines
        if line.value is not None
    ]
    return record
