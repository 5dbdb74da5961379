"""What a tool is: it gets arguments, does its work and returns an `Outcome`. It never touches the call itself.

What shall become of the call (hang up, hand over) is data in the outcome; the dialogue alone acts on it. Tools that
must interact with the caller while they run are handed the small `CallActions`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from voxtrad.config.templates import Condition, Template, TemplateTree
from voxtrad.errors import VoxtradError
from voxtrad.providers.base import JSON, ToolSpec

# --- what comes of a tool ---------------------------------------------------------------------------------------------


class Endable(Protocol):
    """What a `Then` may do with the call."""

    async def hangup(self) -> None: ...

    async def transfer(self, destination: str) -> None: ...

    async def proceed(self, *, context: str | None, extension: str | None, priority: int | None) -> None: ...


@dataclass(frozen=True, slots=True)
class EndCall:
    """Hang up when what is being said has been heard."""

    async def perform(self, call: Endable) -> None:
        await call.hangup()


@dataclass(frozen=True, slots=True)
class Transfer:
    """Hand the caller to a destination of the configuration."""

    destination: str

    async def perform(self, call: Endable) -> None:
        await call.transfer(self.destination)


@dataclass(frozen=True, slots=True)
class Proceed:
    """Hand the caller back to the dialplan, for good: at this place, or after `Stasis()` with all `None`."""

    context: str | None = None
    extension: str | None = None
    priority: int | None = None

    async def perform(self, call: Endable) -> None:
        await call.proceed(context=self.context, extension=self.extension, priority=self.priority)


Then = EndCall | Transfer | Proceed


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
    later: Awaitable[Outcome] | None = None
    """The work goes on: `result` stands in for what this brings. Raises `ToolError`."""


class ToolError(VoxtradError):
    """The tool could not do it. The message is for the model: it must hold nothing that a caller may not hear."""


class ToolTimeout(ToolError):
    """No answer within the tool's `timeout`."""

    def __init__(self) -> None:
        super().__init__("The tool did not answer in time.")


class ToolUnavailable(ToolError):
    """A failure that is none of a caller's business; why is in the log."""

    def __init__(self) -> None:
        super().__init__("The tool is not available at the moment.")


class ToolDenied(ToolError):
    """Somebody's words asked for what the configuration does not give; where to, if it was a transfer."""

    def __init__(self, message: str, *, destination: str | None = None) -> None:
        super().__init__(message)
        self.destination = destination


# --- what a tool is ---------------------------------------------------------------------------------------------------


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
    fixed: Mapping[str, JSON] = field(default_factory=dict)
    """The arguments that the configuration sets and the model never saw; they are among `arguments` too."""
    deadline: float = float("inf")
    """When the tool's `timeout` is over, in seconds of `loop.time()`."""

    def namespaces(self) -> dict[str, Mapping[str, JSON]]:
        """What a template may name: `call.` and `vars.`."""
        call = {"id": self.call_id, "from": self.caller, "to": self.dialled, "agent": self.agent}
        call |= {"direction": self.direction, "channel": self.channel, "linkedid": self.linkedid}
        return {"call": call, "vars": self.variables}


class CallActions(Protocol):
    """What an interactive tool may do with the caller. All of it raises `LegGone` when the caller is."""

    async def say(self, text: str) -> None:
        """Say something and wait until it was heard or interrupted."""
        ...

    async def send_digits(self, digits: str) -> None:
        """Send DTMF to the caller's side."""
        ...

    async def collect_digits(
        self, *, length: int, terminator: str, timeout: float, sensitive: bool, prompt: str = ""
    ) -> str:
        """What the caller keys in: at most `length` digits, up to `terminator` (which is not part of it; may be empty),
        or until no key came for `timeout` seconds. Sensitive digits appear in no event, log, transcript or recording.

        `prompt` is said first; a key that is pressed meanwhile counts, and cuts it short.
        """
        ...

    async def play(self, pcm: bytes, rate: int) -> None:
        """Play mono 16-bit audio of `rate` samples per second; returns when it was heard or interrupted."""
        ...

    async def play_sound(self, name: str) -> None:
        """Play one of the PBX's own recordings to its end. Raises `LegError` where it has none of that name."""
        ...

    def hold(self, seconds: float) -> None:
        """Ask nobody whether they are still there for this long, or until the caller speaks."""
        ...


@dataclass(frozen=True, slots=True)
class ToolOptions:
    """What is the same for all kinds of tools; the runner sees to it."""

    timeout: float = 8.0
    """Seconds the whole call may take."""
    say: Template | None = None
    """Spoken when the tool takes long enough for the caller to wonder."""
    fixed: TemplateTree | None = None
    """An object that is merged over the model's arguments."""
    sequential: bool = False
    """Runs alone: the calls of one reply are made one after the other."""
    confirm: bool = False
    """The caller is asked first."""
    when: Condition | None = None
    """Not to be had unless this holds."""
    guarded: Collection[str] = ()
    """Parameters whose `enum` is a limit set by the configuration: to ask for another value is denied, not a slip."""
    sensitive: bool = False
    """Arguments and result appear in no event."""


class Tool(Protocol):
    @property
    def spec(self) -> ToolSpec: ...

    @property
    def options(self) -> ToolOptions: ...

    async def run(self, arguments: Mapping[str, JSON], context: ToolContext, actions: CallActions) -> Outcome:
        """Raises `ToolError`. Arguments were validated against `spec.parameters` before, and `fixed` is merged."""
        ...


@dataclass(frozen=True, slots=True)
class Declared:
    """A tool that the configuration only declares: a handler runs it and answers with `add_tool_result`."""

    spec: ToolSpec
    options: ToolOptions = field(default_factory=ToolOptions)

    async def run(self, arguments: Mapping[str, JSON], context: ToolContext, actions: CallActions) -> Outcome:
        raise ToolError("this tool is not implemented")
