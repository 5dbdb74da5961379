"""What signs are called when they are read aloud, by language."""

from __future__ import annotations

import re
from typing import NamedTuple


class Words(NamedTuple):
    """What signs are called. Empty where a language is not listed: then they are left out."""

    ampersand: str = ""
    less: str = ""
    greater: str = ""
    number: str = ""
    about: str = ""


_NORWEGIAN = Words("og", "mindre enn", "større enn", "nummer", "omtrent")
_WORDS = {
    "en": Words("and", "less than", "greater than", "number", "about"),
    "de": Words("und", "kleiner als", "größer als", "Nummer", "etwa"),
    "fr": Words("et", "inférieur à", "supérieur à", "numéro", "environ"),
    "es": Words("y", "menor que", "mayor que", "número", "unos"),
    "it": Words("e", "minore di", "maggiore di", "numero", "circa"),
    "nl": Words("en", "kleiner dan", "groter dan", "nummer", "ongeveer"),
    "pt": Words("e", "menor que", "maior que", "número", "cerca de"),
    "pl": Words("i", "mniejsze niż", "większe niż", "numer", "około"),
    "sv": Words("och", "mindre än", "större än", "nummer", "ungefär"),
    "da": Words("og", "mindre end", "større end", "nummer", "cirka"),
    "nb": _NORWEGIAN,
    "no": _NORWEGIAN,
    "tr": Words("ve", "küçüktür", "büyüktür", "numara", "yaklaşık"),
    "ru": Words("и", "меньше", "больше", "номер", "около"),
    "uk": Words("і", "менше", "більше", "номер", "близько"),
}


def words_of(language: str) -> Words:
    """Those of a language (`en`, `pt-BR`)."""
    return _WORDS.get(re.split("[-_]", language)[0].lower(), Words())
