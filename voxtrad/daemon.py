"""The composition root: a configuration goes in, a running server comes out. Here the rooms are joined.

A leg comes from telephony to the switchboard, which asks the roster for an agent and runs the call; what happens on
it goes to the bus, and everything that watches hangs there. `core.py` is that without telephony; `serve` is the daemon.
"""

from __future__ import annotations

import asyncio
import gc
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from functools import partial

import structlog
from prometheus_client import CollectorRegistry

from voxtrad.api.app import build_app
from voxtrad.api.gate import Gate
from voxtrad.api.house import House
from voxtrad.api.listener import certificate, listening, seen_from_outside, tls_context
from voxtrad.api.routes import TABLE
from voxtrad.api.tokens import Tokens
from voxtrad.api.watch import Watch
from voxtrad.config.loader import Loaded
from voxtrad.config.models import Config
from voxtrad.core import Core
from voxtrad.lease import Address, Lease, leased
from voxtrad.ledger.ledger import RECORDED, open_ledger
from voxtrad.ledger.privacy import Privacy
from voxtrad.ledger.queries import crashed_since
from voxtrad.ledger.recordings import owner_of
from voxtrad.ledger.schema import LedgerError
from voxtrad.ledger.store import Settings
from voxtrad.leg import LegError
from voxtrad.observability.lag import measure_lag
from voxtrad.observability.metrics import Metrics
from voxtrad.observability.readings import Backlog, Readings
from voxtrad.observability.traces import traced
from voxtrad.observability.watching import Watching
from voxtrad.outbound.delivery import Delivery
from voxtrad.outgoing import Outgoing
from voxtrad.providers.stock import Types
from voxtrad.reloading import Reloader
from voxtrad.routing import variables_needed
from voxtrad.salvage import fetch_recordings
from voxtrad.telephony.asterisk.app import AsteriskTelephony
from voxtrad.telephony.asterisk.ari import open_session
from voxtrad.telephony.asterisk.settings import AsteriskSettings
from voxtrad.tools.callbacks import Callbacks

log = structlog.stdlib.get_logger(__name__)

LAST_CALLS = 5.0
"""Seconds that live calls may take to end when the server is told to stop a second time."""
LAST_WORDS = 5.0
"""Seconds that events may still be delivered in when the server stops."""


