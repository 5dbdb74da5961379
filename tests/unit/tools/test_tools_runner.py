"""The runner: what is refused, what runs together, what is told to the model and to the bus."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

import pytest

from tests.figures import tells
from voxtrad.config.templates import Condition, Template, TemplateTree
from voxtrad.events.types import Event, SecurityDenied, ToolCalled, ToolCompleted, TransferDenied
from voxtrad.leg import LegGone
from voxtrad.providers.base import JSON, ToolCall, ToolSpec
from voxtrad.tools.base import (
    CallActions,
    Declared,
    EndCall,
    Outcome,
    Tool,
    ToolContext,
    ToolDenied,
    ToolError,
    ToolOptions,
    Transfer,
)
from voxtrad.tools.builtin.end_call import EndCallTool
from voxtrad.tools.runner import MAX_RESULT, ToolAnswer, ToolRunner

Work = Callable[[Mapping[str, JSON], ToolContext], Awaitable[Outcome]]


class Doing:
    """A tool that does what a test says."""

    def __init__(self, work: Work, name: str = "tool", parameters: Any = None, **options: Any) -> None:
        self.spec = ToolSpec(name, "", parameters or {"type": "object"})
        self.options = ToolOptions(**options)
        self._work = work

    async def run(self, arguments: Mapping[str, JSON], context: ToolContext, actions: CallActions) -> Outcome:
        return await self._work(arguments, context)


def giving(outcome: Outcome) -> Work:
    async def work(arguments: Mapping[str, JSON], context: ToolContext) -> Outcome:
        return outcome

    return work


def failing(error: BaseException) -> Work:
    async def work(arguments: Mapping[str, JSON], context: ToolContext) -> Outcome:
        raise error

    return work


class House:
    """A call's task group, its bus and a runner in it."""

    def __init__(self, facts: Mapping[str, str], caller: CallActions) -> None:
        self.events: list[Event] = []
        self.facts = facts
        self.caller = caller
        self.group = asyncio.TaskGroup()
        self.variables: dict[str, JSON] = {"tier": "gold"}

    def runner(self, *tools: Tool, destinations: Sequence[str] = ()) -> ToolRunner:
        return ToolRunner(
            {tool.spec.name: tool for tool in tools},
            call=self.facts,
            destinations=destinations,
            actions=self.caller,
            group=self.group,
            publish=self.events.append,
        )

    async def call(
        self, runner: ToolRunner, name: str = "tool", arguments: Mapping[str, JSON] | str = "", turn: int = 1
    ) -> ToolAnswer:
        (running,) = runner.start([ToolCall("call_1", name, arguments)], self.variables, turn)
        return await running.answer()

    @property
    def completed(self) -> list[tuple[str, str]]:
        return [(event.tool, event.outcome) for event in self.events if isinstance(event, ToolCompleted)]


@pytest.fixture
async def house(facts: Mapping[str, str], caller: CallActions) -> AsyncIterator[House]:
    house = House(facts, caller)
    async with house.group:
        yield house


# --- one call ---------------------------------------------------------------------------------------------------------


async def test_what_comes_of_a_tool(house: House) -> None:
    seen: list[ToolContext] = []

    async def work(arguments: Mapping[str, JSON], context: ToolContext) -> Outcome:
        seen.append(context)
        return Outcome({"a": ["é"]}, "Said.", {"b": 1}, EndCall())

    answer = await house.call(house.runner(Doing(work)), arguments={"x": 1}, turn=3)
    assert answer == ToolAnswer('{"a": ["é"]}', "Said.", {"b": 1}, EndCall())

    called, completed = house.events
    assert isinstance(called, ToolCalled) and isinstance(completed, ToolCompleted)
    assert (called.call_id, called.agent, called.tool, called.arguments) == ("c_1", "support", "tool", {"x": 1})
    assert (completed.outcome, completed.result) == ("ok", {"a": ["é"]})
    assert called.tool_call_id == completed.tool_call_id == seen[0].tool_call_id
    assert called.tool_call_id.startswith("tc_")
    assert completed.duration >= 0
    assert (seen[0].caller, seen[0].turn, seen[0].variables) == ("+15550100", 3, {"tier": "gold"})


