import asyncio
import itertools
import subprocess
import sys
import threading
from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.virtual_time import Stuck, VirtualTimeLoop, run


@pytest.fixture
async def began() -> AsyncIterator[float]:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    yield loop.time()
    await asyncio.sleep(3600)


@pytest.mark.virtual_time
async def test_a_marked_test_and_its_fixtures_share_a_virtual_loop(began: float) -> None:
    await asyncio.sleep(3600)
    assert asyncio.get_running_loop().time() == began + 3600


async def test_an_unmarked_test_runs_in_real_time() -> None:
    assert not isinstance(asyncio.get_running_loop(), VirtualTimeLoop)


@settings(deadline=None)
@given(st.lists(st.floats(0, 10_000), max_size=30))
def test_timers_fire_in_order_and_on_time(delays: list[float]) -> None:
    fired: list[tuple[float, float]] = []

    async def sleeper(delay: float) -> None:
        await asyncio.sleep(delay)
        fired.append((delay, asyncio.get_running_loop().time() - 1000))

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for delay in delays:
                group.create_task(sleeper(delay))

    run(main())
    assert sorted(delays) == pytest.approx([delay for delay, _ in fired], abs=1e-8)
    assert all(at == pytest.approx(delay, abs=1e-8) for delay, at in fired)


def test_ten_minutes_of_frames_are_all_on_time() -> None:
    async def main() -> int:
        loop, frames = asyncio.get_running_loop(), 0
        async with asyncio.timeout(600):
            while True:
                frames += 1
                await asyncio.sleep(1000 + frames * 0.02 - loop.time())
                if frames == 29_999:
                    return frames

    assert run(main()) == 29_999


def test_time_outs_work() -> None:
    async def main() -> float:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 30)
        return asyncio.get_running_loop().time()

    assert run(main()) == 1030


def test_time_stands_still_while_an_executor_works() -> None:
    release = threading.Event()

    async def main() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        ticker = loop.create_task(asyncio.sleep(5))
        job = loop.run_in_executor(None, release.wait, 30)
        loop.call_soon(release.set)
        assert await job
        at_job = loop.time()
        await ticker
        return at_job, loop.time()

    assert run(main()) == (1000, 1005)


def test_time_stands_still_for_what_was_announced() -> None:
    async def main() -> tuple[bytes, float]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        async with asyncio.timeout(0.001):
            with loop.real_time():
                program = "import sys; sys.stdout.write(sys.stdin.read().upper())"
                child = await asyncio.create_subprocess_exec(
                    sys.executable, "-c", program, stdin=subprocess.PIPE, stdout=subprocess.PIPE
                )
                out, _ = await child.communicate(b"hello")
        return out, loop.time()

    assert run(main()) == (b"HELLO", 1000)


def test_a_thread_of_its_own_can_call_in() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        called = asyncio.Event()
        with loop.real_time():
            thread = threading.Thread(target=loop.call_soon_threadsafe, args=(called.set,))
            thread.start()
            await asyncio.wait_for(called.wait(), 1)
        thread.join()
        return loop.time()

    assert run(main()) == 1000


def test_loopback_sockets_are_faster_than_any_timer() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            await asyncio.sleep(0.01)
            writer.write(line.upper())
        writer.close()

    async def main() -> tuple[list[bytes], float]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            answers = []
            for number in range(20):
                writer.write(b"hello %d\n" % number)
                answers.append(await asyncio.wait_for(reader.readline(), 0.0101))
            writer.close()
            await writer.wait_closed()
        return answers, asyncio.get_running_loop().time()

    answers, end = run(main())
    assert answers == [b"HELLO %d\n" % number for number in range(20)]
    assert end == pytest.approx(1000.2)


def test_a_deadlock_is_an_error_that_names_what_waits() -> None:
    async def waits_for_godot() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Stuck, match=r"(?s)no timer is set.*waits_for_godot"):
        run(waits_for_godot())


def test_a_loop_without_end_is_an_error() -> None:
    async def forever() -> None:
        for _ in itertools.count():
            await asyncio.sleep(1)

    with pytest.raises(Stuck, match="time is up"):
        run(forever(), limit=100)


def test_a_silent_world_outside_is_an_error_after_some_patience() -> None:
    async def main() -> None:
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
        await server.serve_forever()

    with pytest.raises(Stuck, match="nothing came from outside"):
        run(main(), patience=0.05)


def test_what_was_left_running_is_cancelled_after_a_deadlock() -> None:
    cancelled: list[str] = []

    async def other() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append("other")
            raise

    async def main() -> None:
        task = asyncio.get_running_loop().create_task(other())
        await asyncio.Event().wait()
        await task

    with pytest.raises(Stuck):
        run(main())
    assert cancelled == ["other"]
