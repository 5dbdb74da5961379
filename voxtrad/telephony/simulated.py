"""A caller without a PBX: a leg whose audio is paced by the clock and whose caller follows a script.

`voxtrad call` and the tests speak through it to the real pipeline. It records both sides as they would be heard.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from voxtrad.audio._audioop import audioop
from voxtrad.audio.codec import Codec
from voxtrad.audio.frames import FRAME_MS, Framer, frame_bytes, silence
from voxtrad.leg import Dialer, Digit, Ended, Hears, Leg, LegError, LegEvent, LegGone, LegInfo, PutOnHold, Visit
from voxtrad.telephony.recordings import write_tracks

FRAME = FRAME_MS / 1000
MOST_UNREAD = 500
"""Frames (10 s) that wait for a listener; older ones are dropped."""


class SimulatedPort:
    """A `MediaPort` that plays and listens in step with the clock: both directions move one frame every 20 ms."""

    def __init__(self, rate: int, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._clock = clock
        self._size = frame_bytes(rate)
        self._quiet = silence(rate, FRAME_MS)
        self._incoming: deque[bytes] = deque()
        self._outgoing: deque[bytes] = deque()
        self._arrived: deque[bytes] = deque(maxlen=MOST_UNREAD)
        self._arrival = asyncio.Event()
        self._heard = 0
        self._paused = False
        self._closed = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self.moved = asyncio.Condition()
        """Notified with every frame."""
        self.began = 0.0
        """When the first frame began; the tracks begin with it."""
        self.echo = 0.0
        """How much of the agent's sound comes back with the caller's, as a factor of its amplitude."""
        self.caller_track = bytearray()
        self.agent_track = bytearray()

    @property
    def rate(self) -> int:
        return self._rate

    @property
    def codec(self) -> Codec:
        return "linear"

    @property
    def queued(self) -> int:
        return self._heard + len(self._outgoing) * self._size // 2

    @property
    def heard(self) -> int:
        return self._heard

    @property
    def agent_speaking(self) -> bool:
        return bool(self._outgoing) and not self._paused

    @property
    def caller_speaking(self) -> bool:
        return bool(self._incoming)

    def caller_says(self, pcm: bytes) -> None:
        """The caller speaks: mono 16-bit audio at `rate`, from the next frame on."""
        framer = Framer(self._rate)
        whole = framer.push(pcm) + framer.flush()
        self._incoming.extend(whole[i : i + self._size] for i in range(0, len(whole), self._size))

    async def frames(self) -> AsyncIterator[bytes]:
        while True:
            while not self._arrived and not self._closed.is_set():
                self._arrival.clear()
                await self._arrival.wait()
            if not self._arrived:
                return
            yield self._arrived.popleft()

    async def run(self) -> None:
        """Move audio, frame by frame, until the port is closed."""
        due = self.began = self._clock()
        while not self._closed.is_set():
            due += FRAME
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, due - self._clock())):
                    await self._closed.wait()
                    return
            await self._tick()

    async def _tick(self) -> None:
        caller = self._incoming.popleft() if self._incoming else self._quiet
        agent = self._quiet
        if self._outgoing and not self._paused:
            agent = self._outgoing.popleft()
            self._heard += len(agent) // 2
            if not self._outgoing:
                self._empty.set()
        self.caller_track += caller
        self.agent_track += agent
        if self.echo:
            caller = audioop.add(caller, audioop.mul(agent, 2, self.echo), 2)
        self._arrived.append(caller)
        self._arrival.set()
        async with self.moved:
            self.moved.notify_all()

    async def play(self, pcm: bytes) -> None:
        if self._closed.is_set():
            raise LegGone("the call is over")
        if len(pcm) % self._size:
            raise ValueError(f"{len(pcm)} bytes are not whole frames of {self._size}")
        self._outgoing.extend(pcm[i : i + self._size] for i in range(0, len(pcm), self._size))
        if pcm:
            self._empty.clear()

    async def pause(self) -> None:
        self._paused = True

    async def resume(self) -> None:
        self._paused = False

    async def flush(self) -> int:
        self._outgoing.clear()
        self._empty.set()
        self._paused = False
        return self._heard

    async def drained(self) -> None:
        await self._empty.wait()
        if self._closed.is_set():
            raise LegGone("the call is over")

    def reconnect(self) -> None:
        """What was said while nobody listened is gone."""
        self._arrived.clear()

    async def close(self) -> None:
        self._closed.set()
        self._empty.set()
        self._arrival.set()
        async with self.moved:
            self.moved.notify_all()

    @property
    def closed(self) -> bool:
        return self._closed.is_set()


class SimulatedRecording:
    """A `Recording` of a port's tracks: spans of sound and of silence."""

    def __init__(self, port: SimulatedPort) -> None:
        self._port = port
        self._begin = len(port.caller_track)
        self._end: int | None = None
        self._silences: list[list[int | None]] = []

    async def pause(self) -> None:
        self._silences.append([len(self._port.caller_track), None])

    async def resume(self) -> None:
        self._silences[-1][1] = len(self._port.caller_track)

    async def stop(self) -> None:
        if self._end is None:
            self._end = len(self._port.caller_track)

    async def save(self, path: Path) -> float:
        left, right = self._heard(self._port.caller_track), self._heard(self._port.agent_track)
        return await asyncio.to_thread(write_tracks, left, right, self._port.rate, path)

    async def discard(self) -> None:
        pass

    def _heard(self, track: bytearray) -> bytes:
        heard = bytearray(track[: self._end])
        for begin, end in self._silences:
            until = len(heard) if end is None else end
            heard[begin:until] = bytes(len(heard[begin:until]))
        return bytes(heard[self._begin :])


