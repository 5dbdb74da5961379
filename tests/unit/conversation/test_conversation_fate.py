"""What the end of a call means, whoever tells it first."""

import pytest

from voxtrad.conversation.fate import Ending, Fate


def test_the_first_end_counts():
    fate = Fate()
    fate.begin()
    assert fate.end("caller_hangup", "Normal Clearing") and not fate.end("failed", "the media connection was lost")
    assert fate.ending == Ending("caller_hangup", "Normal Clearing") and fate.state == "ended"


def test_a_caller_who_was_led_on_is_where_it_was_said():
    fate = Fate()
    fate.begin()
    fate.leads_on("to billing")
    assert fate.end("handed_over", "left Stasis") and fate.ending == Ending("handed_over", "to billing")
    assert fate.state == "handed-over"


def test_what_was_taken_back_is_not_expected():
    fate = Fate()
    fate.leads_on("to billing")
    fate.leads_on(None)
    assert fate.end("handed_over", "left Stasis") and fate.ending == Ending("handed_over", "left Stasis")


def test_a_caller_who_hangs_up_on_a_person_was_transferred():
    fate = Fate()
    fate.others_talk()
    assert fate.end("caller_hangup", "Normal Clearing") and fate.ending == Ending("transferred", "Normal Clearing")


@pytest.mark.parametrize(
    ("outcome", "reason", "told"),
    [
        ("completed", "the dialogue ended", Ending("failed", "no voice; the dialogue ended")),
        ("failed", "no voice", Ending("failed", "no voice")),
        ("caller_hangup", "Normal Clearing", Ending("caller_hangup", "Normal Clearing")),
    ],
)
def test_a_conversation_that_broke_is_a_failed_call_unless_the_caller_went(outcome, reason, told):
    fate = Fate()
    fate.begin()
    fate.failing("no voice")
    assert fate.end(outcome, reason) and fate.ending == told
