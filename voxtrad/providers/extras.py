"""What a provider says when the package of its vendor is not installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from voxtrad.providers.base import ProviderError


class MissingExtra(ProviderError):
    """A configured provider needs a package that comes with an extra of voxtrad."""

    retryable = False


@contextmanager
def needs(extra: str, provider: str) -> Iterator[None]:
    """Turn a failed import into `MissingExtra`, with the line that installs what is missing."""
    try:
        yield
    except ImportError as error:
        package = (error.name or extra).partition(".")[0]
        missing = isinstance(error, ModuleNotFoundError)
        why = (
            f"needs the package '{package}', which is not installed" if missing else f"cannot use '{package}': {error}"
        )
        raise MissingExtra(why, provider=provider, hint=f"pip install 'voxtrad[{extra}]'") from error
