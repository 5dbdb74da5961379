"""One channel of Asterisk, as what ARI is asked of it: requests, variables, what is played to it, where it goes on."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping

from voxtrad.events.types import JSON
from voxtrad.finishing import finished
from voxtrad.leg import Hears, LegError, LegGone
from voxtrad.telephony.asterisk.ari import Ari, AriError, AriRefused
from voxtrad.telephony.asterisk.leftovers import not_freed

_INDICATIONS: Mapping[Hears, str] = {"ringing": "ring", "music": "moh"}


class Channel:
    """A request raises `LegGone` when the channel is gone, or over for us, and `AriError` when it is refused."""

    def __init__(self, channel_id: str, ari: Ari) -> None:
        self.id = channel_id
        self.path = f"channels/{channel_id}"
        self.over = False
        """Nothing is asked of it any more."""
        self._ari = ari
        self._indicating: str | None = None
        """What Asterisk plays to the party, by ARI's name for it."""

    def check(self) -> None:
        if self.over:
            raise LegGone("the call has ended")

    async def act(self, what: str, body: Mapping[str, JSON] | None = None) -> None:
        """Have something done with the channel (`answer`)."""
        await self.do(f"{self.path}/{what}", body)

    async def do(self, path: str, body: Mapping[str, JSON] | None = None) -> None:
        """Have something done that the channel is a part of."""
        self.check()
        try:
            await self._ari.post(path, body or {})
        except AriRefused as error:
            if error.status in (404, 409):  # no such channel, or one that left the application
                raise LegGone("the call has ended") from error
            raise

    async def undo(self, path: str, query: Mapping[str, str] | None = None) -> None:
        """End what Asterisk does for the channel: it ends with the channel at the latest. Never raises `AriError`."""
        try:
            await finished(self._ari.delete(path, query))
        except AriError as error:
            not_freed(self.id, error)

    async def set(self, name: str, value: str) -> None:
        await self.act("variable", {"variable": name, "value": value})

    async def variable(self, name: str) -> str:
        """A variable, or what a function of the dialplan says; empty where there is none."""
        try:
            answer = await self._ari.get(f"{self.path}/variable", {"variable": name})
        except AriRefused as error:
            if error.status in (404, 409):  # not set; or the channel is gone, which an event tells as well
                return ""
            raise
        return str(answer.get("value", "")) if isinstance(answer, Mapping) else ""

    async def exists(self, context: str, extension: str, priority: int) -> bool | None:
        """Whether the dialplan has a place; None where Asterisk cannot tell (func_dialplan is not loaded)."""
        try:
            answer = await self.variable(f"DIALPLAN_EXISTS({context},{extension},{priority})")
        except AriRefused:
            return None
        return answer not in ("", "0")

    async def indicate(self, hears: Hears) -> None:
        """Have Asterisk play something to the party, in the place of what it plays now."""
        wanted, playing = _INDICATIONS.get(hears), self._indicating
        if wanted == playing:
            return
        self._indicating = None
        if playing is not None:
            await self.undo(f"{self.path}/{playing}")
        if wanted is not None:
            self._indicating = wanted  # to be ended, also where nobody waits for it to begin
            try:
                await self.act(wanted)
            except LegError:
                self._indicating = None
                raise

    async def go_on(self, context: str | None, extension: str | None, priority: int | None) -> None:
        """Into the dialplan: at a place, or at the line after `Stasis()` with all `None`."""
        where: dict[str, JSON] = {"context": context, "extension": extension, "priority": priority}
        await self.indicate("silence")
        await self.act("continue", {key: value for key, value in where.items() if value})

    async def give_up(self) -> None:
        """Back to the dialplan with a party whom nobody talks with any more; also where it is over for us."""
        if self._indicating is not None:
            await self.undo(f"{self.path}/{self._indicating}")
        await self._ari.post(f"{self.path}/variable", {"variable": "VOXTRAD_STATUS", "value": "FAILED"})
        await self._ari.post(f"{self.path}/continue", {})

    @contextlib.asynccontextmanager
    async def followed(self, app: str) -> AsyncIterator[None]:
        """The application is told of the channel wherever it is, until the block is left."""
        subscription, source = f"applications/{app}/subscription", f"channel:{self.id}"
        try:
            await self._ari.post(subscription, {"eventSource": [source]})
            yield
        finally:
            await self.undo(subscription, {"eventSource": source})
