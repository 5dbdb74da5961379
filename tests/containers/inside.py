"""The built images, running. build.sh runs this, as root in a network namespace of its own: fixed ports are free there.

Not collected by a plain pytest run: the name is none of a test file's. A container is run by `buildah run` with chroot
isolation; where the root file system must be read-only, by chroot into the image mounted so.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
import yaml

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests/asterisk"))

from pbx import Root  # noqa: E402
from sipcaller import sip_caller  # noqa: E402

from tests.unit.deploy.toolserver import (  # noqa: E402
    EXAMPLES,
    answers_as_the_contract_says,
    refuses_what_is_not_voxtrads,
    serving,
)

WORK = Path(os.environ["VOXTRAD_CONTAINERS"])
TELEPHONES = Path(os.environ["VOXTRAD_TELEPHONES"])
SERVER = "http://127.0.0.1:8090"
PBX = "http://127.0.0.1:8088"
DEBIANS_OWN = ("cache", "lib", "log", "spool")
"""Folders that the package asterisk makes for its user; nothing of ours is there."""
COMPOSED = {  # as docker-compose.yml has it, but that all share one network here
    "ASTERISK_ARI_URL": PBX,
    "TOOLS_URL": "http://127.0.0.1:9000",
}


def buildah(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    store = ("--root", str(WORK / "storage"), "--runroot", str(WORK / "run"), "--storage-driver", "vfs")
    return subprocess.run(["buildah", *store, *arguments], text=True, capture_output=True, timeout=300, **options)


@pytest.fixture(scope="module")
def containers() -> Iterator[dict[str, str]]:
    """A container of each image, by its name."""
    made = {}
    for name in ("voxtrad", "voxtrad-asterisk"):
        made[name] = buildah("from", "--pull-never", f"localhost/{name}", check=True).stdout.strip()
    yield made
    for container in made.values():
        buildah("rm", container)


@pytest.fixture
def data() -> Iterator[Path]:
    """A data volume, as docker makes one: owned as the image has it."""
    folder = WORK / "data"
    folder.mkdir(mode=0o700)
    os.chown(folder, 10001, 10001)
    yield folder
    subprocess.run(["rm", "-rf", folder], check=True)


def run(container: str, *command: str, env: Mapping[str, str] = COMPOSED) -> list[str]:
    """The command line that runs a program in a container."""
    return [
        "buildah", "--root", str(WORK / "storage"), "--runroot", str(WORK / "run"), "--storage-driver", "vfs",
        "run", "--isolation", "chroot",
        *(f"--env={name}={value}" for name, value in env.items()),
        container, "--", *command,
    ]  # fmt: skip


def output(container: str, *command: str, **options: Any) -> str:
    done = subprocess.run(run(container, *command, **options), text=True, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout.strip()


@contextlib.contextmanager
def running(command: Sequence[str], *, log: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program and all that it starts, until the end of the block."""
    path = WORK / f"{log}.log"
    with path.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        yield process
    except BaseException:
        print(path.read_text(errors="replace")[-6000:])
        raise
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def until(done: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    """Look at another process again and again: it gives no event."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.05)


async def status(http: aiohttp.ClientSession, url: str, **options: Any) -> int:
    async with http.get(url, **options) as answer:
        await answer.read()
        return answer.status


async def answering(url: str, want: int, seconds: float = 30.0) -> None:
    async with asyncio.timeout(seconds), aiohttp.ClientSession() as http:
        while True:
            with contextlib.suppress(aiohttp.ClientConnectionError):
                if await status(http, url) == want:
                    return
            await asyncio.sleep(0.05)


# --- what the images are ----------------------------------------------------------------------------------------------


def about(image: str) -> dict[str, Any]:
    return dict(
        json.loads(buildah("inspect", "--type", "image", f"localhost/{image}", check=True).stdout)["Docker"]["config"]
    )


def test_the_image_says_how_it_is_run() -> None:
    made = about("voxtrad")
    assert made["User"] == "10001:10001"
    assert made["Entrypoint"] == ["voxtrad"] and made["Cmd"] == ["serve"]
    assert list(made["Volumes"]) == ["/data"]
    assert made["Healthcheck"]["Test"] == ["CMD", "python3", "/opt/voxtrad/health.py"]
    assert "VOXTRAD_DATA_DIR=/data" in made["Env"]
    assert about("voxtrad-asterisk")["User"] == "asterisk"


def test_it_is_no_bigger_than_it_must_be() -> None:
    """What is on top of the base image, which is half of it or more."""
    sizes = {}
    for image in json.loads(buildah("images", "--json", check=True).stdout):
        for name in image.get("names") or []:
            sizes[name.rpartition("/")[2].partition(":")[0]] = image["size"]
    megabytes = {name: float(size.split()[0]) for name, size in sizes.items() if size.endswith("MB")}
    assert megabytes["voxtrad"] - megabytes["python"] < 300


@pytest.mark.parametrize("name", ["voxtrad", "voxtrad-asterisk"])
def test_its_user_has_no_rights_and_can_write_to_nothing_of_it(containers: dict[str, str], name: str) -> None:
    container = containers[name]
    assert output(container, "id", "-u") != "0"
    look = "find / -xdev -writable -not -type l -not -path '/proc*' 2>/dev/null || true"  # some it may not look into
    found = output(container, "sh", "-c", look)
    own = ["/data", "/tmp", "/dev", "/run", "/var/tmp", *(f"/var/{name}/asterisk" for name in DEBIANS_OWN)]
    assert [path for path in found.splitlines() if not path.startswith(tuple(own))] == []


def test_neither_tools_nor_caches_are_left_in_it(containers: dict[str, str]) -> None:
    mount = Path(buildah("mount", containers["voxtrad"], check=True).stdout.strip())
    assert not list(mount.glob("opt/voxtrad/bin/pip*"))
    assert not list(mount.glob("root/.cache/*"))
    assert not (mount / "src").exists()
    assert not list((mount / "etc/voxtrad").rglob("*.env"))


@pytest.mark.parametrize("stack", ["voxtrad", "local"])
def test_its_configurations_are_valid(containers: dict[str, str], stack: str) -> None:
    told = output(containers["voxtrad"], "voxtrad", "check", "-c", f"/etc/voxtrad/deploy/compose/{stack}.yaml")
    assert told.endswith("valid")


# --- what it does -----------------------------------------------------------------------------------------------------


async def test_it_serves_and_its_health_check_follows(containers: dict[str, str]) -> None:
    container = containers["voxtrad"]
    with pytest.raises(AssertionError, match="Connection refused"):
        output(container, "python3", "/opt/voxtrad/health.py")
    with running(run(container, "voxtrad", "serve"), log="serve"):
        await answering(f"{SERVER}/live", 200)
        await answering(f"{SERVER}/ready", 503)  # there is no PBX
        output(container, "python3", "/opt/voxtrad/health.py")
        token = output(container, "cat", "/data/token")
        assert output(container, "stat", "-c", "%a %u", "/data/token") == "600 10001"
        async with aiohttp.ClientSession() as http:
            assert await status(http, f"{SERVER}/metrics") == 200
            assert await status(http, f"{SERVER}/v1/agents") == 401
            assert await status(http, f"{SERVER}/v1/agents", headers={"Authorization": f"Bearer {token}"}) == 200


@contextlib.contextmanager
def read_only(container: str, mounts: Mapping[str, Path | None]) -> Iterator[list[str]]:
    """A container's root that nobody can write to, with folders of ours in it (None: an empty one in memory).

    Gives the beginning of a command line that runs something in it."""
    root = WORK / "read-only"
    root.mkdir(exist_ok=True)
    source = buildah("mount", container, check=True).stdout.strip()
    mounted: list[Path] = []

    def mount(*arguments: str | Path) -> None:
        subprocess.run(["mount", *arguments], check=True)
        mounted.append(Path(arguments[-1]))

    try:
        mount("--bind", source, root)
        subprocess.run(["mount", "-o", "remount,ro,bind", root], check=True)
        mount("-t", "proc", "proc", root / "proc")
        mount("--bind", "/dev", root / "dev")
        for target, folder in mounts.items():
            here = root / target.lstrip("/")
            if folder is None:
                mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", here)
            else:
                mount("--bind", folder, here)
        made = about(container.removesuffix("-working-container"))
        yield ["env", "-i", *made["Env"], "chroot", f"--userspec={made['User']}", str(root)]
    finally:
        for path in reversed(mounted):
            subprocess.run(["umount", "-l", path], check=True)


@pytest.fixture
def whole(containers: dict[str, str], data: Path) -> Iterator[subprocess.Popen[bytes]]:
    """voxtrad and Asterisk, as `docker compose --profile pbx up` runs them; yields voxtrad."""
    voxtrad, asterisk = containers["voxtrad"], containers["voxtrad-asterisk"]
    with (
        running(run(asterisk, "start-asterisk", env={}), log="asterisk"),
        read_only(voxtrad, {"/data": data, "/tmp": None}) as inside,
    ):
        fully = ("asterisk", "-C", "/run/asterisk/etc/asterisk.conf", "-rx", "core waitfullybooted")
        until(lambda: subprocess.run(run(asterisk, *fully), capture_output=True).returncode == 0, "Asterisk")
        with running(
            [*inside[:2], *(f"{n}={v}" for n, v in COMPOSED.items()), *inside[2:], "voxtrad", "serve"], log="voxtrad"
        ) as process:
            yield process
        output(asterisk, *fully[:-1], "core stop now")


@pytest.fixture
async def orders() -> AsyncIterator[str]:
    """The tool server of docker-compose.yml."""
    command = ["node", str(EXAMPLES / "node/server.mjs")]
    async with serving(command, {"LISTEN": "127.0.0.1:9000"}, port=9000) as url:
        yield url


async def test_a_telephone_registers_dials_1000_and_is_told_about_its_order(
    whole: subprocess.Popen[bytes], orders: str, data: Path
) -> None:
    await answering(f"{SERVER}/ready", 200)
    root = Root(TELEPHONES)
    pbx: Any = SimpleNamespace(root=root, sip_port=5060)
    async with sip_caller(pbx, user="200", password="voxtrad") as reception:
        await reception.register()
    async with sip_caller(pbx, password="wrong") as stranger:
        with pytest.raises(ConnectionError):
            await stranger.dial("1000")
    async with sip_caller(pbx, password="voxtrad") as caller:
        await caller.dial("1000")
        greeted = await caller.hears_silence()
        await caller.say(root.flite("my order number is one two three four", voice="rms"))
        await caller.hears_sound(greeted)
        await caller.hears_silence(after=greeted)
        await caller.hang_up()
    token = (data / "token").read_text().strip()
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as http:
        async with http.get(f"{SERVER}/metrics") as answer:
            metrics = await answer.text()
        assert re.search(r'voxtrad_tool_calls_total\{[^}]*tool="lookup_order"[^}]*\} 1\.0', metrics)
    whole.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(whole.wait, 20) == 0


def test_asterisk_lets_nobody_else_register_with_the_demo_password(containers: dict[str, str]) -> None:
    env = {"PBX_ADDRESS": "192.168.1.10"}
    refused = subprocess.run(run(containers["voxtrad-asterisk"], "start-asterisk", env=env), capture_output=True)
    assert refused.returncode == 1 and b"SIP_PASSWORD" in refused.stderr


# --- the tool server in PHP -------------------------------------------------------------------------------------------


async def test_php_answers_the_starters_tool() -> None:
    async with serving(["php", "-S", "127.0.0.1:{port}", str(EXAMPLES / "php/index.php")]) as url:
        await answers_as_the_contract_says(url)
        await refuses_what_is_not_voxtrads(url)


# --- files that others have rendered ----------------------------------------------------------------------------------


def test_compose_resolves_to_hardened_services_that_are_published_here_only() -> None:
    services = json.loads((WORK / "compose.json").read_text())["services"]
    assert set(services) >= {"voxtrad", "orders", "asterisk", "prometheus", "grafana", "ollama", "speech"}
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", [])), name


@pytest.mark.parametrize(("file", "replicas"), [("chart", 1), ("chart-all", 2)])
def test_the_charts_configuration_is_valid(file: str, replicas: int) -> None:
    documents = list(yaml.safe_load_all((WORK / f"{file}.yaml").read_text()))
    config = next(document for document in documents if document["kind"] == "ConfigMap")
    folder = WORK / f"{file}-config"
    folder.mkdir()
    for name, text in config["data"].items():
        (folder / name).write_text(text)
    environment = {
        "ASTERISK_ARI_PASSWORD": "x", "POD_NAME": "voxtrad-0", "VOXTRAD_API_TOKEN": "a-token-of-the-chart",
        "TOOLS_URL": "http://orders:9000",
    }  # fmt: skip
    checked = subprocess.run(
        [ROOT / ".venv/bin/voxtrad", "check", "-c", folder / "voxtrad.yaml"],
        capture_output=True, text=True, env={**os.environ, **environment},
    )  # fmt: skip
    assert checked.returncode == 0, checked.stdout + checked.stderr
    stateful = next(document["spec"] for document in documents if document["kind"] == "StatefulSet")
    assert stateful["replicas"] == replicas
    assert stateful["template"]["spec"]["terminationGracePeriodSeconds"] == 330
    assert (WORK / f"notes{file.removeprefix('chart')}.txt").read_text().count("Stasis(") == replicas
