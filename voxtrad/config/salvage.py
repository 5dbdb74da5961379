"""What is left of a configuration without its errors, so that the rest can be checked in the same run."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic_core import ErrorDetails

from voxtrad.config.diagnostics import Loc, did_you_mean
from voxtrad.config.raising import CONTRADICTION, ELSEWHERE, UNKNOWN_KEY
from voxtrad.config.tree import Listing, Mapping, Scalar, Tree, locate


class Remains:
    """The values of a tree without the parts that were taken out, and the way back from their paths."""

    def __init__(self, tree: Mapping) -> None:
        self._tree = tree
        self.removed: set[Loc] = set()
        self._doubtful: set[Loc] = set()
        self._kept: dict[Loc, list[int]] = {}
        """For every list: which of its items are still there."""

    def values(self) -> object:
        """What is left, for validation."""
        self._kept.clear()
        return self._values(self._tree, ())

    def _values(self, tree: Tree, loc: Loc) -> object:
        match tree:
            case Mapping():
                return {
                    key: self._values(entry.value, (*loc, key))
                    for key, entry in tree.entries.items()
                    if (*loc, key) not in self.removed
                }
            case Listing():
                kept = [index for index in range(len(tree.items)) if (*loc, index) not in self.removed]
                self._kept[loc] = kept
                return [self._values(tree.items[index], (*loc, index)) for index in kept]
            case Scalar():
                return tree.value

    def original(self, loc: Loc) -> Loc:
        """A path in what is left, as a path in what was written."""
        path: list[str | int] = []
        for part in loc:
            kept = self._kept.get(locate(self._tree, tuple(path)).loc)
            path.append(kept[part] if isinstance(part, int) and kept is not None and part < len(kept) else part)
        return tuple(path)

    def lack(self, errors: Iterable[ErrorDetails]) -> None:
        """Notes what is missing or misspelt, and what contradicts something: it is judged no more than what was taken
        out."""
        for error in errors:
            found = locate(self._tree, error["loc"])
            if error["type"] == "missing":
                self._doubtful.add((*found.loc, error["loc"][-1]))
            elif error["type"] == UNKNOWN_KEY:
                meant = did_you_mean(str(error["loc"][-1]), error["ctx"]["expected"])
                self._doubtful |= {(*locate(self._tree, error["loc"][:-1]).loc, meant)} if meant else set()
            elif error["type"] == CONTRADICTION and isinstance(found.tree, Scalar):
                self._doubtful.add(found.loc)

    def remove(self, errors: list[ErrorDetails]) -> bool:
        """Takes out what the errors are about; false when that is everything."""
        # What is said elsewhere may be no error any more once it was taken out there.
        for error in [error for error in errors if error["type"] != ELSEWHERE] or errors:
            # What is missing cannot be taken out; what it is missing in can.
            loc = error["loc"][:-1] if error["type"] == "missing" else error["loc"]
            found = locate(self._tree, self.original(loc))
            if not found.loc:
                return False
            self.removed.add(found.loc)
        return True

    def has(self, loc: Loc) -> bool:
        """Whether what stands at this path is still there, if not all of it."""
        return not any(gone == loc[: len(gone)] for gone in self.removed | self._doubtful)

    def touches(self, locs: Iterable[Loc]) -> bool:
        """Whether something was taken out at or below one of these paths, or above it."""
        return any(gone[: len(loc)] == loc[: len(gone)] for gone in self.removed | self._doubtful for loc in locs)
