"""The door: asks for a token where one is demanded, bounds guessing, and writes down who changed what.

Where no token is demanded only this machine reaches the listener. A web page in this machine's browser does so too:
so a request must then name this machine (no foreign name that was made to lead here) and must not come from a page of
another origin.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import structlog
from aiohttp import web

from voxtrad.api.problems import Problem
from voxtrad.api.table import Endpoint
from voxtrad.api.tokens import LOCAL, NOBODY, Client, Guesses, Tokens, is_loopback
from voxtrad.config.server import Scope

Serve = Callable[[Client], Awaitable[web.StreamResponse]]

LINES = 20
"""Lines of the audit log that strangers at one address may cause within a minute, by being refused."""

audit = structlog.stdlib.get_logger("voxtrad.audit")


class Gate:
    """Lets requests in. `on_wrong` is told of each wrong token."""

    def __init__(self, tokens: Tokens, *, clock: Callable[[], float], on_wrong: Callable[[], None]) -> None:
        self._tokens = tokens
        self._clock = clock
        self._on_wrong = on_wrong
        self._guesses = Guesses()
        self._refusals = Guesses(most=LINES)
        self._locked = Guesses(most=1)

    def replace(self, tokens: Tokens) -> None:
        """Go by these from now on."""
        self._tokens = tokens

    async def let_in(self, request: web.Request, endpoint: Endpoint, serve: Serve) -> web.StreamResponse:
        """Serve a request, or raise `Problem`; whatever changes something or is refused stands in the log."""
        client, status = NOBODY, 500
        try:
            if endpoint.scope is not None:
                client = self._admit(request)
                self._allow(client, endpoint.scope)
            response = await serve(client)
            status = response.status
        except Problem as problem:
            status = problem.status
            raise
        except web.HTTPException as error:
            status = error.status
            raise
        finally:
            refused = status in (401, 403, 429)
            written = refused or request.method not in ("GET", "HEAD")
            if written and (client is not NOBODY or status < 400 or self._worth_a_line(request, status)):
                write = audit.warning if refused else audit.info
                who, at = client.name, request.remote
                write("api", who=who, at=at, method=request.method, path=request.path, status=status)
        return response

    def _admit(self, request: web.Request) -> Client:
        if not self._tokens.demanded:
            _ours(request)
            return LOCAL
        token = bearer(request)
        client = None if token is None else self._tokens.find(token)
        if client is not None:
            return client  # also where somebody else at that address guesses: behind a proxy all have the same
        self._patience(request)
        if token is not None:
            self._wrong(request)
        raise unauthorized("a token is needed" if token is None else "this token is not known")

    def _allow(self, client: Client, scope: Scope) -> None:
        if scope not in client.scopes:
            raise Problem(403, f"the token '{client.name}' has no scope '{scope}'")

    def _patience(self, request: web.Request) -> None:
        if wait := self._guesses.wait(request.remote or "", self._clock()):
            raise Problem(429, "too many wrong tokens from here", headers={"Retry-After": str(int(wait) + 1)})

    def _worth_a_line(self, request: web.Request, status: int) -> bool:
        """Whether one more refusal of a stranger is written down: who is locked out is named once a minute."""
        lines, source, now = self._locked if status == 429 else self._refusals, request.remote or "", self._clock()
        if lines.wait(source, now):
            return False
        lines.wrong(source, now)
        return True

    def _wrong(self, request: web.Request) -> None:
        self._guesses.wrong(request.remote or "", self._clock())
        self._on_wrong()


def bearer(request: web.Request) -> str | None:
    """The token of a request; None where there is none."""
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" and token.strip() else _offered(request)


def _offered(request: web.Request) -> str | None:
    """The token that a page gives with a websocket: a subprotocol `bearer.` and the token as base64url."""
    for protocol in request.headers.get("Sec-WebSocket-Protocol", "").split(","):
        kind, _, token = protocol.strip().partition(".")
        if kind == "bearer" and token:
            try:
                return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
            except ValueError:
                return token
    return None


def unauthorized(detail: str) -> Problem:
    return Problem(401, detail, headers={"WWW-Authenticate": 'Bearer realm="voxtrad"'})


def _ours(request: web.Request) -> None:
    """Raises `Problem` for what a web page of somebody else may have sent."""
    host = request.headers.get("Host", "")
    if not is_loopback(_name(f"//{host}")):
        raise Problem(403, "without tokens only localhost is served; set server.tokens to be reached by another name")
    origin = request.headers.get("Origin")
    if origin is not None and origin.lower() not in (f"http://{host}".lower(), f"https://{host}".lower()):
        raise Problem(403, "without tokens no other site's page is served")


def _name(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
