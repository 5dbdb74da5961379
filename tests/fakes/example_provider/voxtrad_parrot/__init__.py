"""A language model that repeats what the caller said: the example of a provider in a package of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from voxtrad.config.types import ConfigModel, Integer, Name
from voxtrad.providers.base import JSON, LanguageModel, LLMEvent, Message, ProviderType, TextDelta, ToolSpec


class Connection(ConfigModel):
    cage: Name = "kitchen"
    """Where the parrot lives."""


class Options(ConfigModel):
    times: Integer = 1
    """How often it repeats what it heard."""


class Parrot:
    def __init__(self, name: str, connection: Connection, options: Options) -> None:
        self.name = name
        self._times = options.times

    async def stream(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec] = (),
        *,
        variables: Mapping[str, Mapping[str, JSON]] | None = None,
    ) -> AsyncIterator[LLMEvent]:
        for _ in range(self._times):
            yield TextDelta(f"You said {messages[-1].content}. ")

    async def warm(self) -> None:
        """There is nothing to connect to."""

    async def aclose(self) -> None:
        """Nothing is held."""


def build(name: str, connection: Connection, options: Options) -> LanguageModel:
    return Parrot(name, connection, options)


PROVIDER = ProviderType(kind="llm", connection=Connection, options=Options, build=build)
