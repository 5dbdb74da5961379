"""ARI events: what is read from them, and that nothing but a typed error comes of anything else."""

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrad.telephony.asterisk.messages import (
    ApplicationReplaced,
    AriProtocolError,
    Channel,
    ChannelOver,
    Dialled,
    DigitReceived,
    HoldChanged,
    Other,
    Played,
    Recorded,
    StasisStart,
    parse_event,
)

CHANNEL = {
    "id": "1795378302.1",
    "name": "PJSIP/100-0000001f",
    "state": "Ring",
    "caller": {"name": "Ada", "number": "+44207"},
    "dialplan": {"context": "from-internal", "exten": "1000", "priority": 2},
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def test_events_that_matter_to_a_call() -> None:
    start = parse_event(json.dumps({"type": "StasisStart", "args": ["support"], "channel": CHANNEL}))
    assert start == StasisStart(
        Channel("1795378302.1", "PJSIP/100-0000001f", "+44207", "Ada", "1000"), arguments=("support",)
    )
    digit = {"type": "ChannelDtmfReceived", "digit": "#", "duration_ms": 100, "channel": CHANNEL}
    assert parse_event(json.dumps(digit)) == DigitReceived("1795378302.1", "#")
    for kind, held in (("ChannelHold", True), ("ChannelUnhold", False)):
        assert parse_event(json.dumps({"type": kind, "channel": CHANNEL})) == HoldChanged("1795378302.1", held)
    dial = {"type": "Dial", "dialstatus": "BUSY", "peer": {"id": "voxtrad-1"}}
    assert parse_event(json.dumps(dial)) == Dialled("", "voxtrad-1", "BUSY")
    assert parse_event(json.dumps({**dial, "caller": CHANNEL})) == Dialled("1795378302.1", "voxtrad-1", "BUSY")
    played = {"type": "PlaybackFinished", "playback": {"id": "voxtrad-2", "state": "done"}}
    assert parse_event(json.dumps(played)) == Played("voxtrad-2", "finished")
    failed = {"type": "PlaybackFinished", "playback": {"id": "voxtrad-2", "state": "failed"}}
    assert parse_event(json.dumps(failed)) == Played("voxtrad-2", "failed")
    for kind, what in (("Started", "started"), ("Finished", "finished"), ("Failed", "failed")):
        recording = {"type": f"Recording{kind}", "recording": {"name": "voxtrad-3", "state": "x", "format": "wav"}}
        assert parse_event(json.dumps(recording)) == Recorded("voxtrad-3", what)  # type: ignore[arg-type]  # one of three
    assert parse_event('{"type":"ApplicationReplaced","application":"voxtrad"}') == ApplicationReplaced()
    assert parse_event('{"type":"ChannelVarset","value":"x"}') == Other("ChannelVarset")


@pytest.mark.parametrize(
    ("event", "cause", "code", "hung_up"),
    [
        ({"type": "StasisEnd"}, "", 0, False),
        ({"type": "ChannelHangupRequest", "cause": 16}, "Normal Clearing", 16, True),
        ({"type": "ChannelHangupRequest", "cause": 99}, "cause 99", 99, True),
        ({"type": "ChannelHangupRequest", "cause": True}, "", 0, True),
        ({"type": "ChannelHangupRequest", "soft": True}, "", 0, True),
        ({"type": "ChannelHangupRequest", "cause": 0}, "", 0, True),
        ({"type": "ChannelDestroyed", "cause": 17, "cause_txt": "User busy"}, "User busy", 17, True),
    ],
)
def test_each_way_in_which_a_channel_ends(event: dict[str, object], cause: str, code: int, hung_up: bool) -> None:
    over = ChannelOver("1795378302.1", cause, code, hung_up)
    assert parse_event(json.dumps({**event, "channel": CHANNEL})) == over


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "null", "{}", '{"type":1}', "{", "[" * 100_000, "9" * 10_000,
        '{"type":"StasisStart"}', '{"type":"StasisStart","channel":[]}', '{"type":"StasisStart","channel":{"id":1}}',
        '{"type":"StasisStart","args":"x","channel":{"id":"1","name":"n"}}',
        '{"type":"ChannelDtmfReceived","channel":{"id":"1"}}', '{"type":"StasisEnd","channel":{"id":null}}',
        '{"type":"StasisStart","channel":{"id":"1","name":"n","caller":{"number":7}}}',
    ],
)  # fmt: skip
def test_what_is_no_event_is_a_typed_error(text: str) -> None:
    with pytest.raises(AriProtocolError):
        parse_event(text)


@settings(deadline=None)
@given(st.text() | JSON.map(json.dumps))
def test_any_text_gives_an_event_or_a_typed_error(text: str) -> None:
    with contextlib.suppress(AriProtocolError):
        parse_event(text)


@settings(deadline=None)
@given(
    kind=st.sampled_from(
        [
            "StasisStart",
            "StasisEnd",
            "ChannelDtmfReceived",
            "ChannelHold",
            "ChannelHangupRequest",
            "ChannelDestroyed",
            "Dial",
        ]
    ),
    fields=st.dictionaries(
        st.sampled_from(["args", "cause", "cause_txt", "digit", "dialstatus", "peer", "caller"]), JSON
    ),
    channel=JSON | st.dictionaries(st.sampled_from(["id", "name", "caller", "dialplan"]), JSON),
    cut=st.integers(0, 400),
)
def test_any_content_of_a_known_event_and_any_part_of_it(
    kind: str, fields: dict[str, object], channel: object, cut: int
) -> None:
    whole = json.dumps({**fields, "type": kind, "channel": channel})
    for text in (whole, whole[:cut]):
        with contextlib.suppress(AriProtocolError):
            parse_event(text)
