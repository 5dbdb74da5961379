"""What the Asterisk room needs to know; daemon maps the configuration onto it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

TransportName = Literal["websocket", "audiosocket", "rtp"]
FormatName = Literal["ulaw", "alaw", "slin", "slin16"]


@dataclass(frozen=True, slots=True)
class AsteriskSettings:
    """How to reach the PBX and how to talk with it."""

    instance: str
    """Names this server among several on one PBX; every channel and bridge we make carries it. Letters and digits."""
    recorder: str = ""
    """Names this server and its earlier runs: recordings carry it, so that what one run left the next can fetch.
    Letters and digits; empty is `instance`."""
    url: str = "http://127.0.0.1:8088"
    """Asterisk's HTTP server, with its prefix where it has one."""
    username: str = "voxtrad"
    password: str = field(default="", repr=False)
    app: str = "voxtrad"
    """The Stasis application that the dialplan names."""
    transport: TransportName | Literal["auto"] = "auto"
    format: FormatName | Literal["auto"] = "auto"
    """Of all media; `auto` follows each caller's codec."""
    buffer: float = 0.2
    """Seconds that a jitter buffer may hold audio back at most, on transports that need one."""
    audiosocket_listen: str = "0.0.0.0:9092"
    """`HOST:PORT` to listen on, only where AudioSocket is used. Port 0 takes a free one."""
    audiosocket_advertise: str | None = None
    """`HOST:PORT` that Asterisk connects to; by default our own address as seen from the ARI connection."""
    rtp_listen: str | None = None
    """The host to take RTP at; by default our own address as seen from the ARI connection."""
    rtp_ports: tuple[int, int] | None = None
    """The first and the last port for RTP, one a call; by default any free one."""
    rtp_advertise: str | None = None
    """The host that Asterisk sends RTP to; by default where we listen."""
    variables: tuple[str, ...] = ()
    """Channel variables that are read for `LegInfo.variables`."""
    retry_after: float = 0.5
    """Seconds before the first attempt to reconnect; it doubles from there, with jitter, up to `retry_at_most`."""
    retry_at_most: float = 30.0
    unseen: float = 4 * 3600.0
    """Seconds for which Asterisk is not reached at all, after which nobody talks on it any more, as far as is known."""
    take_back_after: float = 5.0
    """Seconds before the application is taken back from another client; see `TakeBack`."""
