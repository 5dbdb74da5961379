"""A recording of one channel, made by Asterisk: two snoop channels, one for what the party says and one for what it
hears, each recorded by ARI; afterwards both are fetched and joined, and deleted there.

Measured on 22.10: both tracks run from their beginning without a gap, also on hold, between bridges and where no audio
comes at all, so joining them is enough. The PBX needs `res_stasis_snoop`, `res_stasis_recording`, `res_ari_recordings`
and `format_wav`, and a folder `recording` in its spool folder that Asterisk may write.
"""

from __future__ import annotations

import asyncio
import contextlib
import wave
from collections.abc import Awaitable, Iterable, Mapping
from pathlib import Path
from typing import Literal, Protocol

import structlog

from voxtrad.events.types import JSON
from voxtrad.finishing import finished
from voxtrad.leg import LegError
from voxtrad.telephony.asterisk.ari import Ari, AriError, AriRefused, AriUnreachable
from voxtrad.telephony.recordings import join, private_file

log = structlog.stdlib.get_logger(__name__)

SPIES = {"caller": "in", "agent": "out"}
"""The tracks, and ARI's word for the direction: what the channel sends, and what is sent to it."""
_ENTER_TIMEOUT = 5.0
_BEGIN_TIMEOUT = 5.0
_CLOSE_TIMEOUT = 5.0
_AGAIN = (1.0, 2.0, 4.0, 8.0, 15.0)  # seconds between attempts: a PBX that restarts is back in so long
_ASKED, _ASK_AGAIN = 50, 0.1
_HINT = "Asterisk needs a folder recording in its spool folder, res_stasis_recording, res_stasis_snoop and format_wav"


