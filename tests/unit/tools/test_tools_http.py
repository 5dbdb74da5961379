"""HTTP tools against a server on loopback."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voxtrad.outbound.client import Answer, BadAnswer, OutboundClient
from voxtrad.providers.base import JSON, ToolSpec
from voxtrad.tools.base import Outcome, ToolContext, ToolError, ToolOptions
from voxtrad.tools.http import BadRequestTemplate, HttpTool, RequestTemplate, UrlTemplate, read_answer

SPEC = ToolSpec("weather", "", {"type": "object"})
UNAVAILABLE = "The tool is not available at the moment."

Run = Callable[..., Awaitable[Outcome]]


@pytest.fixture
def run(client: OutboundClient, backend: Any, context: Callable[..., ToolContext], caller: Any) -> Run:
    async def run(
        method: str = "GET",
        path: str = "/",
        arguments: Mapping[str, JSON] | None = None,
        *,
        idempotent: bool = False,
        **request: Any,
    ) -> Outcome:
        template = RequestTemplate(method, backend.url + path, **request)
        tool = HttpTool(SPEC, ToolOptions(), template, client=client, idempotent=idempotent)
        return await tool.run(arguments or {}, context(), caller)

    return run


# --- what is sent -----------------------------------------------------------------------------------------------------


async def test_a_request_filled_in(run: Run, backend: Any) -> None:
    backend.json({})
    await run(
        "PUT",
        "/v1/{{ vars.tier }}/orders/{{ args.id }}?fixed=1&who={{ call.from }}",
        {"id": "A/17 ü?x#y", "tags": ["a b", "c&d"], "n": 2},
        query={"q": "{{ args.n }}", "tag": ["{{ args.tags[0] }}", "{{ args.tags[1] }}"], "none": "{{ args.missing }}"},
        headers={"Authorization": "Bearer {{ vars.tier }}-key", "X-Id": " {{ args.n }} "},
        body={"order": {"id": "{{ args.id }}", "n": 1, "list": ["{{ args.n }}", None, True]}},
    )
    assert backend.paths == [
        "PUT /v1/gold/orders/A%2F17%20%C3%BC%3Fx%23y?fixed=1&who=%2B15550100&q=2&tag=a+b&tag=c%26d"
    ]
    headers, body = backend.requests[0]
    assert (headers["Authorization"], headers["X-Id"]) == ("Bearer gold-key", "2")
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body) == {"order": {"id": "A/17 ü?x#y", "n": 1, "list": ["2", None, True]}}


async def test_values_are_never_templates(run: Run, backend: Any) -> None:
    backend.json({})
    await run(arguments={"q": "{{ call.from }}"}, query={"q": "{{ args.q }}"})
    assert backend.paths == ["GET /?q=%7B%7B+call.from+%7D%7D"]


async def test_literal_text_is_encoded(run: Run, backend: Any) -> None:
    backend.json({})
    await run(path="/a b/ü%20c?d=é f")
    assert backend.paths == ["GET /a%20b/%C3%BC%20c?d=%C3%A9%20f"]


@pytest.mark.parametrize("value", ["", " ", ".", "..", "../admin", "a/../../b", "a\\..\\b", "/etc", "a//b", None])
async def test_no_value_leaves_its_place_in_the_path(run: Run, backend: Any, value: JSON) -> None:
    with pytest.raises(ToolError, match="missing or cannot be used"):
        await run(path="/orders/{{ args.id }}", arguments={"id": value})
    assert not backend.requests


@settings(deadline=None)
@given(value=st.text(), query=st.text())
def test_host_and_path_stay_what_the_configuration_says(value: str, query: str) -> None:
    template = UrlTemplate("https://api.example:8443/orders/{{ args.id }}/lines?q={{ args.q }}")
    try:
        url = template.render({"args": {"id": value, "q": query}})
    except ToolError:
        return
    assert (url.scheme, url.host, url.port) == ("https", "api.example", 8443)
    path = url.raw_path.split("/")
    assert (len(path), path[1], path[3]) == (4, "orders", "lines")
    assert list(url.query) == ["q"]
    assert not url.fragment


async def test_a_header_cannot_smuggle_another(run: Run, backend: Any) -> None:
    with pytest.raises(ToolError, match="not available"):
        await run(arguments={"x": "1\r\nX-Admin: yes"}, headers={"X": "a{{ args.x }}"})
    assert not backend.requests


@pytest.mark.parametrize(
    "url",
    [
        "{{ vars.url }}",
        "{{ args.scheme }}://api.example/",
        "https://{{ vars.host }}/",
        "https://{{ vars.tenant }}.api.example/",
        "https://api.example:{{ vars.port }}/",
        "https://api.example{{ vars.path }}",
        "https://user:{{ vars.password }}@api.example/",
        "https://api.example/{% if vars.a %}a{% endif %}",
        "https://api.example/{# note #}",
        "https://api.example/{{ vars.a",
        "ftp://api.example/",
        "api.example/x",
        "",
    ],
)
def test_templates_stand_in_path_and_query_only(url: str) -> None:
    with pytest.raises(BadRequestTemplate):
        UrlTemplate(url)


def test_select_must_be_jmespath(client: OutboundClient) -> None:
    with pytest.raises(BadRequestTemplate, match="JMESPath"):
        HttpTool(SPEC, ToolOptions(), RequestTemplate("GET", "http://x/", select="a..b"), client=client)


# --- what comes back --------------------------------------------------------------------------------------------------


async def test_select(run: Run, backend: Any) -> None:
    backend.json({"current": {"summary": "sunny"}, "list": [{"n": 1}, {"n": 2}]})
    assert (await run(select="current.summary")).result == "sunny"
    assert (await run(select="list[].n")).result == [1, 2]
    assert (await run(select="nothing.there")).result is None
    assert (await run()).result == {"current": {"summary": "sunny"}, "list": [{"n": 1}, {"n": 2}]}


@pytest.mark.parametrize(("n", "select"), [("text", "abs(n)"), ([1e308, 1e308], "ceil(sum(n))")])
async def test_an_answer_that_does_not_suit_select(run: Run, backend: Any, n: object, select: str) -> None:
    backend.json({"n": n})
    with pytest.raises(ToolError, match="not available"):
        await run(select=select)


async def test_plain_text_and_nothing(run: Run, backend: Any) -> None:
    backend.raw(b"Sunny, +21\xc2\xb0C \n", content_type="text/plain")
    backend.raw(b"", 204)
    assert (await run()).result == "Sunny, +21°C"
    assert (await run()).result is None


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (404, {"error": {"message": "no such city"}}, "no such city"),
        (404, {"detail": "secret"}, "The service refused the request (status 404)."),
        (422, [], "The service refused the request (status 422)."),
        (401, {"error": {"message": "bad key abc"}}, UNAVAILABLE),
        (403, {}, UNAVAILABLE),
        (500, {"error": {"message": "stack"}}, UNAVAILABLE),
        (302, {}, UNAVAILABLE),
    ],
)
async def test_failures(run: Run, backend: Any, status: int, body: Any, told: str) -> None:
    backend.json(body, status)
    with pytest.raises(ToolError) as caught:
        await run()
    assert caught.value.message == told


async def test_html_and_huge_answers(run: Run, backend: Any) -> None:
    backend.raw(b"<html>hi</html>", content_type="text/html")
    backend.raw(b"x" * 70_000, content_type="text/plain")
    for _ in range(2):
        with pytest.raises(ToolError, match="not available"):
            await run()


async def test_once_more_where_it_does_no_harm(run: Run, backend: Any) -> None:
    backend.raw(b"", 503)
    backend.json("second")
    assert (await run(idempotent=True)).result == "second"


@settings(deadline=None)
@given(
    status=st.integers(100, 599),
    body=st.binary(),
    kind=st.sampled_from(["text/plain", "text/html", "application/json"]),
)
def test_any_answer_is_a_value_or_a_typed_error(status: int, body: bytes, kind: str) -> None:
    try:
        value = read_answer(Answer(status, {"Content-Type": kind}, body))
    except (ToolError, BadAnswer):
        return
    assert 200 <= status < 300
    json.dumps(value)
