"""Reads one YAML file into a tree. Strict where YAML is lax: only `true` and `false` are booleans, a key stands once,
values keep how they were written, and tags are not part of the language. Anchors, aliases and merge keys are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from yaml.composer import ComposerError
from yaml.reader import ReaderError

from voxtrad.config.diagnostics import Diagnostic, Place
from voxtrad.config.files import MAX_BYTES
from voxtrad.config.masking import MASK, names_secret
from voxtrad.config.spelling import Spelling, Style
from voxtrad.config.tree import Entry, Listing, Mapping, Scalar, Tree
from voxtrad.config.written import WrittenText, read_plain

MAX_DEPTH = 40
MAX_NODES = 100_000

_STYLES: MappingOf[str | None, Style] = {None: "plain", "'": "'", '"': '"', "|": "block", ">": "block"}
_PLAIN = "plain"
_STRING = "tag:yaml.org,2002:str"
_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


@dataclass(slots=True)
class Document:
    """A file that was read: its lines, its tree (`None` where it cannot be read) and what is wrong with it."""

    file: Path
    lines: list[str]
    tree: Mapping | None
    diagnostics: list[Diagnostic] = field(default_factory=list)


def read_document(data: bytes, file: Path) -> Document:
    """Reads a whole file; never raises for what stands in it."""
    if len(data) > MAX_BYTES:
        return Document(file, [], None, [Diagnostic("the file is larger than 4 MiB", Place(file, 1, 1))])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        lines = split_lines(data.decode("utf-8", "replace"))
        place = _place_of(before, file)
        coding = _coding(data)
        hint = None if coding is None else f"it looks like {coding}: save it as UTF-8"
        return Document(file, lines, None, [Diagnostic("the file is not UTF-8 text", place, hint=hint)])
    document = Document(file, split_lines(text), None)
    try:
        node = _compose(text)
    except ReaderError as error:
        place = _place_of(text[: error.position], file)
        message = f"the character U+{error.character:04X} is not allowed in YAML"
        document.diagnostics.append(Diagnostic(message, place))
    except yaml.MarkedYAMLError as error:
        document.diagnostics.append(_syntax_error(error, document))
    else:
        builder = _Builder(document)
        document.tree = builder.root(node)
        if builder.overflowed:
            document.tree = None
    return document


def _coding(data: bytes) -> str | None:
    """What a text that is not UTF-8 is most likely written in; of what is no text, nothing."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16"
    return None if b"\0" in data else "Latin-1 or Windows-1252"


def split_lines(text: str) -> list[str]:
    """Lines as YAML counts them."""
    return _BREAK.split(text)


def _place_of(before: str, file: Path) -> Place:
    lines = split_lines(before)
    return Place(file, len(lines), len(lines[-1]) + 1)


# --- PyYAML -----------------------------------------------------------------------------------------------------------


class _Loader(yaml.SafeLoader):
    """Composes nodes without YAML 1.1's idea of what is a boolean, a date or a number."""

    depth = 0

    def resolve(self, kind: type[yaml.Node], value: object, implicit: object) -> str:
        if kind is yaml.ScalarNode:
            return _PLAIN if isinstance(implicit, tuple) and implicit[0] else _STRING
        return "tag:yaml.org,2002:seq" if kind is yaml.SequenceNode else "tag:yaml.org,2002:map"

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # PyYAML's stubs
            raise ComposerError(None, None, f"nested more than {MAX_DEPTH} deep", mark)
        try:
            node: yaml.Node | None = super().compose_node(parent, index)
        finally:
            self.depth -= 1
        return node


def _compose(text: str) -> yaml.Node | None:
    loader = _Loader(text)
    try:
        node: yaml.Node | None = loader.get_single_node()
        return node
    finally:
        loader.dispose()


