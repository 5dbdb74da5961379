"""The signer against the published library that receivers use."""

from __future__ import annotations

import base64
import contextlib
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from voxtrad.outbound.signing import BadSecret, Signer

OLD = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
NEW = "whsec_" + base64.b64encode(bytes(range(32))).decode()


@settings(deadline=None)
@given(text=st.text(), key=st.binary(min_size=24, max_size=64))
def test_a_receiver_verifies_what_was_signed(text: str, key: bytes) -> None:
    secret = "whsec_" + base64.b64encode(key).decode()
    body = text.encode("utf-8", "replace")
    headers = Signer([secret]).headers("tc_1-A", time.time(), body)
    assert Webhook(secret).verify(body, headers, json_parse=False) is None


def test_the_published_example() -> None:
    """The example of the specification's reference libraries, byte for byte."""
    headers = Signer([OLD]).headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_while_rotating_either_secret_verifies() -> None:
    headers = Signer([OLD, NEW]).headers("tc_1", time.time(), b"{}")
    assert len(headers["webhook-signature"].split(" ")) == 2
    for secret in (OLD, NEW):
        assert Webhook(secret).verify(b"{}", headers) == {}


@pytest.mark.parametrize("change", ["body", "id", "secret"])
def test_a_receiver_refuses_what_was_changed(change: str) -> None:
    headers = Signer([OLD]).headers("tc_1", time.time(), b'{"a":1}')
    if change == "id":
        headers["webhook-id"] = "tc_2"
    with pytest.raises(WebhookVerificationError):
        Webhook(NEW if change == "secret" else OLD).verify(b'{"a":2}' if change == "body" else b'{"a":1}', headers)


def test_base64_may_lack_its_padding() -> None:
    assert Signer([NEW.rstrip("=")]).headers("a", 0, b"") == Signer([NEW]).headers("a", 0, b"")


@pytest.mark.parametrize(
    ("secret", "why"),
    [
        ("correct horse battery staple", "must start with whsec_"),
        ("", "must start with whsec_"),
        ("whsec_", "holds 0"),
        ("whsec_not base64 at all, only words", "must be base64"),
        ("whsec_pässword", "must be base64"),
        ("whsec_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_-_", "must be base64"),
        ("whsec_" + base64.b64encode(b"short").decode(), "holds 5"),
        ("whsec_" + base64.b64encode(bytes(65)).decode(), "holds 65"),
    ],
)
def test_other_secrets_are_refused_without_being_shown(secret: str, why: str) -> None:
    with pytest.raises(BadSecret, match=why) as caught:
        Signer([secret])
    assert caught.value.hint
    if len(secret) > len("whsec_"):
        assert secret.removeprefix("whsec_") not in caught.value.message


def test_no_secret_at_all() -> None:
    with pytest.raises(BadSecret):
        Signer([])


@settings(deadline=None)
@given(secret=st.text().map(lambda text: "whsec_" + text))
def test_any_text_is_a_signer_or_a_clear_refusal(secret: str) -> None:
    with contextlib.suppress(BadSecret):
        assert Signer([secret]).headers("a", 0, b"")["webhook-signature"].startswith("v1,")


@pytest.mark.parametrize("message_id", ["", "a.b", "a b", "a\r\nx: y", "a\n", "ä", "x" * 129])
def test_ids_that_could_be_read_two_ways_are_a_bug(message_id: str) -> None:
    with pytest.raises(ValueError, match="message id"):
        Signer([OLD]).headers(message_id, 0, b"")
