"""Log lines as they come out."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrad.ledger.sensitive import HIDDEN, Sensitive
from voxtrad.observability.log import Redaction, configure, shorten

SECRET = 'sk-"quoted"\\and/löng=42'


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Log set-up is the process's own: put it back."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_where_there_is_no_terminal() -> None:
    out = io.StringIO()
    configure(stream=out)
    structlog.stdlib.get_logger("voxtrad.x").info("a call rings", agent="support", n=1, of=["a", {"b": None}])
    (line,) = lines(out)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "a call rings", "agent": "support", "n": 1, "of": ["a", {"b": None}],
        "level": "info", "logger": "voxtrad.x",
    }  # fmt: skip


def test_lines_for_people_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = Terminal()
    configure(stream=out)
    structlog.stdlib.get_logger("voxtrad.x").warning("no Asterisk", url="http://pbx")
    assert "no Asterisk" in out.getvalue() and "\x1b[" in out.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    out = Terminal()
    configure(stream=out)
    structlog.stdlib.get_logger("voxtrad.x").warning("no Asterisk", url="http://pbx")
    assert "url=http://pbx" in out.getvalue() and "\x1b[" not in out.getvalue()


def test_the_format_can_be_chosen() -> None:
    out = Terminal()
    configure(format="json", stream=out)
    structlog.stdlib.get_logger("x").info("hello")
    assert lines(out)[0]["event"] == "hello"
    plain = io.StringIO()
    configure(format="console", stream=plain)
    structlog.stdlib.get_logger("x").info("hello")
    assert not plain.getvalue().startswith("{")


def test_the_call_is_on_every_line() -> None:
    out = io.StringIO()
    configure(stream=out)
    with structlog.contextvars.bound_contextvars(call_id="c_1"):
        structlog.stdlib.get_logger("x").info("ours")
        logging.getLogger("library").warning("theirs %d", 7)
    structlog.stdlib.get_logger("x").info("no call")
    assert [(line["event"], line.get("call_id")) for line in lines(out)] == [
        ("ours", "c_1"), ("theirs 7", "c_1"), ("no call", None),
    ]  # fmt: skip


def test_level() -> None:
    out = io.StringIO()
    configure(level="warning", stream=out)
    log = structlog.stdlib.get_logger("x")
    log.info("quiet")
    log.warning("heard")
    configure(level="debug", stream=out)
    log.debug("heard too")
    assert [line["event"] for line in lines(out)] == ["heard", "heard too"]


@pytest.mark.parametrize("name", ["aiohttp.access", "openai._base_client", "httpx", "asyncio"])
def test_libraries_are_quiet_also_at_debug(name: str) -> None:
    out = io.StringIO()
    configure(level="debug", stream=out)
    logging.getLogger(name).info("GET / 200")
    logging.getLogger(name).debug("Authorization: Bearer x")
    logging.getLogger(name).error("broken")
    assert [line["event"] for line in lines(out)] == ["broken"]


def test_warnings_are_lines() -> None:
    out = io.StringIO()
    configure(stream=out)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert "DeprecationWarning: old" in lines(out)[0]["event"]


def test_configured_again_it_writes_once() -> None:
    out = io.StringIO()
    configure(stream=io.StringIO())
    log = structlog.stdlib.get_logger("x")
    log.info("before")
    configure(stream=out, secrets=["new-secret"])
    log.info("new-secret")
    assert [line["event"] for line in lines(out)] == ["(hidden)"]


@pytest.mark.parametrize("format", ["json", "console"])
def test_no_secret_in_any_line(format: Any) -> None:
    out = io.StringIO()
    configure(format=format, stream=out, secrets=[SECRET, "", "sk-"])
    log = structlog.stdlib.get_logger("x")

    class Thing:
        def __repr__(self) -> str:
            return f"<{SECRET}>"

    log.info(f"connecting with {SECRET}", key=SECRET, deep={"a": [SECRET, {SECRET: (SECRET,)}]}, thing=Thing())
    log.warning("url", url=f"http://user:{SECRET}@host/?q={SECRET}", error=ValueError(SECRET))
    log.warning(json.dumps({"key": SECRET}), url=f"http://host/?q={quote(SECRET, safe='')}")
    logging.getLogger("library").error("header %s", SECRET)
    try:
        token = SECRET
        raise ValueError(token)
    except ValueError:
        log.exception("broken")
    text = out.getvalue()
    assert "ValueError" in text and text.count("(hidden)") >= 12
    assert "quoted" not in text


def test_a_short_secret_is_hidden_where_it_can_be_nothing_else() -> None:
    out = io.StringIO()
    configure(stream=out, secrets=["voxtrad"])
    structlog.stdlib.get_logger("voxtrad.daemon").info(
        "voxtrad is ready", password="voxtrad", url="http://voxtrad:voxtrad@pbx"
    )
    (line,) = lines(out)
    assert (line["event"], line["logger"]) == ("voxtrad is ready", "voxtrad.daemon")
    assert (line["password"], line["url"]) == ("(hidden)", "http://voxtrad:(hidden)@pbx")


def test_numbers_are_shortened() -> None:
    out = io.StringIO()
    configure(stream=out)
    log = structlog.stdlib.get_logger("x")
    log.info("rings", caller="02071234567", dialled="1000", channel="PJSIP/trunk-0000001f", id="1764000000.15")
    log.info("routed +442071234512 to +15550100, order 4420712345", caller="+442071234512")
    assert (lines(out)[0]["caller"], lines(out)[0]["dialled"]) == ("02071…67", "1000")
    assert (lines(out)[0]["channel"], lines(out)[0]["id"]) == ("PJSIP/trunk-0000001f", "1764000000.15")
    assert lines(out)[1]["event"] == "routed +4420…12 to +1555…00, order 4420712345"
    assert lines(out)[1]["caller"] == "+4420…12"


@pytest.mark.parametrize(
    ("channel", "shown"),
    [
        ("PJSIP/trunk-0000001f", "PJSIP/trunk-0000001f"),
        ("PJSIP/100-00000012", "PJSIP/100-00000012"),
        ("Local/447911123456@out-00000001;1", "Local/44791…56@out-00000001;1"),
        ("PJSIP/+447911123456-00000012", "PJSIP/+4479…56-00000012"),
    ],
)
def test_numbers_in_channels_are_shortened(channel: str, shown: str) -> None:
    out = io.StringIO()
    configure(stream=out)
    structlog.stdlib.get_logger("x").info("rings", channel=channel)
    assert lines(out)[0]["channel"] == shown


@pytest.mark.parametrize("debug", [True, False])
def test_what_an_agents_privacy_leaves_of_a_line(debug: bool) -> None:
    out = io.StringIO()
    configure(level="debug" if debug else "info", stream=out)
    log = structlog.stdlib.get_logger("x")
    for privacy in ("full", "redacted", "none"):
        with structlog.contextvars.bound_contextvars(call_id="c_12345678", privacy=privacy):
            log.info("call", caller="442071234512", leg="1764000000.15", agent="a", seconds=1.5)
            log.info("tool 1234", reason="order 1234 of ann@example.com", more={"4567": ["b", 7]}, tool="t")
    log.info("no call", reason="order 1234")
    full, _, redacted, told, none, nothing, after = lines(out)
    assert full["caller"] == ("442071234512" if debug else "44207…12")
    assert redacted["caller"].endswith("12") and "4512" not in redacted["caller"]
    assert (told["event"], told["reason"]) == ("tool [number]", "order [number] of [email]")
    assert (told["more"], told["tool"]) == ({"[number]": ["b", 7]}, "t")
    assert (none["caller"], none["seconds"], none["agent"]) == ("(hidden)", 1.5, "a")
    assert (nothing["reason"], nothing["more"], nothing["tool"]) == ("(hidden)", "(hidden)", "t")
    assert {line["leg"] for line in (full, redacted, none)} == {"1764000000.15"}
    assert {line["call_id"] for line in (redacted, told, none)} == {"c_12345678"}
    assert not any("privacy" in line for line in lines(out))
    assert after["reason"] == "order 1234"


def test_no_number_that_a_caller_keyed_in_and_nobody_may_keep() -> None:
    out = io.StringIO()
    configure("info", "json", stream=out)
    numbers = Sensitive()
    log = structlog.stdlib.get_logger("test")
    with structlog.contextvars.bound_contextvars(call_id="c_4711", sensitive_numbers=numbers):
        numbers.add("4711")
        log.info("a tool said 4711", answer={"pin": 4711}, tool="pin-4711")
        logging.getLogger("library").warning("sent %s", "4711")
    log.info("another call has 4711 things")
    first, second, third = lines(out)
    assert (first["event"], first["answer"], first["call_id"]) == (f"a tool said {HIDDEN}", {"pin": HIDDEN}, "c_4711")
    assert second["event"] == f"sent {HIDDEN}"
    assert third["event"] == "another call has 4711 things"
    assert not any("sensitive_numbers" in line for line in lines(out))


def test_a_handler_may_log_what_is_sensitive_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    out = io.StringIO()
    configure("info", "json", stream=out)
    numbers = Sensitive()
    numbers.add("4711")
    with structlog.contextvars.bound_contextvars(sensitive_numbers=numbers):
        structlog.stdlib.get_logger("handler").info("collected 4711", sensitive=True)
    (line,) = lines(out)
    assert (line["event"], line["sensitive"]) == (f"collected {HIDDEN}", True)
    assert "4711" not in capsys.readouterr().err


def test_whoever_debugs_sees_numbers() -> None:
    out = io.StringIO()
    configure(level="debug", stream=out)
    structlog.stdlib.get_logger("x").info("rings", caller="+442071234512")
    assert lines(out)[0]["caller"] == "+442071234512"
    assert shorten("+442071234512") == "+4420…12"


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(deadline=None)
@given(secret=st.text(min_size=8), before=st.text(), value=plain, numbers=st.booleans())
def test_whatever_is_logged_holds_no_secret(secret: str, before: str, value: Any, numbers: bool) -> None:
    event = {"event": before + secret, "values": [value, {"x": secret + before}], "key": {secret: value}}
    redacted = Redaction([secret], numbers=numbers)(None, "info", event)

    def texts(value: object) -> Iterator[str]:
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            for key, item in value.items():
                yield from (key, *texts(item))
        elif isinstance(value, list):
            for item in value:
                yield from texts(item)

    hidden = [text for text in texts(redacted) if secret in text]
    assert not hidden or secret in "(hidden)"


def test_what_is_hidden_later_is_hidden_beside_what_was_before() -> None:
    out = io.StringIO()
    redaction = configure(stream=out, secrets=["the-first-secret"])
    log = structlog.stdlib.get_logger("voxtrad.x")
    redaction.hide(["the-second-secret", ""])
    redaction.hide(["the-third-secret"])
    log.info("the-first-secret the-second-secret the-third-secret")
    assert lines(out)[0]["event"] == "(hidden) (hidden) (hidden)"
