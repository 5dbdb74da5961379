"""Chat completions by OpenAI or any server that speaks its API, streamed, with tools."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from voxtrad.providers.base import LanguageModel, ProviderType
from voxtrad.providers.options import Options
from voxtrad.providers.vendors.openai import OpenAIConnection


class OpenAIChatOptions(Options):
    model: str = Field(default="gpt-4o-mini", min_length=1, description="The model's name, as the server knows it.")
    temperature: float | None = Field(
        default=None, ge=0, le=2, description="How freely the model chooses its words; unset leaves it to the server."
    )
    top_p: float | None = Field(
        default=None, gt=0, le=1, description="Choose only among the likeliest words up to this total probability."
    )
    max_tokens: int | None = Field(default=None, ge=1, description="At most this many tokens in one answer.")
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high"] | None = Field(
        default=None,
        description="How long a reasoning model thinks before it speaks. On the telephone: as little as will do.",
    )
    seed: int | None = Field(
        default=None, description="Ask for the same answer to the same question, where the server can."
    )
    parallel_tool_calls: bool | None = Field(
        default=None, description="Whether the model may ask for several tools at once; unset leaves it to the server."
    )
    stream_usage: bool = Field(
        default=True,
        description="Ask for token counts with the stream. Switch off for a server that refuses the option.",
    )
    extra_body: dict[str, JsonValue] = Field(
        default_factory=dict,
        description="Further fields of the request, sent as they are, for what a compatible server has of its own.",
    )


def _build(name: str, connection: OpenAIConnection, options: OpenAIChatOptions) -> LanguageModel:
    raise NotImplementedError


PROVIDER = ProviderType(kind="llm", connection=OpenAIConnection, options=OpenAIChatOptions, build=_build)
