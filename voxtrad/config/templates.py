"""Templates: sandboxed Jinja2 that renders text, from names in spaces (`call vars args match result now`).

What goes into a template is a value and stays one: it is never read as a template again. The rules of rendering:
a value that is missing or null renders as nothing, `true` and `false` as they are written in YAML, lists and mappings
as JSON, everything else as its text. So a missing value never breaks a call; `voxtrad check` finds names that nobody
declares before there is one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from jinja2 import ChainableUndefined, nodes
from jinja2 import TemplateSyntaxError as JinjaSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from voxtrad.errors import VoxtradError

NAMESPACES = frozenset({"call", "vars", "args", "match", "result", "now"})
"""All namespaces there are; a field says which of them stand open to it."""

CALL_ATTRIBUTES = frozenset({"id", "from", "to", "agent", "direction", "channel", "linkedid"})
"""What `call.` has."""

Uses = Mapping[str, frozenset[int]]
"""Names, and the lines of the template (from 1) that use them."""

JSON = None | bool | int | float | str | Sequence["JSON"] | Mapping[str, "JSON"]


class TemplateSyntaxError(VoxtradError):
    """The text is not a template. `line` counts from 1 within the text."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


class TemplateRenderError(VoxtradError):
    """An expression failed with the values it got, or reached for what the sandbox keeps closed."""


class Template:
    """A compiled template. Immutable; equal when the text is. Text without `{{`, `{%` or `{#` costs nothing.

    Raises `TemplateSyntaxError`.
    """

    __slots__ = ("_compiled", "_tree", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self._tree: nodes.Template | None = None
        self._compiled = None
        if any(mark in text for mark in ("{{", "{%", "{#")):
            self._tree, self._compiled = _compile(text, lambda: _ENVIRONMENT.from_string(text))

    def render(self, **namespaces: object) -> str:
        """The text with its expressions replaced. Raises `TemplateRenderError`, never for a missing value."""
        if self._compiled is None:
            return self.text
        compiled = self._compiled
        return _guarded(lambda: compiled.render(namespaces))

    def undeclared(self, allowed: frozenset[str]) -> Uses:
        """Names that the template uses and that are not among `allowed`."""
        return _undeclared(self._tree, allowed)

    def attributes(self, namespace: str) -> Uses:
        """What it takes from a namespace (`company` of `{{ vars.company }}`), save where it deals with its absence."""
        return _attributes(self._tree, namespace)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Template) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Template({self.text!r})"


def literal(text: str) -> str:
    """A template that renders to this text, whatever stands in it."""
    return f"{{{{ {text!a} }}}}" if "{" in text else text


class TemplateTree:
    """A nested structure in which every text is a template (`arguments`, `fixed`, `query`, `body`).

    Keys, numbers, booleans and nulls stay as they are; a text renders to text, whatever it looks like then.
    """

    __slots__ = ("_tree",)

    def __init__(self, value: JSON) -> None:
        self._tree = _grow(value)

    def render(self, **namespaces: object) -> JSON:
        """Plain dicts, lists and scalars. Raises `TemplateRenderError`."""
        return _render(self._tree, namespaces)


class Condition:
    """An expression that is true or not, as in `when: vars.verified`; `{{ … }}` around it may stand or not."""

    __slots__ = ("_compiled", "_tree", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        expression = text.strip()
        if expression.startswith("{{") and expression.endswith("}}"):
            expression = expression[2:-2].strip()
        if not expression:
            raise TemplateSyntaxError("an expression is expected", 1)
        wrapped = "{{ " + expression + " }}"
        self._tree, self._compiled = _compile(wrapped, lambda: _ENVIRONMENT.compile_expression(expression))

    def holds(self, **namespaces: object) -> bool:
        """Whether it is true; a missing value is not. Raises `TemplateRenderError`."""
        return _guarded(lambda: bool(self._compiled(**namespaces)))

    def undeclared(self, allowed: frozenset[str]) -> Uses:
        return _undeclared(self._tree, allowed)

    def attributes(self, namespace: str) -> Uses:
        return _attributes(self._tree, namespace)


# --- the sandbox ------------------------------------------------------------------------------------------------------


class _Environment(ImmutableSandboxedEnvironment):
    """No functions, no files, no other templates; a mapping's keys come before its methods."""

    def __init__(self) -> None:
        super().__init__(undefined=ChainableUndefined, finalize=_finalize, keep_trailing_newline=True, autoescape=False)
        self.globals.clear()

    def getattr(self, obj: object, attribute: str) -> object:
        if isinstance(obj, Mapping) and attribute in obj:
            return obj[attribute]
        found: object = super().getattr(obj, attribute)
        return found


def _finalize(value: object) -> object:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case Mapping() | list() | tuple():
            return json.dumps(value, ensure_ascii=False, default=_jsonable)
        case _:
            return value


def _jsonable(value: object) -> object:
    return dict(value) if isinstance(value, Mapping) else str(value)


_ENVIRONMENT = _Environment()
_CLOSED = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends, nodes.Block)

