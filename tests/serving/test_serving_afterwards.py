"""What a webhook gets of a call after its end: recording and analysis, signed, in one numbering; by a whole server."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from premises import Premises, asks

from tests.fakes.openai_server import Error, Text, fake_openai
from tests.ledger.support import SECRET, Receiver, receiving
from voxtrad.providers.registry import provider_types

FOUND = {
    "summary": "The caller asked for order 4711 1234.",
    "fields": {"order": "4711 1234", "urgent": None},
    "success": True,
    "reason": "They were told 2.",
}


def write(premises: Premises, receiver: Receiver, model: str, *, more: str) -> None:
    premises.types["llm"]["openai"] = provider_types()["llm"]["openai"]
    events = "['call.*', recording.ready, error]"
    premises.write(
        more=f"webhooks: [{{name: crm, url: '{receiver.url}', secret: {SECRET}, events: {events}}}]\n"
        f"providers: {{openai: {{api_key: key, base_url: '{model}'}}}}\n"
    )
    fields = '{order: {type: string, pattern: "^[0-9 ]+$"}, urgent: {type: boolean}}'
    llm = "{provider: openai, model: gpt-x}"
    with premises.path.open("a", encoding="utf-8") as file:
        file.write(f'    analysis: {{llm: {llm}, fields: {fields}, success: "The caller was told."}}\n{more}')


def of(receiver: Receiver, kind: str) -> list[dict[str, Any]]:
    return [received.event["data"] for received in receiver.received if received.type == kind]


@pytest.mark.parametrize(
    ("privacy", "order", "summary"),
    [("full", "4711 1234", FOUND["summary"]), ("redacted", "[number]", "The caller asked for order [number].")],
)
async def test_recording_and_analysis_are_delivered(tmp_path: Path, privacy: str, order: str, summary: str) -> None:
    wrong = {**FOUND, "fields": {"order": "four seven", "urgent": None}}
    async with fake_openai(Text([json.dumps(wrong)]), Text([json.dumps(FOUND)])) as model, receiving() as receiver:
        premises = Premises(tmp_path)
        write(premises, receiver, model.url, more=f"    record: true\n    privacy: {privacy}\n")
        async with premises.open():
            await premises.call(asks("1"))
            await receiver.has(5)
    assert {received.type for received in receiver.received} == {
        "call.started", "call.answered", "call.ended", "call.analyzed", "recording.ready",
    }  # fmt: skip
    (call_id,) = {received.call_id for received in receiver.received}
    assert receiver.sequences(call_id) == [1, 2, 3, 4, 5]
    kinds = [received.type for received in receiver.received]
    assert kinds[:3] == ["call.started", "call.answered", "call.ended"]
    (analyzed,) = of(receiver, "call.analyzed")
    assert analyzed["fields"] == {"order": order, "urgent": None}
    assert (analyzed["summary"], analyzed["success"]) == (summary, True)
    (ready,) = of(receiver, "recording.ready")
    assert ready["location"] == f"/v1/calls/{call_id}/recording" and ready["seconds"] > 0.5
    assert len(model.requests) == 2, "asked again, with what was wrong"
    asked = model.requests[1]["messages"]
    assert "order 1" in asked[1]["content"] and "'four seven' does not match" in asked[-1]["content"]


async def test_an_analysis_that_fails_is_an_error_and_nothing_else(tmp_path: Path) -> None:
    async with fake_openai(Error(500, "broken")) as model, receiving() as receiver:
        premises = Premises(tmp_path)
        write(premises, receiver, model.url, more="")
        async with premises.open():
            heard = await premises.call(asks("1"))
            await receiver.has(4)
    assert heard.digits == "12", "the call itself was as it should be"
    assert [received.type for received in receiver.received] == ["call.started", "call.answered", "call.ended", "error"]
    (error,) = of(receiver, "error")
    assert error["where"] == "analysis"


async def test_the_end_of_a_call_waits_for_neither(tmp_path: Path) -> None:
    """The model answers only when the end of the call has been delivered."""
    told = asyncio.Event()
    async with fake_openai(Text([json.dumps(FOUND)])) as model, receiving() as receiver:
        premises = Premises(tmp_path)
        write(premises, receiver, model.url, more="")
        async with premises.open():
            analyst = premises.server.core.roster.plan_for("a", "c_0").analyst
            assert analyst is not None
            stream = analyst.model.stream

            def late(*args: Any, **more: Any) -> Any:
                async def events() -> Any:
                    await told.wait()
                    async for event in stream(*args, **more):
                        yield event

                return events()

            analyst.model.stream = late  # type: ignore[method-assign]  # the vendor takes its time
            calling = asyncio.create_task(premises.call(asks("1")))
            await receiver.has(3)
            assert receiver.received[-1].type == "call.ended" and not calling.done()
            assert not premises.server.core.switchboard.calls
            told.set()
            await receiver.has(4)
            await calling
    assert receiver.received[-1].type == "call.analyzed"
