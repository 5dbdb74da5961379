"""MCP tools: what the servers of the Model Context Protocol offer, over streamable HTTP or as a local program.

A server's connection is kept for as long as voxtrad runs, and made again when it breaks; its tools are those it listed
last. Calls come from any telephone call. The protocol is the official SDK's; it is imported when a server is connected.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Never, cast

import structlog

from voxtrad.config.tools import offered_name
from voxtrad.errors import VoxtradError, in_words
from voxtrad.providers.base import JSON, ToolSpec
from voxtrad.tools.arguments import BadSchema, check_schema, without
from voxtrad.tools.base import CallActions, Outcome, Tool, ToolContext, ToolError, ToolOptions, ToolUnavailable
from voxtrad.tools.limits import Limited

if TYPE_CHECKING:
    from mcp import Client
    from mcp.types import CallToolResult
    from mcp.types import Tool as Listed

CONNECT_TIMEOUT = 15.0
"""Seconds for connecting and listing the tools: a local program has to start first."""
RELIST = 60.0
"""Seconds between two lists of a server's tools, which show as well that it still lives."""
_PAUSES = (1.0, 2.0, 5.0, 15.0, 30.0)
"""Seconds before the next attempt to connect; the last one for ever."""
_PAGES = 20
_LONGEST_ERROR = 1000

log = structlog.stdlib.get_logger(__name__)


class McpNotInstalled(VoxtradError):
    """The configuration has an MCP server, and the SDK is not there."""


@dataclass(frozen=True, slots=True)
class McpTarget:
    """How a server is reached: by `url`, or by `command`, a program with its arguments."""

    url: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    """Environment of the program, besides the few variables that are always handed on."""


class McpServer:
    """One server. Let `run` run, and `tools` has what it offers, named `<name>_<its name>`: empty until it connects.

    `only` picks among its tools; `hidden` are parameters that the configuration sets (`fixed`), which no model sees.
    Raises `McpNotInstalled`.
    """

    def __init__(
        self,
        name: str,
        target: McpTarget,
        *,
        only: Collection[str] | None = None,
        options: ToolOptions | None = None,
        hidden: Collection[str] = (),
        concurrency: int | None = None,
        idempotent: bool = False,
        pauses: tuple[float, ...] = _PAUSES,
    ) -> None:
        if find_spec("mcp") is None:
            raise McpNotInstalled(
                f"the tool '{name}' needs the package 'mcp', which is not installed", hint="pip install 'voxtrad[mcp]'"
            )
        self.name = name
        self.tools: dict[str, Tool] = {}
        self.connected = asyncio.Event()
        self.tried = asyncio.Event()
        """Set when it has connected for the first time, or could not."""
        self._target = target
        self._only = only
        self._options = options or ToolOptions()
        self._hidden = hidden
        self._slots = None if concurrency is None else asyncio.Semaphore(concurrency)
        self._attempts = 2 if idempotent else 1
        self._pauses = pauses
        self._client: Client | None = None
        self._doubt = asyncio.Event()

    async def run(self) -> Never:
        """Keep the server connected until cancelled."""
        failures = 0
        while True:
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT) as deadline, _connection(self._target) as client:
                    await self._list(client)
                    deadline.reschedule(None)
                    failures = 0
                    self.tried.set()
                    log.info("an MCP server is connected", server=self.name, tools=sorted(self.tools))
                    await self._watch(client)
            except Exception as error:  # noqa: BLE001 - one server's supervisor: the SDK can raise anything
                _not_swallowed(error)
                pause = self._pauses[min(failures, len(self._pauses) - 1)]
                log.warning("an MCP server is lost", server=self.name, reason=_reason(error), again_in=pause)
                failures += 1
                self.tried.set()
            finally:
                self._client = None
                self.connected.clear()
            await asyncio.sleep(pause)

    async def call(self, tool: str, arguments: Mapping[str, JSON]) -> Outcome:
        """Call a tool by the server's name for it. Raises `ToolError`."""
        from mcp import MCPError

        for attempt in range(self._attempts):
            if attempt:
                await self.connected.wait()
            client = self._client
            if client is None:
                continue
            try:
                return read_result(await client.call_tool(tool, dict(arguments)))
            except (MCPError, RuntimeError, ValueError) as error:  # the SDK's own checks of a result raise the latter
                log.warning("an MCP tool failed", server=self.name, tool=tool, reason=_reason(error))
                self.connected.clear()
                self._doubt.set()
                if isinstance(error, MCPError) and error.code == _INVALID_PARAMS:
                    raise ToolError(_cut(error.message)) from error
        raise ToolUnavailable

    # --- the connection -----------------------------------------------------------------------------------------------

    async def _watch(self, client: Client) -> None:
        """List the tools again and again. Raises what the SDK raises when the server is gone."""
        while True:
            self._client = client
            self.connected.set()
            self._doubt.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RELIST):
                    await self._doubt.wait()
            self.connected.clear()
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await self._list(client)

    async def _list(self, client: Client) -> None:
        listed: list[Listed] = []
        cursor: str | None = None
        for _ in range(_PAGES):
            page = await client.list_tools(cursor=cursor, cache_mode="refresh")
            listed += page.tools
            cursor = page.next_cursor
            if cursor is None:
                break
        tools: dict[str, Tool] = {}
        for one in listed:
            if self._only is not None and one.name not in self._only:
                continue
            tool = McpTool(self, one, self._options, self._hidden)
            try:
                check_schema(tool.spec.parameters)
            except BadSchema as error:
                log.warning("an MCP tool is left out", server=self.name, tool=one.name, reason=error.message)
                continue
            tools.setdefault(tool.spec.name, tool if self._slots is None else Limited(tool, self._slots))
        self.tools.clear()
        self.tools.update(tools)
        absent = set(self._only or ()) - {one.name for one in listed}
        if absent:
            log.warning("an MCP server has not all tools it should", server=self.name, absent=sorted(absent))


