"""The legs that there are, by the ids of their channels."""

from __future__ import annotations

from voxtrad.telephony.asterisk.leg import AsteriskLeg
from voxtrad.telephony.pacing import Pulse


class Roster:
    def __init__(self) -> None:
        self._legs: dict[str, AsteriskLeg] = {}
        self._less = Pulse()

    def __len__(self) -> int:
        return len(self._legs)

    def get(self, channel_id: str) -> AsteriskLeg | None:
        return self._legs.get(channel_id)

    def all(self) -> dict[str, AsteriskLeg]:
        """Those that there are now."""
        return dict(self._legs)

    def add(self, leg: AsteriskLeg) -> None:
        self._legs[leg.info.id] = leg

    def remove(self, leg: AsteriskLeg) -> None:
        """Nothing is left of it. A leg that has come in the place of another of the same id stays."""
        if self._legs.get(leg.info.id) is leg:
            del self._legs[leg.info.id]
            self._less.fire()

    async def wait_empty(self) -> None:
        while self._legs:
            await self._less.wait()
