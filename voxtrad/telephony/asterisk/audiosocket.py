"""Media over AudioSocket: Asterisk connects to us. (Under construction.)"""

from __future__ import annotations

from collections.abc import Callable

from voxtrad.leg import LegError
from voxtrad.telephony.asterisk.ari import Ari
from voxtrad.telephony.asterisk.media import MediaChannel, Metronome
from voxtrad.telephony.asterisk.settings import AsteriskSettings, TransportName


class AudioSocketTransport:
    name: TransportName = "audiosocket"

    def __init__(self, ari: Ari, settings: AsteriskSettings, metronome: Metronome) -> None:
        self._settings = settings

    async def listen(self, own_address: str) -> None:
        raise LegError("AudioSocket is not built yet")

    async def open(self, channel_id: str, rate: int, on_closed: Callable[[], None]) -> MediaChannel:
        raise LegError("AudioSocket is not built yet")

    async def close(self) -> None:
        pass
