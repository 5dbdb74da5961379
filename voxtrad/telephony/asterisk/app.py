"""The Stasis application: a caller's channel that enters it becomes a `Leg`, which is handed to one async function.

Routes what happens in Asterisk to the legs, keeps the connection (`connection.py`), learns what the PBX can do, and
compares its live legs with the PBX's list after every gap in the events. What a call is, it does not know.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import replace

import aiohttp
import structlog

from voxtrad.leg import LegError, LegGone, LegInfo, Reach, Recording
from voxtrad.telephony.asterisk.ari import Ari, AriError, AriRefused, AriUnreachable
from voxtrad.telephony.asterisk.audiosocket import AudioSocketTransport
from voxtrad.telephony.asterisk.connection import EventsConnection, State
from voxtrad.telephony.asterisk.dialling import Dial, Dialling, caller_id
from voxtrad.telephony.asterisk.facts import Choice, Facts, choose
from voxtrad.telephony.asterisk.inquiry import facts_of
from voxtrad.telephony.asterisk.leftovers import Leftovers
from voxtrad.telephony.asterisk.leg import AsteriskLeg
from voxtrad.telephony.asterisk.media import MediaTransport
from voxtrad.telephony.asterisk.messages import (
    AriEvent,
    ChannelOver,
    Dialled,
    DigitReceived,
    HoldChanged,
    Played,
    Recorded,
    StasisStart,
)
from voxtrad.telephony.asterisk.orphans import OWN, sweep
from voxtrad.telephony.asterisk.recording import Track, waiting
from voxtrad.telephony.asterisk.roster import Roster
from voxtrad.telephony.asterisk.rtp import RtpTransport
from voxtrad.telephony.asterisk.settings import AsteriskSettings
from voxtrad.telephony.asterisk.websocket import WebSocketTransport
from voxtrad.telephony.pacing import Metronome

log = structlog.stdlib.get_logger(__name__)

_SETTLE = 1.0


class AsteriskTelephony:
    """Calls through one Asterisk. The leg lives as long as the function it is handed to: what that leaves of it is
    freed, and a caller who is still there goes on in the dialplan with `VOXTRAD_STATUS=FAILED`."""

    def __init__(
        self,
        settings: AsteriskSettings,
        on_leg: Callable[[AsteriskLeg], Awaitable[None]],
        *,
        http: aiohttp.ClientSession,
    ) -> None:
        """`http` must not limit its connections: take `ari.open_session()`."""
        self.settings = settings
        self._on_leg = on_leg
        self._ari = Ari(http, settings)
        self._metronome = Metronome()
        self._websocket = WebSocketTransport(self._ari, settings)
        self._audiosocket = AudioSocketTransport(self._ari, settings, self._metronome)
        self._rtp = RtpTransport(self._ari, settings, self._metronome, reachable=lambda: self.connected)
        self._legs = Roster()
        self._entering: dict[str, asyncio.Future[None]] = {}
        self._tracks: dict[str, Track] = {}
        self._dialling = Dialling(self._ari, self, self._legs)
        self._leftovers = Leftovers(self._ari.delete, ready=self.wait_ready)
        self._tasks: asyncio.TaskGroup | None = None
        self._facts: Facts | None = None
        self._choice: Choice | None = None
        self._unseen_since: float | None = None
        self._connection = EventsConnection(
            self._ari,
            settings,
            on_connected=self._connected,
            on_event=self._happened,
            while_deaf=self._look,
        )

    # --- for the daemon, doctor and metrics ---------------------------------------------------------------------------

    async def run(self) -> None:
        """Take calls until cancelled; live legs are cancelled with it, and their callers handed to the dialplan."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                self._tasks.create_task(self._connection.run(), name="asterisk-events")
                self._tasks.create_task(self._leftovers.run(), name="asterisk-leftovers")
        finally:
            self._tasks = None
            try:
                await self._leftovers.last()
            finally:
                await self._audiosocket.close()

    def read_variables(self, names: Iterable[str]) -> None:
        """From now on `LegInfo.variables` holds these channel variables."""
        self.settings = replace(self.settings, variables=tuple(names))

    @property
    def state(self) -> State:
        return self._connection.state

    @property
    def state_reason(self) -> str:
        """Why the state is not `connected`; empty when it is."""
        return self._connection.reason

    @property
    def connected(self) -> bool:
        return self.state == "connected"

    @property
    def reconnects(self) -> int:
        """How often the connection came back after it was lost."""
        return self._connection.reconnects

    @property
    def attempts(self) -> int:
        """How often a connection was tried."""
        return self._connection.attempts

    @property
    def version(self) -> str | None:
        """Asterisk's version, as last asked."""
        return self._facts.version if self._facts else None

    @property
    def media_choice(self) -> Choice | None:
        """The media transport in use, and why."""
        return self._choice

    @property
    def live_legs(self) -> int:
        return len(self._legs)

    async def wait_idle(self) -> None:
        """Wait until no leg is left and all that belonged to them is freed."""
        await self._legs.wait_empty()

    async def wait_ready(self) -> None:
        """Wait until calls can be taken."""
        await self._connection.wait_for("connected")

    async def wait_state(self, state: State) -> None:
        await self._connection.wait_for(state)

    async def clear_up_after(self, dead: Collection[str]) -> None:
        """Clear up what these servers, which have died, left in the PBX; returns when nothing of them is left."""
        while True:
            await self.wait_ready()
            try:
                return await sweep(self._ari, dead)
            except AriError as error:
                log.warning("not cleared up after a server that has died", reason=error.message)
                await asyncio.sleep(_SETTLE)

    async def recordings(self) -> Mapping[str, Recording]:
        """All that `settings.recorder` has at the PBX, by the names given, once it is connected. Raises `LegError`."""
        await self.wait_ready()
        return await waiting(self._ari, self, self.recording(""))

    # --- for the legs -------------------------------------------------------------------------------------------------

    @property
    def transport(self) -> MediaTransport:
        match self.choice.transport:
            case "websocket":
                return self._websocket
            case "audiosocket":
                return self._audiosocket
            case "rtp":
                return self._rtp

    @property
    def choice(self) -> Choice:
        if self._choice is None:
            raise AriError("not connected to Asterisk yet")
        return self._choice

    def new_id(self, what: str) -> str:
        return f"{OWN}{self.settings.instance}-{what}-{uuid.uuid4().hex}"

    def entered(self, channel_id: str) -> asyncio.Future[None]:
        future = self._entering[channel_id] = asyncio.get_running_loop().create_future()
        future.add_done_callback(lambda _: self._entering.pop(channel_id, None))
        return future

    def recording(self, name: str) -> str:
        return f"{OWN}{self.settings.recorder or self.settings.instance}-record-{name}"

    def track(self, name: str) -> Track:
        track = self._tracks[name] = Track()
        track.over.add_done_callback(lambda _: self._tracks.pop(name, None))
        return track

    def free_later(self, path: str) -> None:
        self._leftovers.add(path)

    @property
    def dialer(self) -> AsteriskTelephony:
        return self

    @contextlib.asynccontextmanager
    async def dial(
        self,
        endpoint: str,
        *,
        timeout: float,
        caller: str = "",
        caller_name: str = "",
        beside: LegInfo | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> AsyncIterator[AsteriskLeg]:
        """See `Dialer.dial`."""
        dial = Dial(self.new_id("dial"), endpoint, timeout, caller_id(caller_name, caller), variables or {}, beside)
        async with self._dialling.ring(dial) as leg:
            yield leg

    def reach(
        self, endpoint: str, number: str, *, timeout: float, caller: str = "", variables: Mapping[str, str]
    ) -> Reach:
        """A call of our own to a number, by way of an endpoint; nothing rings before `connect`."""
        channel_id = self.new_id("dial")
        info = LegInfo(channel_id, endpoint, caller, number, direction="outbound", linkedid=channel_id)
        dial = Dial(channel_id, endpoint, timeout, caller_id("", caller), variables)
        return Reach(info, lambda: self._dialling.ring(dial, known=info))

    # --- what happens in Asterisk -------------------------------------------------------------------------------------

    def _happened(self, event: AriEvent) -> None:
        match event:
            case StasisStart():
                self._entered(event)
            case DigitReceived(channel_id, digit):
                if leg := self._legs.get(channel_id):
                    leg.pressed(digit)
            case HoldChanged(channel_id, held):
                if leg := self._legs.get(channel_id):
                    leg.put_on_hold(held)
            case ChannelOver(channel_id, cause):
                self._dialling.over(channel_id, event)
                if leg := self._legs.get(channel_id):
                    leg.left(cause, hung_up=event.hung_up)
            case Dialled(caller_id, channel_id, status):
                self._dialling.progressed(channel_id, status)
                if status == "ANSWER" and (leg := self._legs.get(caller_id)):
                    leg.connected()
            case Recorded(name, what) | Played(name, what):
                if track := self._tracks.get(name):
                    track.happened(what)
            case _:
                pass

    def _entered(self, start: StasisStart) -> None:
        """A channel has come into the application: one of ours, one that comes back, or a call."""
        channel_id = start.channel.id
        if (known := self._legs.get(channel_id)) and known.visiting:
            known.back()
        elif channel_id.startswith(OWN):
            if (entering := self._entering.get(channel_id)) and not entering.done():
                entering.set_result(None)
            self._dialling.entered(channel_id, start)
        elif self._tasks is not None:
            leg = AsteriskLeg(start, self._ari, self)
            self._legs.add(leg)
            self._tasks.create_task(self._serve(leg), name=f"leg-{channel_id}")

    async def _serve(self, leg: AsteriskLeg) -> None:
        """One leg from its ring to its end. The outermost supervisor: nothing that breaks here reaches other calls."""
        try:
            await leg.describe()
            await self._on_leg(leg)
        except* LegGone:
            pass  # hung up: the usual end
        except* LegError as errors:
            reasons = sorted({str(error) for error in errors.exceptions})
            log.warning("Asterisk did not do what a call needs", leg=leg.info.id, reasons=reasons)
        except* Exception:
            log.exception("a call broke", leg=leg.info.id, channel=leg.info.channel)
        finally:
            try:
                await leg.let_go()
            finally:
                self._legs.remove(leg)

    async def _connected(self, own_host: str, pbx_host: str) -> None:
        """A new connection: is it the same PBX, can it do what we need, and who is still there?"""
        facts = await facts_of(self._ari)
        choice = choose(self.settings.transport, facts, self.settings.format)
        if choice.transport == "audiosocket":
            await self._audiosocket.listen(own_host)
        self._rtp.located(own_host, pbx_host)
        if (facts, choice) != (self._facts, self._choice):
            log.info("media transport", transport=choice.transport, why=choice.why, asterisk=facts.version)
        self._facts, self._choice = facts, choice
        self._unseen_since = None
        await self._compare()
        if self._legs and self._tasks is not None:
            self._tasks.create_task(self._compare_again(), name="asterisk-compare")

    async def _compare_again(self) -> None:
        """A channel that ends just as we connect is still listed, and its end was told to nobody."""
        await asyncio.sleep(_SETTLE)
        try:
            await self._compare()
        except AriError as error:
            log.warning("Asterisk could not be asked about live calls", reason=error.message)

    async def _look(self) -> None:
        """Compare while no events come. People who talk with each other need no audio of ours that could end: where
        Asterisk never comes back, it is this that ends their call. Should it come back later, they are hung up."""
        now = asyncio.get_running_loop().time()
        try:
            await self._compare()
        except AriUnreachable:
            since = self._unseen_since = now if self._unseen_since is None else self._unseen_since
            if now - since >= self.settings.unseen:
                for leg in self._legs.all().values():
                    leg.left(f"nothing was heard of Asterisk for {self.settings.unseen:g} s")
                    self.free_later(f"channels/{leg.info.id}")
            raise
        self._unseen_since = None

    async def _compare(self) -> None:
        """End the legs whose channels are gone: what happened while no events came is never told again."""
        known = self._legs.all()
        if not known:
            return
        try:
            application = await self._ari.get(f"applications/{self.settings.app}")
        except AriRefused as error:
            if error.status != 404:
                raise
            application = {}
        ids = application.get("channel_ids", []) if isinstance(application, Mapping) else []
        present = set(ids) if isinstance(ids, list) else set()
        for channel_id, leg in known.items():
            if channel_id not in present:
                leg.left("gone while there was no connection to Asterisk")
