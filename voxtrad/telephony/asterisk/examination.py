"""Looks at a PBX without touching a call: can it be reached, may we use it, has it what is needed, does media flow.

It never opens the events websocket of the application in use: Asterisk gives an application to its latest subscriber,
and the running server would go deaf. Media is tried in an application of its own name. Source: "Asterisk REST Interface
(ARI)" in the Asterisk documentation.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import aiohttp

from voxtrad.finishing import finished
from voxtrad.leg import LegError, MediaPort
from voxtrad.remarks import Remark, Tell
from voxtrad.telephony.asterisk.app import AsteriskTelephony
from voxtrad.telephony.asterisk.ari import Ari, AriError, AriRefused
from voxtrad.telephony.asterisk.formats import format_for
from voxtrad.telephony.asterisk.inquiry import runs
from voxtrad.telephony.asterisk.media import MediaChannel
from voxtrad.telephony.asterisk.recording import ChannelRecording
from voxtrad.telephony.asterisk.settings import AsteriskSettings

NEEDED = (
    "res_stasis.so", "app_stasis.so", "res_stasis_playback.so", "res_ari_events.so", "res_ari_channels.so",
    "res_ari_bridges.so", "res_ari_applications.so", "res_ari_asterisk.so", "res_http_websocket.so",
)  # fmt: skip
"""Modules without which no call can be taken, whatever carries its media."""
PATIENCE = 10.0
"""Seconds that connecting may take, and a tone."""

_TONE = "1000/2000"
_FIREWALL = (
    "let UDP pass from the PBX to asterisk.media.rtp.ports here, and from here to the ports of Asterisk's rtp.conf; "
    "asterisk.media.rtp.advertise must be this machine as the PBX reaches it"
)


@dataclass(frozen=True, slots=True)
class Target:
    """A place where calls are sent."""

    path: str
    """Where it stands in the configuration."""
    endpoint: str | None = None
    """A channel to dial, such as `Local/200@from-internal`."""
    context: str = ""
    extension: str = ""
    priority: int = 1


async def ask(http: aiohttp.ClientSession, settings: AsteriskSettings, tell: Tell) -> bool:
    """Version, rights and modules. False where the PBX cannot be asked at all."""
    ari = Ari(http, settings)
    try:
        version = await _version(ari)
        tell(Remark("asterisk.url", f"Asterisk {version} at {ari.base.origin()}"))
        tell(await _rights(ari))
        missing = [module for module in NEEDED if not await runs(ari, module)]
    except AriError as error:
        hint = error.hint or "is Asterisk running, with http.conf and ari.conf enabled?"
        tell(Remark("asterisk.url", error.message, "error", hint))
        return False
    for module in missing:
        hint = f"in Asterisk's console: module load {module}"
        tell(Remark("asterisk", f"the module {module} is not running", "error", hint))
    if not missing:
        tell(Remark("asterisk", "all modules are there that calls need"))
    return True


async def taken(http: aiohttp.ClientSession, settings: AsteriskSettings, *, running: bool) -> Remark:
    """Who has the application; `running` says whether our own server runs on this machine."""
    path = "asterisk.app"
    try:
        await Ari(http, settings).get(f"applications/{settings.app}")
    except AriRefused as error:
        if error.status != 404:
            return Remark(path, error.message, "error", error.hint)
        if not running:
            return Remark(path, f"the application '{settings.app}' is free")
        hint = "its log says why; calls that come in now fail"
        return Remark(path, f"a server runs here, and the application '{settings.app}' is not connected", "error", hint)
    except AriError as error:
        return Remark(path, error.message, "error", error.hint)
    if running:
        return Remark(path, f"the application '{settings.app}' is connected, as the server that runs here should be")
    hint = (
        "if that is no voxtrad of yours elsewhere, give this one another asterisk.app: the latest client gets the calls"
    )
    return Remark(path, f"another client has the application '{settings.app}'", "warning", hint)


async def try_media(
    http: aiohttp.ClientSession, settings: AsteriskSettings, targets: Sequence[Target], records: str | None, tell: Tell
) -> None:
    """Connects media as for a call, in an application of its own, and asks its channel where calls can be sent.

    Where `records` is the place in the configuration that wants calls recorded, records it for a moment.
    """
    own = replace(settings, app=f"{settings.app}-doctor-{secrets.token_hex(4)}", instance=secrets.token_hex(4))
    telephony = AsteriskTelephony(own, _nobody, http=http)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(telephony.run())
        try:
            await _with_media(telephony, Ari(http, own), targets, records, tell)
        finally:
            running.cancel()


async def _with_media(
    telephony: AsteriskTelephony, ari: Ari, targets: Sequence[Target], records: str | None, tell: Tell
) -> None:
    path = "asterisk.media.transport"
    try:
        async with asyncio.timeout(PATIENCE):
            await telephony.wait_ready()
    except TimeoutError:
        tell(Remark(path, telephony.state_reason, "error"))
        return
    channel = telephony.new_id("doctor")
    entered = telephony.entered(channel)
    port: MediaChannel | None = None
    try:
        format = format_for("", telephony.choice.formats, wanted=telephony.settings.format)
        try:
            port = await telephony.transport.open(channel, format, lambda: None)
        except LegError as error:
            tell(Remark(path, f"{telephony.choice.transport}: {error.message}", "error", error.hint))
            return
        if telephony.choice.transport == "rtp" and not await _sound_comes(ari, channel, entered, port):
            tell(Remark(path, "over rtp nothing comes here from the PBX", "error", _FIREWALL))
        else:
            tell(Remark(path, f"media flows over {telephony.choice.transport}: {telephony.choice.why}"))
        for target in targets:
            tell(await _reachable(ari, channel, target))
        if records is not None:
            tell(await _recorded(telephony, ari, channel, records))
    finally:
        entered.cancel()
        try:
            if port is not None:
                await port.close()
        finally:
            with contextlib.suppress(LegError):  # most often it went with its media
                await finished(ari.delete(f"channels/{channel}"))


async def _sound_comes(ari: Ari, channel: str, entered: asyncio.Future[None], port: MediaPort) -> bool:
    """Whether a tone that Asterisk plays on the channel is heard here: UDP has no connection that would tell."""
    try:
        async with asyncio.timeout(PATIENCE):
            await entered
            await ari.post(f"channels/{channel}/play", {"media": f"tone:{_TONE}"})
            async for frame in port.frames():
                if any(frame):
                    return True
    except TimeoutError:
        pass
    return False


async def _recorded(telephony: AsteriskTelephony, ari: Ari, channel: str, path: str) -> Remark:
    recording = ChannelRecording(ari, telephony, telephony.recording("doctor"))
    try:
        await recording.begin(channel, app=telephony.settings.app, rate=8000)
        try:
            await recording.stop()
        finally:
            await recording.discard()
    except LegError as error:
        return Remark(path, f"calls cannot be recorded: {error.message}", "error", error.hint)
    return Remark(path, "calls can be recorded")


async def _nobody(leg: object) -> None:
    """Nobody calls an application that no dialplan knows."""


async def _version(ari: Ari) -> str:
    info = await ari.get("asterisk/info", {"only": "system"})
    system = info.get("system") if isinstance(info, Mapping) else None
    version = system.get("version") if isinstance(system, Mapping) else None
    if not isinstance(version, str):
        raise AriError("the answer is not ARI's", hint="asterisk.url must be Asterisk's HTTP server")
    return version


async def _rights(ari: Ari) -> Remark:
    """Whether the user may do more than read: ends a channel that there is not."""
    try:
        await ari.delete("channels/voxtrad-doctor-asks-for-nothing")
    except AriRefused as error:
        if error.status != 404:
            return Remark("asterisk.username", error.message, "error", error.hint)
    return Remark("asterisk.username", "the ARI user may use calls")


# --- where calls are sent ---------------------------------------------------------------------------------------------

_LOCAL = re.compile(r"Local/(?P<extension>[^@/]+)(@(?P<context>[^/]+))?(/\w+)?", re.IGNORECASE)
_ENDPOINT = re.compile(r"(?P<technology>[A-Za-z0-9]+)/(?:[^@/]*@)?(?P<resource>[^@/]+)")


async def _reachable(ari: Ari, channel: str, target: Target) -> Remark:
    try:
        if target.endpoint is None:
            return await _in_dialplan(ari, channel, target, target.context, target.extension, target.priority)
        if "{{" in target.endpoint:
            return Remark(target.path, f"{target.endpoint} depends on the call")
        if local := _LOCAL.fullmatch(target.endpoint):
            return await _in_dialplan(ari, channel, target, local["context"] or "default", local["extension"], 1)
        return await _endpoint(ari, target, target.endpoint)
    except AriError as error:
        return Remark(target.path, f"cannot be checked: {error.message}", "warning")


async def _in_dialplan(ari: Ari, channel: str, target: Target, context: str, extension: str, priority: int) -> Remark:
    place = f"{extension}@{context}" + (f", priority {priority}" if priority > 1 else "")
    function = f"DIALPLAN_EXISTS({context},{extension},{priority})"
    try:
        answer = await ari.get(f"channels/{channel}/variable", {"variable": function})
    except AriRefused:
        return Remark(target.path, f"{place} cannot be checked", "warning", "load func_dialplan.so for that")
    value = answer.get("value") if isinstance(answer, Mapping) else None
    if value in (None, "", "0"):
        return Remark(target.path, f"the dialplan has no {place}", "error", "calls sent there would fail")
    return Remark(target.path, f"the dialplan has {place}")


async def _endpoint(ari: Ari, target: Target, endpoint: str) -> Remark:
    found = _ENDPOINT.fullmatch(endpoint)
    if found is None:
        return Remark(target.path, f"{endpoint} cannot be checked", "warning")
    try:
        answer = await ari.get(f"endpoints/{found['technology']}/{found['resource']}")
    except AriRefused as error:
        if error.status != 404:
            raise
        return Remark(target.path, f"Asterisk knows no {endpoint}", "error", "calls sent there would fail")
    state = answer.get("state") if isinstance(answer, Mapping) else None
    if state == "offline":
        return Remark(target.path, f"{endpoint} is offline", "warning", "is that telephone registered?")
    return Remark(target.path, f"{endpoint} is {state or 'there'}")
