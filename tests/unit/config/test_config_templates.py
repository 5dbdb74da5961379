"""Templates: what they render, what they keep closed, what is found in them without rendering."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrad.config.template_faults import MAX_FAULTS, Mended, mend
from voxtrad.config.templates import Condition, Template, TemplateRenderError, TemplateSyntaxError, TemplateTree


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("{{ call.from }} at {{ vars.company }}", "+44 at Acme"),
        ("[{{ vars.none }}{{ vars.missing }}{{ vars.missing.deep.deeper }}{{ nothing.at.all }}]", "[]"),
        ("{{ vars.yes }} {{ vars.number }} {{ vars.list }} {{ vars.map }}", 'true 3.50 [1, "é"] {"a": {"b": null}}'),
        ("{{ vars.items }} {{ vars.values }}", "own items own values"),
        ("{% if vars.missing %}a{% else %}b{% endif %}\n", "b\n"),
        ("{{ vars.missing | default('x') }}", "x"),
        ("{{ now.strftime('%H:%M') }}", "18:30"),
        ("{# nothing #}", ""),
    ],
)
def test_renders(text: str, expected: str) -> None:
    variables = {
        "company": "Acme", "none": None, "yes": True, "number": "3.50", "list": [1, "é"], "map": {"a": {"b": None}},
        "items": "own items", "values": "own values",
    }  # fmt: skip
    rendered = Template(text).render(call={"from": "+44"}, vars=variables, now=datetime(2026, 5, 4, 18, 30, tzinfo=UTC))
    assert rendered == expected


@given(value=st.text())
@settings(deadline=None)
def test_values_are_never_read_as_templates(value: str) -> None:
    tricky = "{{ 7 * 7 }}" + value
    assert Template("<{{ vars.x }}>").render(vars={"x": tricky}) == f"<{tricky}>"
    assert TemplateTree({"a": ["{{ vars.x }}"]}).render(vars={"x": tricky}) == {"a": [tricky]}


def test_a_tree_keeps_what_is_no_text() -> None:
    tree = TemplateTree({"id": "{{ args.id }}", "n": 3, "deep": [{"x": "{{ args.n }}"}, None, True, 1.5], "{{k}}": "k"})
    rendered = tree.render(args={"id": "A 17", "n": 4})
    assert rendered == {"id": "A 17", "n": 3, "deep": [{"x": "4"}, None, True, 1.5], "{{k}}": "k"}


@pytest.mark.parametrize(
    "text",
    [
        "{{ call.__class__ }}", "{{ ''.__class__.__mro__ }}", "{{ vars.update({'a': 1}) }}", "{{ 1 / 0 }}",
        "{{ 'a' + 1 }}", "{{ vars.x() }}",
    ],
)  # fmt: skip
def test_what_fails_or_is_closed_is_a_typed_error_or_nothing(text: str) -> None:
    try:
        rendered = Template(text).render(call={"id": "c"}, vars={"x": 1})
    except TemplateRenderError:
        rendered = ""
    assert rendered == ""


@pytest.mark.parametrize(
    "text", ["{{", "{{ a b }}", "{% if %}", "{% include 'x' %}", "{% import 'x' as y %}", "{{ 'a'|nofilter }}"]
)
def test_what_does_not_compile(text: str) -> None:
    with pytest.raises(TemplateSyntaxError):
        Template(text)


@given(text=st.text(alphabet="{}%#|.()[]'\"abc 0+-*/~\\\n", max_size=30))
@settings(deadline=None, max_examples=300)
def test_any_text_compiles_or_is_a_typed_error(text: str) -> None:
    try:
        template = Template(text)
    except TemplateSyntaxError:
        return
    try:
        assert isinstance(template.render(), str)
    except TemplateRenderError:
        return


def test_the_line_of_an_error() -> None:
    with pytest.raises(TemplateSyntaxError) as caught:
        Template("one\ntwo\n{% if %}\n")
    assert caught.value.line == 3


def test_undeclared_names() -> None:
    template = Template(
        "{% set a = 1 %}{{ a }} {{ vars.x }} {% for i in args.list %}{{ i }} {{ loop.index }}{% endfor %} {{ company }}"
    )
    assert template.undeclared(frozenset({"vars"})) == {"args": {1}, "company": {1}}


def test_attributes_that_are_taken() -> None:
    template = Template(
        "{{ vars.a.deep }} {{ vars['b'] }} {{ vars.c | default('x') }} {% if vars.d is defined %}"
        "{{ vars.e }}{% endif %}{{ vars.f | upper }} {{ args.g }}"
    )
    assert set(template.attributes("vars")) == {"a", "b", "e", "f"}
    assert template.attributes("args") == {"g": {1}}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("vars.verified", True), ("{{ vars.verified }}", True), ("not vars.verified", False), ("vars.missing", False),
        ("call.direction == 'inbound' and vars.n > 2", True), ("vars.missing.deep == 1", False),
    ],
)  # fmt: skip
def test_conditions(text: str, holds: bool) -> None:
    assert Condition(text).holds(vars={"verified": True, "n": 3}, call={"direction": "inbound"}) is holds


@pytest.mark.parametrize("text", ["", "vars.x and", "a }} {{ b", "{% if x %}"])
def test_conditions_that_do_not_compile(text: str) -> None:
    with pytest.raises(TemplateSyntaxError):
        Condition(text)


_PIECES = st.sampled_from(
    ["{{ a b }}", "{{ vars.x }}", "{{", "}}", "{%", "%}", "{% if a %}", "{% if %}", "{% else %}", "{% elif a %}",
     "{% endif %}", "{% for x in y %}", "{% for %}", "{% endfor %}", "{% set a = 1 %}", "{% set a %}", "{% endset %}",
     "{# c #}", "{#", "{% raw %}", "{% endraw %}", "{% foo %}", "{% endfoo %}", "{% include 'x' %}", "{{ 'a }}' }}",
     "{{ {'a': {'b': 1}} }}", "{{ a | nope }}", "'", '"', "\n", "\r\n", " words ", "{% call %}", "{% macro f() %}",
     "{% endmacro %}", "{% filter upper %}", "{% endfilter %}", "{% with %}", "{% endwith %}", "{% - %}",
     "{%- if x -%}"]
)  # fmt: skip


@given(pieces=st.lists(_PIECES, max_size=8))
@settings(deadline=None, max_examples=500)
def test_what_is_left_of_a_broken_template_compiles(pieces: list[str]) -> None:
    text = "".join(pieces)
    mended = mend(text)
    Template(mended.text)
    try:
        Template(text)
    except TemplateSyntaxError:
        assert mended.faults
        assert not mended.text or len(_lines(mended.text)) == len(_lines(text))
    else:
        assert mended == Mended((), text)
    for fault in mended.faults:
        assert fault.width > 0
        assert 0 <= fault.start <= len(text)
        assert "print statement" not in fault.message


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


@pytest.mark.parametrize(
    ("text", "faulty"),
    [
        ("{{ a b }} {{ vars.x }} {{ c d }}", ["{{ a b }}", "{{ c d }}"]),
        ("{{ a and {{ b }} {{ c | nope }}", ["{{", "{{ c | nope }}"]),
        ("{% if a %}{% for b in c %}{% endif %}", ["{% for b in c %}"]),
        ("{% if %}{% elif %}{% else %}{% else %}{% endif %}", ["{% if %}", "{% elif %}", "{% else %}"]),
        ("{% raw %}{{ a b }}{% endraw %}{{ a b }}", ["{{ a b }}"]),
        ("{% foo %}x{% endfoo %}{% endbar %}", ["{% foo %}", "{% endbar %}"]),
        ("{{ {'a': {'b': 1}} c }}{# open", ["{{ {'a': {'b': 1}} c }}", "{#"]),
    ],
)
def test_every_fault_is_found_where_it_stands(text: str, faulty: list[str]) -> None:
    assert [text[fault.start : fault.start + fault.width] for fault in mend(text).faults] == faulty


def test_a_large_broken_prompt_is_judged_quickly_enough_to_end() -> None:
    mended = mend("{{ a b }} '" * 20_000)
    assert len(mended.faults) == MAX_FAULTS
