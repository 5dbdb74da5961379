"""Scenes about the time between question and answer: fillers, tools, stalls, and whatever breaks in it."""

from __future__ import annotations

import asyncio
import re
from itertools import pairwise
from pathlib import Path

import pytest
from stage import (
    CHARS_PER_SECOND,
    FOREVER,
    Caller,
    Job,
    Model,
    Recogniser,
    Synthesis,
    asks,
    later,
    play,
    timeline,
    voice_of,
)  # fmt: skip

from tests.figures import tells
from voxtrad.config.models import AnalysisConfig
from voxtrad.conversation.agent import STALLED
from voxtrad.conversation.analysis import Analyst
from voxtrad.conversation.call import Call
from voxtrad.conversation.dialogue import converse
from voxtrad.conversation.handover import HandoverFailed
from voxtrad.conversation.reply import LATE, MAX_CALLS
from voxtrad.conversation.vocabulary import INSTEAD
from voxtrad.events.types import (
    AgentResponse,
    BargeIn,
    CallFailed,
    DeadAir,
    DtmfReceived,
    TokensUsed,
    ToolCompleted,
    TurnEnded,
    UserTranscriptPartial,
)
from voxtrad.ledger.sensitive import HIDDEN
from voxtrad.leg import Leg, LegError
from voxtrad.providers.base import Unreachable, Usage
from voxtrad.tools.base import CallActions, EndCall, Outcome, Proceed, ToolError, Transfer
from voxtrad.tools.builtin.collect_digits import CollectDigitsTool
from voxtrad.tools.builtin.play import PlayTool

pytestmark = pytest.mark.virtual_time

SORRY = "I am sorry, something is not working here."
GONE = Unreachable("the vendor is gone", provider="vendor")


async def asks_once(caller: Caller) -> None:
    await caller.says("where is my order")
    await caller.answered(3.5)


async def waits_long(caller: Caller) -> None:
    await caller.says("where is my order")
    await caller.waits(60)


def filled_with(reasons: list[str]) -> list[str]:
    """The texts in the timeline's lines about silences that were filled."""
    lines = [re.fullmatch(r"nothing to hear for \d+\.\d s: '(.+)'", reason) for reason in reasons]
    assert all(lines), reasons
    return [line[1] for line in lines if line]


# --- never silent -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay", [0.0, 0.5, 1.2, 2.0, 3.0, 5.0, 9.0, 14.0])
async def test_slow_model_is_bridged_by_fillers(delay: float) -> None:
    played = await play(asks_once, model=Model([["It was sent."]], delay=delay))
    assert played.said() == ["It was sent."]
    assert played.dialogue() == [("user", "where is my order"), ("assistant", "It was sent.")]
    fills = played.when("fill")
    assert bool(fills) == (delay > 1.5)
    if fills:
        assert fills[0] - played.when("end_turn")[0] == pytest.approx(1.5, abs=0.05)
    assert all(b - a > 3.0 for a, b in pairwise(fills))


async def test_fillers_take_turns() -> None:
    played = await play(asks_once, config={"filler": ["One.", "Two.", "Three."]}, model=Model(delay=14.0))
    told = played.reasons("fill")
    assert told[0] == "nothing to hear for 2.0 s: 'One.'"
    assert filled_with(told) == ["One.", "Two.", "Three.", "One."]


@pytest.mark.parametrize(("after", "every"), [(0.5, 2.0), (1.0, 3.0), (3.0, 6.0)])
async def test_when_to_fill_can_be_set(after: float, every: float) -> None:
    played = await play(
        asks_once, config={"fill": {"after": after, "every": every}, "filler": ["One."]}, model=Model(delay=12.0)
    )
    fills = played.when("fill")
    # Four seconds after the caller's last sound it would be dead air, and half a second of them told the turn's end.
    assert fills[0] - played.when("end_turn")[0] == pytest.approx(min(after, 4.0 - 0.5 - 0.75), abs=0.05)
    assert fills[1] - fills[0] == pytest.approx(min(every, len("One.") / CHARS_PER_SECOND + 3.25), abs=0.1)


async def test_without_fillers_the_silence_is_counted() -> None:
    played = await play(asks_once, config={"filler": []}, model=Model(delay=6.0), dead_air=True)
    assert [round(event.seconds) for event in played.of(DeadAir)] == [4]


async def test_waiting_for_an_unfinished_turn_is_part_of_the_silence() -> None:
    """Three seconds for what may follow "and": the agent fills sooner after them."""

    async def scene(caller: Caller) -> None:
        await caller.says("I want a pizza and")
        await caller.answered(3.5)

    played = await play(scene, model=Model(delay=5.0))
    assert played.when("fill")[0] - played.caller_spans[0][1] < 3.5


async def test_tools_own_words_come_before_the_agents_fillers() -> None:
    job = Job(seconds=30.0, say="I am looking it up.", outcome=Outcome("sent"))
    played = await play(asks_once, tools=[job], model=Model([[asks()], ["It was sent."]]))
    told = filled_with(played.reasons("fill"))
    assert told[:3] == ["I am looking it up.", "One moment, please.", "Just a moment longer."]
    assert 6 <= len(told) <= 9
    assert played.said() == ["It was sent."]
    assert job.done == 1


async def test_text_before_a_tool_is_said_while_the_tool_runs() -> None:
    job = Job(seconds=2.5, outcome=Outcome("sent"))
    played = await play(asks_once, tools=[job], model=Model([["Let me look", asks()], ["It was sent."]]))
    assert played.agent_spans[0][0] - played.when("end_turn")[0] < 0.5
    assert played.said() == ["Let me look \n\nIt was sent."]
    assert [content for role, content in played.dialogue() if role == "assistant"] == ["Let me look", "It was sent."]


async def test_sentence_is_said_when_the_model_hesitates_after_it() -> None:
    played = await play(asks_once, model=Model([["I am looking for it. ", 2.5, "Here it is."]]))
    assert played.agent_spans[0][0] - played.when("end_turn")[0] < 1.0
    assert played.said() == ["I am looking for it.  Here it is."]


async def test_model_that_stalls_after_three_words_is_given_up() -> None:
    played = await play(waits_long, model=Model([["I am looking", FOREVER]]))
    assert played.ended.outcome == "failed"
    assert "did not come within 15 s" in played.ended.reason
    assert len(played.when("fill")) >= 3
    assert played.leg.proceeded is not None


async def test_without_fillers_a_lone_model_that_stalls_is_silence_and_then_the_apology() -> None:
    """Who wants no fillers and has no other model has chosen so; the silence is counted, and the call led on."""
    played = await play(waits_long, config={"filler": []}, model=Model([[FOREVER]]), dead_air=True)
    assert played.ended.outcome == "failed" and played.leg.proceeded is not None
    assert played.said() == [SORRY]
    assert played.of(DeadAir) and played.longest_silence() < STALLED + 2.0


