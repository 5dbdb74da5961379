"""ARI's events as values: the few kinds that matter to a call, parsed from whatever came over the wire.

Pure. Source: "Asterisk REST Data Models" in the Asterisk documentation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from voxtrad.errors import VoxtradError


class AriProtocolError(VoxtradError):
    """What came is no ARI event."""


@dataclass(frozen=True, slots=True)
class Channel:
    id: str
    name: str
    caller: str
    caller_name: str
    extension: str


@dataclass(frozen=True, slots=True)
class StasisStart:
    channel: Channel
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DigitReceived:
    channel_id: str
    digit: str


@dataclass(frozen=True, slots=True)
class HoldChanged:
    """`ChannelHold` or `ChannelUnhold`: the party at the other end of a channel has put it on hold, or is back."""

    channel_id: str
    held: bool


@dataclass(frozen=True, slots=True)
class ChannelOver:
    """`StasisEnd`, `ChannelHangupRequest` or `ChannelDestroyed`: they come in any order, and not always all."""

    channel_id: str
    cause: str
    """In the PBX's words; empty when the event names none."""
    code: int = 0
    """The cause by its number in ITU-T Q.850; 0 when the event names none."""
    hung_up: bool = True
    """False for `StasisEnd`: the channel has left the application and may well live on."""


@dataclass(frozen=True, slots=True)
class Dialled:
    """How far it is with a channel that is being called, on behalf of another or of nobody."""

    caller_id: str
    channel_id: str
    status: str
    """`RINGING`, `ANSWER`, `BUSY`, `NOANSWER`, `CHANUNAVAIL`, …; empty when it begins."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """`RecordingStarted`, `RecordingFinished` or `RecordingFailed`; with the latter two the file is closed."""

    name: str
    what: Literal["started", "finished", "failed"]


@dataclass(frozen=True, slots=True)
class Played:
    """`PlaybackFinished`: a sound is over, or could not be played."""

    id: str
    what: Literal["finished", "failed"]


@dataclass(frozen=True, slots=True)
class ApplicationReplaced:
    """Another client has subscribed to the application; this connection is deaf from now on."""


@dataclass(frozen=True, slots=True)
class Other:
    """An event that does not concern a call."""

    type: str


AriEvent = (
    StasisStart | DigitReceived | HoldChanged | ChannelOver | Dialled | Recorded | Played | ApplicationReplaced | Other
)

# ITU-T Q.850 causes, in Asterisk's words.
_CAUSES = {
    1: "Unallocated (unassigned) number", 16: "Normal Clearing", 17: "User busy", 18: "No user responding",
    19: "User alerting, no answer", 20: "Subscriber absent", 21: "Call Rejected", 26: "Answered elsewhere",
    27: "Destination out of order", 31: "Normal, unspecified", 34: "Circuit/channel congestion",
    38: "Network out of order", 127: "Interworking, unspecified",
}  # fmt: skip


def parse_event(text: str) -> AriEvent:
    """Raises `AriProtocolError` for anything that is no event, and for a known event without what it must have."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise AriProtocolError("the event is not JSON") from None
    if not isinstance(value, dict):
        raise AriProtocolError("the event is not a JSON object")
    kind = _text(value, "type")
    match kind:
        case "StasisStart":
            arguments = value.get("args", [])
            if not isinstance(arguments, list):
                raise AriProtocolError("StasisStart: args is not a list")
            return StasisStart(_channel(value), tuple(str(argument) for argument in arguments))
        case "ChannelDtmfReceived":
            return DigitReceived(_text(_object(value, "channel"), "id"), _text(value, "digit"))
        case "ChannelHold" | "ChannelUnhold":
            return HoldChanged(_text(_object(value, "channel"), "id"), kind == "ChannelHold")
        case "StasisEnd":
            return ChannelOver(_text(_object(value, "channel"), "id"), "", hung_up=False)
        case "ChannelHangupRequest" | "ChannelDestroyed":
            return ChannelOver(_text(_object(value, "channel"), "id"), _cause(value), _code(value))
        case "Dial":
            caller = _object(value, "caller", optional=True)
            return Dialled(
                caller_id=_text(caller, "id", optional=True),
                channel_id=_text(_object(value, "peer"), "id"),
                status=_text(value, "dialstatus", optional=True),
            )
        case "RecordingStarted":
            return Recorded(_text(_object(value, "recording"), "name"), "started")
        case "RecordingFinished":
            return Recorded(_text(_object(value, "recording"), "name"), "finished")
        case "RecordingFailed":
            return Recorded(_text(_object(value, "recording"), "name"), "failed")
        case "PlaybackFinished":
            playback = _object(value, "playback")
            failed = _text(playback, "state", optional=True) == "failed"
            return Played(_text(playback, "id"), "failed" if failed else "finished")
        case "ApplicationReplaced":
            return ApplicationReplaced()
        case _:
            return Other(kind)


def _channel(event: Mapping[str, object]) -> Channel:
    channel = _object(event, "channel")
    caller = _object(channel, "caller", optional=True)
    dialplan = _object(channel, "dialplan", optional=True)
    return Channel(
        id=_text(channel, "id"),
        name=_text(channel, "name"),
        caller=_text(caller, "number", optional=True),
        caller_name=_text(caller, "name", optional=True),
        extension=_text(dialplan, "exten", optional=True),
    )


def _cause(event: Mapping[str, object]) -> str:
    text = event.get("cause_txt")
    if isinstance(text, str) and text:
        return text
    code = _code(event)
    return (_CAUSES.get(code) or f"cause {code}") if code else ""


def _code(event: Mapping[str, object]) -> int:
    code = event.get("cause")
    return code if isinstance(code, int) and not isinstance(code, bool) and 0 < code < 1000 else 0


def _object(value: Mapping[str, object], key: str, *, optional: bool = False) -> Mapping[str, object]:
    found = value.get(key)
    if isinstance(found, dict):
        return found
    if optional and found is None:
        return {}
    raise AriProtocolError(f"the event's {key} is not an object")


def _text(value: Mapping[str, object], key: str, *, optional: bool = False) -> str:
    found = value.get(key)
    if isinstance(found, str):
        return found
    if optional and found is None:
        return ""
    raise AriProtocolError(f"the event's {key} is not a text")
