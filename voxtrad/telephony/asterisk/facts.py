"""What a PBX can do, from its version and modules, and which media transport follows from that. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from voxtrad.leg import LegError
from voxtrad.telephony.asterisk.settings import FormatName, TransportName

WEBSOCKET_MODULE, AUDIOSOCKET_MODULE, RTP_MODULE = "chan_websocket.so", "chan_audiosocket.so", "chan_rtp.so"
MODULES = (WEBSOCKET_MODULE, AUDIOSOCKET_MODULE, RTP_MODULE)
"""Each carries media, by a transport of its own."""

# First minor version of each major one. Earlier drivers of chan_websocket have neither marks nor JSON control messages,
# and a pause that may be ignored: they are of no use for a conversation.
_WEBSOCKET: Mapping[int, int] = {20: 18, 22: 8, 23: 2}
_WIDEBAND_AUDIOSOCKET: Mapping[int, int] = {20: 17, 22: 7, 23: 1}
_RTP: Mapping[int, int] = {16: 6}

_EVERY: frozenset[FormatName] = frozenset({"ulaw", "alaw", "slin", "slin16"})
_OVER_RTP: frozenset[FormatName] = frozenset({"ulaw", "alaw", "slin"})
_LINEAR: frozenset[FormatName] = frozenset({"slin", "slin16"})
_NARROW: frozenset[FormatName] = frozenset({"slin"})


class Unsuitable(LegError):
    """This PBX has no media transport that we can use."""


@dataclass(frozen=True, slots=True)
class Facts:
    """A PBX, as asked over ARI."""

    version: str
    modules: frozenset[str]
    """Those of `MODULES` that run."""


@dataclass(frozen=True, slots=True)
class Choice:
    transport: TransportName
    formats: frozenset[FormatName]
    """What the transport carries there."""
    why: str


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A transport, and why it is none here, where it is none; with what to do about that."""

    name: TransportName
    formats: frozenset[FormatName]
    against: str
    hint: str


def choose(
    wanted: TransportName | Literal["auto"], facts: Facts, format: FormatName | Literal["auto"] = "auto"
) -> Choice:
    """The transport to use; `auto` is the first of websocket, AudioSocket and RTP that is there and carries `format`.

    Raises `Unsuitable`, with what to do about it.
    """
    reasons: list[str] = []
    hints: list[str] = []
    for each in _candidates(facts):
        if wanted not in ("auto", each.name):
            continue
        reason = each.against or _not_carried(format, each, facts)
        if not reason:
            usual = "configured" if wanted == each.name else f"Asterisk {facts.version} has {WEBSOCKET_MODULE}"
            return Choice(each.name, each.formats, "; ".join(reasons) or usual)
        reasons.append(f"{each.name}: {reason}")
        hints.append(each.hint if each.against else "use `format: auto`")
    if wanted == "auto":
        raise Unsuitable(f"no media transport: {'; '.join(reasons)}", hint=hints[-1])
    raise Unsuitable(f"media transport {reasons[0]}", hint=f"use `transport: auto`, or {hints[0]}")


def _candidates(facts: Facts) -> tuple[_Candidate, ...]:
    def against(module: str, since: Mapping[int, int], versions: str) -> str:
        if not _since(facts.version, since):
            return f"Asterisk {facts.version} is too old for it ({versions} or later)"
        return "" if module in facts.modules else f"Asterisk's {module} is not loaded"

    wide = _since(facts.version, _WIDEBAND_AUDIOSOCKET)
    return (
        _Candidate(
            "websocket",
            _EVERY,
            against(WEBSOCKET_MODULE, _WEBSOCKET, "20.18, 22.8, 23.2"),
            "`module load chan_websocket.so` in Asterisk",
        ),
        _Candidate(
            "audiosocket",
            _LINEAR if wide else _NARROW,
            "" if AUDIOSOCKET_MODULE in facts.modules else f"Asterisk's {AUDIOSOCKET_MODULE} is not loaded",
            "`module load chan_audiosocket.so` in Asterisk, and list it in modules.conf",
        ),
        _Candidate(
            "rtp",
            _OVER_RTP,
            against(RTP_MODULE, _RTP, "16.6"),
            "`module load res_rtp_multicast.so` and `module load chan_rtp.so`, which needs it, in Asterisk",
        ),
    )


def _not_carried(format: FormatName | Literal["auto"], candidate: _Candidate, facts: Facts) -> str:
    """Why a transport does not carry a format; empty where it does."""
    if format == "auto" or format in candidate.formats:
        return ""
    if candidate.name == "audiosocket" and format == "slin16":
        return f"Asterisk {facts.version} is too old for slin16 over it (20.17, 22.7, 23.1 or later)"
    return f"it does not carry {format}"


def _since(version: str, first: Mapping[int, int]) -> bool:
    """Whether `22.10.1+dfsg`, `certified-22.8-cert1` or `GIT-22-4f1c2a` is at or past the first version that has it."""
    if found := re.search(r"GIT-(?:certified-)?(?:releases/)?(\d+)", version):
        return int(found[1]) in first or int(found[1]) > max(first)
    found = re.search(r"(\d{1,6})\.(\d{1,6})", version)
    if not found:
        return False
    major, minor = int(found[1]), int(found[2])
    return major > max(first) or (major in first and minor >= first[major])