@pytest.mark.parametrize(
    ("result", "text"),
    [(None, '{"status": "done"}'), ("plain words", "plain words"), (7, "7"), (True, "true"), ([], "[]"), ("", "")],
)
async def test_results_as_the_model_reads_them(house: House, result: JSON, text: str) -> None:
    assert (await house.call(house.runner(Doing(giving(Outcome(result)))))).result == text


@pytest.mark.parametrize("result", ["ü" * MAX_RESULT, {"long": ["x" * 70_000]}, "\ud800" * 70_000])
async def test_the_model_gets_16_kib(house: House, result: JSON) -> None:
    answer = await house.call(house.runner(Doing(giving(Outcome(result)))))
    assert MAX_RESULT - 8 < len(answer.result.encode()) <= MAX_RESULT
    assert answer.result.endswith("(the rest was cut off)")
    assert isinstance(house.events[-1], ToolCompleted)
    assert house.events[-1].result == answer.result


async def test_an_error_of_the_tool(house: House) -> None:
    answer = await house.call(house.runner(Doing(failing(ToolError('no "such" order')))))
    assert json.loads(answer.result) == {"error": 'no "such" order'}
    assert house.completed == [("tool", "error")]


@pytest.mark.parametrize("error", [RuntimeError("password=1"), KeyError("x"), LegGone("the caller hung up")])
async def test_a_broken_tool_does_not_break_the_call(house: House, error: Exception) -> None:
    answer = await house.call(house.runner(Doing(failing(error))))
    assert json.loads(answer.result) == {"error": "The tool is not available at the moment."}
    assert house.completed == [("tool", "error")]
    assert [event.name for event in house.events if event.name == "error"] == (  # type: ignore[attr-defined]  # all promised
        [] if isinstance(error, LegGone) else ["error"]
    )


@pytest.mark.parametrize("own", [True, False])
async def test_too_slow(house: House, own: bool) -> None:
    async def work(arguments: Mapping[str, JSON], context: ToolContext) -> Outcome:
        if own:
            raise TimeoutError
        await asyncio.Event().wait()
        raise AssertionError

    answer = await house.call(house.runner(Doing(work, timeout=0.05)))
    assert json.loads(answer.result) == {"error": "The tool did not answer in time."}
    assert house.completed == [("tool", "timeout")]


async def test_wrong_arguments_reach_no_tool(house: House) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    answer = await house.call(house.runner(Doing(failing(AssertionError()), parameters=schema)), arguments={"n": "x"})
    assert json.loads(answer.result) == {"error": "Wrong arguments: n: 'x' is not of type 'integer'"}
    assert house.completed == [("tool", "error")]


async def test_fixed_values_are_merged_last(house: House) -> None:
    seen: list[Any] = []

    async def work(arguments: Mapping[str, JSON], context: ToolContext) -> Outcome:
        seen.append((arguments, context.fixed))
        return Outcome()

    fixed = TemplateTree({"caller": "{{ call.from }}", "tier": "{{ vars.tier }}", "deep": {"n": [1, "{{ args.n }}"]}})
    await house.call(house.runner(Doing(work, fixed=fixed)), arguments={"n": "{{ vars.tier }}", "caller": "forged"})
    rendered = {"caller": "+15550100", "tier": "gold", "deep": {"n": [1, "{{ vars.tier }}"]}}
    assert seen == [({"n": "{{ vars.tier }}", **rendered}, rendered)]
    assert isinstance(house.events[0], ToolCalled)
    assert house.events[0].arguments == {"n": "{{ vars.tier }}", "caller": "forged"}


async def test_sensitive_values_are_in_no_event(house: House) -> None:
    tool = Doing(giving(Outcome("1234")), sensitive=True)
    assert (await house.call(house.runner(tool), arguments={"pin": "1234"})).result == "1234"
    assert not tells("1234", str([event.data() for event in house.events]))  # type: ignore[attr-defined]  # all promised


# --- what is not allowed ----------------------------------------------------------------------------------------------


def denials(house: House) -> list[tuple[str, str]]:
    return [(event.what, event.reason) for event in house.events if isinstance(event, SecurityDenied)]


def denied_transfers(house: House) -> list[str]:
    return [event.reason for event in house.events if isinstance(event, TransferDenied)]


async def test_a_tool_that_was_not_given(house: House) -> None:
    runner = house.runner(EndCallTool())
    assert runner.implemented("rm_rf")
    answer = await house.call(runner, "rm_rf", {"path": "/"})
    assert json.loads(answer.result) == {"error": "There is no tool named 'rm_rf'."}
    assert denials(house) == [("tool rm_rf", "There is no tool named 'rm_rf'.")]
    assert not house.completed


