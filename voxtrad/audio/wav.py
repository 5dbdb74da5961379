"""WAV files: reading what people have (prompts, test callers) and writing call recordings as they grow.

The standard library writes them well, but before Python 3.12 it reads neither G.711 nor the extensible header that
newer tools write, and it gives up on a file cut off in the middle; so reading is done here.
"""

from __future__ import annotations

import struct
import wave
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from voxtrad.audio import g711
from voxtrad.audio._audioop import audioop
from voxtrad.errors import VoxtradError

_PCM, _ALAW, _ULAW, _EXTENSIBLE = 0x0001, 0x0006, 0x0007, 0xFFFE
_MAX_RATE = 384_000


class WavError(VoxtradError):
    """The file is no WAV file, or of a kind that is not read here."""


class Wav(NamedTuple):
    """Mono 16-bit linear PCM and its sample rate."""

    pcm: bytes
    rate: int

    @property
    def seconds(self) -> float:
        return len(self.pcm) / 2 / self.rate


def read_wav(path: Path | str) -> Wav:
    """Read a file as `parse_wav` does. Raises `WavError`, and `OSError` where the file cannot be read."""
    try:
        return parse_wav(Path(path).read_bytes())
    except WavError as error:
        raise WavError(f"{path}: {error.message}", hint=error.hint) from None


def parse_wav(data: bytes) -> Wav:
    """Decode the bytes of a WAV file: linear PCM of 8 to 32 bits, A-law or u-law, one or two channels (mixed to one).

    A file whose writer died (sizes of 0 or too large) gives what is there. Raises `WavError`.
    """
    if len(data) < 12 or data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise WavError("not a WAV file", hint="convert it: ffmpeg -i FILE -ac 1 -c:a pcm_s16le out.wav")
    fmt: bytes | None = None
    at = 12
    while at + 8 <= len(data):
        name, size = data[at : at + 4], struct.unpack_from("<I", data, at + 4)[0]
        body = data[at + 8 : at + 8 + size]
        if name == b"fmt ":
            fmt = body
        elif name == b"data":
            if fmt is None:
                raise WavError("the audio comes before its format")
            unfinished = size == 0 and at + 8 < len(data)
            return _decode(fmt, data[at + 8 :] if unfinished else body)
        at += 8 + size + (size & 1)
    raise WavError("holds no audio")


def _decode(fmt: bytes, body: bytes) -> Wav:
    if len(fmt) < 16:
        raise WavError("its format is cut off")
    code, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", fmt)
    if code == _EXTENSIBLE and len(fmt) >= 26:
        code = struct.unpack_from("<H", fmt, 24)[0]
    if channels not in (1, 2):
        raise WavError(f"has {channels} channels; one or two are read")
    if not 0 < rate <= _MAX_RATE:
        raise WavError(f"claims {rate} samples per second")
    width = bits // 8
    if code not in (_PCM, _ALAW, _ULAW) or bits not in ((8, 16, 24, 32) if code == _PCM else (8,)):
        raise WavError(
            f"is of format {code:#06x} with {bits} bits, which is not read",
            hint="convert it: ffmpeg -i FILE -ac 1 -c:a pcm_s16le out.wav",
        )
    body = body[: len(body) - len(body) % (width * channels)]
    return Wav(_mono(_linear(code, width, body), channels), rate)


def _linear(code: int, width: int, body: bytes) -> bytes:
    if code == _ALAW:
        return g711.decode_alaw(body)
    if code == _ULAW:
        return g711.decode_ulaw(body)
    if width == 1:  # 8-bit WAV is unsigned
        return audioop.lin2lin(audioop.bias(body, 1, -128), 1, 2)
    return body if width == 2 else audioop.lin2lin(body, width, 2)


def _mono(pcm: bytes, channels: int) -> bytes:
    return pcm if channels == 1 else audioop.tomono(pcm, 2, 0.5, 0.5)


class WavWriter:
    """A WAV file that grows: mono, or stereo with the caller on the left and the agent on the right.

    It writes to the disk when called, so call it off the event loop. The header is right after `close`; a file that was
    never closed still holds its audio, and `parse_wav` reads it. Opening raises `OSError`.
    """

    def __init__(self, path: Path | str, rate: int, *, channels: int = 1) -> None:
        if channels not in (1, 2):
            raise ValueError(f"{channels} channels; one or two can be written")
        file = wave.open(str(path), "wb")  # noqa: SIM115 - close() ends it
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        self._file = file
        self._channels = channels

    @property
    def samples(self) -> int:
        """Samples written so far, per channel."""
        return self._file.tell()

    def write(self, pcm: bytes) -> None:
        """Append mono audio. Raises `ValueError` for half a sample or in a stereo file."""
        if self._channels != 1 or len(pcm) & 1:
            raise ValueError("whole 16-bit samples of one channel are written here")
        self._file.writeframesraw(pcm)

    def write_stereo(self, caller: bytes, agent: bytes) -> None:
        """Append what both sides said in the same span; the shorter one is filled up with silence."""
        if self._channels != 2 or len(caller) & 1 or len(agent) & 1:
            raise ValueError("whole 16-bit samples of two channels are written here")
        size = max(len(caller), len(agent))
        left = audioop.tostereo(caller.ljust(size, b"\0"), 2, 1, 0)
        right = audioop.tostereo(agent.ljust(size, b"\0"), 2, 0, 1)
        self._file.writeframesraw(audioop.add(left, right, 2))

    def close(self) -> None:
        """Complete the header. May be called again."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()
