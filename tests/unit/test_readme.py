"""The README is true: what it tells to paste is what the tests run, and its commands exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from voxtrad.cli.main import COMMANDS
from voxtrad.telephony.asterisk import paste

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
SHELL = "\n".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))


@pytest.mark.parametrize("lines", [paste.http_conf(), paste.ari_conf(), paste.extensions_conf()])
def test_what_is_pasted_is_what_is_tested(lines: str) -> None:
    assert lines.strip() in README


def test_its_commands_exist() -> None:
    names = {command.name for command in COMMANDS}
    shown = set(re.findall(r"^(?:\.venv/bin/)?voxtrad (\w+)", SHELL, re.MULTILINE))
    assert shown and shown <= names
    targets = set(re.findall(r"^make (\w+)", SHELL, re.MULTILINE))
    makefile = (ROOT / "Makefile").read_text()
    assert targets == {"run", "test"} and all(f"\n{target}:" in makefile for target in targets)


def test_its_files_exist() -> None:
    for name in re.findall(r"config/[\w./-]+\.(?:wav|yaml|md)", README):
        assert (ROOT / name).is_file(), name
