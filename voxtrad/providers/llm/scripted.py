"""A language model that is none: rules in order, the first that matches what the caller said answers.

It needs no key and no network, answers the same way every time, and asks for tools like any other model.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import takewhile
from typing import Annotated
from uuid import uuid4

from pydantic import ConfigDict, Field, field_validator
from pydantic_core import PydanticCustomError

from voxtrad.config.fields import texts
from voxtrad.config.raising import Contradiction
from voxtrad.config.template_types import TemplateNames, TemplateText
from voxtrad.config.template_types import TemplateTree as TemplateTreeField
from voxtrad.config.templates import Template, TemplateRenderError, TemplateTree
from voxtrad.config.types import ConfigModel, Name, ToolName, is_set
from voxtrad.providers.base import (
    JSON,
    BadRequest,
    LanguageModel,
    LLMEvent,
    Message,
    ProviderType,
    TextDelta,
    ToolCall,
    ToolSpec,
)
from voxtrad.providers.llm.scripted_hints import hints_of
from voxtrad.providers.options import Embedded

_WITH_MATCH = TemplateNames.of("call", "vars", "match", "now")
_WITH_RESULT = TemplateNames.of("call", "vars", "match", "result", "now")


class Rule(ConfigModel):
    """What to do when the caller's words match."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [is_set("say"), is_set("tool")],
            "if": {
                "anyOf": [
                    {"required": ["arguments"], "properties": {"arguments": {"minProperties": 1}}},
                    {"required": ["on_error"], "properties": {"on_error": {"type": "string", "minLength": 1}}},
                ]
            },
            "then": is_set("tool"),
        }
    )

    match: Name
    """A regular expression that is looked for in what the caller said, whatever the case. A named group,
    `(?P<name>…)`, is `match.name` in the templates."""
    tool: ToolName | None = None
    """The tool to call."""
    arguments: Annotated[TemplateTreeField, _WITH_MATCH] = Field(default_factory=dict)
    """The tool's arguments; texts in them are templates."""
    say: Annotated[TemplateText, _WITH_RESULT] | None = None
    """What to answer. Where it uses `result` it is spoken when the tool has answered, otherwise at once."""
    on_error: Annotated[TemplateText, _WITH_RESULT] | None = None
    """What to say when the tool failed; the reason is `result.error`. Of a tool with `confirm`: the question that the
    caller answers with yes (to be among `hints` of the agent for sphinx); left out, "Shall I do that?"."""

    @field_validator("match")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            re.compile(pattern, re.IGNORECASE)
        except re.error as error:
            raise PydanticCustomError("regex", "not a regular expression: {why}", {"why": str(error)}) from None
        return pattern

    def contradictions(self) -> Iterator[Contradiction]:
        if self.tool is None:
            if self.say is None:
                yield Contradiction("a rule needs say, tool, or both", ("say", "tool"), whole=True)
            for key in ("arguments", "on_error"):
                if getattr(self, key):
                    why = "arguments and on_error belong to a tool, and this rule names none"
                    yield Contradiction(why, (key, "tool"))
            for line in sorted(Template(self.say or "").undeclared(_WITH_MATCH.names).get("result", ())):
                why = "result is what a tool answered, and this rule names none"
                yield Contradiction(why, ("say", "tool"), line=line, part="result")
        groups = re.compile(self.match, re.IGNORECASE).groupindex
        for loc, text in texts({"say": self.say, "on_error": self.on_error, "arguments": self.arguments}, ()):
            for group, lines in sorted(Template(text).attributes("match").items()):
                for line in sorted(lines) if group not in groups else ():
                    known = ", ".join(groups) or "no named group"
                    why = f"match.{group} is used, but the regular expression has {known}"
                    keys = (str(loc[0]), "match")
                    yield Contradiction(why, keys, below=loc[1:], line=line, part=f"match.{group}")


class ScriptedOptions(ConfigModel):
    rules: tuple[Rule, ...] = ()
    """Tried in order; the first that matches answers."""
    otherwise: TemplateText = "I am sorry, I did not understand that."
    """The answer when no rule matches."""


