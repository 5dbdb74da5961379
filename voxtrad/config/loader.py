"""From a file to a `Config`, or to all that is wrong with it.

Reads the files (`documents`), refuses what is not available, validates the models, and checks what no single model can
see (`checks`). Whatever it is given, it returns a `Loaded` or raises `ConfigError`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from voxtrad.config.availability import NOT_YET, NotYet, refusals
from voxtrad.config.checks import check
from voxtrad.config.diagnostics import (
    ConfigError,
    Diagnostic,
    Loc,
    Place,
    Severity,
    excerpt,
    show_loc,
    shown_path,
)
from voxtrad.config.documents import Documents, read_documents
from voxtrad.config.files import read_bytes
from voxtrad.config.findings import Finding
from voxtrad.config.interpolation import ReadBytes
from voxtrad.config.leniency import lenient
from voxtrad.config.masking import masked, secret_places, secret_spans
from voxtrad.config.models import Config
from voxtrad.config.providers import Directory, ProviderTypes
from voxtrad.config.salvage import Remains
from voxtrad.config.spelling import stretch
from voxtrad.config.translation import place_of, translate
from voxtrad.config.tree import Entry, Found, Scalar, Tree, locate, walk
from voxtrad.config.tree import Mapping as MappingTree
from voxtrad.config.written import WrittenText


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was written; `written` is its text where `${…}` was replaced in it."""

    file: Path
    line: int
    written: str | None = None

    def __str__(self) -> str:
        return f"{shown_path(self.file)}:{self.line}"


@dataclass(frozen=True)
class Loaded:
    """A valid configuration and where it came from."""

    config: Config
    path: Path
    files: frozenset[Path]
    """Every file that took part: included, prompts and secrets too."""
    patterns: frozenset[Path]
    """Include patterns; a new file that one of them matches takes part as well."""
    warnings: tuple[Diagnostic, ...]
    origins: Mapping[str, Origin]
    """Path (`agents.support.tools[0]`) -> file and line, for every value that was written."""
    _documents: Documents = field(repr=False)

    def origin(self, loc: Loc, value: object = None) -> Origin | None:
        """Where the value at a path of the models was written; `None` for a default.

        `value` tells which field of several a short form stands for: the text of `greeting: Hello` is `Hello`.
        """
        found = locate(self._documents.tree, loc)
        stands_for_it = isinstance(found.tree, Scalar) and isinstance(value, str) and str(found.tree.value) == value
        if not found.loc or not (stands_for_it or all(isinstance(part, int) for part in found.rest)):
            return None
        return self.origins[show_loc(found.loc)]

    def diagnostic(
        self, path: str, message: str, *, hint: str | None = None, severity: Severity = "error"
    ) -> Diagnostic:
        """What was found out later about the value at a path (`agents.a.stt`), at its place or, where it was not
        written, at that of the nearest above it."""
        written = {show_loc(loc): loc for loc, _, _ in walk(self._documents.tree)}
        above = path
        while above not in written:
            above = above[: max(above.rfind("."), above.rfind("["), 0)]
        finding = Finding(written[above], message, hint=hint, severity=severity)
        located = replace(_located(finding, finding.loc, self._documents.tree), path=path)
        if not above:
            return replace(located, place=None)
        return _shown(located, self._documents, secret_places(self._documents.tree), ())


class InvalidConfig(ConfigError):
    """A configuration that is not valid, and what of it is: enough to find the server that runs with an older one."""

    def __init__(self, diagnostics: list[Diagnostic], documents: Documents, valid: Config | None) -> None:
        super().__init__(diagnostics, documents.files, documents.patterns)
        self.valid = valid


def load(
    path: Path,
    *,
    provider_types: ProviderTypes,
    environment: Mapping[str, str] | None = None,
    read: ReadBytes = read_bytes,
    not_yet: tuple[NotYet, ...] = NOT_YET,
    data_dir: Path | None = None,
) -> Loaded:
    """Reads and checks a configuration. Raises `InvalidConfig` with every diagnostic.

    `data_dir` stands instead of `server.data_dir`, whatever was written.
    """
    documents = read_documents(path, os.environ if environment is None else environment, read)
    config, problems = _validate(documents, provider_types)
    if config is not None and config.server.tls is not None:
        documents.files |= {file for file in (config.server.tls.cert, config.server.tls.key) if file.name}
    invalid = {problem.diagnostic.place for problem in problems}
    refused = [
        Problem(diagnostic) for diagnostic in refusals(documents.tree, not_yet) if diagnostic.place not in invalid
    ]
    diagnostics = _finished([*refused, *problems], documents)
    if config is not None and data_dir is not None:
        config = config.model_copy(update={"server": config.server.model_copy(update={"data_dir": data_dir})})
    if config is None or any(d.severity == "error" for d in diagnostics):
        broken = diagnostics or [Diagnostic("the configuration is not valid", Place(path, 1, 1))]
        raise InvalidConfig(broken, documents, config)
    return Loaded(
        config=config,
        path=path,
        files=frozenset(documents.files),
        patterns=frozenset(documents.patterns),
        warnings=tuple(diagnostics),
        origins={show_loc(loc): _origin(node, holder) for loc, node, holder in walk(documents.tree) if loc},
        _documents=documents,
    )


def _origin(tree: Tree, holder: Entry | None) -> Origin:
    place = holder.key if holder and not isinstance(tree, Scalar) else tree.place
    written = tree.value.written if isinstance(tree, Scalar) and isinstance(tree.value, WrittenText) else None
    return Origin(place.file, place.line, written)


# --- validation -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Problem:
    """A diagnostic on its way: whether the value beside its place may be a secret."""

    diagnostic: Diagnostic
    secret: bool = False


