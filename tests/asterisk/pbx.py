"""A real Asterisk for the tests, as a private instance: own configuration, folders and free loopback ports.

`Root` is where its programs live (a provisioned folder, or this machine), `Pbx` one running Asterisk with helpers
that look at it and let `Local/` callers in. Nothing here uses voxtrad's own ARI client: what is tested must not judge
itself.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import csv
import hashlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from voxtrad.telephony.asterisk import paste

USERNAME, PASSWORD, APP = "voxtrad", "voxtrad-test", "voxtrad"

MODULES = """
res_timing_timerfd res_sorcery_config res_sorcery_memory res_sorcery_astdb res_pjproject res_pjsip res_pjsip_session
res_pjsip_pubsub res_pjsip_sdp_rtp res_pjsip_caller_id res_pjsip_dtmf_info res_pjsip_endpoint_identifier_user
res_pjsip_rfc3326 res_pjsip_registrar res_rtp_asterisk chan_pjsip
codec_ulaw codec_alaw codec_g722 codec_resample format_pcm format_wav format_sln
bridge_simple bridge_softmix bridge_holding bridge_native_rtp
pbx_config app_dial app_playback app_stasis app_echo app_verbose app_read
func_callerid func_channel func_cdr func_logic func_strings func_global func_timeout func_dialplan
res_http_websocket res_websocket_client res_stasis res_stasis_answer res_stasis_playback res_stasis_recording
res_stasis_snoop res_ari res_ari_applications res_ari_asterisk res_ari_bridges res_ari_channels res_ari_events
res_ari_model res_ari_playbacks res_ari_recordings res_ari_sounds res_ari_endpoints
res_cdrel_custom cdr_custom res_audiosocket chan_audiosocket chan_websocket
res_rtp_multicast chan_rtp res_musiconhold res_clialiases
""".split()

PHONES = ("301", "302")
"""Telephones that register, so that they can be called: `PJSIP/301`, or `Local/301@from-internal`."""
PHONE = """\
                [{user}](narrow)
                callerid = "Phone {user}" <{user}>
                aors = {user}
                [{user}]
                type = aor
                max_contacts = 1
                remove_existing = yes
