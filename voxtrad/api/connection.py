"""A client's connection: what aiohttp answers by itself, where it finds no request to hand on, is a problem, too.

So is everything that goes past the application's middlewares: an `Expect` that nobody knows.
"""

from __future__ import annotations

from typing import Any

import structlog
from aiohttp import web
from aiohttp.http_exceptions import LineTooLong

from voxtrad.api.problems import Problem, dress, translated

log = structlog.stdlib.get_logger(__name__)


class Connection(web.RequestHandler):
    """aiohttp's own, in the words of this API."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what is no request. Raises `ConnectionError` where another answer has begun."""
        if status >= 500:
            log.error("a request failed", exc_info=exc)
        else:  # strangers send anything, and may not fill the log with it
            log.debug("no request of HTTP", at=request.remote, reason=message)
        if request.writer.output_size > 0:
            raise ConnectionError("another answer has begun")
        response = _broken(status, exc, message or "").response()
        dress(response)
        response.force_close()
        return response

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        if isinstance(resp, web.HTTPException):
            resp = translated(resp).response()
        return await super().finish_response(request, resp, start_time)

    def log_exception(self, *args: Any, **kw: Any) -> None:
        if isinstance(kw.get("exc_info"), web.RequestPayloadError):
            return  # a body that cannot be read, of which the client was told
        super().log_exception(*args, **kw)


def _broken(status: int, exc: BaseException | None, why: str) -> Problem:
    if status >= 500:
        return Problem(status, "something went wrong inside; the log says what")
    if isinstance(exc, LineTooLong):
        return Problem(431, "a line of the request's head is too long")
    why = why.strip().partition("\n")[0].rstrip(" .:")[:100]  # what follows quotes the request
    return Problem(status, f"this is no request of HTTP/1.1: {why}")
