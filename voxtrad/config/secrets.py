"""All secrets of a configuration, so that whoever writes for people to read can leave them out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from pydantic import BaseModel, SecretStr

from voxtrad.config.masking import names_secret

_USERINFO = re.compile(r"\w://[^/\s@:]*:([^/\s@]+)@")
_EXPRESSION = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_TELLING = 8
"""A shorter word within a secret says nothing on its own."""


def secrets_in(model: BaseModel) -> frozenset[str]:
    """Every value below a model that is a secret by its type, by the name of its key, or as a URL's password.

    Of a secret of several words (`Bearer …`) each long one is one too, as is what stands behind a prefix (`whsec_…`);
    of a template only the words that stand beside its expressions. A password that the configuration itself tells, as
    where it is the user's name, is none: to hide it would hide the name.
    """
    return frozenset(secret for value in _values(model) for secret in _forms(value) if secret) - frozenset(_open(model))


def _open(value: object) -> Iterator[str]:
    """Texts that stand in the configuration for everybody to read."""
    match value:
        case BaseModel():
            for name in type(value).model_fields:
                yield from _open(getattr(value, name))
        case str():
            yield value
        case Mapping():
            for key, item in value.items():
                yield str(key)
                if not names_secret(str(key)):
                    yield from _open(item)
        case tuple() | list():
            for item in value:
                yield from _open(item)
        case _:
            pass


def _values(value: object, *, secret: bool = False) -> Iterator[str]:
    match value:
        case SecretStr():
            yield value.get_secret_value()
        case BaseModel():
            for name in type(value).model_fields:
                yield from _values(getattr(value, name), secret=secret)
        case str():
            if secret:
                yield value
            yield from _USERINFO.findall(value)
        case Mapping():
            for key, item in value.items():
                yield from _values(item, secret=secret or names_secret(str(key)))
        case tuple() | list():
            for item in value:
                yield from _values(item, secret=secret)
        case _:
            pass


def _forms(secret: str) -> Iterator[str]:
    if "{{" not in secret:
        yield secret
    words = _EXPRESSION.sub(" ", secret).split()
    if len(words) > 1 or "{{" in secret:
        yield from (word for word in words if len(word) >= _TELLING)
    if secret.startswith("whsec_"):
        yield secret.removeprefix("whsec_")