class McpTool:
    """One tool of a server, as voxtrad's agents see it."""

    def __init__(self, server: McpServer, listed: Listed, options: ToolOptions, hidden: Collection[str]) -> None:
        schema = cast("Mapping[str, JSON]", listed.input_schema)
        name = offered_name(server.name, listed.name)
        self.spec = ToolSpec(name, listed.description or listed.title or "", without(schema, hidden))
        self.options = options
        self._server = server
        self._name = listed.name

    async def run(self, arguments: Mapping[str, JSON], context: ToolContext, actions: CallActions) -> Outcome:
        return await self._server.call(self._name, arguments)


class McpTools(Mapping[str, Tool]):
    """What an agent has of a server at the moment: all of its tools, or `only` those of these names."""

    def __init__(self, server: McpServer, only: str | None = None) -> None:
        self._server = server
        self._only = only

    def __getitem__(self, name: str) -> Tool:
        if self._only is not None and name != self._only:
            raise KeyError(name)
        return self._server.tools[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in self._server.tools if self._only is None or name == self._only)

    def __len__(self) -> int:
        return sum(1 for _ in self)


@asynccontextmanager
async def _connection(target: McpTarget) -> AsyncIterator[Client]:
    import httpx2
    from mcp import Client, StdioServerParameters
    from mcp.client.streamable_http import streamable_http_client

    from voxtrad.outbound.pinned import PinnedTransport

    if target.url is None:
        program, *arguments = target.command
        parameters = StdioServerParameters(command=program, args=arguments, env=dict(target.env))
        async with Client(parameters) as client:
            yield client
    else:
        # Reading has no limit of its own here: a server may keep a stream open, and each tool has its `timeout`.
        timeout = httpx2.Timeout(CONNECT_TIMEOUT, read=None)
        async with (
            httpx2.AsyncClient(headers=dict(target.headers), timeout=timeout, transport=PinnedTransport()) as http,
            Client(streamable_http_client(target.url, http_client=http)) as client,
        ):
            yield client


# --- pure -------------------------------------------------------------------------------------------------------------

_INVALID_PARAMS = -32602


def read_result(result: CallToolResult) -> Outcome:
    """What a server answered: its structured content, or its text. Raises `ToolError` with its words for a failure."""
    text = "\n".join(block.text if block.type == "text" else f"({block.type})" for block in result.content)
    if result.is_error:
        raise ToolError(_cut(text)) if text.strip() else ToolUnavailable()
    structured = cast("JSON", result.structured_content)
    if isinstance(structured, Mapping) and structured.keys() == {"result"}:
        return Outcome(structured["result"])  # how servers wrap what is not an object
    return Outcome(text if structured is None else structured)


def _not_swallowed(error: Exception) -> None:
    """A task group that fails while it is being cancelled raises its failure alone: go on with the cancellation."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError from error


def _reason(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):  # the SDK's task groups wrap what happened
        error = error.exceptions[0]
    if isinstance(error, OSError) and error.filename:
        return _cut(f"{error.filename}: {in_words(error)}")
    return _cut(f"{type(error).__name__}: {error}")


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_ERROR else text[:_LONGEST_ERROR] + "…"
