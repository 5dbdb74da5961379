"""A provider that another package brings: really built and installed, and used from the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "fakes" / "example_provider"
CONFIG = """
server: {listen: '127.0.0.1:0', data_dir: DATA}
providers: {parrot: {cage: garden}}
agents:
  a:
    greeting: Hi.
    stt: sphinx
    tts: espeak
    llm: {provider: parrot, times: TIMES}
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package in it, as pip lays it out."""
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index"]
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--target", str(target), str(PACKAGE)], check=True)
    return target


def voxtrad(installed: Path | None, *arguments: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root), *([str(installed)] if installed else [])])
    code = "import sys; from voxtrad.cli.main import main; sys.exit(main())"
    environment = {**os.environ, "PYTHONPATH": path, "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False, env=environment
    )


def write(folder: Path, times: object = 2) -> str:
    path = folder / "voxtrad.yaml"
    path.write_text(CONFIG.replace("DATA", str(folder)).replace("TIMES", str(times)), encoding="utf-8")
    return str(path)


def test_check_knows_its_options(installed: Path, tmp_path: Path) -> None:
    good = voxtrad(installed, "check", "-c", write(tmp_path))
    assert good.returncode == 0, good.stdout + good.stderr
    wrong = voxtrad(installed, "check", "-c", write(tmp_path, "often"))
    assert wrong.returncode != 0 and "times" in wrong.stdout + wrong.stderr
    without = voxtrad(None, "check", "-c", write(tmp_path))
    assert without.returncode != 0 and "parrot" in without.stdout + without.stderr


def test_schema_has_its_options_and_their_words(installed: Path) -> None:
    done = voxtrad(installed, "schema")
    json.loads(done.stdout)
    assert "How often it repeats what it heard." in done.stdout
    assert "How often it repeats what it heard." in voxtrad(installed, "schema", "--format", "markdown").stdout
    assert "How often it repeats what it heard." not in voxtrad(None, "schema").stdout


def test_a_call_is_answered_by_it(installed: Path, tmp_path: Path) -> None:
    done = voxtrad(installed, "call", "-c", write(tmp_path), "a", "--say", "goodbye")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("You said") >= 2, done.stdout + done.stderr
