"""Numbers said aloud where they are to be keyed in: which are recognised as such."""

from __future__ import annotations

import pytest

from voxtrad.conversation.discretion import has_number


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "4711"), ("en-GB", "it's 4, 7, 1, 1."), ("en", "four"), ("en", "four seven won won"), ("en", "One."),
        ("en", "one oh one"), ("en", "forty-seven eleven"), ("de", "siebenundvierzig elf"), ("de", "Eins eins"),
        ("it", "quarantasette"), ("es", "veintisiete"), ("nl", "zevenenveertig"), ("fr", "quarante-sept"),
        ("pt", "vinte e sete"), ("ja", "四七"), ("ja", "よんなな"), ("pl", "cztery siedem"), ("multi", "quattro"),
        ("en", "٤٧١١"),
    ],
)  # fmt: skip
def test_numbers(language: str, text: str) -> None:
    assert has_number(text, language)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", ""), ("en", "sorry what number"), ("en", "Which one?"), ("en", "oh sorry"), ("en", "I often listen"),
        ("en", "on the phone, at the weight station"), ("de", "Welche Nummer denn?"), ("de", "ein Moment"),
        ("fr", "un instant"), ("pt", "um momento"), ("en", "what's the point"), ("ja", ""),
    ],
)  # fmt: skip
def test_no_numbers(language: str, text: str) -> None:
    assert not has_number(text, language)
