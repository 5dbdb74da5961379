"""`voxtrad calls`: what became of calls. Reads the database in `data_dir`, beside a running server or without one."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, cast

from voxtrad.cli.common import add_config_option, config_of_server, wants_color
from voxtrad.errors import VoxtradError
from voxtrad.events.types import JSON

if TYPE_CHECKING:
    from collections.abc import Mapping

EXAMPLE = "voxtrad calls list --agent support --limit 20\n  voxtrad calls show c_7f3a9d --json"


class NoSuchCall(VoxtradError):
    """There is no record of a call of this id."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", nargs="?", choices=("list", "show"), default="list", help="the latest calls, or one")
    parser.add_argument("id", nargs="?", metavar="ID", help="with show: which call")
    parser.add_argument("--agent", metavar="NAME")
    parser.add_argument("--outcome", metavar="NAME", help="completed, caller_hangup, transferred, failed, crashed, …")
    parser.add_argument("--number", metavar="N", help="of the caller or dialled; a part will do")
    parser.add_argument("--running", action="store_true", help="only calls that are not over")
    add_paging(parser)
    add_config_option(parser)
    parser.add_argument("--json", action="store_true", help="for programs")


def add_paging(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=int, default=20, metavar="N", help="how many (default 20, at most 500)")
    parser.add_argument("--after", metavar="CURSOR", help="the page that follows, as the page before says")


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0; errors are `VoxtradError`."""
    from voxtrad.ledger.ledger import ask
    from voxtrad.ledger.queries import CallFilter, list_calls, show_call
    from voxtrad.ledger.schema import FILE_NAME

    path = config_of_server(arguments).server.data_dir / FILE_NAME
    if arguments.action == "show":
        if arguments.id is None:
            raise NoSuchCall("which call?", hint="voxtrad calls show ID")
        record = ask(path, partial(show_call, call_id=arguments.id))
        if record is None:
            raise NoSuchCall(f"there is no record of a call '{arguments.id}'")
        print(_as_json(record) if arguments.json else _whole(record, color=wants_color(sys.stdout)))
        return 0
    wanted = CallFilter(
        agent=arguments.agent,
        outcome=arguments.outcome,
        number=arguments.number,
        state="running" if arguments.running else None,
        after=arguments.after,
        limit=arguments.limit,
    )
    page = ask(path, partial(list_calls, wanted=wanted))
    if arguments.json:
        print(_as_json({"items": page.items, "next": page.next}))
        return 0
    columns = ("id", "started", "agent", "from", "to", "state", "outcome", "duration")
    print_table(columns, page.items, page.next)
    return 0


# --- printing ---------------------------------------------------------------------------------------------------------


def print_table(columns: Sequence[str], items: Sequence[Mapping[str, JSON]], more: str | None) -> None:
    """Columns as wide as they must be; then how to get the next page."""
    rows = [[_cell(item[column]) for column in columns] for item in items]
    table = [list(columns), *rows]
    widths = [max(len(row[index]) for row in table) for index in range(len(columns))]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    if more:
        print(f"\nmore: --after {more}")


def _cell(value: JSON) -> str:
    return "-" if value is None or value == "" else f"{value:.1f}" if isinstance(value, float) else str(value)


def _as_json(value: JSON) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _whole(record: Mapping[str, JSON], *, color: bool) -> str:
    def title(text: str) -> str:
        return f"\n\033[1m{text}\033[0m" if color else f"\n{text}"

    def rows(key: str) -> list[Mapping[str, JSON]]:
        return cast("list[Mapping[str, JSON]]", record[key])

    facts = [f"{key:>10}  {_cell(value)}" for key, value in record.items() if not isinstance(value, list | dict)]
    lines = [*facts]
    if isinstance(analysis := record["analysis"], dict):
        lines.append(title("analysis"))
        found = {**cast("Mapping[str, JSON]", analysis["fields"]), **analysis}
        lines += [f"{key:>10}  {_cell(value)}" for key, value in found.items() if key != "fields"]
    if isinstance(recording := record["recording"], dict):
        lines.append(title("recording"))
        lines.append(f"{_cell(recording['seconds'])} s: GET {recording['location']}")
    if rows("transcript"):
        lines.append(title("transcript"))
    for said in rows("transcript"):
        cut = "  (interrupted)" if said["interrupted"] else ""
        lines.append(f"{_at(said)}  {said['speaker']:<6}  {said['text']}{cut}")
    if rows("tools"):
        lines.append(title("tools"))
    for tool in rows("tools"):
        lines.append(
            f"{_at(tool)}  {tool.get('tool')}({json.dumps(tool.get('arguments'), ensure_ascii=False)})"
            f" -> {tool.get('outcome') or 'no answer yet'} in {_cell(tool.get('duration'))} s:"
            f" {json.dumps(tool.get('result'), ensure_ascii=False)}"
        )
    if rows("timeline"):
        lines.append(title("timeline"))
    lines += [f"{_at(item)}  {item['what']}  {item['reason']}".rstrip() for item in rows("timeline")]
    lines.append(title("figures"))
    figures = cast("Mapping[str, JSON]", record["latency"])
    lines.append("latency in seconds: " + ", ".join(f"{key} {value}" for key, value in figures.items()))
    lines += [
        f"tokens of {used['provider']} {used['model']}: {used['prompt_tokens']} in, {used['completion_tokens']} out"
        for used in rows("tokens")
    ]
    return "\n".join(lines)


def _at(item: Mapping[str, JSON]) -> str:
    return f"{cast('float', item['at']):9.3f}"
