"""Provider types for the tests of the language: real models, of which none depends on what voxtrad brings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, Field

from voxtrad.config.network_types import HttpUrl
from voxtrad.config.providers import ProviderTypes
from voxtrad.config.template_types import TemplateNames, TemplateText, TemplateTree
from voxtrad.config.types import Boolean, ConfigModel, Duration, Integer, Name, Number, Secret, ToolName


class Nothing(ConfigModel):
    """A connection without keys."""


class Keyed(ConfigModel):
    api_key: Secret
    base_url: HttpUrl | None = None
    timeout: Duration = 10.0


class Chat(ConfigModel):
    api_key: Secret | None = None
    base_url: HttpUrl | None = None


class Listening(ConfigModel):
    model: Name = "nova"
    punctuate: Boolean = True
    alternatives: Annotated[Integer, Field(ge=1, le=10)] = 1


class ChatOptions(ConfigModel):
    model: Name
    temperature: Annotated[Number, Field(ge=0, le=2)] = 1.0


class Rule(ConfigModel):
    match: Name
    say: Annotated[TemplateText, TemplateNames.of("call", "vars", "match", "result", "now")] | None = None
    tool: ToolName | None = None
    arguments: Annotated[TemplateTree, TemplateNames.of("call", "vars", "match", "now")] = Field(default_factory=dict)


class Script(ConfigModel):
    rules: tuple[Rule, ...] = ()
    otherwise: TemplateText = ""


class Speaking(ConfigModel):
    voice: Name = "anna"
    model: Name = "flash"


@dataclass(frozen=True)
class Type:
    connection: type[BaseModel]
    options: type[BaseModel]


TYPES: ProviderTypes = {
    "stt": {"sphinx": Type(Nothing, Nothing), "deepgram": Type(Keyed, Listening), "openai": Type(Chat, Nothing)},
    "llm": {"scripted": Type(Nothing, Script), "openai": Type(Chat, ChatOptions)},
    "tts": {"espeak": Type(Nothing, Speaking), "deepgram": Type(Keyed, Speaking), "elevenlabs": Type(Keyed, Speaking)},
    "vad": {"webrtc": Type(Nothing, Nothing), "energy": Type(Nothing, Nothing)},
}
