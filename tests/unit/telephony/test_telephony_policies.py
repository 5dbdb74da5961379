"""Decisions without I/O: when to try again, which transport a PBX gets, which format a caller."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrad.telephony.asterisk.facts import (
    AUDIOSOCKET_MODULE,
    MODULES,
    RTP_MODULE,
    WEBSOCKET_MODULE,
    Choice,
    Facts,
    Unsuitable,
    choose,
)
from voxtrad.telephony.asterisk.formats import FORMATS, format_for
from voxtrad.telephony.asterisk.retry import Backoff, TakeBack

BOTH = frozenset({WEBSOCKET_MODULE, AUDIOSOCKET_MODULE})
ALL = frozenset(MODULES)
EVERY = frozenset(FORMATS)
RTP = frozenset({"ulaw", "alaw", "slin"})
NARROW, LINEAR = frozenset({"slin"}), frozenset({"slin", "slin16"})


def test_delays_double_up_to_a_limit_with_jitter_and_begin_anew() -> None:
    full = Backoff(0.5, 30.0, chance=lambda: 0.0)
    assert [full.next() for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    full.reset()
    assert full.next() == 0.5
    half = Backoff(0.5, 30.0, chance=lambda: 1.0)
    assert [half.next() for _ in range(3)] == [0.25, 0.5, 1.0]


@settings(deadline=None)
@given(st.floats(0.01, 10), st.floats(0.01, 100), st.integers(1, 3000), st.floats(0, 1))
def test_a_delay_is_never_nothing_and_never_too_long(first: float, most: float, attempts: int, chance: float) -> None:
    backoff = Backoff(first, most, chance=lambda: chance)
    delays = [backoff.next() for _ in range(attempts)]
    assert all(min(first, most) / 2 <= delay <= most for delay in delays)


def test_the_application_is_taken_back_ever_later_while_it_is_fought_for() -> None:
    policy = TakeBack(5.0, settled=600.0)
    assert [policy.next(held=1.0) for _ in range(6)] == [5, 10, 20, 40, 60, 60]
    assert policy.next(held=600.0) == 5
    assert policy.next(held=1.0) == 10


@settings(deadline=None)
@given(st.lists(st.floats(0, 599), min_size=1, max_size=40))
def test_two_servers_never_fight_in_a_tight_loop(held: list[float]) -> None:
    policy, clock, taken = TakeBack(5.0), 0.0, []
    for seconds in held:
        clock += seconds + policy.next(seconds)
        taken.append(clock)
    for start in taken:
        assert sum(start <= at < start + 60 for at in taken) <= 12


@pytest.mark.parametrize(
    ("version", "modules", "transport", "formats"),
    [
        ("22.10.1+dfsg+~cs6.17.60671434-1", ALL, "websocket", EVERY),
        ("22.8.0", BOTH, "websocket", EVERY),
        ("22.7.0", ALL, "audiosocket", LINEAR),
        ("22.6.1", BOTH, "audiosocket", NARROW),
        ("20.18.0", BOTH, "websocket", EVERY),
        ("20.17.2", BOTH, "audiosocket", LINEAR),
        ("21.11.0", BOTH, "audiosocket", NARROW),
        ("23.1.0", BOTH, "audiosocket", LINEAR),
        ("23.2.0", BOTH, "websocket", EVERY),
        ("24.0.0", BOTH, "websocket", EVERY),
        ("18.26.1", ALL, "audiosocket", NARROW),
        ("certified-22.8-cert1", BOTH, "websocket", EVERY),
        ("GIT-22-4f1c2a9M", BOTH, "websocket", EVERY),
        ("GIT-21-4f1c2a9M", BOTH, "audiosocket", NARROW),
        ("GIT-master-4f1c2a9", BOTH, "audiosocket", NARROW),
        ("22.10.1", frozenset({AUDIOSOCKET_MODULE}), "audiosocket", LINEAR),
        ("22.10.1", frozenset({RTP_MODULE}), "rtp", RTP),
        ("16.6.0", frozenset({RTP_MODULE}), "rtp", RTP),
        ("17.0.0", frozenset({RTP_MODULE}), "rtp", RTP),
        ("GIT-18-4f1c2a9M", frozenset({RTP_MODULE}), "rtp", RTP),
    ],
)
def test_which_transport_a_pbx_gets(
    version: str, modules: frozenset[str], transport: str, formats: frozenset[str]
) -> None:
    choice = choose("auto", Facts(version, modules))
    assert (choice.transport, choice.formats) == (transport, formats)
    assert choice.why


@pytest.mark.parametrize(
    ("version", "format", "transport"),
    [
        ("22.7.0", "ulaw", "rtp"),
        ("22.7.0", "slin16", "audiosocket"),
        ("22.8.0", "alaw", "websocket"),
    ],
)
def test_auto_passes_over_what_does_not_carry_the_format(version: str, format: str, transport: str) -> None:
    choice = choose("auto", Facts(version, ALL), format)  # type: ignore[arg-type]  # one of its values
    assert choice.transport == transport and format in choice.formats


def test_what_is_configured_and_cannot_be_is_refused_with_the_reason() -> None:
    with pytest.raises(Unsuitable, match="too old") as old:
        choose("websocket", Facts("22.7.0", ALL))
    assert "auto" in str(old.value.hint)
    with pytest.raises(Unsuitable, match="not loaded"):
        choose("websocket", Facts("22.9.0", frozenset({AUDIOSOCKET_MODULE})))
    with pytest.raises(Unsuitable, match=AUDIOSOCKET_MODULE) as none:
        choose("auto", Facts("18.0.0", frozenset()))
    assert all(module in none.value.message for module in (AUDIOSOCKET_MODULE, RTP_MODULE)) and none.value.hint
    with pytest.raises(Unsuitable, match="too old"):
        choose("rtp", Facts("16.5.1", ALL))
    with pytest.raises(Unsuitable, match=r"chan_rtp\.so is not loaded"):
        choose("rtp", Facts("18.0.0", BOTH))
    with pytest.raises(Unsuitable, match="does not carry alaw"):
        choose("auto", Facts("22.7.0", BOTH), "alaw")
    with pytest.raises(Unsuitable, match="too old for slin16") as narrow:
        choose("audiosocket", Facts("18.0.0", BOTH), "slin16")
    assert "format: auto" in str(narrow.value.hint)
    with pytest.raises(Unsuitable, match="does not carry slin16"):
        choose("rtp", Facts("22.10.1", ALL), "slin16")
    assert choose("audiosocket", Facts("22.10.1", BOTH)) == Choice("audiosocket", LINEAR, "configured")
    assert choose("rtp", Facts("22.10.1", ALL)) == Choice("rtp", RTP, "configured")


@settings(deadline=None)
@given(
    st.text(),
    st.sets(st.sampled_from(sorted(ALL))),
    st.sampled_from(["auto", "websocket", "audiosocket", "rtp"]),
    st.sampled_from(["auto", *sorted(EVERY)]),
)
def test_any_version_text_gives_a_choice_that_can_be_or_a_typed_error(
    version: str, modules: set[str], wanted: str, format: str
) -> None:
    with contextlib.suppress(Unsuitable):
        choice = choose(wanted, Facts(version, frozenset(modules)), format)  # type: ignore[arg-type]  # drawn from their values
        assert wanted in ("auto", choice.transport)
        assert format == "auto" or format in choice.formats
        assert f"chan_{choice.transport}.so" in modules


@pytest.mark.parametrize(
    ("native", "format"),
    [
        ("(ulaw)", "ulaw"), ("(alaw|ulaw)", "alaw"), ("(g722|ulaw)", "slin16"), ("(ulaw|g722)", "ulaw"),
        ("(slin192)", "slin16"), ("(opus)", "slin16"), ("(slin16)", "slin16"), ("(slin)", "slin"), ("", "slin"),
        ("(nothing)", "slin"), ("(g729)", "slin"),
    ],
)  # fmt: skip
def test_the_format_follows_the_callers_codec(native: str, format: str) -> None:
    assert format_for(native, EVERY, wanted="auto").name == format
    for wanted in FORMATS:
        assert format_for(native, EVERY, wanted=wanted).name == wanted
    assert format_for(native, NARROW, wanted="auto").name == "slin"
    assert format_for(native, LINEAR, wanted="auto").name == ("slin16" if format == "slin16" else "slin")
    narrow = format_for(native, EVERY, wanted="auto", wideband=False)
    assert narrow.name == ("slin" if format == "slin16" else format) and narrow.rate == 8000


def test_what_a_frame_of_a_format_is() -> None:
    sizes = {name: (each.rate, each.frame_samples, each.frame_bytes, each.pcm_bytes) for name, each in FORMATS.items()}
    assert sizes == {
        "ulaw": (8000, 160, 160, 320), "alaw": (8000, 160, 160, 320), "slin": (8000, 160, 320, 320),
        "slin16": (16000, 320, 640, 640),
    }  # fmt: skip