def _validate(documents: Documents, types: ProviderTypes) -> tuple[Config | None, list[Problem]]:
    """The configuration, or what of it is valid, and all that is wrong."""
    tree, remains = documents.tree, Remains(documents.tree)
    problems = [Problem(diagnostic) for diagnostic in _names_inside(tree)]
    config: Config | None = None
    try:
        config = _model(remains.values(), types)
    except ValidationError as error:
        raised = error.errors(include_url=False, include_input=False)
        errors = _told(raised, documents)
        problems += [Problem(*pair) for pair in translate(errors, tree)]
        remains.lack(raised)
        config = _salvaged(remains, types)
    if config is not None and documents.complete:
        for finding in check(config, tree):
            locs = [remains.original(loc) for loc in (finding.loc, *finding.needs)]
            judged = locs[1:] if finding.at_key and remains.has(locs[0]) else locs
            told = finding.among is None or remains.has((finding.among,))
            if told and not remains.touches(judged):
                problems.append(Problem(_located(finding, locs[0], tree)))
    return config, problems


def _salvaged(remains: Remains, types: ProviderTypes) -> Config | None:
    """What is valid of an invalid configuration."""
    for _ in range(_ROUNDS):
        try:
            return _model(remains.values(), types, forgive=True)
        except ValidationError as error:
            if not remains.remove(error.errors(include_url=False, include_input=False)):
                return None
    return None


_ROUNDS = 10
"""More than it takes: what is taken out may be needed elsewhere, and that elsewhere again."""


def _model(raw: object, types: ProviderTypes, *, forgive: bool = False) -> Config:
    providers = raw.get("providers") if isinstance(raw, dict) else None
    context = {"directory": Directory(types, providers if isinstance(providers, dict) else {}, forgive)}
    return Config.model_validate(raw, context=lenient(context) if forgive else context)


def _told(errors: list[ErrorDetails], documents: Documents) -> list[ErrorDetails]:
    """Without what only follows from a file that could not be read."""
    return [e for e in errors if documents.complete or not (e["type"] == "missing" and len(e["loc"]) == 1)]


def _names_inside(tree: MappingTree) -> Iterator[Diagnostic]:
    """A `name:` inside of what is named by its key."""
    for section in ("agents", "tools", "destinations"):
        entries = tree.get(section)
        for name, entry in entries.entries.items() if isinstance(entries, MappingTree) else ():
            if isinstance(entry.value, MappingTree) and (inside := entry.value.entries.get("name")):
                message, hint = "unknown key", f"the name is the key above: '{name}'"
                yield Diagnostic(message, inside.key, show_loc((section, name, "name")), hint=hint)


def _located(finding: Finding, loc: Loc, tree: MappingTree) -> Diagnostic:
    found = locate(tree, loc)
    place = found.key if finding.at_key and found.key else _place(finding, found)
    return Diagnostic(
        finding.message,
        place,
        show_loc(found.loc),
        suggestion=finding.suggestion,
        hint=finding.hint,
        severity=finding.severity,
    )


def _place(finding: Finding, found: Found) -> Place:
    if finding.line and isinstance(found.tree, Scalar):
        return found.tree.place_of(*stretch(str(found.tree.value), finding.line, finding.part))
    return place_of(found)


# --- finishing --------------------------------------------------------------------------------------------------------


def _finished(problems: Iterable[Problem], documents: Documents) -> list[Diagnostic]:
    """In the order of the files, with excerpts, without secrets; what could not be read is not judged further."""
    secrets = secret_places(documents.tree)
    order = {file: index for index, file in enumerate(documents.lines)}
    finished: dict[object, Diagnostic] = {}
    read = [Problem(diagnostic) for diagnostic in documents.diagnostics]
    unread = {diagnostic.place for diagnostic in documents.diagnostics}
    told = [*read, *(problem for problem in problems if problem.diagnostic.place not in unread)]
    strangers = [problem.diagnostic.place for problem in told if problem.secret and problem.diagnostic.place]
    for diagnostic in (problem.diagnostic for problem in told):
        shown = _shown(diagnostic, documents, secrets, strangers)
        finished.setdefault((shown.place, shown.message), shown)
    return sorted(
        finished.values(),
        key=lambda d: (order.get(d.place.file, len(order)), d.place.line, d.place.column) if d.place else (-1, 0, 0),
    )


def _shown(
    diagnostic: Diagnostic,
    documents: Documents,
    secrets: Mapping[tuple[Path, int], int],
    strangers: Iterable[Place],
) -> Diagnostic:
    """As it may be read by everybody: with an excerpt, and no value that came by reference."""
    message = _without_values(diagnostic.message, documents.replaced)
    shown = _excerpt(diagnostic.place, documents, secrets, strangers) if diagnostic.place else None
    return replace(diagnostic, message=message, excerpt=shown)


def _without_values(message: str, replaced: Mapping[str, str]) -> str:
    for value, written in replaced.items():
        message = message.replace(value, written)
    return message


def _excerpt(
    place: Place, documents: Documents, secrets: Mapping[tuple[Path, int], int], strangers: Iterable[Place]
) -> str | None:
    """The line, unless it is empty; `strangers` are keys whose values may be secrets that nobody knows as such."""
    lines = documents.lines.get(place.file, [])
    if not 0 < place.line <= len(lines) or not lines[place.line - 1].strip():
        return None
    here = (place.file, place.line)
    keys = [stranger.column - 1 for stranger in strangers if (stranger.file, stranger.line) == here]
    spans = secret_spans(lines, place.line, known_from=secrets.get(here), strangers=keys)
    line, column, width = masked(lines[place.line - 1], spans, place.column - 1, place.width)
    return excerpt(line, place.line, column, width)