async def test_a_guarded_value(house: House) -> None:
    schema = {"type": "object", "properties": {"destination": {"enum": ["billing"]}}}
    tool = Doing(failing(AssertionError()), parameters=schema, guarded=frozenset({"destination"}))
    runner = house.runner(tool, destinations=["billing", "sales"])
    answer = await house.call(runner, arguments={"destination": "+1900"})
    assert "'+1900' is not one of ['billing']" in json.loads(answer.result)["error"]
    assert denied_transfers(house) == ["unknown_destination"]
    assert house.completed == [("tool", "refused")]
    assert len(denials(house)) == 1
    await house.call(runner, arguments={"destination": "sales"})
    assert denied_transfers(house)[1:] == ["not_allowed"]


async def test_a_tool_may_refuse_by_itself(house: House) -> None:
    await house.call(house.runner(Doing(failing(ToolDenied("not yours")))))
    assert denials(house) == [("tool tool", "not yours")]


@pytest.mark.parametrize("destination", ["billing", "+1900", ""])
async def test_nothing_leads_to_an_unknown_destination(house: House, destination: str) -> None:
    runner = house.runner(Doing(giving(Outcome("x", then=Transfer(destination)))), destinations=["billing"])
    answer = await house.call(runner)
    if destination == "billing":
        assert answer.then == Transfer("billing")
    else:
        assert answer.then is None
        assert "no destination" in answer.result
        assert len(denials(house)) == 1
        assert denied_transfers(house) == ["unknown_destination"]


@pytest.mark.parametrize(("when", "open_"), [("vars.tier == 'gold'", True), ("vars.verified", False), ("1 / 0", False)])
async def test_a_gate(house: House, when: str, open_: bool) -> None:
    runner = house.runner(Doing(giving(Outcome("in")), when=Condition(when)))
    assert [spec.name for spec in runner.offered(house.variables)] == (["tool"] if open_ else [])
    assert [spec.name for spec in runner.specs] == ["tool"]
    answer = await house.call(runner)
    if open_:
        assert answer.result == "in"
    else:
        assert json.loads(answer.result) == {"error": "This tool may not be used now."}
        assert house.completed == [("tool", "refused")]
        assert denials(house)


async def test_confirmation_takes_the_callers_word(house: House) -> None:
    runs: list[Mapping[str, JSON]] = []

    async def work(arguments: Mapping[str, JSON], context: ToolContext) -> Outcome:
        runs.append(arguments)
        return Outcome("paid")

    runner = house.runner(Doing(work, confirm=True))

    async def result(amount: int, turn: int) -> str:
        return (await house.call(runner, arguments={"amount": amount}, turn=turn)).result

    for amount, turn in [(5, 1), (5, 1), (6, 2)]:  # at first; within the same turn; with another amount
        assert "ask whether it is right" in await result(amount, turn)
    assert not runs and not denials(house)
    assert await result(6, 3) == "paid"
    assert runs == [{"amount": 6}]
    assert "ask whether it is right" in await result(6, 4)  # each time anew
    assert [word for _, word in house.completed] == ["refused"] * 3 + ["ok", "refused"]


async def test_several_are_confirmed_by_one_word(house: House) -> None:
    runs: list[JSON] = []

    async def work(arguments: Mapping[str, JSON], context: ToolContext) -> Outcome:
        runs.append(arguments["order"])
        return Outcome("cancelled")

    runner = house.runner(Doing(work, confirm=True))

    async def reply(turn: int, *orders: int) -> list[bool]:
        """Whether each of the calls in one reply did something."""
        calls = [ToolCall(f"{turn}-{order}", "tool", {"order": order}) for order in orders]
        running = runner.start(calls, house.variables, turn)
        return [(await one.answer()).result == "cancelled" for one in running]

    assert json.loads((await house.call(runner, arguments={"order": 9}, turn=0)).result)["confirm"] is True
    assert await reply(1, 1, 2) == [False, False]
    assert await reply(2, 3, 2, 1, 1) == [False, True, True, False]  # one question more; none is run twice
    assert runs == [2, 1]
    assert await reply(3, 4) == [False]  # "no, the fourth one"
    assert await reply(4, 4) == [True]
    assert await reply(5, 3, 1) == [False, False]  # those were asked about long ago
    assert runs == [2, 1, 4]


