"""The composition root: a configuration goes in, a running server comes out. Here the rooms are joined.

A leg comes from telephony to the switchboard, which asks the roster for an agent and runs the call; what happens on
it goes to the bus, and everything that watches hangs there. `Core` is that without telephony; `serve` is the daemon.
"""

from __future__ import annotations

import asyncio
import secrets
import signal
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import structlog

from voxtrad.config.loader import Loaded
from voxtrad.config.models import AgentConfig, Config
from voxtrad.conversation.speech_cache import SpeechCache
from voxtrad.events.bus import Bus
from voxtrad.outbound.client import OutboundClient
from voxtrad.providers.base import JSON
from voxtrad.providers.registry import provider_types
from voxtrad.roster import Roster, ToolboxMaker
from voxtrad.routing import variables_needed
from voxtrad.switchboard import Switchboard
from voxtrad.telephony.asterisk.app import AsteriskTelephony
from voxtrad.telephony.asterisk.ari import open_session
from voxtrad.telephony.asterisk.settings import AsteriskSettings
from voxtrad.tools.base import CallActions
from voxtrad.tools.registry import build_tools
from voxtrad.tools.runner import ToolRunner

log = structlog.stdlib.get_logger(__name__)

PREPARED_RATE = 8000
"""Samples per second at which sentences are synthesized ahead: what nearly all telephones have."""


class Core:
    """What a call needs besides somebody who carries it: bus, agents, switchboard. An async context manager.

    Entering raises `VoxtradError` where a provider cannot be built.
    """

    def __init__(self, config: Config, *, keep_speech: bool = True) -> None:
        self.bus = Bus()
        self._stack = AsyncExitStack()
        self._cache = SpeechCache(config.server.data_dir / "speech" if keep_speech else None)
        self._config = config

    async def __aenter__(self) -> Self:
        self._outbound = await self._stack.enter_async_context(OutboundClient())
        self.roster = self.staff(self._config)
        self.switchboard = Switchboard(
            self.roster,
            publish=self.bus.publish,
            clock=asyncio.get_running_loop().time,
            on_rejected=lambda reason: None,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.roster.retire()
        self.bus.close()
        await self._stack.aclose()

    def staff(self, config: Config) -> Roster:
        """The agents of a configuration. Raises `VoxtradError`."""
        return Roster(config, types=provider_types(), tools=self._tools(config), cache=self._cache)

    async def replace(self, config: Config) -> None:
        """The calls to come are taken by the agents of this configuration. Raises `VoxtradError`, changing nothing."""
        new, old = self.staff(config), self.roster
        await new.prepare(PREPARED_RATE)
        self.roster = new
        self.switchboard.replace(new)
        await old.retire()

    def _tools(self, config: Config) -> Callable[[AgentConfig], ToolboxMaker]:
        def for_agent(agent: AgentConfig) -> ToolboxMaker:
            tools = build_tools(config, agent, client=self._outbound)

            def for_call(facts: Mapping[str, JSON], actions: CallActions, group: asyncio.TaskGroup) -> ToolRunner:
                return ToolRunner(tools, call=facts, actions=actions, group=group, publish=self.bus.publish)

            return for_call

        return for_agent


async def serve(loaded: Loaded) -> None:
    """Run until SIGTERM or SIGINT; then live calls may finish within `drain_timeout`, and a second signal stops."""
    config = loaded.config
    async with Core(config) as core, asyncio.TaskGroup() as group:
        running = []
        if config.asterisk is not None:
            session = open_session()
            telephony = AsteriskTelephony(asterisk_settings(config), core.switchboard.take, http=session)
            running.append(group.create_task(telephony.run(), name="telephony"))
        running.append(group.create_task(core.roster.prepare(PREPARED_RATE), name="prepare"))
        await _until_told_to_stop(core, config.server.drain_timeout)
        for task in running:
            task.cancel()


async def _until_told_to_stop(core: Core, patience: float) -> None:
    """SIGTERM drains, the next one stops."""
    told = asyncio.Event()
    again = asyncio.Event()

    def on_signal() -> None:
        (again if told.is_set() else told).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    await told.wait()
    log.info("stopping: no more calls are taken, live ones may finish", live=len(core.switchboard.calls))
    draining = asyncio.create_task(core.switchboard.drain(patience))
    stopping = asyncio.create_task(again.wait())
    await asyncio.wait([draining, stopping], return_when=asyncio.FIRST_COMPLETED)
    for task in (draining, stopping):
        task.cancel()
    await asyncio.gather(draining, stopping, return_exceptions=True)


def asterisk_settings(config: Config) -> AsteriskSettings:
    """The telephony's part of the configuration."""
    asterisk = config.asterisk
    if asterisk is None:
        raise ValueError("the configuration has no PBX")
    media = asterisk.media
    if media.transport == "rtp":
        raise ValueError("rtp is refused by the configuration's checks")
    return AsteriskSettings(
        instance=secrets.token_hex(4),
        url=asterisk.url,
        username=asterisk.username,
        password=asterisk.password.get_secret_value(),
        app=asterisk.app,
        transport=media.transport,
        rate=16000 if media.format == "slin16" else None if media.format == "auto" else 8000,
        audiosocket_listen=media.audiosocket.listen,
        audiosocket_advertise=media.audiosocket.advertise,
        variables=tuple(sorted(variables_needed(config))),
    )
