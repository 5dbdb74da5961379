"""A language model that is none: rules in order, the first that matches what the caller said answers.

It needs no key and no network, answers the same way every time, and asks for tools like any other model.
"""

from __future__ import annotations

import re

from pydantic import Field, JsonValue, field_validator, model_validator

from voxtrad.config.types import TemplateText
from voxtrad.providers.base import LanguageModel, ProviderType
from voxtrad.providers.options import Embedded, Options

_GROUP = re.compile(r"\bmatch\s*(?:\.\s*(\w+)|\[\s*['\"](\w+)['\"]\s*\])")


class Rule(Options):
    """What to do when the caller's words match."""

    match: str = Field(
        min_length=1,
        description="A regular expression looked for in what the caller said, whatever the case. "
        "Named groups, (?P<name>…), are match.name in the templates.",
    )
    tool: str | None = Field(default=None, min_length=1, description="The tool to call.")
    arguments: dict[str, JsonValue] = Field(
        default_factory=dict, description="The tool's arguments; texts in them are templates."
    )
    say: TemplateText | None = Field(
        default=None,
        description="What to answer. Where it uses result it is spoken when the tool has answered, otherwise at once.",
    )
    on_error: TemplateText | None = Field(
        default=None, description="What to say when the tool failed; the reason is result.error."
    )

    @field_validator("match")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern, re.IGNORECASE)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        return pattern

    @model_validator(mode="after")
    def _consistent(self) -> Rule:
        if self.tool is None:
            if self.say is None:
                raise ValueError("a rule needs say, tool, or both")
            if self.arguments or self.on_error:
                raise ValueError("arguments and on_error belong to a tool, and this rule names none")
        groups = re.compile(self.match).groupindex
        for text in _texts([self.say, self.on_error, self.arguments]):
            for dotted, indexed in _GROUP.findall(text):
                if (group := dotted or indexed) not in groups:
                    known = ", ".join(groups) or "no named groups"
                    raise ValueError(f"match.{group} is used, but the regular expression has {known}")
        return self


class ScriptedOptions(Options):
    rules: tuple[Rule, ...] = Field(default=(), description="Tried in order; the first that matches answers.")
    otherwise: TemplateText = Field(
        default="I am sorry, I did not understand that.", description="The answer when no rule matches."
    )


def _texts(value: object) -> list[str]:
    """All texts in a nested value."""
    match value:
        case str():
            return [value]
        case dict():
            return [text for item in value.values() for text in _texts(item)]
        case list() | tuple():
            return [text for item in value for text in _texts(item)]
        case _:
            return []


def _build(name: str, connection: Embedded, options: ScriptedOptions) -> LanguageModel:
    raise NotImplementedError


PROVIDER = ProviderType(kind="llm", connection=Embedded, options=ScriptedOptions, build=_build)
