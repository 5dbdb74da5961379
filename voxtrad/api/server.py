"""The server itself: its agents as they are in effect, reloading, draining."""

from __future__ import annotations

import structlog
from pydantic import BaseModel

from voxtrad import __version__
from voxtrad.api.problems import Problem
from voxtrad.api.table import Asked, Nothing
from voxtrad.config.diagnostics import show_loc
from voxtrad.config.effective import in_effect

log = structlog.stdlib.get_logger(__name__)


class Setting(BaseModel):
    """One value of the configuration. Secrets are hidden, and `${…}` is shown as it was written."""

    path: str
    value: str
    source: str | None
    """File and line; null for a default."""


class AgentView(BaseModel):
    name: str
    live: int
    """Calls that it has now."""
    settings: list[Setting]


class Agents(BaseModel):
    items: list[AgentView]


class Reloading(BaseModel):
    restart: list[str]
    """Changed values that only a restart brings into effect."""


class Draining(BaseModel):
    draining: bool
    live: int
    """Calls that are not over."""


class Status(BaseModel):
    """What `/ready` says, for a page: not being ready is no error of the request."""

    ready: bool
    reasons: list[str]
    """Why no call can be taken now."""
    draining: bool
    live: int
    max_calls: int
    pbx: bool
    """Whether one is configured."""
    version: str


async def status(asked: Asked[Nothing, Nothing]) -> Status:
    house = asked.house
    reasons, config = list(house.not_ready()), house.loaded().config
    return Status(
        ready=not reasons,
        reasons=reasons,
        draining=house.board.draining,
        live=len(house.board.calls),
        max_calls=config.server.max_calls,
        pbx=config.asterisk is not None,
        version=__version__,
    )


async def agents(asked: Asked[Nothing, Nothing]) -> Agents:
    loaded = asked.house.loaded()
    live = [session.plan.config.name for session in asked.house.board.calls.values()]
    return Agents(
        items=[
            AgentView(
                name=name,
                live=live.count(name),
                settings=[
                    Setting(
                        path=show_loc(line.loc[2:]),
                        value=line.value,
                        source=None if line.origin is None else str(line.origin),
                    )
                    for line in in_effect(agent, ("agents", name), loaded.origin)
                    if line.value is not None
                ],
            )
            for name, agent in loaded.config.agents.items()
        ]
    )


async def reload(asked: Asked[Nothing, Nothing]) -> Reloading:
    """Load the configuration again, for the calls to come: all of it, or nothing."""
    done = await asked.house.reload()
    if not done.ok:
        raise Problem(409, "not reloaded, the old configuration runs on", more={"errors": list(done.errors)})
    return Reloading(restart=list(done.restart))


async def draining(asked: Asked[Nothing, Nothing]) -> Draining:
    """Whether calls are still taken, and how many are live."""
    board = asked.house.board
    return Draining(draining=board.draining, live=len(board.calls))


async def drain(asked: Asked[Nothing, Nothing]) -> Draining:
    """Take no more calls: they go on in the dialplan. Live ones go on; the server stays until it is stopped,
    and its `drain_timeout` counts from here."""
    board = asked.house.board
    if not board.draining:
        log.info("draining: live calls may finish, no more are taken", by=asked.client.name, live=len(board.calls))
    board.take_no_more()
    return Draining(draining=True, live=len(board.calls))
