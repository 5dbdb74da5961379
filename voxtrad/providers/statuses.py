"""What HTTP's own words mean, whoever the vendor is: a status other than success, and how long to stay away."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from voxtrad.providers.base import BadKey, BadRequest, ProviderError, QuotaExceeded, RateLimited, Unreachable


def of_status(status: int, provider: str, headers: Mapping[str, str] | None = None) -> ProviderError:
    """The error that a status stands for; `headers` are the answer's."""
    match status:
        case 401 | 403:
            return BadKey(f"the credentials were refused ({status})", provider=provider, hint="check api_key")
        case 402:
            return QuotaExceeded("the account is out of credit (402)", provider=provider, hint="check the billing")
        case 429:
            asked = retry_after(headers or {})
            return RateLimited("too many requests at once (429)", provider=provider, retry_after=asked)
        case 400 | 404 | 422:
            return BadRequest(f"refused ({status})", provider=provider, hint="check the provider's options")
        case _ if 300 <= status < 400:
            return redirected(status, provider)
        case _:
            return Unreachable(f"the server failed ({status})", provider=provider)


def redirected(status: int, provider: str) -> BadRequest:
    """The server is elsewhere. It is not followed: a key in a header of the vendor's own would go there too."""
    return BadRequest(f"the server redirects ({status})", provider=provider, hint="check base_url")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds for which a server asks to be left alone: a number of them, or the date until when."""
    told = {name.lower(): value for name, value in headers.items()}
    with suppress(ValueError):
        if milliseconds := told.get("retry-after-ms"):
            return max(0.0, float(milliseconds) / 1000)
    asked = told.get("retry-after", "")
    with suppress(ValueError):
        return max(0.0, float(asked))
    with suppress(ValueError, TypeError, OverflowError):  # a date without its zone, or of no year there is
        return max(0.0, (parsedate_to_datetime(asked) - datetime.now(UTC)).total_seconds())
    return None
