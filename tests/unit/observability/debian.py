"""Prometheus and promtool for the tests: those on PATH, or Debian's package, unpacked into a cache folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

PACKAGE = "prometheus"


def program(name: str) -> str:
    """The path of `prometheus` or `promtool`. Where there is none to be had the test is skipped, or fails with CI."""
    found = shutil.which(name)
    if found is None:
        unpacked = _cache() / "usr" / "bin" / name
        reason = "" if unpacked.exists() else _unpack()
        if not unpacked.exists():
            if os.environ.get("CI") == "true":
                pytest.fail(f"{name} is needed: {reason}")
            pytest.skip(f"{name} is needed: {reason}")
        found = str(unpacked)
    return found


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "voxtrad-tests" / PACKAGE


def _unpack() -> str:
    """Fetch the package and unpack it; the reason where that does not work. Nothing is installed."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        return f"this is no Debian, and there is none on PATH (package {PACKAGE})"
    with tempfile.TemporaryDirectory() as folder:
        apt = ["apt-get", "-q", "-o", "APT::Sandbox::User=root"]
        done = _run([*apt, "download", PACKAGE], folder)
        if done.returncode and os.geteuid() == 0:
            _run([*apt, "update"], folder)
            done = _run([*apt, "download", PACKAGE], folder)
        packages = list(Path(folder).glob("*.deb"))
        if not packages:
            return f"the package {PACKAGE} could not be fetched: {done.stderr.strip() or done.stdout.strip()}"
        cache = _cache()
        cache.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=cache.parent))
        _run(["dpkg-deb", "-x", str(packages[0]), str(fresh)], folder)
        try:
            fresh.rename(cache)
        except OSError:  # somebody else was quicker
            shutil.rmtree(fresh)
    return ""


def _run(command: list[str], folder: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
