"""Recordings as files: two tracks become one stereo WAV file that only its owner may read. All of it blocks: to be
called in a thread. Where the tracks come from is the business of whoever carries the call.
"""

from __future__ import annotations

import struct
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest
from pathlib import Path

from voxtrad.audio.wav import WavWriter

_HEADER = 44
CHUNK = 16_000
"""Samples of each track that are in memory at once."""


@contextmanager
def private_file(path: Path) -> Iterator[Path]:
    """A file to write, which takes its place at `path` when the block has ended well and is gone otherwise.

    Only its owner may read it. Raises `OSError`.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    part.touch(mode=0o600, exist_ok=False)
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def join(left: Path, right: Path, out: Path) -> float:
    """Write two mono 16-bit files of one rate as a stereo one; returns its seconds.

    Of a file whose writer died, and whose header claims that there is nothing, all that is there is taken. Raises
    `OSError`, `EOFError` and `wave.Error` for what is no such file.
    """
    for track in (left, right):
        _complete(track)
    with wave.open(str(left)) as caller, wave.open(str(right)) as agent:
        if caller.getparams()[:3] != (1, 2, agent.getframerate()) or agent.getparams()[:2] != (1, 2):
            raise wave.Error("the two tracks are not of one kind")
        with private_file(out) as part, WavWriter(part, caller.getframerate(), channels=2) as writer:
            for one, other in zip_longest(_pieces(caller), _pieces(agent), fillvalue=b""):
                writer.write_stereo(one, other)
            return writer.samples / int(caller.getframerate())


def write_tracks(left: bytes, right: bytes, rate: int, out: Path) -> float:
    """The same for tracks that are in memory."""
    with private_file(out) as part, WavWriter(part, rate, channels=2) as writer:
        writer.write_stereo(left, right)
        return writer.samples / rate


def _complete(track: Path) -> None:
    """Write the sizes into a header that has none yet. It has the 44 bytes that Asterisk's have, or is left alone."""
    with track.open("r+b") as file:
        head = file.read(_HEADER)
        size = file.seek(0, 2) - _HEADER
        if len(head) == _HEADER and head[:4] == b"RIFF" and head[36:] == b"data\0\0\0\0" and size > 0:
            for at, value in ((4, _HEADER - 8 + size), (_HEADER - 4, size)):
                file.seek(at)
                file.write(struct.pack("<I", value))


def _pieces(track: wave.Wave_read) -> Iterator[bytes]:
    while piece := track.readframes(CHUNK):
        yield piece
