"""The ground floor: what can carry a call, as the conversation sees it.

A leg is one party's connection (an Asterisk channel, a browser, a simulated caller); its media port moves audio. Only
Protocols and value types live here. Telephony implements them, the conversation uses them, and neither knows the other.

Audio on a port is always mono 16-bit little-endian linear PCM at `MediaPort.rate`, in frames of 20 ms; what it is on
the line, `MediaPort.codec` tells.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from voxtrad.audio.codec import Codec
from voxtrad.audio.frames import FRAME_MS as FRAME_MS
from voxtrad.errors import VoxtradError

Direction = Literal["inbound", "outbound"]
Hears = Literal["ringing", "music", "silence"]
"""What a party hears that is on hold."""
Refusal = Literal["busy", "no_answer", "unavailable", "declined", "failed"]
"""Why nobody took a call."""


class LegError(VoxtradError):
    """The leg could not do what was asked of it (refused by the PBX, media did not connect)."""


class LegGone(LegError):
    """The leg has ended: the caller hung up, or the PBX destroyed the channel."""


class NotReached(LegError):
    """Nobody took a call that was made or led on."""

    def __init__(self, message: str, why: Refusal) -> None:
        super().__init__(message)
        self.why: Refusal = why


@dataclass(frozen=True, slots=True)
class LegInfo:
    """Who and what is on a leg, as known when it rang."""

    id: str
    """The leg's id; for Asterisk the channel's unique id."""
    channel: str
    """The channel's name as an administrator knows it (`PJSIP/100-0000001f`)."""
    caller: str
    """The caller's number as the PBX gave it; empty when withheld."""
    dialled: str
    """The number that was dialled (DID or extension)."""
    caller_name: str = ""
    direction: Direction = "inbound"
    linkedid: str = ""
    """Joins all channels of one call in the PBX's records (CDR, CEL)."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Channel variables that routing may look at."""
    agent: str | None = None
    """The agent that the dialplan asked for (`Stasis(voxtrad,support)`, `VOXTRAD_AGENT`, `AI_AGENT`)."""
    greeting: str | None = None
    """A greeting that the dialplan asked for (`AI_GREETING`)."""


@dataclass(frozen=True, slots=True)
class Digit:
    """The caller pressed a key: one of `0-9`, `*`, `#`, `A-D`."""

    digit: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The leg is gone. Always the last event, given exactly once."""

    cause: str
    """Why, in the PBX's words where it has some (`Normal Clearing`)."""
    handed_back: bool = False
    """It has not hung up: it is in the dialplan, or wherever its carrier leads it."""
    lost: bool = False
    """It has not hung up, but its audio broke off: nobody can talk with it any more."""


@dataclass(frozen=True, slots=True)
class PutOnHold:
    """The party has put us on hold, or, `held` false, is back: in between they hear nothing of us."""

    held: bool


LegEvent = Digit | PutOnHold | Ended


class MediaPort(Protocol):
    """Two-way audio of one leg.

    Positions are in samples at `rate` and only ever count audio that was not thrown away: `queued` is all that `play`
    took, `heard` that part of it which the far side has heard so far, so `queued - heard` still waits.
    """

    @property
    def rate(self) -> int:
        """Samples per second, in both directions."""
        ...

    @property
    def codec(self) -> Codec:
        """What the line carries, in both directions: audio that was in it loses nothing more on its way."""
        ...

    @property
    def queued(self) -> int:
        """Samples taken by `play` and not thrown away by `flush`."""
        ...

    @property
    def heard(self) -> int:
        """Samples played out to the far side so far, as well as it is known without asking."""
        ...

    def frames(self) -> AsyncIterator[bytes]:
        """The far side's audio, one frame of 20 ms after another, until the port closes.

        Never stalls: where the far side sends nothing, silence is made from the clock. One consumer.
        """
        ...

    async def play(self, pcm: bytes) -> None:
        """Queue a whole number of frames for playout; waits only while the queue is full.

        Raises `ValueError` for a torn frame and `LegGone` when the port is closed.
        """
        ...

    async def pause(self) -> None:
        """Hold the playout where it is; the far side hears silence. Idempotent."""
        ...

    async def resume(self) -> None:
        """Go on after `pause` from where it stopped. Idempotent."""
        ...

    async def flush(self) -> int:
        """Throw away all that waits and return `heard`, which from now on equals `queued`. Ends a pause."""
        ...

    async def drained(self) -> None:
        """Wait until everything queued was heard. Raises `LegGone` when the port closes first."""
        ...


@dataclass(frozen=True, slots=True)
class ReceptionReport:
    """What became of the packets with the far side's audio."""

    due: int = 0
    """Packets whose turn came, whether they were there or not."""
    lost: int = 0
    """Of these, those that were not there: something stood in for them."""
    late: int = 0
    """Of the lost, those that came after all; so it may grow while `lost` does not."""

    def __sub__(self, before: ReceptionReport) -> ReceptionReport:
        return ReceptionReport(self.due - before.due, self.lost - before.lost, self.late - before.late)