async def test_model_that_stalls_in_the_middle_of_an_answer() -> None:
    text = "Your order was sent on Monday. It should be there "
    played = await play(waits_long, model=Model([[text, FOREVER]]))
    assert played.ended.outcome == "failed"
    assert played.said() == ["Your order was sent on Monday.", SORRY], "half a sentence is not said"
    assert played.dialogue()[1] == ("assistant", "Your order was sent on Monday.")


@pytest.mark.parametrize("stall", [1.0, 2.5, 6.0])
async def test_model_that_stalls_for_a_while_in_the_middle(stall: float) -> None:
    played = await play(asks_once, model=Model([["Your order was sent. ", stall, "It comes today."]]))
    assert played.said() == ["Your order was sent.  It comes today."]
    assert played.dialogue()[1] == ("assistant", "Your order was sent.  It comes today.")


async def test_filler_is_interrupted_like_anything_else_and_the_turn_goes_on() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.hears_agent()
        await caller.waits(0.2)
        await caller.says("the red one", 0.8)
        await caller.answered(3.5)

    played = await play(scene, model=Model([["Wrong."], ["It was sent."]], delay=3.0))
    assert played.dialogue() == [("user", "where is my order the red one"), ("assistant", "It was sent.")]


async def test_caller_goes_on_after_a_filler() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.answered(0.1)
        await caller.says("the red one", 0.8)
        await caller.answered(3.5)

    played = await play(scene, model=Model([["Wrong."], ["It was sent."]], delay=4.0))
    assert played.dialogue() == [("user", "where is my order the red one"), ("assistant", "It was sent.")]
    assert played.decided("merge_and_restart", "flush") == ["merge_and_restart"]


async def test_noise_over_a_filler_loses_nothing() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.hears_agent()
        await caller.waits(0.2)
        await caller.noise(1.3)
        await caller.answered(3.5)

    played = await play(scene, model=Model([["Lost."], ["It was sent."]], delay=4.0))
    assert played.dialogue() == [("user", "where is my order"), ("assistant", "It was sent.")]


# --- the model --------------------------------------------------------------------------------------------------------


async def test_empty_answer_is_asked_for_again() -> None:
    played = await play(asks_once, model=Model([[], ["It was sent."]]))
    assert played.said() == ["It was sent."]
    assert played.dialogue() == [("user", "where is my order"), ("assistant", "It was sent.")]


async def test_model_that_never_answers_is_broken() -> None:
    played = await play(waits_long, model=Model(otherwise=[]))
    assert played.ended.outcome == "failed"
    assert "no answer" in played.ended.reason
    assert played.said() == [SORRY]


@pytest.mark.parametrize("unheard", [
    "👍", "...", "---", "```python\nx = 1\n```", "![](map.png)", "<think>They want their order.</think>", "**\n\n**",
])  # fmt: skip
async def test_answer_of_which_nothing_can_be_spoken_is_asked_for_again(unheard: str) -> None:
    played = await play(asks_once, model=Model([[unheard], ["It was sent."]]))
    assert played.voice.spoken[0] in ("It was sent.", "... It was sent.")
    assert played.dialogue() == [("user", "where is my order"), ("assistant", "It was sent.")], (
        "what nobody heard is not in the history, and neither is what the model was told of it"
    )
    assert played.model.asked[1][-1].role == "system" and "in words" in played.model.asked[1][-1].content


async def test_model_that_answers_in_emoji_only_is_broken() -> None:
    played = await play(waits_long, model=Model(otherwise=["👍"]))
    assert played.ended.outcome == "failed"
    assert "no answer" in played.ended.reason
    assert played.dialogue() == [("user", "where is my order"), ("assistant", SORRY)]


async def test_code_between_two_sentences_costs_neither() -> None:
    played = await play(asks_once, model=Model([["Do this. ", "```\nx = 1\n``` ", "That is all."]]))
    assert len(played.model.asked) == 1
    assert "Do this." in played.said()[0] and "That is all." in played.said()[0]


async def test_silence_after_a_tool_is_asked_about_once_and_then_accepted() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("wait a moment")
        await caller.waits(8)

    played = await play(scene, tools=[Job()], model=Model([[asks()]], otherwise=[]), dead_air=True)
    assert len(played.model.asked) == 3
    assert played.ended.outcome == "caller_hangup"


async def test_endless_tool_calls_end() -> None:
    played = await play(
        asks_once, tools=[Job()], model=Model([*[[asks(call_id=f"t{n}")] for n in range(5)], ["Done."]])
    )
    assert played.said() == ["Done."]
    assert len(played.model.asked) == 6


@pytest.mark.parametrize("where", ["at once", "after words", "after a sentence", "after a tool", "in the greeting"])
async def test_broken_model_is_apologised_for(where: str) -> None:
    answers = {
        "at once": [[GONE]],
        "after words": [["It was", GONE]],
        "after a sentence": [["Your order was sent on Monday. It", GONE]],
        "after a tool": [[asks()], [GONE]],
        "in the greeting": [[GONE]],
    }[where]
    played = await play(waits_long, tools=[Job()], model=Model(answers))
    assert played.ended.outcome == "failed"
    assert "the vendor is gone" in played.ended.reason
    assert played.said()[-1] == SORRY
    assert played.dialogue()[-1] == ("assistant", SORRY)
    assert len(played.of(CallFailed)) == 1
    assert played.leg.proceeded is not None
    if where == "after a sentence":
        assert played.said() == ["Your order was sent on Monday.", SORRY], "what there was is heard to its end"
        assert played.agent_spans[0][1] - played.agent_spans[0][0] > 2.0


@pytest.mark.parametrize("kind", [RuntimeError("a bug"), TimeoutError("some other clock"), KeyError("x")])
async def test_bug_in_a_provider_is_apologised_for_too(kind: Exception) -> None:
    played = await play(waits_long, model=Model([[kind]]))
    assert played.ended.outcome == "failed"
    assert type(kind).__name__ in played.ended.reason
    assert played.said() == [SORRY]


# --- the voice --------------------------------------------------------------------------------------------------------


async def test_voice_that_dies_before_any_audio() -> None:
    played = await play(waits_long, voice=Synthesis(fails={"It was": 0.0}), model=Model([["It was sent."]]))
    assert played.ended.outcome == "failed"
    assert played.said() == [SORRY]
    assert played.dialogue() == [("user", "where is my order"), ("assistant", SORRY)]


