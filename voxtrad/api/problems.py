"""What goes wrong, as RFC 9457 problem JSON: raised by handlers, written by one middleware.

aiohttp's own errors (no such page, method not allowed, body too large) become problems as well, and so does a bug. What
never gets as far as here, because it is no request at all, is `connection.py`'s.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus

import structlog
from aiohttp import web
from aiohttp.typedefs import Handler

from voxtrad.errors import VoxtradError
from voxtrad.events.types import JSON
from voxtrad.ledger.schema import LedgerError

CONTENT_TYPE = "application/problem+json"

log = structlog.stdlib.get_logger(__name__)


class Problem(VoxtradError):
    """An answer that is an error. `more` are members beside those of the RFC, `headers` go with the answer."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        more: Mapping[str, JSON] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.more = more or {}
        self.headers = headers or {}

    def response(self) -> web.Response:
        members = {"type": "about:blank", "title": HTTPStatus(self.status).phrase, "status": self.status}
        text = json.dumps({**members, "detail": self.message, **self.more}, ensure_ascii=False)
        return web.Response(status=self.status, text=text, content_type=CONTENT_TYPE, headers=self.headers)


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The outermost middleware: whatever is raised below becomes an answer."""
    try:
        return await handler(request)
    except Problem as problem:
        return problem.response()
    except web.HTTPException as error:
        return translated(error).response()
    except LedgerError as error:
        return Problem(503, error.message).response()
    except Exception:  # the outermost supervisor of a request: a bug must not show its insides
        log.exception("a request failed", method=request.method, path=request.path)
        return Problem(500, "something went wrong inside; the log says what").response()


def translated(error: web.HTTPException) -> Problem:
    """aiohttp's own words for it, without its formatting."""
    kept = {name: value for name, value in error.headers.items() if name in ("Allow", "Location", "Retry-After")}
    match error.status:
        case 404:
            detail = "there is nothing here; /openapi.json says what there is"
        case 405:
            detail = f"not with this method, but with {kept.get('Allow', 'another')}"
        case 413:
            detail = "the body is too large"
        case 417:
            detail = "the only Expect is 100-continue"
        case _:
            detail = error.reason
    return Problem(error.status, detail, headers=kept)


def dress(response: web.StreamResponse) -> None:
    """Nothing here is for caches, nothing is to be guessed, and nobody is told what this is made with."""
    response.headers["Server"] = "voxtrad"
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Cache-Control", "no-store")
