"""Wyoming, the protocol of Home Assistant's voice servers (whisper, vosk, piper): where one is, and its events on TCP.

An event is a line of JSON (`type`, `data`, `data_length`, `payload_length`), then more data as JSON, then a payload.
Source: the README of the `wyoming` project; its own reader takes what it cannot read for the end, so it is not used.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from voxtrad.config.types import ConfigModel, Duration, Text, editor_form
from voxtrad.providers.base import JSON, MalformedAnswer, ProviderTimeout, Unreachable

_LONGEST_LINE: Final = 1 << 20
_LONGEST_PART: Final = 1 << 24


def _check_uri(uri: str) -> str:
    try:
        parts = urlsplit(uri)
        good = parts.scheme == "tcp" and parts.hostname and parts.port
    except ValueError:
        good = False
    if not good:
        raise PydanticCustomError("url", "must be tcp://host:port")
    return uri


class WyomingConnection(ConfigModel):
    uri: Annotated[
        Text,
        AfterValidator(_check_uri),
        editor_form(r"^[Tt][Cc][Pp]://[^\s/?#]+:[0-9]{1,5}", "must be tcp://host:port"),
    ]
    """Where the server is: `tcp://host:port`."""
    timeout: Duration = 10.0
    """How long the server may stay without any answer before it counts as failed."""


@dataclass(frozen=True, slots=True)
class Event:
    type: str
    data: Mapping[str, JSON] = field(default_factory=dict)
    payload: bytes = b""


class Peer:
    """One connection to a server. Its methods raise `ProviderError`."""

    def __init__(self, provider: str, timeout: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self._provider = provider
        self._timeout = timeout
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, provider: str, connection: WyomingConnection) -> Peer:
        parts = urlsplit(connection.uri)
        try:
            async with asyncio.timeout(connection.timeout):
                streams = await asyncio.open_connection(parts.hostname, parts.port, limit=_LONGEST_LINE)
        except TimeoutError as error:
            raise ProviderTimeout("the connection was not answered in time", provider=provider) from error
        except OSError as error:
            raise Unreachable(
                f"the connection failed ({type(error).__name__})", provider=provider, hint="check uri and the server"
            ) from error
        return cls(provider, connection.timeout, *streams)

    @property
    def gone(self) -> bool:
        """Whether the server has closed it."""
        return self._reader.at_eof() or self._writer.is_closing()

    async def send(self, type: str, data: Mapping[str, JSON] | None = None, payload: bytes = b"") -> None:
        head: dict[str, JSON] = {"type": type, "version": "1.10.0"}
        more = json.dumps(data, ensure_ascii=False).encode() if data else b""
        if more:
            head["data_length"] = len(more)
        if payload:
            head["payload_length"] = len(payload)
        try:
            self._writer.write(json.dumps(head).encode() + b"\n" + more + payload)
            async with asyncio.timeout(self._timeout):
                await self._writer.drain()
        except TimeoutError as error:
            raise ProviderTimeout("the server does not read", provider=self._provider) from error
        except OSError as error:
            raise Unreachable(f"the connection broke ({type_name(error)})", provider=self._provider) from error

    async def receive(self) -> Event:
        """The next event."""
        try:
            async with asyncio.timeout(self._timeout):
                event = await self._read()
        except TimeoutError as error:
            raise ProviderTimeout("no answer in time", provider=self._provider) from error
        except (OSError, EOFError) as error:
            raise Unreachable(f"the connection broke ({type_name(error)})", provider=self._provider) from error
        except ValueError as error:
            raise MalformedAnswer("an event that is not of the protocol", provider=self._provider) from error
        if event.type == "error":
            said = str(event.data.get("text", ""))[:300]
            raise Unreachable(f"the server reports: {said}", provider=self._provider)
        return event

    async def aclose(self) -> None:
        self._writer.close()
        try:
            async with asyncio.timeout(1.0):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            return  # it is gone, one way or the other

    async def _read(self) -> Event:
        line = await self._reader.readline()
        if not line:
            raise EOFError
        head = _object(line)
        data = _object(json.dumps(head.get("data") or {}))
        if more := _length(head, "data_length"):
            data |= _object(await self._reader.readexactly(more))
        payload = await self._reader.readexactly(_length(head, "payload_length"))
        kind = head.get("type")
        if not isinstance(kind, str):
            raise ValueError("no type")
        return Event(kind, data, payload)


def type_name(error: BaseException) -> str:
    return type(error).__name__


def _object(text: bytes | str) -> dict[str, JSON]:
    parsed = json.loads(text)
    if not isinstance(parsed, dict):
        raise ValueError("not an object")
    return parsed


def _length(head: Mapping[str, JSON], key: str) -> int:
    value = head.get(key) or 0
    if not isinstance(value, int) or not 0 <= value <= _LONGEST_PART:
        raise ValueError(key)
    return value
