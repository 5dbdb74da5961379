import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrad.conversation.speech_text.sentences import LONGEST, SentenceStream

# By language: what must stay whole, sentences it may stand in, and a whole sentence to stand before and after.
UNBROKEN = {
    "en": (
        [
            "$29.50", "Dr. Smith", "Mr. Jones", "Mrs. Bell", "St. James", "J. R. Smith", "Ph.D. students",
            "Acme Inc. in town", "3.14", "1,234.56", "10:30", "10:30 a.m. today", "v2.1", "192.0.2.10",
            "no. 5", "No. 6", "5 ft. wide", "e.g. this one", "i.e. that one", "the U.S. office", "wait... what",
            "Node.js", "www.example.com", "example.co.uk/help", "a.b@example.com",
        ],
        ["It is {}.", "Is it {}?", "So {} it is!", "I have {} here, and more.", "He said “{}” to me."],
        ["That is all right.", "Can you hear me?", "Good!"],
    ),
    "de": (
        [
            "29,50 Euro", "1.234,56 Euro", "Herr Dr. Schmidt", "Prof. Weber", "am 3. Mai", "der 1. Januar", "10.30 Uhr",
            "z. B. dieses", "z.B. dieses", "d. h. morgen", "Nr. 5", "usw. und so fort", "ca. 20 Minuten", "v2.1",
            "info@beispiel.de", "www.beispiel.de",
        ],
        ["Es ist {}.", "Ist es {}?", "Also {} ist es!"],
        ["Das ist alles gut.", "Hören Sie mich?", "Gut!"],
    ),
    "fr": (
        [
            "29,50 €", "1 234,56 €", "M. Dupont", "Mme. Curie", "10 h 30", "p. ex. celui-ci", "v2.1", "www.exemple.fr",
            "a.b@exemple.fr", "c.-à-d. le chef",
        ],
        ["C'est {}.", "Est-ce {} ?", "Alors {} !"],
        ["Tout va bien.", "Vous m'entendez ?", "Bien !"],
    ),
    "es": (
        [
            "29,50 euros", "el Sr. García", "la Sra. López", "el Dr. Ruiz", "las 10.30 horas", "EE. UU. hoy", "v2.1",
            "www.ejemplo.es",
        ],
        ["Es {}.", "¿Es {}?", "¡Es {}!"],
        ["Todo está bien.", "¿Me oye?", "¡Bueno!"],
    ),
    "it": (
        ["29,50 euro", "il dott. Rossi", "il sig. Bianchi", "le 10.30 precise", "v2.1", "www.esempio.it"],
        ["È {}.", "È {}?", "Ecco {}!"],
        ["Va tutto bene.", "Mi sente?", "Bene!"],
    ),
    "nl": (
        ["29,50 euro", "dhr. Jansen", "mevr. Bakker", "10.30 uur", "d.w.z. morgen", "v2.1", "www.voorbeeld.nl"],
        ["Het is {}.", "Is het {}?", "Dus {} is het!"],
        ["Alles is goed.", "Hoort u mij?", "Mooi!"],
    ),
    "pt": (
        ["29,50 euros", "o Sr. Silva", "a Sra. Costa", "o Dr. Santos", "às 10.30 horas", "v2.1", "www.exemplo.pt"],
        ["É {}.", "É {}?", "Então {} é!"],
        ["Está tudo bem.", "Está a ouvir?", "Bom!"],
    ),
    "ru": (
        ["29,50 руб. сейчас", "ул. Ленина", "т. е. завтра", "г. Москва", "10.30 утра", "www.example.ru"],
        ["Это {}.", "Это {}?", "Вот {}!"],
        ["Все в порядке.", "Вы слышите?", "Хорошо!"],
    ),
    "zh": (
        ["29.50元", "3.14", "10:30", "v2.1", "www.example.com"],
        ["这是{}。", "是{}吗？", "就是{}！"],
        ["一切都很好。", "听得到吗？", "好！"],
    ),
    "ja": (
        ["29.50円", "3.14", "10:30", "「はい。」と", "www.example.com"],
        ["これは{}です。", "{}ですか？", "{}です！"],
        ["大丈夫です。", "聞こえますか？", "はい！"],
    ),
    "hi": (
        ["29.50 रुपये", "3.14", "10:30 बजे", "www.example.com", "डॉ. शर्मा"],
        ["यह {} है।", "क्या यह {} है?", "हाँ {} है!"],
        ["सब ठीक है।", "क्या आप सुन रहे हैं?", "अच्छा!"],
    ),
    "ar": (
        ["29.50 دولار", "3.14", "10:30 صباحا", "www.example.com"],
        ["هذا {} فقط.", "هل هو {} الآن؟", "نعم {} هنا!"],
        ["كل شيء بخير.", "هل تسمعني؟", "جيد!"],
    ),
    "ur": (
        ["29.50 روپے", "3.14", "10:30 بجے", "www.example.com"],
        ["یہ {} ہے۔", "کیا یہ {} ہے؟", "جی {} ہے!"],
        ["سب ٹھیک ہے۔", "کیا آپ سن رہے ہیں؟", "اچھا!"],
    ),
}  # fmt: skip


