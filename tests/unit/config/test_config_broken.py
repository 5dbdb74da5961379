"""Every way to break a configuration that somebody thought of, with exactly what voxtrad says to it.

To add one, make a folder with a `voxtrad.yaml` and run this file with WRITE_EXPECTED=1 set; then read what was written.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from voxtrad.config.diagnostics import ConfigError, as_text
from voxtrad.config.loader import load
from voxtrad.config.providers import ProviderTypes

FOLDER = Path(__file__).parent / "broken"
CASES = sorted(folder.name for folder in FOLDER.iterdir())
ENVIRONMENT = {"EMPTY": "", "WORDS": "twelve", "SECRET_VALUE": "s3cr3t-value"}


def said_about(case: str, types: ProviderTypes) -> str:
    with pytest.raises(ConfigError) as caught:
        load(Path("voxtrad.yaml"), provider_types=types, environment=ENVIRONMENT)
    return as_text(caught.value.diagnostics) + "\n"


@pytest.mark.parametrize("case", CASES)
def test_says_exactly_this(case: str, types: ProviderTypes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER / case)
    said = said_about(case, types)
    expected = FOLDER / case / "expected.txt"
    if os.environ.get("WRITE_EXPECTED"):
        expected.write_text(said, encoding="utf-8")
    assert said == expected.read_text(encoding="utf-8")


@pytest.mark.parametrize("case", CASES)
def test_says_nothing_of_python_pydantic_or_secrets(case: str) -> None:
    said = (FOLDER / case / "expected.txt").read_text(encoding="utf-8").lower()
    for never in ("traceback", "pydantic", "validationerror", "sk-very-secret", "s3cr3t", "hunter2", "abc-secret"):
        assert never not in said


@pytest.mark.parametrize("case", CASES)
def test_every_message_has_a_place(case: str) -> None:
    said = (FOLDER / case / "expected.txt").read_text(encoding="utf-8")
    first = [line for line in said.splitlines() if not line.startswith(" ")]
    assert first
    for line in first:
        file, number, column, *_ = line.split(":")
        assert file.strip()
        assert int(number) > 0
        assert int(column) > 0


def test_there_are_many() -> None:
    assert len(CASES) >= 60
