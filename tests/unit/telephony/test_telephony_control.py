"""chan_websocket's control messages, both ways."""

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrad.telephony.asterisk import control
from voxtrad.telephony.asterisk.control import (
    ControlError,
    DriverError,
    FlowControl,
    MarkProcessed,
    MediaStart,
    OtherMessage,
    Status,
    parse_control,
)

START = (
    '{"event":"MEDIA_START","connection_id":"c","channel":"WebSocket/INCOMING/0x1","channel_id":"voxtrad-1",'
    '"format":"slin16","optimal_frame_size":640,"ptime":20,"channel_variables":{}}'
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (START, MediaStart(640, 20)),
        ('{"event":"MEDIA_MARK_PROCESSED","channel_id":"x","correlation_id":"12"}', MarkProcessed(12)),
        ('{"event":"STATUS","queue_length":7,"queue_full":false,"media_paused":true}', Status(7)),
        ('{"event":"MEDIA_XOFF","channel_id":"x"}', FlowControl(False)),
        ('{"event":"MEDIA_XON","channel_id":"x"}', FlowControl(True)),
        ('{"event":"ERROR","error_text":"no"}', DriverError("no")),
        ('{"event":"DTMF_END","digit":"1"}', OtherMessage("DTMF_END")),
    ],
)
def test_messages_from_asterisk(text: str, message: control.ControlMessage) -> None:
    assert parse_control(text) == message


def test_commands_are_json_and_short_enough_for_asterisk() -> None:
    assert json.loads(control.command("FLUSH_MEDIA")) == {"command": "FLUSH_MEDIA"}
    assert json.loads(control.mark(7)) == {"command": "MARK_MEDIA", "correlation_id": "7"}
    assert len(control.mark(10**12)) <= 128


@pytest.mark.parametrize(
    "text",
    ["", "MEDIA_XON", "[]", "{}", '{"event":5}', '{"event":"STATUS"}', '{"event":"STATUS","queue_length":-1}',
     '{"event":"STATUS","queue_length":true}', '{"event":"MEDIA_MARK_PROCESSED","correlation_id":"x"}',
     '{"event":"MEDIA_MARK_PROCESSED","correlation_id":"' + "9" * 5000 + '"}', "[" * 100_000],
)  # fmt: skip
def test_what_is_no_message_is_a_typed_error(text: str) -> None:
    with pytest.raises(ControlError):
        parse_control(text)


@settings(deadline=None)
@given(st.text(), st.integers(0, len(START)), st.integers(0, len(START)))
def test_any_text_and_any_part_of_a_message(text: str, begin: int, end: int) -> None:
    for given_text in (text, START[begin:end], START + text, text + START):
        with contextlib.suppress(ControlError):
            parse_control(given_text)


@settings(deadline=None)
@given(
    st.sampled_from(["MEDIA_START", "MEDIA_MARK_PROCESSED", "STATUS", "ERROR", "MEDIA_XON"]),
    st.dictionaries(
        st.sampled_from(["queue_length", "correlation_id", "optimal_frame_size", "ptime", "error_text"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.integers()),
    ),
)
def test_any_content_of_a_known_message(event: str, fields: dict[str, object]) -> None:
    with contextlib.suppress(ControlError):
        parse_control(json.dumps({**fields, "event": event}))
