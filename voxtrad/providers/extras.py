"""What a provider says when the package of its vendor is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from voxtrad.errors import VoxtradError


class MissingExtra(VoxtradError):
    """A configured provider needs a package that comes with an extra of voxtrad."""


@contextmanager
def needs(extra: str, provider: str) -> Iterator[None]:
    """Turn a failed import into `MissingExtra`, with the line that installs what is missing."""
    try:
        yield
    except ImportError as error:
        install = f"pip install 'voxtrad[{extra}]'"
        raise MissingExtra(f"the provider '{provider}' needs a package more: {error}", hint=install) from error