class Server:
    """A running voxtrad: `run` it, and it takes calls until `stop` is called and the live ones are over."""

    def __init__(
        self,
        loaded: Loaded,
        load: Callable[[], Loaded],
        *,
        types: Types | None = None,
        hide: Callable[[Iterable[str]], None] = lambda secrets: None,
    ) -> None:
        """`load` reads the configuration again; it runs off the event loop. `hide` keeps secrets out of the log that
        do not stand in the configuration."""
        self.config = loaded.config
        self._hide = hide
        self._key = secrets.token_urlsafe(32)
        self.callbacks = Callbacks(str(self.config.server.public_url or ""))
        self.metrics = Metrics(CollectorRegistry(), self._readings())
        self.core = Core(
            self.config,
            types=types,
            observer=self.metrics,
            on_rejected=self.metrics.on_rejected,
            callbacks=self.callbacks,
        )
        self.watch = Watch(self._privacy)
        self.reloader = Reloader(loaded, load, self._apply)
        self.telephony: AsteriskTelephony | None = None
        self.started = asyncio.Event()
        """Set when the rooms are joined; the PBX may not be connected yet."""
        self._told = asyncio.Event()
        self._again = asyncio.Event()
        self._asked = asyncio.Event()

    def stop(self) -> None:
        """Take no more calls and let live ones finish within `drain_timeout`; said again, hang them up."""
        (self._again if self._told.is_set() else self._told).set()

    def reload(self) -> None:
        """Read the configuration again, soon (SIGHUP)."""
        self._asked.set()

    async def run(self) -> None:
        """Raises `VoxtradError` where the configuration cannot be put to work."""
        self._hide((self._key,))
        self.gate = Gate(
            self._tokens(self.config), clock=asyncio.get_running_loop().time, on_wrong=self.metrics.on_auth_failure
        )
        self.metrics.configure(self.config)
        async with AsyncExitStack() as stack:
            core = await stack.enter_async_context(self.core)
            kept, began = Settings.from_config(self.config), time.time()
            self.ledger = await stack.enter_async_context(open_ledger(self.config.server.data_dir, kept))
            await self._count_crashed(began)
            self.delivery = Delivery(self.ledger, core.outbound, observe=self.metrics.on_delivery)
            self.delivery.configure(kept.endpoints)
            self.ledger.on_due(self.delivery.wake)
            core.bus.tap("ledger", RECORDED, self.ledger.record)
            Watching(self.metrics).watch(core.bus)
            self.watch.watch(core.bus)
            await stack.enter_async_context(traced(core.bus, os.environ))
            self.outgoing = Outgoing(
                core.switchboard,
                self.ledger,
                lambda: core.roster.config,
                clock=asyncio.get_running_loop().time,
                date=time.time,
                on_rejected=self.metrics.on_rejected,
            )
            lease = stack.enter_context(leased(self.config.server.data_dir))
            if self.config.asterisk is not None:
                session = await stack.enter_async_context(open_session())
                settings = asterisk_settings(self.config, lease.instance, owner_of(self.config.server.data_dir))
                self.telephony = AsteriskTelephony(settings, core.switchboard.take, http=session)
                self.outgoing.line = self.telephony
            self._tls = tls_context(self.config.server.tls)
            self.url = await stack.enter_async_context(
                listening(build_app(self._house(), self.gate, TABLE), self.config.server, self._tls)
            )
            self.callbacks.public_url = seen_from_outside(self.config.server, self.url)
            self._lease = lease
            self._announce(self.config)
            await core.prepare()
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self.delivery.run(), name="delivery"),
                    group.create_task(self.outgoing.run(), name="outgoing calls"),
                    group.create_task(measure_lag(self.metrics.event_loop_lag.observe), name="lag"),
                ]
                if self.config.server.watch:
                    tasks.append(group.create_task(self.reloader.watch(), name="watch"))
                tasks.append(group.create_task(self._reload_when_asked(), name="reload"))
                if self.telephony is not None:
                    tasks.append(group.create_task(self.telephony.run(), name="telephony"))
                    tasks.append(group.create_task(self._clear_up(self.telephony, lease), name="clear up"))
                self.started.set()
                log.info("serving", url=self.url, agents=list(self.config.agents))
                await self._told.wait()
                await self._drain()
                await self._say_the_last_words()
                for task in tasks:
                    task.cancel()

    async def _apply(self, config: Config) -> None:
        """Put a new configuration to work. Raises `VoxtradError`; then the old one runs on."""
        kept = Settings.from_config(config)
        tokens = self._tokens(config)
        if self._tls is not None:
            tls_context(config.server.tls)  # whether it can be used, before anything is changed
        staff = await self.core.staff(config)
        # Nothing waits from here on, not even for the disk: whoever calls now has all of the new configuration.
        before = self.core.replace(staff)
        self.ledger.configure(kept)
        if self._tls is not None and config.server.tls is not None:
            tls_context(config.server.tls, renewed=self._tls)
            self._announce(config)
        self.gate.replace(tokens)
        self.metrics.configure(config)
        self.callbacks.public_url = seen_from_outside(config.server, self.url)
        if self.telephony is not None:
            self.telephony.read_variables(sorted(variables_needed(config)))
        self.delivery.configure(kept.endpoints)
        await before.retire()
        await self.core.prepare()

    def _announce(self, config: Config) -> None:
        """Commands on this machine find the server, and know its certificate."""
        self._lease.announce(
            Address(self.url, self._key, certificate(config.server) if self._tls is not None else None)
        )

    def _tokens(self, config: Config) -> Tokens:
        """Who may use the API, which stays where it listens. Raises `TokenError`."""
        return Tokens.of(config.server, listen=self.config.server.listen, key=self._key, hide=self._hide)

    async def _count_crashed(self, since: float) -> None:
        """Calls that another run of the server left open were ended when the ledger was opened."""
        try:
            for agent, direction in await self.ledger.read(partial(crashed_since, since=since)):
                self.metrics.on_crashed(agent, direction)
        except LedgerError as error:
            log.warning("crashed calls are not counted", reason=error.message)

    async def _clear_up(self, telephony: AsteriskTelephony, lease: Lease) -> None:
        """What earlier runs left: after a crash callers go on in the dialplan; recordings are fetched."""
        if lease.dead:
            await telephony.clear_up_after(lease.dead)
        try:
            found = await telephony.recordings()
        except LegError as error:
            log.warning("recordings that earlier runs left stay at the PBX", reason=error.message)
        else:
            board, data_dir = self.core.switchboard, self.config.server.data_dir
            await fetch_recordings(
                found,
                self.ledger,
                data_dir,
                self.core.bus.publish,
                busy=lambda call_id: call_id in board.calls or call_id in board.wrapping_up,
            )
        lease.forget()

    def not_ready(self) -> list[str]:
        """Why no call can be taken now; empty when all is well."""
        reasons = ["the server is draining"] if self.core.switchboard.draining else []
        if self.telephony is not None and not self.telephony.connected:
            reasons.append(self.telephony.state_reason)
        return reasons

    def _house(self) -> House:
        """What the API may touch."""
        return House(
            board=self.core.switchboard,
            watch=self.watch,
            records=self.ledger,
            results=self.callbacks,
            not_ready=self.not_ready,
            metrics=self.metrics.exposition,
            loaded=lambda: self.reloader.loaded,
            place=self.outgoing.place,
            reload=lambda: self.reloader.reload("asked to over HTTP"),
        )

    def _readings(self) -> Readings:
        """What the metrics look up, once the rooms are joined."""
        return Readings(
            calls_active=lambda: len(self.core.switchboard.calls),
            calls_limit=lambda: self.core.switchboard.front.max_calls,
            ari_connected=lambda: self.telephony is not None and self.telephony.connected,
            ari_reconnects=lambda: self.telephony.reconnects if self.telephony is not None else 0,
            backlog=self._backlog,
            reload_successful=lambda: self.reloader.last.ok,
        )

    def _backlog(self) -> Backlog:
        stats = self.ledger.stats()
        return Backlog(stats.undelivered, stats.oldest, stats.expired, stats.lost)

    def _privacy(self, agent: str) -> Privacy:
        known = self.core.roster.config.agents.get(agent)
        return known.privacy if known is not None else "full"

    async def _say_the_last_words(self) -> None:
        """Give the events of the last calls a moment to be delivered; what is not, is at the next start."""
        await self.ledger.flush()
        try:
            async with asyncio.timeout(LAST_WORDS):
                await self.delivery.idle()
        except TimeoutError:
            log.warning("events are still undelivered; they are tried again at the next start")

    async def _reload_when_asked(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            await self.reloader.reload("asked to")

    async def _drain(self) -> None:
        switchboard = self.core.switchboard
        log.info("stopping: live calls may finish, no more are taken", live=len(switchboard.calls))
        async with asyncio.TaskGroup() as group:
            draining = group.create_task(switchboard.drain(self.reloader.loaded.config.server.drain_timeout))
            hurrying = group.create_task(self._again.wait())
            await asyncio.wait([draining, hurrying], return_when=asyncio.FIRST_COMPLETED)
            hurried = not draining.done()
            draining.cancel()
            hurrying.cancel()
        if hurried:
            log.warning("calls are hung up: told to stop again", calls=len(switchboard.calls))
            await self._give_back()

    async def _give_back(self) -> None:
        """End the live calls while somebody can still be told: the PBX, a page, the ledger."""
        try:
            async with asyncio.timeout(LAST_CALLS):
                await self.core.switchboard.give_back()
        except TimeoutError:
            log.warning("calls have not ended in time; they are left to their carriers", seconds=LAST_CALLS)


async def serve(
    loaded: Loaded, load: Callable[[], Loaded], *, hide: Callable[[Iterable[str]], None] = lambda secrets: None
) -> None:
    """Run a server until SIGTERM or SIGINT has come and the live calls are over, or has come twice; SIGHUP reloads."""
    server = Server(loaded, load, hide=hide)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, server.reload)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    async with asyncio.TaskGroup() as group:
        settling = group.create_task(_settle(server.started))
        await server.run()
        settling.cancel()
    log.info("stopped")


async def _settle(started: asyncio.Event) -> None:
    """What is there when calls can come is there to stay. Looking through it for garbage, again and again, would stop
    the audio of all calls for 100 to 150 ms each time."""
    await started.wait()
    gc.freeze()


def asterisk_settings(config: Config, instance: str | None = None, recorder: str = "") -> AsteriskSettings:
    """The telephony's part of the configuration, for this run of the server."""
    asterisk = config.asterisk
    if asterisk is None:
        raise ValueError("the configuration has no PBX")
    media = asterisk.media
    return AsteriskSettings(
        instance=instance or secrets.token_hex(4),
        recorder=recorder,
        url=asterisk.url,
        username=asterisk.username,
        password=asterisk.password.get_secret_value(),
        app=asterisk.app,
        transport=media.transport,
        format=media.format,
        buffer=media.buffer_size_ms / 1000,
        audiosocket_listen=media.audiosocket.listen,
        audiosocket_advertise=media.audiosocket.advertise,
        rtp_listen=media.rtp.listen,
        rtp_ports=(media.rtp.ports.first, media.rtp.ports.last) if media.rtp.ports else None,
        rtp_advertise=media.rtp.advertise,
        variables=tuple(sorted(variables_needed(config))),
    )
