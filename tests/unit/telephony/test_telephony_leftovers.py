"""What ended calls could not free: against a PBX that does not answer at first."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import pytest
from structlog.testing import capture_logs

from voxtrad.events.types import JSON
from voxtrad.telephony.asterisk.ari import AriError, AriRefused, AriUnreachable
from voxtrad.telephony.asterisk.leftovers import LAST, Leftovers


class Answers:
    """Deletes as it is told to: an error, or nothing, for each attempt."""

    def __init__(self, *answers: AriError | None) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[float, str]] = []
        self.changed = asyncio.Event()

    async def delete(self, path: str) -> JSON:
        self.asked.append((asyncio.get_running_loop().time(), path))
        self.changed.set()
        if answer := self._answers.pop(0):
            raise answer
        return None

    async def until(self, true: Callable[[], bool]) -> None:
        while not true():
            self.changed.clear()
            await self.changed.wait()


@contextlib.asynccontextmanager
async def running(answers: Answers, ready: asyncio.Event) -> AsyncIterator[Leftovers]:
    async def wait() -> None:
        await ready.wait()

    leftovers = Leftovers(answers.delete, ready=wait)
    run = asyncio.create_task(leftovers.run())
    try:
        yield leftovers
    finally:
        run.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await run


UNREACHABLE = AriUnreachable("no answer")


@pytest.mark.virtual_time
async def test_it_is_tried_until_asterisk_has_answered() -> None:
    ready = asyncio.Event()
    ready.set()
    answers = Answers(UNREACHABLE, UNREACHABLE, None, None)
    async with running(answers, ready) as leftovers:
        began = asyncio.get_running_loop().time()
        leftovers.add("bridges/a")
        await answers.until(lambda: len(answers.asked) == 3)
        await asyncio.sleep(60)
        assert [(round(at - began), path) for at, path in answers.asked] == [
            (5, "bridges/a"), (10, "bridges/a"), (15, "bridges/a"),
        ]  # fmt: skip
        leftovers.add("bridges/b")
        await answers.until(lambda: len(answers.asked) == 4)
        assert answers.asked[-1][1] == "bridges/b"


@pytest.mark.virtual_time
async def test_it_waits_for_a_connection() -> None:
    ready = asyncio.Event()
    answers = Answers(None, None)
    async with running(answers, ready) as leftovers:
        leftovers.add("bridges/a")
        leftovers.add("channels/a")
        leftovers.add("bridges/a")
        await asyncio.sleep(100)
        assert not answers.asked
        ready.set()
        await answers.until(lambda: len(answers.asked) == 2)
        await asyncio.sleep(100)
        assert [path for _, path in answers.asked] == ["bridges/a", "channels/a"]


@pytest.mark.virtual_time
@pytest.mark.parametrize(("answer", "said"), [(AriRefused(404, "?"), 0), (AriRefused(500, "?"), 1), (AriError("?"), 1)])
async def test_an_answer_is_the_end_of_it(answer: AriError, said: int) -> None:
    ready = asyncio.Event()
    ready.set()
    answers = Answers(answer)
    async with running(answers, ready) as leftovers:
        with capture_logs() as logs:
            leftovers.add("bridges/a")
            await asyncio.sleep(100)
        assert len(answers.asked) == 1 and len(logs) == said


async def test_what_is_left_when_nobody_runs_it_any_more_has_one_attempt() -> None:
    ready = asyncio.Event()
    answers = Answers(None, UNREACHABLE)
    async with running(answers, ready) as leftovers:
        leftovers.add("bridges/a")
        leftovers.add("channels/a")
    await leftovers.last()
    assert [path for _, path in answers.asked] == ["bridges/a", "channels/a"]


@pytest.mark.virtual_time
async def test_a_server_that_stops_waits_a_few_seconds_for_all_of_it() -> None:
    one_at_a_time = asyncio.Lock()
    asked: list[str] = []

    async def unanswered(path: str) -> JSON:
        async with one_at_a_time:
            asked.append(path)
            await asyncio.sleep(10)
            raise UNREACHABLE

    leftovers = Leftovers(unanswered, ready=asyncio.Event().wait)  # type: ignore[arg-type]  # nobody is ready
    for number in range(20):
        leftovers.add(f"bridges/{number}")
    began = asyncio.get_running_loop().time()
    with capture_logs() as logs:
        await leftovers.last()
    assert asyncio.get_running_loop().time() - began == LAST
    assert asked == ["bridges/0"] and [line["count"] for line in logs] == [20]
