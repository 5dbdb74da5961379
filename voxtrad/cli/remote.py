"""Asks the running server over its HTTP API, as the commands that change something of it must."""

from __future__ import annotations

import json
import ssl
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from voxtrad.errors import VoxtradError
from voxtrad.events.types import JSON

if TYPE_CHECKING:
    from pathlib import Path

    from voxtrad.config.models import Config
    from voxtrad.config.server import Scope

TOKEN_FILE = "token"
"""In `data_dir`: the token that `tokens: auto` makes."""
TIMEOUT = 10.0
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "*": "127.0.0.1"}  # what to ask where all is listened


class RemoteError(VoxtradError):
    """The server could not be asked, or said no."""


def ask_server(
    config: Config, data_dir: Path, method: str, path: str, body: JSON = None, *, scope: Scope = "read"
) -> JSON:
    """The server's answer as JSON; asked with the first token that has `scope`. Raises `RemoteError`."""
    base = server_url(config)
    request = Request(
        base + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json", **_authorization(config, data_dir, scope)},
    )
    tls = config.server.tls
    context = ssl.create_default_context(cafile=tls.cert) if tls else None
    if context:
        context.check_hostname = False  # the certificate names the public host; it is ours, from the file
    try:
        with urlopen(request, timeout=TIMEOUT, context=context) as answer:
            return _json(answer.read())
    except HTTPError as error:
        problem = _json(error.read())
        told = problem.get("detail") or problem.get("title") if isinstance(problem, dict) else None
        errors = problem.get("errors") if isinstance(problem, dict) else None
        lines = [f"the server refused: {told or f'HTTP {error.code}'}", *(errors if isinstance(errors, list) else ())]
        raise RemoteError("\n".join(map(str, lines))) from error
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", error)
        raise RemoteError(f"the server at {base} does not answer: {reason}", hint="is it running?") from error


def server_url(config: Config) -> str:
    """Where this machine reaches the server."""
    host, _, port = config.server.listen.rpartition(":")
    host = host.strip("[]")
    host = _EVERYWHERE.get(host, host)
    return f"{'https' if config.server.tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def _authorization(config: Config, data_dir: Path, scope: Scope) -> dict[str, str]:
    tokens = config.server.tokens
    if tokens == "auto":
        try:
            token = (data_dir / TOKEN_FILE).read_text().strip()
        except OSError as error:
            raise RemoteError(f"the token cannot be read: {error}") from error
        return {"Authorization": f"Bearer {token}"}
    for entry in tokens:
        if scope in entry.scopes:
            return {"Authorization": f"Bearer {entry.token.get_secret_value()}"}
    return {}


def _json(text: bytes) -> JSON:
    try:
        value: JSON = json.loads(text)
    except ValueError:
        return None
    return value
