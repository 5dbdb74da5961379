"""A server that cannot start says why in a line or two, and exits with 1."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from process import COMMAND, ROOT, served

AGENT = "agents: {a: {stt: sphinx, llm: scripted, tts: espeak}}\n"


def start(folder: Path, server: str, more: str = "", **environment: str) -> str:
    """What it says when it cannot start."""
    path = folder / "voxtrad.yaml"
    path.write_text(f"server: {{watch: false, {server}}}\n{AGENT}{more}", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, "serve"], cwd=folder, capture_output=True, text=True, timeout=60, check=False,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "VOXTRAD_CONFIG": str(path), **environment},
    )  # fmt: skip
    assert done.returncode == 1, done
    said = done.stdout + done.stderr
    assert "Traceback" not in said and "internal error" not in said
    told = [line for line in said.splitlines() if not line.startswith("{")]
    assert 1 <= len(told) <= 4, said  # a reason and a hint, and where it stands with the line itself
    return "\n".join(told)


def test_the_port_is_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = start(tmp_path, f"listen: '127.0.0.1:{port}', data_dir: ./data")
    assert said.startswith(f"voxtrad: cannot listen at 127.0.0.1:{port}: address already in use\n")


def test_the_address_is_not_ours(tmp_path: Path) -> None:
    said = start(tmp_path, "listen: '192.0.2.1:0', tokens: auto, data_dir: ./data")
    assert said.startswith("voxtrad: cannot listen at 192.0.2.1:0: cannot assign requested address\n")
    assert "this machine does not have that address" in said


@pytest.mark.parametrize("tokens", ["[]", "auto"])
def test_the_data_directory_cannot_be_made(tokens: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    said = start(tmp_path, f"listen: '127.0.0.1:0', tokens: {tokens}, data_dir: ./file/data")
    assert "file/data" in said and "ot a directory" in said


@pytest.mark.parametrize("tokens", ["[]", "auto"])
def test_the_data_directory_is_where_nobody_may_make_any(tokens: str, tmp_path: Path) -> None:
    said = start(tmp_path, f"listen: '127.0.0.1:0', tokens: {tokens}, data_dir: /proc/voxtrad")
    assert said.endswith("no such file or directory") and "/proc/voxtrad" in said and "[" not in said


def test_the_certificate_is_none(tmp_path: Path) -> None:
    (tmp_path / "v.pem").write_text("nothing", encoding="utf-8")
    said = start(tmp_path, "listen: '127.0.0.1:0', data_dir: ./data, tls: {cert: v.pem, key: v.pem}")
    assert "server.tls: the certificate cannot be used: " in said.splitlines()[0]


def test_the_database_is_of_a_newer_version(tmp_path: Path) -> None:
    import sqlite3

    (tmp_path / "data").mkdir()
    with sqlite3.connect(tmp_path / "data/voxtrad.db") as database:
        database.execute("PRAGMA user_version = 999")
    database.close()
    said = start(tmp_path, "listen: '127.0.0.1:0', data_dir: ./data")
    assert "newer voxtrad" in said


async def test_another_server_uses_the_data_directory(tmp_path: Path) -> None:
    first = tmp_path / "first"
    first.mkdir()
    (first / "voxtrad.yaml").write_text(
        f"server: {{listen: '127.0.0.1:0', data_dir: {tmp_path / 'data'}}}\n{AGENT}", encoding="utf-8"
    )
    async with served(first / "voxtrad.yaml"):
        said = start(tmp_path, "listen: '127.0.0.1:0', data_dir: ./data")
    assert said.startswith("voxtrad: another voxtrad is running with ")
