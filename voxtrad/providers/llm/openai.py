"""Chat completions by OpenAI or any server that speaks its API, streamed, with tools."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from voxtrad.config.types import Boolean, ConfigModel, Integer, JSONObject, Name, Number
from voxtrad.providers.base import LanguageModel, ProviderType
from voxtrad.providers.vendors.openai import OpenAIConnection


class OpenAIChatOptions(ConfigModel):
    model: Name = "gpt-4o-mini"
    """The model's name, as the server knows it."""
    temperature: Number | None = Field(default=None, ge=0, le=2)
    """How freely the model chooses its words; unset leaves it to the server."""
    top_p: Number | None = Field(default=None, gt=0, le=1)
    """Choose only among the likeliest words up to this total probability."""
    max_tokens: Integer | None = Field(default=None, ge=1)
    """At most this many tokens in one answer."""
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high"] | None = None
    """How long a reasoning model thinks before it speaks. On the telephone: as little as will do."""
    seed: Integer | None = None
    """Ask for the same answer to the same question, where the server can."""
    parallel_tool_calls: Boolean | None = None
    """Whether the model may ask for several tools at once; unset leaves it to the server."""
    stream_usage: Boolean = True
    """Ask for token counts with the stream. Switch off for a server that refuses the option."""
    extra_body: JSONObject = Field(default_factory=dict)
    """Further fields of the request, sent as they are, for what a compatible server has of its own."""


def _build(name: str, connection: OpenAIConnection, options: OpenAIChatOptions) -> LanguageModel:
    raise NotImplementedError


PROVIDER = ProviderType(kind="llm", connection=OpenAIConnection, options=OpenAIChatOptions, build=_build)
