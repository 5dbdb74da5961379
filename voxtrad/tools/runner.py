"""Runs the tools that a model calls on one call: checks arguments, gates, confirms, times, and tells what happened.

Every call of a tool ends in a `ToolAnswer`, whatever goes wrong: the model is told in words. A tool once begun goes on
in the task group it was handed, also when nobody waits for its answer any more (the caller interrupted). What the
answer means for history, variables and the call is left to the conversation.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import structlog

from voxtrad.config.templates import TemplateRenderError
from voxtrad.events.types import ErrorOccurred, Event, SecurityDenied, ToolCalled, ToolCompleted, TransferDenied
from voxtrad.leg import LegGone
from voxtrad.providers.base import JSON, ToolCall, ToolSpec
from voxtrad.tools.arguments import ArgumentCheck
from voxtrad.tools.base import (
    CallActions,
    Declared,
    Outcome,
    Then,
    Tool,
    ToolContext,
    ToolDenied,
    ToolError,
    ToolTimeout,
    ToolUnavailable,
    Transfer,
)

MAX_RESULT = 16 * 1024
"""Bytes of a result that the model gets, and that an event carries."""

Word = Literal["ok", "error", "timeout", "refused"]

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ToolAnswer:
    """What came of one tool call, ready for the conversation."""

    result: str
    """For the model: the tool's text, or JSON; `{"error": "…"}` when it failed."""
    say: str | None = None
    variables: Mapping[str, JSON] = field(default_factory=dict)
    then: Then | None = None
    later: RunningTool | None = None
    """The work goes on: `result` stands in for what this one answers."""


class RunningTool:
    """A tool call under way. It goes on to its end, whatever becomes of the reply that wanted it."""

    def __init__(self, task: asyncio.Task[ToolAnswer], filler: str | None = None) -> None:
        self.filler = filler
        """What to tell a caller who wonders why it takes so long. Rendered: never a template again."""
        self._task = task

    async def answer(self) -> ToolAnswer:
        """Wait for it; to be cancelled meanwhile does not stop the tool. May be asked again."""
        return await asyncio.shield(self._task)


