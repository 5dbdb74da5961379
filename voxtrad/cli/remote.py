"""Asks the running server over its HTTP API, as the commands that change something of it must.

Where a server runs on this machine, and its file in `data_dir` may be read, that file says where it is and lets the
command in: what the configuration says by now may need a restart. Otherwise the configuration is gone by.
"""

from __future__ import annotations

import json
import ssl
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

from voxtrad.errors import VoxtradError, in_words
from voxtrad.events.types import JSON
from voxtrad.lease import Address, address_of_living

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voxtrad.config.models import Config
    from voxtrad.config.server import Scope, ServerConfig

TOKEN_FILE = "token"
"""In `data_dir`: the token that `tokens: auto` makes."""
TIMEOUT = 10.0
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]", "*": "127.0.0.1"}  # what to ask where all is listened


class RemoteError(VoxtradError):
    """The server could not be asked, or said no; `problem` is the problem JSON of its answer, where there is one."""

    def __init__(self, message: str, *, hint: str | None = None, problem: JSON = None) -> None:
        super().__init__(message, hint=hint)
        self.problem = problem


def ask_server(config: Config, method: str, path: str, body: JSON = None, *, scope: Scope = "read") -> JSON:
    """The server's answer as JSON; asked with the first token that has `scope`, where it needs one of the
    configuration. Raises `RemoteError`."""
    data = None if body is None else json.dumps(body).encode()
    unreachable: list[str] = []
    for address in _addresses(config.server, scope):
        try:
            return _ask(address, method, path, data)
        except URLError as error:  # nothing was asked yet: there may be another place
            why = in_words(error.reason) if isinstance(error.reason, OSError) else error.reason
            unreachable.append(f"the server at {address.url} does not answer: {why}")
        except OSError as error:
            raise RemoteError(f"the server at {address.url} does not answer: {in_words(error)}") from error
    raise RemoteError("\n".join(dict.fromkeys(unreachable)), hint="is it running?")


def _addresses(server: ServerConfig, scope: Scope) -> Iterator[Address]:
    """Where to ask, the likeliest first."""
    living = address_of_living(server.data_dir)
    if living is not None:
        yield Address(_from_here(living.url), living.key, living.certificate)
    try:
        certificate = server.tls.cert.read_text(encoding="ascii", errors="ignore") if server.tls else None
    except OSError as error:
        raise RemoteError(f"the server's certificate cannot be read: {in_words(error)}") from error
    scheme = "http" if certificate is None else "https"
    yield Address(_from_here(f"{scheme}://{server.listen}"), _token(server, scope), certificate)


def _ask(address: Address, method: str, path: str, data: bytes | None) -> JSON:
    headers = {"Content-Type": "application/json"}
    if address.key:
        headers["Authorization"] = f"Bearer {address.key}"
    context = None if address.certificate is None else _trusting(address.certificate)
    opener = build_opener(ProxyHandler({}), HTTPSHandler(context=context))  # no proxy is between us and this machine
    try:
        with opener.open(Request(address.url + path, data, headers, method=method), timeout=TIMEOUT) as answer:
            return _json(answer.read())
    except HTTPError as error:
        problem = _json(error.read())
        told = problem.get("detail") or problem.get("title") if isinstance(problem, dict) else None
        errors = problem.get("errors") if isinstance(problem, dict) else None
        lines = [f"the server refused: {told or f'HTTP {error.code}'}", *(errors if isinstance(errors, list) else ())]
        raise RemoteError("\n".join(map(str, lines)), problem=problem) from error


def _trusting(certificate: str) -> ssl.SSLContext:
    """Whoever serves with this very certificate is ours; it names the public host, which is not asked here."""
    try:
        context = ssl.create_default_context(cadata=certificate)
    except ssl.SSLError as error:
        raise RemoteError(
            f"the server's certificate cannot be used: {in_words(error)}", hint="see server.tls"
        ) from error
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False
    return context


def _from_here(url: str) -> str:
    """Where this machine reaches a server that listens at `url`."""
    scheme, _, rest = url.partition("://")
    host, _, port = rest.rpartition(":")
    return f"{scheme}://{_EVERYWHERE.get(host, host)}:{port}"


def _token(server: ServerConfig, scope: Scope) -> str:
    """The first token of the configuration that allows it; empty where there is none."""
    if server.tokens == "auto":
        try:
            return (server.data_dir / TOKEN_FILE).read_text().strip()
        except OSError as error:
            raise RemoteError(f"the token cannot be read: {in_words(error)}") from error
    allowing = (entry.token.get_secret_value() for entry in server.tokens if scope in entry.scopes)
    return next(allowing, "")


def _json(text: bytes) -> JSON:
    try:
        value: JSON = json.loads(text)
    except ValueError:
        return None
    return value
