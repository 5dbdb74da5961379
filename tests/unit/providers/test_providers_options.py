"""Keys, whoever the vendor is: one that no header can hold is told with the configuration, and not in every call."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from voxtrad.providers.registry import BUILT_IN, provider_types


def connections_with_a_key() -> list[type[BaseModel]]:
    types = provider_types()
    every = {types[kind][name].connection for kind in BUILT_IN for name in BUILT_IN[kind]}
    return sorted((each for each in every if "api_key" in each.model_fields), key=lambda each: each.__name__)


@pytest.mark.parametrize("connection", connections_with_a_key())
@pytest.mark.parametrize("key", ["sk-123\n", "sk-123\r\n", " sk-123", "sk-1\n23", "sk-123…", "\ufeffsk-123", "\n"])
def test_a_key_that_no_header_can_hold_is_refused_without_being_told(connection: type[BaseModel], key: str) -> None:
    with pytest.raises(ValidationError) as raised:
        connection.model_validate({"api_key": key})
    (error,) = raised.value.errors(include_input=False)
    assert error["loc"] == ("api_key",) and "line break" in error["msg"] and "123" not in error["msg"]


@pytest.mark.parametrize("connection", connections_with_a_key())
@pytest.mark.parametrize("key", ["sk-123_+/=.~!", "x", "one two", "${env:KEY:-not set\n}"])
def test_other_keys_are_none_of_our_business(connection: type[BaseModel], key: str) -> None:
    connection.model_validate({"api_key": key})
