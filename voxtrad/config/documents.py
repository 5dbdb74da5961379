"""All files of a configuration as one tree: the named file, what it includes, and the prompts it points to.

Mappings of included files merge one level deep (`agents`, `tools`, …): a name that stands in two of them is an error
that cites both places. Lists (`routes`, `webhooks`) follow each other, the including file's own first.
"""

from __future__ import annotations

import os
from collections.abc import Mapping as Environment
from dataclasses import dataclass, field
from glob import has_magic
from pathlib import Path

from voxtrad.config.diagnostics import Diagnostic, Place, did_you_mean, show_loc, shown_path
from voxtrad.config.files import folder_of, is_closed
from voxtrad.config.findings import AS_A_LIST
from voxtrad.config.interpolation import Interpolation, ReadBytes
from voxtrad.config.reading import Document, read_document, split_lines
from voxtrad.config.spelling import Spelling
from voxtrad.config.tree import Entry, Listing, Mapping, Scalar, Tree, values
from voxtrad.config.written import WrittenText
from voxtrad.errors import in_words

MAX_PROMPT_BYTES = 1024 * 1024
_USUAL = "voxtrad.yaml"
_MAKE_ONE = "name another with -c or VOXTRAD_CONFIG; `voxtrad init config` writes a starter to config/"


@dataclass(slots=True)
class Documents:
    """What was read, together."""

    tree: Mapping
    lines: dict[Path, list[str]] = field(default_factory=dict)
    """Of every file that may be cited."""
    files: set[Path] = field(default_factory=set)
    """Every file that took part or was looked for, secrets and prompts too."""
    patterns: set[Path] = field(default_factory=set)
    """Include patterns with `*`: a new file that one of them matches belongs to the configuration."""
    replaced: dict[str, str] = field(default_factory=dict)
    """Values that `${…}` put in, and what was written there."""
    diagnostics: list[Diagnostic] = field(default_factory=list)

    complete: bool = True
    """Whether every file could be read; if not, names may be missing."""


def read_documents(path: Path, environment: Environment[str, str], read: ReadBytes) -> Documents:
    """Reads a file and all that belongs to it. Never raises for what it finds."""
    reader = _Reader(environment, read)
    documents = reader.documents
    reader.take(path, None, ())
    reader.read_prompts()
    documents.files |= reader.interpolation.files
    documents.replaced = reader.interpolation.values
    return documents