async def test_voice_that_dies_in_the_middle_of_a_sentence() -> None:
    text = "Your order was sent on Monday. It should have been there by now, I think."
    played = await play(waits_long, voice=Synthesis(fails={"It should": 1.0}), model=Model([[text]]))
    assert played.ended.outcome == "failed"
    first, apology = played.said()
    assert apology == SORRY
    assert first.startswith("Your order was sent on Monday. It should") and "now" not in first
    assert played.dialogue()[1] == ("assistant", first)


@pytest.mark.parametrize("second", [0.0, 1.0])
async def test_voice_that_stalls(second: float) -> None:
    text = "Your order was sent on Monday. It should have been there by now, I think."
    played = await play(waits_long, voice=Synthesis(stalls={"It should": second}), model=Model([[text]]))
    assert played.ended.outcome == "failed"
    assert "no audio" in played.ended.reason
    assert played.said()[-1] == SORRY


async def test_apology_that_was_not_kept_is_spoken_if_the_voice_still_works() -> None:
    played = await play(waits_long, config={"apology": "Sorry, {{ call.from }}."}, model=Model([[GONE]]))
    assert played.said() == ["Sorry, 100."]


async def test_no_voice_at_all_leads_the_caller_on() -> None:
    async def scene(caller: Caller) -> None:
        await caller.waits(30)

    played = await play(scene, voice=Synthesis(broken=GONE), config={"apology": "Unheard {{ call.id }}."})
    assert played.ended.outcome == "failed"
    assert "the vendor is gone" in played.reasons("no_apology")[0]
    assert played.reasons("on_failure") == ["led on in the dialplan"]
    assert played.leg.proceeded is not None
    assert played.stt.closed


async def test_greeting_whose_voice_fails() -> None:
    async def scene(caller: Caller) -> None:
        await caller.waits(30)

    played = await play(scene, config={"greeting": "Hello."}, voice=Synthesis(fails={"Hello": 0.0}))
    assert played.ended.outcome == "failed"
    assert played.said() == [SORRY]


async def test_filler_that_cannot_be_said_breaks_nothing() -> None:
    played = await play(
        asks_once,
        config={"filler": ["For {{ call.from }}."]},
        voice=Synthesis(fails={"For": 0.0}),
        model=Model([["It was sent."]], delay=3.0),
        dead_air=True,
    )
    assert played.said() == ["It was sent."]


# --- the recogniser ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [0.0, 0.5, 1.3, 2.2])
@pytest.mark.parametrize("how", ["fails", "stops"])
async def test_recogniser_that_dies(at: float, how: str) -> None:
    async def scene(caller: Caller) -> None:
        await caller.waits(0.3)
        later(at, caller.stt.tell, GONE if how == "fails" else None)
        await caller.says("where is my order")
        await caller.waits(30)

    played = await play(scene, model=Model([["It was sent. " * 4]]))
    assert played.ended.outcome == "failed"
    assert played.said()[-1] == SORRY
    assert played.leg.proceeded is not None
    if len(played.said()) == 2:
        assert played.call.agent.history[1].interrupted


async def test_recogniser_that_cannot_be_reached() -> None:
    async def scene(caller: Caller) -> None:
        await caller.waits(30)

    played = await play(scene, stt=Recogniser(broken=GONE))
    assert played.ended.outcome == "failed"
    assert played.said() == [SORRY]
    assert "vendor is gone" in played.ended.reason


async def test_recogniser_that_does_not_connect_in_time() -> None:
    async def scene(caller: Caller) -> None:
        await caller.waits(30)

    played = await play(scene, stt=Recogniser(opening=100.0))
    assert played.ended.outcome == "failed"
    assert played.said() == [SORRY]


# --- what becomes of the caller ---------------------------------------------------------------------------------------


async def test_on_failure_transfer() -> None:
    to: list[str] = []

    async def handover(call: Call, leg: Leg, name: str) -> None:
        to.append(name)
        await call.proceed(extension="200", reason=f"to {name}")

    played = await play(
        waits_long, config={"on_failure": {"transfer": "reception"}}, model=Model([[GONE]]), handover=handover
    )
    assert to == ["reception"]
    assert played.ended.outcome == "failed"
    assert played.said() == [SORRY]
    assert played.decided("apology", "on_failure") == ["apology", "on_failure"]
    assert played.reasons("on_failure") == ["transfer to reception"]


async def test_on_failure_transfer_that_fails_leads_on() -> None:
    async def handover(call: Call, leg: Leg, name: str) -> None:
        raise HandoverFailed("nobody is there")

    played = await play(
        waits_long, config={"on_failure": {"transfer": "reception"}}, model=Model([[GONE]]), handover=handover
    )
    assert played.ended.outcome == "failed"
    assert played.leg.proceeded is not None


async def test_on_failure_hangup() -> None:
    played = await play(waits_long, config={"on_failure": "hangup"}, model=Model([[GONE]]))
    assert played.ended.outcome == "failed"
    assert played.leg.proceeded is None
    assert played.reasons("on_failure") == ["hang up"]


async def test_caller_hangs_up_during_the_apology() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.hears_agent()
        await caller.waits(0.5)

    played = await play(scene, model=Model([[GONE]]))
    assert played.ended.outcome == "caller_hangup"
    assert played.leg.proceeded is None


# --- tools ------------------------------------------------------------------------------------------------------------


async def test_what_a_tool_says_is_heard_word_for_word_before_the_answer() -> None:
    job = Job(seconds=0.5, outcome=Outcome("5", say="Your number is five."))
    played = await play(asks_once, tools=[job], model=Model([[asks()], ["Anything else?"]]))
    assert played.said() == ["Your number is five. Anything else?"]
    assert played.dialogue()[1:] == [
        ("assistant", ""), ("tool", "5"), ("assistant", "Your number is five."), ("assistant", "Anything else?"),
    ]  # fmt: skip


async def test_two_tools_at_once() -> None:
    jobs = [Job("one", seconds=1.0, outcome=Outcome("1")), Job("two", seconds=0.5, outcome=Outcome("2"))]
    played = await play(asks_once, tools=jobs, model=Model([[asks("one", "a"), asks("two", "b")], ["Both are here."]]))
    assert played.dialogue()[2:4] == [("tool", "1"), ("tool", "2")]
    assert played.said() == ["Both are here."]


async def test_tool_that_fails_is_told_to_the_model() -> None:
    job = Job(outcome=ToolError("No such order."))
    played = await play(asks_once, tools=[job], model=Model([[asks()], ["There is none."]]))
    assert "No such order." in played.dialogue()[2][1]
    assert played.said() == ["There is none."]


