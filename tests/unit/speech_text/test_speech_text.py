import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrad.conversation.speech_text import Sentence, SpeechText

LANGUAGES = st.sampled_from(
    ["en", "de", "fr", "es", "it", "nl", "pt", "ja", "zh", "hi", "ar", "ur", "ru", "en-GB", "xx", ""]
)

CONSTRUCTS = st.sampled_from(
    [
        *"*_~`#[]()<>|\\!&-=>.,;:?…。！，「」\"'\n\r\t …1ahw é中\u200d\ufe0f😀\u200b",
        *("**", "__", "***", "~~", "```", "```python\n", "~~~\n", "\n\n", "- ", "* ", "1. ", "10) ", "# ", "## ", "> "),
        *("---\n", "===\n", "| a | b |\n", "|---|:-:|\n", "[link](", ")", "![", "[^1]", "[x] ", "[1]", "[a][b]"),
        *("https://www.example.com/path?x=1#y", "www.example.com", "http", "a_b.c@example.co.uk", "snake_case"),
        *("<b>", "</b>", "<br/>", "<think>", "</think>", "<!-- c -->", "<https://a.example>", "&amp;", "&lt;", "&#42;"),
        *("Dr. ", "e.g. ", "U.S. ", "$29.50", "10:30 a.m. ", "Hello. ", "Really? ", "No. ", "3 * 4", "3*4", "-> "),
        *("5 < 6", "#5", "~5", "A sentence that is long enough to be a clause, ", "word " * 30, "x" * 260),
        *("नमस्ते। ", "۔", "👨‍👩‍👧", "🇬🇧", "1️⃣"),
    ]
)
TEXTS = st.one_of(st.text(max_size=400), st.lists(CONSTRUCTS, max_size=25).map("".join))


def whole(text: str, language: str) -> list[Sentence]:
    stream = SpeechText(language)
    return stream.push(text) + stream.flush()


def in_pieces(text: str, language: str, cuts: list[int]) -> list[Sentence]:
    stream, sentences, start = SpeechText(language), [], 0
    for cut in [*sorted(cut % (len(text) + 1) for cut in cuts), len(text)]:
        sentences += stream.push(text[start:cut])
        start = cut
    return sentences + stream.flush()


@settings(deadline=None, max_examples=1000)
@given(TEXTS, LANGUAGES, st.lists(st.integers(0, 10_000), max_size=40))
def test_sentences_do_not_depend_on_the_deltas(text: str, language: str, cuts: list[int]) -> None:
    assert in_pieces(text, language, cuts) == whole(text, language)


@settings(deadline=None, max_examples=500)
@given(TEXTS, LANGUAGES)
def test_neither_do_they_when_it_comes_character_by_character(text: str, language: str) -> None:
    assert in_pieces(text, language, list(range(len(text)))) == whole(text, language)


@settings(deadline=None, max_examples=1000)
@given(TEXTS, LANGUAGES)
def test_nothing_that_was_written_is_lost(text: str, language: str) -> None:
    assert "".join(sentence.source for sentence in whole(text, language)) == text


@settings(deadline=None, max_examples=1000)
@given(TEXTS, LANGUAGES)
def test_what_is_spoken_is_clean_bounded_and_can_be_said(text: str, language: str) -> None:
    sentences = whole(text, language)
    for sentence in sentences:
        assert len(sentence.text) <= 250 + 2000  # an address is not torn
        assert sentence.text == " ".join(sentence.text.split())
        assert not set(sentence.text) & set("*`#[]<>|\\&~\x00\u200b\ufe0f\ufeff😀")
        sentence.text.encode()
    assert all(any(map(str.isalnum, sentence.text)) for sentence in sentences[:-1])


@settings(deadline=None, max_examples=500)
@given(TEXTS, LANGUAGES)
def test_a_second_text_is_read_like_the_first(text: str, language: str) -> None:
    stream = SpeechText(language)
    first = stream.push(text) + stream.flush()
    assert stream.push(text) + stream.flush() == first


def test_each_sentence_has_what_was_written_for_it() -> None:
    written = "## Hours\nWe are **open. Really open.** See [our site](https://example.com/a). 😀 Bye!\n```\nx = 1.\n```"
    assert whole(written, "en") == [
        Sentence("Hours", "## Hours\n"),
        Sentence("We are open.", "We are **open. "),
        Sentence("Really open.", "Really open.** "),
        Sentence("See our site.", "See [our site](https://example.com/a). 😀 "),
        Sentence("Bye!", "Bye!\n"),
        Sentence("", "```\nx = 1.\n```"),
    ]


@pytest.mark.parametrize(
    ("written", "first"),
    [
        ("Thank you for calling Acme, s", "Thank you for calling Acme,"),
        ("Well, let me look that up for you: o", "Well, let me look that up for you:"),
        ("Hello. H", "Hello."),
        ("# Welcome\n", "Welcome"),
        ("好的，我马上帮您查一下，请", "好的，我马上帮您查一下，"),
    ],
)
def test_the_first_piece_is_given_as_soon_as_it_is_certain(written: str, first: str) -> None:
    stream = SpeechText("en")
    assert stream.push(written[:-1]) == []
    assert [sentence.text for sentence in stream.push(written[-1])] == [first]


def test_later_pieces_are_whole_sentences() -> None:
    sentences = [
        "Thank you very much for calling.",
        "When you are ready, tell me your number, please, and I look it up.",
        "Take your time.",
    ]
    assert [sentence.text for sentence in whole(" ".join(sentences), "en")] == sentences


def test_a_stop_is_undecided_until_more_comes() -> None:
    stream = SpeechText("en")
    assert stream.push("It costs $29.") == []
    assert stream.push("50.") == []
    assert stream.push(" ") == []
    assert [sentence.text for sentence in stream.push("Sh")] == []
    assert [sentence.text for sentence in stream.push("all I ")] == ["It costs $29.50."]
    assert [sentence.text for sentence in stream.flush()] == ["Shall I"]
