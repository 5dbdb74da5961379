"""A real MCP server, made with the official SDK: over stdio, or over streamable HTTP on the socket it is given."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from typing import Any

import uvicorn
from mcp.server.mcpserver import MCPServer

server = MCPServer("crm", log_level="CRITICAL")


@server.tool()
def find_customer(number: str, limit: int = 1) -> dict[str, Any]:
    """Find a customer by telephone number."""
    return {"name": "Ann", "number": number, "limit": limit, "region": os.environ.get("REGION", "")}


@server.tool(name="say.hello")
def say_hello(name: str) -> str:
    """Greet somebody."""
    return f"Hello {name}"


@server.tool()
def broken() -> str:
    """Always fails."""
    raise RuntimeError("password=1")


@server.tool()
async def slow() -> str:
    """Never answers."""
    await asyncio.Event().wait()
    return ""


@server.tool()
def huge() -> str:
    """Answers with more than anybody wants to read."""
    return "x" * 3_000_000


@server.tool()
def die() -> str:
    """Takes the server with it."""
    os._exit(3)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        server.run("stdio")
    else:
        listening = socket.socket(fileno=int(sys.argv[1]))
        config = uvicorn.Config(server.streamable_http_app(), log_level="critical")
        asyncio.run(uvicorn.Server(config).serve(sockets=[listening]))
