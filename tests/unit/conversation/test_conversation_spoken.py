"""What was heard of an utterance: positions, words, history."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrad.conversation.history import PENDING, History
from voxtrad.conversation.spoken import Piece, UtteranceAudio, whole_words
from voxtrad.providers.base import ToolCall, WordTiming

RATE = 8000
FRAME = 160


def utterance(*sentences: tuple[str, float], aligned: bool = True, complete: bool = True) -> UtteranceAudio:
    """Sentences of so many seconds, their words spread evenly over their characters."""
    said = UtteranceAudio(RATE, interruptible=True)
    for text, seconds in sentences:
        said.written += text
        piece = said.begin(text, text.strip())
        frames = round(seconds * 50)
        said.add(piece, b"\1\0" * FRAME * frames)
        if aligned:
            spoken = text.strip()
            offsets = [i for i, c in enumerate(spoken) if i == 0 or spoken[i - 1] == " "]
            piece.timings = [WordTiming(i, i / len(spoken) * seconds) for i in offsets]
        piece.complete = complete
    said.finished = complete
    said.anchor(1000, 0)
    return said


def heard(said: UtteranceAudio, seconds: float) -> str:
    said.interrupted = True
    said.heard = said.sample(1000 + round(seconds * RATE))
    return said.spoken().heard


@pytest.mark.parametrize(("seconds", "words"), [
    (0.0, ""), (0.5, ""), (1.1, ""), (1.2, "One"), (2.2, "One"),
    (2.3, "One two"), (3.0, "One two"), (3.9, "One two three."),
    (4.0, "One two three."), (4.5, "One two three."),
    (5.5, "One two three. Four"), (9.0, "One two three. Four five six."),
])  # fmt: skip
def test_whole_words_by_alignment(seconds: float, words: str) -> None:
    assert heard(utterance(("One two three. ", 4.0), ("Four five six.", 4.0)), seconds) == words


def test_without_alignment_by_proportion() -> None:
    said = utterance(("One two three. ", 4.0), ("Four five six.", 4.0), aligned=False)
    assert heard(said, 6.0) == "One two three. Four"
    assert heard(said, 6.9) == "One two three. Four five"


def test_sentence_that_is_still_being_synthesized_is_not_taken_for_heard() -> None:
    said = utterance(("This is a sentence of which the half is there so far.", 1.0), aligned=False, complete=False)
    assert heard(said, 1.0) == "This is a"


def test_all_of_it_when_it_was_not_interrupted() -> None:
    said = utterance(("One two three. ", 4.0))
    spoken = said.spoken()
    assert spoken.heard == spoken.written == "One two three. " and spoken.seconds == 4.0


def test_what_fills_the_time_is_no_part_of_it() -> None:
    said = UtteranceAudio(RATE, interruptible=True)
    filler = said.begin("", "One moment.")
    said.add(filler, b"\1\0" * FRAME * 50)
    assert not said.answers(said.length)
    piece = said.begin("It was sent.", "It was sent.")
    said.add(piece, b"\1\0" * FRAME * 50)
    piece.complete = filler.complete = True
    said.anchor(0, 0)
    assert said.answers(said.length) and not said.answers(50 * FRAME)
    said.interrupted, said.heard = True, 50 * FRAME
    assert said.spoken().heard == ""
    said.heard = 100 * FRAME
    assert said.spoken().heard == "It was sent."


@pytest.mark.parametrize(("seconds", "word"), [(0.1, 0.0), (1.2, 1.14), (2.3, 2.28), (3.99, 2.28), (4.5, 4.0)])
def test_the_beginning_of_the_word_in_whole_frames(seconds: float, word: float) -> None:
    said = utterance(("One two three.", 4.0), ("Four five six.", 4.0))
    start = said.word_start(round(seconds * RATE))
    assert start is not None and start % FRAME == 0
    assert start / RATE == pytest.approx(word, abs=0.021) and start <= seconds * RATE


def test_no_word_is_known_without_alignment_nor_after_the_end() -> None:
    assert utterance(("One.", 4.0), aligned=False).word_start(100) is None
    assert utterance(("One.", 4.0)).word_start(4 * RATE) is None


def test_positions_after_audio_was_taken_back() -> None:
    said = utterance(("One two three. ", 4.0))
    assert said.sample(1000) == 0 and said.sample(1000 + RATE) == RATE
    assert said.sample(0) == 0 and said.sample(10**9) == 4 * RATE
    said.anchor(1000 + RATE, RATE // 2)  # half a second is said again
    assert said.sample(1000 + RATE) == RATE // 2
    assert said.sample(1000 + 2 * RATE) == RATE // 2 + RATE


def test_cut_drops_the_rest() -> None:
    said = utterance(("One two three. ", 4.0), ("Four.", 1.0))
    said.sent = len(said.audio)
    said.cut(RATE + 7)
    assert said.length == RATE and said.sent == 2 * RATE
    assert [piece.length for piece in said.pieces] == [RATE, 0]
    assert said.level(RATE, 15) is not None and said.level(3 * RATE, 15) is None


def test_level_is_that_of_what_may_be_echoing() -> None:
    said = UtteranceAudio(RATE, interruptible=True)
    piece = said.begin("", "")
    said.add(piece, b"\0\x40" * FRAME * 2 + b"\0\x04" * FRAME * 60)
    loud, soft = said.level(0, 15), said.level(50 * FRAME, 15)
    assert loud == pytest.approx(-6.0, abs=0.1) and soft == pytest.approx(-30.1, abs=0.1)
    assert said.level(16 * FRAME, 15) == loud


def test_piece_without_audio_has_no_place() -> None:
    piece = Piece("", "")
    assert not piece.under_way and piece.end == 0


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.text(alphabet="ab .é\n", min_size=1, max_size=20), st.floats(0.02, 3.0)), min_size=1, max_size=4
    ),
    st.booleans(),
    st.floats(0, 14),
)  # fmt: skip
def test_heard_is_always_a_beginning_of_what_was_written(
    sentences: list[tuple[str, float]], aligned: bool, seconds: float
) -> None:
    said = utterance(*sentences, aligned=aligned)
    assert said.written.startswith(heard(said, seconds))
    more = heard(said, seconds + 0.5)
    assert len(more) >= len(heard(said, seconds)), "more time is never less text"


@settings(deadline=None)
@given(st.text(max_size=30), st.integers(-3, 40))
def test_whole_words(text: str, end: int) -> None:
    kept = whole_words(text, end)
    assert text.startswith(kept) and len(kept) <= max(0, min(len(text), max(end, 0))) + 1


# --- the history ------------------------------------------------------------------------------------------------------


def test_result_takes_the_place_of_its_stand_in() -> None:
    history = History()
    history.user("send it")
    part = history.begin()
    history.write(part, "", (ToolCall("t1", "send", {}),))
    history.tool_started(ToolCall("t1", "send", {}))
    history.user("and now")
    assert history.messages[2].content == PENDING
    history.tool_result("t1", "sent")
    assert [m.content for m in history.messages] == ["send it", "", "sent", "and now"]
    history.tool_result("t1", "arrived")
    history.tool_result("t9", "of a call that nobody made")
    assert [m.content for m in history.messages] == ["send it", "", "arrived", "and now", "of a call that nobody made"]


@pytest.mark.parametrize(("heard_chars", "left"), [
    (0, ["", "r"]), (3, ["One", "r"]), (9, ["One two.", "r"]), (12, ["One two.", "r", "Thr"]),
    (99, ["One two.", "r", "Three."]),
])  # fmt: skip
def test_reply_of_two_rounds_keeps_what_was_heard(heard_chars: int, left: list[str]) -> None:
    history = History()
    first = history.begin()
    history.write(first, "One two. ", (ToolCall("t1", "x", {}),))
    history.tool_started(ToolCall("t1", "x", {}))
    history.tool_result("t1", "r")
    second = history.begin()
    history.write(second, "Three. ")
    history.settle([first, second], heard_chars, whole=False, interrupted=True)
    assert [m.content for m in history.messages] == left
    assert history.messages[0].interrupted == (heard_chars < 8)


@pytest.mark.parametrize("whole", [True, False])
def test_part_in_which_there_is_nothing_to_hear_goes(whole: bool) -> None:
    history = History()
    first, second = history.begin(), history.begin()
    history.write(first, "👍\n\n")
    history.write(second, "Hello there.")
    history.settle([first, second], 8, whole=whole, interrupted=not whole)
    assert [m.content for m in history.messages] == ["Hello there." if whole else "Hello"]


def test_same_words_twice_are_two_messages() -> None:
    """Messages are told apart by themselves, not by what they say."""
    history = History()
    first, second = history.begin(), history.begin()
    history.write(first, "Hello.")
    history.write(second, "Hello.")
    history.settle([second], 0, whole=False, interrupted=True)
    assert [m.content for m in history.messages] == ["Hello."]
    assert history.messages[0] is first.message


def test_anybody_may_change_the_list_meanwhile() -> None:
    history = History()
    part = history.begin()
    history.messages.clear()
    history.write(part, "Hello.")
    history.settle([part], 3, whole=False, interrupted=True)
    assert history.messages == []