# --- several calls ----------------------------------------------------------------------------------------------------


async def test_tools_run_together_and_answer_in_order(house: House) -> None:
    both = asyncio.Barrier(2)
    order: list[str] = []

    async def slow(arguments: Mapping[str, JSON], context: ToolContext) -> Outcome:
        await both.wait()
        await second_done.wait()
        order.append("first")
        return Outcome("first")

    async def quick(arguments: Mapping[str, JSON], context: ToolContext) -> Outcome:
        await both.wait()
        order.append("second")
        second_done.set()
        return Outcome("second")

    second_done = asyncio.Event()
    runner = house.runner(Doing(slow, "slow"), Doing(quick, "quick"))
    running = runner.start([ToolCall("1", "slow", {}), ToolCall("2", "quick", {})], {}, 1)
    assert [(await tool.answer()).result for tool in running] == ["first", "second"]
    assert order == ["second", "first"]


async def test_one_sequential_tool_makes_all_wait(house: House) -> None:
    under_way = 0

    async def work(arguments: Mapping[str, JSON], context: ToolContext) -> Outcome:
        nonlocal under_way
        under_way += 1
        await asyncio.sleep(0)
        assert under_way == 1
        under_way -= 1
        return Outcome(arguments["n"])

    runner = house.runner(Doing(work, "a"), Doing(work, "b", sequential=True))
    calls = [ToolCall(str(n), name, {"n": n}) for n, name in enumerate("abab")]
    assert [(await tool.answer()).result for tool in runner.start(calls, {}, 1)] == ["0", "1", "2", "3"]


async def test_a_later_tool_of_a_sequence_sees_what_an_earlier_one_set(house: House) -> None:
    runner = house.runner(
        Doing(giving(Outcome(variables={"verified": True})), "verify", sequential=True),
        Doing(giving(Outcome("refunded")), "refund", when=Condition("vars.verified")),
    )
    calls = [ToolCall("1", "verify", {}), ToolCall("2", "refund", {})]
    assert [(await tool.answer()).result for tool in runner.start(calls, {}, 1)][1] == "refunded"


async def test_one_failure_leaves_the_others_alone(house: House) -> None:
    runner = house.runner(Doing(failing(RuntimeError()), "a", sequential=True), Doing(giving(Outcome("ok")), "b"))
    calls = [ToolCall("1", "a", {}), ToolCall("2", "nobody", {}), ToolCall("3", "b", {})]
    assert (await runner.start(calls, {}, 1)[2].answer()).result == "ok"


# --- waiting ----------------------------------------------------------------------------------------------------------


