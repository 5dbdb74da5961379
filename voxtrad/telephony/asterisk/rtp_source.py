"""Who is at the far end of a stream of RTP: whose packets are taken, and where ours go. Pure: packets and times go in.

Packets go where they come from (symmetric RTP, RFC 4961), and that may change in the middle of a call: a NAT forgets a
mapping and makes another, or Asterisk begins its RTP anew at another port. RTP authenticates nobody, so a stream that
goes on is not to be had by whoever sends a packet. The rules:

- Nothing is ever taken from a host that is not the PBX's.
- Where the far end is certain, nobody else begins the stream; where a NAT may be between, the first audio settles it.
- A newcomer, of another port or another stream (SSRC), takes over with `IN_A_ROW` packets that follow each other, if
  nothing has come of the one before for `SILENT` seconds. From another port it has to be the same stream going on,
  which nobody guesses who cannot read along; or the port before it is closed, as what is sent there is refused. That it
  is silent is not enough: a caller may be, for as long as they like.
- What a newcomer has sent is kept until that is decided, and taken then: nothing of what the caller said is lost.

A port that refuses what is sent to it for `REFUSED_FOR` seconds, with nobody in its place, is a far end that is lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from math import inf

from voxtrad.telephony.asterisk.rtp_packets import Packet

Address = tuple[str, int]

IN_A_ROW = 5
"""RFC 3550 takes two, of a source that is as good as any other; Asterisk, on the same question, four."""
SILENT = 0.1
"""Seconds: that many packets take as long to say, and a burst of them does not make it shorter."""
_KEPT = 50
"""Packets of a newcomer's at most, of which a few would do: they come as they are sent, and `SILENT` is soon over."""
REFUSED_FOR = 1.0
"""Seconds for which a port that refuses what we send may come back."""
FORGOTTEN_AFTER = 5.0
"""Seconds after which one refusal has nothing to do with another. While a port is closed it is told about once a
second: Linux does not let its kernel tell it more often."""


class FarEnd:
    """The far end of one stream."""

    def __init__(self, told: Address, hosts: Collection[str], *, certain: bool) -> None:
        """`told` is where Asterisk says it listens, `hosts` are the PBX's, `certain` whether no NAT is between."""
        self.address = told
        """Where ours go."""
        self._hosts = frozenset(hosts)
        self._settled = certain
        self._stream: int | None = None
        """The SSRC of what was taken last."""
        self._last = -inf
        """When something was taken last."""
        self._refused: tuple[float, float] | None = None
        """Since when what we send is refused, and when it was refused last."""
        self._newcomers: dict[bool, _Newcomer] = {}
        """The last who may take over, with the same stream and with another: neither is in the other's way."""
        self.strangers = 0
        """Packets from elsewhere."""
        self.moves = 0
        """How often another port took the stream over."""

    @property
    def heard(self) -> bool:
        """Whether anything was ever taken."""
        return self._stream is not None

    def take(self, address: Address, packet: Packet, now: float, *, audio: bool = True) -> Sequence[Packet]:
        """A packet came: returns those that are of the stream, in the order in which they came.

        `audio` tells whether the packet carries audio of the call; others begin no stream.
        """
        if self._settled and address == self.address and self._stream in (None, packet.source):
            self._taken(packet, now)
            return (packet,)
        if address[0] not in self._hosts or not (self._settled or audio):
            self.strangers += 1
            return ()
        if not self._settled:
            self._settled, self.address = True, address
            self._taken(packet, now)
            return (packet,)
        may = packet.source == self._stream or address == self.address or self._is_closed(now)
        if not self.heard or not may:
            self.strangers += 1
            return ()
        return self._introduced(address, packet, now)

    def refused(self, address: Address, now: float) -> bool:
        """What was sent to an address was refused; returns whether the far end is lost.

        Behind a NAT the address that Asterisk told may be anybody's here, until it is settled who it is.
        """
        if not self._settled or address != self.address:
            return False
        since, last = self._refused or (now, now)
        if now - last > FORGOTTEN_AFTER:
            since = now
        self._refused = since, now
        return now - since >= REFUSED_FOR

    # ------------------------------------------------------------------------------------------------------------------

    def _introduced(self, address: Address, packet: Packet, now: float) -> Sequence[Packet]:
        same = packet.source == self._stream
        newcomer = self._newcomers.get(same)
        if newcomer is None or not newcomer.goes_on(address, packet):
            newcomer = self._newcomers[same] = _Newcomer(address)
        newcomer.packets.append(packet)
        if len(newcomer.packets) < IN_A_ROW or now - self._last < SILENT:
            return ()
        self.moves += address != self.address
        self.address = address
        self._taken(packet, now)
        return tuple(newcomer.packets)

    def _taken(self, packet: Packet, now: float) -> None:
        self._stream, self._last = packet.source, now
        self._refused = None
        self._newcomers.clear()

    def _is_closed(self, now: float) -> bool:
        return self._refused is not None and now - self._refused[1] <= FORGOTTEN_AFTER


class _Newcomer:
    """Who may be the far end from now on, and the last of what they sent."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self.packets: deque[Packet] = deque(maxlen=_KEPT)

    def goes_on(self, address: Address, packet: Packet) -> bool:
        """Whether a packet is the next of this one."""
        last = self.packets[-1]
        return (
            address == self._address
            and packet.source == last.source
            and packet.sequence == (last.sequence + 1) & 0xFFFF
        )
