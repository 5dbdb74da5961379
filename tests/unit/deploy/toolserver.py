"""An example tool server as its own process, and the starter's tool that asks it, as voxtrad itself makes it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from voxtrad.config.loader import load
from voxtrad.outbound.client import OutboundClient
from voxtrad.outbound.signing import Signer
from voxtrad.providers.base import JSON
from voxtrad.providers.registry import provider_types
from voxtrad.tools.base import Outcome, Tool, ToolContext
from voxtrad.tools.registry import build_tools

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "deploy/examples"
DEMO_SECRET = "whsec_dGhlLXN0YXJ0ZXItc2VjcmV0LW9mLXZveHRyYWQtZGVtbw=="
OTHER_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class NoActions:
    """Implements `CallActions` for tools that need none of it."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"a webhook tool does not {name}")


@contextlib.asynccontextmanager
async def serving(command: Sequence[str], env: Mapping[str, str] | None = None, *, port: int = 0) -> AsyncIterator[str]:
    """Runs a server, told its address by `{port}` in the command or the environment; yields its URL once it answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", port))
        port = probe.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        *(word.format(port=port) for word in command),
        env={**os.environ, **{name: value.format(port=port) for name, value in (env or {}).items()}},
        stdout=asyncio.subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(20), aiohttp.ClientSession() as http:
            while True:
                try:
                    async with http.get(f"{url}/") as answer:
                        assert await answer.json() == {"tools": ["lookup_order"]}
                        break
                except aiohttp.ClientConnectionError:
                    assert process.returncode is None
                    await asyncio.sleep(0.02)  # another process gives no event
        yield url
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(10):
            await process.wait()


async def look_up(url: str, order_id: str, *, secret: str = DEMO_SECRET) -> Outcome:
    """What the starter's `lookup_order` brings from a server there. Raises `ToolError`."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TOOLS_URL", url)
        environment.setenv("TOOLS_SECRET", secret)
        config = load(ROOT / "config/voxtrad.yaml", provider_types=provider_types()).config
    arguments: dict[str, JSON] = {"order_id": order_id}
    async with OutboundClient() as client:
        tool: Tool = build_tools(config, config.agents["support"], client=client)["lookup_order"]
        context = ToolContext(
            "c_1", "support", "inbound", "+15550100", "1000", "PJSIP/100-1", "17.1", "tc_1", 1, {},
            deadline=asyncio.get_running_loop().time() + 8,
        )  # fmt: skip
        return await tool.run(arguments, context, NoActions())


async def post(url: str, body: bytes, *, age: float = 0.0, secret: str = DEMO_SECRET, **headers: str) -> int:
    """The status of a request that is signed well, unless `headers` or `age` make it another."""
    signed = Signer([secret]).headers("tc_1", time.time() - age, body)
    signed |= {name.replace("_", "-"): value for name, value in headers.items()}
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{url}/tools/lookup_order", data=body, headers=signed) as answer,
    ):
        await answer.read()
        return answer.status


async def answers_as_the_contract_says(url: str) -> None:
    """What an example must do, whatever its language."""
    assert (await look_up(url, "1234")).result == {"order_id": "1234", "status": "on its way, and arrives tomorrow"}
    assert (await look_up(url, "999")).result == {"order_id": "999", "status": "not one that I can find"}
    assert (await look_up(url, "__proto__")).result == {"order_id": "__proto__", "status": "not one that I can find"}


async def refuses_what_is_not_voxtrads(url: str) -> None:
    good = (
        '{"type":"tool.call","data":{"call":{"id":"c_1"},'
        '"tool":{"name":"lookup_order","arguments":{"order_id":"1234","note":"Grüße 🎧"}}}}'
    ).encode()
    assert await post(url, good) == 200
    assert await post(url, good, secret=OTHER_SECRET) == 401
    assert await post(url, good, age=3600) == 401
    assert await post(url, good, age=-3600) == 401
    assert await post(url, good, webhook_id="tc_2") == 401
    assert await post(url, good, webhook_timestamp="soon") == 401
    assert await post(url, good, webhook_signature="") == 401
    assert await post(url, good, webhook_signature="v1,") == 401
    assert await post(url, good.replace(b"lookup_order", b"constructor")) == 404
    assert await post(url, b"not json") == 500
    assert await post(url, b" " * 70_000) == 413
    both = Signer([OTHER_SECRET, DEMO_SECRET])  # while a secret is rotated
    headers = both.headers("tc_1", time.time(), good)
    assert await post(url, good, **{name.replace("-", "_"): value for name, value in headers.items()}) == 200
