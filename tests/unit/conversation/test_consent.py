"""What counts as the caller's consent to a recording: clear words and two keys, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrad.conversation.consent import understood


@pytest.mark.parametrize(
    ("text", "language", "agreed"),
    [
        ("Yes.", "en", True),
        ("yeah, sure", "en", True),
        ("Okay, no problem!", "en-GB", True),
        ("I don’t mind", "en", True),
        ("1", "de", True),
        ("2", "en", False),
        ("No.", "en", False),
        ("no, yes, wait, no", "en", False),
        ("yes but do not keep it", "en", False),
        ("I'd rather not", "en", False),
        ("not okay", "en", False),
        ("Ja, gerne", "de", True),
        ("Nein danke", "de-AT", False),
        ("Kein Problem", "de", True),
        ("Ja, aber nicht alles", "de", False),
        ("yes", "de", True),
        ("bien sûr", "fr", True),
        ("je ne veux pas", "fr", False),
        ("Sí, claro", "es", True),
        ("no hay problema", "es", True),
        ("va bene", "it", True),
        ("não", "pt", False),
        ("geen probleem", "nl", True),
        ("", "en", None),
        ("What for?", "en", None),
        ("12", "en", None),
        ("my number is 1", "en", None),
        ("yesterday I called about my order", "en", None),
        ("yes " * 13, "en", None),
        ("ja", "xx", None),
    ],
)
def test_answers(text: str, language: str, agreed: bool | None) -> None:
    assert understood(text, language) is agreed


@settings(deadline=None)
@given(st.text(), st.sampled_from(["en", "de", "fr", "es", "it", "pt", "nl", "xx"]))
def test_any_text_is_taken_and_a_refusal_outweighs_all(text: str, language: str) -> None:
    assert understood(text, language) in (True, False, None)
    assert understood(f"{text} no", language) is not True or len(text.split()) > 0
    assert understood(f"yes, no, {text}"[:30], "xx") is not True
