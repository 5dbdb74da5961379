"""Late results: what a webhook tool that answered 202 posts back when its work is done.

Each request carries a one-use token; the HTTP route hands what comes with a token to `deliver`. Nothing is kept once a
tool has stopped waiting.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from voxtrad.errors import VoxtradError
from voxtrad.providers.base import JSON


class UnknownCallback(VoxtradError):
    """Nobody waits for this result, or the token is not the one that was given out."""


class Callback:
    """Where and with which token one tool call's result may be posted."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.token = secrets.token_urlsafe(32)
        self._result: asyncio.Future[JSON] = asyncio.get_running_loop().create_future()

    async def result(self) -> JSON:
        """The body that was posted, once it is."""
        return await self._result

    def settle(self, body: JSON) -> None:
        if not self._result.done():
            self._result.set_result(body)


class Callbacks:
    """All results that are waited for. `public_url` is what the outside world calls this server, from now on."""

    def __init__(self, public_url: str) -> None:
        self.public_url = public_url
        self._open: dict[tuple[str, str], Callback] = {}

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def expect(self, call_id: str, tool_call_id: str) -> Iterator[Callback]:
        """Take a result for this tool call for as long as the context is open."""
        callback = Callback(f"{self.public_url.rstrip('/')}/v1/calls/{call_id}/tools/{tool_call_id}/result")
        self._open[call_id, tool_call_id] = callback
        try:
            yield callback
        finally:
            self._open.pop((call_id, tool_call_id), None)

    def deliver(self, call_id: str, tool_call_id: str, token: str, body: JSON) -> None:
        """Hand over what was posted. The token is used up by it. Raises `UnknownCallback`."""
        callback = self._open.get((call_id, tool_call_id))
        if callback is None or not hmac.compare_digest(callback.token.encode(), token.encode("utf-8", "replace")):
            raise UnknownCallback("nobody waits for a result with this token")
        del self._open[call_id, tool_call_id]
        callback.settle(body)
