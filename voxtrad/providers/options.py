"""What the option and connection models of providers have in common: strictness, URLs, and the two usual connections.

Every provider module derives its own models from these; nothing here knows a vendor.
"""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from voxtrad.config.types import Duration


class Options(BaseModel):
    """A frozen model that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Embedded(Options):
    """The connection of a provider that runs inside voxtrad: there is nothing to connect to."""


def _check_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https", "ws", "wss") or not parts.hostname:
        raise ValueError("must be a URL such as https://host/path (http, https, ws or wss)")
    if parts.username or parts.password:
        raise ValueError("must not hold credentials: they belong under api_key")
    return url.rstrip("/")


BaseUrl = Annotated[str, AfterValidator(_check_url)]
"""Where a vendor's API is, without a slash at its end."""


class HTTPConnection(Options):
    """The connection of a provider that is reached over the network; vendors add their key."""

    base_url: BaseUrl | None = Field(
        default=None,
        description="Where the API is, when not at the vendor's own address. http, https, ws or wss.",
    )
    timeout: Duration = Field(
        default=10.0,
        description="How long one request may go without any answer before it counts as failed.",
    )


def http_url(url: str) -> str:
    """The URL with ws turned into http and wss into https, for a vendor that is asked over both."""
    return "http" + url[2:] if url.startswith(("ws:", "wss:")) else url


def ws_url(url: str) -> str:
    """The URL with http turned into ws and https into wss."""
    return "ws" + url[4:] if url.startswith(("http:", "https:")) else url
