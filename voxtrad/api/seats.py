"""How many of a thing may be open at once: what a client holds open costs the server, whether or not it is used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from voxtrad.api.problems import Problem

AGAIN = 5
"""Seconds after which somebody who was turned away may ask again."""


class Seats:
    """At most `most` are taken. `what` names them for who comes too late."""

    def __init__(self, most: int, what: str) -> None:
        self._most = most
        self._what = what
        self._taken = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """A seat, until the block is left. Raises `Problem`."""
        if self._taken >= self._most:
            raise Problem(503, f"{self._most} {self._what}, as many as may be", headers={"Retry-After": str(AGAIN)})
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
