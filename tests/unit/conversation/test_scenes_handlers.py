"""Scenes with a handler of one's own instead of the built-in dialogue: the same `Call`, used by hand."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from stage import Caller, Job, Model, Recogniser, Synthesis, asks, play, timeline
from structlog.testing import capture_logs

from voxtrad.conversation.call import Call
from voxtrad.conversation.idle import EMPTY, FAREWELL
from voxtrad.events.types import AgentResponse, BargeIn, CallEnded, DeadAir, ToolCompleted, TurnEnded
from voxtrad.providers.base import JSON, ToolSpec
from voxtrad.tools.base import Declared, Outcome

pytestmark = pytest.mark.virtual_time

SORRY = "I am sorry, something is not working here."
LONG = "Once upon a time there was a king. He had three sons. The first was tall. The second was small."


async def asks_once(caller: Caller) -> None:
    await caller.says("where is my order")
    await caller.answered(1.0)


async def test_listen_and_say() -> None:
    async def handler(call: Call) -> None:
        await call.answer()
        await call.say("Who is there?")
        while (turn := await call.listen(timeout=5)) is not None:
            await call.say(f"Hello {turn.text}.")
        await call.hangup("done")

    async def scene(caller: Caller) -> None:
        await caller.answered()
        await caller.says("Ada")
        await caller.answered()
        await caller.waits(30)

    played = await play(scene, dialogue=handler)
    assert played.said() == ["Who is there?", "Hello Ada."]
    assert played.dialogue() == [("assistant", "Who is there?"), ("assistant", "Hello Ada.")]
    assert played.ended.outcome == "completed"
    assert len(played.of(TurnEnded)) == 1
    assert not played.model.asked


async def test_handler_that_just_returns_ends_the_call() -> None:
    async def handler(call: Call) -> None:
        await call.answer()
        await call.say("Goodbye.")

    async def scene(caller: Caller) -> None:
        await caller.waits(30)

    played = await play(scene, dialogue=handler)
    assert played.ended.outcome == "completed"
    assert played.said() == ["Goodbye."]


async def test_handler_that_raises_is_apologised_for() -> None:
    async def handler(call: Call) -> None:
        await call.answer()
        await call.listen()
        raise ZeroDivisionError("a bug of the handler's")

    async def scene(caller: Caller) -> None:
        await caller.says("hello")
        await caller.waits(30)

    played = await play(scene, dialogue=handler)
    assert played.ended.outcome == "failed"
    assert "ZeroDivisionError" in played.ended.reason
    assert played.said() == [SORRY]
    assert played.leg.proceeded is not None


async def test_timeout_in_a_handler_is_not_the_end_of_a_long_call() -> None:
    async def handler(call: Call) -> None:
        await call.answer()
        raise TimeoutError("the handler's own")

    async def scene(caller: Caller) -> None:
        await caller.waits(30)

    played = await play(scene, dialogue=handler)
    assert played.ended.outcome == "failed"


async def test_stream_of_a_handlers_that_somebody_cancels_has_ended() -> None:
    async def written() -> AsyncIterator[str]:
        yield "It was sent. "
        task = asyncio.ensure_future(asyncio.sleep(60))
        task.cancel()
        await task
        yield "Yesterday."

    async def handler(call: Call) -> None:
        await call.answer()
        await call.say(written())
        await call.say("Goodbye.")

    async def scene(caller: Caller) -> None:
        await caller.waits(30)

    played = await play(scene, dialogue=handler)
    assert played.said() == ["It was sent.", "Goodbye."]
    assert played.ended.outcome == "completed"


@pytest.mark.parametrize("what", ["text", "reply", "stream"])
async def test_ways_to_answer(what: str) -> None:
    async def handler(call: Call) -> None:
        await call.answer()
        while (turn := await call.listen()) is not None:
            if what == "stream":
                await call.say(call.agent.stream(turn.text))
            else:
                reply = await call.agent.respond(turn.text)
                await call.say(reply.text if what == "text" else reply)

    played = await play(asks_once, dialogue=handler, model=Model([["It was sent. Today."]]))
    assert played.said() == ["It was sent. Today."]
    assert played.dialogue() == [("user", "where is my order"), ("assistant", "It was sent. Today.")]


@pytest.mark.parametrize("what", ["text", "reply"])
async def test_answer_that_was_waited_for_is_cut_in_the_history_when_interrupted(what: str) -> None:
    async def handler(call: Call) -> None:
        await call.answer()
        while (turn := await call.listen()) is not None:
            reply = await call.agent.respond(turn.text)
            await call.say(reply.text if what == "text" else reply)

    async def scene(caller: Caller) -> None:
        await caller.says("tell me")
        await caller.hears_agent()
        await caller.waits(1.0)
        await caller.says("stop it", 0.8)
        await caller.answered()

    long = "This is a long answer. It has several sentences. They are all of interest."
    played = await play(scene, dialogue=handler, model=Model([[long], ["Yes?"]]))
    assert len(played.of(BargeIn)) == 1
    roles = [role for role, _ in played.dialogue()]
    assert roles == ["user", "assistant", "user", "assistant"]
    assert played.call.agent.history[1].interrupted
    assert len(played.call.agent.history[1].content) < len(long) / 2


@pytest.mark.parametrize("delay", [3.0, 10.0])
async def test_time_that_respond_takes_is_filled_too(delay: float) -> None:
    async def handler(call: Call) -> None:
        await call.answer()
        while (turn := await call.listen()) is not None:
            await call.say(await call.agent.respond(turn.text))

    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.answered(3.5)

    played = await play(scene, dialogue=handler, model=Model([["It was sent."]], delay=delay))
    assert played.when("fill")[0] - played.when("end_turn")[0] == pytest.approx(1.5, abs=0.05)
    assert played.said() == ["It was sent."]


async def test_work_of_a_handler_between_two_sentences_is_filled() -> None:
    async def handler(call: Call) -> None:
        await call.answer()
        await call.listen()
        await call.say("Let me see.")
        await asyncio.sleep(9.0)
        await call.say("Here it is.")
        await call.listen()

    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.answered(3.5)

    played = await play(scene, dialogue=handler)
    assert played.said() == ["Let me see.", "Here it is."]
    assert len(played.when("fill")) == 2
    assert not played.of(DeadAir)


async def test_say_waits_for_a_filler_to_be_heard() -> None:
    async def handler(call: Call) -> None:
        await call.answer()
        await call.listen()
        await asyncio.sleep(1.6)  # the filler has just begun
        await call.say("Here it is.")
        await call.listen()

    played = await play(asks_once, dialogue=handler)
    filler, answer = "One moment, please.", "Here it is."
    (start, end), *rest = played.agent_spans
    assert len(rest) <= 1
    assert (rest[-1][1] if rest else end) - start >= (len(filler) + len(answer)) / 15.0 - 0.05
    assert played.said() == ["Here it is."]


@pytest.mark.parametrize("what", ["text", "reply"])
async def test_caller_goes_on_while_a_handler_waits_for_the_answer(what: str) -> None:
    async def handler(call: Call) -> None:
        await call.answer()
        while (turn := await call.listen()) is not None:
            reply = await call.agent.respond(turn.text)
            await call.say(reply if what == "reply" else reply.text)

    async def scene(caller: Caller) -> None:
        await caller.says("a pizza please")
        await caller.waits(1.0)
        await caller.says("and a salad", 1.5)
        await caller.answered()

    played = await play(scene, dialogue=handler, model=Model([["A pizza."], ["Both."]], delay=1.2))
    assert played.dialogue() == [("user", "a pizza please and a salad"), ("assistant", "Both.")]
    assert played.said() == ["Both."]
    assert played.turns()[-1] == "a pizza please and a salad"


async def test_noise_while_a_handler_waits_for_the_answer_loses_nothing() -> None:
    async def handler(call: Call) -> None:
        await call.answer()
        while (turn := await call.listen()) is not None:
            await call.say(await call.agent.respond(turn.text))

    async def scene(caller: Caller) -> None:
        await caller.says("a pizza please")
        await caller.waits(0.8)
        await caller.noise(0.8)
        await caller.answered()

    played = await play(
        scene,
        dialogue=handler,
        stt=Recogniser(partials=False, delay=0.1),
        model=Model([["Lost."], ["A pizza."]], delay=1.0),
    )
    assert played.dialogue() == [("user", "a pizza please"), ("assistant", "A pizza.")]


async def test_stream_of_the_handlers_own() -> None:
    async def words() -> AsyncIterator[str]:
        for word in "One sentence of mine. And another one.".split(" "):
            await asyncio.sleep(0.05)
            yield word + " "

    async def handler(call: Call) -> None:
        await call.answer()
        await call.listen()
        spoken = await call.say(words())
        assert not spoken.interrupted and spoken.heard.strip() == "One sentence of mine. And another one."
        await call.listen()

    played = await play(asks_once, dialogue=handler)
    assert played.said() == ["One sentence of mine. And another one."]
    assert played.voice.spoken == ["One sentence of mine.", "And another one."]


async def test_stream_of_the_handlers_own_that_breaks() -> None:
    async def words() -> AsyncIterator[str]:
        yield "One sentence of mine. "
        yield "And "
        raise LookupError("no more words")

    async def handler(call: Call) -> None:
        await call.answer()
        await call.listen()
        with pytest.raises(LookupError):
            await call.say(words())
        await call.say("Never mind.")
        await call.listen()

    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.answered(2.0)

    played = await play(scene, dialogue=handler)
    assert played.said() == ["One sentence of mine.", "Never mind."]
    assert played.ended.outcome == "caller_hangup"


async def test_one_sentence_that_must_not_be_interrupted() -> None:
    async def handler(call: Call) -> None:
        await call.answer()
        await call.say("This call is recorded, whatever you say to it.", interruptible=False)
        turn = await call.listen()
        assert turn is not None and turn.text == "but I do not want it"
        await call.say("All right.")
        await call.listen()

    async def scene(caller: Caller) -> None:
        await caller.hears_agent()
        await caller.waits(0.5)
        await caller.says("but I do not want it")
        await caller.quiet(0.2)
        await caller.answered()

    played = await play(scene, dialogue=handler)
    assert played.said() == ["This call is recorded, whatever you say to it.", "All right."]


async def test_tools_that_the_handler_runs() -> None:
    async def handler(call: Call) -> None:
        await call.answer()
        while (turn := await call.listen()) is not None:
            reply = await call.agent.respond(turn.text)
            while reply.tool_calls:
                await call.say("One second.")
                for tool in reply.tool_calls:
                    call.agent.add_tool_result(tool.id, f"result of {tool.name}")
                reply = await call.agent.respond("")
            await call.say(reply)

    jobs = [Job("mine", declared=True), Job("yours", outcome=Outcome("done"))]
    played = await play(
        asks_once,
        dialogue=handler,
        tools=jobs,
        model=Model([[asks("mine", "a"), asks("yours", "b")], ["All is done."]]),
    )
    assert jobs[1].done == 1 and not jobs[0].runs
    assert [m.content for m in played.call.agent.history if m.role == "tool"] == ["result of mine", "done"]
    assert played.said()[-1] == "All is done."


async def test_arguments_that_do_not_fit_go_back_to_the_model_before_the_handler_sees_them() -> None:
    left: list[object] = []

    async def handler(call: Call) -> None:
        await call.answer()
        while (turn := await call.listen()) is not None:
            reply = await call.agent.respond(turn.text)
            while reply.tool_calls:
                for tool in reply.tool_calls:
                    left.append(tool.arguments)
                    call.agent.add_tool_result(tool.id, {"status": "sent"})
                reply = await call.agent.respond("")
            await call.say(reply)

    schema = {"type": "object", "properties": {"id": {"type": "integer"}}}
    played = await play(
        asks_once,
        dialogue=handler,
        tools=[Declared(ToolSpec("mine", "", schema))],
        model=Model([[asks("mine", "a", id="x")], [asks("mine", "b", id=7)], ["It was sent."]]),
    )
    assert left == [{"id": 7}]
    results = [m.content for m in played.call.agent.history if m.role == "tool"]
    assert "'x' is not of type 'integer'" in results[0] and results[1] == '{"status": "sent"}'
    assert played.said() == ["It was sent."]
    assert [event.outcome for event in played.of(ToolCompleted)] == ["error", "ok"]


@pytest.mark.parametrize("by", ["caller", "agent"])
async def test_farewell_is_said_once_the_call_is_over(by: str) -> None:
    over: list[tuple[str, int]] = []

    async def handler(call: Call) -> None:
        async def note(call: Call) -> None:
            await asyncio.sleep(1)
            assert call.ending is not None
            over.append((call.ending.outcome, len(call.agent.history)))

        call.on_hangup(note)
        await call.answer()
        await call.say("Hello.")
        if by == "agent":
            await call.hangup()
        await call.listen()

    async def scene(caller: Caller) -> None:
        await caller.answered()

    await play(scene, dialogue=handler)
    assert over == [("completed" if by == "agent" else "caller_hangup", 1)]


async def test_farewell_that_never_ends_is_stopped() -> None:
    async def handler(call: Call) -> None:
        @call.on_hangup
        async def forever(call: Call) -> None:
            await asyncio.Event().wait()

        await call.answer()

    async def scene(caller: Caller) -> None:
        await caller.waits(1)

    played = await play(scene, dialogue=handler)
    assert played.ended.outcome == "completed"


async def test_caller_interrupts_while_the_handlers_tool_has_no_result_yet() -> None:
    async def handler(call: Call) -> None:
        await call.answer()
        while (turn := await call.listen()) is not None:
            await call.say(call.agent.stream(turn.text))

    played = await play(asks_once, dialogue=handler, tools=[Job(declared=True)], model=Model([["A moment. ", asks()]]))
    assert played.dialogue()[-1][0] == "tool", "a call in the history has a result, whatever the handler does"


async def test_handler_may_read_and_write_the_history() -> None:
    async def handler(call: Call) -> None:
        await call.answer()
        turn = await call.listen()
        assert turn is not None
        call.agent.history.clear()
        call.agent.variables["tier"] = "gold"
        await call.say(call.agent.stream(turn.text))
        await call.listen()

    played = await play(
        asks_once, dialogue=handler, config={"prompt": "Tier {{ vars.tier }}.", "variables": {"tier": "none"}}
    )
    assert played.model.asked[0][0].content == "Tier gold."


async def test_listen_with_a_time_of_ones_own() -> None:
    async def handler(call: Call) -> None:
        await call.answer()
        for _ in range(3):
            try:
                async with asyncio.timeout(2.0):
                    await call.listen(timeout=60)
            except TimeoutError:
                continue
            break
        await call.say("Done.")

    async def scene(caller: Caller) -> None:
        await caller.waits(5.0)
        await caller.says("hello", 0.4)
        await caller.waits(30)

    played = await play(scene, dialogue=handler, dead_air=True)
    assert played.turns() == ["hello"]
    assert played.said() == ["Done."]


async def test_say_with_a_time_of_ones_own_stops_speaking() -> None:
    async def handler(call: Call) -> None:
        await call.answer()
        try:
            async with asyncio.timeout(1.5):
                await call.say("A text that is much too long for the time that it was given, by far.")
        except TimeoutError:
            await call.say("Enough.")
        await call.listen(timeout=2)

    async def scene(caller: Caller) -> None:
        await caller.waits(30)

    played = await play(scene, dialogue=handler)
    (start, end), second = played.agent_spans
    assert end - start < 1.5
    assert second[1] - second[0] < 0.7


async def test_after_the_end_every_method_does_nothing() -> None:
    done: list[object] = []

    async def handler(call: Call) -> None:
        await call.answer()
        while call.in_progress:
            await call.listen()
        done.append(await call.listen())
        done.append((await call.say("Anybody?")).heard)
        await call.interject("Hm.")
        await call.transfer("anywhere")
        done.append(call.state)

    async def scene(caller: Caller) -> None:
        await caller.waits(2)

    played = await play(scene, dialogue=handler)
    assert done == [None, "", "ended"]
    assert not played.agent_spans


async def test_handler_that_does_not_end_is_stopped() -> None:
    async def handler(call: Call) -> None:
        await call.answer()
        await asyncio.Event().wait()

    async def scene(caller: Caller) -> None:
        await caller.waits(2)

    played = await play(scene, dialogue=handler, dead_air=True)
    assert played.ended.outcome == "caller_hangup"
    assert played.ended.duration < 10


async def test_two_voices_of_a_handler_are_said_one_after_the_other() -> None:
    async def handler(call: Call) -> None:
        await call.answer()
        async with asyncio.TaskGroup() as group:
            group.create_task(call.say("The first."))
            group.create_task(call.say("The second."))

    async def scene(caller: Caller) -> None:
        await caller.waits(30)

    played = await play(scene, dialogue=handler)
    assert [event.text for event in played.of(AgentResponse)] == ["The first.", "The second."]
    assert sum(end - start for start, end in played.agent_spans) == pytest.approx(21 / 15, abs=0.05), timeline(played)


async def test_voice_too_slow_for_its_own_speech_is_told() -> None:
    class Slow(Synthesis):
        async def synthesize(self, text: str):  # type: ignore[no-untyped-def]  # as the base class says
            async for chunk in super().synthesize(text):
                yield chunk
                await asyncio.sleep(0.3)

    played = await play(asks_once, voice=Slow(), model=Model([["It was sent on Monday."]]))
    assert played.decided("underrun")
    assert played.said() == ["It was sent on Monday."]


@pytest.mark.parametrize("into", [0.3, 0.6, 0.9])
async def test_caller_who_goes_on_over_a_filler_gets_one_answer_to_all_of_it(into: float) -> None:
    async def handler(call: Call) -> None:
        await call.answer()
        while (turn := await call.listen(timeout=20)) is not None:
            await call.say(await call.agent.respond(turn.text))

    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.hears_agent()
        await caller.waits(into)
        await caller.says("no, cancel it", 0.8)
        await caller.waits(20)

    model = Model([["It was sent on Monday."], ["It is cancelled."]], delay=6.0)
    config = {"filler": ["One moment, please, I am looking it up."]}
    played = await play(scene, model=model, config=config, dialogue=handler)
    assert played.said() == ["It is cancelled."], timeline(played)
    assert played.dialogue() == [("user", "where is my order no, cancel it"), ("assistant", "It is cancelled.")]


async def test_noise_over_a_filler_leaves_the_turn_as_it_was() -> None:
    async def handler(call: Call) -> None:
        await call.answer()
        while (turn := await call.listen(timeout=20)) is not None:
            await call.say(await call.agent.respond(turn.text))

    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.hears_agent()
        await caller.waits(0.3)
        await caller.noise(1.5)
        await caller.waits(18)

    model = Model([["It was sent."], ["It was sent on Monday."]], delay=6.0)
    config = {"filler": ["One moment, please, I am looking it up."]}
    played = await play(scene, model=model, config=config, dialogue=handler)
    assert played.said() == ["It was sent on Monday."], timeline(played)
    assert played.dialogue() == [("user", "where is my order"), ("assistant", "It was sent on Monday.")]


# --- rounds of tools --------------------------------------------------------------------------------------------------


def always_calls(times: int) -> Model:
    return Model([[asks(call_id=f"t{n}")] for n in range(times)], otherwise=["Enough."])


@pytest.mark.parametrize("by", ["stream", "respond"])
async def test_model_that_always_calls_tools_runs_five_rounds_and_apologises(by: str) -> None:
    async def handler(call: Call) -> None:
        await call.answer()
        while (turn := await call.listen()) is not None:
            await call.say(call.agent.stream(turn.text) if by == "stream" else await call.agent.respond(turn.text))

    job, model = Job(), always_calls(100)
    played = await play(asks_once, dialogue=handler, tools=[job], model=model)
    assert (len(job.runs), len(model.asked)) == (5, 7)
    refused = [m.content for m in played.call.agent.history if m.role == "tool"][5:]
    assert len(refused) == 2 and all("no more tools" in text for text in refused)
    assert played.said() == [SORRY] and played.ended.outcome == "failed"


@pytest.mark.parametrize(("calls", "runs"), [(5, 5), (6, 5)])
async def test_model_that_is_refused_a_sixth_round_may_still_answer(calls: int, runs: int) -> None:
    job, model = Job(), always_calls(calls)
    played = await play(asks_once, tools=[job], model=model)
    assert len(job.runs) == runs and played.said() == ["Enough."]


async def test_words_beside_calls_that_are_refused_are_the_answer() -> None:
    model = Model([*always_calls(5).answers, ["It was sent.", asks(call_id="more")]])
    job = Job()
    played = await play(asks_once, tools=[job], model=model)
    assert (len(job.runs), len(model.asked)) == (5, 6)
    assert played.said() == ["It was sent."]


async def test_rounds_of_a_handler_count_in_the_same_turn_and_anew_in_the_next() -> None:
    ran: list[str] = []

    async def handler(call: Call) -> None:
        await call.answer()
        while (turn := await call.listen()) is not None:
            reply = await call.agent.respond(turn.text)
            while reply.tool_calls:
                for wanted in reply.tool_calls:
                    ran.append(turn.text)
                    call.agent.add_tool_result(wanted.id, {"status": "sent"})
                reply = await call.agent.respond("")
            await call.say(reply)

    async def scene(caller: Caller) -> None:
        for words in ("the first", "the second"):
            await caller.says(words)
            await caller.answered(1.0)

    answers = [*always_calls(6).answers, ["No more."], [asks(call_id="again")]]
    played = await play(scene, dialogue=handler, tools=[Job(declared=True)], model=Model(answers, otherwise=["Sent."]))
    assert ran == ["the first"] * 5 + ["the second"]
    assert played.said() == ["No more.", "Sent."]


async def test_a_filler_that_is_not_kept_does_not_wait_for_a_voice_that_stalls() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.answered(8.0)

    config = {"filler": ["One moment, {{ call.from }}.", "One moment, please."]}
    played = await play(scene, model=Model([["It was sent."]]), voice=Synthesis(stalls={"It was": 0.0}), config=config)
    filled, *_ = played.when("fill")
    assert any(filled <= start < filled + 0.1 for start, _ in played.agent_spans), timeline(played)


async def test_a_silence_that_could_not_be_filled_is_told() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.answered(2.0)

    voice = Synthesis(fails={"One moment": 0.0})
    config = {"filler": ["One moment, {{ call.from }}."]}
    played = await play(scene, model=Model([["It was sent."]], delay=3.0), voice=voice, config=config, dead_air=True)
    assert played.decided("fill", "not_filled")[:2] == ["fill", "not_filled"]
    assert played.said() == ["It was sent."]


@pytest.mark.parametrize(
    ("result", "outcome"),
    [({"status": "sent"}, "ok"), ({"error": "no such order"}, "error"), (None, "error")],
    ids=["done", "failed", "left unanswered"],
)
async def test_what_a_handler_makes_of_a_tool_is_told_once(result: JSON, outcome: str) -> None:
    async def handler(call: Call) -> None:
        await call.answer()
        await call.listen()
        (wanted,) = (await call.agent.respond("where is my order")).tool_calls
        if result is not None:
            call.agent.add_tool_result(wanted.id, result)
        await call.say("Goodbye.")

    played = await play(asks_once, dialogue=handler, tools=[Job(declared=True)], model=Model([[asks()]]))
    (completed,) = played.of(ToolCompleted)
    assert completed.outcome == outcome
    kinds = [type(event) for event in played.events]
    assert kinds.index(ToolCompleted) < kinds.index(CallEnded)


async def test_a_handler_that_does_not_look_whether_the_call_is_over_is_stopped() -> None:
    rounds = 0

    async def handler(call: Call) -> None:
        nonlocal rounds
        await call.answer()
        while True:
            await call.listen(timeout=60)
            await call.say("Hello?")
            rounds += 1

    async def scene(caller: Caller) -> None:
        await caller.waits(1)

    played = await play(scene, dialogue=handler)
    assert played.ended.outcome == "caller_hangup"
    assert 5 < rounds < 200, "it turns without an end, and leaves the others their time"


@pytest.mark.parametrize("released", [20.0, 200.0])
async def test_a_handler_that_suspends_the_idle_monitor_goes_on_without_a_caller(released: float) -> None:
    times: list[float] = []

    async def handler(call: Call) -> None:
        clock = asyncio.get_running_loop().time
        await call.answer()
        call.idle_monitor.suspended = True
        await call.listen()
        gone = clock()
        try:
            await asyncio.sleep(released)
            call.idle_monitor.suspended = False
            await asyncio.sleep(1000)
        finally:
            times.append(clock() - gone)

    async def scene(caller: Caller) -> None:
        await caller.waits(1)

    await play(scene, dialogue=handler)
    assert times == [pytest.approx(released + FAREWELL, abs=0.1)]


async def test_what_the_house_ends_is_held_by_nobody() -> None:
    times: list[float] = []

    async def handler(call: Call) -> None:
        began = asyncio.get_running_loop().time()
        await call.answer()
        call.idle_monitor.suspended = True
        await call.listen()
        try:
            await asyncio.sleep(1000)
        finally:
            times.append(asyncio.get_running_loop().time() - began)

    async def stays(caller: Caller) -> None:
        await caller.waits(200)

    async def leaves(caller: Caller) -> None:
        await caller.waits(10)

    for scene in (stays, leaves):
        await play(scene, dialogue=handler, config={"max_duration": 60.0}, dead_air=True)
    assert times == [pytest.approx(60 + FAREWELL, abs=0.2)] * 2


async def test_a_session_that_nobody_is_in_ends_whatever_goes_on_in_it() -> None:
    times: list[float] = []

    async def handler(call: Call) -> None:
        clock = asyncio.get_running_loop().time
        await call.answer()
        await call.listen()
        gone = clock()
        for _ in range(4):
            try:
                await asyncio.sleep(1000)
            except asyncio.CancelledError:  # as a bare `except:` does
                times.append(clock() - gone)

    async def scene(caller: Caller) -> None:
        await caller.waits(1)

    await play(scene, dialogue=handler)
    assert times == [
        pytest.approx(seconds, abs=0.1) for seconds in (FAREWELL, EMPTY, EMPTY + FAREWELL, EMPTY + 2 * FAREWELL)
    ]


@pytest.mark.parametrize("how", ["text", "reply"])
async def test_a_handler_that_stops_saying_something_goes_on(how: str) -> None:
    async def handler(call: Call) -> None:
        await call.answer()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2.0):
                await call.say(LONG if how == "text" else call.agent.stream(""))
        turn = await call.listen(timeout=5)
        assert turn is not None
        await call.say(f"Hello {turn.text}.")

    async def scene(caller: Caller) -> None:
        await caller.hears_agent()
        await caller.waits(3.0)
        await caller.says("Ada")
        await caller.answered()

    played = await play(scene, dialogue=handler, model=Model([[LONG]]))
    first, *rest = played.said()
    assert LONG.startswith(first) and 0 < len(first) < len(LONG) and rest == ["Hello Ada."]
    assert ("assistant", first) in played.dialogue()
    assert [line["interrupted"] for line in played.ended.transcript if line["speaker"] == "agent"] == [True, False]
    assert not played.of(BargeIn)


@pytest.mark.parametrize(("swallowed", "after"), [(1, EMPTY), (2, EMPTY + FAREWELL), (5, EMPTY + FAREWELL)])
async def test_farewell_is_said_for_a_handler_that_swallows_its_cancellation(swallowed: int, after: float) -> None:
    times: list[float] = []

    async def handler(call: Call) -> None:
        clock = asyncio.get_running_loop().time

        @call.on_hangup
        async def note(call: Call) -> None:
            await asyncio.sleep(FAREWELL + 1)
            times.append(clock() - gone - FAREWELL - 1)

        await call.answer()
        await call.listen()
        gone = clock()
        for _ in range(swallowed):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(1000)
        await asyncio.sleep(1000)

    async def scene(caller: Caller) -> None:
        await caller.waits(1)

    with capture_logs() as logs:
        await play(scene, dialogue=handler)
    assert times == [pytest.approx(after, abs=0.1)]
    assert any(entry["event"].startswith("a handler goes on although") for entry in logs) == (swallowed > 1)
