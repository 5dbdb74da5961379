"""One answer of an agent: rounds of asking the language model and running the tools it calls, until there is a text.

What a model writes is not trusted: how many tools it may call, and under which ids, is decided here; which ones, with
which arguments, by the toolbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import uuid4

import structlog

from voxtrad.conversation.drafts import Draft
from voxtrad.conversation.history import Part
from voxtrad.conversation.speech_text import says_anything
from voxtrad.conversation.spoken import Spoken
from voxtrad.providers.base import LLMEvent, MalformedAnswer, Message, TextDelta, ToolCall, ToolSpec, Usage
from voxtrad.tools.base import Then
from voxtrad.tools.runner import RunningTool, ToolAnswer

if TYPE_CHECKING:
    from voxtrad.conversation.agent import Agent

MAX_ROUNDS = 5
"""Rounds of tool calls in one turn of the caller's, however many replies it takes. The answer after the last is asked
for without tools; calls that the model makes nevertheless are refused, once: then it has to answer."""
MAX_CALLS = 16
"""Calls of one round. What a model asks for beyond is not run, and it is told so."""
LATE = 120.0
"""Seconds for which a caller is taken to wait for a result that is to follow. Then the model is told that it has not
come; one that comes still later is told like any."""

_SPENT = json.dumps({"error": "Not run: no more tools can be used in this turn. Answer the caller with what you know."})
_TOO_MANY = json.dumps({"error": f"Not run: at most {MAX_CALLS} tools can be called at once."})
_UNHEARD = "Of your last answer nothing can be spoken aloud. Answer the caller in words."
_OVERDUE = json.dumps({"error": f"The result has not come within {LATE:g} seconds, and may never come."})

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class News:
    """What came late of a tool's call."""

    call: ToolCall
    answer: ToolAnswer


