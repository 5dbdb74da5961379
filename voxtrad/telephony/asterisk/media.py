"""What every media transport is to `leg.py`, as Protocols."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from voxtrad.leg import MediaPort
from voxtrad.telephony.asterisk.formats import Format
from voxtrad.telephony.asterisk.settings import TransportName

AHEAD_FRAMES = 400
"""Frames that may wait for playout (8 s): `play` waits beyond. Asterisk's own queue takes 1,000."""


class MediaChannel(MediaPort, Protocol):
    """The audio of one leg, and the end of it."""

    def end(self) -> None:
        """The leg is over: `frames` ends and `play` raises from now on. `close` still has to follow."""
        ...

    async def close(self) -> None:
        """Close it from our side. May be called again; `on_closed` is not called for it."""
        ...


class MediaTransport(Protocol):
    """A way to carry audio between Asterisk and us."""

    @property
    def name(self) -> TransportName: ...

    async def open(self, channel_id: str, format: Format, on_closed: Callable[[], None]) -> MediaChannel:
        """Make the media channel `channel_id` and connect to it.

        The channel enters the Stasis application a moment later. `on_closed` is called when the far side closes it.
        Raises `LegError`.
        """
        ...
