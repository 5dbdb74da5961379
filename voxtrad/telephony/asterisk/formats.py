"""The formats that audio has between Asterisk and us, by Asterisk's names, and which one a caller gets. Pure.

The best is the caller's own: Asterisk then converts nothing. G.711 is carried as it is; what is wider than the
telephone's band comes as linear PCM at 16 kHz, for its codec is none that a recogniser takes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from voxtrad.audio.codec import CODINGS, Codec, Coding
from voxtrad.leg import FRAME_MS
from voxtrad.telephony.asterisk.settings import FormatName


@dataclass(frozen=True, slots=True)
class Format:
    name: FormatName
    """As ARI's `format` wants it."""
    rate: Literal[8000, 16000]
    codec: Codec

    @property
    def coding(self) -> Coding:
        return CODINGS[self.codec]

    @property
    def frame_samples(self) -> int:
        return self.rate * FRAME_MS // 1000

    @property
    def frame_bytes(self) -> int:
        """Bytes that a frame of 20 ms has on the wire."""
        return self.frame_samples * self.coding.sample_bytes

    @property
    def pcm_bytes(self) -> int:
        """Bytes that a frame of 20 ms has inside the house."""
        return self.frame_samples * 2


FORMATS: Mapping[FormatName, Format] = {
    "ulaw": Format("ulaw", 8000, "ulaw"),
    "alaw": Format("alaw", 8000, "alaw"),
    "slin": Format("slin", 8000, "linear"),
    "slin16": Format("slin16", 16000, "linear"),
}


def format_for(
    native: str, carried: Collection[FormatName], *, wanted: FormatName | Literal["auto"], wideband: bool = True
) -> Format:
    """For a caller with this `CHANNEL(audionativeformat)` (`(g722|ulaw)`: the first counts), over a transport that
    has the formats `carried`, of which `wanted` is one. `wideband` says whether 16 kHz are of use to who listens."""
    if wanted != "auto":
        return FORMATS[wanted]
    names: Sequence[str] = re.findall(r"[a-z0-9]+", native.lower())
    own = names[0] if names else "none"
    g711 = next((name for name in _G711 if name == own), None)
    if g711 is not None and g711 in carried:
        return FORMATS[g711]
    return FORMATS["slin16" if wideband and own not in _NARROWBAND and "slin16" in carried else "slin"]


_G711: Sequence[FormatName] = ("ulaw", "alaw")
_NARROWBAND = frozenset(
    {"ulaw", "alaw", "gsm", "g726", "g726aal2", "g723", "g729", "ilbc", "slin", "adpcm", "lpc10", "speex", "amr",
     "codec2", "none", "nothing"}
)  # fmt: skip
