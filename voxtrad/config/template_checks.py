"""What templates use: names and attributes that they cannot have, variables that the agent does not declare."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import BaseModel

from voxtrad.config.diagnostics import Loc, did_you_mean
from voxtrad.config.fields import marked, texts
from voxtrad.config.findings import Finding
from voxtrad.config.models import AgentConfig, ToolBase
from voxtrad.config.template_types import TemplateNames
from voxtrad.config.templates import CALL_ATTRIBUTES, Condition, Template, Uses
from voxtrad.config.tools import DescribedTool

Found = tuple[Loc, Template | Condition, TemplateNames]
"""A template, where it stands, and the names that stand open to it."""


def templates_of(model: BaseModel, loc: Loc) -> list[Found]:
    """Every template of a model that stands at `loc`, however deep in it."""
    return [
        (below, Condition(text) if names.condition else Template(text), names)
        for at, value, marks in marked(model, loc)
        if (names := next((mark for mark in reversed(marks) if isinstance(mark, TemplateNames)), None)) is not None
        for below, text in texts(value, at)
    ]


def template_findings(templates: Iterable[Found], tool: ToolBase | None) -> Iterator[Finding]:
    """Names and attributes that no template of this field can have."""
    for loc, template, names in templates:
        for name, line in _by_line(template.undeclared(names.names)):
            known = sorted(names.names)
            suggestion = did_you_mean(name, known)
            hint = f"a name stands in its space, as in vars.{name}; there are: {', '.join(known)}"
            message = f"the template uses '{name}', which is unknown here"
            yield Finding(loc, message, suggestion, None if suggestion else hint, line=line, part=name)
        yield from _strangers(loc, template, "call", CALL_ATTRIBUTES)
        parameters = _parameters(tool)
        if parameters is not None and "args" in names.names:
            yield from _strangers(loc, template, "args", parameters)


def variable_findings(templates: Iterable[Found], agent: AgentConfig, *, within_agent: bool) -> Iterator[Finding]:
    """Variables that a template uses and the agent does not declare."""
    for loc, template, names in templates:
        if "vars" in names.names:
            for variable, line in _by_line(template.attributes("vars")):
                if variable not in agent.variables:
                    yield undeclared(loc, variable, agent, within_agent=within_agent, line=line)


def undeclared(loc: Loc, variable: str, agent: AgentConfig, *, within_agent: bool, line: int = 0) -> Finding:
    owner = "the agent" if within_agent else f"the agent '{agent.name}'"
    suggestion = did_you_mean(variable, agent.variables)
    hint = f"declare it under agents.{agent.name}.variables; null will do for one that is set later"
    return Finding(
        loc,
        f"{owner} has no variable '{variable}'",
        suggestion,
        None if suggestion else hint,
        line=line,
        part=f"vars.{variable}",
        needs=(("agents", agent.name, "variables"),),
    )


def _by_line(uses: Uses) -> list[tuple[str, int]]:
    return [(name, line) for name in sorted(uses) for line in sorted(uses[name])]


def _strangers(loc: Loc, template: Template | Condition, space: str, known: Iterable[str]) -> Iterator[Finding]:
    known = sorted(known)
    for attribute, line in _by_line(template.attributes(space)):
        if attribute not in known:
            suggestion = did_you_mean(attribute, known)
            hint = None if suggestion or not known else f"there are: {', '.join(known)}"
            part = f"{space}.{attribute}"
            yield Finding(loc, f"there is no {part}", suggestion, hint, line=line, part=part)


def _parameters(tool: ToolBase | None) -> frozenset[str] | None:
    """The names of a tool's arguments, where they can be told."""
    properties = tool.parameters.get("properties") if isinstance(tool, DescribedTool) else None
    return frozenset(properties) if isinstance(properties, dict) else None
