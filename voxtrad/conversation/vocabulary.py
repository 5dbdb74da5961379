"""The words by which a piece of recognised speech is judged, for each language; `utterances.py` judges.

A language that is not listed has none of a kind, and is judged by the rest: silence, punctuation, figures.
"""

from __future__ import annotations

import re

_NORWEGIAN = frozenset({"mhm", "mm", "hm", "ja", "jo", "ok", "okay", "akkurat", "nettopp", "øh"})
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
    "pl": frozenset({"mhm", "mm", "hm", "tak", "no", "aha", "ok", "okej", "dobrze", "jasne", "yyy"}),
    "sv": frozenset({"mhm", "mm", "hm", "ja", "jo", "aha", "ok", "okej", "precis", "jaha", "eh"}),
    "da": frozenset({"mhm", "mm", "hm", "ja", "jo", "nå", "ok", "okay", "præcis", "øh"}),
    "nb": _NORWEGIAN, "no": _NORWEGIAN,
    "tr": frozenset({"mhm", "mm", "hmm", "hı hı", "evet", "tamam", "peki", "ok", "okey", "ee"}),
    "ru": frozenset({"мм", "хм", "угу", "ага", "да", "так", "хорошо", "понятно", "ладно", "окей", "э"}),
    "uk": frozenset({"мм", "хм", "угу", "ага", "так", "добре", "зрозуміло", "гаразд", "окей", "е"}),
    "ja": frozenset({
        "はい", "うん", "ええ", "そう", "そうです", "そうですね", "なるほど", "へえ", "ああ", "あー", "えー", "えっと",
    }),
    "zh": frozenset({"嗯", "啊", "哦", "对", "對", "好", "好的", "是", "是的", "行", "没错", "沒錯"}),
    "ko": frozenset({"네", "예", "응", "음", "아", "그래", "그래요", "맞아요", "그렇죠"}),
}  # fmt: skip
"""Sounds and words with which a listener says "go on", by language."""

