"""What the server spares its calls: pauses in which the interpreter looks through all that never changes."""

import asyncio
import gc

import pytest

from voxtrad.daemon import _settle


@pytest.fixture(autouse=True)
def thaw():
    yield
    gc.unfreeze()


async def test_what_is_there_at_the_start_is_not_looked_through_again():
    gc.unfreeze()
    started = asyncio.Event()
    settling = asyncio.create_task(_settle(started))
    await asyncio.sleep(0)
    assert gc.get_freeze_count() == 0, "before the start there may be garbage"
    started.set()
    await settling
    assert gc.get_freeze_count() > 10_000
