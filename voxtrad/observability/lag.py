"""How late the event loop is: a timer that is set again and again, and how much too late it rang."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

EVERY = 0.25
"""Seconds between two measurements."""


async def measure_lag(observe: Callable[[float], None], *, every: float = EVERY) -> None:
    """Tell `observe` the lag in seconds, until cancelled."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + every
        await asyncio.sleep(every)
        observe(max(0.0, loop.time() - due))