T = TypeVar("T")


def _compile(text: str, build: Callable[[], T]) -> tuple[nodes.Template, T]:
    try:
        tree = _ENVIRONMENT.parse(text)
        for closed in tree.find_all(_CLOSED):
            raise TemplateSyntaxError("templates cannot include other templates", closed.lineno)
        return tree, build()
    except JinjaSyntaxError as error:
        raise TemplateSyntaxError((error.message or "syntax error").rstrip("."), error.lineno) from None
    except TemplateSyntaxError:
        raise
    except (RecursionError, MemoryError, SyntaxError, ValueError, OverflowError):
        # Jinja2 folds constants and hands the rest to Python's own compiler: both may refuse what the grammar allows.
        raise TemplateSyntaxError("too complex, or a constant in it is out of range", 1) from None


def _guarded(render: Callable[[], T]) -> T:
    try:
        return render()
    except Exception as error:  # noqa: BLE001 - an expression can raise anything; here it becomes a typed error
        raise TemplateRenderError(f"the template failed: {type(error).__name__}") from None


def _grow(value: JSON) -> object:
    match value:
        case str():
            return Template(value)
        case Mapping():
            return {key: _grow(item) for key, item in value.items()}
        case list() | tuple():
            return [_grow(item) for item in value]
        case _:
            return value


def _render(tree: object, namespaces: Mapping[str, object]) -> JSON:
    match tree:
        case Template():
            return tree.render(**namespaces)
        case dict():
            return {key: _render(item, namespaces) for key, item in tree.items()}
        case list():
            return [_render(item, namespaces) for item in tree]
        case None | bool() | int() | float() | str():
            return tree
        case _:
            raise TypeError(f"not a JSON value: {type(tree).__name__}")


# --- what a template uses ---------------------------------------------------------------------------------------------


def _undeclared(tree: nodes.Template | None, allowed: frozenset[str]) -> Uses:
    if tree is None:
        return {}
    names = list(tree.find_all(nodes.Name))
    declared = allowed | {"loop"} | {name.name for name in names if name.ctx in ("store", "param")}
    return _by_name((name.name, name.lineno) for name in names if name.ctx == "load" and name.name not in declared)


def _attributes(tree: nodes.Template | None, namespace: str) -> Uses:
    return {} if tree is None else _by_name(_taken(tree, namespace))


def _by_name(uses: Iterable[tuple[str, int]]) -> Uses:
    found: dict[str, set[int]] = {}
    for name, line in uses:
        found.setdefault(name, set()).add(line)
    return {name: frozenset(lines) for name, lines in found.items()}


def _taken(node: nodes.Node, namespace: str) -> Iterator[tuple[str, int]]:
    """Attributes taken of `namespace` below `node`, except those with a `default(…)` or an `is defined`."""
    excused = _deals_with_absence(node)
    for child in node.iter_child_nodes():
        name = _attribute(child, namespace)
        if name is None:
            yield from _taken(child, namespace)
        elif not excused:
            yield name, child.lineno


def _deals_with_absence(node: nodes.Node) -> bool:
    return (isinstance(node, nodes.Filter) and node.name in ("default", "d")) or (
        isinstance(node, nodes.Test) and node.name in ("defined", "undefined")
    )


def _attribute(node: nodes.Node, namespace: str) -> str | None:
    if isinstance(node, nodes.Getattr):
        owner, attribute = node.node, node.attr
    elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str):
        owner, attribute = node.node, node.arg.value
    else:
        return None
    return attribute if isinstance(owner, nodes.Name) and owner.name == namespace else None
