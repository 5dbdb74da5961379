"""HTTP tools: a plain request to an API that knows nothing of voxtrad, filled in from templates.

Path, query, headers and body may hold templates; scheme, host and port never do, and a value stays one segment of the
path. Of the answer the model gets what a JMESPath expression selects.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import quote, urlsplit

import jmespath
import structlog
from jmespath.exceptions import JMESPathError
from yarl import URL

from voxtrad.config.templates import Template, TemplateTree
from voxtrad.errors import VoxtradError
from voxtrad.outbound.client import Answer, BadAnswer, OutboundClient
from voxtrad.providers.base import JSON, ToolSpec
from voxtrad.tools.attempts import ask, failed, time_left
from voxtrad.tools.base import CallActions, Outcome, ToolContext, ToolError, ToolOptions, ToolUnavailable

MAX_ANSWER = 64 * 1024
"""Bytes of an answer that are read."""

log = structlog.stdlib.get_logger(__name__)


class BadRequestTemplate(VoxtradError):
    """A request that the configuration describes and that cannot be made safely."""


@dataclass(frozen=True, slots=True)
class RequestTemplate:
    """What the configuration says of a request. `url` and header values are templates in text."""

    method: str
    url: str
    query: Mapping[str, JSON] = field(default_factory=dict)
    """An empty value leaves its parameter out, a list repeats it, an object is sent as JSON."""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: JSON = None
    """Sent as JSON; None: no body."""
    select: str | None = None


class HttpTool:
    """Makes one kind of request. Raises `BadRequestTemplate` for a template where none may stand."""

    def __init__(
        self,
        spec: ToolSpec,
        options: ToolOptions,
        request: RequestTemplate,
        *,
        client: OutboundClient,
        idempotent: bool = False,
    ) -> None:
        self.spec = spec
        self.options = options
        self._method = request.method
        self._url = UrlTemplate(request.url)
        self._query = TemplateTree(request.query)
        self._headers = {name: Template(value) for name, value in request.headers.items()}
        self._body = None if request.body is None else TemplateTree(request.body)
        try:
            self._select = jmespath.compile(request.select) if request.select else None
        except JMESPathError as error:
            raise BadRequestTemplate(f"`select` is not a JMESPath expression: {error}") from error
        self._client = client
        self._idempotent = idempotent

    async def run(self, arguments: Mapping[str, JSON], context: ToolContext, actions: CallActions) -> Outcome:
        names = {**context.namespaces(), "args": arguments}
        url = self._url.render(names).extend_query(list(_pairs(self._query.render(**names))))
        headers = {name: template.render(**names).strip() for name, template in self._headers.items()}
        body: bytes | None = None
        if self._body is not None:
            body = json.dumps(self._body.render(**names), ensure_ascii=False).encode("utf-8", "replace")
            headers = {"Content-Type": "application/json", **headers}

        async def send(attempt: int) -> Answer:
            return await self._client.request(
                self._method, url, timeout=time_left(context), max_bytes=MAX_ANSWER, headers=headers, body=body
            )

        answer = await ask(send, idempotent=self._idempotent, tool=self.spec.name, context=context)
        try:
            return Outcome(self._selected(read_answer(answer)))
        except BadAnswer as error:
            raise failed(self.spec.name, context, error) from error

    def _selected(self, value: JSON) -> JSON:
        if self._select is None:
            return value
        try:
            return cast("JSON", self._select.search(value))
        except (JMESPathError, TypeError, ValueError, ArithmeticError, RecursionError) as error:  # its functions' too
            log.warning("an answer does not suit `select`", tool=self.spec.name, reason=str(error)[:200])
            raise ToolUnavailable from error


class UrlTemplate:
    """A URL with `{{ … }}` in its path and query. Values are encoded: none can leave its place.

    Raises `BadRequestTemplate` where a template stands in scheme, host or port, or is not of this simple kind.
    """

    def __init__(self, text: str) -> None:
        literal = _EXPRESSION.sub("", text)
        parts = urlsplit(literal)
        before_path = literal.partition("://")[0] + "://" + parts.netloc
        if not text.startswith(before_path) or not parts.netloc or parts.scheme not in ("http", "https"):
            raise BadRequestTemplate("templates may stand in the path and the query of a URL, not in front of them")
        if len(text) > len(before_path) and text[len(before_path)] not in "/?#":
            raise BadRequestTemplate("a template must not touch the host or port of a URL")
        if any(mark in literal for mark in ("{{", "}}", "{%", "{#")):
            raise BadRequestTemplate("only {{ … }} may stand in a URL")
        self._pieces: list[str | Template] = [str(URL(before_path)).rstrip("/")]
        for piece in re.split(f"({_EXPRESSION.pattern})", text[len(before_path) :]):
            self._pieces.append(Template(piece) if _EXPRESSION.fullmatch(piece) else quote(piece, safe=_MAY_STAND))

    def render(self, names: Mapping[str, object]) -> URL:
        """Raises `ToolError` for a value in the path that would lead elsewhere: an empty one, `.` or `..` in it."""
        written = ""
        for piece in self._pieces:
            if isinstance(piece, str):
                written += piece
                continue
            value = piece.render(**names).strip()
            if "?" not in written and not _ELSEWHERE.isdisjoint(re.split(r"[/\\]", value)):
                raise ToolError("An argument is missing or cannot be used.")
            written += quote(value.encode("utf-8", "replace"), safe="")
        return URL(written, encoded=True)


_MAY_STAND = "%/?#[]@!$&'()*+,;=:~"
_ELSEWHERE = frozenset({"", ".", ".."})
_EXPRESSION = re.compile(r"\{\{.*?\}\}", re.DOTALL)


def read_answer(answer: Answer) -> JSON:
    """What an API answered: JSON, or text where it says that it is plain text.

    Raises `ToolError` for 4xx, with `error.message` where there is one, and `BadAnswer` for all else.
    """
    if 200 <= answer.status < 300:
        if not answer.body.strip():
            return None
        if answer.headers.get("Content-Type", "").partition(";")[0].strip().lower() == "text/plain":
            return answer.body.decode("utf-8", "replace").strip()
        return answer.json()
    if 400 <= answer.status < 500 and answer.status not in (401, 403, 407):
        raise ToolError(_message(answer) or f"The service refused the request (status {answer.status}).")
    raise BadAnswer(f"status {answer.status}", status=answer.status)


def _message(answer: Answer) -> str | None:
    try:
        value = answer.json()
    except BadAnswer:
        return None
    error = value.get("error") if isinstance(value, Mapping) else None
    message = error.get("message") if isinstance(error, Mapping) else None
    return message if isinstance(message, str) and message.strip() else None


def _pairs(query: JSON) -> Sequence[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for name, value in query.items() if isinstance(query, Mapping) else ():
        values = value if isinstance(value, list) else [value]
        pairs += [(name, text) for item in values if (text := _text(item))]
    return pairs


def _text(value: JSON) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return value.encode("utf-8", "replace").decode()
        case int() | float():
            return str(value)
        case _:
            return json.dumps(value, ensure_ascii=False)
