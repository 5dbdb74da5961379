"""All tests that a landing runs, in three lanes side by side: most of them wait for a PBX, a browser or a process.

    python -m tests.lanes [pytest's arguments]

Each lane is a pytest of its own; its lines are printed as they come. What is marked `every_lane` runs in each: it looks
through all that was printed there. Exit code 0 when all have passed.
"""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass

_OF_EVERY_LANE = "tests/test_nothing_secret_was_printed.py"


@dataclass(frozen=True)
class Lane:
    name: str
    arguments: tuple[str, ...]


LANES = (
    Lane("asterisk", ("-m", "(asterisk or every_lane) and not long", "tests")),
    Lane("rooms", ("-m", "not asterisk and not long", "tests/unit", _OF_EVERY_LANE)),
    Lane("servers", ("-m", "not asterisk and not long", "tests", "--ignore", "tests/unit")),
)
"""Every test that is not `long` is in one of them."""


async def run(lane: Lane, more: list[str]) -> bool:
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *lane.arguments, *more,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    async for line in process.stdout:
        print(f"[{lane.name}] {line.decode(errors='replace').rstrip()}", flush=True)
    passed = await process.wait() == 0
    print(f"[{lane.name}] {'passed' if passed else 'FAILED'} in {time.monotonic() - began:.0f} s", flush=True)
    return passed


async def main(more: list[str]) -> int:
    results = await asyncio.gather(*(run(lane, more) for lane in LANES))
    failed = [lane.name for lane, passed in zip(LANES, results, strict=True) if not passed]
    print(f"lanes: {len(LANES) - len(failed)} passed, {len(failed)} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
