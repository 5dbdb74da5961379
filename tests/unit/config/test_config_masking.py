"""Lines of broken files are shown without the secrets in them, and the caret still points at the right place."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrad.config.masking import masked, names_secret, secret_spans


def shown(text: str, number: int = 1) -> str:
    lines = text.split("\n")
    return masked(lines[number - 1], secret_spans(lines, number), 0, 1)[0]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("  api_key: sk-1", "  api_key: ***"),
        ('  {api_key: "sk, 1", model: m}', "  {api_key: ***, model: m}"),
        ("  {api_key: sk-1, password: p}", "  {api_key: ***, password: ***}"),
        ("  secret: [a, b]", "  secret: ***"),
        ("  api_key: ${env:KEY}", "  api_key: ${env:KEY}"),
        ("  api_key: ${env:KEY:-sk-1}", "  api_key: ***"),
        ('  "token": "${file:/run/t}"', '  "token": "${file:/run/t}"'),
        ("  url: http://user:pass@pbx:8088", "  url: http://***@pbx:8088"),
        ("  token: |", "  token: |"),
        ("  max_tokens: 5", "  max_tokens: 5"),
        ("  greeting: Hello", "  greeting: Hello"),
        ("  password:SuperSecret123", "  password:***"),
        ("  {password Secret, a: 1}", "  {password ***, a: 1}"),
        ("  api_key sk-1", "  api_key ***"),
        ("  greeting: your password please", "  greeting: your password please"),
        ("  password: &k Secret", "  password: ***"),
        ("  password: *k", "  password: *k"),
        ("  password: &k", "  password: &k"),
        ('  url: "http://x/?a=1&api_key=sk-1&b=2"', '  url: "http://x/?a=1&api_key=***&b=2"'),
        ("  url: http://x/?key=${env:KEY}", "  url: http://x/?key=${env:KEY}"),
    ],
)
def test_hides_values_of_secret_keys(line: str, expected: str) -> None:
    assert shown(line) == expected


def test_hides_a_secret_below_its_key() -> None:
    assert shown("providers:\n  a:\n    api_key:\n      sk-1", 4) == "      ***"
    assert shown("    token: |\n\n      sk-1", 3) == "      ***"
    assert shown("    greeting: |\n      Hello", 2) == "      Hello"


@pytest.mark.parametrize("key", ["password", "ari_password", "api_key", "token", "secret", "Authorization", "headers"])
def test_secret_names(key: str) -> None:
    assert names_secret(key)


@pytest.mark.parametrize("key", ["key", "max_tokens", "tokens", "greeting", "keyterms", "passage"])
def test_other_names(key: str) -> None:
    assert not names_secret(key)


@given(
    before=st.text(alphabet="abc ", max_size=5), secret=st.text(alphabet="xyz", min_size=1, max_size=20),
    after=st.text(alphabet="def", min_size=1, max_size=5),
)  # fmt: skip
@settings(deadline=None)
def test_the_caret_moves_with_the_text(before: str, secret: str, after: str) -> None:
    line = f'{{{before} : 1, token: "{secret}", {after}: 1}}'
    column = line.rindex(after + ":")
    text, new_column, width = masked(line, secret_spans([line], 1), column, len(after))
    assert secret not in text
    assert text[new_column : new_column + width] == after
