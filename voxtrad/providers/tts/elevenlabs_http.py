"""Speech by ElevenLabs over HTTP, by its SDK: one request a sentence, audio as it is made, no alignment.

For networks that let no websocket through. Source: ElevenLabs' API reference, "Stream speech", and the `elevenlabs`
package.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import quote

from voxtrad.audio.codec import Codec
from voxtrad.providers.base import (
    MalformedAnswer,
    ProviderError,
    ProviderTimeout,
    RateLimited,
    SpeechChunk,
    TTSCapabilities,
    Unreachable,
)
from voxtrad.providers.extras import needs
from voxtrad.providers.options import http_url
from voxtrad.providers.statuses import of_status, retry_after
from voxtrad.providers.tts.elevenlabs import ElevenLabsOptions, Sound
from voxtrad.providers.vendors.elevenlabs import OFFICIAL, ElevenLabsConnection, of_code

if TYPE_CHECKING:
    from elevenlabs.core.request_options import RequestOptions

_KEEP_IDLE = 300.0
"""Seconds an idle connection is kept, so that the next sentence finds it."""
_PIECE = 1600
"""Bytes of audio handed on at once: 100 ms at 8000 samples per second."""


class ElevenLabsOverHttp:
    """The provider: one client, and so one pool of connections, for all calls."""

    capabilities = TTSCapabilities(codecs=frozenset({"ulaw"}))

    def __init__(self, name: str, connection: ElevenLabsConnection, options: ElevenLabsOptions) -> None:
        """Raises `MissingExtra` where the SDK is not installed."""
        with needs("elevenlabs", name):
            from elevenlabs.client import AsyncElevenLabs
            from httpx import AsyncClient, Limits, Timeout
        self.name = name
        self._options = options
        self._url = http_url(connection.base_url or OFFICIAL)
        self._http = AsyncClient(
            limits=Limits(max_connections=1000, max_keepalive_connections=200, keepalive_expiry=_KEEP_IDLE),
            timeout=Timeout(connection.timeout, connect=min(connection.timeout, 5.0)),
        )
        key = connection.api_key.get_secret_value()
        self._client = AsyncElevenLabs(
            base_url=self._url, api_key=key, timeout=connection.timeout, httpx_client=self._http
        )

    @property
    def fingerprint(self) -> str:
        return f"elevenlabs {self._options.model_dump_json()}"

    async def open(self, *, rate: int, language: str, codec: Codec = "linear") -> ElevenLabsHttpVoice:
        """Open a connection that the first sentence will find; what is wrong with it that one will tell."""
        from httpx import HTTPError

        with suppress(HTTPError):
            await self._http.head(self._url)
        return ElevenLabsHttpVoice(self, rate, codec)

    async def aclose(self) -> None:
        await self._http.aclose()

    def sound(self, rate: int, codec: Codec) -> Sound:
        return Sound(self._options, rate, codec)

    async def speak(self, text: str, output_format: str) -> AsyncGenerator[bytes, None]:
        """The vendor's audio in pieces of any length. Raises `ProviderError`."""
        from elevenlabs.types import PronunciationDictionaryVersionLocator, VoiceSettings

        options = self._options
        once: RequestOptions = {"max_retries": 0, "chunk_size": _PIECE}
        chosen = {
            "language_code": options.language,
            "voice_settings": VoiceSettings.model_validate(options.settings()) if options.settings() else None,
            "pronunciation_dictionary_locators": [
                PronunciationDictionaryVersionLocator.model_validate(entry) for entry in options.dictionaries()
            ],
            "seed": options.seed,
            "enable_logging": None if options.logging else False,
        }
        given = {key: value for key, value in chosen.items() if value is not None and value != []}
        came = False
        with typed_errors(self.name):
            async with self._client.text_to_speech.with_raw_response.stream(
                quote(options.voice, safe=""),
                text=text,
                output_format=output_format,
                model_id=options.model,
                apply_text_normalization=options.text_normalization,
                request_options=once,
                **given,
            ) as answer:
                kind = answer.headers.get("content-type", "")
                if kind.startswith(("application/json", "text/")):
                    raise MalformedAnswer(f"no audio but {kind}", provider=self.name)
                async for piece in answer.data:
                    came = came or bool(piece)
                    yield piece
        if not came and any(char.isalnum() for char in text):
            raise MalformedAnswer("an answer without audio", provider=self.name)


class ElevenLabsHttpVoice:
    """One call's synthesis; the connections are the provider's."""

    def __init__(self, provider: ElevenLabsOverHttp, rate: int, codec: Codec) -> None:
        self._provider = provider
        self._rate = rate
        self._codec = codec

    async def synthesize(self, text: str) -> AsyncIterator[SpeechChunk]:
        sound = self._provider.sound(self._rate, self._codec)
        async with aclosing(self._provider.speak(text, sound.format)) as pieces:
            async for piece in pieces:
                if pcm := sound.push(piece):
                    yield SpeechChunk(pcm)
        if tail := sound.flush():
            yield SpeechChunk(tail)

    async def aclose(self) -> None:
        """Nothing is held."""


@contextmanager
def typed_errors(provider: str) -> Iterator[None]:
    """The SDK's errors as ours; its own carry the answer's headers and are not chained."""
    from elevenlabs.core.api_error import ApiError
    from httpx import HTTPError, TimeoutException

    try:
        yield
    except ApiError as error:
        raise _of_answer(error.status_code, error.body, error.headers or {}, provider) from None
    except TimeoutException as error:
        raise ProviderTimeout("no answer in time", provider=provider) from error
    except HTTPError as error:
        raise Unreachable(f"the connection failed ({type(error).__name__})", provider=provider) from error
    except (ValueError, TypeError, AttributeError, LookupError) as error:
        raise MalformedAnswer(f"an answer that the API does not allow: {error}", provider=provider) from error


def _of_answer(status: int | None, body: object, headers: Mapping[str, str], provider: str) -> ProviderError:
    """By the `detail` of an error's body, which tells more than the status, and else by that."""
    detail = body.get("detail") if isinstance(body, dict) else None
    if isinstance(detail, dict) and status in (400, 401, 403, 422, 429):
        code = str(detail.get("status") or detail.get("code") or "")
        found = of_code(code, " ".join(str(detail.get("message", code)).split())[:300], provider)
        if isinstance(found, RateLimited):
            found.retry_after = retry_after(headers)
        if code and not isinstance(found, Unreachable):
            return found
    return of_status(status or 500, provider, headers)