TRAILING: dict[str, frozenset[str]] = {
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

COMPLETE: dict[str, tuple[str, ...]] = {
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

PHRASES: dict[str, tuple[str, ...]] = {
    "en": ("let me see", "let me think", "let me check", "hold on", "just a second", "one moment", "one second"),
    "de": ("moment", "augenblick", "mal sehen"),
    "fr": ("un instant", "attendez", "voyons"),
    "es": ("mi número es", "mi nombre es", "el número es", "un momento", "a ver"),
    "it": ("un attimo", "un momento"),
    "nl": ("een moment", "even kijken"),
    "pt": ("meu número é", "meu nome é", "o número é", "um momento"),
}
"""Endings after which something follows."""

ANNOUNCED: dict[str, frozenset[str]] = {
    "en": frozenset({"order number", "account number", "my order number", "my account number", "the order number"}),
    "de": frozenset({"bestellnummer", "meine bestellnummer", "kundennummer", "meine kundennummer"}),
}
"""Whole utterances that announce what is to be dictated."""

DIGIT_WORDS: dict[str, frozenset[str]] = {
    "en": frozenset("zero oh o one two three four five six seven eight nine ten double triple dash point dot".split()),
    "de": frozenset("null eins zwei zwo drei vier fünf sechs sieben acht neun zehn bindestrich punkt".split()),
    "fr": frozenset("zéro un deux trois quatre cinq six sept huit neuf dix tiret point arobase".split()),
    "es": frozenset("cero uno dos tres cuatro cinco seis siete ocho nueve diez guion punto arroba".split()),
    "it": frozenset("zero uno due tre quattro cinque sei sette otto nove dieci trattino punto chiocciola".split()),
    "nl": frozenset("nul een twee drie vier vijf zes zeven acht negen tien streepje punt".split()),
    "pt": frozenset("zero um dois três quatro cinco seis sete oito nove dez hífen ponto arroba".split()),
}

ASKS_FOR_NUMBER: dict[str, re.Pattern[str]] = {
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
    "it": re.compile(
        r"\b(qual( è|e)?|dica|dammi|mi (dia|dice|può|puoi)|può|posso|inserisca|ha)\b"
        r".*\b(numero|codice|pin|cifre|data di nascita|cap|e-?mail|riferimento)\b|\bsillab\w+|\blettera per lettera\b",
        re.I,
    ),
    "nl": re.compile(
        r"\b(wat is|noem|geef|zeg|mag ik|kunt u|kan ik|heeft u|toets)\b"
        r".*(nummer|code|pin\b|cijfers?|geboortedatum|postcode|e-?mail|referentie|spellen)|\bspel(t|len)?\b",
        re.I,
    ),
    "pt": re.compile(
        r"\b(qual|diga|dê|informe|digite|pode|poderia|posso|tem|preciso)\b"
        r".*\b(número|código|pin|dígitos?|data de nascimento|cep|e-?mail|referência)\b|\bsoletr\w+",
        re.I,
    ),
    "es": re.compile(
        r"\b(cuál|dígame|deme|puede|tiene|necesito)\b"
        r".*\b(número|código|pin|dígitos?|fecha de nacimiento|correo|referencia)\b|\bdeletre\w+",
        re.I,
    ),
}
"""How an agent asks for what is dictated: a request and the thing, so that "is that number right?" is none."""

LARGER: dict[str, frozenset[str]] = {
    "en": frozenset(
        "eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty "
        "seventy eighty ninety hundred thousand million".split()
    ),
    "de": frozenset(
        "elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn zwanzig dreißig vierzig fünfzig "
        "sechzig siebzig achtzig neunzig hundert tausend".split()
    ),
    "fr": frozenset(
        "onze douze treize quatorze quinze seize vingt trente quarante cinquante soixante cent mille".split()
    ),
    "es": frozenset(
        "once doce trece catorce quince dieciséis diecisiete dieciocho diecinueve veinte veintiuno veintiún treinta "
        "cuarenta cincuenta sesenta setenta ochenta noventa cien ciento doscientos trescientos cuatrocientos "
        "quinientos seiscientos setecientos ochocientos novecientos mil".split()
    ),
    "it": frozenset(
        "undici dodici tredici quattordici quindici sedici diciassette diciotto diciannove venti ventuno trenta "
        "trentuno quaranta quarantuno cinquanta cinquantuno sessanta sessantuno settanta settantuno ottanta ottantuno "
        "novanta novantuno cento mille mila".split()
    ),
    "nl": frozenset(
        "elf twaalf dertien veertien vijftien zestien zeventien achttien negentien twintig dertig veertig vijftig "
        "zestig zeventig tachtig negentig honderd duizend".split()
    ),
    "pt": frozenset(
        "onze doze treze catorze quatorze quinze dezesseis dezasseis dezessete dezassete dezoito dezenove dezanove "
        "vinte trinta quarenta cinquenta sessenta setenta oitenta noventa cem cento duzentos trezentos quatrocentos "
        "quinhentos seiscentos setecentos oitocentos novecentos mil duas".split()
    ),
}
"""Larger numbers: of those that are dictated where a number was asked for, and enough for an answer elsewhere."""

EVERYDAY_NUMBERS: dict[str, frozenset[str]] = {
    "en": frozenset({"oh", "o", "one", "double", "triple"}),
    "fr": frozenset({"un", "une", "neuf"}),
    "es": frozenset({"uno", "un", "una", "mil"}),
    "it": frozenset({"uno", "un", "una", "sei"}),
    "nl": frozenset({"een"}),
    "pt": frozenset({"um", "uma", "meia", "mil"}),
}
"""Numbers that are everyday words as well, without accents."""

JOINING: dict[str, frozenset[str]] = {
    "de": frozenset({"und", "ein"}),
    "es": frozenset({"dieci", "veinti", "cientas", "quinientas"}),
    "it": frozenset({"vent", "trent", "quarant", "cinquant", "sessant", "settant", "ottant", "novant", "cent"}),
    "nl": frozenset({"en"}),
}
"""What numbers are joined with, in languages that join them to one word, without accents."""

ALPHABET = frozenset(
    "alpha alfa bravo charlie delta echo foxtrot golf hotel india juliet juliett kilo lima mike november oscar papa "
    "quebec romeo sierra tango uniform victor whiskey x-ray xray yankee zulu".split()
)
"""Letters as they are spelled on the radio, and by telephone."""

SPELLED: dict[str, tuple[str, ...]] = {
    "en": ("as in", "for"), "de": ("wie",), "fr": ("comme",), "es": ("de", "como"), "it": ("come", "di"),
    "nl": ("van", "zoals"), "pt": ("de", "como"),
}  # fmt: skip
"""What stands between a letter and a word that begins with it."""
SHORT_WORDS: dict[str, frozenset[str]] = {
    "en": frozenset("aio"), "fr": frozenset("ayà"), "es": frozenset("ayoeu"), "it": frozenset("aeèio"),
    "nl": frozenset("u"), "pt": frozenset("aeéo"),
}  # fmt: skip
"""Words of one letter: "I for one" spells nothing."""

DOTS: dict[str, str] = {
    "en": "dot", "de": "punkt", "fr": "point", "es": "punto", "it": "punto", "nl": "punt", "pt": "ponto",
}  # fmt: skip
ATS: dict[str, frozenset[str]] = {
    "en": frozenset({"at"}),
    "de": frozenset({"at", "ät", "klammeraffe"}),
    "fr": frozenset({"arobase", "arrobas"}),
    "es": frozenset({"arroba"}),
    "it": frozenset({"chiocciola"}),
    "nl": frozenset({"at", "apenstaartje"}),
    "pt": frozenset({"arroba"}),
}
"""How the signs in an address are said."""
JOINERS = frozenset(
    "dash hyphen minus underscore plus slash bindestrich unterstrich tiret guion guión trattino streepje hífen "
    "sublinhado".split()
)
"""Other signs in an address: nobody ends with one."""
ENDINGS = frozenset("com org net info io eu de at ch fr be es it nl pt uk us ca edu gov".split())
"""With which a web address ends, that has no `@`."""
UNSPACED = frozenset({"ja", "zh", "yue"})
"""Languages that are written without spaces between words."""

INSTEAD = "[a number, said aloud instead of keyed in]"
"""What stands in the place of a number that nobody may keep, and of all that was said with it: words that were misheard
("won", "for") are of it, too."""
GOING_ON = "[a number, said aloud instead of keyed in …]"
"""The same for every second one of what the caller says of it: to who hears no new words, the line is but noisy."""
