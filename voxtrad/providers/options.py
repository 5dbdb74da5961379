"""The two usual connections of a provider, URLs and keys: what the models of many provider modules have in common.

Every provider module derives its own models from `ConfigModel` and these; nothing here knows a vendor.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, SecretStr
from pydantic_core import PydanticCustomError

from voxtrad.config.network_types import check_url
from voxtrad.config.types import ConfigModel, Duration, Secret, Text, editor_form


class Embedded(ConfigModel):
    """The connection of a provider that runs inside voxtrad: there is nothing to connect to."""


def _check_url(url: str) -> str:
    scheme, _, rest = url.partition("://")
    host = rest.partition("/")[0]
    if scheme not in ("http", "https", "ws", "wss") or not host or " " in url:
        raise PydanticCustomError("url", "must be a URL that begins with http://, https://, ws:// or wss://")
    if "@" in host:
        raise PydanticCustomError("url", "must not hold credentials: a key belongs under api_key")
    return check_url(url).rstrip("/")


BaseUrl = Annotated[
    Text,
    AfterValidator(_check_url),
    editor_form("^(https?|wss?)://[^/@ ]+(/[^ ]*)?$", "must be a URL with http, https, ws or wss, and no key in it"),
]
"""Where a vendor's API is, without a slash at its end."""


_KEY: Final = r"^[!-~]([ -~]*[!-~])?$"
_KEY_WORDS: Final = "must be printable ASCII, without a space or a line break around it"


def _check_key(key: SecretStr) -> SecretStr:
    """It goes into a header as it is: what cannot stand there fails in every call, and some clients then say all."""
    text = key.get_secret_value()
    if not text.startswith("${") and not re.fullmatch(_KEY, text):  # a reference that failed was reported
        raise PydanticCustomError("api_key", _KEY_WORDS)
    return key


ApiKey = Annotated[Secret, AfterValidator(_check_key), editor_form(_KEY, _KEY_WORDS)]
"""The key of a vendor's API."""


class NetworkConnection(ConfigModel):
    """The connection of a provider that is reached over the network; vendors add their key."""

    base_url: BaseUrl | None = None
    """Where the API is, when not at the vendor's own address: http, https, ws or wss."""
    timeout: Duration = 10.0
    """How long a request may stay without any answer before it counts as failed."""


def http_url(url: str) -> str:
    """The URL with ws turned into http and wss into https, for a vendor that is asked over both."""
    return "http" + url[2:] if url.startswith(("ws:", "wss:")) else url


def ws_url(url: str) -> str:
    """The URL with http turned into ws and https into wss."""
    return "ws" + url[4:] if url.startswith(("http:", "https:")) else url
