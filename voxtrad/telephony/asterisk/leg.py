"""An Asterisk channel in our Stasis application as a `Leg`.

Has the channel (`channel.py`) do what the leg is told to, and is told by `app.py` what happened to it. Which media
transport carries the audio is not its business: it puts the media channel and the caller into one bridge, or another
leg's channel, and removes both.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Protocol

import structlog

from voxtrad.finishing import finished
from voxtrad.leg import (
    Dialer,
    Digit,
    Ended,
    Hears,
    Leg,
    LegError,
    LegEvent,
    LegInfo,
    MediaPort,
    NotReached,
    PutOnHold,
    Visit,
)
from voxtrad.telephony.asterisk import paste
from voxtrad.telephony.asterisk.ari import Ari, AriError, AriRefused
from voxtrad.telephony.asterisk.channel import Channel
from voxtrad.telephony.asterisk.facts import Choice
from voxtrad.telephony.asterisk.formats import Format, format_for
from voxtrad.telephony.asterisk.leftovers import Belongings
from voxtrad.telephony.asterisk.media import MediaChannel, MediaTransport
from voxtrad.telephony.asterisk.messages import StasisStart
from voxtrad.telephony.asterisk.recording import ChannelRecording, Track
from voxtrad.telephony.asterisk.settings import AsteriskSettings
from voxtrad.telephony.asterisk.visiting import Visiting, came_back

log = structlog.stdlib.get_logger(__name__)

_MOST_DIGITS = 1000  # that wait for a consumer; more are dropped
_ENTER_TIMEOUT = 5.0
_IN_CDR = frozenset({"VOXTRAD_CALL_ID", "VOXTRAD_OUTCOME", "VOXTRAD_SUMMARY"})
_HANDED_BACK = "handed back to the dialplan"
_OWN_VARIABLES = ("VOXTRAD_AGENT", "AI_AGENT", "AI_GREETING", "DIALED_NUMBER", "FROM_DID")
_LINKED_ID, _NATIVE = "CHANNEL(linkedid)", "CHANNEL(audionativeformat)"
_REASONS = frozenset({"normal", "busy", "congestion", "no_answer"})


class Exchange(Protocol):
    """What a leg needs of the application it is in."""

    @property
    def settings(self) -> AsteriskSettings: ...

    @property
    def transport(self) -> MediaTransport: ...

    @property
    def choice(self) -> Choice: ...

    @property
    def dialer(self) -> Dialer: ...

    def new_id(self, what: str) -> str:
        """An id for a channel or bridge of ours, by which `entered` and the event routing know it."""
        ...

    def entered(self, channel_id: str) -> asyncio.Future[None]:
        """Done when our own channel of that id has entered the application."""
        ...

    def recording(self, name: str) -> str:
        """The name at the PBX for a recording of ours."""
        ...

    def track(self, name: str) -> Track:
        """What is told of the recording of that name at the PBX, from now until it is over."""
        ...

    def free_later(self, path: str) -> None:
        """Something of ours, by its ARI path, that could not be freed: it is freed later."""
        ...


class AsteriskLeg:
    """One caller's channel. `describe` comes first; after that it is a `Leg`."""

    def __init__(self, start: StasisStart, ari: Ari, exchange: Exchange, *, known: LegInfo | None = None) -> None:
        """`known` is who is on it, of a call that we made."""
        self._start = start
        self._known = known
        self._channel = Channel(start.channel.id, ari)
        self._ari = ari
        self._exchange = exchange
        self._belongings = Belongings(start.channel.id, ari.delete, exchange.free_later)
        self._info = known or LegInfo(
            start.channel.id, start.channel.name, start.channel.caller, start.channel.extension,
            start.channel.caller_name,
        )  # fmt: skip
        self._native = ""
        """The codecs of the caller's own leg, as the PBX tells them."""
        self._events: asyncio.Queue[LegEvent] = asyncio.Queue()
        self._gone = False
        """The channel is no longer ours: hung up, or handed back."""
        self._leaving = ""
        """Why the channel will leave the application, where we asked for it."""
        self._media: MediaChannel | None = None
        self._media_id: str | None = None
        self._bridge_id: str | None = None
        self._visit: Visiting | None = None
        """As long as the channel is in the dialplan, and expected back."""

    # --- what the application tells -----------------------------------------------------------------------------------

    async def describe(self) -> None:
        """Ask for the channel variables that tell who calls, and mark the channel as ours."""
        names = (*_OWN_VARIABLES, _LINKED_ID, _NATIVE, *self._exchange.settings.variables)
        found: dict[str, str] = {}

        async def ask(name: str) -> None:
            if value := await self._channel.variable(name):
                found[name] = value

        async with asyncio.TaskGroup() as group:
            for name in dict.fromkeys(names):
                group.create_task(ask(name))
            group.create_task(self._channel.set("VOXTRAD_OWNER", self._exchange.settings.instance))
        channel, arguments = self._start.channel, self._start.arguments
        self._native = found.get(_NATIVE, "")
        if self._known is not None:
            linkedid = found.get(_LINKED_ID) or self._known.linkedid
            self._info = replace(self._known, channel=channel.name, linkedid=linkedid)
            return
        self._info = LegInfo(
            id=channel.id,
            channel=channel.name,
            caller=channel.caller,
            caller_name=channel.caller_name,
            dialled=found.get("DIALED_NUMBER") or found.get("FROM_DID") or channel.extension,
            linkedid=found.get(_LINKED_ID, ""),
            variables={name: found[name] for name in self._exchange.settings.variables if name in found},
            agent=(arguments[0] if arguments else "") or found.get("VOXTRAD_AGENT") or found.get("AI_AGENT"),
            greeting=found.get("AI_GREETING"),
        )

    def pressed(self, digit: str) -> None:
        """A key; in the dialplan it is others who are told."""
        if not self._channel.over and self._visit is None and self._events.qsize() < _MOST_DIGITS:
            self._events.put_nowait(Digit(digit))

    def put_on_hold(self, held: bool) -> None:
        if not self._channel.over:
            self._events.put_nowait(PutOnHold(held))

    def left(self, cause: str, *, hung_up: bool = True) -> None:
        """The channel has hung up or left the application. Said several times by Asterisk; the first counts."""
        if self._visit is not None and not hung_up:
            return
        self._gone = True
        self._end(self._leaving or cause or "Normal Clearing")
        if self._visit is not None:
            self._visit.hung_up()

    @property
    def visiting(self) -> bool:
        """The channel is in the dialplan, and expected back."""
        return self._visit is not None

    @property
    def gone(self) -> bool:
        """The channel is no longer ours to hang up: it has ended, or goes on in the dialplan."""
        return self._gone or bool(self._leaving)

    def back(self) -> None:
        """The channel has entered the application again."""
        if self._visit is not None:
            self._visit.back()

    def connected(self) -> None:
        """Somebody has answered the channel's call."""
        if self._visit is not None:
            self._visit.connected()

    async def let_go(self) -> None:
        """The call's owner is done with it: a caller who is still here goes on in the dialplan, then all is freed."""
        try:
            if not self._gone and not self._leaving:
                self._leaving = _HANDED_BACK
                await finished(self._give_up())
        finally:
            await self.release()

    # --- Leg ----------------------------------------------------------------------------------------------------------

    @property
    def info(self) -> LegInfo:
        return self._info

    async def events(self) -> AsyncIterator[LegEvent]:
        while True:
            event = await self._events.get()
            yield event
            if isinstance(event, Ended):
                return

    async def answer(self) -> None:
        await self._channel.act("answer")

    async def open_media(self, *, wideband: bool = True) -> MediaPort:
        self._channel.check()
        if self._media_id is not None:
            raise LegError("audio is connected already")
        exchange = self._exchange
        media_id = self._media_id = exchange.new_id("media")
        format = self._format(wideband=wideband)
        entered = exchange.entered(media_id)
        try:
            joining = await self._bridge()
            with self._belongings.made(f"channels/{media_id}"):
                self._media = await exchange.transport.open(media_id, format, lambda: self._media_lost(media_id))
            async with asyncio.timeout(_ENTER_TIMEOUT):
                await entered
        except TimeoutError:
            raise LegError("the media channel did not enter the Stasis application in time") from None
        finally:
            entered.cancel()
        await self._channel.indicate("silence")
        await self._channel.do(f"bridges/{self._bridge_id}/addChannel", {"channel": [media_id, *joining]})
        return self._media

    async def hold(self, hears: Hears) -> None:
        self._channel.check()
        await self._close_media()
        await self._channel.indicate(hears)

    @property
    def dialer(self) -> Dialer:
        return self._exchange.dialer

    async def bridge_with(self, other: Leg) -> None:
        if not isinstance(other, AsteriskLeg) or other.dialer is not self.dialer:
            raise LegError("the two legs are not of the same PBX")
        self._channel.check()
        other._channel.check()
        await self._close_media()
        await other._close_media()
        await other._drop_bridge()
        joining = await self._bridge()
        await self._channel.indicate("silence")
        await self._channel.do(f"bridges/{self._bridge_id}/addChannel", {"channel": [*joining, other.info.id]})

    async def record(self, name: str) -> ChannelRecording:
        """See `Recordable`."""
        self._channel.check()
        recording = ChannelRecording(self._ari, self._exchange, self._exchange.recording(name))
        await recording.begin(self.info.id, app=self._exchange.settings.app, rate=self._format().rate)
        return recording

    async def play_sound(self, name: str) -> None:
        """See `Jukebox`."""
        self._channel.check()
        playback = self._exchange.new_id("sound")
        track = self._exchange.track(playback)
        try:
            await self._channel.act(f"play/{playback}", {"media": f"sound:{name}"})
            await track.over
        except BaseException:
            track.over.cancel()
            await self._channel.undo(f"playbacks/{playback}")
            raise
        if not track.begun.result():
            raise LegError(f"the PBX cannot play the sound '{name}'")

    async def visit(self, *, context: str, extension: str | None, priority: int | None, within: float) -> Visit:
        channel = self._channel
        channel.check()
        if extension is not None and await channel.exists(context, extension, priority or 1) is False:
            raise NotReached(f"the dialplan has no {extension}@{context}", "unavailable")
        if not await channel.exists(context, paste.RETURNS, 1):
            await self.proceed(context=context, extension=extension, priority=priority)
            return "left"
        await self._close_media()
        await self._drop_bridge()
        async with channel.followed(self._exchange.settings.app):
            visit = self._visit = Visiting(self.info.id)
            try:
                await channel.set(paste.RETURNED, "")
                await channel.go_on(context, extension, priority)
                outcome = await visit.outcome(within)
            finally:
                self._visit = None
                self._gone |= visit.gone  # `Ended` comes with `release`: whoever visits is told the outcome first
        if outcome is None:
            raise came_back(f"{extension}@{context}", await channel.variable(paste.RETURNED))
        return outcome

    async def send_digits(self, digits: str) -> None:
        await self._channel.act("dtmf", {"dtmf": digits})

    async def set_variables(self, variables: Mapping[str, str]) -> None:
        self._channel.check()
        for name, value in variables.items():
            await self._channel.set(name, value)
            if name in _IN_CDR:
                await self._channel.set(f"CDR({name.lower()})", value)

    async def proceed(self, *, context: str | None, extension: str | None, priority: int | None) -> None:
        self._channel.check()
        self._leaving = _HANDED_BACK
        await finished(self._proceed(context, extension, priority))

    async def hang_up(self, cause: str = "normal") -> None:
        if self._gone or self._leaving:
            return
        self._leaving = "hung up by us"
        await finished(self._hang_up(cause if cause in _REASONS else "normal"))

    async def release(self) -> None:
        self._end("released")
        try:
            await self._close_media()
        finally:
            await self._drop_bridge()

    # ------------------------------------------------------------------------------------------------------------------

    async def _proceed(self, context: str | None, extension: str | None, priority: int | None) -> None:
        try:
            await self._channel.go_on(context, extension, priority)
        except LegError:
            self._leaving = ""
            raise

    async def _hang_up(self, reason: str) -> None:
        try:
            await self._ari.delete(self._channel.path, {"reason": reason})
        except AriError as error:
            if not (isinstance(error, AriRefused) and error.status == 404):
                self._leaving = ""
                raise

    async def _give_up(self) -> None:
        try:
            await self._channel.give_up()
        except LegError as error:
            self._leaving = ""
            log.info("a caller could not be handed back to the dialplan", leg=self.info.id, reason=error.message)

    def _end(self, cause: str, *, lost: bool = False) -> None:
        if not self._channel.over:
            self._channel.over = True
            if self._media is not None:
                self._media.end()
            self._events.put_nowait(Ended(cause, handed_back=cause == _HANDED_BACK, lost=lost))

    def _media_lost(self, media_id: str) -> None:
        if media_id == self._media_id:
            self._end("the media connection was lost", lost=True)

    async def _bridge(self) -> list[str]:
        """Have a bridge; returns the channels that are still to be put into it."""
        if self._bridge_id is not None:
            return []
        self._bridge_id = self._exchange.new_id("bridge")
        path = f"bridges/{self._bridge_id}"
        with self._belongings.made(path):
            await self._channel.do(path, {"type": "mixing", "name": self._exchange.settings.instance})
        return [self.info.id]

    async def _drop_bridge(self) -> None:
        bridge_id, self._bridge_id = self._bridge_id, None
        if bridge_id is not None:
            await self._belongings.remove(f"bridges/{bridge_id}")

    async def _close_media(self) -> None:
        media, self._media = self._media, None
        media_id, self._media_id = self._media_id, None
        if media is not None:
            media.end()
        try:
            if media_id is not None:
                await self._belongings.remove(f"channels/{media_id}")
        finally:
            if media is not None:
                await media.close()

    def _format(self, *, wideband: bool = True) -> Format:
        """What the leg's audio is carried in."""
        exchange = self._exchange
        return format_for(self._native, exchange.choice.formats, wanted=exchange.settings.format, wideband=wideband)
