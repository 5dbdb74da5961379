"""A caller with a real telephone: baresip, controlled over its ctrl_tcp port, speaking and recording ulaw over RTP.

What the caller hears is recorded as it is decoded, frame by frame, so that it can be looked at during the call and
compared sample by sample after it. Between sentences the caller sends silence, as a telephone does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import wave
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pbx import Pbx, free_port
from tones import digits_in

RATE = 8000
_LONGEST_CALL = 120  # seconds of silence after each sentence: baresip hangs up at the end of its audio file
_LOUD = 300  # peak of a frame that is no silence; ulaw's own noise is far below

When = float | Callable[[], Awaitable[None]]
"""Seconds after the answer, or something to wait for."""


class SipCaller:
    """One telephone and its one call. Use `sip_caller`, which ends it."""

    def __init__(self, pbx: Pbx, *, user: str = "100", codec: str = "PCMU", password: str = "none") -> None:
        self._pbx = pbx
        self._root = pbx.root
        self._folder = pbx.root.scratch("caller")
        self._user, self._codec, self._password = user, codec, password
        self._control_port, self._keys_port = free_port(), free_port(socket.SOCK_DGRAM)
        self._tasks: list[asyncio.Task[None]] = []
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._sentences = 0
        self.answered = asyncio.Event()
        self.ended = asyncio.Event()
        self.end_reason = ""
        self.shown = ""
        self._ringing = asyncio.Event()

    # --- the call -----------------------------------------------------------------------------------------------------

    async def dial(self, extension: str, *, say: Sequence[tuple[When, Path]] = ()) -> None:
        """Call, wait for the answer, and go on to say things at their times."""
        await self._start()
        self._command("dial", f"sip:{extension}@127.0.0.1:{self._pbx.sip_port}")
        ended = asyncio.create_task(self.ended.wait())
        answered = asyncio.create_task(self.answered.wait())
        try:
            async with asyncio.timeout(20):
                await asyncio.wait({ended, answered}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
            answered.cancel()
        if not self.answered.is_set():
            raise ConnectionError(f"the call was not answered: {self.end_reason}")
        if say:
            self._tasks.append(asyncio.create_task(self._recite(say)))

    async def say(self, wav: Path) -> None:
        """Speak an 8 kHz WAV file, now; returns when it is said."""
        self._sentences += 1
        made = self._folder / f"say-{self._sentences}.wav"
        seconds = _write_with_silence(made, wav)
        self._command("ausrc", f"aufile,{self._root.inside(made)}")
        await asyncio.sleep(seconds)  # the length of the sentence itself

    async def press(self, digits: str) -> None:
        """Press keys (DTMF, as telephone events in RTP)."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as keys:
            for digit in digits:
                keys.sendto(digit.encode(), ("127.0.0.1", self._keys_port))
                await asyncio.sleep(0.25)  # a finger's time on the key
                keys.sendto(b"\x00", ("127.0.0.1", self._keys_port))

    # --- being called -------------------------------------------------------------------------------------------------

    async def register(self) -> None:
        """Be reachable for the PBX, as one of its `PHONES`."""
        await self._start(register=True)
        async with asyncio.timeout(10):
            while "200 OK" not in (self._folder / "log").read_text(errors="replace"):
                await self._more()

    async def rings(self, timeout: float = 20.0) -> str:
        """Wait for a call; returns who is calling, as the display shows it: `Name <number>`."""
        async with asyncio.timeout(timeout):
            await self._ringing.wait()
        return self.shown

    async def pick_up(self) -> None:
        self._command("accept")
        async with asyncio.timeout(10):
            await self.answered.wait()

    def refuse(self) -> None:
        """Busy (486). The telephone is good for one such call only: baresip may break at the next."""
        self._command("hangup")

    async def hang_up(self) -> None:
        if not self.ended.is_set():
            self._command("hangup")
            async with asyncio.timeout(10):
                await self.ended.wait()

    # --- what the caller hears ----------------------------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        """A place for what the caller says; gone with the caller."""
        return self._folder

    def heard(self) -> NDArray[np.int16]:
        """All that was heard so far; every received frame once, in order."""
        return self._recorded("dec")

    def said(self) -> NDArray[np.int16]:
        """All that was sent so far, silence included."""
        return self._recorded("enc")

    def recording(self) -> Path:
        """What was heard, as an 8 kHz WAV file."""
        path = self._folder / "heard.wav"
        with wave.open(str(path), "wb") as writer:
            writer.setnchannels(1)
            writer.setsampwidth(2)
            writer.setframerate(RATE)
            writer.writeframes(self.heard().tobytes())
        return path

    async def hears_sound(self, after: int = 0, timeout: float = 20.0) -> int:
        """Wait for the first sound at or after a position (in samples) of what was heard; returns where it begins."""
        try:
            async with asyncio.timeout(timeout):
                while True:
                    loud = np.flatnonzero(np.abs(self.heard()[after:].astype(np.int32)) > _LOUD)
                    if loud.size:
                        return after + int(loud[0])
                    await self._more()
        except TimeoutError:
            raise AssertionError(f"no sound in {timeout} s: {self.heard().size} samples heard") from None

    async def hears_silence(self, seconds: float = 0.7, after: int = 0, timeout: float = 20.0) -> int:
        """Wait until no sound came for so long, after one at or after a position; returns where the last one ended."""
        loop = asyncio.get_running_loop()
        start = await self.hears_sound(after, timeout)
        end, since = start, loop.time()
        try:
            async with asyncio.timeout(timeout):
                while loop.time() - since < seconds:
                    loud = np.flatnonzero(np.abs(self.heard()[end:].astype(np.int32)) > _LOUD)
                    if loud.size:
                        end, since = end + int(loud[-1]) + 1, loop.time()
                    await self._more()
        except TimeoutError:
            raise AssertionError(f"no silence in {timeout} s: {self.heard().size} samples heard") from None
        return end

    async def hears(self, wanted: Callable[[NDArray[np.int16]], bool], timeout: float = 20.0) -> NDArray[np.int16]:
        """Wait until all that was heard so far is what is wanted; returns it."""
        try:
            async with asyncio.timeout(timeout):
                while not wanted(heard := self.heard()):
                    await self._more()
                return heard
        except TimeoutError:
            heard = self.heard()
            digits = digits_in(heard)
            raise AssertionError(
                f"{self._user}: not heard in {timeout} s: {heard.size} samples came, as digits: {digits!r}"
            ) from None

    # ------------------------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        for task in self._tasks[1:]:
            task.cancel()
        if self._process is not None:
            if self._process.returncode is None:
                with contextlib.suppress(ConnectionError):
                    self._command("quit")
                try:
                    async with asyncio.timeout(3):
                        await self._process.wait()
                except TimeoutError:
                    self._process.kill()
                    await self._process.wait()
            if self._writer is not None:
                self._writer.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _start(self, *, register: bool = False) -> None:
        inside = self._root.inside
        _write_with_silence(self._folder / "silence.wav", None)
        (self._folder / "contacts").touch()
        (self._folder / "accounts").write_text(
            f"<sip:{self._user}@127.0.0.1:{self._pbx.sip_port}>;regint={60 * register};auth_pass={self._password}"
            f";audio_codecs={self._codec}\n"
        )
        modules = self._root.path / "usr/lib/baresip/modules"
        lines = [
            "poll_method epoll", "sip_listen 127.0.0.1:0", "call_local_timeout 120", "audio_level no",
            f"audio_player aufile,{inside(self._folder / 'player.wav')}",
            f"audio_source aufile,{inside(self._folder / 'silence.wav')}",
            f"audio_alert aufile,{inside(self._folder / 'alert.wav')}",
            *(f"{tone}_aufile none" for tone in ("ring", "ringback", "busy", "error", "notfound", "callwaiting")),
            "ausrc_format s16", "auplay_format s16", "auenc_format s16", "audec_format s16", "audio_buffer 20-160",
            "rtp_ports 40000-49998", "jitter_buffer_type off", f"snd_path {inside(self._folder)}",
            f"ctrl_tcp_listen 127.0.0.1:{self._control_port}", f"cons_listen 127.0.0.1:{self._keys_port}",
            f"module_path {inside(modules)}",
            *(f"module {name}.so" for name in ("g711", "g722", "aufile", "sndfile", "cons")),
            *(f"module_app {name}.so" for name in ("account", "menu", "ctrl_tcp")),
        ]  # fmt: skip
        (self._folder / "config").write_text("\n".join(lines) + "\n")
        with (self._folder / "log").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._root.command("baresip", "-f", inside(self._folder)),
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        async with asyncio.timeout(10):
            while True:
                try:
                    reader, self._writer = await asyncio.open_connection("127.0.0.1", self._control_port)
                    break
                except OSError:
                    if self._process.returncode is not None:
                        raise RuntimeError((self._folder / "log").read_text(errors="replace")) from None
                    await self._more()
        self._tasks.append(asyncio.create_task(self._follow(reader)))

    async def _follow(self, reader: asyncio.StreamReader) -> None:
        """Read what baresip tells: netstrings of JSON."""
        try:
            while True:
                length = int((await reader.readuntil(b":"))[:-1])
                event = json.loads(await reader.readexactly(length))
                await reader.readexactly(1)
                match event.get("type"):
                    case "CALL_INCOMING":
                        number = str(event.get("peeruri", "")).removeprefix("sip:").partition("@")[0]
                        self.shown = f"{event.get('peerdisplayname', '')} <{number}>"
                        self._ringing.set()
                    case "CALL_ESTABLISHED":
                        self.answered.set()
                    case "CALL_CLOSED":
                        self.end_reason = str(event.get("param", ""))
                        self.ended.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            self.ended.set()

    async def _recite(self, say: Sequence[tuple[When, Path]]) -> None:
        start = asyncio.get_running_loop().time()
        for when, wav in say:
            if callable(when):
                await when()
            else:
                await asyncio.sleep(max(0.0, start + when - asyncio.get_running_loop().time()))
            await self.say(wav)

    def _command(self, name: str, params: str = "") -> None:
        if self._writer is None:
            raise ConnectionError("not started")
        text = json.dumps({"command": name, "params": params, "token": name}).encode()
        self._writer.write(b"%d:%s," % (len(text), text))

    def _recorded(self, direction: str) -> NDArray[np.int16]:
        found = sorted(self._folder.glob(f"dump-*-{direction}.wav"))
        data = found[0].read_bytes()[44:] if found else b""  # the header tells the length only once it is closed
        return np.frombuffer(data[: len(data) - len(data) % 2], dtype="<i2")

    async def _more(self) -> None:
        """Another process writes the file and gives no event: look again a frame later."""
        await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def telephone(pbx: Pbx, user: str = "301") -> AsyncIterator[SipCaller]:
    """A telephone that waits to be called."""
    async with sip_caller(pbx, user=user) as phone:
        await phone.register()
        yield phone


@contextlib.asynccontextmanager
async def sip_caller(
    pbx: Pbx, *, user: str = "100", codec: str = "PCMU", password: str = "none"
) -> AsyncIterator[SipCaller]:
    caller = SipCaller(pbx, user=user, codec=codec, password=password)
    try:
        yield caller
    finally:
        await caller.close()


def read_wav(path: Path) -> NDArray[np.int16]:
    with wave.open(str(path)) as reader:
        return np.frombuffer(reader.readframes(reader.getnframes()), dtype="<i2")


def _write_with_silence(path: Path, speech: Path | None) -> float:
    """Write a sentence followed by silence; returns the sentence's length in seconds."""
    samples = read_wav(speech) if speech is not None else np.zeros(0, dtype="<i2")
    with wave.open(str(path), "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(RATE)
        writer.writeframes(samples.tobytes() + bytes(2 * RATE * _LONGEST_CALL))
    return samples.size / RATE