async def test_variables_of_a_tool_reach_the_prompt() -> None:
    job = Job(outcome=Outcome("ok", variables={"name": "Ada"}))
    played = await play(
        asks_once,
        config={"prompt": "The caller is {{ vars.name }}.", "variables": {"name": "unknown"}},
        tools=[job],
        model=Model([[asks()], ["Hello Ada."]]),
    )
    prompts = [messages[0].content for messages in played.model.asked]
    assert prompts == ["The caller is unknown.", "The caller is Ada."]


async def test_late_result_takes_its_place_in_the_history() -> None:
    async def work(actions: CallActions) -> Outcome:
        async def result() -> Outcome:
            await asyncio.sleep(5)
            return Outcome("sent")

        return Outcome("ask later", later=result())

    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.answered(6.0)
        await caller.says("and now")
        await caller.answered()

    played = await play(scene, tools=[Job(work=work)], model=Model([[asks()], ["Later."], ["It was sent."]]))
    assert "ask later" in played.model.asked[1][2].content
    assert played.model.asked[2][2].content == "sent"


@pytest.mark.parametrize("seconds", [50.0, 150.0, FOREVER])
async def test_caller_who_waits_for_a_late_result_is_not_asked_whether_they_are_there(seconds: float) -> None:
    async def work(actions: CallActions) -> Outcome:
        async def result() -> Outcome:
            await (asyncio.Event().wait() if seconds == FOREVER else asyncio.sleep(seconds))
            return Outcome("sent")

        return Outcome("ask later", later=result())

    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.waits(LATE + 100.0)

    model = Model([[asks()], ["Later."], *([["Still nothing."]] if seconds > LATE else []), ["It was sent."]])
    played = await play(scene, tools=[Job(work=work)], model=model)
    late, came = seconds > LATE, seconds != FOREVER
    told = [messages[-1].content for messages in model.asked[2:]]
    expected = ["has not come"] * late + ["has come"] * came
    assert len(told) == len(expected) and all(words in text for words, text in zip(expected, told, strict=True))
    said = [text for text in played.said() if "still there" not in text]
    assert said == ["Later.", *["Still nothing."] * late, *["It was sent."] * came]
    asked = [at for at, event in played.log if isinstance(event, AgentResponse) and "still there" in event.text]
    assert asked, "once nothing is awaited any more, the caller is asked again"
    assert min(asked) > played.leg.port.began + min(seconds, LATE) + 10.0
    (result,) = [m.content for m in played.call.agent.history if m.role == "tool"]
    assert "sent" in result if came else "may never come" in result
    assert played.ended.outcome == "idle"


async def test_transfer_after_its_announcement() -> None:
    async def handover(call: Call, leg: Leg, name: str) -> None:
        await call.proceed(extension="200", reason=f"to {name}")

    job = Job("transfer", outcome=Outcome("ok", then=Transfer("reception")))
    played = await play(
        waits_long, tools=[job], model=Model([["I will put you through. ", asks("transfer")]], otherwise=[]),
        handover=handover,
    )  # fmt: skip
    assert played.said() == ["I will put you through."]
    assert played.ended.outcome == "handed_over"
    assert played.ended.reason == "to reception"
    assert played.leg.proceeded is not None and played.leg.proceeded.extension == "200"
    assert played.call.state == "handed-over"


async def test_transfer_that_fails_is_told_and_the_call_goes_on() -> None:
    async def handover(call: Call, leg: Leg, name: str) -> None:
        raise HandoverFailed("nobody answers there")

    async def scene(caller: Caller) -> None:
        await caller.says("a person please")
        await caller.answered(1.5)
        await caller.says("then tell me yourself")
        await caller.answered()

    job = Job("transfer", outcome=Outcome("ok", then=Transfer("reception")))
    played = await play(
        scene,
        tools=[job],
        model=Model([["I try. ", asks("transfer")], ["Nobody is there, sorry."], ["It was sent."]]),
        handover=handover,
    )
    assert any(role == "system" and "nobody answers there" in text for role, text in played.dialogue())
    assert played.said()[1:] == ["Nobody is there, sorry.", "It was sent."]
    assert played.ended.outcome == "caller_hangup"
    assert not played.call.idle_monitor.suspended


@pytest.mark.parametrize("end", [EndCall(), Proceed("vm", "100", 1)], ids=["end_call", "voicemail"])
async def test_what_ends_the_call_comes_about_also_after_transfers_that_failed(end: EndCall | Proceed) -> None:
    tried: list[str] = []

    async def handover(call: Call, leg: Leg, name: str) -> None:
        tried.append(name)
        raise HandoverFailed("busy", "busy")

    tools = [Job("transfer", outcome=Outcome("ok", then=Transfer("reception"))), Job("end", outcome=Outcome(then=end))]
    answers = [["I try. ", asks("transfer")], ["Once more. ", asks("transfer", "t2")], ["Goodbye! ", asks("end", "t3")]]
    played = await play(waits_long, tools=tools, model=Model([*answers]), handover=handover)
    assert tried == ["reception"] * 2
    assert played.said() == ["I try.", "Once more.", "Goodbye!"]
    assert played.ended.outcome == ("completed" if isinstance(end, EndCall) else "handed_over")


@pytest.mark.parametrize("stubborn", [False, True])
async def test_third_transfer_in_a_row_is_not_tried_and_the_model_is_told(stubborn: bool) -> None:
    tried: list[str] = []

    async def handover(call: Call, leg: Leg, name: str) -> None:
        tried.append(name)
        raise HandoverFailed("busy", "busy")

    async def scene(caller: Caller) -> None:
        await caller.says("a person please")
        await caller.answered(2.0)
        await caller.says("then tell me yourself")
        await caller.answered()

    wishes = [["I try. ", asks("transfer", f"t{n}")] for n in range(4 if stubborn else 3)]
    model = Model([*wishes, *([] if stubborn else [["Nobody is there."]]), ["It was sent."]])
    job = Job("transfer", outcome=Outcome("ok", then=Transfer("reception")))
    played = await play(scene, tools=[job], model=model, handover=handover)
    assert tried == ["reception"] * 2
    assert played.said()[3:] == ["I try." if stubborn else "Nobody is there.", "It was sent."]
    told = [m.content for m in played.call.agent.history if "Not tried" in m.content]
    assert len(told) == 1 + stubborn
    assert played.ended.outcome == "caller_hangup"


async def test_proceed_that_the_pbx_refuses_keeps_the_caller() -> None:
    async def dialogue(call: Call) -> None:
        await call.answer()
        await asyncio.sleep(0.1)
        await call.proceed(context="nowhere")

    async def scene(caller: Caller) -> None:
        async def refuse(**place: object) -> None:
            caller.leg.proceed = original  # type: ignore[method-assign]  # only once
            raise LegError("no such context")

        original = caller.leg.proceed
        caller.leg.proceed = refuse  # type: ignore[method-assign,assignment]  # the PBX says no
        await caller.waits(30)

    played = await play(scene, dialogue=dialogue)
    assert played.ended.outcome == "failed"
    assert played.said() == [SORRY]
    assert played.leg.proceeded is not None


