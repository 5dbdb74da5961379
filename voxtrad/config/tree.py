"""A YAML file as a tree that keeps the place of every key and value.

The reader makes it, interpolation and merging work on it, models are validated from its plain values, and a path of
the configuration is led back through it to a file and a line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from voxtrad.config.diagnostics import Loc, Place
from voxtrad.config.spelling import Spelling, place_in
from voxtrad.config.written import WrittenFloat, WrittenInt, WrittenText

ScalarValue = WrittenText | WrittenInt | WrittenFloat | bool | None


@dataclass(slots=True)
class Scalar:
    value: ScalarValue
    place: Place
    spelling: Spelling | None = None
    """Of a text: how it is written."""

    def place_of(self, start: int, width: int) -> Place:
        """Where a stretch of the text stands; the place of all of it, where that cannot be told."""
        text = str(self.value)
        if isinstance(self.value, WrittenText) and self.value.written is not None:
            part = text[start : start + width]
            text = self.value.written
            start = text.find(part)  # what `${…}` put in stands nowhere
        found = place_in(text, self.place, self.spelling, start, width) if self.spelling and start >= 0 else None
        return found or self.place


@dataclass(slots=True)
class Listing:
    items: list[Tree]
    place: Place


@dataclass(slots=True)
class Entry:
    key: Place
    value: Tree


@dataclass(slots=True)
class Mapping:
    entries: dict[str, Entry] = field(default_factory=dict)
    place: Place = field(kw_only=True)
    flow: bool = False
    """Written in braces."""

    def get(self, key: str) -> Tree | None:
        entry = self.entries.get(key)
        return entry.value if entry else None


Tree = Scalar | Listing | Mapping


def values(tree: Tree) -> object:
    """Dicts, lists and scalars, for validation."""
    match tree:
        case Mapping():
            return {key: values(entry.value) for key, entry in tree.entries.items()}
        case Listing():
            return [values(item) for item in tree.items]
        case Scalar():
            return tree.value


def walk(tree: Tree, loc: Loc = ()) -> Iterator[tuple[Loc, Tree, Entry | None]]:
    """Every node with its path, and the entry that holds it where a mapping does."""
    yield loc, tree, None
    match tree:
        case Mapping():
            for key, entry in tree.entries.items():
                for index, (below, node, holder) in enumerate(walk(entry.value, (*loc, key))):
                    yield below, node, entry if index == 0 else holder
        case Listing():
            for position, item in enumerate(tree.items):
                yield from walk(item, (*loc, position))
        case Scalar():
            pass


@dataclass(frozen=True, slots=True)
class Found:
    """What a path leads to in what was written."""

    loc: Loc
    """The path without the parts that validation put in between."""
    tree: Tree
    key: Place | None
    """Where the innermost key of the path stands."""
    rest: Loc
    """The part of the path, from its end, that was not written."""


def locate(tree: Tree, loc: Loc) -> Found:
    """Follows a path as far as it was written.

    Parts that no file has (the branch of a union, the index of a list of one, the field that a short form stands for)
    are passed over.
    """
    written: list[str | int] = []
    node, key = tree, None
    rest: list[str | int] = []
    for part in loc:
        if isinstance(node, Mapping) and isinstance(part, str) and part in node.entries:
            entry = node.entries[part]
            node, key = entry.value, entry.key
        elif isinstance(node, Listing) and isinstance(part, int) and part < len(node.items):
            node, key = node.items[part], None
        else:
            rest.append(part)
            continue
        written.append(part)
        rest.clear()
    return Found(tuple(written), node, key, tuple(rest))