Script = Callable[["SimulatedLeg"], Awaitable[None]]


class SimulatedLeg:
    """A `Leg` without a PBX. The `script` is the caller: it runs from the answer on, and the leg ends with it."""

    def __init__(self, info: LegInfo, script: Script, *, rate: int, clock: Callable[[], float]) -> None:
        self._info = info
        self._script = script
        self.port = SimulatedPort(rate, clock)
        self._events: asyncio.Queue[LegEvent] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._answered = False
        self._ended = False
        self.variables: dict[str, str] = {}
        self.sent_digits = ""
        self.proceeded: Place | None = None
        self.hears: Hears | None = None
        """What the caller hears on hold."""
        self.talks_with: Leg | None = None
        self.gone_on = False
        """Whether it was left to its carrier."""
        self.dialer: Dialer | None = None
        self.visits: Callable[[Place], Awaitable[Visit]] | None = None
        """What becomes of a visit to the dialplan; without it nobody comes back from there."""
        self.recording: SimulatedRecording | None = None
        self.unrecordable = ""
        """Why the leg's carrier refuses to record."""
        self.failure: Exception | None = None
        """What the script broke with."""

    @property
    def info(self) -> LegInfo:
        return self._info

    @property
    def ended(self) -> bool:
        return self._ended

    async def events(self) -> AsyncIterator[LegEvent]:
        while True:
            event = await self._events.get()
            yield event
            if isinstance(event, Ended):
                return

    async def answer(self) -> None:
        if self._ended:
            raise LegGone("the caller is gone")
        if not self._answered:
            self._answered = True
            self._tasks.append(asyncio.create_task(self._act(), name="simulated caller"))

    async def _act(self) -> None:
        try:
            await self._script(self)
        except Exception as error:  # noqa: BLE001 - the caller's own trouble; whoever wrote the script looks at it
            self.failure = error
        await self.end("the caller hung up")

    async def open_media(self, *, wideband: bool = True) -> SimulatedPort:
        if self.hears is not None:
            self.hears = self.talks_with = None
            self.port.reconnect()
            return self.port
        self._tasks.append(asyncio.create_task(self.port.run(), name="simulated media"))
        return self.port

    async def hold(self, hears: Hears) -> None:
        if self._ended:
            raise LegGone("the caller is gone")
        await self.port.flush()
        self.hears, self.talks_with = hears, None

    async def bridge_with(self, other: Leg) -> None:
        if self._ended:
            raise LegGone("the caller is gone")
        self.hears, self.talks_with = "silence", other

    async def record(self, name: str) -> SimulatedRecording:
        """See `Recordable`."""
        if self.unrecordable:
            raise LegError(self.unrecordable)
        self.recording = SimulatedRecording(self.port)
        return self.recording

    async def visit(self, *, context: str, extension: str | None, priority: int | None, within: float) -> Visit:
        if self.visits is None:
            await self.proceed(context=context, extension=extension, priority=priority)
            return "left"
        return await self.visits(Place(context, extension, priority))

    async def send_digits(self, digits: str) -> None:
        self.sent_digits += digits

    async def set_variables(self, variables: Mapping[str, str]) -> None:
        self.variables.update(variables)

    async def proceed(self, *, context: str | None, extension: str | None, priority: int | None) -> None:
        if self._ended:
            raise LegGone("the caller is gone")
        self.proceeded = Place(context, extension, priority)
        await self.end("led on in the dialplan", handed_back=True)

    async def hang_up(self, cause: str = "normal") -> None:
        await self.end(cause)

    async def end(self, cause: str, *, handed_back: bool = False) -> None:
        """The leg is over, by either side."""
        if self._ended:
            return
        self._ended = True
        self._events.put_nowait(Ended(cause, handed_back))
        await self.port.close()

    async def let_go(self) -> None:
        self.gone_on = self.gone_on or not self._ended
        await self.release()

    async def release(self) -> None:
        await self.end("released")
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- what the script does -----------------------------------------------------------------------------------------

    async def say(self, pcm: bytes) -> None:
        """Speak, and wait until it was said."""
        self.port.caller_says(pcm)
        await self.until(lambda: not self.port.caller_speaking)

    def press(self, digit: str) -> None:
        self._events.put_nowait(Digit(digit))

    def put_on_hold(self, held: bool) -> None:
        """The caller puts the agent on hold, or is back."""
        self._events.put_nowait(PutOnHold(held))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait, frame by frame, until something is so or the call is over."""
        async with self.port.moved:
            await self.port.moved.wait_for(lambda: self.port.closed or condition())

    async def quiet(self, seconds: float) -> None:
        """Wait until the agent has been silent for so long."""
        frames, needed = 0, round(seconds / FRAME)

        def still() -> bool:
            nonlocal frames
            frames = 0 if self.port.agent_speaking else frames + 1
            return frames > needed

        await self.until(still)

    async def spoken_to(self) -> None:
        """Wait until the agent speaks."""
        await self.until(lambda: self.port.agent_speaking)


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a dialplan."""

    context: str | None
    extension: str | None
    priority: int | None
