import itertools

import pytest

from voxtrad.conversation.speech_text import speakable
from voxtrad.conversation.speech_text.speakable import SpeakableStream

SPOKEN = {
    "Plain words stay.": "Plain words stay.",
    # emphasis
    "**Bold** and *italic* and ***both***": "Bold and italic and both",
    "__Bold__ and _italic_ text": "Bold and italic text",
    "un*frigging*believable": "unfriggingbelievable",
    "~~old~~ new": "old new",
    "an **unclosed thing": "an unclosed thing",
    "3 * 4 is 12, 3*4 too": "3 × 4 is 12, 3×4 too",
    # code
    "Set `order_id` first": "Set order id first",
    "Use snake_case and a_b_c": "Use snake case and a b c",
    "Before\n```python\nx = 1. y = 2\n```\nafter": "Before after",
    "Before ```x = 1``` after": "Before after",
    "~~~\ncode\n~~~\nText": "Text",
    "````\n```\nx\n```\n````\nText": "Text",
    "Never closed\n```\nx = 1": "Never closed",
    # blocks
    "# Title\nText": "Title Text",
    "###### Deep": "Deep",
    "#hashtag #5": "hashtag number 5",
    "- one\n- two\n  * three\n+ four\n• five": "one two three four five",
    "- [ ] open\n- [x] done": "open done",
    "1. First\n2) Second": "1. First 2) Second",
    "> quoted\n>> twice": "quoted twice",
    "Above\n\n---\n\nBelow": "Above Below",
    "Title\n=====\nText": "Title Text",
    "* * *\nText": "Text",
    "-5 degrees": "-5 degrees",
    # tables
    "| Name | Price |\n|------|:-----:|\n| Tea | $2.50 |": "Name, Price Tea, $2.50",
    "|a|b|\n|-|-|\n|c||": "a, b c",
    "this | that": "this, that",
    "tea • milk": "tea, milk",
    # links
    "See [our site](https://www.example.com/a_b?x=1).": "See our site.",
    "See [it](https://en.example.org/wiki/A_(b)) now": "See it now",
    "See [it][1] and [2].": "See it and 2.",
    "![A cat](cat.png) sits": "A cat sits",
    "As said[^1] before": "As said before",
    "Go to https://www.example.com/help.": "Go to example.com/help.",
    "Go to http://example.com/path/to/page?id=7&x=%20#top now": "Go to example.com/path/to/page now",
    "Go to https://example.com/a_b_c/ now": "Go to example.com now",
    "(see www.example.com)": "(see example.com)",
    "**https://example.com**": "example.com",
    "<https://example.com/a> and <mailto:a@example.com>": "example.com/a and a@example.com",
    "Mail a_b.c@example.com today": "Mail a_b.c@example.com today",
    # HTML and signs
    "a <b>bold</b> one<br>two": "a bold one two",
    "<!-- hidden --> seen": "seen",
    "<think>What now? Aha.</think>Hello": "Hello",
    "<script>x()</script>Hello": "Hello",
    '<speak>Hi <break time="1s"/></speak>': "Hi",
    "3 < 5 and 5 > 3": "3 less than 5 and 5 greater than 3",
    "x<y": "xy",
    "AT&T &amp; you &lt;3 &nbsp; &copy; &unknown;": "AT and T and you less than 3 and unknown;",
    "A -> B => C → D": "A, B, C, D",
    "about ~10 minutes": "about about 10 minutes",
    "\\*not bold\\*": "not bold",
    # emoji and what is not seen
    "Hello 😀! Bye 👨‍👩‍👧.": "Hello! Bye.",
    "Flag 🇬🇧, key 1️⃣, heart ❤️‍🔥": "Flag, key 1, heart",
    "a\u200bb\ufeffc\x00d\x07e\u202ef": "abcdef",
    "Acme® makes™ it": "Acme makes it",
    "می\u200cخواهم क्\u200dष": "می\u200cخواهم क्\u200dष",
    "many    spaces\t\tand\u00a0more": "many spaces and more",
    "a\ud800b": "ab",
    # lines
    "Thanks for calling\nAcme.": "Thanks for calling Acme.",
    "": "",
    "😀": "",
}


@pytest.mark.parametrize("written", SPOKEN)
def test_english(written: str) -> None:
    assert speakable(written, "en") == SPOKEN[written]


def test_constructs_do_not_disturb_each_other() -> None:
    wrong = []
    for (first, said_first), (second, said_second) in itertools.product(SPOKEN.items(), repeat=2):
        if first.startswith("Never closed"):
            continue
        wanted = f"{said_first} {said_second}".strip()
        if speakable(f"{first}\n\n{second}", "en") != wanted:
            wrong.append((first, second, speakable(f"{first}\n\n{second}", "en")))
    assert wrong == []


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("de", "Tee und Milch, Nummer 5, etwa 10, 3 kleiner als 5"),
        ("fr-CA", "Tee et Milch, numéro 5, environ 10, 3 inférieur à 5"),
        ("es", "Tee y Milch, número 5, unos 10, 3 menor que 5"),
        ("nb-NO", "Tee og Milch, nummer 5, omtrent 10, 3 mindre enn 5"),
        ("no", "Tee og Milch, nummer 5, omtrent 10, 3 mindre enn 5"),
        ("xx", "Tee Milch, 5, 10, 3 5"),
    ],
)
def test_signs_are_words_of_the_language(language: str, said: str) -> None:
    assert speakable("Tee & Milch, #5, ~10, 3 < 5", language) == said


def test_a_line_goes_on_or_ends() -> None:
    def lines(text: str) -> list[str]:
        stream = SpeakableStream("en")
        said = "".join(fragment.text for fragment in (*stream.push(text), *stream.flush()))
        return [" ".join(line.split()) for line in said.split("\n") if line.strip()]

    assert lines("This text is broken\nat some column,\nas in a file.") == [
        "This text is broken at some column, as in a file."
    ]
    assert lines("One paragraph\n\nAnother one") == ["One paragraph", "Another one"]
    assert lines("# Title\nText") == ["Title", "Text"]
    assert lines("We have\n- tea\n- milk\n1. sugar") == ["We have", "tea", "milk", "1. sugar"]
    assert lines("A sentence.\nAnother") == ["A sentence.", "Another"]
    assert lines("one<br>two") == ["one", "two"]


@pytest.mark.parametrize("waiting", ["a_", "http", "[x](", "<b", "&am", "``", "line\n", "*"])
def test_what_is_undecided_waits_and_the_rest_does_not(waiting: str) -> None:
    stream = SpeakableStream("en")
    said = "".join(fragment.text for fragment in stream.push("Some words " + waiting))
    assert said.startswith("Some words ") and len(said) <= len("Some words line")
    assert "".join(fragment.source for fragment in stream.flush()) != ""
