"""Work that is seen to its end, whatever becomes of whoever asked for it."""

import asyncio

import pytest
from structlog.testing import capture_logs

from voxtrad.finishing import WITHIN, finished

pytestmark = pytest.mark.virtual_time


@pytest.mark.parametrize("cancellations", [1, 3])
async def test_it_ends_before_its_asker_is_cancelled(cancellations: int) -> None:
    ended: list[str] = []

    async def work() -> None:
        await asyncio.sleep(5)
        ended.append("work")

    asker = asyncio.create_task(finished(work()))
    asker.add_done_callback(lambda _: ended.append("asker"))
    for _ in range(cancellations):
        await asyncio.sleep(1)
        asker.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asker
    assert ended == ["work", "asker"]


async def test_what_it_comes_to_is_told_to_who_waits() -> None:
    async def work(number: int) -> int:
        if number < 0:
            raise ValueError(number)
        return number + 1

    assert await finished(work(1)) == 2
    with pytest.raises(ValueError, match="-1"):
        await finished(work(-1))


@pytest.mark.parametrize("swallowed", [0, 3])
async def test_work_without_an_end_holds_nobody_who_is_cancelled(swallowed: int) -> None:
    loop = asyncio.get_running_loop()
    told = 0

    async def work() -> None:
        nonlocal told
        while True:
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:
                told += 1
                if told > swallowed:
                    raise

    asker = asyncio.create_task(finished(work()))
    await asyncio.sleep(1)
    asker.cancel()
    began = loop.time()
    with capture_logs() as logs, pytest.raises(asyncio.CancelledError):
        await asker
    assert WITHIN <= loop.time() - began <= WITHIN + 1.01 and told == 1
    assert [entry["event"] for entry in logs] == ["something that was to be finished does not end"]
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=1)


async def test_a_limit_of_time_is_told_as_that() -> None:
    async def work() -> None:
        await asyncio.sleep(5)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await finished(work())
