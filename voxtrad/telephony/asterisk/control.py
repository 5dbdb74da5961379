"""chan_websocket's control messages in JSON: commands to it and events from it. Pure.

Source: "WebSocket Channel Driver" in the Asterisk documentation (control messages in JSON: 20.18, 22.8, 23.2). Commands
of more than 128 bytes are ignored by Asterisk without a word, so mark ids are short numbers.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from voxtrad.errors import VoxtradError

Command = Literal["FLUSH_MEDIA", "PAUSE_MEDIA", "CONTINUE_MEDIA", "GET_STATUS", "HANGUP"]


class ControlError(VoxtradError):
    """What came is no control message of chan_websocket."""


@dataclass(frozen=True, slots=True)
class MediaStart:
    """The first message: bytes of one frame, and its length in milliseconds."""

    frame_bytes: int
    frame_ms: int


@dataclass(frozen=True, slots=True)
class MarkProcessed:
    id: int


@dataclass(frozen=True, slots=True)
class Status:
    """The answer to `GET_STATUS`: frames that wait for playout."""

    queue_length: int


@dataclass(frozen=True, slots=True)
class FlowControl:
    """`MEDIA_XOFF` and `MEDIA_XON`: whether more audio may be sent."""

    may_send: bool


@dataclass(frozen=True, slots=True)
class DriverError:
    text: str


@dataclass(frozen=True, slots=True)
class OtherMessage:
    event: str


ControlMessage = MediaStart | MarkProcessed | Status | FlowControl | DriverError | OtherMessage


def command(name: Command) -> str:
    return f'{{"command":"{name}"}}'


def mark(identity: int) -> str:
    return f'{{"command":"MARK_MEDIA","correlation_id":"{identity}"}}'


def parse_control(text: str) -> ControlMessage:
    """Raises `ControlError` for anything that is no control message."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise ControlError("the control message is not JSON") from None
    if not isinstance(value, dict) or not isinstance(event := value.get("event"), str):
        raise ControlError("the control message has no event")
    match event:
        case "MEDIA_START":
            return MediaStart(_count(value.get("optimal_frame_size")), _count(value.get("ptime")))
        case "MEDIA_MARK_PROCESSED":
            return MarkProcessed(_count(value.get("correlation_id")))
        case "STATUS":
            return Status(_count(value.get("queue_length")))
        case "MEDIA_XOFF" | "MEDIA_XON":
            return FlowControl(event == "MEDIA_XON")
        case "ERROR":
            return DriverError(str(value.get("error_text", "")))
        case _:
            return OtherMessage(event)


def _count(value: object) -> int:
    """A number that is not negative, as JSON number or in decimal digits."""
    if isinstance(value, str) and len(value) <= 18 and value.isascii() and value.isdigit():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ControlError("the control message has no number where one belongs")
