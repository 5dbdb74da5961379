"""What a call needs besides somebody who carries it: agents with their providers and tools, the switchboard, the bus.

The daemon (`daemon.py`) adds telephony, the API and what must not be forgotten; `voxtrad call` and `voxtrad chat` do
with this alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from voxtrad.config.models import AgentConfig, Config
from voxtrad.conversation.plan import ToolboxMaker
from voxtrad.conversation.speech_cache import SpeechCache
from voxtrad.events.bus import Bus
from voxtrad.events.types import Event, Rejection
from voxtrad.lookup import Lookup
from voxtrad.outbound.client import OutboundClient
from voxtrad.providers.base import JSON
from voxtrad.providers.fallback.circle import Nobody, Observer
from voxtrad.providers.registry import provider_types
from voxtrad.providers.stock import Stock, Types
from voxtrad.roster import Roster
from voxtrad.switchboard import Switchboard
from voxtrad.tools.base import CallActions, Tool
from voxtrad.tools.callbacks import Callbacks
from voxtrad.tools.mcp import McpServer
from voxtrad.tools.mcp_servers import McpServers
from voxtrad.tools.registry import build_tools
from voxtrad.tools.runner import ToolRunner


class Core:
    """The rooms of a call, joined for one configuration after the other. An async context manager.

    Entering raises `VoxtradError` where a provider cannot be built.
    """

    def __init__(
        self,
        config: Config,
        *,
        types: Types | None = None,
        observer: Observer | None = None,
        on_rejected: Callable[[Rejection], None] = lambda reason: None,
        callbacks: Callbacks | None = None,
        keep_speech: bool = True,
    ) -> None:
        """`types` are the providers to choose from: all of this installation, unless others are given. Without
        `callbacks` no tool can answer later."""
        self._observer = observer or Nobody()
        self._on_rejected = on_rejected
        self._callbacks = callbacks
        self.bus = Bus()
        self._types = provider_types() if types is None else types
        self._stack = AsyncExitStack()
        self._cache = SpeechCache(config.server.data_dir / "speech" if keep_speech else None)
        self._config = config
        self._preparing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        try:
            self.outbound = await self._stack.enter_async_context(OutboundClient())
            self._group = await self._stack.enter_async_context(asyncio.TaskGroup())
            self.servers = McpServers(self._group)
            self._stack.callback(self.servers.stop)
            self._stack.push_async_callback(self._give_up_preparing)
            self.roster = await self.staff(self._config)
        except BaseException:
            await self._stack.aclose()
            raise
        self.switchboard = Switchboard(
            self.roster,
            publish=self.bus.publish,
            clock=asyncio.get_running_loop().time,
            on_rejected=self._on_rejected,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        try:
            await self.roster.retire()
        finally:
            self.bus.close()
            await self._stack.aclose()

    async def staff(self, config: Config) -> Roster:
        """The agents of a configuration. Raises `VoxtradError`; then nothing of them is left."""
        stock, lease = Stock(self._types, self._observer), self.servers.lease(config)
        try:
            await lease.tried()
            return Roster(
                config,
                types=self._types,
                stock=stock,
                servers=lease,
                tools=self._tools(config, lease.servers),
                cache=self._cache,
                lookup=Lookup(config.lookup, self.outbound) if config.lookup is not None else None,
            )
        except BaseException:
            lease.give_up()
            await stock.aclose()
            raise

    def replace(self, roster: Roster) -> Roster:
        """The calls to come are taken by these agents; returns those who took them, to be retired."""
        old, self.roster = self.roster, roster
        self.switchboard.replace(roster)
        return old

    async def prepare(self) -> None:
        """Have what the agents are sure to say synthesized. Nobody waits for it: a vendor may be slow, or be down."""
        await self._give_up_preparing()
        self._preparing = self._group.create_task(_prepare(self.roster), name="prepare")

    async def _give_up_preparing(self) -> None:
        if self._preparing is not None:
            self._preparing.cancel()
            await asyncio.wait([self._preparing])

    def _tools(self, config: Config, servers: Mapping[str, McpServer]) -> Callable[[AgentConfig], ToolboxMaker]:
        built: dict[str, Tool] = {}

        def for_agent(agent: AgentConfig) -> ToolboxMaker:
            tools = build_tools(
                config, agent, client=self.outbound, callbacks=self._callbacks, servers=servers, built=built
            )

            def for_call(
                facts: Mapping[str, JSON],
                actions: CallActions,
                group: asyncio.TaskGroup,
                publish: Callable[[Event], None],
            ) -> ToolRunner:
                return ToolRunner(
                    tools,
                    call=facts,
                    destinations=config.destinations,
                    actions=actions,
                    group=group,
                    publish=publish,
                )

            return for_call

        return for_agent


async def _prepare(roster: Roster) -> None:
    for rate in rates_of(roster.config):
        await roster.prepare(rate)


def rates_of(config: Config) -> tuple[int, ...]:
    """Sample rates that calls can have: what all of them are told is prepared for each."""
    form = config.asterisk.media.format if config.asterisk is not None else "auto"
    return (8000, 16000) if form == "auto" else (16000,) if form == "slin16" else (8000,)
