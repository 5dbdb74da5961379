"""What an interactive tool may do with the caller while it runs (`CallActions`), on the call's own mouth and leg."""

from __future__ import annotations

from voxtrad.audio.resample import Resampler
from voxtrad.conversation.call import Call
from voxtrad.leg import Leg, LegGone


class Actions:
    """The call is there only after its tools are made, so it is attached afterwards."""

    def __init__(self) -> None:
        self._call: Call | None = None
        self._leg: Leg | None = None

    def attach(self, call: Call, leg: Leg) -> None:
        self._call, self._leg = call, leg

    async def say(self, text: str) -> None:
        await self._live().interject(text)

    async def send_digits(self, digits: str) -> None:
        self._live()
        if self._leg is not None:
            await self._leg.send_digits(digits)

    async def collect_digits(
        self, *, length: int, terminator: str, timeout: float, sensitive: bool, prompt: str = ""
    ) -> str:
        return await self._live().collect_digits(length, terminator, timeout, sensitive=sensitive, prompt=prompt)

    async def play(self, pcm: bytes, rate: int) -> None:
        call = self._live()
        resampler = Resampler(rate, call.audio_rate)
        await call.interject(resampler.push(pcm) + resampler.flush())

    async def play_sound(self, name: str) -> None:
        await self._live().play_sound(name)

    def hold(self, seconds: float) -> None:
        self._live().hold(seconds)

    def _live(self) -> Call:
        if self._call is None or not self._call.in_progress:
            raise LegGone("the call is over")
        return self._call