@runtime_checkable
class Lossy(Protocol):
    """A media port whose network may lose some of the audio."""

    @property
    def reception(self) -> ReceptionReport:
        """Counted since the port was opened; still there when it is closed."""
        ...


class Leg(Protocol):
    """One party's connection. Methods raise `LegGone` once it has ended, `LegError` when the PBX refuses."""

    @property
    def info(self) -> LegInfo: ...

    def events(self) -> AsyncIterator[LegEvent]:
        """Digits as they are pressed, being put on hold and, last, `Ended`. One consumer."""
        ...

    async def answer(self) -> None: ...

    async def open_media(self, *, wideband: bool = True) -> MediaPort:
        """Connect audio. Allowed before `answer`, so that media is warm when the call is answered; again after `hold`.

        `wideband` says whether more than 8,000 samples per second are of use. What a port gave before `hold` is closed;
        another call without a `hold` before it is refused.
        """
        ...

    async def hold(self, hears: Hears) -> None:
        """Disconnect audio, or the other leg; until the next `open_media` or `bridge_with` the party hears this."""
        ...

    @property
    def dialer(self) -> Dialer | None:
        """Who can make legs that this one can be bridged with; None where nobody can."""
        ...

    async def bridge_with(self, other: Leg) -> None:
        """Let this party and another, of the same `dialer`, talk with each other. Audio of both is disconnected."""
        ...

    async def send_digits(self, digits: str) -> None:
        """Send DTMF to the far side."""
        ...

    async def set_variables(self, variables: Mapping[str, str]) -> None:
        """Set channel variables, where the carrier has such."""
        ...

    async def proceed(self, *, context: str | None, extension: str | None, priority: int | None) -> None:
        """Hand the leg back to the dialplan: at the place given, or at the line after `Stasis()` with all `None`."""
        ...

    async def visit(self, *, context: str, extension: str | None, priority: int | None, within: float) -> Visit:
        """Hand the leg to a place in the dialplan and, where that is one that comes back, wait for what becomes of it.

        Raises `NotReached` when the party is back here (audio is to be opened again) or never left. Returns when they
        are not to be expected back: `answered` by somebody, or `left` when nothing is told of it for `within` seconds.
        """
        ...

    async def hang_up(self, cause: str = "normal") -> None:
        """End the leg: `normal`, `busy`, `congestion` or `no_answer`. Does nothing when it has ended already."""
        ...

    async def let_go(self) -> None:
        """`release` it, with a party who is still there: they go on where the carrier leads callers whose agent is
        gone. Never raises."""
        ...

    async def release(self) -> None:
        """Free all that belongs to the leg (media, bridges). Never raises, may be called again."""
        ...


Visit = Literal["answered", "left"]


class Recording(Protocol):
    """What is being recorded of a leg, its own sound and what it hears; silence stands for what is said in a pause."""

    async def pause(self) -> None:
        """Record silence. Raises `LegError`; then sound is recorded still."""
        ...

    async def resume(self) -> None:
        """Record sound again. Raises `LegError`."""
        ...

    async def stop(self) -> None:
        """Record no more; what there is waits to be saved. Never raises, may be called again."""
        ...

    async def save(self, path: Path) -> float:
        """Once stopped, copy the recording into a stereo WAV file for its owner alone, the leg on the left and what it
        heard on the right; returns its seconds. Raises `LegError` and `OSError`, and leaves no half of a file."""
        ...

    async def discard(self) -> None:
        """Once stopped, delete it where it was made. Raises `LegError`."""
        ...


@runtime_checkable
class Recordable(Protocol):
    """A leg whose carrier can record it."""

    async def record(self, name: str) -> Recording:
        """Record from now on, whatever the leg is connected with. `name` is unique to the call.

        Raises `LegError` where the carrier refuses; then nothing is recorded, and the leg goes on as before.
        """
        ...


@dataclass(frozen=True, slots=True)
class Reach:
    """A call that is to be made: what is known of it before anybody answers, and how it is made."""

    info: LegInfo
    connect: Callable[[], AbstractAsyncContextManager[Leg]]
    """Rings; entered when it is answered, as `Dialer.dial` is."""


@runtime_checkable
class Jukebox(Protocol):
    """A leg whose carrier has sounds of its own."""

    async def play_sound(self, name: str) -> None:
        """Play a sound (`tt-monkeys`) to the party, in the place of audio that is connected; returns when it is over.

        Cancelling ends it. Raises `LegError` where there is no sound of that name.
        """
        ...


class Dialer(Protocol):
    """Makes legs."""

    def dial(
        self,
        endpoint: str,
        *,
        timeout: float,
        caller: str = "",
        caller_name: str = "",
        beside: LegInfo | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> AbstractAsyncContextManager[Leg]:
        """Ring an endpoint (`PJSIP/200`, `Local/200@from-internal`) for `timeout` seconds; entered when it is answered.

        Its display shows `caller`; empty is withheld. `beside` is the leg that it is rung for, `variables` are set on
        the new one. Leaving the block, or being cancelled while it rings, hangs up. Raises `NotReached`.
        """
        ...
