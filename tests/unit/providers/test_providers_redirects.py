"""A vendor that redirects: its key goes to no other host."""

from __future__ import annotations

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.unit.providers.benches import KEY, make
from voxtrad.providers.base import BadRequest, Message, ProviderError

CASES = [
    ("llm", "anthropic", {}),
    ("llm", "openai", {"model": "m"}),
    ("tts", "elevenlabs", {"voice": "v", "transport": "http"}),
    ("tts", "openai", {}),
]


async def used(kind, provider):
    if kind == "llm":
        return [event async for event in provider.stream([Message("user", "Hi.")])]
    voice = await provider.open(rate=8000, language="en")
    try:
        return [chunk async for chunk in voice.synthesize("Hello.")]
    finally:
        await voice.aclose()


@pytest.mark.parametrize(("kind", "type_", "options"), CASES, ids=[" ".join(case[:2]) for case in CASES])
async def test_the_key_is_not_carried_to_another_host(kind, type_, options):
    seen = []

    async def elsewhere(request):
        seen.append(str(request.headers))
        return web.json_response({})

    async def redirect(request):
        raise web.HTTPTemporaryRedirect(f"http://localhost:{other.port}{request.path}")

    app, there = web.Application(), web.Application()
    there.router.add_route("*", "/{path:.*}", elsewhere)
    app.router.add_route("*", "/{path:.*}", redirect)
    async with TestServer(there, host="localhost") as other, TestServer(app, host="127.0.0.1") as vendor:
        url = f"http://127.0.0.1:{vendor.port}"
        provider = make(kind, type_, {"base_url": url, "api_key": KEY, "timeout": 5}, options)
        try:
            with pytest.raises(ProviderError) as caught:
                await used(kind, provider)
        finally:
            await provider.aclose()
    assert not [headers for headers in seen if KEY in headers]
    if (kind, type_) in (("llm", "anthropic"), ("tts", "elevenlabs")):
        assert isinstance(caught.value, BadRequest) and not seen
