"""OpenAI and the many servers that speak its API: where they are, their key, the client, and its errors as ours.

The SDK is imported when a client is made, not before. Source: the `openai` package and OpenAI's API reference, "Error
codes".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from pydantic import ConfigDict
from yarl import URL

from voxtrad.config.raising import Contradiction
from voxtrad.config.types import Name, is_set
from voxtrad.providers.base import (
    BadKey,
    BadRequest,
    MalformedAnswer,
    ProviderError,
    ProviderTimeout,
    QuotaExceeded,
    RateLimited,
    Unreachable,
)
from voxtrad.providers.options import ApiKey, NetworkConnection, http_url
from voxtrad.providers.statuses import retry_after

if TYPE_CHECKING:
    from httpx2 import AsyncClient
    from openai import APIError, APIStatusError, AsyncOpenAI

OFFICIAL: Final = "https://api.openai.com/v1"

_KEEP_IDLE = 300.0
"""Seconds an idle connection is kept, so that a caller's next turn finds it: the client's own 5 s are shorter than most
pauses, and each new connection costs a TLS handshake."""


class OpenAIConnection(NetworkConnection):
    model_config = ConfigDict(json_schema_extra={"anyOf": [is_set("api_key"), is_set("base_url")]})

    api_key: ApiKey | None = None
    """The API key. A compatible server of your own (Ollama, vLLM, llama.cpp) usually needs none."""
    organization: Name | None = None
    """The organization that is billed, where there are several."""
    project: Name | None = None
    """The project that is billed, where there are several."""

    def contradictions(self) -> Iterator[Contradiction]:
        if self.api_key is None and self.base_url is None:
            why = "needs an api_key, or the base_url of a server that wants none"
            yield Contradiction(why, ("api_key", "base_url"), whole=True)

    @property
    def official(self) -> bool:
        """Whether this is OpenAI itself: compatible servers know the older names of some fields only."""
        host = URL(self.base_url or OFFICIAL).host or ""
        return host == "api.openai.com" or host.endswith(".api.openai.com")


def make_http(connection: NetworkConnection) -> AsyncClient:
    """The pool of connections, for a vendor's SDK that is written on httpx2."""
    from httpx2 import AsyncClient, Limits, Timeout

    return AsyncClient(
        limits=Limits(max_connections=1000, max_keepalive_connections=200, keepalive_expiry=_KEEP_IDLE),
        timeout=Timeout(connection.timeout, connect=min(connection.timeout, 5.0)),
        follow_redirects=True,
    )


def make_client(connection: OpenAIConnection, http: AsyncClient) -> AsyncOpenAI:
    """A client without retries of its own: another provider is tried instead."""
    from openai import AsyncOpenAI

    return AsyncOpenAI(
        api_key=connection.api_key.get_secret_value() if connection.api_key else "none",
        base_url=http_url(connection.base_url or OFFICIAL),
        organization=connection.organization,
        project=connection.project,
        max_retries=0,
        timeout=http.timeout,
        http_client=http,
    )


async def warm_up(http: AsyncClient, url: str) -> None:
    """Open a connection that the next request will find. Costs nothing, says nothing, never raises."""
    from httpx2 import HTTPError

    try:
        await http.head(url)
    except HTTPError:
        return  # the request that needs it will tell


@contextmanager
def typed_errors(provider: str) -> Iterator[None]:
    """The SDK's errors as ours. No message holds a key: what a vendor says of a refused key is left out."""
    from httpx2 import TimeoutException, TransportError
    from openai import APIConnectionError, APIError, APIStatusError, APITimeoutError, OpenAIError

    try:
        yield
    except (APITimeoutError, TimeoutException) as error:
        raise ProviderTimeout("no answer in time", provider=provider) from error
    except APIConnectionError as error:
        cause = error.__cause__
        what = f"{type(cause).__name__}: {cause}" if cause else error.message
        raise Unreachable(
            f"the connection failed ({what})", provider=provider, hint="check base_url and the network"
        ) from error
    except TransportError as error:  # a body that is read piece by piece raises the client's errors as they are
        raise Unreachable(f"the connection broke ({type(error).__name__}: {error})", provider=provider) from error
    except APIStatusError as error:
        raise _of_status(error, provider) from None  # the answer's body may name the key
    except APIError as error:
        raise of_code(error.code or error.type, _said(error), provider) from None
    except OpenAIError as error:
        raise ProviderError(f"{type(error).__name__}: {error}", provider=provider) from error
    except (ValueError, TypeError, AttributeError, KeyError) as error:  # the SDK parses answers as it finds them
        raise MalformedAnswer(f"an answer that the API does not allow: {error}", provider=provider) from error


def _of_status(error: APIStatusError, provider: str) -> ProviderError:
    status = error.status_code
    said = _said(error)
    if status in (401, 403):
        return BadKey(
            f"the credentials were refused ({status})", provider=provider, hint="check api_key and the model's access"
        )
    if status == 402 or (status == 429 and error.code in ("insufficient_quota", "billing_hard_limit_reached")):
        return QuotaExceeded(
            f"the account is out of credit ({status}): {said}", provider=provider, hint="check the account's billing"
        )
    if status == 429:
        return RateLimited(
            f"too many requests: {said}", provider=provider, retry_after=retry_after(error.response.headers)
        )
    if status in (408, 504):
        return ProviderTimeout(f"the server gave up waiting ({status})", provider=provider)
    if status >= 500:
        return Unreachable(f"the server failed ({status}): {said}", provider=provider)
    hint = "check model and base_url" if status == 404 else "check the provider's options"
    return BadRequest(f"the request was refused ({status}): {said}", provider=provider, hint=hint)


def of_code(code: str | None, said: str, provider: str) -> ProviderError:
    """An error in the middle of a stream, with no status: by its code or type."""
    match code:
        case "insufficient_quota":
            return QuotaExceeded(f"the account is out of credit: {said}", provider=provider)
        case "invalid_api_key" | "authentication_error":
            return BadKey("the credentials were refused", provider=provider, hint="check api_key")
        case "rate_limit_exceeded":
            return RateLimited(f"too many requests: {said}", provider=provider)
        case "invalid_request_error":
            return BadRequest(f"the request was refused: {said}", provider=provider)
        case _:
            return Unreachable(f"the server failed while it answered: {said}", provider=provider)


def _said(error: APIError) -> str:
    """The server's own words, on one line and not too many of them."""
    body = error.body
    words = body.get("message") if isinstance(body, dict) else None
    return " ".join(str(words or error.message).split())[:300]
