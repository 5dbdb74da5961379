"""What a piece of recognised speech tells about the turn: is it complete, is it more than a "mm-hmm".

Pure functions on text, with word lists per language. Who decides with them is `turns.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

BACKCHANNELS: dict[str, frozenset[str]] = {
    "en": frozenset({
        "uh-huh", "uh huh", "uhuh", "mm-hmm", "mm hmm", "mhm", "mmhmm", "mm", "hmm", "hm", "yeah", "yep", "yes", "okay",
        "ok", "right", "sure", "i see", "alright", "all right", "got it", "oh", "ah", "aha", "uh", "um", "er",
    }),
    "de": frozenset({"mhm", "mm", "hm", "hmm", "ja", "okay", "ok", "genau", "gut", "aha", "ach so", "äh", "ähm"}),
    "fr": frozenset({"mhm", "mm", "hm", "oui", "ouais", "d'accord", "ok", "okay", "ah", "euh", "voilà", "bien"}),
    "es": frozenset({"mhm", "mm", "hm", "sí", "si", "vale", "ok", "okay", "claro", "ajá", "eh", "ya", "bueno"}),
    "it": frozenset({"mhm", "mm", "hm", "sì", "si", "ok", "okay", "certo", "va bene", "esatto", "ah", "eh"}),
    "nl": frozenset({"mhm", "mm", "hm", "ja", "oké", "ok", "okay", "precies", "goed", "eh", "uh"}),
    "pt": frozenset({"mhm", "mm", "hm", "sim", "ok", "okay", "certo", "tá", "pois", "ah", "é"}),
}  # fmt: skip
"""Sounds and words with which a listener says "go on", by language."""

_TRAILING: dict[str, frozenset[str]] = {
    "en": frozenset(
        (
            "and or but so because if when that which who with to for from of the a an my your is are "
            "was it's i'm um uh er erm like about at in on by then than as not could would can will"
        ).split()
    ),
    "de": frozenset(
        ("und oder aber weil wenn dass mit für von der die das ein eine mein meine ist zu äh ähm also").split()
    ),
    "fr": frozenset("et ou mais parce que si avec pour de du la le les un une mon ma est à euh donc".split()),
    "es": frozenset("y o pero porque si que con para de del la el los las un una mi es a eh este".split()),
    "it": frozenset("e o ma perché se che con per di del la il lo i gli un una mio mia è a ehm".split()),
    "nl": frozenset("en of maar omdat als dat met voor van de het een mijn is naar eh uh dus".split()),
    "pt": frozenset("e ou mas porque se que com para de do da o a os as um uma meu minha é hum".split()),
}

_PHRASES: dict[str, tuple[str, ...]] = {
    "en": (
        "my number is", "my name is", "my address is", "the number is", "order number", "account number", "it is",
        "it's", "let me see", "let me think", "hold on", "just a second", "one moment",
    ),
    "de": ("meine nummer ist", "mein name ist", "die nummer ist", "bestellnummer", "moment"),
    "fr": ("mon numéro est", "mon nom est", "le numéro est", "un instant"),
    "es": ("mi número es", "mi nombre es", "el número es", "un momento"),
}  # fmt: skip

_DIGIT_WORDS: dict[str, frozenset[str]] = {
    "en": frozenset(
        "zero oh o one two three four five six seven eight nine ten double triple dash point dot at".split()
    ),
    "de": frozenset("null eins zwei zwo drei vier fünf sechs sieben acht neun zehn bindestrich punkt".split()),
    "fr": frozenset("zéro un deux trois quatre cinq six sept huit neuf dix tiret point arobase".split()),
    "es": frozenset("cero uno dos tres cuatro cinco seis siete ocho nueve diez guion punto arroba".split()),
    "it": frozenset("zero uno due tre quattro cinque sei sette otto nove dieci trattino punto chiocciola".split()),
    "nl": frozenset("nul een twee drie vier vijf zes zeven acht negen tien streepje punt".split()),
    "pt": frozenset("zero um dois três quatro cinco seis sete oito nove dez hífen ponto arroba".split()),
}

_ASKS_FOR_NUMBER: dict[str, re.Pattern[str]] = {
    "en": re.compile(r"\b(number|code|pin|digits?|date of birth|postcode|zip|e-?mail|spell|reference|account)\b", re.I),
    "de": re.compile(r"(nummer|code|pin|ziffern?|geburtsdatum|postleitzahl|e-?mail|buchstabier|kennzeichen)", re.I),
    "fr": re.compile(r"\b(numéro|code|chiffres?|date de naissance|e-?mail|épele[rz]?|référence)\b", re.I),
    "es": re.compile(r"\b(número|código|pin|dígitos?|fecha de nacimiento|correo|deletre\w+|referencia)\b", re.I),
}

_FILLERS = frozenset("yes yeah sure okay ok ja oui sí si sì sim".split())

_WORD = re.compile(r"[\w'@.+-]*\w[\w'@.+-]*")
_STOP = re.compile(r"[.!?。！？؟।…]\s*$")


def words(text: str) -> list[str]:
    """The words of a text, in lower case, without punctuation around them."""
    return [match.group().strip(".-'").lower() for match in _WORD.finditer(text)]


def same_words(one: str, other: str) -> bool:
    """Whether two transcripts say the same, whatever their case and punctuation."""
    return words(one) == words(other)


def content_words(text: str, language: str, ignore: Iterable[str] | None = None) -> int:
    """How many words of a transcript are more than backchannel; `ignore` says which those are, instead of the usual."""
    spoken = words(text)
    phrases = {tuple(words(p)) for p in (BACKCHANNELS.get(_base(language), ()) if ignore is None else ignore)}
    phrases.discard(())
    longest = max((len(p) for p in phrases), default=0)
    count = position = 0
    while position < len(spoken):
        for length in range(min(longest, len(spoken) - position), 0, -1):
            if tuple(spoken[position : position + length]) in phrases:
                position += length
                break
        else:
            count += 1
            position += 1
    return count


def asks_for_dictation(agent_text: str, language: str) -> bool:
    """Whether the agent's last words ask for something that is dictated: a number, a spelling, an address."""
    pattern = _ASKS_FOR_NUMBER.get(_base(language))
    question = agent_text.rstrip().rsplit(". ", 1)[-1]
    return bool(pattern and pattern.search(question))


