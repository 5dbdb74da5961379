"""voxtrad's Asterisk room on a real Asterisk, for tests that drive legs by hand."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from pbx import PASSWORD, USERNAME, Pbx

from voxtrad.leg import Digit, Ended
from voxtrad.telephony.asterisk.app import AsteriskTelephony
from voxtrad.telephony.asterisk.ari import open_session
from voxtrad.telephony.asterisk.leg import AsteriskLeg
from voxtrad.telephony.asterisk.settings import AsteriskSettings


class Legs:
    """Hands legs to the test as they ring, and holds each until the test has let it go."""

    def __init__(self) -> None:
        self._ringing: asyncio.Queue[AsteriskLeg] = asyncio.Queue()
        self._over: dict[str, asyncio.Event] = {}

    async def __call__(self, leg: AsteriskLeg) -> None:
        over = self._over[leg.info.id] = asyncio.Event()
        self._ringing.put_nowait(leg)
        await over.wait()

    async def next(self) -> AsteriskLeg:
        async with asyncio.timeout(10):
            return await self._ringing.get()

    def let_go(self, leg: AsteriskLeg) -> None:
        self._over[leg.info.id].set()


async def end_of(leg: AsteriskLeg, timeout: float = 10.0) -> tuple[str, str]:
    """Wait for the leg's end: all digits pressed before it, and its cause."""
    digits = ""
    async with asyncio.timeout(timeout):
        async for event in leg.events():
            match event:
                case Digit(digit):
                    digits += digit
                case Ended(cause):
                    return digits, cause
    raise AssertionError("the events ended without Ended")


def settings_for(pbx: Pbx, **changes: Any) -> AsteriskSettings:
    values: dict[str, Any] = {
        "instance": f"t{uuid.uuid4().hex[:8]}", "url": pbx.url, "username": USERNAME, "password": PASSWORD,
        "audiosocket_listen": "127.0.0.1:0", "rtp_listen": "127.0.0.1", "retry_after": 0.1, "retry_at_most": 0.5,
    }  # fmt: skip
    return AsteriskSettings(**{**values, **changes})


@contextlib.asynccontextmanager
async def serving(
    settings: AsteriskSettings, on_leg: Callable[[AsteriskLeg], Awaitable[None]], *, ready: bool = True
) -> AsyncIterator[AsteriskTelephony]:
    """Runs it; at the end nothing of it may be left in the process."""
    before = asyncio.all_tasks()
    async with open_session() as http:
        telephony = AsteriskTelephony(settings, on_leg, http=http)
        run = asyncio.create_task(telephony.run())
        try:
            if ready:
                async with asyncio.timeout(10):
                    await telephony.wait_ready()
            yield telephony
        finally:
            run.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await run
        left = {task for task in asyncio.all_tasks() - before if task.get_name() != "proxy"}
        assert not left, f"left in the process: {left}"
        assert telephony.live_legs == 0
