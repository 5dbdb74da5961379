"""A pytest plugin that keeps all that voxtrad printed in the whole session, and knows the secrets that the tests use.

What is kept: standard output and error of every test, what a test took of it with `capsys`, and the pipes of child
processes that run voxtrad. The secrets: every value in the tests' own files that stands under a key that names one, or
looks like one (`whsec_…`, `sk-…`). `tests/test_nothing_secret_was_printed.py` runs last and compares the two.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

LAST = "test_nothing_secret_was_printed.py"
_FILES = ("*.py", "*.yaml", "*.yml")
_TELLING = 8
"""Shorter values are everyday words as well."""
_LOOKS_SECRET = re.compile(r"whsec_[A-Za-z0-9+/]{20,}={0,2}|sk-[A-Za-z0-9-]{8,}")
_UNDER_A_KEY = re.compile(r"""\b(?:password|api_key|token|secret):\s*["']?([A-Za-z0-9+/=_.-]{8,})""")
_WORD = re.compile(r"[A-Za-z_.]+\Z")
"""No secret: the name of a class or of a variable, in code."""


class Printed:
    """All that was printed, piece by piece, with the test that printed it."""

    def __init__(self, folder: Path) -> None:
        self.secrets = secrets_of(folder)
        self.pieces: list[tuple[str, str]] = []
        self.test = "?"

    def note(self, text: str | bytes | None) -> None:
        if text:
            text = text.decode(errors="replace") if isinstance(text, bytes) else text
            self.pieces.append((self.test, text))

    def leaks(self) -> list[tuple[str, str]]:
        """Every secret that was printed, and by which test; what a pipe tore into pieces is put together."""
        found = []
        by_test: dict[str, list[str]] = {}
        for test, text in self.pieces:
            by_test.setdefault(test, []).append(text)
        for test, texts in by_test.items():
            whole = "".join(texts)
            found += [(secret, test) for secret in sorted(self.secrets) if secret in whole]
        return found

    # --- what pytest tells --------------------------------------------------------------------------------------------

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.test = nodeid

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "teardown":  # by then the sections of all phases are there
            for title, text in report.sections:
                if title.startswith(("Captured stdout", "Captured stderr")):
                    self.note(text)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: item.path.name == LAST)

    # --- what does not pass by pytest ---------------------------------------------------------------------------------

    def tap(self, patch: pytest.MonkeyPatch) -> None:
        """Note what tests take with `capsys` and what children print to pipes."""
        note = self.note

        def taken(capture: Any, original: Any = pytest.CaptureFixture.readouterr) -> Any:
            result = original(capture)
            note(result.out)
            note(result.err)
            return result

        def communicated(process: Any, *given: Any, original: Any = subprocess.Popen.communicate, **named: Any) -> Any:
            result = original(process, *given, **named)
            if is_ours(process.args):
                for piece in result:
                    note(piece)
            return result

        async def spawned(
            *arguments: Any, original: Any = asyncio.subprocess.create_subprocess_exec, **named: Any
        ) -> asyncio.subprocess.Process:
            process: asyncio.subprocess.Process = await original(*arguments, **named)
            if is_ours(arguments):
                for stream in filter(None, (process.stdout, process.stderr)):
                    note(bytes(stream._buffer))  # type: ignore[attr-defined]  # what has come meanwhile
                protocol = process._protocol  # type: ignore[attr-defined]  # whatever loop it is, all that comes passes here
                protocol.pipe_data_received = _noting(protocol, note)
            return process

        patch.setattr(pytest.CaptureFixture, "readouterr", taken)
        patch.setattr(subprocess.Popen, "communicate", communicated)
        for module in (asyncio, asyncio.subprocess):
            patch.setattr(module, "create_subprocess_exec", spawned)


def _noting(protocol: asyncio.SubprocessProtocol, note: Any) -> Any:
    received = protocol.pipe_data_received

    def note_and_pass_on(descriptor: int, data: bytes) -> None:
        note(data)
        received(descriptor, data)

    return note_and_pass_on


def is_ours(arguments: object) -> bool:
    """Whether a command line runs voxtrad."""
    words = arguments if isinstance(arguments, list | tuple) else [arguments]
    return any("voxtrad.cli" in str(word) or Path(str(word)).name == "voxtrad" for word in words)


def secrets_of(folder: Path) -> frozenset[str]:
    """The secrets that the files below a folder use."""
    files: Iterable[Path] = (file for pattern in _FILES for file in folder.rglob(pattern))
    return frozenset(
        secret for file in files for secret in secrets_in_text(file.read_text(encoding="utf-8", errors="replace"))
    )


def secrets_in_text(text: str) -> set[str]:
    found = {match[0] for match in _LOOKS_SECRET.finditer(text)}
    found |= {match[1] for match in _UNDER_A_KEY.finditer(text) if not _WORD.match(match[1])}
    return {secret for secret in found if len(secret) >= _TELLING}
