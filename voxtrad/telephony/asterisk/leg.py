"""An Asterisk channel in our Stasis application as a `Leg`.

Asks ARI for what the leg is told to do, and is told by `app.py` what happened to the channel. Which media transport
carries the audio is not its business: it puts the media channel and the caller into one bridge, or another leg's
channel, and removes both.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from typing import Protocol

import structlog

from voxtrad.events.types import JSON
from voxtrad.leg import (
    Dialer,
    Digit,
    Ended,
    Hears,
    Leg,
    LegError,
    LegEvent,
    LegGone,
    LegInfo,
    MediaPort,
    NotReached,
    PutOnHold,
    Refusal,
    Visit,
)
from voxtrad.telephony.asterisk import paste
from voxtrad.telephony.asterisk.ari import Ari, AriError, AriRefused, AriUnreachable
from voxtrad.telephony.asterisk.facts import Choice
from voxtrad.telephony.asterisk.formats import Format, format_for
from voxtrad.telephony.asterisk.media import MediaChannel, MediaTransport
from voxtrad.telephony.asterisk.messages import StasisStart
from voxtrad.telephony.asterisk.recording import ChannelRecording, Track
from voxtrad.telephony.asterisk.settings import AsteriskSettings

log = structlog.stdlib.get_logger(__name__)

_MOST_DIGITS = 1000  # that wait for a consumer; more are dropped
_ENTER_TIMEOUT = 5.0
_IN_CDR = frozenset({"VOXTRAD_CALL_ID", "VOXTRAD_OUTCOME", "VOXTRAD_SUMMARY"})
_HANDED_BACK = "handed back to the dialplan"
_OWN_VARIABLES = ("VOXTRAD_AGENT", "AI_AGENT", "AI_GREETING", "DIALED_NUMBER", "FROM_DID")
_LINKED_ID, _NATIVE = "CHANNEL(linkedid)", "CHANNEL(audionativeformat)"
_REASONS = frozenset({"normal", "busy", "congestion", "no_answer"})
_INDICATIONS: Mapping[Hears, str] = {"ringing": "ring", "music": "moh"}
_DIAL_STATUS: Mapping[str, Refusal] = {
    "BUSY": "busy", "NOANSWER": "no_answer", "CHANUNAVAIL": "unavailable", "CONGESTION": "unavailable",
    "DECLINED": "declined", "DONTCALL": "declined", "TORTURE": "declined",
}  # fmt: skip


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
        self._channel = f"channels/{start.channel.id}"
        self._ari = ari
        self._exchange = exchange
        self._info = known or LegInfo(
            start.channel.id, start.channel.name, start.channel.caller, start.channel.extension,
            start.channel.caller_name,
        )  # fmt: skip
        self._native = ""
        """The codecs of the caller's own leg, as the PBX tells them."""
        self._events: asyncio.Queue[LegEvent] = asyncio.Queue()
        self._ended = False
        self._gone = False
        """The channel is no longer ours: hung up, or handed back."""
        self._leaving = ""
        """Why the channel will leave the application, where we asked for it."""
        self._media: MediaChannel | None = None
        self._media_id: str | None = None
        self._bridge_id: str | None = None
        self._indicating: str | None = None
        """What Asterisk plays to the party, by ARI's name for it."""
        self._visit: asyncio.Future[Visit | None] | None = None
        """Done when it is known what became of a channel that visits the dialplan: None when it has come back."""

    # --- what the application tells -----------------------------------------------------------------------------------

    async def describe(self) -> None:
        """Ask for the channel variables that tell who calls, and mark the channel as ours."""
        names = (*_OWN_VARIABLES, _LINKED_ID, _NATIVE, *self._exchange.settings.variables)
        found: dict[str, str] = {}

        async def ask(name: str) -> None:
            if value := await self._variable(name):
                found[name] = value

        async with asyncio.TaskGroup() as group:
            for name in dict.fromkeys(names):
                group.create_task(ask(name))
            group.create_task(self._set("VOXTRAD_OWNER", self._exchange.settings.instance))
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
        if not self._ended and self._visit is None and self._events.qsize() < _MOST_DIGITS:
            self._events.put_nowait(Digit(digit))

    def put_on_hold(self, held: bool) -> None:
        if not self._ended:
            self._events.put_nowait(PutOnHold(held))

    def left(self, cause: str, *, hung_up: bool = True) -> None:
        """The channel has hung up or left the application. Said several times by Asterisk; the first counts."""
        if self._visit is not None and not hung_up:
            return
        self._gone = True
        self._end(self._leaving or cause or "Normal Clearing")
        if self._visit is not None and not self._visit.done():
            self._visit.set_exception(LegGone("the call has ended"))

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
        if self._visit is not None and not self._visit.done():
            self._visit.set_result(None)

    def connected(self) -> None:
        """Somebody has answered the channel's call."""
        if self._visit is not None and not self._visit.done():
            self._visit.set_result("answered")

    async def let_go(self) -> None:
        """The call's owner is done with it: a caller who is still here goes on in the dialplan, then all is freed."""
        try:
            if not self._gone and not self._leaving:
                await self._ari.post(f"{self._channel}/variable", {"variable": "VOXTRAD_STATUS", "value": "FAILED"})
                await self._ari.post(f"{self._channel}/continue", {})
        except LegError as error:
            log.info("a caller could not be handed back to the dialplan", leg=self.info.id, reason=error.message)
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
        await self._do(f"{self._channel}/answer")

    async def open_media(self, *, wideband: bool = True) -> MediaPort:
        self._check()
        if self._media_id is not None:
            raise LegError("audio is connected already")
        exchange = self._exchange
        media_id = self._media_id = exchange.new_id("media")
        format = self._format(wideband=wideband)
        entered = exchange.entered(media_id)
        joining = await self._bridge()
        with self._made(f"channels/{media_id}"):
            self._media = await exchange.transport.open(media_id, format, lambda: self._media_lost(media_id))
        try:
            async with asyncio.timeout(_ENTER_TIMEOUT):
                await entered
        except TimeoutError:
            raise LegError("the media channel did not enter the Stasis application in time") from None
        await self._indicate("silence")
        await self._do(f"bridges/{self._bridge_id}/addChannel", {"channel": [media_id, *joining]})
        return self._media

    async def hold(self, hears: Hears) -> None:
        self._check()
        await self._close_media()
        await self._indicate(hears)

    @property
    def dialer(self) -> Dialer:
        return self._exchange.dialer

    async def bridge_with(self, other: Leg) -> None:
        if not isinstance(other, AsteriskLeg) or other.dialer is not self.dialer:
            raise LegError("the two legs are not of the same PBX")
        self._check()
        other._check()
        await self._close_media()
        await other._close_media()
        await other._drop_bridge()
        joining = await self._bridge()
        await self._indicate("silence")
        await self._do(f"bridges/{self._bridge_id}/addChannel", {"channel": [*joining, other.info.id]})

    async def record(self, name: str) -> ChannelRecording:
        """See `Recordable`."""
        self._check()
        recording = ChannelRecording(self._ari, self._exchange, self._exchange.recording(name))
        await recording.begin(self.info.id, app=self._exchange.settings.app, rate=self._format().rate)
        return recording

    async def play_sound(self, name: str) -> None:
        """See `Jukebox`."""
        self._check()
        playback = self._exchange.new_id("sound")
        track = self._exchange.track(playback)
        try:
            await self._do(f"{self._channel}/play/{playback}", {"media": f"sound:{name}"})
            await track.over
        except BaseException:
            track.over.cancel()
            await self._undo(f"playbacks/{playback}")
            raise
        if not track.begun.result():
            raise LegError(f"the PBX cannot play the sound '{name}'")

    async def visit(self, *, context: str, extension: str | None, priority: int | None, within: float) -> Visit:
        self._check()
        if extension is not None and await self._exists(context, extension, priority or 1) is False:
            raise NotReached(f"the dialplan has no {extension}@{context}", "unavailable")
        if not await self._exists(context, paste.RETURNS, 1):
            await self.proceed(context=context, extension=extension, priority=priority)
            return "left"
        await self._close_media()
        await self._drop_bridge()
        subscription = f"applications/{self._exchange.settings.app}/subscription"
        await self._ari.post(subscription, {"eventSource": [self._source]})
        self._visit = asyncio.get_running_loop().create_future()
        try:
            await self._set(paste.RETURNED, "")
            await self._continue(context, extension, priority)
            outcome = await self._visited(self._visit, within)
        finally:
            self._visit = None
            await self._undo(subscription, {"eventSource": self._source})
        if outcome is None:
            status = await self._variable(paste.RETURNED)
            raise NotReached(f"{extension}@{context}: {status or 'came back'}", _DIAL_STATUS.get(status, "failed"))
        return outcome

    async def send_digits(self, digits: str) -> None:
        await self._do(f"{self._channel}/dtmf", {"dtmf": digits})

    async def set_variables(self, variables: Mapping[str, str]) -> None:
        self._check()
        for name, value in variables.items():
            await self._set(name, value)
            if name in _IN_CDR:
                await self._set(f"CDR({name.lower()})", value)

    async def proceed(self, *, context: str | None, extension: str | None, priority: int | None) -> None:
        self._check()
        self._leaving = _HANDED_BACK
        try:
            await self._continue(context, extension, priority)
        except LegError:
            self._leaving = ""
            raise

    async def hang_up(self, cause: str = "normal") -> None:
        if self._gone or self._leaving:
            return
        self._leaving = "hung up by us"
        try:
            await self._ari.delete(self._channel, {"reason": cause if cause in _REASONS else "normal"})
        except AriError as error:
            if not (isinstance(error, AriRefused) and error.status == 404):
                self._leaving = ""
                raise

    async def release(self) -> None:
        self._end("released")
        try:
            await self._close_media()
        finally:
            await self._drop_bridge()

    # ------------------------------------------------------------------------------------------------------------------

    def _end(self, cause: str, *, lost: bool = False) -> None:
        if not self._ended:
            self._ended = True
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
        with self._made(path):
            await self._do(path, {"type": "mixing", "name": self._exchange.settings.instance})
        return [self.info.id]

    async def _drop_bridge(self) -> None:
        bridge_id, self._bridge_id = self._bridge_id, None
        if bridge_id is not None:
            await self._remove(f"bridges/{bridge_id}")

    async def _close_media(self) -> None:
        media, self._media = self._media, None
        media_id, self._media_id = self._media_id, None
        if media is not None:
            media.end()
        try:
            if media_id is not None:
                await self._remove(f"channels/{media_id}")
        finally:
            if media is not None:
                await media.close()

    async def _indicate(self, hears: Hears) -> None:
        """Have Asterisk play something to the party, in the place of what it plays now."""
        wanted, playing = _INDICATIONS.get(hears), self._indicating
        if wanted == playing:
            return
        self._indicating = None
        if playing is not None:
            await self._undo(f"{self._channel}/{playing}")
        if wanted is not None:
            await self._do(f"{self._channel}/{wanted}")
            self._indicating = wanted

    async def _continue(self, context: str | None, extension: str | None, priority: int | None) -> None:
        where: dict[str, JSON] = {"context": context, "extension": extension, "priority": priority}
        await self._indicate("silence")
        await self._do(f"{self._channel}/continue", {key: value for key, value in where.items() if value})

    async def _visited(self, visit: asyncio.Future[Visit | None], within: float) -> Visit | None:
        """What became of a visit; None when the party has come back. Otherwise they are not ours any more."""
        outcome: Visit | None = "left"
        try:
            async with asyncio.timeout(within):
                outcome = await visit
        except TimeoutError:
            log.info("nothing is known of a caller who was led on", leg=self.info.id, seconds=within)
        finally:
            if outcome is not None:
                self._gone = True  # `Ended` comes with `release`: whoever visits is told the outcome first
        return outcome

    def _format(self, *, wideband: bool = True) -> Format:
        """What the leg's audio is carried in."""
        exchange = self._exchange
        return format_for(self._native, exchange.choice.formats, wanted=exchange.settings.format, wideband=wideband)

    @property
    def _source(self) -> str:
        """The channel, by its name as a source of events."""
        return f"channel:{self.info.id}"

    async def _exists(self, context: str, extension: str, priority: int) -> bool | None:
        """Whether the dialplan has a place; None where Asterisk cannot tell (func_dialplan is not loaded)."""
        try:
            answer = await self._variable(f"DIALPLAN_EXISTS({context},{extension},{priority})")
        except AriRefused:
            return None
        return answer not in ("", "0")

    def _check(self) -> None:
        if self._ended:
            raise LegGone("the call has ended")

    async def _do(self, path: str, body: Mapping[str, JSON] | None = None) -> None:
        self._check()
        try:
            await self._ari.post(path, body or {})
        except AriRefused as error:
            if error.status in (404, 409):  # no such channel, or one that left the application
                raise LegGone("the call has ended") from error
            raise

    async def _set(self, name: str, value: str) -> None:
        await self._do(f"{self._channel}/variable", {"variable": name, "value": value})

    async def _variable(self, name: str) -> str:
        try:
            answer = await self._ari.get(f"{self._channel}/variable", {"variable": name})
        except AriRefused as error:
            if error.status in (404, 409):  # not set; or the channel is gone, which an event tells as well
                return ""
            raise
        return str(answer.get("value", "")) if isinstance(answer, Mapping) else ""

    @contextlib.contextmanager
    def _made(self, path: str) -> Iterator[None]:
        """Something of ours is being made: without an answer it may come yet."""
        try:
            yield
        except AriUnreachable:
            self._exchange.free_later(path)
            raise

    async def _remove(self, path: str) -> None:
        """Delete something of ours; without an answer, or cancelled before, it is left to the exchange."""
        try:
            await self._ari.delete(path)
        except AriRefused as error:
            self._not_freed(error)
        except AriError as error:
            self._exchange.free_later(path)
            self._not_freed(error)
        except asyncio.CancelledError:
            self._exchange.free_later(path)
            raise

    async def _undo(self, path: str, query: Mapping[str, str] | None = None) -> None:
        """End what Asterisk does for the channel: it ends with the channel at the latest."""
        try:
            await self._ari.delete(path, query)
        except AriError as error:
            self._not_freed(error)

    def _not_freed(self, error: AriError) -> None:
        if not (isinstance(error, AriRefused) and error.status == 404):
            log.warning("something of a call could not be freed", leg=self.info.id, reason=error.message)