class Track:
    """How far it is with one side's recording, as Asterisk tells it."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.begun: asyncio.Future[bool] = loop.create_future()
        """Whether it has begun, once that is known."""
        self.over: asyncio.Future[None] = loop.create_future()
        """Done when its file is closed, or nobody waits for it any more."""

    def happened(self, what: Literal["started", "finished", "failed"]) -> None:
        if not self.begun.done():
            self.begun.set_result(what != "failed")
        if what != "started" and not self.over.done():
            self.over.set_result(None)


class Exchange(Protocol):
    """What a recording needs of the application."""

    def new_id(self, what: str) -> str:
        """An id for a channel of ours."""
        ...

    def entered(self, channel_id: str) -> asyncio.Future[None]:
        """Done when our own channel of that id has entered the application."""
        ...

    def track(self, name: str) -> Track:
        """What is told of the recording of that name, from now until it is over."""
        ...

    def free_later(self, path: str) -> None:
        """Something of ours, by its ARI path, that could not be freed: it is freed later."""
        ...


class ChannelRecording:
    """See `leg.Recording`."""

    def __init__(self, ari: Ari, exchange: Exchange, name: str) -> None:
        """Begins with `begin`. `name` is the owner's, unique to the call: the PBX's recordings are called after it."""
        self._ari = ari
        self._exchange = exchange
        self._names = {track: f"{name}-{track}" for track in SPIES}
        self._channels: dict[str, str] = {}
        """The snoop channels that are there, by the recordings that they carry."""
        self._running: dict[str, Track] = {}

    async def begin(self, channel_id: str, *, app: str, rate: int) -> None:
        """Raises `LegError`; then nothing is left of it."""
        try:
            self._channels = {name: self._exchange.new_id("snoop") for name in self._names.values()}
            snoops = zip(SPIES.values(), self._channels.values(), strict=True)
            await _together(self._snoop(channel_id, app, snoop, spy) for spy, snoop in snoops)
            await _together(self._record(snoop, name, rate) for name, snoop in self._channels.items())
        except BaseException:
            await finished(self._abandon())
            raise

    async def pause(self) -> None:
        await _together(self._ari.post(f"recordings/live/{name}/mute") for name in self._names.values())

    async def resume(self) -> None:
        await _together(self._ari.delete(f"recordings/live/{name}/mute") for name in self._names.values())

    async def stop(self) -> None:
        await finished(_together(self._stop(name) for name in self._names.values()))

    async def save(self, path: Path) -> float:
        for pause in _AGAIN:
            try:
                return await self._save(path)
            except AriUnreachable as error:
                log.info("a recording is fetched later", recording=path.stem, reason=error.message, seconds=pause)
                await asyncio.sleep(pause)
        return await self._save(path)

    async def _save(self, path: Path) -> float:
        caller, agent = (path.with_name(f".{path.stem}.{track}.wav") for track in SPIES)
        await self._settled()
        try:
            for name, track in zip(self._names.values(), (caller, agent), strict=True):
                await self._fetch(name, track)
            return await asyncio.to_thread(join, caller, agent, path)
        except (wave.Error, EOFError) as error:
            raise LegError(f"the PBX's recording cannot be read: {error}") from error
        finally:
            for track in (caller, agent):
                track.unlink(missing_ok=True)

    async def discard(self) -> None:
        await self._settled()
        await _together(_unless_gone(self._ari.delete(f"recordings/stored/{name}")) for name in self._names.values())

    # ------------------------------------------------------------------------------------------------------------------

    async def _snoop(self, channel_id: str, app: str, snoop: str, spy: str) -> None:
        entered = self._exchange.entered(snoop)
        try:
            await self._ari.post(f"channels/{channel_id}/snoop/{snoop}", {"spy": spy, "app": app})
            async with asyncio.timeout(_ENTER_TIMEOUT):
                await entered
        except AriUnreachable:
            self._exchange.free_later(f"channels/{snoop}")  # it may come yet
            raise
        except TimeoutError:
            raise LegError("the recording's channel did not enter the Stasis application in time") from None
        finally:
            entered.cancel()

    async def _record(self, snoop: str, name: str, rate: int) -> None:
        track = self._running[name] = self._exchange.track(name)
        what = {"name": name, "format": "wav16" if rate == 16000 else "wav", "ifExists": "overwrite"}
        try:
            await self._ari.post(f"channels/{snoop}/record", what)
            async with asyncio.timeout(_BEGIN_TIMEOUT):
                begun = await track.begun
            await self._ari.get(f"recordings/live/{name}")  # it "begins" also where its file cannot be opened
        except AriRefused as error:
            raise LegError(error.message, hint=_HINT) from error
        except TimeoutError:
            raise LegError("Asterisk does not tell that it records", hint=_HINT) from None
        if not begun:
            raise LegError("Asterisk could not begin the recording", hint=_HINT)

    async def _abandon(self) -> None:
        await self.stop()
        with contextlib.suppress(LegError):
            await self.discard()

    async def _stop(self, name: str) -> None:
        """Its channel is freed too: without it, nothing is recorded."""
        try:
            await _unless_gone(self._ari.post(f"recordings/live/{name}/stop"))
        except AriError as error:
            log.warning("a recording could not be stopped", recording=name, reason=error.message)
        if snoop := self._channels.pop(name, None):
            await self._free(f"channels/{snoop}")

    async def _free(self, path: str) -> None:
        try:
            await _unless_gone(self._ari.delete(path))
        except AriRefused as error:
            log.warning("something of a recording could not be freed", path=path, reason=error.message)
        except AriError as error:
            self._exchange.free_later(path)
            log.warning("something of a recording is freed later", path=path, reason=error.message)

    async def _settled(self) -> None:
        """Wait until the files are closed."""
        running, self._running = self._running, {}
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                for track in running.values():
                    if track.begun.done():
                        await track.over
        except TimeoutError:
            log.info("Asterisk does not tell that a recording has ended", recordings=list(running))
        finally:
            for track in running.values():
                track.over.cancel()
            if not running:  # of an earlier run: nobody tells us of it
                await _together(self._closed(name) for name in self._names.values())

    async def _closed(self, name: str) -> None:
        """Ask until a file is closed."""
        for _ in range(_ASKED):
            try:
                await self._ari.get(f"recordings/live/{name}")
            except AriRefused as error:
                if error.status == 404:
                    return
                raise
            await asyncio.sleep(_ASK_AGAIN)

    async def _fetch(self, name: str, to: Path) -> None:
        with private_file(to) as part, part.open("wb") as file:
            await self._ari.download(f"recordings/stored/{name}/file", file.write)


async def waiting(ari: Ari, exchange: Exchange, prefix: str) -> dict[str, ChannelRecording]:
    """The recordings at the PBX whose names begin so, by what follows; also those that are being made.

    Raises `AriUnreachable`. A PBX that has none, or no folder for them, refuses to list them.
    """
    try:
        answer = await ari.get("recordings/stored")
    except AriRefused as error:
        log.debug("the PBX lists no recordings", reason=error.message)
        return {}
    tracks = [str(item.get("name")) for item in answer if isinstance(item, Mapping)] if isinstance(answer, list) else []
    found = {track.removesuffix(f"-{side}") for track in tracks for side in SPIES if track.endswith(f"-{side}")}
    mine = [name for name in sorted(found) if name.startswith(prefix)]
    return {name.removeprefix(prefix): ChannelRecording(ari, exchange, name) for name in mine}


async def _together(works: Iterable[Awaitable[object]]) -> None:
    """Do all at once, and raise the first failure when all are done."""
    for result in await asyncio.gather(*works, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


async def _unless_gone(request: Awaitable[JSON]) -> None:
    """What is not there any more needs nothing."""
    try:
        await request
    except AriRefused as error:
        if error.status != 404:
            raise
