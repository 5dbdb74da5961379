"""A language model that is none: rules in order, the first that matches what the caller said answers.

It needs no key and no network, answers the same way every time, and asks for tools like any other model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from voxtrad.config.templates import Template
from voxtrad.config.types import ConfigModel, Name, TemplateNames, TemplateText, TemplateTree
from voxtrad.providers.base import JSON, LanguageModel, ProviderType
from voxtrad.providers.options import Embedded

_WITH_MATCH = TemplateNames.of("call", "vars", "match", "now")
_WITH_RESULT = TemplateNames.of("call", "vars", "match", "result", "now")


class Rule(ConfigModel):
    """What to do when the caller's words match."""

    match: Name
    """A regular expression that is looked for in what the caller said, whatever the case. A named group,
    `(?P<name>…)`, is `match.name` in the templates."""
    tool: Name | None = None
    """The tool to call."""
    arguments: Annotated[TemplateTree, _WITH_MATCH] = Field(default_factory=dict)
    """The tool's arguments; texts in them are templates."""
    say: Annotated[TemplateText, _WITH_RESULT] | None = None
    """What to answer. Where it uses `result` it is spoken when the tool has answered, otherwise at once."""
    on_error: Annotated[TemplateText, _WITH_RESULT] | None = None
    """What to say when the tool failed; the reason is `result.error`."""

    @field_validator("match")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern, re.IGNORECASE)
        except re.error as error:
            raise PydanticCustomError("regex", "not a regular expression: {why}", {"why": str(error)}) from None
        return pattern

    @model_validator(mode="after")
    def _consistent(self) -> Rule:
        if self.tool is None:
            if self.say is None:
                raise PydanticCustomError("rule", "a rule needs say, tool, or both")
            if self.arguments or self.on_error:
                raise PydanticCustomError("rule", "arguments and on_error belong to a tool, and this rule names none")
            if Template(self.say).undeclared(_WITH_MATCH.names):
                raise PydanticCustomError("rule", "result is what a tool answered, and this rule names none")
        groups = re.compile(self.match).groupindex
        for text in _texts([self.say, self.on_error, self.arguments]):
            for group in sorted(Template(text).attributes("match") - set(groups)):
                known = ", ".join(groups) or "no named group"
                raise PydanticCustomError(
                    "rule",
                    "match.{group} is used, but the regular expression has {known}",
                    {"group": group, "known": known},
                )
        return self


class ScriptedOptions(ConfigModel):
    rules: tuple[Rule, ...] = ()
    """Tried in order; the first that matches answers."""
    otherwise: TemplateText = "I am sorry, I did not understand that."
    """The answer when no rule matches."""


def _texts(value: JSON) -> list[str]:
    """All texts in a nested value."""
    match value:
        case str():
            return [value]
        case Mapping():
            return [text for item in value.values() for text in _texts(item)]
        case list() | tuple():
            return [text for item in value for text in _texts(item)]
        case _:
            return []


def _build(name: str, connection: Embedded, options: ScriptedOptions) -> LanguageModel:
    raise NotImplementedError


PROVIDER = ProviderType(kind="llm", connection=Embedded, options=ScriptedOptions, build=_build)