class ToolRunner:
    """One call's tools. `call` has the facts of the call by their template names (`id`, `from`, `to`, …).

    `destinations` are where the configuration lets this agent send a caller; the tools run in `group`.
    """

    def __init__(
        self,
        tools: Mapping[str, Tool],
        *,
        call: Mapping[str, JSON],
        destinations: Collection[str] = (),
        actions: CallActions,
        group: asyncio.TaskGroup,
        publish: Callable[[Event], None],
    ) -> None:
        self._tools = tools
        self._call = {name: str(call.get(name, "")) for name in _FACTS}
        self._destinations = destinations
        self._actions = actions
        self._group = group
        self._publish = publish
        self._asked: dict[str, dict[str, int]] = {}  # a tool's arguments that the caller is asked about, and when
        self._left: dict[str, _Run] = {}
        self._late: dict[str, _Run] = {}
        """Whose results are to follow."""

    @property
    def specs(self) -> Sequence[ToolSpec]:
        """All tools of the agent, as a model sees them."""
        return [tool.spec for tool in self._tools.values()]

    def offered(self, variables: Mapping[str, JSON]) -> Sequence[ToolSpec]:
        """The tools that may be called now: those whose `when` holds."""
        namespaces = {"call": self._call, "vars": variables}
        return [tool.spec for tool in self._tools.values() if _open(tool, namespaces)]

    def implemented(self, name: str) -> bool:
        """False for a tool that was declared for a handler to run. True for unknown names, which are answered here."""
        return not isinstance(self._tools.get(name), Declared)

    def leave(self, call: ToolCall, variables: Mapping[str, JSON], turn: int) -> ToolCall | ToolAnswer:
        """A call of a tool that a handler runs: as it is to be made, its arguments checked, or why it is refused."""
        tool, run = self._tools[call.name], self._begin(call)
        self._called(run, call)
        try:
            _, arguments = self._checked(tool, call, run, dict(variables), turn)
        except (ToolError, TemplateRenderError) as error:
            refused = error if isinstance(error, ToolError) else ToolUnavailable()
            if isinstance(refused, ToolDenied):
                self._deny(run, refused)
            self._completed(run, _word(refused), {"error": refused.message})
            return _failure(refused)
        self._left[call.id] = run
        return replace(call, arguments=arguments)

    def finished(self, call_id: str, result: JSON) -> str:
        """A handler has run a tool that was left to it; gives the result as the model gets it."""
        text = _bounded(whole := _text(result))
        if (run := self._left.pop(call_id, None)) is not None:
            word: Word = "error" if isinstance(result, Mapping) and "error" in result else "ok"
            self._completed(run, word, result if text == whole else text)
        return text

    def close(self) -> None:
        """The call is over: what a handler has left unanswered stays so, and is told; and so is a late result for
        which nobody began to wait."""
        left, self._left = self._left, {}
        for run in left.values():
            self._completed(run, "error", {"error": "the handler gave no result"})
        for run in list(self._late.values()):
            self._completed(run, "error", {"error": "the call ended"})

    def start(self, calls: Sequence[ToolCall], variables: Mapping[str, JSON], turn: int) -> Sequence[RunningTool]:
        """Begin the calls of one round: at once, or one after the other where any of them is `sequential`.

        Gives a running tool for each, in order. `turn` counts what the caller said: a tool with `confirm` runs when it
        is asked for again, with the same arguments, after the caller has had the word.
        """
        chained = any(tool.options.sequential for call in calls if (tool := self._tools.get(call.name)))
        known = dict(variables)
        running: list[RunningTool] = []
        previous: asyncio.Task[ToolAnswer] | None = None
        for call in calls:
            task = self._group.create_task(self._run(call, known, turn, previous), name=f"tool {call.name}")
            running.append(RunningTool(task, self._filler(call, known)))
            previous = task if chained else None
        return running

    def _filler(self, call: ToolCall, variables: Mapping[str, JSON]) -> str | None:
        tool = self._tools.get(call.name)
        if tool is None or tool.options.say is None:
            return None
        try:
            return tool.options.say.render(call=self._call, vars=variables, args=_object(call.arguments))
        except TemplateRenderError as error:
            log.warning("a tool's say cannot be rendered", tool=call.name, reason=error.message)
            return None

    # --- one call -----------------------------------------------------------------------------------------------------

    async def _run(
        self, call: ToolCall, known: dict[str, JSON], turn: int, previous: asyncio.Task[ToolAnswer] | None
    ) -> ToolAnswer:
        if previous is not None:
            await asyncio.wait([previous])
        tool, run = self._tools.get(call.name), self._begin(call)
        if tool is None:
            denied = ToolDenied(f"There is no tool named {call.name[:64]!r}.")
            self._deny(run, denied)
            return _failure(denied)
        self._called(run, call)
        answer = await self._settle(self._work(tool, call, run, known, turn), run)
        known.update(answer.variables)
        return answer

    def _begin(self, call: ToolCall) -> _Run:
        tool = self._tools.get(call.name)
        sensitive = tool is not None and tool.options.sensitive
        return _Run(f"tc_{uuid.uuid4().hex}", call.name, self._call["id"], self._call["agent"], _now(), sensitive)

    async def _work(self, tool: Tool, call: ToolCall, run: _Run, variables: Mapping[str, JSON], turn: int) -> Outcome:
        context, arguments = self._checked(tool, call, run, variables, turn)
        try:
            async with asyncio.timeout_at(context.deadline):
                return await tool.run(arguments, context, self._actions)
        except TimeoutError as error:
            raise ToolTimeout from error

    def _checked(
        self, tool: Tool, call: ToolCall, run: _Run, variables: Mapping[str, JSON], turn: int
    ) -> tuple[ToolContext, Mapping[str, JSON]]:
        """What the tool may know, and the arguments it gets. Raises `ToolError` where it must not run."""
        context = ToolContext(
            call_id=run.call_id,
            agent=run.agent,
            direction=self._call["direction"],
            caller=self._call["from"],
            dialled=self._call["to"],
            channel=self._call["channel"],
            linkedid=self._call["linkedid"],
            tool_call_id=run.id,
            turn=turn,
            variables=dict(variables),
            deadline=_now() + tool.options.timeout,
        )
        if not _open(tool, context.namespaces()):
            raise ToolDenied("This tool may not be used now.")
        arguments = ArgumentCheck(tool.spec.parameters, tool.options.guarded)(call.arguments)
        if tool.options.confirm:
            self._confirm(call.name, arguments, turn)
        if tool.options.fixed is not None:
            fixed = _object(tool.options.fixed.render(**context.namespaces(), args=arguments))
            context, arguments = replace(context, fixed=fixed), {**arguments, **fixed}
        return context, arguments

    def _confirm(self, name: str, arguments: Mapping[str, JSON], turn: int) -> None:
        wanted = json.dumps(arguments, sort_keys=True, default=dict)
        asked = self._asked.get(name, {})
        latest = max((at for at in asked.values() if at < turn), default=turn)
        # What the caller was asked before that was not settled then, and is not what a "yes" of now means.
        self._asked[name] = asked = {about: at for about, at in asked.items() if at >= latest}
        if asked.get(wanted, turn) < turn:
            del asked[wanted]
            return
        asked[wanted] = turn
        raise _Unconfirmed(
            "Nothing was done yet. Tell the caller what is about to be done and ask whether it is right; "
            "if it is, call this tool again with the same arguments."
        )

    # --- how it ends --------------------------------------------------------------------------------------------------

    async def _settle(self, work: Awaitable[Outcome], run: _Run) -> ToolAnswer:
        """Wait for the work and tell what came of it, also when the call ends in the middle of it."""
        word: Word = "error"
        result: JSON = {"error": "the call ended"}
        later: RunningTool | None = None
        try:
            outcome = await work
            if isinstance(outcome.then, Transfer) and outcome.then.destination not in self._destinations:
                name = outcome.then.destination
                raise ToolDenied(f"There is no destination named {name[:64]!r}.", destination=name)
            whole = _text(outcome.result)
            text = _bounded(whole)
            word, result = "ok", outcome.result if text == whole else text
            if outcome.later is not None:
                self._late[run.id] = run
                later = RunningTool(self._group.create_task(self._settle(outcome.later, run), name=f"late {run.tool}"))
            return ToolAnswer(text, outcome.say, outcome.variables, outcome.then, later)
        except ToolError as error:
            word, result = _word(error), {"error": error.message}
            if isinstance(error, ToolDenied):
                self._deny(run, error)
            return _failure(error)
        except (LegGone, TemplateRenderError) as error:
            log.warning("a tool could not do it", tool=run.tool, tool_call_id=run.id, reason=error.message)
            result = {"error": ToolUnavailable().message}
            return _failure(ToolUnavailable())
        except Exception as error:  # the outermost supervisor of a tool's own code: the call must survive it
            log.exception("a tool broke", tool=run.tool, tool_call_id=run.id)
            message = f"the tool {run.tool} broke: {type(error).__name__}"
            self._publish(ErrorOccurred(call_id=run.call_id, agent=run.agent, where="tool", message=message))
            result = {"error": ToolUnavailable().message}
            return _failure(ToolUnavailable())
        finally:
            if later is None:
                self._completed(run, word, result)

    # --- what is told of it -------------------------------------------------------------------------------------------

    def _called(self, run: _Run, call: ToolCall) -> None:
        self._publish(
            ToolCalled(
                call_id=run.call_id,
                agent=run.agent,
                tool=run.tool,
                tool_call_id=run.id,
                arguments={} if run.sensitive else _object(call.arguments),
            )
        )

    def _completed(self, run: _Run, word: Word, result: JSON) -> None:
        self._late.pop(run.id, None)
        self._publish(
            ToolCompleted(
                call_id=run.call_id,
                agent=run.agent,
                tool=run.tool,
                tool_call_id=run.id,
                outcome=word,
                duration=_now() - run.began,
                result=None if run.sensitive else result,
            )
        )

    def _deny(self, run: _Run, error: ToolDenied) -> None:
        if error.destination is not None:
            known = error.destination in self._destinations
            reason: Literal["not_allowed", "unknown_destination"] = "not_allowed" if known else "unknown_destination"
            self._publish(TransferDenied(call_id=run.call_id, agent=run.agent, reason=reason))
        self._publish(
            SecurityDenied(call_id=run.call_id, agent=run.agent, what=f"tool {run.tool[:64]}", reason=error.message)
        )


