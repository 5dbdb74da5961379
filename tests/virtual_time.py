"""An event loop on which time is free: when nothing is ready it jumps to the next timer instead of waiting for it.

So a call of ten minutes runs in milliseconds and always in the same order. Mark a test or a module with
`pytest.mark.virtual_time` (async fixtures run on the same loop), or call `run` where every example needs a new loop.

What does not happen on this loop takes real time, and meanwhile time stands still: jobs in an executor are known,
anything else (a thread, a process) is announced with `real_time`. Open sockets get a real millisecond before each jump,
for bytes that are on their way across the loopback.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import selectors
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Executor
from typing import NoReturn, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
_Ready = list[tuple[selectors.SelectorKey, int]]

LIMIT = 86_400.0
"""Virtual seconds after which a test is taken to be endless."""
PATIENCE = 10.0
"""Real seconds that threads, sockets and processes may take to answer."""
SOCKET_GRACE = 0.001


class Stuck(AssertionError):
    """Nothing can happen on the loop any more, or it never ends. Says what each task waits for."""


def run(main: Coroutine[object, object, T], *, limit: float = LIMIT, patience: float = PATIENCE) -> T:
    """`asyncio.run` in virtual time. Raises `Stuck`."""
    with asyncio.Runner(loop_factory=lambda: VirtualTimeLoop(limit=limit, patience=patience)) as runner:
        return runner.run(main)


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Its `time()` starts at 1000 and moves in jumps only. `limit` is in virtual seconds, `patience` in real ones."""

    def __init__(self, *, limit: float = LIMIT, patience: float = PATIENCE) -> None:
        self._now = 1000.0
        self._end = self._now + limit
        self._patience = patience
        self._outside = 0
        super().__init__(_JumpingSelector(self._pass))

    def time(self) -> float:
        return self._now

    @contextlib.contextmanager
    def real_time(self) -> Generator[None]:
        """Inside, time stands still: something is under way that this loop cannot see."""
        self._outside += 1
        try:
            yield
        finally:
            self._outside -= 1

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        job = super().run_in_executor(executor, func, *args)
        self._outside += 1
        job.add_done_callback(self._returned)
        return job

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        with self.real_time():
            await super().shutdown_default_executor()

    def _returned(self, _: object) -> None:
        self._outside -= 1

    def _pass(self, timeout: float | None, poll: Callable[[float], _Ready], sockets: int) -> _Ready:
        """Called when nothing is ready, and the next timer is due in `timeout` seconds: wait really, or jump."""
        if self._outside or (timeout is None and sockets):
            return poll(self._patience) or self._stuck(f"nothing came from outside for {self._patience:g} real seconds")
        if timeout is None:
            self._stuck("nothing is ready and no timer is set")
        if sockets and (ready := poll(SOCKET_GRACE)):
            return ready
        self._now += timeout
        if self._now > self._end:
            self._stuck("the test's virtual time is up")
        return []

    def _stuck(self, why: str) -> NoReturn:
        tasks = io.StringIO()
        for task in sorted(asyncio.all_tasks(self), key=asyncio.Task.get_name):
            task.print_stack(file=tasks)
        raise Stuck(f"{why}\n{tasks.getvalue()}")


class _JumpingSelector(selectors.DefaultSelector):
    def __init__(self, pass_time: Callable[[float | None, Callable[[float], _Ready], int], _Ready]) -> None:
        super().__init__()
        self._pass_time = pass_time

    def select(self, timeout: float | None = None) -> _Ready:
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        return self._pass_time(timeout, super().select, len(self.get_map()) - 1)  # all but the loop's own wake-up pipe
