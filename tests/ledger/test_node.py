"""A receiver in another language: what voxtrad signs, Node verifies."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.ledger.support import OTHER_SECRET, SECRET, ended, house, said, started
from voxtrad.outbound.delivery import Endpoint

RECEIVER = Path(__file__).with_name("receiver.cjs")


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where Node finds the published library.

    Without a network there is none, and then the scheme itself must do; but not where `CI` is set.
    """
    directory = tmp_path_factory.mktemp("node")
    command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(directory), "standardwebhooks@1"]
    installed = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if os.environ.get("CI"):
        assert (directory / "node_modules/standardwebhooks").is_dir(), installed.stderr
    return directory / "node_modules"


@pytest.fixture
async def node(packages: Path) -> AsyncIterator[asyncio.StreamReader]:
    """The receiver's output, the port first."""
    process = await asyncio.create_subprocess_exec(
        "node", str(RECEIVER), SECRET, stdout=asyncio.subprocess.PIPE, env={**os.environ, "NODE_PATH": str(packages)}
    )
    assert process.stdout is not None
    yield process.stdout
    process.kill()
    await process.wait()


async def test_node_verifies_what_is_signed_and_refuses_what_is_not(
    tmp_path: Path, node: asyncio.StreamReader, packages: Path
) -> None:
    async with asyncio.timeout(60):
        endpoint = Endpoint("node", f"http://127.0.0.1:{int(await node.readline())}/", (SECRET,), ("*",))
        async with house(tmp_path / "1", endpoint) as here:
            for event in (started(), said("Grüße aus Köln 🎧"), ended()):
                here.ledger.record(event)
            await here.settled()
        assert here.outcomes == [("node", "delivered")] * 3
        lines = [json.loads(await node.readline()) for _ in range(3)]
        async with house(tmp_path / "2", replace(endpoint, secrets=(OTHER_SECRET,))) as here:
            here.ledger.record(started())
            await here.settled()
        assert here.outcomes == [("node", "retry")]
    assert [(line["type"], line["sequence"]) for line in lines] == [
        ("call.started", 1), ("user.transcript", 2), ("call.ended", 3),
    ]  # fmt: skip
    assert lines[1]["text"] == "Grüße aus Köln 🎧"
    assert {line["library"] for line in lines} == {(packages / "standardwebhooks").is_dir()}
