"""Callers who are handed on, in virtual time: to the dialplan, to another agent, to a person; and back when nobody is
there. Real sessions on simulated legs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest
import structlog
from stage import RATE, Caller, Job, LoudIsSpeech, Model, Recogniser, Synthesis, agent_config

from voxtrad.config.models import AgentDestination, ContinueDestination, Destination, DialDestination
from voxtrad.conversation.call import Call
from voxtrad.conversation.dialogue import converse, hand_over
from voxtrad.conversation.handover import HandoverFailed, Switch
from voxtrad.conversation.idle import FAREWELL
from voxtrad.conversation.plan import Plan, Providers
from voxtrad.conversation.session import Session
from voxtrad.conversation.speech_cache import SpeechCache
from voxtrad.events.types import (
    AgentResponse,
    CallAnswered,
    CallEnded,
    CallStarted,
    CallTransferred,
    Event,
    SecurityDenied,
    TransferCompleted,
    TransferDenied,
    TransferFailed,
    TransferStarted,
    UserTranscript,
)
from voxtrad.ledger.sensitive import HIDDEN
from voxtrad.leg import Hears, Leg, LegError, LegGone, LegInfo, NotReached, Refusal, Visit
from voxtrad.providers.base import JSON, ToolCall
from voxtrad.telephony.simulated import Place, SimulatedLeg
from voxtrad.tools.base import CallActions, Outcome, Tool
from voxtrad.tools.builtin.transfer import TransferTool
from voxtrad.tools.runner import ToolRunner

pytestmark = pytest.mark.virtual_time

DIAL = {"name": "reception", "dial": "PJSIP/200", "timeout": 20}
TO_RECEPTION = ToolCall("t1", "transfer", {"destination": "reception"})


class Ears(Recogniser):
    """A recogniser that is opened again for each stretch of the call in which an agent listens."""

    async def open(self, **how: object) -> Recogniser:
        self.events_out = asyncio.Queue()
        return self


@dataclass
class Reception:
    """Somebody who can be called: answers after `after` seconds and does what `does` says, or refuses."""

    does: Callable[[SimulatedLeg], Awaitable[None]] | None = None
    after: float = 3.0
    refuses: Refusal = "no_answer"
    leg: SimulatedLeg | None = None
    rung: list[dict[str, object]] = field(default_factory=list)
    hung_up: bool = False

    @contextlib.asynccontextmanager
    async def dial(self, endpoint: str, **how: object) -> AsyncIterator[Leg]:
        self.rung.append({"endpoint": endpoint, **how})
        try:
            await asyncio.sleep(self.after)
            if self.does is None:
                raise NotReached("refused", self.refuses)
            info = LegInfo(id="other", channel="Simulated/2", caller="", dialled="")
            self.leg = SimulatedLeg(info, self.does, rate=RATE, clock=asyncio.get_running_loop().time)
            await self.leg.answer()
            yield self.leg
        finally:
            self.hung_up = True
            if self.leg is not None:
                await self.leg.release()


@dataclass
class Done:
    session: Session
    leg: SimulatedLeg
    events: list[Event]

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def ended(self) -> CallEnded:
        (ended,) = self.of(CallEnded)
        return ended  # type: ignore[return-value]

    def said(self) -> list[tuple[str, str]]:
        return [(e.agent, e.text) for e in self.of(AgentResponse)]


async def run(
    scene: Callable[[Caller], Awaitable[None]],
    destination: Mapping[str, object],
    model: Model,
    *,
    reception: Reception | None = None,
    visits: Callable[[Place], Awaitable[Visit]] | None = None,
    second: Model | None = None,
    config: Mapping[str, object] | None = None,
    dialogue: Callable[[Call], Awaitable[None]] = converse,
    tools: Sequence[Tool] = (),
    told: list[tuple[str, str]] | None = None,
    desk: Mapping[str, object] | None = None,
    sessions: list[Session] | None = None,
    events: list[Event] | None = None,
) -> Done:
    """`told` gets what each agent says, as it is said, and `sessions` the session, before it runs; `events` all events,
    as they come. `desk` is a second destination, a place in the dialplan."""
    clock = asyncio.get_running_loop().time
    kinds: dict[str, type[DialDestination | ContinueDestination | AgentDestination]] = {
        "dial": DialDestination, "continue": ContinueDestination, "agent": AgentDestination,
    }  # fmt: skip
    kind = next(kind for key, kind in kinds.items() if key in destination)
    destinations: dict[str, Destination] = {"reception": kind.model_validate(destination)}
    if desk is not None:
        destinations["desk"] = ContinueDestination.model_validate({**desk, "name": "desk"})
    events = [] if events is None else events
    stt = Ears()
    leg = SimulatedLeg(
        LegInfo(id="leg", channel="Simulated/1", caller="100", caller_name="Ada", dialled="1000", greeting="Good day."),
        lambda leg: scene(Caller(leg, stt)),
        rate=RATE,
        clock=clock,
    )
    leg.dialer, leg.visits = reception, visits
    cache = SpeechCache(None)
    box: dict[str, Tool] = {tool.spec.name: tool for tool in (TransferTool(dict.fromkeys(destinations, "")), *tools)}

    def publish(event: Event) -> None:
        events.append(event)
        if isinstance(event, AgentResponse) and told is not None:
            told.append((event.agent, event.text))

    def toolbox(
        facts: Mapping[str, JSON], actions: CallActions, group: asyncio.TaskGroup, publish: Callable[[Event], None]
    ) -> ToolRunner:
        return ToolRunner(
            box, call=facts, destinations=list(destinations), actions=actions, group=group, publish=publish
        )

    def plan(agent: str, call_id: str, variables: Mapping[str, JSON]) -> Plan:
        own = {"greeting": "I am sales.", **({} if agent == "sales" else (config or {}))}
        return Plan(
            call_id=call_id,
            config=agent_config(name=agent, **own),
            providers=Providers(stt, second if agent == "sales" and second else model, Synthesis(), LoudIsSpeech()),
            dialogue=dialogue,
            kept=cache.voice,
            toolbox=toolbox,
            handover=switch,
            variables=variables,
        )

    switch = Switch(destinations, plan)
    session = Session(leg, plan("support", "c_1", {"order": "A17"}), publish=publish, clock=clock)
    if sessions is not None:
        sessions.append(session)
    await session.run()
    assert asyncio.all_tasks() == {asyncio.current_task()}, "nothing of a call may be left"
    assert leg.failure is None, leg.failure
    return Done(session, leg, events)


async def asks_for_a_person(caller: Caller) -> None:
    await caller.hears_agent()
    await caller.quiet()
    await caller.says("a person please")


def names(events: list[Event]) -> list[tuple[str, str]]:
    wanted = (TransferStarted, TransferCompleted, TransferFailed, CallTransferred)
    return [(e.name, getattr(e, "outcome", "")) for e in events if isinstance(e, wanted)]


COMPLETED = [("transfer.started", ""), ("transfer.completed", "answered"), ("call.transferred", "")]


async def test_a_person_is_called_and_talks_until_they_leave() -> None:
    heard: list[object] = []

    async def person(other: SimulatedLeg) -> None:
        await asyncio.sleep(120)

    reception = Reception(person)

    async def scene(caller: Caller) -> None:
        await asks_for_a_person(caller)
        await caller.leg.until(lambda: caller.leg.hears == "ringing")
        await caller.leg.until(lambda: caller.leg.talks_with is not None)
        before = len(caller.stt.heard)
        assert reception.leg is caller.leg.talks_with
        await caller.says("the agent is not to hear this")
        caller.leg.press("7")
        await caller.waits(60)  # longer than any idle prompt
        heard.append(len(caller.stt.heard) - before)
        await caller.waits(1000)

    done = await run(scene, DIAL, Model([["I put you through.", TO_RECEPTION]]), reception=reception)
    assert heard == [0]
    assert names(done.events) == COMPLETED
    assert done.ended.outcome == "transferred"
    assert [e.text for e in done.of(UserTranscript)] == ["a person please"]
    assert done.said() == [("support", "Good day."), ("support", "I put you through.")]
    (rung,) = reception.rung
    assert (rung["endpoint"], rung["caller"], rung["caller_name"], rung["timeout"]) == ("PJSIP/200", "100", "Ada", 20)
    assert done.leg.variables["VOXTRAD_CALL_ID"] == "c_1"
    assert done.leg.variables["VOXTRAD_OUTCOME"] == "transferred"
    assert 100 < done.ended.duration < 150 and reception.hung_up
    assert not [e for e in done.events if getattr(e, "digit", None)]


async def test_the_agent_comes_back_when_the_person_leaves() -> None:
    async def person(other: SimulatedLeg) -> None:
        await asyncio.sleep(40)

    async def scene(caller: Caller) -> None:
        await asks_for_a_person(caller)
        await caller.leg.until(lambda: caller.leg.talks_with is not None)
        await caller.leg.until(lambda: caller.leg.talks_with is None)
        await caller.hears_agent()
        await caller.quiet()
        await caller.says("no thank you")
        await caller.hears_agent()
        await caller.quiet()

    model = Model([["Hold on.", TO_RECEPTION], ["I am back. Anything else?"], ["Goodbye."]])
    done = await run(scene, {**DIAL, "after": "agent"}, model, reception=Reception(person))
    assert names(done.events) == COMPLETED
    assert [text for _, text in done.said()] == ["Good day.", "Hold on.", "I am back. Anything else?", "Goodbye."]
    assert done.ended.outcome == "caller_hangup"
    assert model.asked[1][-1].role == "tool" and "who has left" in model.asked[1][-1].content
    assert [e.text for e in done.of(UserTranscript)] == ["a person please", "no thank you"]


async def handed_over_by_somebody_else(call: Call) -> None:
    """The built-in dialogue, and an operator who hands the caller over when the greeting was heard."""

    async def operator() -> None:
        await asyncio.sleep(4)
        with contextlib.suppress(HandoverFailed):
            await hand_over(call, "reception")

    async with asyncio.TaskGroup() as group:
        group.create_task(operator())
        await converse(call)


@pytest.mark.parametrize("rules", [False, True], ids=["a model", "a model of rules"])
async def test_operator_hands_over_and_the_agent_speaks_when_it_is_back(rules: bool) -> None:
    async def person(other: SimulatedLeg) -> None:
        await asyncio.sleep(40)

    async def scene(caller: Caller) -> None:
        await caller.hears_agent()
        await caller.leg.until(lambda: caller.leg.talks_with is not None)
        await caller.leg.until(lambda: caller.leg.talks_with is None)
        await caller.hears_agent()
        await caller.quiet()

    model = Model([[], []] if rules else [["I am back. Anything else?"]])
    destination = {**DIAL, "after": "agent"}
    done = await run(scene, destination, model, reception=Reception(person), dialogue=handed_over_by_somebody_else)
    assert names(done.events) == COMPLETED
    back = "Are you still there?" if rules else "I am back. Anything else?"
    assert [text for _, text in done.said()] == ["Good day.", back]
    assert "who has left" in model.asked[0][-1].content
    assert not done.of(UserTranscript)


async def test_operator_hands_over_and_nobody_takes_the_call() -> None:
    async def scene(caller: Caller) -> None:
        await caller.hears_agent()
        await caller.leg.until(lambda: caller.leg.hears == "ringing")
        await caller.hears_agent()
        await caller.quiet()

    model = Model([["They are not there. I am."]])
    done = await run(scene, DIAL, model, reception=Reception(refuses="busy"), dialogue=handed_over_by_somebody_else)
    assert names(done.events) == [("transfer.started", ""), ("transfer.failed", "busy")]
    assert [text for _, text in done.said()] == ["Good day.", "They are not there. I am."]
    assert "busy" in model.asked[0][-1].content


@pytest.mark.parametrize("why", ["busy", "no_answer", "unavailable"])
async def test_nobody_takes_the_call_and_the_agent_says_so(why: Refusal) -> None:
    async def scene(caller: Caller) -> None:
        await asks_for_a_person(caller)
        await caller.leg.until(lambda: caller.leg.hears == "ringing")
        await caller.hears_agent()
        await caller.quiet()
        await caller.says("never mind")
        await caller.hears_agent()
        await caller.quiet()

    model = Model([["Hold on.", TO_RECEPTION], ["They are not there."], ["All right."]])
    done = await run(scene, DIAL, model, reception=Reception(refuses=why))
    assert names(done.events) == [("transfer.started", ""), ("transfer.failed", why)]
    assert [text for _, text in done.said()][2:] == ["They are not there.", "All right."]
    assert model.asked[1][-1].role == "tool" and "The caller is still here" in model.asked[1][-1].content
    assert [e.text for e in done.of(UserTranscript)] == ["a person please", "never mind"]
    assert len(done.of(CallStarted)) == len(done.of(CallAnswered)) == 1


async def test_the_caller_hangs_up_while_it_rings() -> None:
    async def scene(caller: Caller) -> None:
        await asks_for_a_person(caller)
        await caller.leg.until(lambda: caller.leg.hears == "ringing")
        await caller.waits(1)

    reception = Reception(lambda leg: asyncio.sleep(100), after=10)
    done = await run(scene, DIAL, Model([["Hold on.", TO_RECEPTION]]), reception=reception)
    assert names(done.events) == [("transfer.started", ""), ("transfer.failed", "abandoned")]
    assert done.ended.outcome == "caller_hangup" and done.ended.duration < 10 and reception.hung_up


async def test_a_server_that_stops_while_it_rings() -> None:
    ringing = asyncio.Event()

    async def scene(caller: Caller) -> None:
        await asks_for_a_person(caller)
        await caller.leg.until(lambda: caller.leg.hears == "ringing")
        ringing.set()
        await caller.waits(100)

    events: list[Event] = []
    reception = Reception(lambda leg: asyncio.sleep(100), after=10)
    model = Model([["Hold on.", TO_RECEPTION]])
    calling = asyncio.create_task(run(scene, DIAL, model, reception=reception, events=events))
    await ringing.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert names(events) == [("transfer.started", ""), ("transfer.failed", "abandoned")]
    assert len([event for event in events if isinstance(event, CallEnded)]) == 1 and reception.hung_up


async def test_a_handler_that_waits_no_longer_for_a_person_is_with_the_caller_again() -> None:
    for patience in (0.5, 5.0, 12.0, 12.3):

        async def impatient(call: Call, patience: float = patience) -> None:
            await call.answer()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience):
                    await call.transfer("reception")
            await call.say("So it is only me.")
            turn = await call.listen()
            assert turn is not None
            await call.say(turn.text)

        async def scene(caller: Caller) -> None:
            await caller.hears_agent()
            await caller.quiet()
            await caller.says("never mind")
            await caller.hears_agent()
            await caller.quiet()

        reception = Reception(lambda leg: asyncio.sleep(100), after=12)
        done = await run(scene, DIAL, Model([]), reception=reception, dialogue=impatient)
        assert [text for _, text in done.said()] == ["So it is only me.", "never mind"], patience
        assert reception.hung_up and done.ended.outcome == "completed"
        assert names(done.events)[-1][0] in ("transfer.failed", "call.transferred")


@pytest.mark.parametrize("refused", [1, 2], ids=["on leaving", "on leaving and on coming back"])
async def test_a_pbx_that_does_not_answer_as_the_agent_leaves_strands_nobody(
    refused: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    holds: list[str] = []
    hold = SimulatedLeg.hold

    async def unanswered(leg: SimulatedLeg, hears: Hears) -> None:
        holds.append(hears)
        if len(holds) <= refused:
            raise LegError("no answer from Asterisk")
        await hold(leg, hears)

    monkeypatch.setattr(SimulatedLeg, "hold", unanswered)

    async def patient(call: Call) -> None:
        await call.answer()
        with contextlib.suppress(HandoverFailed):
            await call.transfer("reception")
        for _ in range(refused):
            with contextlib.suppress(LegError):
                await call.say("So it is only me.")

    async def scene(caller: Caller) -> None:
        await caller.waits(60)

    done = await run(scene, DIAL, Model([]), reception=Reception(), dialogue=patient)
    assert [text for _, text in done.said()][:1] == ["So it is only me."]
    assert done.ended.outcome == "completed", done.ended.reason


async def test_coming_back_can_be_cancelled_too() -> None:
    for steps in range(1, 30):

        async def impatient(call: Call, steps: int = steps) -> None:
            await call.answer()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(5):
                    await call.transfer("reception")
            saying = asyncio.create_task(call.say("Hello?"))
            for _ in range(steps):
                await asyncio.sleep(0)
            saying.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await saying
            await call.say("So it is only me.")

        async def scene(caller: Caller) -> None:
            await caller.waits(60)

        reception = Reception(lambda leg: asyncio.sleep(100), after=12)
        done = await run(scene, DIAL, Model([]), reception=reception, dialogue=impatient)
        assert done.said()[-1][1] == "So it is only me.", steps
        assert done.ended.outcome == "completed", done.ended.reason


async def test_the_caller_hangs_up_while_people_talk() -> None:
    async def scene(caller: Caller) -> None:
        await asks_for_a_person(caller)
        await caller.leg.until(lambda: caller.leg.talks_with is not None)
        await caller.waits(5)

    reception = Reception(lambda leg: asyncio.sleep(1000))
    done = await run(scene, DIAL, Model([["Hold on.", TO_RECEPTION]]), reception=reception)
    assert names(done.events) == COMPLETED
    assert done.ended.outcome == "transferred" and reception.hung_up


ATTENDED = {
    **DIAL,
    "mode": "attended",
    "brief": "{{ call.from }} asks for {{ vars.order }}.",
    "question": "One or two?",
}


@pytest.mark.parametrize(
    ("keys", "outcome"),
    [("1", "answered"), ("51", "answered"), ("2", "declined"), ("", "no_answer"), ("x", "declined")],
)
async def test_a_person_hears_a_brief_and_decides(keys: str, outcome: str) -> None:
    said = 0.0

    async def person(other: SimulatedLeg) -> None:
        nonlocal said
        await other.spoken_to()
        for key in keys:
            await asyncio.sleep(1)
            if key == "x":
                return
            other.press(key)
        await other.until(lambda: bool(other.hears) or other.port.heard > 60 * RATE)
        await asyncio.sleep(30)

    async def scene(caller: Caller) -> None:
        await asks_for_a_person(caller)
        if outcome == "answered":
            await caller.leg.until(lambda: caller.leg.talks_with is not None)
            await caller.waits(5)
        else:
            await caller.leg.until(lambda: caller.leg.hears == "music")
            await caller.hears_agent()
            await caller.quiet()

    model = Model([["Hold on.", TO_RECEPTION], ["I am sorry."]])
    reception = Reception(person)
    done = await run(scene, {**ATTENDED, "caller_hears": "music"}, model, reception=reception)
    ending = COMPLETED[1:] if outcome == "answered" else [("transfer.failed", outcome)]
    assert names(done.events)[1:] == ending
    assert reception.leg is not None and reception.leg.port.agent_track.count(b"\0\0" * 80) >= 0
    assert any(reception.leg.port.agent_track)
    if outcome != "answered":
        assert done.said()[-1] == ("support", "I am sorry.")


async def test_the_summary_is_the_models_or_else_the_last_turns() -> None:
    spoken: list[str] = []

    async def scene(caller: Caller) -> None:
        await asks_for_a_person(caller)
        await caller.waits(60)

    async def person(other: SimulatedLeg) -> None:
        await other.spoken_to()
        await asyncio.sleep(2)
        other.press("1")
        await asyncio.sleep(5)

    for answer, expected in (
        (["SUMMARY: Ada wants\n a person."], "Ada wants a person."),
        (["I only answer by rules."], "Agent: Good day. Caller: a person please Agent: Hold on."),
        ([ToolCall("t9", "transfer", {})], "Agent: Good day. Caller: a person please Agent: Hold on."),
        ([ConnectionResetError("gone")], None),
        ([30.0, "SUMMARY: too late"], "Agent: Good day. Caller: a person please Agent: Hold on."),
    ):
        if expected is None:
            continue
        model = Model([["Hold on.", TO_RECEPTION], answer])
        reception = Reception(person, after=10)
        done = await run(scene, {**DIAL, "mode": "attended"}, model, reception=reception)
        spoken.append(done.leg.variables["VOXTRAD_SUMMARY"])
        assert spoken[-1] == expected
        assert names(done.events) == COMPLETED


async def test_another_agent_takes_over() -> None:
    async def scene(caller: Caller) -> None:
        await asks_for_a_person(caller)
        await caller.hears_agent()
        await caller.quiet(1.5)
        await caller.says("one bicycle")
        await caller.hears_agent()
        await caller.quiet()

    model = Model([["I give you to sales.", TO_RECEPTION], ["SUMMARY: Ada wants to buy."]])
    second = Model([["Gladly."]])
    done = await run(scene, {"name": "reception", "agent": "sales"}, model, second=second)
    assert done.said() == [
        ("support", "Good day."), ("support", "I give you to sales."), ("sales", "I am sales."), ("sales", "Gladly."),
    ]  # fmt: skip
    assert names(done.events) == COMPLETED
    assert [(e.agent, e.text) for e in done.of(UserTranscript)] == [
        ("support", "a person please"),
        ("sales", "one bicycle"),
    ]
    assert done.ended.agent == "sales" and done.ended.outcome == "caller_hangup"
    assert len(done.of(CallStarted)) == len(done.of(CallAnswered)) == 1
    assert "Ada wants to buy." in second.asked[0][0].content
    assert done.session.call is not None and done.session.call.agent.variables["order"] == "A17"
    assert [entry["text"] for entry in done.ended.transcript] == [
        "Good day.", "a person please", "I give you to sales.", "I am sales.", "one bicycle", "Gladly.",
    ]  # fmt: skip


@pytest.mark.parametrize("stops", [True, False])
async def test_who_ends_the_call_between_two_agents_ends_it(stops: bool) -> None:
    """A caller whom a server that stops gives back goes on in the dialplan; whom an operator hangs up does not."""
    sessions: list[Session] = []
    after: list[float] = []

    async def scene(caller: Caller) -> None:
        await asks_for_a_person(caller)
        await asyncio.Event().wait()

    async def dialogue(call: Call) -> None:
        if call.taking_over:
            call.idle_monitor.suspended = True
            began = asyncio.get_running_loop().time()
            try:
                await asyncio.sleep(1000)
            finally:
                after.append(asyncio.get_running_loop().time() - began)
        await converse(call)
        (session,) = sessions
        (session.give_back if stops else session.hang_up)("enough")

    model = Model([["I give you to sales.", TO_RECEPTION], ["SUMMARY: Ada wants to buy."]])
    done = await run(scene, {"name": "reception", "agent": "sales"}, model, dialogue=dialogue, sessions=sessions)
    assert (done.ended.outcome, done.ended.reason) == ("failed" if stops else "completed", "enough")
    assert done.session.call is not None and done.session.call.state == ("handed-over" if stops else "ended")
    assert done.leg.gone_on is stops, "before there is an end to what is to do after the call"
    assert after == [pytest.approx(FAREWELL, abs=0.1)]


@pytest.mark.parametrize("stops", [True, False])
async def test_no_handler_holds_a_call_that_the_house_ends(stops: bool) -> None:
    sessions: list[Session] = []
    after: list[float] = []

    async def dialogue(call: Call) -> None:
        clock = asyncio.get_running_loop().time
        await call.answer()
        call.idle_monitor.suspended = True
        await call.listen()
        await asyncio.sleep(40.0)
        (session,) = sessions
        (session.give_back if stops else session.hang_up)("enough")
        began = clock()
        try:
            await asyncio.sleep(1000)
        finally:
            after.append(clock() - began)

    async def leaves(caller: Caller) -> None:
        await caller.waits(1)

    done = await run(leaves, DIAL, Model(), dialogue=dialogue, sessions=sessions)
    assert done.ended.outcome == "caller_hangup", "that was first"
    assert after == [pytest.approx(FAREWELL, abs=0.1)]


async def test_what_comes_late_of_a_tool_is_told_by_the_agent_that_has_the_call_then() -> None:
    async def work(actions: CallActions) -> Outcome:
        async def result() -> Outcome:
            await asyncio.sleep(8)
            return Outcome("sent on Monday", variables={"order": "B2"})

        return Outcome("it will follow", later=result())

    async def scene(caller: Caller) -> None:
        await asks_for_a_person(caller)
        await caller.leg.until(lambda: "I am sales." in [text for _, text in said])
        await caller.quiet(2.0)
        await caller.hears_agent()
        await caller.quiet()

    said: list[tuple[str, str]] = []
    model = Model([[ToolCall("late", "look_up", {})], ["I give you to sales.", TO_RECEPTION], ["SUMMARY: An order."]])
    second = Model([["It was sent on Monday."]])
    destination = {"name": "reception", "agent": "sales"}
    done = await run(scene, destination, model, second=second, tools=[Job(work=work)], told=said)
    assert done.said()[-1] == ("sales", "It was sent on Monday.")
    assert "sent on Monday" in second.asked[0][-1].content
    assert done.session.call is not None and done.session.call.agent.variables["order"] == "B2"


PLACE = {"name": "reception", "continue": {"context": "voxtrad-transfer", "extension": "200", "priority": 1}}


async def test_a_place_in_the_dialplan_keeps_the_caller() -> None:
    async def scene(caller: Caller) -> None:
        await asks_for_a_person(caller)
        await caller.waits(60)

    model = Model([["Hold on.", TO_RECEPTION], ["SUMMARY: Ada wants a person."]])
    done = await run(scene, PLACE, model)
    assert done.leg.proceeded == Place("voxtrad-transfer", "200", 1)
    assert done.ended.outcome == "handed_over"
    assert names(done.events)[1:] == [("transfer.completed", "handed_over"), ("call.transferred", "")]
    assert done.leg.variables["VOXTRAD_SUMMARY"] == "Ada wants a person."
    assert done.leg.variables["VOXTRAD_OUTCOME"] == "handed_over"


async def test_the_leg_is_faster_than_the_answer_to_who_led_it_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(caller: Caller) -> None:
        await asks_for_a_person(caller)
        await caller.waits(60)

    async def proceed(leg: SimulatedLeg, **where: object) -> None:
        await asked(leg, **where)  # type: ignore[arg-type]
        await asyncio.sleep(1)

    asked = SimulatedLeg.proceed
    monkeypatch.setattr(SimulatedLeg, "proceed", proceed)
    done = await run(scene, PLACE, Model([["Hold on.", TO_RECEPTION], ["SUMMARY: Ada wants a person."]]))
    assert done.ended.outcome == "handed_over"
    assert names(done.events)[1:] == [("transfer.completed", "handed_over"), ("call.transferred", "")]


@pytest.mark.parametrize("privacy", ["redacted", "none"])
async def test_what_is_private_is_not_left_on_the_channel(privacy: str) -> None:
    async def scene(caller: Caller) -> None:
        await asks_for_a_person(caller)
        await caller.waits(60)

    model = Model([["Hold on.", TO_RECEPTION], ["SUMMARY: secret"]])
    done = await run(scene, PLACE, model, config={"privacy": privacy, "greeting": ""})
    assert done.leg.variables["VOXTRAD_SUMMARY"] == ""


async def test_a_sensitive_number_is_not_left_on_the_channel() -> None:
    async def scene(caller: Caller) -> None:
        await asks_for_a_person(caller)
        await caller.waits(2)
        caller.presses("4711")
        await caller.waits(60)

    async def work(actions: CallActions) -> Outcome:
        await actions.collect_digits(length=4, terminator="#", timeout=5.0, sensitive=True)
        return Outcome({"pin": "4711"})

    model = Model([[ToolCall("t0", "look_up", {})], ["Hold on.", TO_RECEPTION], ["SUMMARY: The number is 4711."]])
    done = await run(scene, PLACE, model, tools=[Job(work=work)])
    assert done.leg.variables["VOXTRAD_SUMMARY"] == f"The number is {HIDDEN}."


async def test_a_call_stays_as_private_as_the_strictest_agent_that_it_has_had() -> None:
    bound: list[object] = []

    async def dialogue(call: Call) -> None:
        bound.append(structlog.contextvars.get_contextvars().get("privacy"))
        await converse(call)

    async def scene(caller: Caller) -> None:
        await asks_for_a_person(caller)
        for number in (1, 2):
            await caller.leg.until(lambda number=number: said.count(("sales", "I am sales.")) == number)
            await caller.quiet(1.5)
            await caller.says("somebody else")
        await caller.waits(60)

    said: list[tuple[str, str]] = []
    to_desk = ToolCall("t3", "transfer", {"destination": "desk"})
    model = Model([["To sales.", TO_RECEPTION], ["SUMMARY: secret"]])
    second = Model(
        [["To sales again.", TO_RECEPTION], ["SUMMARY: secret"], ["To the desk.", to_desk], ["SUMMARY: secret"]]
    )
    destination = {"name": "reception", "agent": "sales"}
    done = await run(
        scene, destination, model, second=second, told=said, desk=PLACE, dialogue=dialogue, config={"privacy": "none"}
    )
    assert done.ended.outcome == "handed_over" and done.leg.proceeded == Place("voxtrad-transfer", "200", 1)
    assert done.leg.variables["VOXTRAD_SUMMARY"] == ""
    assert bound[1:] == ["none", "none"], "of what the log may keep, too"


@pytest.mark.parametrize("what", ["answered", "busy", "gone"])
async def test_a_place_in_the_dialplan_that_comes_back(what: str) -> None:
    async def visits(place: Place) -> Visit:
        assert place == Place("voxtrad-transfer", "200", 1)
        await asyncio.sleep(5)
        match what:
            case "answered":
                return "answered"
            case "busy":
                raise NotReached("BUSY", "busy")
        await done_leg[0].end("Normal Clearing")
        raise LegGone("the call has ended")

    done_leg: list[SimulatedLeg] = []

    async def scene(caller: Caller) -> None:
        done_leg.append(caller.leg)
        await asks_for_a_person(caller)
        if what == "busy":
            await caller.waits(4)
            await caller.hears_agent()
            await caller.quiet()
            await caller.says("never mind")
            await caller.hears_agent()
            await caller.quiet()
        else:
            await caller.waits(100)

    model = Model([["Hold on.", TO_RECEPTION], ["SUMMARY: x"], ["It is busy."], ["All right."]])
    done = await run(scene, PLACE, model, visits=visits)
    if what == "busy":
        assert names(done.events)[1:] == [("transfer.failed", "busy")]
        assert [text for _, text in done.said()][2:] == ["It is busy.", "All right."]
        assert done.ended.outcome == "caller_hangup"
    elif what == "answered":
        assert names(done.events) == COMPLETED and done.ended.outcome == "transferred"
    else:
        assert names(done.events)[1:] == [("transfer.failed", "abandoned")]
        assert done.ended.outcome == "caller_hangup"


async def test_no_words_reach_a_destination_that_is_not_configured() -> None:
    async def dialogue(call: Call) -> None:
        await call.answer()
        with pytest.raises(Exception, match="there is no destination") as failed:
            await call.transfer("PJSIP/premium")
        assert type(failed.value).__name__ == "HandoverFailed"
        await call.say("Still here.")

    async def scene(caller: Caller) -> None:
        await caller.waits(10)

    reception = Reception()
    done = await run(scene, DIAL, Model(), reception=reception, dialogue=dialogue)
    assert not reception.rung
    assert len(done.of(SecurityDenied)) == len(done.of(TransferDenied)) == 1
    assert done.said() == [("support", "Still here.")]


async def test_a_transfer_from_outside_interrupts_the_dialogue_and_lets_it_go_on() -> None:
    async def scene(caller: Caller) -> None:
        await caller.hears_agent()
        await caller.quiet()
        (call,) = calls
        transfer = asyncio.create_task(call.transfer("reception"))
        await asyncio.wait([transfer])
        assert "busy" in str(transfer.exception())
        await caller.says("hello")
        await caller.hears_agent()
        await caller.quiet()

    calls: list[Call] = []

    async def dialogue(call: Call) -> None:
        calls.append(call)
        await converse(call)

    done = await run(scene, DIAL, Model([["Hi."]]), reception=Reception(refuses="busy"), dialogue=dialogue)
    assert [text for _, text in done.said()] == ["Good day.", "Hi."]
    assert [e.text for e in done.of(UserTranscript)] == ["hello"]


async def test_a_broken_conversation_is_led_to_a_person() -> None:
    async def scene(caller: Caller) -> None:
        await caller.hears_agent()
        await caller.quiet()
        await caller.says("hello")
        await caller.leg.until(lambda: caller.leg.talks_with is not None)
        await caller.waits(30)

    failing = Model([[ConnectionResetError("gone")]] * 4)
    reception = Reception(lambda leg: asyncio.sleep(10))
    config = {"on_failure": {"transfer": "reception"}, "greeting": "", "apology": "Sorry."}
    done = await run(scene, DIAL, failing, reception=reception, config=config)
    assert names(done.events) == COMPLETED
    assert done.said()[-1] == ("support", "Sorry.") and done.ended.outcome == "failed"
