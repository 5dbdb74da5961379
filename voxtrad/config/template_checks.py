"""What templates use: names and attributes that they cannot have, variables that the agent does not declare."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from voxtrad.config.diagnostics import Loc, did_you_mean
from voxtrad.config.fields import texts
from voxtrad.config.findings import Finding
from voxtrad.config.models import AgentConfig, ToolBase
from voxtrad.config.template_types import TemplateNames
from voxtrad.config.templates import CALL_ATTRIBUTES, Condition, Template
from voxtrad.config.tools import DescribedTool


def _compiled(value: object, loc: Loc, names: TemplateNames) -> Iterator[tuple[Loc, Template | Condition, str]]:
    for below, text in texts(value, loc):
        yield below, Condition(text) if names.condition else Template(text), text


def _template_names(marks: tuple[object, ...]) -> TemplateNames | None:
    return next((mark for mark in reversed(marks) if isinstance(mark, TemplateNames)), None)


def template_findings(
    fields: Iterable[tuple[Loc, object, tuple[object, ...]]], tool: ToolBase | None
) -> Iterator[Finding]:
    """Names and attributes that no template of this field can have."""
    for loc, value, marks in fields:
        names = _template_names(marks)
        if names is None:
            continue
        for below, template, text in _compiled(value, loc, names):
            for name in sorted(template.undeclared(names.names)):
                known = sorted(names.names)
                hint = None
                suggestion = did_you_mean(name, known)
                if suggestion is None:
                    hint = f"a name stands in its space, as in vars.{name}; there are: {', '.join(known)}"
                yield Finding(below, f"the template uses '{name}', which is unknown here", suggestion, hint, line=_line(text, name))  # fmt: skip  # noqa: E501
            for attribute in sorted(template.attributes("call") - CALL_ATTRIBUTES):
                yield _no_attribute(below, "call", attribute, CALL_ATTRIBUTES, text)
            parameters = _parameters(tool)
            if parameters is not None and "args" in names.names:
                for attribute in sorted(template.attributes("args") - parameters):
                    yield _no_attribute(below, "args", attribute, parameters, text)


def _parameters(tool: ToolBase | None) -> frozenset[str] | None:
    """The names of a tool's arguments, where they can be told."""
    properties = tool.parameters.get("properties") if isinstance(tool, DescribedTool) else None
    return frozenset(properties) if isinstance(properties, dict) else None


def _no_attribute(loc: Loc, space: str, attribute: str, known: Iterable[str], text: str) -> Finding:
    known = sorted(known)
    suggestion = did_you_mean(attribute, known)
    hint = None if suggestion or not known else f"there are: {', '.join(known)}"
    return Finding(loc, f"there is no {space}.{attribute}", suggestion, hint, line=_line(text, f"{space}.{attribute}"))


def variable_findings(
    fields: Iterable[tuple[Loc, object, tuple[object, ...]]], agent: AgentConfig, *, within_agent: bool
) -> Iterator[Finding]:
    """Variables that a template uses and the agent does not declare."""
    for loc, value, marks in fields:
        names = _template_names(marks)
        if names is None or "vars" not in names.names:
            continue
        for below, template, text in _compiled(value, loc, names):
            for variable in sorted(template.attributes("vars") - set(agent.variables)):
                yield undeclared(below, variable, agent, within_agent=within_agent, text=text)


def undeclared(loc: Loc, variable: str, agent: AgentConfig, *, within_agent: bool, text: str = "") -> Finding:
    owner = "the agent" if within_agent else f"the agent '{agent.name}'"
    suggestion = did_you_mean(variable, agent.variables)
    hint = f"declare it under agents.{agent.name}.variables; null will do for one that is set later"
    return Finding(
        loc,
        f"{owner} has no variable '{variable}'",
        suggestion,
        None if suggestion else hint,
        line=_line(text, f"vars.{variable}"),
        needs=(("agents", agent.name, "variables"),),
    )


def _line(text: str, part: str) -> int:
    position = text.find(part)
    return text.count("\n", 0, position) + 1 if position >= 0 else 1
