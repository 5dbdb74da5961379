"""Commands find the running server and are let in by it, whatever its file says by now."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

from process import COMMAND, ROOT, served

from voxtrad.lease import FOLDER, address_of_living

CONFIG = """\
server: {{listen: "{listen}", data_dir: ./data, watch: false, {server}}}
agents: {{a: {{stt: sphinx, llm: scripted, tts: espeak}}}}
"""
OLD = "the-token-that-the-server-began-with"
NEW = "the-token-that-the-file-has-by-now"


def write(folder: Path, listen: str, server: str) -> Path:
    path = folder / "voxtrad.yaml"
    path.write_text(CONFIG.format(listen=listen, server=server), encoding="utf-8")
    return path


def tokens(token: str) -> str:
    return f"tokens: [{{name: shell, token: {token}, scopes: [reload]}}]"


async def run(folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """A command's exit code, and all that it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", COMMAND, *arguments, "-c", "voxtrad.yaml",
        cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **environment},
    )  # fmt: skip
    printed, _ = await process.communicate()
    return process.returncode or 0, printed.decode()


async def test_address_and_token_may_have_changed_in_the_file(tmp_path: Path) -> None:
    async with served(write(tmp_path, "127.0.0.1:0", tokens(OLD))) as server:
        write(tmp_path, "127.0.0.1:1", tokens(NEW))
        code, said = await run(tmp_path, "reload", http_proxy="http://127.0.0.1:1")
        assert (code, said.splitlines()) == (
            0,
            ["reloaded; live calls keep what they started with", "server.listen: takes effect only after a restart"],
        )
        assert await run(tmp_path, "drain") == (0, "draining: no more calls are taken\nno call is left\n")
        assert [line["who"] for line in server.told("api")] == ["local", "local"], "the audit log says so"
        key = address_of_living(tmp_path / "data")
        assert key is not None and key.key not in "".join(server.printed)
    assert address_of_living(tmp_path / "data") is None
    code, said = await run(tmp_path, "drain")
    assert (code, said) == (
        1,
        "voxtrad: the server at http://127.0.0.1:1 does not answer: connection refused\n         is it running?\n",
    )


async def test_nobody_else_may_read_the_key(tmp_path: Path) -> None:
    async with served(write(tmp_path, "127.0.0.1:0", "tokens: auto")) as server:
        (file,) = (tmp_path / "data" / FOLDER).glob("[!.]*")
        assert file.stat().st_mode & 0o777 == 0o600
        assert json.loads(file.read_text())["url"].startswith("http://127.0.0.1:")
        token = (tmp_path / "data/token").read_text().strip()
        assert token not in "".join(server.printed)


async def test_a_certificate_of_a_public_authority_and_everywhere_listened(tmp_path: Path) -> None:
    make_certificate(tmp_path)
    tls = "tls: {cert: chain.pem, key: leaf.key}"
    async with served(write(tmp_path, "0.0.0.0:0", f"{tls}, {tokens(OLD)}")) as server:
        listen = str((await server.until("serving"))["url"]).removeprefix("https://")
        assert (await run(tmp_path, "reload"))[0] == 0
        write(tmp_path, listen, f"{tls}, {tokens(OLD)}")
        unannounce(tmp_path)
        assert (await run(tmp_path, "reload"))[0] == 0, "as the configuration says, where that is all there is"
        unannounce(tmp_path)  # a reload announces it anew
        make_certificate(tmp_path)  # one that the server does not have
        code, said = await run(tmp_path, "reload")
        assert code == 1, said
        assert "certificate verify failed" in said and "[" not in said


def unannounce(folder: Path) -> None:
    for file in (folder / "data" / FOLDER).glob("[!.]*"):
        file.write_text("not announced")


def make_certificate(folder: Path) -> None:
    """`chain.pem` and `leaf.key`; the authority itself is not in the chain, and the name is not this machine's."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    for arguments in (
        ["req", "-x509", *key, "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem"],
        ["req", "-x509", *key, "-subj", "/CN=voice.example", "-addext", "basicConstraints=critical,CA:FALSE",
         "-CA", "ca.pem", "-CAkey", "ca.key", "-keyout", "leaf.key", "-out", "chain.pem"],
    ):  # fmt: skip
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


async def test_a_file_that_was_broken_since_keeps_nobody_from_the_server(tmp_path: Path) -> None:
    """Nor does a shell that lacks the server's environment."""
    path = write(tmp_path, "127.0.0.1:0", tokens('"${env:SHELL_TOKEN}"'))
    async with served(path, SHELL_TOKEN=OLD):
        assert (await run(tmp_path, "calls"))[0] == 0
        assert (await run(tmp_path, "events"))[0] == 0
        assert (await run(tmp_path, "reload"))[0] == 0
        path.write_text(path.read_text() + "rutes: []\n", encoding="utf-8")
        code, said = await run(tmp_path, "reload")
        assert (code, said.splitlines()) == (1, [
            "voxtrad: the server refused: not reloaded, the old configuration runs on",
            "voxtrad.yaml:3:1: rutes: unknown key (did you mean 'routes'?)",
        ])  # fmt: skip
        assert (await run(tmp_path, "events", "replay"))[0] == 0
        assert await run(tmp_path, "drain") == (0, "draining: no more calls are taken\nno call is left\n")
    code, said = await run(tmp_path, "drain")
    assert (code, "unknown key" in said) == (1, True), "no server runs: the file is what there is"
