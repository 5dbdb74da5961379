"""`${env:NAME}`, `${env:NAME:-default}` and `${file:/path}` in values, after YAML was read.

Only text values are looked at, never keys, and what is put in is not looked at again. `$${` stands for `${`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from voxtrad.config.diagnostics import Diagnostic, show_loc, shown_path
from voxtrad.config.tree import Scalar, Tree, walk
from voxtrad.config.written import WrittenText
from voxtrad.errors import in_words

MAX_SECRET_BYTES = 64 * 1024

_TELLING = 4
"""Shorter values are no secrets, and would be found in any text."""

ReadBytes = Callable[[Path], bytes]
"""Reads a file; raises `OSError`."""

_REFERENCE = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_ENV = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)(:-(.*))?", re.DOTALL)


class _Failed(Exception):
    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Interpolation:
    """Replaces references in trees; remembers the files it read and the values it put in."""

    def __init__(self, environment: Mapping[str, str], read: ReadBytes) -> None:
        self._environment = environment
        self._read = read
        self.files: set[Path] = set()
        self.values: dict[str, str] = {}
        """What was put in -> what was written there."""

    def apply(self, tree: Tree) -> list[Diagnostic]:
        """Replaces all references in the tree, in place; one that fails stays as it was written."""
        diagnostics = []
        done: set[int] = set()
        for loc, node, _ in walk(tree):
            if not isinstance(node, Scalar) or not isinstance(node.value, WrittenText) or id(node) in done:
                continue
            done.add(id(node))
            if "${" not in node.value:
                continue
            try:
                node.value = self._replaced(node.value)
            except _Failed as failure:
                place = node.place
                diagnostics.append(Diagnostic(failure.message, place, show_loc(loc), hint=failure.hint))
        return diagnostics

    def _replaced(self, text: WrittenText) -> WrittenText:
        folder = text.folder or Path()
        replaced = WrittenText(_REFERENCE.sub(lambda match: self._value(match, folder), text))
        replaced.folder, replaced.written = text.folder, str(text)
        return replaced

    def _value(self, match: re.Match[str], folder: Path) -> str:
        reference, inside = match[0], match[1]
        if reference == "$${":
            return "${"
        if inside is None:
            raise _Failed("'${' is never closed, or holds another '{'", "a literal ${ is written $${")
        if inside.startswith("file:"):
            value = self._file(folder / Path(inside[5:]).expanduser(), inside[5:])
        elif env := _ENV.fullmatch(inside):
            value = self._variable(env[1], env[3])
        elif re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", inside):
            raise _Failed(f"'${{{inside}}}' is not known here", f"write ${{env:{inside}}}, or $${{ for a literal ${{")
        else:
            raise _Failed(
                "'${…}' must be ${env:NAME}, ${env:NAME:-default} or ${file:/path}", "a literal ${ is written $${"
            )
        return value

    def _variable(self, name: str, default: str | None) -> str:
        value = self._environment.get(name, "")
        if value:
            return self._remembered(value, f"${{env:{name}}}")
        if default is not None:
            return default
        state = "is empty" if name in self._environment else "is not set"
        raise _Failed(f"the environment variable {name} {state}", f"set it, or give a default: ${{env:{name}:-…}}")

    def _file(self, path: Path, written: str) -> str:
        if not written or "\0" in written:
            raise _Failed("'${file:}' names no file")
        self.files.add(path)
        try:
            data = self._read(path)
        except OSError as error:
            raise _Failed(f"cannot read {shown_path(path)}: {in_words(error)}") from None
        if len(data) > MAX_SECRET_BYTES:
            raise _Failed(f"the file {shown_path(path)} is larger than 64 KiB")
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            raise _Failed(f"the file {shown_path(path)} is not UTF-8 text") from None
        text = text[:-2] if text.endswith("\r\n") else text.removesuffix("\n")
        if not text:
            raise _Failed(f"the file {shown_path(path)} is empty")
        return self._remembered(text, f"${{file:{written}}}")

    def _remembered(self, value: str, reference: str) -> str:
        if len(value) >= _TELLING:
            self.values[value] = reference
        return value