async def test_who_waits_may_leave_and_the_tool_goes_on(house: House) -> None:
    """The caller interrupts: the reply is cancelled, the webhook is not, and its result is still to be had."""
    release = asyncio.Event()

    async def work(arguments: Mapping[str, JSON], context: ToolContext) -> Outcome:
        await release.wait()
        return Outcome("late")

    (running,) = house.runner(Doing(work)).start([ToolCall("1", "tool", {})], {}, 1)
    waiting = asyncio.create_task(running.answer())
    await asyncio.wait([waiting], timeout=0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    release.set()
    assert (await running.answer()).result == "late"
    assert house.completed == [("tool", "ok")]


async def test_a_call_that_ends_ends_its_tools(facts: Mapping[str, str], caller: CallActions) -> None:
    house = House(facts, caller)
    begun, stopped = asyncio.Event(), asyncio.Event()

    async def work(arguments: Mapping[str, JSON], context: ToolContext) -> Outcome:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        raise AssertionError

    async def call() -> None:
        async with house.group:
            house.runner(Doing(work)).start([ToolCall("1", "tool", {})], {}, 1)

    task = asyncio.create_task(call())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stopped.is_set()
    assert house.completed == [("tool", "error")]


async def test_a_tool_that_was_called_is_told_to_be_completed_whenever_the_call_ends(
    facts: Mapping[str, str], caller: CallActions
) -> None:
    for steps in range(10):
        house = House(facts, caller)
        arrived: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        runner = house.runner(Doing(giving(Outcome("working on it", later=arrived))))

        async def call(house: House = house, runner: ToolRunner = runner) -> None:
            async with house.group:
                runner.start([ToolCall("1", "tool", {})], {}, 1)

        task = asyncio.create_task(call())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        runner.close()
        called = [event for event in house.events if isinstance(event, ToolCalled)]
        assert len(house.completed) == len(called), steps
    assert called


async def test_a_result_that_follows_later(house: House) -> None:
    arrived: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    runner = house.runner(Doing(giving(Outcome("working on it", "A moment.", later=arrived))))
    answer = await house.call(runner)
    assert (answer.result, answer.say) == ("working on it", "A moment.")
    assert not house.completed
    assert answer.later is not None
    arrived.set_result(Outcome({"n": 1}, then=EndCall()))
    assert await answer.later.answer() == ToolAnswer('{"n": 1}', then=EndCall())
    assert house.completed == [("tool", "ok")]


async def test_a_failure_that_follows_later(house: House) -> None:
    arrived: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    answer = await house.call(house.runner(Doing(giving(Outcome(later=arrived)))))
    arrived.set_exception(ToolError("sold out"))
    assert answer.later is not None
    assert json.loads((await answer.later.answer()).result) == {"error": "sold out"}
    assert house.completed == [("tool", "error")]


async def test_the_filler_is_rendered_once(house: House) -> None:
    tool = Doing(giving(Outcome()), say=Template("Looking up {{ args.id }} for {{ vars.tier }} callers."))
    (running,) = house.runner(tool).start([ToolCall("1", "tool", {"id": "{{ call.from }}"})], house.variables, 1)
    assert running.filler == "Looking up {{ call.from }} for gold callers."


@pytest.mark.parametrize("say", [None, Template("{{ 1 / 0 }}")])
async def test_no_filler(house: House, say: Template | None) -> None:
    (running,) = house.runner(Doing(giving(Outcome()), say=say)).start([ToolCall("1", "tool", "text")], {}, 1)
    assert running.filler is None


# --- others -----------------------------------------------------------------------------------------------------------


async def test_a_declared_tool_is_left_to_the_handler(house: House) -> None:
    runner = house.runner(Declared(ToolSpec("mine", "", {"type": "object"})), EndCallTool())
    assert not runner.implemented("mine")
    assert runner.implemented("end_call")
    assert [spec.name for spec in runner.specs] == ["mine", "end_call"]


ORDER: Mapping[str, JSON] = {"type": "object", "properties": {"id": {"type": "integer"}}, "required": ["id"]}


async def test_what_is_left_to_a_handler_is_checked_and_told_like_any_other(house: House) -> None:
    options = ToolOptions(fixed=TemplateTree({"who": "{{ call.from }}"}), when=Condition("vars.tier == 'gold'"))
    runner = house.runner(Declared(ToolSpec("mine", "", ORDER), options))
    left = runner.leave(ToolCall("1", "mine", {"id": 7}), house.variables, 1)
    assert left == ToolCall("1", "mine", {"id": 7, "who": "+15550100"})
    assert runner.finished("1", {"status": "sent"}) == '{"status": "sent"}'
    assert runner.finished("unasked", "as it is") == "as it is"
    refused = runner.leave(ToolCall("2", "mine", {"id": "seven"}), house.variables, 1)
    assert isinstance(refused, ToolAnswer) and "'seven' is not of type 'integer'" in refused.result
    closed = runner.leave(ToolCall("3", "mine", {"id": 7}), {"tier": "tin"}, 1)
    assert isinstance(closed, ToolAnswer) and "may not be used now" in closed.result
    assert len([event for event in house.events if isinstance(event, ToolCalled)]) == 3
    completed = [(event.outcome, event.result) for event in house.events if isinstance(event, ToolCompleted)]
    assert completed[0] == ("ok", {"status": "sent"})
    assert [outcome for outcome, _ in completed] == ["ok", "error", "refused"]
    assert [event.what for event in house.events if isinstance(event, SecurityDenied)] == ["tool mine"]


async def test_what_a_handler_runs_can_be_confirmed_first(house: House) -> None:
    runner = house.runner(Declared(ToolSpec("mine", "", ORDER), ToolOptions(confirm=True)))
    call = ToolCall("1", "mine", {"id": 7})
    asked = runner.leave(call, {}, 1)
    assert isinstance(asked, ToolAnswer) and "ask whether it is right" in asked.result
    assert runner.leave(call, {}, 2) == call


async def test_end_call(house: House) -> None:
    answer = await house.call(house.runner(EndCallTool()), "end_call")
    assert answer.then == EndCall()
