"""Fixtures with a real Asterisk. Where none can be had the tests are skipped with the reason, and with CI=true that is
a failure."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import pytest
import uvloop
from pbx import Pbx, PbxAri, Root


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that the server runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def asterisk_root() -> Root:
    """Where Asterisk, baresip and flite are installed."""
    script = Path(__file__).with_name("provision.sh")
    made = subprocess.run([script], capture_output=True, text=True)
    if made.returncode == 0:
        root = Root(Path(made.stdout.strip()))
        missing = [program for program in ("asterisk", "baresip", "flite") if not root.has(program)]
        if not missing:
            return root
        reason = f"Asterisk is here, but not {', '.join(missing)}"
    else:
        reason = (made.stderr.strip().splitlines() or [f"provision.sh ended with {made.returncode}"])[-1]
    if os.environ.get("CI") == "true":
        pytest.exit(f"tests on a real Asterisk cannot run: {reason}", returncode=4)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def shared_pbx(asterisk_root: Root) -> Iterator[Pbx]:
    """One running Asterisk for all tests that neither stop it nor change it."""
    pbx = Pbx(asterisk_root)
    try:
        pbx.start()
        yield pbx
    finally:
        pbx.close()


@pytest.fixture
def pbx(shared_pbx: Pbx) -> Pbx:
    """The shared Asterisk, running and without a channel or bridge."""
    if not shared_pbx.running:
        shared_pbx.start()
    return shared_pbx


@pytest.fixture
def own_pbx(asterisk_root: Root) -> Iterator[Pbx]:
    """An Asterisk of the test's own, to stop and start at will."""
    pbx = Pbx(asterisk_root)
    try:
        pbx.start()
        yield pbx
    finally:
        pbx.close()


@pytest.fixture
async def ari(pbx: Pbx) -> AsyncIterator[PbxAri]:
    """Looks at the shared Asterisk and lets callers in; hangs up what a test left."""
    async with pbx.ari() as ari:
        yield ari
        await ari.hang_up_all()
