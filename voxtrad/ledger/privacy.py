"""What records, webhooks, live events and logs keep of what people say: `privacy: full | redacted | none`.

Pure functions on events and text. Whoever shows or keeps an event passes it through `redact` first.

- `full`: everything.
- `redacted`: in all free text (what was said, tools' arguments and results, reasons, messages) every number of four and
  more digits, also one read out digit by digit, and every e-mail address is replaced by `[number]` or `[email]`. Of
  callers' numbers the last two digits stay. Keys pressed become `?`. Names of people are not recognised.
- `none`: no transcript, arguments, results, reasons, messages, keys or caller's number at all; what stays is that
  something happened, when, for how long, and names from the configuration.

A field that is not known to be harmless is free text: what somebody adds to an event is protected until told otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Literal, TypeVar, cast

from voxtrad.events.types import JSON, CallStarted, Decision, DtmfReceived, Event

Privacy = Literal["full", "redacted", "none"]
EventT = TypeVar("EventT", bound=Event)

_LEVELS: tuple[Privacy, ...] = ("full", "redacted", "none")
HARMLESS = frozenset({
    # ids and names that come from the configuration or the PBX
    "call_id", "agent", "linkedid", "tool", "tool_call_id", "destination", "provider", "model", "location", "transport",
    # closed sets
    "direction", "outcome", "stage", "where",
    # figures
    "latency", "stages",
})  # fmt: skip
_KEPT_DIGITS = 2


def strictest(*levels: Privacy) -> Privacy:
    """The level that keeps least."""
    return max(levels, key=_LEVELS.index, default="full")


def redact(event: EventT, level: Privacy) -> EventT:
    """The event as it may be kept."""
    if level == "full":
        return event
    changes: dict[str, object] = {}
    match event:
        case CallStarted():
            changes |= _numbers(event, level)
        case DtmfReceived():
            changes["digit"] = "?"
        case Decision():
            changes["what"] = event.what  # of a closed set; the reason may quote the caller
    for field in fields(event):
        if field.name not in HARMLESS and field.name not in changes:
            changes[field.name] = _reduced(getattr(event, field.name), level)
    return replace(event, **changes)  # type: ignore[arg-type]  # the names are the event's own, the types are kept


def mask(text: str) -> str:
    """Free text without e-mail addresses and numbers of four and more digits, written or spelled out."""
    return _DICTATED.sub("[number]", _NUMBER.sub("[number]", _EMAIL.sub("[email]", text)))


def mask_number(number: str) -> str:
    """A telephone number of which only the last two digits can be read: `+********34`."""
    digits = sum(character.isdigit() for character in number)
    masked, seen = [], 0
    for character in number:
        seen += character.isdigit()
        masked.append("*" if character.isdigit() and seen <= digits - _KEPT_DIGITS else character)
    return "".join(masked) if digits > _KEPT_DIGITS else "*" * len(number)


def _numbers(event: CallStarted, level: Privacy) -> dict[str, object]:
    """The numbers of a call. Ours is no secret, theirs is: `from` of an inbound call, `to` of an outbound one."""
    inbound = event.direction == "inbound"
    theirs = event.caller if inbound else event.dialled
    hidden = "" if level == "none" else mask_number(theirs)
    return {
        "caller": hidden if inbound else event.caller,
        "dialled": event.dialled if inbound else hidden,
        "channel": _without(theirs, hidden or "*", event.channel),
    }


def _without(number: str, hidden: str, channel: str) -> str:
    """A channel's name (`PJSIP/100-0000001f`) without the number, or anything as long as one; its unique end stays."""
    if number:
        channel = re.sub(rf"(?<!\d){re.escape(number)}(?!\d)", lambda _: hidden, channel)
    return _LONG_NUMBER.sub("*", channel)


def _reduced(value: object, level: Privacy) -> object:
    """Text, or JSON that may hold text. Times, durations, counts and flags stay."""
    if level == "none":
        match value:
            case str():
                return ""
            case Mapping():
                return {}
            case Sequence():
                return ()
            case _:
                return value
    return _masked(cast("JSON", value)) if isinstance(value, str | Mapping | Sequence) else value


def _masked(value: JSON) -> JSON:
    match value:
        case str():
            return mask(value)
        case bool() | float() | None:
            return value
        case int():
            return value if -1000 < value < 1000 else "[number]"
        case Mapping():
            return {mask(key): _masked(item) for key, item in value.items()}
        case _:
            return [_masked(item) for item in value]


_EMAIL = re.compile(r"[\w.+%-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_NUMBER = re.compile(r"\+?(?:\d[ ().,/-]{0,2}){3,}\d")
_LONG_NUMBER = re.compile(r"(?<![-\d])\+?\d{7,}|\d{9,}")
_DIGIT_WORDS = (
    "zero oh nought double triple one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred "
    "null eins zwei zwo drei vier fünf sechs sieben acht neun "
    "zéro un deux trois quatre cinq sept huit neuf "
    "cero uno dos tres cuatro cinco seis siete ocho nueve "
    "due tre quattro cinque sei sette otto nove "
    "um dois três quatro sete oito "
    "nul een twee drie zes zeven negen"
).split()
_DIGIT = rf"(?:{'|'.join(_DIGIT_WORDS)}|\d{{1,3}})\b"
_DICTATED = re.compile(rf"\b(?:{_DIGIT}[\s,.-]{{0,3}}){{3,}}{_DIGIT}", re.IGNORECASE)
