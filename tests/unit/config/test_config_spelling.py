"""The place of a part of a text is found in the file, however the text is spelled there."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from voxtrad.config.diagnostics import Place
from voxtrad.config.interpolation import Interpolation
from voxtrad.config.reading import read_document
from voxtrad.config.spelling import stretch
from voxtrad.config.tree import Mapping, Scalar, locate

MARK = "{{vars.x}}"


def scalar_in(data: bytes, *loc: str) -> tuple[Scalar, list[str]]:
    document = read_document(data, Path("x.yaml"))
    assert document.diagnostics == []
    assert isinstance(document.tree, Mapping)
    found = locate(document.tree, loc).tree
    assert isinstance(found, Scalar)
    return found, document.lines


def pointed_at(place: Place, lines: list[str]) -> str:
    return lines[place.line - 1][place.column - 1 : place.column - 1 + place.width]


words = st.lists(st.sampled_from(["a", "it's", '"so"', "\\", "\t", "ä", "\n", "\n\n", "  ", "#", ": ", "🙂", "{", "-"]))


@given(before=words, after=words, style=st.sampled_from([None, "'", '"', "|", ">"]), width=st.sampled_from([20, 200]))
@settings(deadline=None)
def test_whatever_the_quotes(before: list[str], after: list[str], style: str | None, width: int) -> None:
    text = f"{''.join(before)} {MARK} {''.join(after)}"
    data = yaml.dump({"a": {"b": text}}, default_style=style, width=width, allow_unicode=True).encode()
    scalar, lines = scalar_in(data, "a", "b")
    assume(scalar.value == text)  # what PyYAML writes, it does not always read again
    place = scalar.place_of(text.index(MARK), len(MARK))
    assert pointed_at(place, lines) == MARK


@pytest.mark.parametrize(
    "written",
    [
        "a: &anchor words {{vars.x}}\nb: *anchor\n",
        "a: ! 'it''s {{vars.x}}'\n",
        'a: "\\u00e4\\x20\\N\\"\\\n  {{vars.x}}"\n',
        "a: |2-\n   deep\n\n  {{vars.x}}\n",
        "a: >  # why\n  folded\n  text {{vars.x}}\n\n  and more\n",
        "a: plain\n  and {{vars.x}}\n",
        "a: one ${env:LONG} two {{vars.x}}\n",
    ],
)
def test_anchors_escapes_headers_and_references(written: str) -> None:
    document = read_document(written.encode(), Path("x.yaml"))
    assert document.tree is not None
    Interpolation({"LONG": "several words more"}, Path.read_bytes).apply(document.tree)
    scalar = document.tree.get("a")
    assert isinstance(scalar, Scalar)
    text = str(scalar.value)
    assert pointed_at(scalar.place_of(text.index(MARK), len(MARK)), document.lines) == MARK


def test_what_a_reference_put_in_stands_nowhere() -> None:
    document = read_document(b"a: one ${env:T} two\n", Path("x.yaml"))
    assert document.tree is not None
    Interpolation({"T": MARK}, Path.read_bytes).apply(document.tree)
    scalar = document.tree.get("a")
    assert isinstance(scalar, Scalar)
    assert scalar.place_of(str(scalar.value).index(MARK), len(MARK)) == scalar.place


@pytest.mark.parametrize(
    ("text", "line", "part", "expected"),
    [
        ("Hello {{ vars.x }}", 1, "vars.x", "vars.x"),
        ("{{ vars.xy }} {{ vars . x }}", 1, "vars.x", "vars . x"),
        ("vars.x\r\n{{ vars['x'] }}", 2, "vars.x", "vars['x']"),
        ("vars.x\n{{ my.vars.x }} {{ vars.x }}", 2, "vars.x", "vars.x"),
        ("{{ vars[name] }}  \nmore", 1, "vars.x", "{{ vars[name] }}"),
        ("a\nb", 9, "c", "b"),
        ("", 1, "c", ""),
    ],
)
def test_the_stretch_of_a_name(text: str, line: int, part: str, expected: str) -> None:
    start, width = stretch(text, line, part)
    assert width >= 1
    assert text[start : start + width] == expected
