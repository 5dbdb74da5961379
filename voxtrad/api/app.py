"""The aiohttp application: the table's routes behind tokens, an audit log, problems as JSON; and the console.

Where it listens is `listener.py`'s business.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from voxtrad.api.gate import Gate
from voxtrad.api.house import House
from voxtrad.api.openapi import build_document
from voxtrad.api.pages import add_console
from voxtrad.api.problems import dress, problems
from voxtrad.api.table import MAX_BODY, Endpoint


def build_app(house: House, gate: Gate, table: Sequence[Endpoint]) -> web.Application:
    """All endpoints of the table."""
    app = web.Application(middlewares=[problems], client_max_size=MAX_BODY)
    for endpoint in table:
        handle = _guarded(house, gate, endpoint)
        app.router.add_route(endpoint.method, endpoint.path, handle)
        if endpoint.method == "GET" and endpoint.scope is None:
            app.router.add_route("HEAD", endpoint.path, handle)  # how some probes ask
    document = json.dumps(build_document(table), ensure_ascii=False)

    async def describe(request: web.Request) -> web.Response:
        return web.Response(text=document, content_type="application/json")

    app.router.add_get("/openapi.json", describe)
    add_console(app)
    app.on_response_prepare.append(_headers)

    async def send_away(app: web.Application) -> None:
        house.watch.close()

    app.on_shutdown.append(send_away)
    return app


def _guarded(house: House, gate: Gate, endpoint: Endpoint) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        return await gate.let_in(request, endpoint, lambda client: endpoint.run(house, client, request))

    return handle


async def _headers(request: web.Request, response: web.StreamResponse) -> None:
    dress(response)