def hints_for(rules: Sequence[Rule]) -> tuple[str, ...]:
    """Words and phrases that the rules wait for, as hints for a speech recogniser."""
    return hints_of(rule.match for rule in rules)


class Scripted:
    """The provider. It keeps nothing between requests: what it said before stands in the messages."""

    def __init__(self, name: str, options: ScriptedOptions) -> None:
        self.name = name
        self._rules = [_Compiled(rule) for rule in options.rules]
        self._otherwise = Template(options.otherwise)

    async def stream(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec] = (),
        *,
        variables: Mapping[str, Mapping[str, JSON]] | None = None,
    ) -> AsyncIterator[LLMEvent]:
        """Answer the caller's last words, or, where tools have run since, speak about their results."""
        names: dict[str, object] = {**(variables or {}), "now": datetime.now().astimezone()}
        try:
            if late := _late(messages):
                events = [event for past, asked in late for event in self._result(past, asked, names)]
            elif messages and messages[-1].role == "system" and _last_words(messages):
                events = []  # it was told something, and not by the caller
            elif (asked := _tools_asked(messages)) is not None:
                events = self._result(messages, asked, names)
            else:
                events = self._answer(messages, tools, names)
        except TemplateRenderError as error:
            raise BadRequest(f"a template of the script failed: {error.message}", provider=self.name) from error
        for event in events:
            yield event

    async def warm(self) -> None:
        """Nothing to open."""

    async def aclose(self) -> None:
        """Nothing to free."""

    def _answer(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec], names: Mapping[str, object]
    ) -> list[LLMEvent]:
        words = _last_words(messages)
        if _YES.match(words) and (unconfirmed := _unconfirmed(messages)) is not None:
            _, call = unconfirmed
            return [ToolCall(f"call_{uuid4().hex}", call.name, call.arguments)]
        found = self._find(words)
        if found is None:
            return _texts_of(self._otherwise.render(**names))
        rule, match = found
        names = {**names, "match": match}
        events = _texts_of(rule.say.render(**names)) if rule.say and not rule.speaks_of_result else []
        if rule.tool is not None:
            arguments = rule.arguments.render(**names)
            schema = next((tool.parameters for tool in tools if tool.name == rule.tool), {})
            events.append(ToolCall(f"call_{uuid4().hex}", rule.tool, _typed(arguments, schema)))
        return events

    def _result(self, messages: Sequence[Message], asked: int, names: Mapping[str, object]) -> list[LLMEvent]:
        """What the rule that called tools in message `asked` says now: about the results, or that it went wrong."""
        before = messages[:asked]
        if _YES.match(_last_words(before)) and (unconfirmed := _unconfirmed(before)) is not None:
            before = messages[: unconfirmed[0]]  # the rule is that of the words which were confirmed
        found = self._find(_last_words(before))
        calls = {call.id: call for call in messages[asked].tool_calls}
        spoken: list[LLMEvent] = []
        for message in messages[asked + 1 :]:
            if message.role != "tool" or message.pending:
                continue
            call = calls.get(message.tool_call_id or "")
            result = _parsed(message.content)
            rule, match = found if found and call and found[0].tool == call.name else (None, {})
            about = {**names, "match": match, "result": result}
            if isinstance(result, Mapping) and result.get("error"):
                without_words = _CONFIRM if result.get("confirm") else _FAILED
                template = rule.on_error if rule and rule.on_error else without_words
                spoken += _texts_of(template.render(**about))
            elif rule and rule.say and rule.speaks_of_result:
                spoken += _texts_of(rule.say.render(**about))
        return spoken

    def _find(self, words: str) -> tuple[_Compiled, dict[str, str]] | None:
        for rule in self._rules:
            if found := rule.pattern.search(words):
                return rule, {name: value.strip() for name, value in found.groupdict(default="").items()}
        return None