async def test_voicemail_leads_on() -> None:
    job = Job("voicemail", outcome=Outcome("ok", then=Proceed("vm", "100", 1)))
    played = await play(waits_long, tools=[job], model=Model([["Leave a message. ", asks("voicemail")]]))
    assert played.leg.proceeded is not None and played.leg.proceeded.context == "vm"
    assert played.ended.outcome == "handed_over"


@pytest.mark.parametrize("sensitive", [False, True])
@pytest.mark.parametrize(("keys", "digits"), [("4711", "4711"), ("47#", "47"), ("47", "47"), ("", "")])
async def test_keys_for_a_tool(keys: str, digits: str, sensitive: bool) -> None:
    async def work(actions: CallActions) -> Outcome:
        await actions.say("Please enter your secret number now.")
        return Outcome(await actions.collect_digits(length=4, terminator="#", timeout=5.0, sensitive=sensitive))

    async def scene(caller: Caller) -> None:
        await caller.says("let me in")
        await caller.answered()
        caller.presses(keys)
        await caller.answered(5.5)

    played = await play(scene, tools=[Job(work=work)], model=Model([[asks()], ["Thank you."]]), dead_air=True)
    assert not played.of(DeadAir), "it is the caller who is silent"
    assert played.dialogue()[2] == ("tool", digits)
    assert played.turns() == ["let me in"]
    assert played.said() == ["Thank you."]
    shown = [event.digit for event in played.of(DtmfReceived)]
    assert shown == (["*"] * len(keys) if sensitive else list(keys))
    assert (
        not any(tells("4711", str(event)) for event in played.events if not isinstance(event, ToolCompleted))
        or not sensitive
    )
    if not keys:
        assert not any(5.0 < at - played.when("answered")[0] < 9.0 for at in played.when("fill")), "it waits for keys"


@pytest.mark.parametrize("sensitive", [False, True])
@pytest.mark.parametrize("keys", ["4711#", "47112", "471123#"])
async def test_keys_after_a_number_are_no_turn_and_no_secret_slips_out(keys: str, sensitive: bool) -> None:
    async def work(actions: CallActions) -> Outcome:
        digits = await actions.collect_digits(length=4, terminator="#", timeout=5.0, sensitive=sensitive)
        return Outcome({"entered": len(digits)} if sensitive else digits)

    async def scene(caller: Caller) -> None:
        await caller.says("let me in")
        await caller.waits(2.0)
        caller.presses(keys)
        await caller.answered()
        await caller.waits(4.0)
        caller.presses("9")
        await caller.answered(1.5)

    model = Model([[asks()], ["Thank you."], ["Nine."]])
    played = await play(scene, tools=[Job(work=work)], model=model, dead_air=True)
    assert not played.of(DeadAir), "it is the caller who is silent"
    assert played.turns() == ["let me in", "9"], "after a while a key is a turn again"
    shown = [event.digit for event in played.of(DtmfReceived)]
    assert shown == [*("*" * len(keys) if sensitive else keys), "9"]
    assert [text for role, text in played.dialogue() if role == "user"] == ["let me in", "9"]
    assert played.said() == ["Thank you.", "Nine."]


@pytest.mark.parametrize("empty", [[], ["\U0001f642"]])
async def test_a_model_that_says_nothing_once_a_tool_has_answered_is_asked_again(empty: list[str]) -> None:
    model = Model([["One moment, please. ", asks()], empty, ["It ships on Monday."]])
    played = await play(asks_once, tools=[Job()], model=model)
    assert " ".join(played.said()).startswith("One moment, please.")
    assert played.said()[-1].endswith("It ships on Monday.")
    assert len(model.asked) == 3


async def test_what_a_tool_has_said_itself_is_an_answer() -> None:
    model = Model([["One moment, please. ", asks()], []])
    played = await play(asks_once, tools=[Job(outcome=Outcome("ok", say="It ships on Monday."))], model=model)
    assert " ".join(played.said()).startswith("One moment, please.")
    assert played.said()[-1].endswith("It ships on Monday.")
    assert len(model.asked) == 2


async def test_a_number_that_is_asked_for_anew_takes_the_keys_from_the_one_before(tmp_path: Path) -> None:
    """The caller speaks instead of keying it in, and the agent asks for it again: the first is still awaited."""

    async def work(actions: CallActions) -> Outcome:
        digits = await actions.collect_digits(length=4, terminator="#", timeout=9.0, sensitive=True)
        return Outcome({"entered": len(digits)})

    async def scene(caller: Caller) -> None:
        await caller.says("let me in")
        await caller.waits(3.0)
        await caller.says("sorry what number")
        await caller.waits(8.0)
        caller.presses("4711")
        await caller.answered(4.0)

    model = Model([[asks()], [asks(call_id="t2")], ["Thank you."]])
    config = {"record": True}
    played = await play(scene, tools=[Job(work=work)], model=model, config=config, recordings=tmp_path, dead_air=True)
    assert played.turns() == ["let me in", "sorry what number"]
    assert [text for role, text in played.dialogue() if role == "tool"] == ['{"entered": 0}', '{"entered": 4}']
    assert [event.digit for event in played.of(DtmfReceived)] == ["*"] * 4
    assert played.reasons("recording") == ["begins", "paused", "resumed"]
    assert played.when("recording")[-1] >= played.at(DtmfReceived)[-1], "not between the two"
    assert not played.of(DeadAir), "it is the caller who is silent"
    assert played.said() == ["Thank you."]


async def test_what_a_slow_caller_still_keys_in_of_a_secret_is_kept_secret() -> None:
    async def work(actions: CallActions) -> Outcome:
        digits = await actions.collect_digits(length=4, terminator="#", timeout=5.0, sensitive=True)
        return Outcome({"entered": len(digits)})

    async def scene(caller: Caller) -> None:
        await caller.says("let me in")
        await caller.waits(2.0)
        caller.presses("47")
        await caller.answered()
        await caller.waits(6.0)
        caller.presses("11#")
        await caller.quiet(3.0)

    model = Model([[asks()], ["I have only two of them. One moment."]])
    played = await play(scene, tools=[Job(work=work)], model=model, dead_air=True)
    assert played.turns() == ["let me in"]
    assert [event.digit for event in played.of(DtmfReceived)] == ["*"] * 5


