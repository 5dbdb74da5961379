"""Signs what voxtrad posts, so that a receiver knows who sent it: Standard Webhooks, symmetric (`v1`).

Anything that is posted to a user's back-end goes through a `Signer`. It leaves ids, bodies and the sending to others.
Source: "Standard Webhooks" specification, sections "Webhook headers" and "Signature scheme".
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence

from voxtrad.errors import VoxtradError

_PREFIX = "whsec_"
_KEY_BYTES = range(24, 65)
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}\Z")
_HINT = "make one with: echo whsec_$(openssl rand -base64 32)"


class BadSecret(VoxtradError):
    """A webhook secret that is not a Standard Webhooks secret. The message does not hold it."""


class Signer:
    """Makes the three headers of a signed message.

    `secrets` are written `whsec_` and then 24 to 64 random bytes in base64. Any other form is refused with `BadSecret`:
    receivers' libraries decode base64 leniently, so a secret in plain words would be a shorter, different key for each
    of them. While a secret is rotated give the old and the new one: each adds a signature and a receiver takes any.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        if not secrets:
            raise BadSecret("a signed webhook needs a secret", hint=_HINT)
        self._keys = [_key(secret) for secret in secrets]

    def headers(self, message_id: str, timestamp: float, body: bytes) -> dict[str, str]:
        """Headers for exactly these bytes, posted at `timestamp` (seconds since 1970).

        `message_id` is the receiver's idempotency key: the same for each attempt. It is of letters, digits, `_` and
        `-`, 128 at most, else `ValueError` (a dot would make the signed text ambiguous).
        """
        if not _ID.match(message_id):
            raise ValueError(f"not a message id: {message_id!r}")
        seconds = str(int(timestamp))
        signed = f"{message_id}.{seconds}.".encode() + body
        digests = [hmac.new(key, signed, hashlib.sha256).digest() for key in self._keys]
        return {
            "webhook-id": message_id,
            "webhook-timestamp": seconds,
            "webhook-signature": " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests),
        }


def _key(secret: str) -> bytes:
    if not secret.startswith(_PREFIX):
        raise BadSecret(f"a webhook secret must start with {_PREFIX}", hint=_HINT)
    text = secret.removeprefix(_PREFIX).rstrip("=")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:  # ValueError: characters beyond ASCII
        raise BadSecret(f"what follows {_PREFIX} in a webhook secret must be base64", hint=_HINT) from error
    if len(key) not in _KEY_BYTES:
        raise BadSecret(f"a webhook secret must hold 24 to 64 bytes, this one holds {len(key)}", hint=_HINT)
    return key
