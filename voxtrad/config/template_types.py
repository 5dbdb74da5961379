"""The types of text that is a template: what compiles, and which names stand open to it.

Models of this room and of the providers are written with them, as with `types`; `template_checks` reads the marks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_core import InitErrorDetails, PydanticCustomError

from voxtrad.config.raising import at, together
from voxtrad.config.templates import Condition, Template, TemplateSyntaxError
from voxtrad.config.types import JSONObject, Matching, read_text
from voxtrad.config.written import JSON


@dataclass(frozen=True, slots=True)
class TemplateNames:
    """Marks a field as a template and says which namespaces stand open to it. The last mark of a field counts."""

    names: frozenset[str]
    condition: bool = False
    """An expression on its own, without `{{ }}`."""

    @classmethod
    def of(cls, *names: str, condition: bool = False) -> TemplateNames:
        return cls(frozenset(names), condition)


def _compiles(value: str) -> str:
    try:
        Template(value)
    except TemplateSyntaxError as error:
        raise PydanticCustomError(
            "template", "the template does not compile: {why}", {"why": error.message, "line": error.line}
        ) from None
    return value


def _tree_compiles(value: JSON) -> JSON:
    wrong = list(_wrong_templates(value, ()))
    if wrong:
        raise together(wrong)
    return value


def _wrong_templates(value: JSON, loc: tuple[str | int, ...]) -> Iterator[InitErrorDetails]:
    match value:
        case str():
            try:
                _compiles(value)
            except PydanticCustomError as error:
                yield at(loc, error)
        case Mapping():
            for key, item in value.items():
                yield from _wrong_templates(item, (*loc, key))
        case list():
            for index, item in enumerate(value):
                yield from _wrong_templates(item, (*loc, index))


def _condition_compiles(value: str) -> str:
    try:
        Condition(value)
    except TemplateSyntaxError as error:
        raise PydanticCustomError("template", "the condition does not compile: {why}", {"why": error.message}) from None
    return value


CALL_NAMES = TemplateNames.of("call", "vars", "now")
TOOL_NAMES = TemplateNames.of("call", "vars", "args", "now")

TemplateText = Annotated[str, BeforeValidator(read_text), AfterValidator(_compiles), CALL_NAMES]
"""Text in which `{{ … }}` may stand; compile it with `templates.Template`.

Open to it are `call`, `vars` and `now`; `Annotated[TemplateText, TemplateNames.of("call", "match")]` says otherwise.
"""

TemplateTree = Annotated[JSONObject, AfterValidator(_tree_compiles), TOOL_NAMES]
"""A mapping in which every text, however deep, is a template; compile it with `templates.TemplateTree`."""


def _secret_compiles(value: SecretStr) -> SecretStr:
    _compiles(value.get_secret_value())
    return value


SecretTemplate = Annotated[SecretStr, BeforeValidator(read_text), AfterValidator(_secret_compiles), TOOL_NAMES]
"""A template that holds a secret, such as an `Authorization` header."""

_CONDITION = TemplateNames.of("call", "vars", "now", condition=True)

ConditionText = Annotated[str, BeforeValidator(read_text), AfterValidator(_condition_compiles), _CONDITION]
"""An expression that is true or not: `vars.verified and call.direction == 'inbound'`. See `templates.Condition`."""

HttpUrlTemplate = Annotated[
    str,
    BeforeValidator(read_text),
    Matching(r"^https?://[^\s/?#{}]+([/?#].*)?$", "a URL with http:// or https:// and a host that is no template"),
    AfterValidator(_compiles),
    TOOL_NAMES,
]
"""An http:// or https:// URL in whose path and query templates may stand."""
