"""`make bench`: the figures of a run as tables, and as JSON where it is asked for."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
from dataclasses import asdict
from pathlib import Path

from tests.bench import quality
from tests.bench.corpus import NoRecordings
from tests.bench.figures import Level, report
from tests.bench.load import Plan, run


def _plain(value: object) -> object:
    if isinstance(value, Level):
        return value.json()
    raise TypeError(f"{type(value).__name__} is not written as JSON")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--quick", action="store_true", help="one and ten calls, for some seconds")
    parser.add_argument("--only", choices=("calls", "turns"), help="one half of it")
    arguments = parser.parse_args()
    result: dict[str, object] = {"python": platform.python_version(), "cores": os.cpu_count()}
    texts = []
    if arguments.only != "turns":
        plan = Plan(((1, 10.0), (10, 10.0)), ((1, 5.0), (10, 5.0)), 1) if arguments.quick else Plan()
        calls = asyncio.run(run(plan, lambda what: print(f"  {what}", file=sys.stderr)))
        result["calls"] = calls
        texts.append(report(calls))
    if arguments.only != "calls":
        try:
            turns = quality.judge(3 if arguments.quick else 20)
            result["turns"] = [asdict(one) for one in turns]
            texts.append(quality.report(turns))
        except NoRecordings as error:
            texts.append(f"no table of turn taking: {error}")
    print("\n" + "\n\n".join(texts))
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(result, indent=1, default=_plain) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