class _Builder:
    """Turns PyYAML's nodes into a tree, noting what the language does not allow."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._count = 0
        self._open: list[yaml.Node] = []

    @property
    def overflowed(self) -> bool:
        """Whether aliases make more values of it than are read."""
        return self._count > MAX_NODES

    def root(self, node: yaml.Node | None) -> Mapping | None:
        if node is None:
            return Mapping(place=Place(self._document.file, 1, 1))
        if not isinstance(node, yaml.MappingNode):
            if isinstance(node, yaml.ScalarNode) and node.tag == _PLAIN and read_plain(node.value) is None:
                return Mapping(place=self._place(node))
            self._report("a configuration is a mapping, like 'agents: …'", node)
            return None
        return self._mapping(node)

    def _build(self, node: yaml.Node) -> Tree:
        self._count += 1
        if node in self._open:
            self._report("an alias may not stand inside what it stands for", node)
            return Scalar(None, self._place(node))
        if self._count > MAX_NODES:
            if self._count == MAX_NODES + 1:
                self._report(f"the configuration has more than {MAX_NODES} values", node)
            return Scalar(None, self._place(node))
        match node:
            case yaml.MappingNode():
                return self._mapping(node)
            case yaml.SequenceNode():
                return self._listing(node)
            case _:
                return self._scalar(node)

    def _scalar(self, node: yaml.Node) -> Scalar:
        text = str(node.value)
        if node.tag == _PLAIN:
            value = read_plain(text)
        else:
            self._check_tag(node, _STRING)
            value = WrittenText(text)
        if isinstance(value, WrittenText):
            value.folder = self._document.file.parent
        return Scalar(value, self._place(node), self._spelling(node) if isinstance(value, WrittenText) else None)

    def _spelling(self, node: yaml.Node) -> Spelling:
        style = _STYLES[node.style if isinstance(node, yaml.ScalarNode) else None]
        return Spelling(style, self._document.lines, (node.end_mark.line, node.end_mark.column))

    def _listing(self, node: yaml.SequenceNode) -> Listing:
        self._check_tag(node, "tag:yaml.org,2002:seq")
        self._open.append(node)
        items = [self._build(item) for item in node.value]
        self._open.pop()
        return Listing(items, self._place(node))

    def _mapping(self, node: yaml.MappingNode) -> Mapping:
        self._check_tag(node, "tag:yaml.org,2002:map")
        self._open.append(node)
        own: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _PLAIN and key_node.value == "<<":
                for key, entry in self._merged(value_node):
                    merged.setdefault(key, entry)
            elif (text := self._key(key_node)) is not None:
                value = self._build(value_node)
                if node.flow_style and _is_nothing(value_node) and not self._has_colon(key_node, value_node):
                    run_on = re.fullmatch(r"([\w-]+)([\s:]+).+", text, re.DOTALL)
                    told = f"{run_on[1]}{run_on[2]}{MASK}" if run_on and names_secret(run_on[1]) else text
                    self._report(f"the key '{told}' has no value", key_node, _COMMA)
                    value = Scalar(None, self._place(key_node))  # whatever is said of the value is said of the key
                if text in own:
                    self._report_twice(text, key_node, own[text].key)
                else:
                    own[text] = Entry(self._place(key_node), value)
        self._open.pop()
        return Mapping({**merged, **own}, place=self._place(node), flow=bool(node.flow_style))

    def _merged(self, node: yaml.Node) -> list[tuple[str, Entry]]:
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        found: list[tuple[str, Entry]] = []
        for source in sources:
            tree = self._build(source)
            if isinstance(tree, Mapping):
                found.extend(tree.entries.items())
            elif not self.overflowed:
                self._report("'<<' merges mappings, and this is none", source)
        return found

    def _key(self, node: yaml.Node) -> str | None:
        if not isinstance(node, yaml.ScalarNode):
            hint = "a text that begins with {{ needs quotes" if self._line(node).lstrip(" -").count("{{") else None
            self._report("a key must be text", node, hint)
            return None
        if node.tag != _PLAIN:
            self._check_tag(node, _STRING)
        elif read_plain(node.value) is None:
            self._report("a key must be text", node)
            return None
        return str(node.value)

    def _has_colon(self, key: yaml.Node, value: yaml.Node) -> bool:
        """Whether a key that nothing follows is written as one, as in `{a: }`; in `{a}` it may be part of a text."""
        end, start = key.end_mark, value.start_mark
        return end.line != start.line or ":" in self._document.lines[end.line][end.column : start.column]

    def _check_tag(self, node: yaml.Node, expected: str) -> None:
        if node.tag != expected:
            self._report("tags ('!…') are not part of the language", node)

    def _report(self, message: str, node: yaml.Node, hint: str | None = None) -> None:
        self._document.diagnostics.append(Diagnostic(message, self._place(node), hint=hint))

    def _report_twice(self, key: str, node: yaml.Node, first: Place) -> None:
        message = f"the key '{key}' stands twice; first at {first}"
        self._document.diagnostics.append(Diagnostic(message, self._place(node)))

    def _line(self, node: yaml.Node) -> str:
        return self._document.lines[node.start_mark.line]

    def _place(self, node: yaml.Node) -> Place:
        start, end = node.start_mark, node.end_mark
        width = end.column - start.column if end.line == start.line and isinstance(node, yaml.ScalarNode) else 1
        return Place(self._document.file, start.line + 1, start.column + 1, max(1, width))


_COMMA = "inside {} a text with a comma needs quotes"


def _is_nothing(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == _PLAIN and node.value == ""


# --- syntax errors in words -------------------------------------------------------------------------------------------


def _syntax_error(error: yaml.MarkedYAMLError, document: Document) -> Diagnostic:
    problem = error.problem or "not YAML"
    mark = error.problem_mark or error.context_mark
    if problem in ("found unexpected end of stream", "found unexpected document separator") and error.context_mark:
        mark = error.context_mark
    line = min(mark.line, len(document.lines) - 1) if mark else 0
    column = mark.column if mark and mark.line == line else len(document.lines[line])
    place = Place(document.file, line + 1, column + 1)
    text = document.lines[line]
    while not text.strip() and line > 0:
        # Something is missing where the file ends: behind its last words.
        line -= 1
        text = document.lines[line]
        place = Place(document.file, line + 1, max(1, len(text.rstrip())))
    above = document.lines[line - 1] if line else ""
    hint = _hint(text, above, place.column - 1, problem)
    if re.match("expected <block end>, but found '<scalar>'", problem) and _QUOTED.search(text[: place.column - 1]):
        return Diagnostic("the text in quotes ends before this", place, hint=_INNER_QUOTE)
    return Diagnostic(_in_words(problem, error.context or ""), place, hint=hint)


_QUOTED = re.compile(r"[:-]\s+([\"']).*\1\s*$")
"""A value in quotes, on its line."""
_INNER_QUOTE = r"within double quotes a quote is written \", within single ones ''; or use the other kind around it"


def _in_words(problem: str, context: str) -> str:
    if alias := re.match(r"found undefined alias '?(.*?)'?$", problem):
        return f"'*{alias[1]}' stands for nothing: no '&{alias[1]}' before it"
    for pattern, words in _WORDS:
        if re.search(pattern, problem if not pattern.startswith("context:") else f"context:{context}"):
            return words
    return f"not valid YAML: {problem}"


_WORDS = (
    (r"found character '\\t'", "a tab cannot begin a value or indent a line; use spaces"),
    (r"mapping values are not allowed", "a ':' is not expected here"),
    (r"could not find expected ':'", "a ':' is missing after a key"),
    (r"expected <block end>, but found", "the indentation does not fit the lines above"),
    (r"expected ',' or '[\]}]'", "a ',' or the closing bracket is missing"),
    (r"expected the node content", "a value is missing here, or a bracket is never closed"),
    (r"unexpected end of stream", "the quote that begins here is never closed"),
    (r"unexpected document separator", "the quote that begins here is never closed"),
    (r"nested more than", f"nested more than {MAX_DEPTH} deep"),
    (r"but found another document", "a file holds one document; a second '---' is one too many"),
    (r"found duplicate anchor", "the same anchor '&' stands twice"),
    (r"context:while scanning an alias", "'*' begins an alias, and no name follows"),
    (r"context:while scanning an anchor", "'&' begins an anchor, and no name follows"),
    (r"found unknown escape character", "this escape does not exist in double quotes; use '\\\\' or single quotes"),
)


def _colon_hint(before: str, above: str) -> str:
    """Why a ':' is one too many: of what stands before it on its line, and the line above."""
    if ":" in before:
        return "a text that holds ': ' needs quotes"
    if ":" not in above:
        return "there is no ':' on the line above"
    if _indentation(before) > _indentation(above):
        return "this line is indented further than the one above, which has its value already"
    return "a text that holds ': ' needs quotes"


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip(" -"))


def _hint(line: str, above: str, column: int, problem: str) -> str | None:
    here = line[:column] + line[column : column + 2]
    if (
        re.search(r"[\[{,:]\s*\*", line)
        and "<<" not in line
        and ("alias" in problem or "alphabetic or numeric" in problem)
    ):
        return 'a value that begins with * needs quotes: ["*"]'
    if re.search(r"[{\[].*(?<![\"'])\$\{", line):
        return 'inside {} and [] a value with ${…} needs quotes: "${env:NAME}"'
    if line[column : column + 1] == "?" and problem.startswith("expected ','"):
        return "inside {} and [] a text with a question mark needs quotes"
    if re.search(r"(?:^|[-:,\[]\s)\s*\{\{", here) or re.search(r":\s*\{\{", line):
        return "a text that begins with {{ needs quotes"
    if "mapping values are not allowed" in problem:
        return _colon_hint(line[:column], above)
    if re.search(r"that cannot start any token", problem) and "\\t" not in problem:
        return "a text that begins with this character needs quotes"
    return None