def cut(text: str, language: str = "en") -> list[str]:
    stream = SentenceStream(language)
    pieces = [piece for character in text for piece in stream.push(character)] + stream.flush()
    assert "".join(pieces) == text
    return [piece.strip() for piece in pieces]


@pytest.mark.parametrize("language", UNBROKEN)
def test_sentences_are_whole_whatever_stands_in_them(language: str) -> None:
    unbroken, frames, others = UNBROKEN[language]
    space = "" if language in {"zh", "ja"} else " "
    lead = {
        "zh": "一二三四五六七八九十一二三四五六七八九十。",
        "ja": "あいうえおかきくけこさしすせそたちつてとな。",
    }.get(language, "Abcde abcde abcde abcde abcde.")  # long enough for clauses to be over
    torn = []
    for thing, frame, before, after in itertools.product(unbroken, frames, others, others):
        sentences = [lead, before, frame.format(thing), after]
        if cut(space.join(sentences), language) != sentences:
            torn.append((sentences, cut(space.join(sentences), language)))
    assert torn == []


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("1. First\n2. Second\n", ["1. First", "2. Second"]),
        ("We have:\na. tea\nb. milk", ["We have:", "a. tea", "b. milk"]),
        ("Is it you? No. It is not.", ["Is it you?", "No.", "It is not."]),
        ('"Really?" he said. "Yes."', ['"Really?" he said.', '"Yes."']),
        ("It is done! “Good.” Bye.", ["It is done!", "“Good.”", "Bye."]),
        ("What?! No way... Yes way.", ["What?!", "No way...", "Yes way."]),
        ("He lives in the U.S. The house is big.", ["He lives in the U.S.", "The house is big."]),
        ("He came at 5 p.m. Then he left.", ["He came at 5 p.m.", "Then he left."]),
        ("all lower case. it goes on? yes it does", ["all lower case.", "it goes on?", "yes it does"]),
        ("- . - Well", ["- . - Well"]),
        ("", []),
    ],
)
def test_stops(text: str, pieces: list[str]) -> None:
    assert cut(text) == pieces


@pytest.mark.parametrize("space", [" ", "\u00a0", "\u202f"])
def test_quotation_marks_that_stand_apart(space: str) -> None:
    text = (
        f"À 10h30, M. Dupont arrive. «{space}Oui.{space}» Bien sûr, il est là. «{space}M.{space}Martin aussi.{space}»"
    )
    assert [piece.replace(space, " ") for piece in cut(text, "fr")] == [
        "À 10h30, M. Dupont arrive.", "« Oui.", "» Bien sûr, il est là.", "« M. Martin aussi. »",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Thank you for calling Acme, how are you, sir?", ["Thank you for calling Acme,", "how are you, sir?"]),
        ("Well, yes, that is how it is, sir, I fear.", ["Well, yes, that is how it is,", "sir, I fear."]),
        ("Hi! Thank you for calling Acme, sir, today.", ["Hi!", "Thank you for calling Acme,", "sir, today."]),
        ("That will be 1234567890,50 euros, sir.", ["That will be 1234567890,50 euros,", "sir."]),
        ("We are open until exactly 10:30, sir.", ["We are open until exactly 10:30,", "sir."]),
        ("There is one thing to say—listen now.", ["There is one thing to say—", "listen now."]),
        ("好的，我马上帮您查一下，请稍等，谢谢。", ["好的，我马上帮您查一下，", "请稍等，谢谢。"]),
    ],
)
def test_it_begins_with_a_clause(text: str, pieces: list[str]) -> None:
    assert cut(text) == pieces


@settings(deadline=None)
@given(st.text(alphabet=st.sampled_from("abc é中ि,"), max_size=2000))
def test_a_text_without_stops_is_bounded(text: str) -> None:
    pieces = cut(text)
    assert all(len(piece) <= LONGEST for piece in pieces)


def test_a_long_text_is_cut_between_words_and_best_after_a_clause() -> None:
    words = "word " * 30 + "then, " + "word " * 60
    pieces = cut("Abcde abcde abcde abcde. " + words)[1:]
    assert pieces[0].endswith("then,") and all(piece.split()[-1] in {"word", "then,"} for piece in pieces)


def test_a_letter_keeps_its_marks() -> None:
    pieces = cut("कि" * 200)
    assert len(pieces) == 2 and pieces[1].startswith("क")
