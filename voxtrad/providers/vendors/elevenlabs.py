"""ElevenLabs: the connection, where its API is, and its errors as ours.

Source: ElevenLabs' API reference and its pages "Errors" and "Realtime event reference".
"""

from __future__ import annotations

from typing import Final

from voxtrad.providers.base import BadKey, BadRequest, ProviderError, QuotaExceeded, RateLimited, Unreachable
from voxtrad.providers.options import ApiKey, NetworkConnection

OFFICIAL: Final = "https://api.elevenlabs.io"


class ElevenLabsConnection(NetworkConnection):
    api_key: ApiKey
    """The API key."""

    def headers(self) -> dict[str, str]:
        return {"xi-api-key": self.api_key.get_secret_value()}


def of_code(code: str, said: str, provider: str) -> ProviderError:
    """By the code of an error (a message's, a body's) or the reason of a close frame, which is often a sentence."""
    code = code.lower()
    if any(word in code for word in ("api_key", "api key", "auth", "permission")):
        return BadKey("the credentials were refused", provider=provider, hint="check api_key and its permissions")
    if "terms" in code:
        return BadKey("its terms are not accepted", provider=provider, hint="accept them on the vendor's dashboard")
    if "quota" in code:
        return QuotaExceeded(f"the account is out of credit: {said}", provider=provider, hint="check the billing")
    if any(word in code for word in ("rate_limit", "concurrent", "max_active", "busy", "overflow", "exhausted")):
        return RateLimited(f"too many requests: {said}", provider=provider)
    if any(word in code for word in ("voice", "model", "invalid", "unsupported", "input_error", "chunk_size")):
        return BadRequest(f"refused: {said}", provider=provider, hint="check voice, model and options")
    return Unreachable(said, provider=provider)


def of_close(code: int | None, reason: str, provider: str) -> ProviderError:
    """By the close frame of a socket."""
    return of_code(reason, f"the socket was closed ({code} {reason})", provider)
