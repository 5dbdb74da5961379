"""The scripted model: rules in order, tools, results, and what it makes of a bad script."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from voxtrad.providers.base import BadRequest, Message, TextDelta, ToolCall, ToolSpec
from voxtrad.providers.llm.scripted import PROVIDER, Rule, ScriptedOptions, hints_for
from voxtrad.providers.options import Embedded

RULES = {
    "rules": [
        {
            "match": r"order (number )?(?P<order_id>[\w ]+)",
            "tool": "lookup_order",
            "arguments": {"order_id": "{{ match.order_id }}"},
            "say": "Your order is {{ result.status }}.",
        },
        {"match": "human|person", "tool": "escalate_to_human", "arguments": {"destination": "reception"}},
        {"match": "bye", "say": "Goodbye.", "tool": "end_call"},
        {"match": "who am i", "say": "You call from {{ call.from }}, {{ vars.name }}."},
    ],
    "otherwise": "I can look up an order, or put you through to a person.",
}
LOOKUP = ToolSpec("lookup_order", "", {"type": "object", "properties": {"order_id": {"type": "string"}}})


def model(**options):
    return PROVIDER.build("scripted", Embedded(), ScriptedOptions.model_validate(options or RULES))


async def answer(llm, *messages, tools=(LOOKUP,), variables=None):
    events = [event async for event in llm.stream(messages, tools, variables=variables)]
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    return text, [event for event in events if isinstance(event, ToolCall)]


def user(text):
    return Message("user", text)


async def test_a_rule_with_a_tool_calls_it_and_speaks_of_its_result():
    llm = model()
    text, [call] = await answer(llm, user("where is my Order Number A17"))
    assert (text, call.name, call.arguments) == ("", "lookup_order", {"order_id": "A17"})
    asked = Message("assistant", "", tool_calls=(call,))
    result = Message("tool", '{"status": "on its way"}', tool_call_id=call.id)
    assert await answer(llm, user("order number A17"), asked, result) == ("Your order is on its way.", [])
    said = Message("assistant", "One moment. ")
    assert await answer(llm, user("order number A17"), asked, result, said) == ("Your order is on its way.", [])


async def test_the_first_rule_that_matches_answers():
    _, [call] = await answer(model(), user("a person, for order 5"))
    assert call.name == "lookup_order"


async def test_what_needs_no_result_is_spoken_with_the_call_and_only_once():
    llm = model()
    text, [call] = await answer(llm, user("okay goodbye"))
    assert (text, call.name, call.arguments) == ("Goodbye.", "end_call", {})
    history = [user("okay goodbye"), Message("assistant", text, tool_calls=(call,))]
    assert await answer(llm, *history, Message("tool", '{"ok": true}', tool_call_id=call.id)) == ("", [])


async def test_no_rule_means_otherwise():
    assert (await answer(model(), user("what is the weather")))[0] == RULES["otherwise"]
    assert (await answer(model()))[0] == RULES["otherwise"]


async def test_templates_see_the_call_and_its_variables():
    variables = {"call": {"from": "+44 20"}, "vars": {"name": "Ada"}}
    assert (await answer(model(), user("who am I"), variables=variables))[0] == "You call from +44 20, Ada."


async def test_a_callers_words_are_no_template():
    _, [call] = await answer(
        model(rules=[{**RULES["rules"][0], "match": "order (?P<order_id>.+)"}]), user("order {{ 7 * 7 }}")
    )
    assert call.arguments == {"order_id": "{{ 7 * 7 }}"}


@pytest.mark.parametrize(
    ("on_error", "spoken"),
    [
        (None, "I am sorry, that did not work."),
        ("Nothing found for {{ match.id }}: {{ result.error }}.", "Nothing found for 5: no such order."),
    ],
)
async def test_a_tools_failure_is_spoken_of(on_error, spoken):
    rule = {"match": r"order (?P<id>\w+)", "tool": "lookup_order", "say": "It is {{ result.status }}."}
    llm = model(rules=[{**rule, **({"on_error": on_error} if on_error else {})}])
    _, [call] = await answer(llm, user("order 5"))
    failed = Message("tool", '{"error": "no such order"}', tool_call_id=call.id)
    assert await answer(llm, user("order 5"), Message("assistant", "", tool_calls=(call,)), failed) == (spoken, [])


@pytest.mark.parametrize(
    ("on_error", "question"), [({}, "Shall I do that?"), ({"on_error": "Cancel it?"}, "Cancel it?")]
)
async def test_a_tool_that_is_to_be_confirmed(on_error, question):
    rule = {"match": "cancel (?P<id>\\w+)", "tool": "cancel", "arguments": {"id": "{{ match.id }}"}}
    rule["say"] = "{{ match.id }} is {{ result.status }}."
    llm = model(rules=[rule | on_error], otherwise="Then not.")
    _, [first] = await answer(llm, user("cancel A17"))
    so_far = [user("cancel A17"), Message("assistant", "", tool_calls=(first,))]
    so_far.append(Message("tool", '{"error": "Nothing was done yet.", "confirm": true}', tool_call_id=first.id))
    text, calls = await answer(llm, *so_far)
    assert text.startswith(question) and not calls
    so_far.append(Message("assistant", text))
    assert await answer(llm, *so_far, user("no")) == ("Then not.", [])
    so_far.append(user("Yes, please."))
    text, [second] = await answer(llm, *so_far)
    assert (text, second.name, second.arguments) == ("", "cancel", {"id": "A17"})
    assert second.id != first.id
    so_far += [Message("assistant", "", tool_calls=(second,))]
    so_far += [Message("tool", '{"status": "cancelled"}', tool_call_id=second.id)]
    assert await answer(llm, *so_far) == ("A17 is cancelled.", [])
    so_far += [Message("assistant", "A17 is cancelled."), user("yes")]
    assert await answer(llm, *so_far) == ("Then not.", [])


async def test_a_result_that_is_still_to_come_is_not_spoken_of_and_told_when_it_has_come():
    llm = model()
    _, [call] = await answer(llm, user("order 5"))
    history = [user("order 5"), Message("assistant", "", tool_calls=(call,))]
    pending = Message("tool", '{"status": "the result will follow"}', tool_call_id=call.id, pending=True)
    assert await answer(llm, *history, pending) == ("", [])
    come = Message("tool", '{"status": "sent"}', tool_call_id=call.id)
    meanwhile = [user("what else"), Message("assistant", "I do not know.")]
    news = Message("system", "there it is", tool_call_id=call.id)
    assert await answer(llm, *history, come, *meanwhile, news) == await answer(llm, *history, come)
    assert (await answer(llm, *history, come, *meanwhile, news))[0]


async def test_a_new_question_after_a_tool_is_answered_anew():
    llm = model()
    _, [call] = await answer(llm, user("order 5"))
    history = [user("order 5"), Message("assistant", "", tool_calls=(call,))]
    history.append(Message("tool", '{"status": "still running"}', tool_call_id=call.id))
    _, [other] = await answer(llm, *history, user("give me a person"))
    assert other.name == "escalate_to_human"


async def test_arguments_become_what_the_tool_asks_for():
    rule = {"match": r"(?P<n>\d+)", "tool": "t"}
    rule["arguments"] = {
        "i": "{{ match.n }}",
        "f": "{{ match.n }}.5",
        "b": "true",
        "s": "{{ match.n }}",
        "i2": "x",
        "l": [1],
    }
    kinds = {"i": "integer", "f": "number", "b": "boolean", "s": "string", "i2": "integer"}
    schema = {"type": "object", "properties": {name: {"type": kind} for name, kind in kinds.items()}}
    _, [call] = await answer(model(rules=[rule]), user("take 12"), tools=[ToolSpec("t", "", schema)])
    assert call.arguments == {"i": 12, "f": 12.5, "b": True, "s": "12", "i2": "x", "l": [1]}


async def test_a_template_that_fails_is_a_bad_request():
    with pytest.raises(BadRequest):
        await answer(model(rules=[{"match": "x", "say": "{{ 1 / 0 }}"}]), user("x"))


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"match": "(", "say": "x"}, "not a regular expression"),
        ({"match": "x"}, "needs say, tool, or both"),
        ({"match": "x", "say": "x", "arguments": {"a": "b"}}, "belong to a tool"),
        ({"match": "x", "say": "{{ result.a }}"}, "names none"),
        ({"match": "x (?P<a>y)", "say": "{{ match.b }}"}, r"match.b is used, but the regular expression has a"),
        ({"match": "x", "tool": "t", "arguments": {"deep": [{"a": "{{ match.b }}"}]}}, "has no named group"),
        ({"match": "x", "say": "{{ "}, "does not compile"),
        ({"match": "x", "say": "x", "nonsense": 1}, "unknown key"),
    ],
)
def test_a_bad_rule_is_refused_with_the_reason(rule, message):
    with pytest.raises(ValidationError, match=message) as refused:
        ScriptedOptions.model_validate({"rules": [{"match": "fine", "say": "fine"}, rule]})
    assert refused.value.errors()[0]["loc"][:2] == ("rules", 1)


def test_all_that_is_wrong_with_a_rule_is_told_at_its_place():
    say, on_error = "{{ match.one }}\n{{ match.two }} {{ result.x }}", "{{ match.three }}"
    with pytest.raises(ValidationError) as refused:
        Rule.model_validate({"match": "(?P<two>x)", "say": say, "on_error": on_error, "arguments": {"a": [on_error]}})
    told = [
        (error["loc"], error.get("ctx", {}).get("part"), error.get("ctx", {}).get("line"))
        for error in refused.value.errors()
    ]
    assert told == [
        (("arguments",), None, None),
        (("on_error",), None, None),
        (("say",), "result", 2),
        (("say",), "match.one", 1),
        (("on_error",), "match.three", 1),
        (("arguments", "a", 0), "match.three", 1),
    ]


def test_hints_are_the_words_that_the_rules_wait_for():
    hints = hints_for([Rule.model_validate(rule) for rule in RULES["rules"]])
    assert {"order", "order number", "human", "person", "bye", "one", "nine", "a", "z", "who am i"} <= set(hints)
    assert PROVIDER.expected(ScriptedOptions.model_validate(RULES)) == hints


@pytest.mark.parametrize(
    ("pattern", "hints"),
    [
        (r"colou?r", ("color", "colour")),
        (
            r"\b(talk|speak) to (a )?(human|agent)\b",
            (
                "talk to human",
                "talk to agent",
                "talk to a human",
                "talk to a agent",
                "speak to human",
                "speak to agent",
                "speak to a human",
                "speak to a agent",
            ),
        ),
        (r"^don't (?!stop)care$", ("don't care",)),
        (r"gr[ae]y", ("gray", "grey")),
    ],
)
def test_a_regular_expression_is_spelled_out(pattern, hints):
    assert set(hints_for([Rule(match=pattern, say="x")])) == set(hints)


def test_digits_alone_bring_no_letters():
    hints = hints_for([Rule(match=r"number (?P<n>\d+)", say="x")])
    assert "seven" in hints and "a" not in hints


@settings(deadline=None)
@given(st.text(max_size=40), st.text(max_size=60))
async def test_any_expression_and_any_words_end_well(pattern, words):
    try:
        options = ScriptedOptions.model_validate(
            {"rules": [{"match": pattern, "say": "matched"}], "otherwise": "otherwise"}
        )
    except ValidationError:
        return
    llm = PROVIDER.build("scripted", Embedded(), options)
    assert (await answer(llm, user(words)))[0] in ("matched", "otherwise")


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=6,
    )
)
async def test_any_result_of_a_tool_is_taken(result):
    llm = model()
    _, [call] = await answer(llm, user("order 5"))
    for content in (json.dumps(result), repr(result)):
        history = [
            user("order 5"),
            Message("assistant", "", tool_calls=(call,)),
            Message("tool", content, tool_call_id=call.id),
        ]
        text, calls = await answer(llm, *history)
        assert text and not calls
