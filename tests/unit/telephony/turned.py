"""An Asterisk that takes turns of the event loop for what it does, and no time: for tests that cancel at every turn."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Mapping

import aiohttp

from voxtrad.events.types import JSON
from voxtrad.telephony.asterisk.ari import Ari, AriUnreachable, refusal
from voxtrad.telephony.asterisk.messages import AriEvent, Channel, ChannelOver, Recorded, StasisStart
from voxtrad.telephony.asterisk.settings import AsteriskSettings

SETTINGS = AsteriskSettings(instance="t")
CALLER = "1.1"
"""The channel of a caller, who is in the application."""


def start_of(channel_id: str) -> StasisStart:
    return StasisStart(Channel(channel_id, "PJSIP/100", "100", "", "1000"), ())


class Pbx(Ari):
    """The real client, but for the wire: a request is read at once, done some turns of the loop later, and answered
    some turns after that. What has happened is told to `tell`."""

    def __init__(self, http: aiohttp.ClientSession, *, deaf: Callable[[str, str], bool] = lambda *_: False) -> None:
        """Requests to which it is `deaf` are done, and not answered."""
        super().__init__(http, SETTINGS)
        self._deaf = deaf
        self.tell: Callable[[AriEvent], None] = lambda event: None
        self.has: set[str] = set()
        """Our channels, bridges and recordings, by their paths."""
        self.with_us = True
        """The caller is in the application; or else in the dialplan, or hung up."""
        self.hears: str | None = None
        self.subscribed = False
        self._recorded: dict[str, str] = {}

    async def _send(self, method: str, path: str, query: Mapping[str, str] | None, body: JSON) -> JSON:
        doing = asyncio.create_task(self._do(method, path, body))  # Asterisk's own business, whatever becomes of us
        return await asyncio.shield(doing)

    async def _do(self, method: str, path: str, body: JSON) -> JSON:
        await turns(3 if method == "DELETE" else 12)
        self._obey(method, path, body if isinstance(body, Mapping) else {})
        if self._deaf(method, path):
            raise AriUnreachable("no answer in time")
        await turns(1)
        return {"value": "1"} if path.endswith("/variable") else {}

    def _obey(self, method: str, path: str, body: Mapping[str, JSON]) -> None:
        match method, *path.split("/"):
            case "POST", "bridges", _:
                self.has.add(path)
            case "POST", "channels":
                self._enters(str(body["channelId"]))
            case "POST", "channels", "externalMedia":
                self._enters(str(body["channelId"]))
            case "POST", "channels", _, "snoop", snoop:
                self._enters(snoop)
            case "POST", "channels", channel, "record":
                name = str(body["name"])
                self._recorded[name] = channel
                self.has.add(f"recordings/live/{name}")
                self.tell(Recorded(name, "started"))
            case "POST", "recordings", "live", name, "stop":
                self._stop(name)
            case "POST", "channels", channel, "continue" if channel == CALLER:
                if not self.with_us:
                    raise refusal(409, "not in the application")
                self._caller_leaves(hung_up=False)
            case method, "channels", channel, "ring" | "moh" as indication if channel == CALLER:
                self.hears = indication if method == "POST" else None
            case method, "applications", _, "subscription":
                self.subscribed = method == "POST"
            case "DELETE", "channels", channel if channel == CALLER and self.with_us:
                self._caller_leaves(hung_up=True)
            case "GET", "recordings", "live", _ if path not in self.has:
                raise refusal(404, "not found")
            case "DELETE", *_:
                if path not in self.has:
                    raise refusal(404, "not found")
                self.has.remove(path)
                for name in [name for name, channel in self._recorded.items() if path == f"channels/{channel}"]:
                    self._stop(name)
            case _:
                pass

    def _enters(self, channel: str) -> None:
        self.has.add(f"channels/{channel}")
        asyncio.get_running_loop().call_soon(self.tell, start_of(channel))

    def _caller_leaves(self, *, hung_up: bool) -> None:
        self.with_us = False
        self.tell(ChannelOver(CALLER, "Normal Clearing", 16, hung_up=hung_up))

    def _stop(self, name: str) -> None:
        if self._recorded.pop(name, None) is None:
            raise refusal(404, "not found")
        self.has.remove(f"recordings/live/{name}")
        self.has.add(f"recordings/stored/{name}")
        self.tell(Recorded(name, "finished"))


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def cancelled_after(
    steps: int, work: Coroutine[object, object, object], *, again: int | None = None, busy: Ari | None = None
) -> bool:
    """Whether it had not ended before; with `again` it is cancelled once more, so many turns later. Who is `busy` has
    as many other requests then as may be under way."""
    task = asyncio.create_task(work)
    await turns(steps)
    others = [asyncio.create_task(busy.get("channels")) for _ in range(16)] if busy is not None else []
    await turns(1 if others else 0)
    cancelled = task.cancel()
    if again is not None:
        await turns(again)
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await asyncio.gather(*others)
    return cancelled
