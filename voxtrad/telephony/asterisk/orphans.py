"""What servers that have died left in Asterisk: callers whom nobody talks to, channels and bridges that nobody frees.

Callers go on in the dialplan with `VOXTRAD_STATUS=FAILED`; people who talk with each other are left in peace, and
cleared away when they have finished. Who has died is decided elsewhere: what the living own is never touched.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Mapping, Sequence
from dataclasses import dataclass

import structlog

from voxtrad.events.types import JSON
from voxtrad.telephony.asterisk.ari import Ari, AriRefused

OWN = "voxtrad-"
"""How the ids of channels and bridges begin that we make; the owner's name follows."""
AGAIN = 5.0
"""Seconds between two looks at what could not be cleared yet."""

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Bridge:
    id: str
    channels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to become of what the dead left."""

    lead_on: tuple[str, ...] = ()
    """Callers, for the dialplan."""
    hang_up: tuple[str, ...] = ()
    """Channels of ours."""
    destroy: tuple[str, ...] = ()
    """Bridges."""
    in_peace: tuple[str, ...] = ()
    """Bridges in which people talk."""


def judge(
    channels: Collection[str], callers: Collection[str], bridges: Sequence[Bridge], dead: Collection[str]
) -> Verdict:
    """Pure. `channels` are all by id, `callers` those of a dead server that are in the application still."""
    ours = [channel for channel in channels if _owned(channel, dead)]
    orphaned = [bridge for bridge in bridges if _owned(bridge.id, dead)]
    talking = [bridge for bridge in orphaned if _people_talk(bridge)]
    peaceful = {channel for bridge in talking for channel in bridge.channels}
    return Verdict(
        lead_on=tuple(channel for channel in callers if channel not in peaceful),
        # The far half of a Local channel follows the near one.
        hang_up=tuple(c for c in ours if c not in peaceful and not c.endswith(";2")),
        destroy=tuple(bridge.id for bridge in orphaned if bridge not in talking),
        in_peace=tuple(bridge.id for bridge in talking),
    )


def _owned(identity: str, dead: Collection[str]) -> bool:
    return any(identity.startswith(f"{OWN}{name}-") for name in dead)


def _people_talk(bridge: Bridge) -> bool:
    """A caller and somebody who was called for them."""
    called = any(channel.startswith(OWN) and "-dial-" in channel for channel in bridge.channels)
    return called and any(not channel.startswith(OWN) for channel in bridge.channels)


async def sweep(ari: Ari, dead: Collection[str]) -> None:
    """Clear up after the dead; returns when nothing is left. Raises `AriError` when Asterisk does not answer."""
    while True:
        verdict = await _look(ari, dead)
        if verdict != Verdict(in_peace=verdict.in_peace):
            log.warning(
                "clearing up after a server that has died",
                callers=len(verdict.lead_on),
                channels=len(verdict.hang_up),
                bridges=len(verdict.destroy),
            )
        for caller in verdict.lead_on:
            await _try(ari.post(f"channels/{caller}/variable", {"variable": "VOXTRAD_STATUS", "value": "FAILED"}))
            await _try(ari.post(f"channels/{caller}/continue", {}))
        for channel in verdict.hang_up:
            await _try(ari.delete(f"channels/{channel}"))
        for bridge in verdict.destroy:
            await _try(ari.delete(f"bridges/{bridge}"))
        if not verdict.in_peace:
            return
        await asyncio.sleep(AGAIN)


async def _look(ari: Ari, dead: Collection[str]) -> Verdict:
    channels = [c for c in _objects(await ari.get("channels")) if isinstance(c.get("id"), str)]
    bridges = [
        Bridge(str(bridge.get("id")), tuple(str(c) for c in found) if isinstance(found, list) else ())
        for bridge in _objects(await ari.get("bridges"))
        for found in (bridge.get("channels"),)
    ]
    waiting = [str(c["id"]) for c in channels if not str(c["id"]).startswith(OWN) and _in_stasis(c)]
    owners = await asyncio.gather(*(_owner(ari, channel) for channel in waiting))
    callers = [channel for channel, owner in zip(waiting, owners, strict=True) if owner in dead]
    return judge([str(c["id"]) for c in channels], callers, bridges, dead)


def _objects(answer: JSON) -> list[Mapping[str, JSON]]:
    return [item for item in answer if isinstance(item, Mapping)] if isinstance(answer, list) else []


def _in_stasis(channel: Mapping[str, JSON]) -> bool:
    """Whether a channel is in an application; where Asterisk does not say it may be."""
    dialplan = channel.get("dialplan")
    return not isinstance(dialplan, Mapping) or dialplan.get("app_name", "Stasis") == "Stasis"


async def _owner(ari: Ari, channel: str) -> str:
    try:
        answer = await ari.get(f"channels/{channel}/variable", {"variable": "VOXTRAD_OWNER"})
    except AriRefused:
        return ""  # it has none, or is gone
    return str(answer.get("value", "")) if isinstance(answer, Mapping) else ""


async def _try(request: Awaitable[JSON]) -> None:
    """What has gone meanwhile is cleared up already."""
    try:
        await request
    except AriRefused as error:
        if error.status not in (404, 409):
            log.warning("something of a server that has died could not be cleared up", reason=error.message)