class _Reader:
    def __init__(self, environment: Environment[str, str], read: ReadBytes) -> None:
        self.documents = Documents(Mapping(place=Place(Path(), 1, 1)))
        self.interpolation = Interpolation(environment, read)
        self._read = read
        self._taken: set[Path] = set()

    def take(self, path: Path, place: Place | None, loc: tuple[str | int, ...]) -> None:
        """Reads one file into the whole, then those it includes."""
        known = path.resolve()
        if known in self._taken:
            return
        first = not self._taken
        self._taken.add(known)
        self.documents.files.add(path)
        try:
            data = self._read(path)
        except OSError as error:
            hint = _instead(path, error, first=first)
            self._report(f"cannot read {shown_path(path)}: {in_words(error)}", place, loc, hint=hint)
            self.documents.complete = False
            return
        document = read_document(data, path)
        self.documents.lines[path] = document.lines
        self.documents.diagnostics += document.diagnostics
        tree = document.tree
        if tree is None:
            self.documents.complete = False
            return
        for key in [key for key in tree.entries if key.startswith("x-")]:
            del tree.entries[key]
        self.documents.diagnostics += self.interpolation.apply(tree)
        if first:
            self.documents.tree = Mapping(dict(tree.entries), place=tree.place)
        else:
            self._merge(tree)
        self._include(tree, document)

    def _include(self, tree: Mapping, document: Document) -> None:
        entry = tree.get("include")
        if entry is None or (isinstance(entry, Scalar) and entry.value is None):
            return
        items = entry.items if isinstance(entry, Listing) else [entry]
        for index, item in enumerate(items):
            loc = ("include", index) if isinstance(entry, Listing) else ("include",)
            if not isinstance(item, Scalar) or not isinstance(item.value, WrittenText) or not item.value:
                self._report("must be the path of a file", item.place, loc)
                continue
            self._include_one(item, document.file, loc)

    def _include_one(self, item: Scalar, file: Path, loc: tuple[str | int, ...]) -> None:
        pattern, folder = str(item.value), file.parent
        if "\0" in pattern:
            self._report("must be the path of a file", item.place, loc)
        elif not has_magic(pattern) and (folder / pattern).resolve() == file.resolve():
            self._report("the file includes itself", item.place, loc)
        elif not has_magic(pattern):
            self.take(folder / pattern, item.place, loc)
        else:
            self.documents.patterns.add(folder / pattern)
            if is_closed(below := folder_of(folder / pattern)):
                # What it holds would seem to be gone.
                self._report(f"cannot look into {shown_path(below)}: permission denied", item.place, loc)
                self.documents.complete = False
                return
            matches = _matches(folder, pattern)
            if not matches:
                hint = AS_A_LIST.format(pattern) if "," in pattern else None
                warning = Diagnostic("no file matches", item.place, show_loc(loc), hint=hint, severity="warning")
                self.documents.diagnostics.append(warning)
            for match in matches:
                self.take(match, item.place, loc)

    def _merge(self, tree: Mapping) -> None:
        whole = self.documents.tree
        for key, entry in tree.entries.items():
            known = whole.entries.get(key)
            if key == "include" or (key == "version" and known is not None and _is_this_version(entry.value)):
                continue
            if key == "version":
                whole.entries[key] = entry  # it is refused where it stands
            elif known is None or (isinstance(known.value, Scalar) and known.value.value is None):
                whole.entries[key] = entry
            elif isinstance(known.value, Mapping) and isinstance(entry.value, Mapping):
                self._merge_names(key, known.value, entry.value)
            elif isinstance(known.value, Listing) and isinstance(entry.value, Listing):
                known.value.items.extend(entry.value.items)
            elif not (isinstance(entry.value, Scalar) and entry.value.value is None):
                self._report(f"stands in two files; first at {known.key}", entry.key, (key,))

    def _merge_names(self, section: str, known: Mapping, new: Mapping) -> None:
        for name, entry in new.entries.items():
            if name in known.entries:
                message = f"stands in two files; first at {known.entries[name].key}"
                self._report(message, entry.key, (section, name))
            else:
                known.entries[name] = entry

    # --- prompts ---

    def read_prompts(self) -> None:
        """Puts the text of every `prompt_file` into the agent's `prompt`."""
        agents = self.documents.tree.get("agents")
        if not isinstance(agents, Mapping):
            return
        for name, entry in agents.entries.items():
            if isinstance(entry.value, Mapping):
                self._read_prompt(entry.value, ("agents", name, "prompt_file"))

    def _read_prompt(self, agent: Mapping, loc: tuple[str | int, ...]) -> None:
        node = agent.get("prompt_file")
        if not isinstance(node, Scalar) or not isinstance(node.value, WrittenText) or not node.value:
            return
        if "prompt" in agent.entries:
            self._report("stands beside 'prompt'; give one of them", agent.entries["prompt_file"].key, loc)
            return
        path = (node.value.folder or Path()) / Path(str(node.value)).expanduser()
        self.documents.files.add(path)
        try:
            data = self._read(path)
            text = data.decode("utf-8-sig")
        except (OSError, ValueError) as error:
            reason = in_words(error) if isinstance(error, OSError) else "it is not UTF-8 text"
            hint = _instead(path, error, first=False) if isinstance(error, FileNotFoundError) else None
            self._report(f"cannot read {shown_path(path)}: {reason}", node.place, loc, hint=hint)
            return
        if len(data) > MAX_PROMPT_BYTES:
            self._report(f"{shown_path(path)} is larger than 1 MiB", node.place, loc)
            return
        self.documents.lines[path] = split_lines(text)
        value = WrittenText(text)
        value.folder = path.parent
        lines = self.documents.lines[path]
        prompt = Scalar(value, Place(path, 1, 1), Spelling("file", lines, (len(lines), 0)))
        agent.entries["prompt"] = Entry(prompt.place, prompt)

    def _report(self, message: str, place: Place | None, loc: tuple[str | int, ...], hint: str | None = None) -> None:
        self.documents.diagnostics.append(Diagnostic(message, place, show_loc(loc), hint=hint))


def _is_this_version(value: Tree) -> bool:
    return isinstance(value, Scalar) and isinstance(value.value, int) and values(value) == 1


def _matches(folder: Path, pattern: str) -> list[Path]:
    path = Path(pattern)
    try:
        found = Path(path.anchor).glob(str(path.relative_to(path.anchor))) if path.anchor else folder.glob(pattern)
        return sorted(match for match in found if match.is_file())
    except (ValueError, OSError, NotImplementedError):
        return []


def _instead(path: Path, error: OSError, *, first: bool) -> str | None:
    """What to name instead of a file that cannot be read; `first` is the one that the command line names."""
    match error:
        case FileNotFoundError() if first and Path(_USUAL).is_file():
            return f"name the one that is here: -c {_USUAL}"
        case IsADirectoryError() if first and (path / _USUAL).is_file():
            return f"name the file in it: -c {shown_path(path / _USUAL)}"
        case FileNotFoundError() | IsADirectoryError() if first:
            return _MAKE_ONE
        case IsADirectoryError():
            return f"to take all its files: {shown_path(path)}/*.yaml"
        case FileNotFoundError() if meant := _neighbour(path):
            return f"there is {shown_path(meant)}"
        case FileNotFoundError() if not os.path.isdir(path.parent):  # noqa: PTH112  # this never raises
            return "paths count from the folder of the file that names them"
        case _:
            return None


def _neighbour(path: Path) -> Path | None:
    """The file in the same folder that was likely meant."""
    try:
        names = [file.name for file in path.parent.iterdir() if file.is_file()]
    except OSError:
        return None
    meant = did_you_mean(path.name, names)
    return None if meant is None else path.with_name(meant)
