"""What a PBX can do, from its version and modules, and which media transport follows from that. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from voxtrad.leg import LegError
from voxtrad.telephony.asterisk.settings import TransportName

WEBSOCKET_MODULE, AUDIOSOCKET_MODULE = "chan_websocket.so", "chan_audiosocket.so"

# First minor version of each major one. Earlier drivers of chan_websocket have neither marks nor JSON control messages,
# and a pause that may be ignored: they are of no use for a conversation.
_WEBSOCKET: Mapping[int, int] = {20: 18, 22: 8, 23: 2}
_WIDEBAND_AUDIOSOCKET: Mapping[int, int] = {20: 17, 22: 7, 23: 1}


class Unsuitable(LegError):
    """This PBX has no media transport that we can use."""


@dataclass(frozen=True, slots=True)
class Facts:
    """A PBX, as asked over ARI."""

    version: str
    modules: frozenset[str]
    """Those of `WEBSOCKET_MODULE` and `AUDIOSOCKET_MODULE` that run."""


@dataclass(frozen=True, slots=True)
class Choice:
    transport: TransportName
    wideband: bool
    """Whether the transport carries 16 kHz there."""
    why: str


def choose(wanted: TransportName | Literal["auto"], facts: Facts) -> Choice:
    """The transport to use. Raises `Unsuitable`, with what to do about it."""
    wideband_audiosocket = _since(facts.version, _WIDEBAND_AUDIOSOCKET)
    if not _since(facts.version, _WEBSOCKET):
        no_websocket = f"Asterisk {facts.version} is too old for it (20.18, 22.8, 23.2 or later)"
    elif WEBSOCKET_MODULE not in facts.modules:
        no_websocket = f"Asterisk's {WEBSOCKET_MODULE} is not loaded"
    else:
        no_websocket = ""
    if wanted != "audiosocket" and not no_websocket:
        return Choice("websocket", True, f"Asterisk {facts.version} has {WEBSOCKET_MODULE}")
    if wanted == "websocket":
        raise Unsuitable(
            f"media transport websocket: {no_websocket}",
            hint="use `transport: auto`, or `module load chan_websocket.so`",
        )
    if AUDIOSOCKET_MODULE not in facts.modules:
        raise Unsuitable(
            f"no media transport: Asterisk's {AUDIOSOCKET_MODULE} is not loaded"
            + (f"; websocket: {no_websocket}" if no_websocket else ""),
            hint="`module load chan_audiosocket.so` in Asterisk, and list it in modules.conf",
        )
    why = "configured" if wanted == "audiosocket" else no_websocket
    return Choice("audiosocket", wideband_audiosocket, why)


def rate_for(formats: str, *, wideband: bool, forced: Literal[8000, 16000] | None) -> Literal[8000, 16000]:
    """Samples per second for a caller with this `CHANNEL(audionativeformat)` (`(g722|ulaw)`: the first counts)."""
    if not wideband:
        return 8000
    if forced is not None:
        return forced
    names: Sequence[str] = re.findall(r"[a-z0-9]+", formats.lower())
    return 8000 if not names or names[0] in _NARROWBAND else 16000


_NARROWBAND = frozenset(
    {"ulaw", "alaw", "gsm", "g726", "g726aal2", "g723", "g729", "ilbc", "slin", "adpcm", "lpc10", "speex", "amr",
     "codec2", "none", "nothing"}
)  # fmt: skip


def _since(version: str, first: Mapping[int, int]) -> bool:
    """Whether `22.10.1+dfsg`, `certified-22.8-cert1` or `GIT-22-4f1c2a` is at or past the first version that has it."""
    if found := re.search(r"GIT-(?:certified-)?(?:releases/)?(\d+)", version):
        return int(found[1]) >= min(first) and int(found[1]) != 21
    found = re.search(r"(\d{1,6})\.(\d{1,6})", version)
    if not found:
        return False
    major, minor = int(found[1]), int(found[2])
    return major > max(first) or (major in first and minor >= first[major])
