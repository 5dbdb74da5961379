"""MCP tools against real servers made with the official SDK, as a local program and over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.typing import EventDict

from voxtrad.config.templates import TemplateTree
from voxtrad.events.types import Event
from voxtrad.providers.base import JSON, ToolCall
from voxtrad.tools.base import ToolContext, ToolError, ToolOptions
from voxtrad.tools.mcp import McpServer, McpTarget
from voxtrad.tools.runner import ToolRunner

EXAMPLE = str(Path(__file__).with_name("mcp_example.py"))
UNAVAILABLE = "The tool is not available at the moment."

Connect = Callable[..., Awaitable[McpServer]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Connects a server for as long as the test lasts."""
    async with contextlib.AsyncExitStack() as stack:

        async def connect(target: McpTarget, **options: Any) -> McpServer:
            server = McpServer("crm", target, pauses=(0.01,), **options)
            await stack.enter_async_context(running(server))
            return server

        yield connect


@contextlib.asynccontextmanager
async def running(server: McpServer) -> AsyncIterator[None]:
    task = asyncio.create_task(server.run())
    try:
        await server.connected.wait()
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[tuple[str, Callable[[], Awaitable[asyncio.subprocess.Process]]]]:
    """A port that stays ours while the HTTP server on it comes and goes: its URL, and how to start the server."""
    processes: list[asyncio.subprocess.Process] = []
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        port.listen()

        async def start() -> asyncio.subprocess.Process:
            number = port.fileno()
            process = await asyncio.create_subprocess_exec(sys.executable, EXAMPLE, str(number), pass_fds=[number])
            processes.append(process)
            return process

        try:
            yield f"http://127.0.0.1:{port.getsockname()[1]}/mcp", start
        finally:
            for process in processes:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()


STDIO = McpTarget(command=(sys.executable, EXAMPLE), env={"REGION": "emea"})


async def test_a_local_program(connect: Connect, context: Callable[..., ToolContext], caller: Any) -> None:
    server = await connect(STDIO)
    assert set(server.tools) == {"crm_find_customer", "crm_say_hello", "crm_broken", "crm_slow", "crm_huge", "crm_die"}
    tool = server.tools["crm_find_customer"]
    assert (tool.spec.name, tool.spec.description) == ("crm_find_customer", "Find a customer by telephone number.")
    assert tool.spec.parameters["required"] == ["number"]

    outcome = await tool.run({"number": "+1", "limit": 2}, context(), caller)
    result = json.loads(outcome.result) if isinstance(outcome.result, str) else outcome.result
    assert result == {"name": "Ann", "number": "+1", "limit": 2, "region": "emea"}
    assert (await server.tools["crm_say_hello"].run({"name": "Bo"}, context(), caller)).result == "Hello Bo"

    with pytest.raises(ToolError) as caught:
        await server.tools["crm_broken"].run({}, context(), caller)
    assert "password" not in caught.value.message

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await server.tools["crm_slow"].run({}, context(), caller)
    assert (await server.tools["crm_say_hello"].run({"name": "Cy"}, context(), caller)).result == "Hello Cy"


async def test_a_program_that_dies_is_started_again(
    connect: Connect, context: Callable[..., ToolContext], caller: Any
) -> None:
    server = await connect(STDIO, only=["die", "say.hello", "nothing"])
    assert set(server.tools) == {"crm_die", "crm_say_hello"}
    with pytest.raises(ToolError, match=UNAVAILABLE):
        await server.tools["crm_die"].run({}, context(), caller)
    await server.connected.wait()
    assert (await server.tools["crm_say_hello"].run({"name": "Di"}, context(), caller)).result == "Hello Di"


async def test_over_http_through_the_runner(connect: Connect, facts: Mapping[str, str], caller: Any) -> None:
    events: list[Event] = []
    async with listening() as (url, start):
        await start()
        fixed: Mapping[str, JSON] = {"number": "{{ call.from }}"}
        server = await connect(
            McpTarget(url=url), options=ToolOptions(fixed=TemplateTree(fixed)), hidden=tuple(fixed), concurrency=1
        )
        assert "number" not in str(server.tools["crm_find_customer"].spec.parameters)
        async with asyncio.TaskGroup() as group:
            runner = ToolRunner(server.tools, call=facts, actions=caller, group=group, publish=events.append)
            calls = [
                ToolCall("1", "crm_find_customer", {"limit": 3}),
                ToolCall("2", "crm_find_customer", {"limit": "many"}),
            ]
            first, second = [(await tool.answer()).result for tool in runner.start(calls, {}, 1)]
        assert json.loads(first)["number"] == "+15550100"
        assert json.loads(first)["limit"] == 3
        assert "'many' is not of type 'integer'" in second


async def test_a_huge_answer_is_not_read(connect: Connect, context: Callable[..., ToolContext], caller: Any) -> None:
    async with listening() as (url, start):
        await start()
        server = await connect(McpTarget(url=url))
        with pytest.raises(ToolError, match=UNAVAILABLE):
            await server.tools["crm_huge"].run({}, context(), caller)
        await server.connected.wait()
        assert (await server.tools["crm_say_hello"].run({"name": "Flo"}, context(), caller)).result == "Hello Flo"


async def test_an_http_server_that_goes_and_comes_back(
    connect: Connect, context: Callable[..., ToolContext], caller: Any
) -> None:
    async with listening() as (url, start):
        first = await start()
        server = await connect(McpTarget(url=url), idempotent=True)
        hello = server.tools["crm_say_hello"]
        first.kill()
        await first.wait()
        call = asyncio.create_task(hello.run({"name": "Ed"}, context(), caller))
        await start()
        assert (await call).result == "Hello Ed"


@pytest.mark.parametrize(
    "target",
    [
        McpTarget(command=("/nowhere/to/be/found",)),
        McpTarget(command=(sys.executable, "-c", "print('I am no MCP server')")),
        McpTarget(url="http://127.0.0.1:1/mcp"),
    ],
    ids=["no program", "another program", "no server"],
)
async def test_where_nothing_is(target: McpTarget) -> None:
    """It is tried again and again, and nothing else stops."""
    lost = asyncio.Semaphore(0)

    def notice(logger: object, method: str, event: EventDict) -> EventDict:
        if event["event"] == "an MCP server is lost":
            lost.release()
        return event

    server = McpServer("crm", target, pauses=(0.001,))
    with structlog.testing.capture_logs(processors=[notice]):
        task = asyncio.create_task(server.run())
        await lost.acquire()
        await lost.acquire()
        assert not server.tools
        with pytest.raises(ToolError, match=UNAVAILABLE):
            await server.call("anything", {})
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()