@pytest.mark.parametrize("begins", [1.0, 4.5], ids=["in time", "as the wait ends"])
async def test_a_secret_that_is_said_aloud_is_kept_nowhere(begins: float) -> None:
    async def work(actions: CallActions) -> Outcome:
        digits = await actions.collect_digits(length=4, terminator="#", timeout=5.0, sensitive=True)
        return Outcome({"entered": len(digits)})

    async def scene(caller: Caller) -> None:
        await caller.says("let me in")
        await caller.waits(0.8 + begins)
        await caller.says("it is four seven 1 one thanks")
        await caller.waits(4.0)
        await caller.says("sorry where do I key it in")
        await caller.answered(2.0)
        await caller.waits(10.0)
        await caller.says("send me two of them")
        await caller.answered()

    model = Model([[asks()]], otherwise=["Please use the keys."])
    played = await play(scene, tools=[Job(work=work)], model=model, dead_air=True)
    assert played.turns() == ["let me in", INSTEAD, "sorry where do I key it in", "send me two of them"]
    secret = ("four", "seven")
    assert not [event for event in played.events if any(word in str(event) for word in secret)]
    assert not [
        message for asked in model.asked for message in asked if any(word in message.content for word in secret)
    ]
    assert played.of(UserTranscriptPartial), "there were some to be kept clean"


async def test_a_secret_that_a_tool_answers_with_is_told_to_nobody_who_keeps_it() -> None:
    async def collect(actions: CallActions) -> Outcome:
        digits = await actions.collect_digits(length=4, terminator="#", timeout=5.0, sensitive=True)
        return Outcome({"entered": len(digits)})

    async def echo(actions: CallActions) -> Outcome:
        return Outcome({"pin": "4711", "number": 4711}, say="You entered 4711.")

    async def scene(caller: Caller) -> None:
        await caller.says("let me in")
        await caller.waits(2.0)
        caller.presses("4711")
        await caller.answered(2.0)
        await caller.says("what did you get")
        await caller.answered(2.0)

    tools = [Job(work=collect), Job("check", work=echo)]
    read = Model([['{"summary": "The caller keyed in a number."}']], name="analyst")
    model = Model([[asks()], ["Thank you."], [asks("check", call_id="t2")], ["4711 is right."]])
    analyst = Analyst(read, AnalysisConfig.model_construct(llm=("scripted",), summary=True, fields={}, success=None))
    played = await play(scene, tools=tools, model=model, dead_air=True, analyst=analyst)
    assert "You entered 4711. 4711 is right." in " ".join(played.voice.spoken), "the caller may hear it"
    assert not [event for event in played.events if tells("4711", str(event))]
    assert HIDDEN in " ".join(played.said())
    assert not any(tells("4711", message.content) for asked in read.asked for message in asked)
    assert read.asked


@pytest.mark.parametrize("partials", [True, False])
async def test_a_secret_that_is_said_along_with_its_keys_is_kept_nowhere(partials: bool) -> None:
    async def work(actions: CallActions) -> Outcome:
        digits = await actions.collect_digits(length=4, terminator="#", timeout=5.0, sensitive=True)
        return Outcome({"entered": len(digits)})

    async def scene(caller: Caller) -> None:
        await caller.says("let me in")
        await caller.waits(2.0)
        caller.presses("4711", every=0.4)
        await caller.says("four seven one one", 2.0)
        await caller.answered()
        await caller.says("two of them")
        await caller.answered()

    model = Model([[asks()]], otherwise=["How many tickets?"])
    played = await play(scene, tools=[Job(work=work)], model=model, dead_air=True, stt=Recogniser(partials=partials))
    assert played.turns()[-1] == "two of them"
    assert not [event for event in played.events if "seven" in str(event)]
    assert not [message for asked in model.asked for message in asked if "seven" in message.content]
    assert INSTEAD in played.turns()


async def test_what_is_asked_for_after_a_secret_was_keyed_in_is_heard() -> None:
    async def work(actions: CallActions) -> Outcome:
        digits = await actions.collect_digits(length=4, terminator="#", timeout=5.0, sensitive=True)
        return Outcome({"entered": len(digits)})

    async def scene(caller: Caller) -> None:
        await caller.says("let me in")
        await caller.waits(2.0)
        caller.presses("4711", every=0.2)
        await caller.answered()
        await caller.says("two of them")
        await caller.answered()

    model = Model([[asks()], ["How many tickets?"]])
    played = await play(scene, tools=[Job(work=work)], model=model, dead_air=True)
    assert played.turns() == ["let me in", "two of them"]


async def test_a_number_that_may_be_kept_is_heard_while_its_keys_are_awaited() -> None:
    async def work(actions: CallActions) -> Outcome:
        return Outcome(await actions.collect_digits(length=4, terminator="#", timeout=5.0, sensitive=False))

    async def scene(caller: Caller) -> None:
        await caller.says("let me in")
        await caller.waits(2.0)
        await caller.says("four seven one one")
        await caller.answered(2.0)

    played = await play(scene, tools=[Job(work=work)], model=Model([[asks()], ["Thank you."]]), dead_air=True)
    assert played.turns() == ["let me in", "four seven one one"]


@pytest.mark.parametrize(("length", "keys"), [(4, "12#"), (2, "12")])
async def test_key_cuts_the_prompt_of_a_tool_and_counts(length: int, keys: str) -> None:
    prompt = "Please enter your secret number now, followed by the hash key, or stay on the line."

    async def work(actions: CallActions) -> Outcome:
        return Outcome(
            await actions.collect_digits(length=length, terminator="#", timeout=9.0, sensitive=False, prompt=prompt)
        )

    async def scene(caller: Caller) -> None:
        await caller.says("let me in")
        await caller.hears_agent()
        await caller.waits(1.0)
        caller.presses(keys)
        await caller.quiet(0.1)
        await caller.answered()

    played = await play(scene, tools=[Job(work=work)], model=Model([[asks()], ["Thank you."]]))
    assert played.dialogue()[2] == ("tool", "12")
    start, end = played.agent_spans[0]
    assert end - start < 1.2
    assert played.said() == ["Thank you."]
    assert played.turns() == ["let me in"]


async def test_keys_while_the_words_before_a_tool_are_still_said_count_once_the_tool_has_begun() -> None:
    async def work(actions: CallActions) -> Outcome:
        return Outcome(await actions.collect_digits(length=4, terminator="#", timeout=9.0, sensitive=False))

    async def scene(caller: Caller) -> None:
        await caller.says("let me in")
        await caller.hears_agent()
        await caller.waits(1.5)
        caller.presses("4711")
        await caller.answered()

    words = "Please key in your secret number now, all four digits of it."
    played = await play(scene, tools=[Job(work=work)], model=Model([[words, asks()], ["Thank you."]], pace=0.01))
    assert ("tool", "4711") in played.dialogue()
    assert played.turns() == ["let me in"]
    assert played.said()[-1].endswith("Thank you.")


