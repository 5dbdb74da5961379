"""Who may do what: bearer tokens with scopes, and how often somebody may guess.

Pure: the time goes in, nothing is read or written, but for `tokens: auto`, whose token is kept in a file.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import structlog

from voxtrad.config.server import Scope, ServerConfig
from voxtrad.errors import VoxtradError, in_words

log = structlog.stdlib.get_logger(__name__)

ALL: frozenset[Scope] = frozenset(get_args(Scope))
TOKEN_FILE = "token"
"""In `data_dir`: the token that `tokens: auto` makes."""


class TokenError(VoxtradError):
    """There is no safe way to serve the API like this."""


@dataclass(frozen=True, slots=True)
class Client:
    """Whoever asks: the token's name for the audit log, and what it allows."""

    name: str
    scopes: frozenset[Scope]


LOCAL = Client("local", ALL)
"""Somebody on this machine: where no token is demanded, or with the key of this run (`voxtrad.lease`)."""


NOBODY = Client("nobody", frozenset())
"""Somebody who was not asked for a token, or gave none that is known."""


class Tokens:
    """The tokens of a configuration; only their hashes are kept."""

    def __init__(self, known: Sequence[tuple[Client, str]], key: str | None = None) -> None:
        """None known at all: no token is demanded. `key` opens to this machine's own, and demands nothing."""
        self._known = [(client, _digest(token)) for client, token in known]
        self._keys = [] if key is None else [(LOCAL, _digest(key))]

    @classmethod
    def of(
        cls,
        server: ServerConfig,
        *,
        listen: str | None = None,
        key: str | None = None,
        hide: Callable[[Iterable[str]], None] = lambda secrets: None,
    ) -> Tokens:
        """`listen` is where the server listens already, whatever the configuration says now; `key` lets in whoever
        reads it on this machine; `hide` is told of a token that does not stand in the configuration.

        Raises `TokenError` where others could come in without a token, or `tokens: auto` cannot keep one.
        """
        if server.tokens == "auto":
            token = made_token(server.data_dir)
            hide((token,))
            log.info("the API's token", file=str(server.data_dir / TOKEN_FILE))
            return cls([(Client("auto", ALL), token)], key)
        listen = listen or server.listen
        if not server.tokens and not is_loopback(listen.rpartition(":")[0].strip("[]")):
            raise TokenError(
                f"others can reach {listen}, and no token is demanded",
                hint="set server.tokens, or 'tokens: auto', or listen on 127.0.0.1",
            )
        return cls(
            [(Client(token.name, frozenset(token.scopes)), token.token.get_secret_value()) for token in server.tokens],
            key,
        )

    @property
    def demanded(self) -> bool:
        return bool(self._known)

    def find(self, token: str) -> Client | None:
        """Whose token this is. Takes as long for a wrong one as for a right one."""
        given, found = _digest(token), None
        for client, digest in (*self._known, *self._keys):
            if hmac.compare_digest(given, digest):
                found = client
        return found


class Guesses:
    """How many wrong tokens came from where. After `most` of them within `window` seconds no more are looked at
    from there; who has a known token is let in (`gate.py`).

    At most `sources` addresses are remembered; where there are more, the oldest is forgotten.
    """

    def __init__(self, most: int = 10, window: float = 60.0, sources: int = 10_000) -> None:
        self._most = most
        self._window = window
        self._sources = sources
        self._wrong: dict[str, tuple[float, int]] = {}

    def wait(self, source: str, now: float) -> float:
        """Seconds until somebody from there may try again; 0 for at once."""
        since, count = self._wrong.get(_network(source), (0.0, 0))
        left = since + self._window - now
        return left if count >= self._most and left > 0 else 0.0

    def wrong(self, source: str, now: float) -> None:
        """A wrong token came from there."""
        network = _network(source)
        since, count = self._wrong.pop(network, (now, 0))
        self._wrong[network] = (since, count + 1) if now - since < self._window else (now, 1)
        if len(self._wrong) > self._sources:
            del self._wrong[next(iter(self._wrong))]


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a listener there, or is meant by the name."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def made_token(data_dir: Path) -> str:
    """The token in `data_dir`, which is made at the first start; only the owner may read it. Raises `TokenError`."""
    path = data_dir / TOKEN_FILE
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            path.chmod(0o600)
        else:
            with os.fdopen(descriptor, "w") as file:
                file.write(f"{secrets.token_urlsafe(32)}\n")
        token = path.read_text().strip()
    except OSError as error:
        raise TokenError(f"the API's token cannot be kept in {path}: {in_words(error)}") from error
    except UnicodeDecodeError as error:
        raise TokenError(f"{path} is no text", hint="delete it, and a token is made at the next start") from error
    if not token:
        raise TokenError(f"{path} is empty", hint="delete it, and a token is made at the next start")
    return token


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def _network(source: str) -> str:
    """An address, or for IPv6 the network of 64 bits that one customer has."""
    try:
        address = ipaddress.ip_address(source)
    except ValueError:
        return source
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else str(address)