"""
CDR = (
    "CDR(clid)", "CDR(src)", "CDR(dst)", "CDR(channel)", "CDR(dstchannel)", "CDR(lastapp)", "CDR(disposition)",
    "CDR(uniqueid)", "CDR(linkedid)", "CDR(voxtrad_call_id)", "CDR(voxtrad_outcome)", "CDR(voxtrad_summary)",
)  # fmt: skip
MUSIC_HZ = 1000.0
"""What is played on hold is a tone."""


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def authorization() -> dict[str, str]:
    """The header that names the ARI user."""
    return {"Authorization": "Basic " + base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()}


def wait_until(done: Callable[[], bool], what: str, timeout: float = 20.0) -> None:
    """Poll a condition of another process that offers no event to wait for."""
    deadline = time.monotonic() + timeout
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout} s for {what}")
        time.sleep(0.02)


@dataclass(frozen=True)
class Root:
    """Where Asterisk and the SIP callers are installed: a folder to chroot into, or `/`."""

    path: Path

    def command(self, *argv: str) -> list[str]:
        return list(argv) if self.path == Path("/") else ["chroot", str(self.path), *argv]

    def inside(self, path: Path) -> str:
        """How a program of the root names a file of ours."""
        return str(path) if self.path == Path("/") else "/" + str(path.relative_to(self.path))

    def scratch(self, prefix: str) -> Path:
        """A new folder that both sides can see."""
        return Path(tempfile.mkdtemp(prefix=f"voxtrad-{prefix}-", dir=self.path / "tmp"))

    def has(self, program: str) -> bool:
        search = ":".join(str(self.path / folder) for folder in ("usr/bin", "usr/sbin", "bin", "sbin"))
        return shutil.which(program, path=None if self.path == Path("/") else search) is not None

    def flite(self, text: str, voice: str = "slt", rate: int = 8000) -> Path:
        """Speech for a caller to say: a mono 16-bit WAV file, made once for each text."""
        name = hashlib.sha256(f"{voice} {rate} {text}".encode()).hexdigest()[:16]
        folder = self.path / "var/tmp/voxtrad-speech"
        wav = folder / f"{name}.wav"
        if not wav.exists():
            folder.mkdir(exist_ok=True)
            made = self.scratch("speech")
            raw, out = made / "raw.wav", made / "out.wav"
            subprocess.run(
                self.command("flite", "-voice", voice, "-t", text, "-o", self.inside(raw)), check=True, timeout=60
            )
            _resample(raw, out, rate)
            out.replace(wav)
            shutil.rmtree(made)
        return wav


def write_music(path: Path, seconds: int = 10, rate: int = 8000) -> None:
    import wave

    import numpy as np

    tone = 8000 * np.sin(2 * np.pi * MUSIC_HZ * np.arange(seconds * rate) / rate)
    with wave.open(str(path), "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(tone.astype("<i2").tobytes())


def _resample(source: Path, target: Path, rate: int) -> None:
    import wave

    import numpy as np
    import soxr

    with wave.open(str(source)) as reader:
        pcm = np.frombuffer(reader.readframes(reader.getnframes()), dtype="<i2")
        made = soxr.resample(pcm, reader.getframerate(), rate)
    with wave.open(str(target), "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(made.astype("<i2").tobytes())


class Pbx:
    """One Asterisk. `start`, `stop` and `restart` block (call them in a thread where a loop is running)."""

    def __init__(self, root: Root, *, app: str = APP, leave_out: frozenset[str] = frozenset()) -> None:
        self.root = root
        self.app = app
        self.http_port = free_port()
        self.sip_port = free_port(socket.SOCK_DGRAM)
        self.folder = root.scratch("pbx")
        self._process: subprocess.Popen[bytes] | None = None
        self._configure(leave_out)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        log = (self.folder / "console.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                self.root.command("asterisk", "-C", self.root.inside(self.folder / "etc/asterisk.conf"), "-f"),
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        wait_until(self._booted, f"Asterisk to boot (see {self.folder})")

    def stop(self, *, kill: bool = False) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if kill:
            process.kill()
        else:
            self._run("core stop now")
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def restart(self, *, kill: bool = False) -> None:
        self.stop(kill=kill)
        self.start()

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def cli(self, command: str) -> str:
        return self._run(command).stdout

    def log(self) -> str:
        """All that Asterisk logged so far."""
        return (self.folder / "log/messages").read_text(errors="replace")

    def cdr(self) -> list[dict[str, str]]:
        """The call detail records so far, by the names in `CDR` (`src`, `dst`, …)."""
        path = self.folder / "log/cdr-custom/Master.csv"
        if not path.exists():
            return []
        names = [name.removeprefix("CDR(").removesuffix(")") for name in CDR]
        with path.open(newline="") as lines:
            return [dict(zip(names, row, strict=True)) for row in csv.reader(lines)]

    @contextlib.asynccontextmanager
    async def ari(self) -> AsyncIterator[PbxAri]:
        """A REST client that looks at this Asterisk and lets callers in."""
        async with aiohttp.ClientSession(f"{self.url}/ari/", headers=authorization()) as http:
            yield PbxAri(http)

    def _booted(self) -> bool:
        if not self.running:
            raise RuntimeError(f"Asterisk ended: {(self.folder / 'console.log').read_text(errors='replace')[-2000:]}")
        return "fully booted" in self._run("core waitfullybooted").stdout.lower()

    def _run(self, command: str) -> subprocess.CompletedProcess[str]:
        conf = self.root.inside(self.folder / "etc/asterisk.conf")
        return subprocess.run(
            self.root.command("asterisk", "-C", conf, "-rx", command), capture_output=True, text=True, timeout=30
        )

    def _configure(self, leave_out: frozenset[str]) -> None:
        etc = self.folder / "etc"
        for name in ("etc", "run", "log", "spool", "db", "moh"):
            (self.folder / name).mkdir()
        (self.folder / "log/cdr-custom").mkdir()
        (self.folder / "spool/recording").mkdir()
        write_music(self.folder / "moh/music.wav")
        here = self.root.inside
        files = {
            "asterisk.conf": f"""\
                [directories]
                astetcdir => {here(etc)}
                astrundir => {here(self.folder / "run")}
                astlogdir => {here(self.folder / "log")}
                astspooldir => {here(self.folder / "spool")}
                astdbdir => {here(self.folder / "db")}
                [options]
                verbose = 3
                hideconnect = yes
                """,
            "logger.conf": "[logfiles]\nmessages => notice,warning,error,verbose(3)\n",
            "http.conf": paste.http_conf(self.http_port),
            "ari.conf": paste.ari_conf(USERNAME, PASSWORD),
            "rtp.conf": "[general]\nrtpstart = 30000\nrtpend = 39998\n",
            "cdr.conf": "[general]\nenable = yes\nunanswered = yes\n",
            "cdr_custom.conf": "[mappings]\nMaster.csv => "
            + ",".join(f"${{CSV_QUOTE(${{{name}}})}}" for name in CDR)
            + "\n",
            "indications.conf": """\
                [general]
                country = us
                [us]
                description = United States / North America
                ringcadence = 2000,4000
                ring = 440+480/2000,0/4000
                busy = 480+620/500,0/500
                """,
            "musiconhold.conf": f"[default]\nmode = files\ndirectory = {here(self.folder / 'moh')}\n",
            "stasis.conf": "[threadpool]\ninitial_size = 4\n",
            "pjsip.conf": f"""\
                [global]
                type = global
                endpoint_identifier_order = username
                [udp]
                type = transport
                protocol = udp
                bind = 127.0.0.1:{self.sip_port}
                [narrow](!)
                type = endpoint
                context = from-internal
                disallow = all
                allow = ulaw
                direct_media = no
                dtmf_mode = rfc4733
                rtp_symmetric = yes
                [100](narrow)
                callerid = "Caller One" <100>
                [101](narrow)
                callerid = "A-law" <101>
                disallow = all
                allow = alaw
                [200](narrow)
                callerid = "Wideband" <200>
                disallow = all
                allow = g722
                """
            + "".join(PHONE.format(user=user) for user in PHONES),
            "modules.conf": "[modules]\nautoload = no\n"
            + "".join(f"load = {name}.so\n" for name in MODULES if name not in leave_out),
            "extensions.conf": paste.extensions_conf("1000", self.app)
            + paste.transfer_conf(self.app, "telephones", seconds=3)
            + paste.outbound_conf("PJSIP/${EXTEN}", seconds=3)
            + f"""\
                [telephones]
                exten => _30X,1,Dial(PJSIP/${{EXTEN}},30)
                exten => 310,1,Hangup(21)
                exten => _9XXXXX,1,Dial(PJSIP/301/sip:far@127.0.0.1:${{EXTEN:1}},30)
                 same => n,Hangup(${{HANGUPCAUSE}})
                [from-internal]
                exten => 1001,1,Stasis({self.app},support)
                 same => n,NoOp(came back)
                 same => n,Set(GLOBAL(CAME_BACK)=${{VOXTRAD_STATUS}}-${{MARK}})
                 same => n,Wait(30)
                exten => 1003,1,Answer()
                 same => n,Echo()
                include => telephones
                exten => 1002,1,Set(AI_GREETING=Good day)
                 same => n,Set(TIER=gold)
                 same => n,Set(FROM_DID=442079460000)
                 same => n,Stasis({self.app})
                [test-callers]
                exten => wait,1,Answer()
                 same => n,Wait(120)
                exten => echo,1,Answer()
                 same => n,Echo()
                exten => _play-.,1,Answer()
                 same => n,Playback(${{EXTEN:5}})
                 same => n,Wait(120)
                exten => _read-.,1,Answer()
                 same => n,Read(READ,,${{EXTEN:5}},,,10)
                 same => n,Set(GLOBAL(DIGITS)=${{MARK}} ${{READ}})
                 same => n,Wait(120)
                [arrive]
                exten => given,1,NoOp(${{MARK}})
                 same => n,Set(GLOBAL(ARRIVED)=${{MARK}})
                 same => n,Wait(30)
                """,
        }
        for name, text in files.items():
            lines = (line[16:] if line.startswith(" " * 16) else line for line in text.splitlines())
            (etc / name).write_text("\n".join(lines) + "\n")


class PbxAri:
    """What the tests ask of Asterisk over ARI."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http

    async def get(self, path: str, **query: str) -> object:
        async with self._http.get(path, params=query) as answer:
            answer.raise_for_status()
            return await answer.json()

    async def post(self, path: str, body: object = None) -> object:
        async with self._http.post(path, json=body) as answer:
            answer.raise_for_status()
            return await answer.json() if answer.content_length else None

    async def delete(self, path: str) -> None:
        async with self._http.delete(path) as answer:
            if answer.status != 404:
                answer.raise_for_status()

    async def call(
        self, extension: str = "1000", *, caller: str = "wait", caller_id: str = "Test <100>", **variables: str
    ) -> str:
        """Let a caller in: `Local/EXTENSION`, whose other half runs `caller` of the context `test-callers`.

        Returns the channel id of the caller's half: delete it and the caller has hung up.
        """
        made = await self.post(
            "channels",
            {
                "endpoint": f"Local/{extension}@from-internal/n", "callerId": caller_id, "context": "test-callers",
                "extension": caller, "priority": 1, "variables": variables,
            },
        )  # fmt: skip
        assert isinstance(made, dict)
        return str(made["id"])

    async def hang_up(self, channel: str) -> None:
        await self.delete(f"channels/{channel}")

    async def hang_up_all(self) -> None:
        found = await self.get("channels")
        assert isinstance(found, list)
        for channel in found:
            await self.hang_up(channel["id"])

    async def nothing_left(self, timeout: float = 10.0) -> None:
        """Wait until Asterisk has neither a channel nor a bridge; fails with what is left, and frees that."""
        try:
            await self.has(channels=0, bridges=0, timeout=timeout)
        except AssertionError:
            await self.hang_up_all()
            for bridge in await self.bridges():
                await self.delete(f"bridges/{bridge}")
            raise

    async def has(self, *, channels: int | None = None, bridges: int | None = None, timeout: float = 5.0) -> None:
        """Wait for a number of channels and bridges: Asterisk's own list of them lags a moment behind."""
        names: tuple[list[str], list[str]] = [], []
        try:
            async with asyncio.timeout(timeout):
                while True:
                    names = await self.channels(), await self.bridges()
                    wanted = zip(names, (channels, bridges), strict=True)
                    if all(number is None or len(found) == number for found, number in wanted):
                        return
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"in Asterisk: {names[0]} {names[1]}") from None

    async def is_free(self, app: str) -> None:
        """Wait until Asterisk has forgotten an application: it does so some time after its client has gone."""
        found: object = None
        try:
            async with asyncio.timeout(20):
                while found := await self._application(app):  # noqa: ASYNC110 - Asterisk tells nobody
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"Asterisk still has the application: {found}") from None

    async def _application(self, app: str) -> object:
        known = await self.get("applications")
        assert isinstance(known, list)
        return next((one for one in known if one["name"] == app), None)

    async def channels(self) -> list[str]:
        return await self._names("channels", "name")

    async def bridges(self) -> list[str]:
        return await self._names("bridges", "id")

    async def global_variable(self, name: str) -> str:
        answer = await self.get("asterisk/variable", variable=name)
        assert isinstance(answer, dict)
        return str(answer["value"])

    async def _names(self, path: str, key: str) -> list[str]:
        found = await self.get(path)
        assert isinstance(found, list)
        return [str(item[key]) for item in found]