@pytest.mark.parametrize("name", ["tt-monkeys", "missing"])
async def test_sound_of_the_pbx_is_heard_after_what_is_said_and_is_nobodys_silence(name: str) -> None:
    began: list[float] = []

    async def play_sound(wanted: str) -> None:
        began.append(asyncio.get_running_loop().time())
        if wanted == "missing":
            raise LegError("there is no such sound")
        await asyncio.sleep(8.0)

    async def handler(call: Call) -> None:
        call._leg.play_sound = play_sound  # type: ignore[attr-defined]  # a PBX that has sounds
        await converse(call)

    words = "Listen to this one, please."
    tool = PlayTool(f"sound:{name}", client=None, name="look_up")  # type: ignore[arg-type]  # no web server is asked
    played = await play(
        waits_long, tools=[tool], dialogue=handler, model=Model([[words, asks()], ["That was it."]]), dead_air=True
    )
    assert [event.outcome for event in played.of(ToolCompleted)] == ["ok" if name == "tt-monkeys" else "error"]
    assert began[0] - played.leg.port.began >= played.agent_spans[0][0] + len(words) / CHARS_PER_SECOND - 0.1
    assert not [at for at in played.at(DeadAir) if at < began[0] - played.leg.port.began + 8.0]
    assert not [at for at in played.when("fill") if at < began[0] - played.leg.port.began + 8.0]
    assert played.said()[0].endswith("That was it.")


async def test_no_sound_without_a_pbx() -> None:
    tool = PlayTool("sound:tt-monkeys", client=None, name="look_up")  # type: ignore[arg-type]  # as above
    played = await play(asks_once, tools=[tool], model=Model([[asks()], ["It does not work."]]))
    assert "not available" in played.dialogue()[2][1]


async def test_prompt_of_a_tool_is_heard_before_keys_are_awaited() -> None:
    prompt = "Please enter your secret number now, followed by the hash key, or stay on the line."
    began: list[float] = []

    async def work(actions: CallActions) -> Outcome:
        await actions.say(prompt)
        began.append(asyncio.get_running_loop().time())
        return Outcome("ok")

    played = await play(asks_once, tools=[Job(work=work)], model=Model([[asks()], ["Thank you."]]))
    assert began[0] - played.leg.port.began == pytest.approx(played.agent_spans[0][1], abs=0.1)
    assert played.agent_spans[0][1] - played.agent_spans[0][0] == pytest.approx(
        len(prompt) / CHARS_PER_SECOND, abs=0.05
    )


async def test_tool_plays_a_sound() -> None:
    async def work(actions: CallActions) -> Outcome:
        await actions.play(voice_of("x" * 30), 8000)
        return Outcome("played")

    played = await play(asks_once, tools=[Job(work=work)], model=Model([[asks()], ["That was it."]]))
    assert played.agent_spans[0][1] - played.agent_spans[0][0] == pytest.approx(2.0, abs=0.05)
    assert played.said() == ["That was it."]
    assert not played.when("fill"), timeline(played)


async def test_caller_hangs_up_while_keys_are_awaited() -> None:
    async def work(actions: CallActions) -> Outcome:
        return Outcome(await actions.collect_digits(length=4, terminator="#", timeout=60.0, sensitive=False))

    async def scene(caller: Caller) -> None:
        await caller.says("let me in")
        await caller.waits(3)

    played = await play(scene, tools=[Job(work=work)], model=Model([[asks()]]))
    assert played.ended.outcome == "caller_hangup"
    (completed,) = played.of(ToolCompleted)
    assert completed.outcome == "error" and completed.duration < 5


async def test_hold_keeps_the_agent_from_asking() -> None:
    async def work(actions: CallActions) -> Outcome:
        actions.hold(60.0)
        return Outcome("waiting")

    async def scene(caller: Caller) -> None:
        await caller.says("wait please")
        await caller.answered(40.0)
        await caller.says("I am back")
        await caller.answered()
        await caller.waits(11.5)

    played = await play(scene, tools=[Job(work=work)], model=Model([[asks()], ["Take your time."], ["Good."]]))
    assert played.said() == ["Take your time.", "Good.", "Are you still there?"]


def answers_late(seconds: float, **late: object) -> Job:
    """A tool that answers 202, and brings this `seconds` later."""

    async def work(actions: CallActions) -> Outcome:
        async def result() -> Outcome:
            await asyncio.sleep(seconds)
            return Outcome(**late)  # type: ignore[arg-type]  # what a test gives

        return Outcome({"status": "the result will follow"}, later=result())

    return Job(work=work)


async def test_late_result_is_told_unasked_when_nobody_speaks() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.answered(3.0)
        await caller.answered(1.0)

    model = Model([[asks()], ["Later."], ["It was sent."]])
    played = await play(scene, tools=[answers_late(4.0, result="sent")], model=model)
    assert played.said() == ["Later.", "It was sent."]
    last = model.asked[2]
    assert ("tool", "sent") in [(m.role, m.content) for m in last]
    assert last[-1].role == "system" and "look_up" in last[-1].content
    assert played.turns() == ["where is my order"]
    assert len(played.of(TurnEnded)) == 1, "nobody waited for an answer the second time"
    first, second = played.agent_spans[0], played.agent_spans[-1]
    assert second[0] - first[0] > 2


async def test_late_result_waits_until_the_agent_and_the_caller_have_spoken() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.answered(1.0)
        await caller.says("and tell me something else meanwhile please", 3.0)
        await caller.answered(2.0)

    model = Model([[asks()], ["Later."], ["Something else."], ["It was sent."]])
    played = await play(scene, tools=[answers_late(3.0, result="sent")], model=model)
    assert played.said() == ["Later.", "Something else.", "It was sent."]
    assert not played.of(BargeIn)


async def test_late_results_own_words_and_action() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.answered(3.0)
        await caller.answered(1.0)
        await caller.waits(20)

    job = answers_late(4.0, result="sent", say="It was sent. Goodbye.", then=EndCall())
    model = Model([[asks()], ["Later."]])
    played = await play(scene, tools=[job], model=model)
    assert played.said() == ["Later.", "It was sent. Goodbye."]
    assert played.ended.outcome == "completed"
    assert len(model.asked) == 2


async def test_late_result_that_is_interrupted_before_it_is_heard_is_told_afterwards() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.answered(3.9)
        await caller.says("one more thing", 0.8)
        await caller.answered(2.0)

    model = Model([[asks()], ["Later."], [2.0, "It was sent."], ["Which one?"], ["It was sent."]])
    played = await play(scene, tools=[answers_late(4.0, result="sent")], model=model)
    assert played.said() == ["Later.", "Which one?", "It was sent."], timeline(played)
    assert [m.content for m in played.call.agent.history if m.role == "user"] == ["where is my order", "one more thing"]


