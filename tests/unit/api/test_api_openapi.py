"""The OpenAPI document: a validator accepts it, it says all there is, and what it says is so."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import ignored_auth

from tests.unit.api.running_server import TOKEN, TOKENS, in_thread, write_config
from voxtrad.api.openapi import build_document
from voxtrad.api.routes import TABLE
from voxtrad.api.table import Endpoint
from voxtrad.daemon import Server


def test_a_validator_accepts_it() -> None:
    OpenAPIV31SpecValidator(build_document(TABLE)).validate()


def test_it_says_all_that_the_language_promises() -> None:
    document: Any = build_document(TABLE)
    said = {f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item}
    promised = """
        GET /live, GET /ready, GET /metrics, GET /v1/calls, POST /v1/calls, GET /v1/calls/{id}, DELETE /v1/calls/{id},
        POST /v1/calls/{id}/say, POST /v1/calls/{id}/transfer, POST /v1/calls/{id}/hangup, GET /v1/events,
        GET /v1/agents, POST /v1/reload, POST /v1/drain, POST /v1/calls/{id}/tools/{call_id}/result
    """
    assert {line.strip() for line in promised.replace("\n", " ").split(",")} <= said
    operations = [item[method] for item in document["paths"].values() for method in item]
    assert len({operation["operationId"] for operation in operations}) == len(operations)


def test_every_endpoint_of_v1_asks_for_a_token() -> None:
    for endpoint in TABLE:
        assert (endpoint.scope is not None) == (endpoint.path.startswith("/v1/") and not endpoint.own_token)
        assert endpoint.path.startswith("/v1/") or endpoint.method == "GET"


UNENDING = ("/v1/events", "/v1/drain", "/v1/phone")
"""The stream never ends, a drained server is not ready, and a call is a websocket."""


# --- what it says is so -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with in_thread(write_config(tmp_path_factory.mktemp("openapi"), server=TOKENS)) as server:
        yield server


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("endpoint", [e for e in TABLE if e.path not in UNENDING], ids=lambda e: f"{e.method} {e.path}")
def test_it_is_so(served: Server, endpoint: Endpoint, mode: GenerationMode) -> None:
    """Requests that the document allows, and ones that it does not, are answered as it says."""
    schema = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
    cases = schema[endpoint.path][endpoint.method].as_strategy(generation_mode=mode)

    @settings(
        max_examples=8, phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck), database=None,
        derandomize=True,
    )  # fmt: skip
    @given(cases)
    def ask(case: schemathesis.Case) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answer = case.call_and_validate(headers=headers, excluded_checks=[ignored_auth])
        assert answer.status_code != 429, "whoever guesses tokens is locked out, and then nothing is tested"

    try:
        ask()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE, "there is no way to ask this wrongly"