_FACTS = ("id", "agent", "direction", "from", "to", "channel", "linkedid")


@dataclass(frozen=True, slots=True)
class _Run:
    """What events say of one call of a tool."""

    id: str
    tool: str
    call_id: str
    agent: str
    began: float
    sensitive: bool


class _Unconfirmed(ToolError):
    """The caller was not asked yet."""


def _open(tool: Tool, namespaces: Mapping[str, object]) -> bool:
    if tool.options.when is None:
        return True
    try:
        return tool.options.when.holds(**namespaces)
    except TemplateRenderError as error:
        log.warning("a tool stays closed: its `when` cannot be evaluated", tool=tool.spec.name, reason=error.message)
        return False


def _word(error: ToolError) -> Word:
    match error:
        case ToolTimeout():
            return "timeout"
        case ToolDenied() | _Unconfirmed():
            return "refused"
        case _:
            return "error"


def _failure(error: ToolError) -> ToolAnswer:
    asked: dict[str, JSON] = {"confirm": True} if isinstance(error, _Unconfirmed) else {}
    return ToolAnswer(_bounded(_text({"error": error.message, **asked})))


def _text(result: JSON) -> str:
    """A result as a model reads it: text as it is, anything else as JSON."""
    if result is None:
        return '{"status": "done"}'
    return result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, default=dict)


def _bounded(text: str) -> str:
    """The text, without what cannot be written as UTF-8 and cut off at `MAX_RESULT` bytes."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= MAX_RESULT:
        return raw.decode()
    return raw[: MAX_RESULT - len(_CUT.encode())].decode("utf-8", "ignore") + _CUT


_CUT = " … (the rest was cut off)"


def _object(value: JSON) -> Mapping[str, JSON]:
    return value if isinstance(value, Mapping) else {}


def _now() -> float:
    return asyncio.get_running_loop().time()
