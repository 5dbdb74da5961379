"""Deepgram: the connection, the client of its SDK, and its errors as ours.

The SDK's own errors carry the request's headers, the key among them: they are never chained to ours nor shown. Source:
the `deepgram-sdk` package and Deepgram's pages "Errors" and "STT troubleshooting WebSocket, NET, and DATA errors".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from voxtrad.providers.base import BadRequest, MalformedAnswer, ProviderError, ProviderTimeout, Unreachable
from voxtrad.providers.extras import needs
from voxtrad.providers.options import ApiKey, NetworkConnection, http_url, ws_url
from voxtrad.providers.statuses import of_status

if TYPE_CHECKING:
    from deepgram import AsyncDeepgramClient

OFFICIAL: Final = "https://api.deepgram.com"


class DeepgramConnection(NetworkConnection):
    api_key: ApiKey
    """The API key of a Deepgram project."""


def make_client(connection: DeepgramConnection, provider: str) -> AsyncDeepgramClient:
    """Raises `MissingExtra` where the SDK is not installed."""
    with needs("deepgram", provider):
        from deepgram import AsyncDeepgramClient
        from deepgram.environment import DeepgramClientEnvironment
    base = connection.base_url or OFFICIAL
    where = DeepgramClientEnvironment(
        base=http_url(base), production=ws_url(base), agent=ws_url(base), agent_rest=http_url(base)
    )
    return AsyncDeepgramClient(
        api_key=connection.api_key.get_secret_value(), environment=where, timeout=connection.timeout
    )


@contextmanager
def typed_errors(provider: str) -> Iterator[None]:
    """The errors of the SDK and of its websocket as ours."""
    from deepgram.core.api_error import ApiError
    from websockets.exceptions import ConnectionClosed, WebSocketException

    try:
        yield
    except ApiError as error:
        raise of_status(error.status_code or 500, provider, _answered(error)) from None
    except ConnectionClosed as closed:
        raise _of_close(closed, provider) from closed
    except TimeoutError as error:
        raise ProviderTimeout("no answer in time", provider=provider) from error
    except (OSError, WebSocketException) as error:
        raise Unreachable(f"the connection failed ({type(error).__name__})", provider=provider) from error
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise MalformedAnswer(f"a message that the API does not allow ({error})", provider=provider) from error


def _answered(error: Exception) -> dict[str, str]:
    """The headers of a refused handshake: the SDK's error has the request's, the one beneath it the answer's."""
    from websockets.datastructures import Headers

    headers = getattr(error.__context__, "headers", None)
    return dict(headers.raw_items()) if isinstance(headers, Headers) else {}


def _of_close(closed: Exception, provider: str) -> ProviderError:
    """By the close frame: 1008 is a payload that is not audio, 1011 the server's own failure or time-out."""
    frame = getattr(closed, "rcvd", None)
    code, reason = getattr(frame, "code", None), getattr(frame, "reason", "")
    if code == 1008:
        return BadRequest(f"the stream was refused: {reason}", provider=provider)
    return Unreachable(
        f"the stream was closed ({code} {reason})" if code else "the stream broke off", provider=provider
    )