class _Compiled:
    """A rule ready for use."""

    def __init__(self, rule: Rule) -> None:
        self.pattern = re.compile(rule.match, re.IGNORECASE)
        self.tool = rule.tool
        self.arguments = TemplateTree(rule.arguments)
        self.say = Template(rule.say) if rule.say is not None else None
        self.on_error = Template(rule.on_error) if rule.on_error is not None else None
        self.speaks_of_result = self.say is not None and bool(self.say.undeclared(_WITH_MATCH.names))


_FAILED = Template("I am sorry, that did not work.")
_CONFIRM = Template("Shall I do that? Please say yes or no.")
_YES = re.compile(r"\W*(yes|yeah|yep|sure|okay|ok|please do|go ahead)\b", re.IGNORECASE)


def _texts_of(text: str) -> list[LLMEvent]:
    return [TextDelta(text)] if text.strip() else []


def _tools_asked(messages: Sequence[Message]) -> int | None:
    """Where tools were called since the caller's last words, if they were."""
    for at in range(len(messages) - 1, -1, -1):
        if messages[at].role == "user":
            return None
        if messages[at].tool_calls:
            return at
    return None


def _unconfirmed(messages: Sequence[Message]) -> tuple[int, ToolCall] | None:
    """The call of a tool that the caller's last words answer, as it was to be confirmed first, and where it is."""
    spoken = [at for at, message in enumerate(messages) if message.role == "user"]
    for at in range(spoken[-2] + 1, spoken[-1]) if len(spoken) > 1 else ():
        for call in messages[at].tool_calls:
            for message in messages[at + 1 : spoken[-1]]:
                if message.role == "tool" and message.tool_call_id == call.id:
                    result = _parsed(message.content)
                    if isinstance(result, Mapping) and result.get("confirm") is True and result.get("error"):
                        return at, call
    return None


def _late(messages: Sequence[Message]) -> list[tuple[Sequence[Message], int]]:
    """The news of results that came late, if they are the last that is known: for each the conversation up to the
    result, and where in it the tool was called."""
    found: list[tuple[Sequence[Message], int]] = []
    for note in takewhile(lambda message: message.role == "system", reversed(messages)):
        for at, message in enumerate(messages):
            if note.tool_call_id in [call.id for call in message.tool_calls]:
                results = [m for m in messages[at + 1 :] if m.role == "tool" and m.tool_call_id == note.tool_call_id]
                found.append(([*messages[: at + 1], *results], at))
    return found[::-1]


def _last_words(messages: Sequence[Message]) -> str:
    return next((message.content for message in reversed(messages) if message.role == "user"), "")


def _parsed(content: str) -> object:
    """A tool's result as data where it is JSON, else its text."""
    try:
        found: object = json.loads(content)
    except ValueError:
        return content
    return found


def _typed(arguments: JSON, schema: Mapping[str, JSON]) -> dict[str, JSON]:
    """The rendered arguments as the tool wants them: templates give text, a schema may want a number or a boolean."""
    properties = schema.get("properties")
    wanted = properties if isinstance(properties, Mapping) else {}
    given = arguments if isinstance(arguments, Mapping) else {}
    return {name: _as_asked(value, wanted.get(name)) for name, value in given.items()}


def _as_asked(value: JSON, schema: JSON) -> JSON:
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    if not isinstance(value, str) or kind not in ("integer", "number", "boolean"):
        return value
    parsed = _parsed(value.strip().lower())
    if kind == "boolean":
        return parsed if isinstance(parsed, bool) else value
    if isinstance(parsed, bool) or not isinstance(parsed, int | float):
        return value
    return value if kind == "integer" and not isinstance(parsed, int) else parsed


def _build(name: str, connection: Embedded, options: ScriptedOptions) -> LanguageModel:
    return Scripted(name, options)


def _expected(options: ScriptedOptions) -> tuple[str, ...]:
    return hints_for(options.rules)


PROVIDER = ProviderType(kind="llm", connection=Embedded, options=ScriptedOptions, build=_build, expected=_expected)
