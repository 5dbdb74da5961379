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
        "and or but so because if which with to for from of the a an my your is um uh er erm about at by than as i'm "
        "it's".split()
    ),
    "de": frozenset(
        "und oder aber weil wenn dass mit für von der die das ein eine mein meine ist zu äh ähm also".split()
    ),
    "fr": frozenset("et ou mais parce que si avec pour de du la le les un une mon ma est à euh donc".split()),
    "es": frozenset("y o pero porque que con para de del la el los las un una mi a eh este".split()),
    "it": frozenset("e o ma perché se che con per di del la il lo i gli un una mio mia è a ehm".split()),
    "nl": frozenset("en of maar omdat als dat met voor van de het een mijn is naar eh uh dus".split()),
    "pt": frozenset("e ou mas porque se que com para de do da o a os as um uma meu minha hum".split()),
}
"""Last words after which nearly always something follows. Words that end many a complete answer ("yes I can", "I think
so") are not here: a wait that was not needed costs silence, one that was missed only a merged turn."""

_COMPLETE: dict[str, tuple[str, ...]] = {
    "en": (
        "it is", "that is", "he is", "she is", "this is", "there is", "think so", "hope so", "guess so", "believe so",
        "say so", "if so", "what for", "looking for", "asked for", "where to", "want to", "like to", "have to",
        "need to", "got to", "where from", "come from", "think of", "find a",
    ),
    "nl": ("dat is", "het is"),
    "de": ("das ist", "es ist", "was ist"),
    "fr": ("c'est",),
}  # fmt: skip
"""Endings of complete answers in spite of their last word."""

_PHRASES: dict[str, tuple[str, ...]] = {
    "en": ("let me see", "let me think", "let me check", "hold on", "just a second", "one moment", "one second"),
    "de": ("moment", "augenblick", "mal sehen"),
    "fr": ("un instant", "attendez", "voyons"),
    "es": ("mi número es", "mi nombre es", "el número es", "un momento", "a ver"),
    "it": ("un attimo", "un momento"),
    "nl": ("een moment", "even kijken"),
    "pt": ("meu número é", "meu nome é", "o número é", "um momento"),
}
"""Endings after which something follows."""

_ANNOUNCED: dict[str, frozenset[str]] = {
    "en": frozenset({"order number", "account number", "my order number", "my account number", "the order number"}),
    "de": frozenset({"bestellnummer", "meine bestellnummer", "kundennummer", "meine kundennummer"}),
}
"""Whole utterances that announce what is to be dictated."""

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
    "en": re.compile(
        r"\b(what('s| is| are| was)|may i|can i|could i|tell me|give me|say|enter|read|do you have|i need|please)\b"
        r".*\b(numbers?|code|pin|digits?|date of birth|postcode|zip|e-?mail|reference|spell|name)\b|\bspell\b",
        re.I,
    ),
    "de": re.compile(
        r"\b(wie (ist|lautet)|nennen|sagen|geben|buchstabieren|haben sie|brauche)\b"
        r".*(nummer|code|pin\b|ziffern?|geburtsdatum|postleitzahl|e-?mail|kennzeichen|buchstabieren)|buchstabier",
        re.I,
    ),
    "fr": re.compile(
        r"\b(quel(le)?|donne[rz]|dites|avez-vous|puis-je|pouvez-vous)\b"
        r".*\b(numéro|code|chiffres?|date de naissance|e-?mail|référence)\b|\bépele[rz]?\b",
        re.I,
    ),
    "es": re.compile(
        r"\b(cuál|dígame|deme|puede|tiene|necesito)\b"
        r".*\b(número|código|pin|dígitos?|fecha de nacimiento|correo|referencia)\b|\bdeletre\w+",
        re.I,
    ),
}
"""How an agent asks for what is dictated: a request and the thing, so that "is that number right?" is none."""

_FILLERS = frozenset("yes yeah sure okay ok ja oui sí si sì sim".split())

_WORD = re.compile(r"[\w'@.+-]*\w[\w'@.+-]*")
_BETWEEN_SENTENCES = re.compile(r"(?<=[.!?…])\s+")
_STOP = re.compile(r"[.!?。！？؟।…]\s*$")


def words(text: str) -> list[str]:
    """The words of a text, in lower case, without punctuation around them."""
    return [match.group().strip(".-'").lower() for match in _WORD.finditer(text)]


