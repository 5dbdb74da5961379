"""The types of text that is a template: what compiles, and which names stand open to it.

Models of this room and of the providers are written with them, as with `types`; `template_checks` reads the marks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, SecretStr, ValidationInfo
from pydantic_core import InitErrorDetails, PydanticCustomError

from voxtrad.config.diagnostics import Loc
from voxtrad.config.leniency import is_lenient
from voxtrad.config.network_types import URL_WITH_HOST
from voxtrad.config.raising import at, together
from voxtrad.config.template_faults import TemplateFault, in_words, mend
from voxtrad.config.templates import Condition, TemplateSyntaxError
from voxtrad.config.types import NOT_BLANK, JSONObject, Matching, read_text
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


def _compiles(value: str, info: ValidationInfo) -> str:
    mended = mend(value)
    if mended.faults and not is_lenient(info):
        raise together(list(_errors(mended.faults, ())))
    return mended.text


def _errors(faults: Iterable[TemplateFault], loc: Loc) -> Iterator[InitErrorDetails]:
    for fault in faults:
        context = {"why": fault.message, "start": fault.start, "width": fault.width}
        yield at(loc, PydanticCustomError("template", "the template does not compile: {why}", context))


def _tree_compiles(value: JSON, info: ValidationInfo) -> JSON:
    wrong: list[InitErrorDetails] = []
    mended = _mended_tree(value, (), wrong)
    if wrong and not is_lenient(info):
        raise together(wrong)
    return mended


def _mended_tree(value: JSON, loc: Loc, wrong: list[InitErrorDetails]) -> JSON:
    match value:
        case str():
            mended = mend(value)
            wrong += _errors(mended.faults, loc)
            return mended.text
        case Mapping():
            return {key: _mended_tree(item, (*loc, key), wrong) for key, item in value.items()}
        case list():
            return [_mended_tree(item, (*loc, index), wrong) for index, item in enumerate(value)]
        case _:
            return value


def _condition_compiles(value: str) -> str:
    try:
        Condition(value)
    except TemplateSyntaxError as error:
        why = re.sub(r"unexpected '}}'", "it ends too early", in_words(error.message))
        why = re.sub(r"expected '}}', got", "unexpected", why)
        if "{{" in value.strip().removeprefix("{{"):
            why = "'{{' and '}}' may stand around the whole of it, not within"
        raise PydanticCustomError("template", "the condition does not compile: {why}", {"why": why}) from None
    return value


CALL_NAMES = TemplateNames.of("call", "vars", "now")
TOOL_NAMES = TemplateNames.of("call", "vars", "args", "now")

TemplateText = Annotated[str, BeforeValidator(read_text), AfterValidator(_compiles), CALL_NAMES]
"""Text in which `{{ … }}` may stand; compile it with `templates.Template`.

Open to it are `call`, `vars` and `now`; `Annotated[TemplateText, TemplateNames.of("call", "match")]` says otherwise.
"""

TemplateTree = Annotated[JSONObject, AfterValidator(_tree_compiles), TOOL_NAMES]
"""A mapping in which every text, however deep, is a template; compile it with `templates.TemplateTree`."""


_QUOTES_THE_TEXT = re.compile(r"'(?![{][{%#]'|[}%#][}]')[^']*'")


def _secret_compiles(value: SecretStr, info: ValidationInfo) -> SecretStr:
    """Words of the text itself are not repeated: they may be of the secret."""
    mended = mend(value.get_secret_value())
    if mended.faults and not is_lenient(info):
        told = ("a tag in it is broken" if _QUOTES_THE_TEXT.search(f.message) else f.message for f in mended.faults)
        faults = [replace(fault, message=why) for fault, why in zip(mended.faults, told, strict=True)]
        raise together(list(_errors(faults, ())))
    return SecretStr(mended.text)


SecretTemplate = Annotated[SecretStr, BeforeValidator(read_text), AfterValidator(_secret_compiles), TOOL_NAMES]
"""A template that holds a secret, such as an `Authorization` header."""

_CONDITION = TemplateNames.of("call", "vars", "now", condition=True)

ConditionText = Annotated[str, BeforeValidator(read_text), AfterValidator(_condition_compiles), NOT_BLANK, _CONDITION]
"""An expression that is true or not: `vars.verified and call.direction == 'inbound'`. See `templates.Condition`."""

HttpUrlTemplate = Annotated[
    str,
    BeforeValidator(read_text),
    Matching(r"^https?://[^\s/?#{}]+([/?#].*)?$", "a URL with http:// or https:// and a host that is no template"),
    URL_WITH_HOST,
    AfterValidator(_compiles),
    TOOL_NAMES,
]
"""An http:// or https:// URL in whose path and query templates may stand."""
