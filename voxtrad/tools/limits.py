"""`concurrency`: how many calls of one tool may be under way at once, over all telephone calls."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from voxtrad.providers.base import JSON, ToolSpec
from voxtrad.tools.base import CallActions, Outcome, Tool, ToolContext, ToolOptions


class Limited:
    """A tool whose calls wait for a free slot, in the order they came; the wait counts towards the tool's time."""

    def __init__(self, tool: Tool, slots: asyncio.Semaphore) -> None:
        self._tool = tool
        self._slots = slots

    @property
    def spec(self) -> ToolSpec:
        return self._tool.spec

    @property
    def options(self) -> ToolOptions:
        return self._tool.options

    async def run(self, arguments: Mapping[str, JSON], context: ToolContext, actions: CallActions) -> Outcome:
        async with self._slots:
            return await self._tool.run(arguments, context, actions)
