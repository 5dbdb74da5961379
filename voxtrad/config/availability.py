"""What the language has and this version does not do yet: `check` refuses it instead of ignoring it.

What is new in the language and not built has a line here until it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from voxtrad.config.diagnostics import Diagnostic, Loc, show_loc
from voxtrad.config.tree import Mapping, Scalar, Tree, walk


@dataclass(frozen=True, slots=True)
class NotYet:
    """A key that is refused: always, only with one of `values`, or with anything that is not among `except_for`."""

    path: str
    """Keys with dots between; `*` stands for any key or index."""
    values: tuple[str | bool, ...] = ()
    except_for: tuple[str | bool, ...] = ()


NOT_YET: tuple[NotYet, ...] = ()
"""Nothing, in this version: all of the language is there."""

MESSAGE = "not available in this version"


def refusals(tree: Tree, not_yet: tuple[NotYet, ...] = NOT_YET) -> Iterator[Diagnostic]:
    """A diagnostic for each thing that is written and not available; null is not written."""
    for loc, node, holder in walk(tree):
        entry = next((entry for entry in not_yet if _matches(entry.path, loc)), None)
        if entry is not None and _refused(node, entry):
            by_value = entry.values or entry.except_for or holder is None
            yield Diagnostic(MESSAGE, node.place if by_value or holder is None else holder.key, show_loc(loc))


def _matches(path: str, loc: Loc) -> bool:
    parts = path.split(".")
    return len(parts) == len(loc) and all(p in ("*", str(part)) for p, part in zip(parts, loc, strict=True))


def _refused(node: Tree, entry: NotYet) -> bool:
    if isinstance(node, Scalar):
        if entry.values:
            return node.value in entry.values
        return node.value is not None and node.value not in entry.except_for
    return not entry.values and not (isinstance(node, Mapping) and not node.entries)