async def test_model_that_has_nothing_to_say_of_a_late_result_keeps_the_call() -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.answered(5.0)
        await caller.says("thanks")
        await caller.answered()

    model = Model([[asks()], ["Later."], [], ["Bye."]])
    played = await play(scene, tools=[answers_late(3.0, result="sent")], model=model, dead_air=True)
    assert played.said() == ["Later.", "Bye."]
    assert played.ended.outcome == "caller_hangup"


# --- a model that is not to be trusted --------------------------------------------------------------------------------


async def test_of_fifty_calls_at_once_most_are_not_run() -> None:
    job = Job()
    model = Model([[asks(call_id=f"t{number}") for number in range(50)], ["It was sent."]])
    played = await play(asks_once, tools=[job], model=model)
    assert job.done == MAX_CALLS == len(played.of(ToolCompleted))
    results = {m.tool_call_id: m.content for m in played.call.agent.history if m.role == "tool"}
    assert len(results) == 50
    refused = {name for name, text in results.items() if "at most 16" in text}
    assert refused == {f"t{number}" for number in range(MAX_CALLS, 50)}
    assert played.said() == ["It was sent."]


@pytest.mark.parametrize("call_id", ["call_0", ""])
async def test_calls_that_bear_one_id_are_told_apart(call_id: str) -> None:
    async def scene(caller: Caller) -> None:
        for _ in range(2):
            await caller.says("where is my order")
            await caller.answered(1.0)

    first, second = Job("first", outcome=Outcome("one")), Job("second", outcome=Outcome("two"))
    round_ = [asks("first", call_id=call_id), asks("second", call_id=call_id)]
    model = Model([round_, ["It was sent."], round_, ["It was sent again."]])
    played = await play(scene, tools=[first, second], model=model)
    calls = [call for message in played.call.agent.history for call in message.tool_calls]
    assert [call.name for call in calls] == ["first", "second"] * 2
    assert len({call.id for call in calls}) == 4 and all(call.id for call in calls)
    results = {m.tool_call_id: m.content for m in played.call.agent.history if m.role == "tool"}
    assert [results[call.id] for call in calls] == ["one", "two"] * 2


async def test_tokens_are_counted_for_whoever_answered() -> None:
    answer = ["It was sent.", Usage(30, 5, "ollama", "qwen3")]
    played = await play(asks_once, model=Model([answer]))
    assert [(e.provider, e.model, e.prompt_tokens, e.completion_tokens) for e in played.of(TokensUsed)] == [
        ("ollama", "qwen3", 30, 5)
    ]


@pytest.mark.parametrize("first", ["pin", "account"])
async def test_two_numbers_that_are_asked_for_at_once_are_keyed_in_one_after_the_other(first: str) -> None:
    async def scene(caller: Caller) -> None:
        await caller.says("where is my order")
        await caller.waits(2)
        caller.presses("1234" if first == "pin" else "5678")
        await caller.waits(5)
        caller.presses("5678" if first == "pin" else "1234")
        await caller.answered(2.0)

    tools = {
        "pin": CollectDigitsTool(length=4, sensitive=True, name="pin"),
        "account": CollectDigitsTool(length=4, name="account"),
    }
    other = "account" if first == "pin" else "pin"
    model = Model([[asks(first, call_id="t1"), asks(other, call_id="t2")], ["Thank you."]])
    played = await play(scene, tools=list(tools.values()), model=model, dead_air=True)
    assert played.call.agent.variables["pin"] == "1234"
    told = [repr(event) for event in played.events]
    assert any("5678" in text for text in told) and not any("1234" in text for text in told)
    assert [event.digit for event in played.of(DtmfReceived)].count("*") == 4


@pytest.mark.parametrize("transcribed", ["please key in your four digit number now", "your four digit number"])
async def test_the_agents_own_words_that_come_back_on_the_line_are_no_secret(transcribed: str) -> None:
    async def work(actions: CallActions) -> Outcome:
        prompt = "Please key in your four digit number now, and do not tell it to anybody."
        digits = await actions.collect_digits(length=4, terminator="#", timeout=5.0, sensitive=True, prompt=prompt)
        return Outcome({"entered": len(digits)})

    async def scene(caller: Caller) -> None:
        await caller.says("let me in")
        await caller.hears_agent()
        caller.recognised(transcribed, after=2.5)
        await caller.waits(6.0)
        caller.presses("4711")
        await caller.answered(2.0)

    played = await play(scene, tools=[Job(work=work)], model=Model([[asks()], ["Thank you."]]), echo=0.05)
    assert played.turns() == ["let me in"]
    assert not played.of(BargeIn)


async def test_a_long_secret_that_is_said_aloud_is_waited_for_and_kept_nowhere() -> None:
    async def work(actions: CallActions) -> Outcome:
        digits = await actions.collect_digits(length=16, terminator="#", timeout=5.0, sensitive=True)
        return Outcome({"entered": len(digits)})

    async def scene(caller: Caller) -> None:
        await caller.says("let me in")
        await caller.waits(0.8 + 4.5)
        await caller.says("it is four seven one one eight two eight four five six seven eight nine seven", 9.0)
        await caller.answered(2.0)

    model = Model([[asks()]], otherwise=["Please use the keys."])
    played = await play(scene, tools=[Job(work=work)], model=model, dead_air=True)
    assert played.turns() == ["let me in", INSTEAD]
    assert not [event for event in played.events if "seven" in str(event)]
    assert not played.of(BargeIn)


async def test_a_secret_that_is_said_aloud_in_groups_is_waited_for_and_kept_nowhere() -> None:
    async def work(actions: CallActions) -> Outcome:
        digits = await actions.collect_digits(length=16, terminator="#", timeout=5.0, sensitive=True)
        return Outcome({"entered": len(digits)})

    async def scene(caller: Caller) -> None:
        await caller.says("let me in")
        await caller.waits(0.8 + 4.5)
        for group in ("four seven one one", "eight two eight four", "five six seven eight", "nine nine seven five"):
            await caller.says(group, 2.0)
            await caller.waits(1.0)
        await caller.answered(2.0)

    model = Model([[asks()]], otherwise=["Please use the keys."])
    played = await play(scene, tools=[Job(work=work)], model=model, dead_air=True)
    assert not [event for event in played.events if any(word in str(event) for word in ("seven", "eight", "five"))]
    assert played.turns() == ["let me in", " ".join([INSTEAD] * 4)]
    assert not played.of(BargeIn)
