"""The MCP servers of the configurations in use: each is kept connected for as long as one of them has it.

A reload that leaves a server as it was leaves its connection alone; the calls of the old configuration keep those that
the new one does not have. What a server is and does is `mcp.py`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from voxtrad.config.models import Config, McpTool
from voxtrad.tools.mcp import McpServer
from voxtrad.tools.registry import mcp_server

FIRST_TRY = 3.0
"""Seconds that a start or a reload waits for servers that are connected for the first time."""

log = structlog.stdlib.get_logger(__name__)


@dataclass(slots=True)
class _Run:
    """A server, and how many configurations use it."""

    config: McpTool
    server: McpServer
    task: asyncio.Task[None]
    users: int = 1


class McpServers:
    """Runs servers in `group`, until the last `Lease` of each was given up or all of them are told to `stop`."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._runs: list[_Run] = []

    @property
    def running(self) -> list[McpServer]:
        """All that are kept connected."""
        return [run.server for run in self._runs]

    def lease(self, config: Config) -> Lease:
        """The servers of a configuration, connected from now on. Raises `McpNotInstalled`, leaving all as it was."""
        wanted = [tool for tool in config.tools.values() if isinstance(tool, McpTool)]
        known = {run.config.name: run for run in self._runs if run.config in wanted}
        servers = {tool.name: mcp_server(tool) for tool in wanted if tool.name not in known}
        for run in known.values():
            run.users += 1
        for tool in wanted:
            if tool.name not in known:
                server = servers[tool.name]
                task = self._group.create_task(server.run(), name=f"MCP server {tool.name}")
                known[tool.name] = _Run(tool, server, task)
                self._runs.append(known[tool.name])
        return Lease(self, known)

    def stop(self) -> None:
        """Let no server run any more, whoever uses it."""
        for run in self._runs:
            run.task.cancel()

    def give_up(self, run: _Run) -> None:
        """One user less."""
        run.users -= 1
        if not run.users:
            run.task.cancel()
            self._runs.remove(run)


class Lease:
    """The servers of one configuration, by the names of their tools."""

    def __init__(self, owner: McpServers, runs: Mapping[str, _Run]) -> None:
        self._owner = owner
        self._runs = dict(runs)
        self.servers: Mapping[str, McpServer] = {name: run.server for name, run in runs.items()}

    async def tried(self) -> None:
        """Wait until every server has connected or failed to, for `FIRST_TRY` seconds at most."""
        try:
            async with asyncio.timeout(FIRST_TRY):
                for server in self.servers.values():
                    await server.tried.wait()
        except TimeoutError:
            log.warning("not all MCP servers are connected yet; their tools follow", seconds=FIRST_TRY)

    def give_up(self) -> None:
        """The configuration is not in use any more. May be said again."""
        runs, self._runs = self._runs, {}
        for run in runs.values():
            self._owner.give_up(run)