@dataclass(frozen=True, slots=True)
class Unfinished:
    """Why a transcript sounds as if the caller will go on."""

    reason: str
    dictating: bool = False
    """Digits or letters are under way: they come with pauses of a second, but not of three."""


def unfinished(text: str, language: str, *, punctuates: bool, dictation_asked: bool) -> Unfinished | None:
    """Whether a transcript sounds as if the caller will go on; None where it sounds complete.

    `punctuates`: the recogniser sets full stops, so a missing one means something. `dictation_asked`: the agent has
    just asked for a number or a spelling.
    """
    base = _base(language)
    spoken = words(text)
    if not spoken:
        return None
    last = spoken[-1]
    stopped = bool(_STOP.search(text))
    joined = " ".join(spoken)
    if any(joined.endswith(phrase) for phrase in _PHRASES.get(base, ())):
        return Unfinished(f"ends in '{' '.join(spoken[-3:])}'")
    if last in _TRAILING.get(base, frozenset()) and not (stopped and punctuates):
        return Unfinished(f"ends in '{last}'")
    if _dictated(spoken, base) and not (stopped and punctuates and not dictation_asked):
        return Unfinished("a number or spelling is being dictated", dictating=True)
    if dictation_asked and last in _FILLERS:
        return Unfinished("the agent asked for a number and it has not come yet")
    if punctuates and not stopped and len(spoken) > 1:
        return Unfinished("no full stop yet", dictating=dictation_asked)
    return None


def _dictated(spoken: list[str], base: str) -> bool:
    tail = spoken[-3:]
    digits = _DIGIT_WORDS.get(base, frozenset())
    return len(tail) >= 2 and all(w in digits or w.isdigit() or len(w) == 1 or "@" in w for w in tail[-2:])


def _base(language: str) -> str:
    return language.replace("_", "-").split("-", 1)[0].lower()
