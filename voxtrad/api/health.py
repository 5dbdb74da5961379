"""What machines ask without a token: is the process alive, can it take calls, what are its figures."""

from __future__ import annotations

import asyncio

from aiohttp import web
from pydantic import BaseModel

from voxtrad.api.problems import Problem
from voxtrad.api.table import Asked, Nothing


class Alive(BaseModel):
    alive: bool = True


class Ready(BaseModel):
    ready: bool = True


async def live(asked: Asked[Nothing, Nothing]) -> Alive:
    """The event loop turns: it has answered."""
    return Alive()


async def ready(asked: Asked[Nothing, Nothing]) -> Ready:
    if reasons := asked.house.not_ready():
        raise Problem(503, "calls cannot be taken now", more={"reasons": list(reasons)})
    return Ready()


async def metrics(asked: Asked[Nothing, Nothing]) -> web.Response:
    """In a thread: it takes milliseconds, and audio does not wait."""
    text, content_type = await asyncio.to_thread(asked.house.metrics, asked.request.headers.get("Accept", ""))
    return web.Response(body=text, headers={"Content-Type": content_type})
