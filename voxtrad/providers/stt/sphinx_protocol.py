"""How the embedded recogniser and its process speak: frames of a header and a payload, over pipes."""

from __future__ import annotations

import struct
from typing import Final

HEADER: Final = struct.Struct("<cII")
"""Kind, stream number, length of the payload."""

# To the process: open a stream (JSON), audio (PCM), finalize, close the stream.
OPEN, AUDIO, FINALIZE, CLOSE = b"O", b"A", b"F", b"C"
# From the process: the stream is ready (JSON), a partial (text), a final (JSON), the stream failed (text).
READY, PARTIAL, FINAL, FAILED = b"R", b"P", b"T", b"E"
