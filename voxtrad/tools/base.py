"""What a tool is: it gets arguments, does its work and returns an `Outcome`. It never touches the call itself.

What shall become of the call (hang up, hand over) is data in the outcome; the dialogue alone acts on it. Tools that
must interact with the caller while they run are handed the small `CallActions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from voxtrad.errors import VoxtradError
from voxtrad.providers.base import JSON, ToolSpec


@dataclass(frozen=True, slots=True)
class EndCall:
    """Hang up when what is being said has been heard."""


@dataclass(frozen=True, slots=True)
class Transfer:
    """Hand the caller to a destination of the configuration."""

    destination: str


Then = EndCall | Transfer


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a tool call."""

    result: JSON = None
    """For the model."""
    say: str | None = None
    """For the caller, word for word, before the model goes on."""
    variables: Mapping[str, JSON] = field(default_factory=dict)
    """New values of the call's variables (`vars.`)."""
    then: Then | None = None


class ToolError(VoxtradError):
    """The tool could not do it. The message is for the model: it must hold nothing that a caller may not hear."""


class ToolTimeout(ToolError):
    """No answer within the tool's `timeout`."""


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a tool may know of the call it runs for."""

    call_id: str
    agent: str
    direction: str
    caller: str
    dialled: str
    channel: str
    linkedid: str
    tool_call_id: str
    """Unique per tool call (`tc_…`): the idempotency key."""
    turn: int
    variables: Mapping[str, JSON]


class CallActions(Protocol):
    """What an interactive tool may do with the caller."""

    async def say(self, text: str) -> None: ...

    async def send_digits(self, digits: str) -> None: ...


class Tool(Protocol):
    @property
    def spec(self) -> ToolSpec: ...

    @property
    def timeout(self) -> float:
        """Seconds the whole call may take."""
        ...

    @property
    def say(self) -> str | None:
        """A template, spoken when the tool takes long enough for the caller to wonder."""
        ...

    async def run(self, arguments: Mapping[str, JSON], context: ToolContext, actions: CallActions) -> Outcome:
        """Raises `ToolError`. Arguments were validated against `spec.parameters` before."""
        ...