class Reply:
    """One answer of the agent: iterate over it for its text as it is written, or, when it is, for all of it again.

    `then` is what a tool wants to become of the call once the answer was heard; `tool_calls` are calls of tools that
    the configuration only declares, for a handler to run. Iterating raises `ProviderError`.
    """

    def __init__(self, agent: Agent, asked: Message | None, draft: Draft | None) -> None:
        self.then: Then | None = None
        self.tool_calls: tuple[ToolCall, ...] = ()
        self.asked_at: float | None = None
        self.first_token_at: float | None = None
        self.provider = ""
        """Who wrote the first of it, where another stood in for the model that was asked."""
        self.tools_ran = False
        self._agent = agent
        self._asked = asked
        self._draft = draft
        self._parts: list[Part] = []
        self._stand_ins: list[Message] = []
        self._told: list[tuple[News, Message]] = []
        """News that it is about, and what tells the model of them."""
        self._fillers: list[str] = []
        self._text = self._rounds()
        self._written = False

    @property
    def text(self) -> str:
        """All that has been written so far."""
        return "".join(part.text for part in self._parts)

    def next_filler(self) -> str | None:
        """What a tool under way has to say to a caller who waits; each tool says it once."""
        return self._fillers.pop(0) if self._fillers else None

    def __aiter__(self) -> AsyncIterator[str]:
        return self._again() if self._written else self._text

    async def aclose(self) -> None:
        """Stop writing. Tools under way go on."""
        await self._text.aclose()
        if self._draft is not None:
            self._draft.drop()

    def settle(self, spoken: Spoken) -> None:
        """Tell what was heard: the history keeps that. An interruption also undoes what was to come of it."""
        whole = not spoken.interrupted and spoken.error is None
        self._agent.writer.settle(self._parts, len(spoken.heard), whole=whole, interrupted=spoken.interrupted)
        if not whole:
            self.then = None

    def withdraw(self) -> str:
        """Nothing of it was heard and the caller goes on: take the question back, and return its text.

        Empty where a tool has run already: then the question and the results stay, and the answer goes on from there.
        """
        told, self._told = self._told, []
        self._agent.writer.withdraw(message for _, message in told)
        self._agent.news[:0] = [news for news, _ in told]
        if self.tools_ran or self._asked is None:
            return ""
        self._agent.writer.withdraw([self._asked, *(part.message for part in self._parts), *self._stand_ins])
        return self._asked.content

    @property
    def _decided(self) -> bool:
        """What comes next is not the model's: the call is led on, or a handler runs tools."""
        return self.then is not None or bool(self.tool_calls)

    # --- rounds -------------------------------------------------------------------------------------------------------

    async def _again(self) -> AsyncGenerator[str, None]:
        yield self.text

    async def _rounds(self) -> AsyncGenerator[str, None]:
        agent = self._agent
        for news, _ in self._told:
            async for said in self._answered(news.answer):
                yield said
        asked_again = refused = False
        since = 0  # what was said before tools ran ("one moment") answers nobody who waits for what they bring
        hints = list[Message]()
        while not self._decided:
            calls = list[ToolCall]()
            spent, before = agent.rounds >= MAX_ROUNDS, len(self.text)
            try:
                async for delta in self._round(() if spent else agent.offered(), calls):
                    yield delta
            finally:
                agent.writer.withdraw(hints)
            if calls and spent:
                self._refuse(calls, "the turn has had all its rounds", _SPENT)
                if says_anything(self.text[before:]):
                    break
                if refused:
                    raise MalformedAnswer("the model only calls tools, and gives no answer", provider=agent.model.name)
                refused = True
            elif calls:
                agent.rounds += 1
                if self.text:
                    yield self._paragraph()
                since = len(self.text)
                async for said in self._use(calls):
                    yield said
            elif says_anything(self.text[since:]) or self._told or (asked_again and self.tools_ran):
                break
            elif asked_again:
                raise MalformedAnswer("the model gave no answer, twice", provider=agent.model.name)
            else:
                asked_again = True
                if self.text[before:].strip():
                    hints = [agent.writer.note(_UNHEARD)]
                    yield self._paragraph()
        self._written = True

    async def _round(self, tools: Sequence[ToolSpec], calls: list[ToolCall]) -> AsyncGenerator[str, None]:
        """One request: yields its text, and collects the tools it calls."""
        agent = self._agent
        part: Part | None = None
        text = ""
        try:
            async with contextlib.aclosing(self._events(tools)) as events:
                async for event in events:
                    if isinstance(event, Usage):
                        agent.count(event)
                        continue
                    self.first_token_at = self.first_token_at or agent.clock()
                    if isinstance(event, TextDelta):
                        if not self._parts:
                            self.provider = event.provider
                        part = part or self._begin()
                        text += event.text
                        part.text = text
                        yield event.text
                    else:
                        calls.append(self._distinct(event, calls))
        finally:
            if part is not None:
                agent.writer.write(part, text)
        if calls:
            agent.writer.write(part or self._begin(), text, tuple(calls))

    def _distinct(self, call: ToolCall, others: Sequence[ToolCall]) -> ToolCall:
        """The call with an id that no other has: some servers count from 0 in every answer."""
        taken = any(call.id == other.id for other in others) or self._agent.writer.called(call.id)
        return replace(call, id=f"call_{uuid4().hex}") if taken or not call.id else call

    def _events(self, tools: Sequence[ToolSpec]) -> AsyncGenerator[LLMEvent, None]:
        draft, self._draft = self._draft, None
        if draft is not None:
            self.asked_at = draft.asked_at
            return draft.events()
        self.asked_at = self.asked_at or self._agent.clock()
        return self._agent.ask(tools)

    def _paragraph(self) -> str:
        """The end of what is to be said now, before a tool has answered; or of what cannot be said at all."""
        self._parts[-1].text += "\n\n"
        return "\n\n"

    def _begin(self) -> Part:
        part = self._agent.writer.begin()
        self._parts.append(part)
        return part

    async def _use(self, calls: Sequence[ToolCall]) -> AsyncGenerator[str, None]:
        """Run what the configuration implements; what it only declares is left to the handler."""
        agent = self._agent
        if len(calls) > MAX_CALLS:
            self._refuse(calls[MAX_CALLS:], "too many at once", _TOO_MANY)
            calls = calls[:MAX_CALLS]
        mine = [call for call in calls if agent.toolbox.implemented(call.name)]
        self._stand_ins += [agent.writer.tool_started(call) for call in calls]
        self.tool_calls = tuple(self._left([call for call in calls if call not in mine]))
        if not mine:
            return
        self.tools_ran = True
        running = agent.toolbox.start(mine, agent.variables, agent.turn)
        self._fillers = [tool.filler for tool in running if tool.filler]
        answers = [agent.group.create_task(self._note(call, tool)) for call, tool in zip(mine, running, strict=True)]
        try:
            await asyncio.wait(answers)
        finally:
            self._fillers = []
        for task in answers:
            async for said in self._answered(task.result()):
                yield said

    def _refuse(self, calls: Sequence[ToolCall], why: str, told: str) -> None:
        """Nothing of these is run, and the model is told."""
        self.tools_ran = True
        log.warning("tools are not run", reason=why, calls=len(calls))
        for call in calls:
            self._agent.writer.tool_result(call.id, told)

    async def _answered(self, answer: ToolAnswer) -> AsyncGenerator[str, None]:
        """What a tool has to say itself, and wants to become of the call."""
        if answer.say:
            part, text = self._begin(), answer.say + " "
            self._agent.writer.write(part, text)
            yield text
        self.then = self.then or answer.then

    def about(self, news: Sequence[News]) -> None:
        """It is to tell the caller these."""
        writer = self._agent.writer
        for one in news:
            mine = writer.called(one.call.id)
            what = "see its result" if mine else f"for the agent before you: {one.answer.result}"
            how = "has not come" if one.answer.result == _OVERDUE else "has come"
            text = f"What '{one.call.name}' was to bring {how}, {what}. Tell the caller, if they do not know."
            self._told.append((one, writer.note(text, one.call.id if mine else None)))

    def _left(self, calls: Sequence[ToolCall]) -> Iterator[ToolCall]:
        """The calls that are left to the handler; the model is told of those that are refused."""
        agent = self._agent
        for call in calls:
            given = agent.toolbox.leave(call, agent.variables, agent.turn)
            if isinstance(given, ToolCall):
                yield given
            else:
                self.tools_ran = True
                agent.writer.tool_result(call.id, given.result)

    async def _note(self, call: ToolCall, tool: RunningTool) -> ToolAnswer:
        """The result of a tool goes into the history whenever it comes, also after an interruption."""
        agent = self._agent
        answer = await tool.answer()
        agent.writer.tool_result(call.id, answer.result, pending=answer.later is not None)
        agent.variables.update(answer.variables)
        if answer.later is not None:
            agent.group.create_task(self._note_later(call, answer.later))
        return answer

    async def _note_later(self, call: ToolCall, tool: RunningTool) -> None:
        """A late result is news, that the agent tells as soon as nobody speaks; and so is that it does not come."""
        agent = self._agent
        noted = asyncio.ensure_future(self._note(call, tool))
        try:
            with agent.awaiting():
                await asyncio.wait([noted], timeout=LATE)
            if not noted.done():
                agent.writer.tool_result(call.id, _OVERDUE)
                agent.add_news(News(call, ToolAnswer(_OVERDUE)))
            agent.add_news(News(call, await noted))
        finally:
            noted.cancel()
