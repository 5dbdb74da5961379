"""What a piece of recognised speech tells about the turn."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrad.conversation.utterances import (
    Backchannel,
    asks_for_dictation,
    beyond,
    echoes,
    overlap,
    same_words,
    unfinished,
    words,
)

any_text = st.text(max_size=60)
spoken_text = st.lists(
    st.sampled_from("uh-huh okay I see one two and the order, my number is Yes. no".split()), max_size=9
)


@pytest.mark.parametrize(("language", "text", "count"), [
    ("en", "uh-huh", 0), ("en", "Uh huh.", 0), ("en", "mm-hmm okay", 0), ("en", "I see", 0),
    ("en", "all right, got it", 0),
    ("en", "I see a problem", 2), ("en", "no", 1), ("en", "yeah but wait", 2), ("en", "", 0), ("en", "...", 0),
    ("de", "mhm", 0), ("de", "ach so", 0), ("de", "nein", 1), ("de-AT", "genau", 0), ("fr", "d'accord", 0),
    ("fr", "non merci", 2), ("es", "vale", 0), ("it", "va bene", 0), ("nl", "precies", 0), ("pt", "pois", 0),
    ("xx", "uh-huh", 1), ("ja", "はい。", 0), ("ja", "はいはい、そうですね。", 0), ("ja", "ちょっと待ってください", 5),
    ("ja-JP", "はい、違います", 2), ("zh-CN", "嗯嗯,好的", 0), ("zh", "不对", 1), ("zh", "停下来", 1), ("zh", "OK", 1),
    ("ko", "네", 0), ("ko", "아니요 잠깐만요", 2), ("ru", "угу", 0), ("ru", "нет", 1), ("pl", "no tak", 0),
    ("sv", "precis", 0), ("tr", "hı hı", 0), ("nb-NO", "akkurat", 0), ("no", "akkurat", 0),
])  # fmt: skip
def test_words_that_are_more_than_backchannel(language: str, text: str, count: int) -> None:
    assert Backchannel(language).content_words(text) == count


def test_partial_transcript_may_become_backchannel() -> None:
    english = Backchannel("en")
    assert english.content_words("I", more_to_come=True) == 0
    assert english.content_words("okay all", more_to_come=True) == 0
    assert english.content_words("I") == 1
    assert english.content_words("I want", more_to_come=True) == 2
    japanese = Backchannel("ja")
    assert japanese.content_words("は", more_to_come=True) == 0
    assert japanese.content_words("待", more_to_come=True) == 1


@pytest.mark.parametrize("count", [1, 2, 41, 42])
def test_a_sound_that_is_another_one_twice_and_many_of_them(count: int) -> None:
    twice = Backchannel("ja", ["はい", "はいはい"])
    assert twice.content_words("はい" * count) == 0
    assert twice.content_words("はい" * count + "か") == (2 * count + 1) // 2


def test_own_list_takes_the_place_of_the_usual_one() -> None:
    own = Backchannel("en", ["roger that", "copy"])
    assert own.content_words("roger that copy") == 0
    assert own.content_words("okay") == 1
    assert Backchannel("en", []).content_words("okay") == 1


@pytest.mark.parametrize(("text", "why"), [
    ("I would like a pizza and", "and"), ("my name is", "is"), ("it was because", "because"), ("it is for", "for"),
    ("um", "um"), ("let me see", "see"), ("hold on", "hold on"), ("order number", "order number"),
])  # fmt: skip
def test_sounds_unfinished(text: str, why: str) -> None:
    found = unfinished(text, "en", punctuates=False, dictation_asked=False)
    assert found is not None and why in found.reason and not found.dictating


@pytest.mark.parametrize("text", [
    "yes", "yes I can", "no I'm not", "I think so", "that is all it is", "where is my order", "put me on", "okay then",
    "what for", "that is what I am looking for", "yes I would", "it was", "I do not know my order number", "",
    "john dot smith at example dot com", "j dot s at example dot co dot uk", "john.smith@example.com",
    "www dot acme dot com",
    "I for one like it", "I am staying at the hotel", "a for effort", "the delta is small",
    "tomorrow at three", "let us meet at ten",
])  # fmt: skip
def test_sounds_complete(text: str) -> None:
    assert unfinished(text, "en", punctuates=False, dictation_asked=False) is None


@pytest.mark.parametrize(("text", "language"), [
    ("one two", "en"), ("four double seven", "en"), ("A B", "en"), ("12 34", "en"), ("null eins", "de"),
    ("un deux", "fr"),
    ("cero uno", "es"), ("me@example.com dot", "en"),
    ("john dot", "en"), ("my email is john dot smith", "en"), ("j dot smith at gmail", "en"),
    ("john dot smith@gmail", "en"), ("john underscore dot smith at example dot co", "en"),
    ("max punkt m klammeraffe", "de"), ("ana punto ruiz arroba", "es"), ("luca chiocciola posta punto", "it"),
    ("jan apenstaartje post punt", "nl"), ("bravo charlie", "en"), ("b as in boy", "en"), ("I as in India", "en"),
    ("e for echo", "en"), ("b wie berta", "de"), ("c comme camille", "fr"), ("b come bari", "it"),
])  # fmt: skip
def test_dictation_is_under_way(text: str, language: str) -> None:
    found = unfinished(text, language, punctuates=False, dictation_asked=False)
    assert found is not None and found.dictating


@pytest.mark.parametrize(("text", "asked", "waits"), [
    ("17", True, True), ("17", False, False), ("seven", True, True), ("seven", False, False), ("yes", True, True),
    ("yes", False, False), ("Ada", True, False), ("A", True, True), ("forty", True, True), ("forty", False, False),
    ("smith at gmail", True, True), ("smith at gmail", False, False), ("smith at gmail dot com", True, False),
])  # fmt: skip
def test_the_agent_has_asked_for_a_number(text: str, asked: bool, waits: bool) -> None:
    assert (unfinished(text, "en", punctuates=False, dictation_asked=asked) is not None) == waits


@pytest.mark.parametrize(("text", "waits"), [
    ("Where is my order?", False), ("where is my order", True), ("I have one and.", False), ("yes", False),
    ("One two.", False),
])  # fmt: skip
def test_punctuation_counts_where_it_is_set(text: str, waits: bool) -> None:
    assert (unfinished(text, "en", punctuates=True, dictation_asked=False) is not None) == waits


@pytest.mark.parametrize(("text", "language", "asks"), [
    ("What is your order number?", "en", True), ("Can I have your postcode, please?", "en", True),
    ("Please spell your name.", "en", True), ("Could you spell that?", "en", True),
    ("Is that number right?", "en", False), ("Your order number is 12.", "en", False),
    ("What is your order number? I can wait.", "en", False), ("How can I help you with your account?", "en", False),
    ("Wie lautet Ihre Kundennummer?", "de", True), ("Ihre Nummer stimmt.", "de", False),
    ("Quel est votre numéro ?", "fr", True), ("¿Cuál es su número?", "es", True), ("Hvad er dit nummer?", "da", False),
    ("", "en", False), ("Qual è il suo numero d'ordine?", "it", True), ("Il suo numero è giusto.", "it", False),
    ("Wat is uw klantnummer?", "nl", True), ("Uw nummer klopt.", "nl", False), ("Kunt u dat spellen?", "nl", True),
    ("Qual é o número do pedido?", "pt", True), ("O seu número está certo.", "pt", False),
    ("Pode soletrar o seu nome?", "pt", True),
])  # fmt: skip
def test_asking_for_dictation(text: str, language: str, asks: bool) -> None:
    assert asks_for_dictation(text, language) == asks


@pytest.mark.parametrize(("known", "text", "rest"), [
    ("I want", "I want a pizza", "a pizza"), ("i want", "I want, a pizza.", "a pizza."), ("I want", "I want", ""),
    ("I want", "we want a pizza", None), ("", "a pizza", None), ("I want it", "I want", None),
])  # fmt: skip
def test_what_a_transcript_says_beyond_what_is_known(known: str, text: str, rest: str | None) -> None:
    assert beyond(known, text) == rest


@pytest.mark.parametrize(("text", "agent", "echo"), [
    ("your order was sent", "Well, your order was sent today.", True), ("sent", "It was sent.", True),
    ("stop", "It was sent.", False), ("", "It was sent.", False), ("it was scent today", "It was sent today.", False),
    ("well your order was scent today", "Well, your order was sent today.", True),
])  # fmt: skip
def test_agents_own_words(text: str, agent: str, echo: bool) -> None:
    assert echoes(text, agent) == echo


@settings(deadline=None)
@given(any_text, any_text, st.booleans(), st.booleans(), st.sampled_from(["en", "de", "fr", "zz", "en_GB", ""]))
def test_any_text_can_be_judged(text: str, other: str, punctuates: bool, asked: bool, language: str) -> None:
    assert all(word == word.lower() and word for word in words(text))
    assert same_words(text, text)
    assert 0 <= overlap(text, other) <= 1
    assert Backchannel(language).content_words(text) <= len(words(text))
    unfinished(text, language, punctuates=punctuates, dictation_asked=asked)
    asks_for_dictation(text, language)
    echoes(text, other)


@settings(deadline=None)
@given(spoken_text, spoken_text)
def test_beyond_gives_the_rest(first: list[str], second: list[str]) -> None:
    known, rest = " ".join(first), " ".join(second)
    if words(known):
        found = beyond(known, f"{known} {rest}")
        assert found is not None and words(found) == words(rest)


@settings(deadline=None)
@given(spoken_text)
def test_more_to_come_never_counts_more(text: list[str]) -> None:
    spoken = " ".join(text)
    english = Backchannel("en")
    assert english.content_words(spoken, more_to_come=True) <= english.content_words(spoken)
