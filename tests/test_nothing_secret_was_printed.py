"""Runs last: of all that voxtrad printed while the tests ran, nothing is a secret that they used."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from tests.printed import Printed, is_ours, secrets_in_text

pytestmark = pytest.mark.every_lane

CODE = "import voxtrad.cli, sys; print(sys.argv[1])"


def planted() -> str:
    """A secret that stands nowhere as such."""
    return "-".join(("sk", "planted", "by", "the", "test"))


def test_secrets_are_found_in_what_tests_are_made_of() -> None:
    whsec = "whsec" + "_" + "A" * 32
    text = f"""SECRET = "{whsec}"\npassword: hunter2-and-more\napi_key: '{planted()}'\ntoken: "${{env:X}}"\n"""
    text += "secret: SecretStr"
    assert secrets_in_text(text) == {whsec, "hunter2-and-more", planted()}


def test_what_children_and_tests_print_is_noted(capsys: pytest.CaptureFixture[str]) -> None:
    printed = Printed(Path(__file__).parent / "no-such-folder")
    printed.secrets = frozenset({planted()})
    with pytest.MonkeyPatch.context() as patch:
        printed.tap(patch)
        arguments = [sys.executable, "-c", CODE, planted()]
        printed.test = "run"
        subprocess.run(arguments, capture_output=True, check=True)
        printed.test = "run as text"
        subprocess.run(arguments, capture_output=True, check=True, text=True)
        printed.test = "not ours"
        subprocess.run([sys.executable, "-c", f"print('{planted()}')"], capture_output=True, check=True)
        printed.test = "capsys"
        print(planted())
        capsys.readouterr()
        printed.test = "asyncio"
        asyncio.run(_child(arguments))
    assert printed.leaks() == [(planted(), test) for test in ("run", "run as text", "capsys", "asyncio")]


async def _child(arguments: list[str]) -> None:
    process = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE)
    await process.communicate()


def test_voxtrad_is_known_by_its_command_line() -> None:
    assert is_ours([sys.executable, "-c", "from voxtrad.cli.main import main"])
    assert is_ours("/usr/local/bin/voxtrad") and is_ours(("voxtrad", "serve"))
    assert not is_ours(["asterisk", "-rx", "core show version"])


def test_nothing_secret_was_printed(pytestconfig: pytest.Config) -> None:
    printed = pytestconfig.pluginmanager.get_plugin("printed")
    assert isinstance(printed, Printed)
    leaks = [f"{secret[:12]}… by {test}" for secret, test in printed.leaks()]
    assert not leaks, "\n".join(leaks)