def same_words(one: str, other: str) -> bool:
    """Whether two transcripts say the same, whatever their case and punctuation."""
    return words(one) == words(other)


def beyond(known: str, text: str) -> str | None:
    """The rest of a transcript that begins with words known already; None where it begins otherwise."""
    found = list(_WORD.finditer(text))
    expected = words(known)
    if not expected or words(text)[: len(expected)] != expected:
        return None
    return text[found[len(expected) - 1].end() :].lstrip(" .,;:!?")


def overlap(one: str, other: str) -> float:
    """The share of the words of `one` that `other` says too, in any order: 0 to 1."""
    spoken, known = words(one), set(words(other))
    return sum(word in known for word in spoken) / len(spoken) if spoken else 0.0


def echoes(text: str, agent_text: str) -> bool:
    """Whether a transcript is what the agent itself has just said, as a recogniser hears it on a line with echo."""
    spoken, said = words(text), words(agent_text)
    if not spoken or len(said) < len(spoken):
        return False
    if any(said[i : i + len(spoken)] == spoken for i in range(len(said) - len(spoken) + 1)):
        return True
    return len(spoken) >= 4 and overlap(text, agent_text) >= 0.8


class Backchannel:
    """The words and sounds with which a listener says "go on"; `ignore` says which, instead of the usual ones."""

    def __init__(self, language: str, ignore: Iterable[str] | None = None) -> None:
        listed = BACKCHANNELS.get(_base(language), ()) if ignore is None else ignore
        self._phrases = {tuple(words(phrase)) for phrase in listed} - {()}
        self._longest = max(map(len, self._phrases), default=0)
        self._beginnings = {phrase[:n] for phrase in self._phrases for n in range(1, len(phrase))}

    def content_words(self, text: str, *, more_to_come: bool = False) -> int:
        """How many words of a transcript are more than backchannel.

        `more_to_come`: it is a partial one, so an "I" at its end may become an "I see".
        """
        spoken = words(text)
        count = position = 0
        while position < len(spoken):
            for length in range(min(self._longest, len(spoken) - position), 0, -1):
                if tuple(spoken[position : position + length]) in self._phrases:
                    position += length
                    break
            else:
                if more_to_come and tuple(spoken[position:]) in self._beginnings:
                    break
                count += 1
                position += 1
        return count


def asks_for_dictation(agent_text: str, language: str) -> bool:
    """Whether the agent's last words ask for something that is dictated: a number, a spelling, an address."""
    pattern = _ASKS_FOR_NUMBER.get(_base(language))
    last = _BETWEEN_SENTENCES.split(agent_text.strip())[-1]
    return bool(pattern and pattern.search(last))


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
    if joined in _ANNOUNCED.get(base, ()) or _ends_in(joined, _PHRASES.get(base, ())):
        return Unfinished(f"ends in '{' '.join(spoken[-3:])}'")
    if _ends_in(joined, _COMPLETE.get(base, ())):
        return None
    if last in _TRAILING.get(base, frozenset()) and not (stopped and punctuates):
        return Unfinished(f"ends in '{last}'")
    if _dictated(spoken, base, dictation_asked) and not (stopped and punctuates and not dictation_asked):
        return Unfinished("a number or spelling is being dictated", dictating=True)
    if dictation_asked and last in _FILLERS:
        return Unfinished("the agent asked for a number and it has not come yet")
    if punctuates and not stopped and len(spoken) > 1:
        return Unfinished("no full stop yet", dictating=dictation_asked)
    return None


def _ends_in(joined: str, phrases: Iterable[str]) -> bool:
    return any(joined == phrase or joined.endswith(" " + phrase) for phrase in phrases)


def _dictated(spoken: list[str], base: str, asked: bool) -> bool:
    """The last two words are digits or letters; one is enough where the agent has asked for such."""
    digits = _DIGIT_WORDS.get(base, frozenset())
    tail = spoken[-1:] if asked and len(spoken[-1]) > 1 else spoken[-2:]
    if len(tail) < 2 and not asked:
        return False
    return all(word in digits or word.isdigit() or len(word) == 1 or "@" in word for word in tail)


def _base(language: str) -> str:
    return language.replace("_", "-").split("-", 1)[0].lower()
