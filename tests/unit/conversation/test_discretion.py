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
        ("en", "٤٧١١"), ("it", "quattordici sedici"), ("it", "ventuno"), ("it", "duemila"), ("it", "trentotto"),
        ("it", "sei sei"), ("it", "sei"), ("es", "dieciséis"), ("es", "veintidós"), ("es", "veintiuno"),
        ("es", "quinientos"), ("pt", "dezesseis"), ("pt", "catorze"), ("pt", "dezoito"), ("pt", "três"), ("pt", "tres"),
        ("pt", "meia"), ("pt", "duas"), ("fr", "mille"), ("fr", "zero"), ("fr", "un neuf"), ("de", "tausend"),
        ("de", "eintausendzweihundertelf"), ("de", "dreissig"), ("nl", "duizend"), ("nl", "één"),
        ("nl", "eenentwintig"), ("nl", "drieëntwintig"),
        ("en", "double oh"), ("en", "uh one one"), ("en", "fourteen's"),
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
        ("en", "Um, where do I, um, find that?"), ("en", "Oh, one moment please."), ("en", "let me double check"),
        ("de", "Um was geht es, um die Karte?"), ("de", "Das macht nichts."), ("de", "Ich hab nicht gedacht"),
        ("de", "Achtung, Verdacht"), ("fr", "j'ai un problème avec un code"), ("fr", "j'ai un téléphone neuf"),
        ("es", "mil gracias"), ("it", "chi sei"), ("it", "non ho sentito l'accento"), ("nl", "wacht even"),
        ("nl", "ik heb een probleem met een code"), ("nl", "mijn achternaam"), ("nl", "en dan"),
        ("pt", "eu tenho um problema com um código"),
    ],
)  # fmt: skip
def test_no_numbers(language: str, text: str) -> None:
    assert not has_number(text, language)
