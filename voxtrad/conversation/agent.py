"""The thinking: rounds of asking the language model and running the tools it calls, until there is an answer.

The agent owns the conversation's history and variables. It speaks to nobody: a `Reply` is a stream of text, and what
became of that text is told back to it, so that the history holds what was heard.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from voxtrad.config.templates import Template
from voxtrad.conversation.drafts import Draft
from voxtrad.conversation.history import History, Part
from voxtrad.conversation.spoken import Spoken
from voxtrad.conversation.streams import patiently
from voxtrad.events.types import Event, TokensUsed
from voxtrad.providers.base import (
    JSON,
    LanguageModel,
    LLMEvent,
    MalformedAnswer,
    Message,
    TextDelta,
    ToolCall,
    ToolSpec,
    Usage,
)
from voxtrad.tools.base import Then
from voxtrad.tools.runner import RunningTool, ToolAnswer

MAX_ROUNDS = 5
"""Rounds of tool calls in one turn of the caller's, however many replies it takes. The answer after the last is asked
for without tools; calls that the model makes nevertheless are refused, once: then it has to answer."""
LATE = 120.0
"""Seconds for which a caller is taken to wait for a result that is to follow. Then the model is told that it has not
come; one that comes still later is told like any."""
STALLED = 15.0
"""Seconds in which a model has to write something, wherever it is in its answer."""

_SPENT = json.dumps({"error": "Not run: no more tools can be used in this turn. Answer the caller with what you know."})
_OVERDUE = json.dumps({"error": f"The result has not come within {LATE:g} seconds, and may never come."})

log = structlog.stdlib.get_logger(__name__)


class Toolbox(Protocol):
    """The tools that an agent may use (`tools/runner.py`)."""

    def offered(self, variables: Mapping[str, JSON]) -> Sequence[ToolSpec]:
        """Those that may be called now."""
        ...

    def implemented(self, name: str) -> bool:
        """False for a tool that was declared for a handler to run."""
        ...

    def start(self, calls: Sequence[ToolCall], variables: Mapping[str, JSON], turn: int) -> Sequence[RunningTool]:
        """Begin the calls of one round, one after the other or at once as the tools want it."""
        ...

    def leave(self, call: ToolCall, variables: Mapping[str, JSON], turn: int) -> ToolCall | ToolAnswer:
        """A call that a handler is to run: as it is to be made, its arguments checked, or why it is refused."""
        ...

    def finished(self, call_id: str, result: JSON) -> str:
        """A handler has run a tool, or could not (`{"error": …}`); gives the result as the model gets it."""
        ...

    def close(self) -> None:
        """The call is over: a handler answers no tool any more."""
        ...


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
        while not self._decided:
            calls = list[ToolCall]()
            spent, before = agent.rounds >= MAX_ROUNDS, len(self.text)
            async for delta in self._round(() if spent else agent.offered(), calls):
                yield delta
            if calls and spent:
                self._refuse(calls)
                if self.text[before:].strip():
                    break
                if refused:
                    raise MalformedAnswer("the model only calls tools, and gives no answer", provider=agent.model.name)
                refused = True
            elif calls:
                agent.rounds += 1
                if self.text:
                    yield self._paragraph()
                async for said in self._use(calls):
                    yield said
            elif self.text.strip() or self._told or (asked_again and self.tools_ran):
                break
            elif asked_again:
                raise MalformedAnswer("the model gave no answer, twice", provider=agent.model.name)
            else:
                asked_again = True
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
                        part = part or self._begin()
                        text += event.text
                        part.text = text
                        yield event.text
                    else:
                        calls.append(event)
        finally:
            if part is not None:
                agent.writer.write(part, text)
        if calls:
            agent.writer.write(part or self._begin(), text, tuple(calls))

    def _events(self, tools: Sequence[ToolSpec]) -> AsyncGenerator[LLMEvent, None]:
        draft, self._draft = self._draft, None
        if draft is not None:
            self.asked_at = draft.asked_at
            return draft.events()
        self.asked_at = self.asked_at or self._agent.clock()
        return self._agent.ask(tools)

    def _paragraph(self) -> str:
        """The end of what is written before a tool runs: it is to be said now, not when the tool has answered."""
        self._parts[-1].text += "\n\n"
        return "\n\n"

    def _begin(self) -> Part:
        part = self._agent.writer.begin()
        self._parts.append(part)
        return part

    async def _use(self, calls: Sequence[ToolCall]) -> AsyncGenerator[str, None]:
        """Run what the configuration implements; what it only declares is left to the handler."""
        agent = self._agent
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

    def _refuse(self, calls: Sequence[ToolCall]) -> None:
        """The turn has had all its rounds: nothing is run, and the model is told."""
        self.tools_ran = True
        for call in calls:
            log.warning("a tool is not run: the turn has had all its rounds", tool=call.name, rounds=MAX_ROUNDS)
            self._agent.writer.tool_result(call.id, _SPENT)

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


class Agent:
    """One call's agent. `group` is the call's task group: tools under way and drafts live in it."""

    def __init__(
        self,
        name: str,
        prompt: str,
        model: LanguageModel,
        toolbox: Toolbox,
        *,
        call: Mapping[str, JSON],
        variables: Mapping[str, JSON],
        group: asyncio.TaskGroup,
        publish: Callable[[Event], None],
        clock: Callable[[], float],
    ) -> None:
        self.name = name
        self.model = model
        self.toolbox = toolbox
        self.facts = call
        self.variables: dict[str, JSON] = dict(variables)
        self.writer = History()
        self.news: list[News] = []
        """What came late of tools, and the caller does not know yet."""
        self.on_news: Callable[[], None] = lambda: None
        """Called when there are some."""
        self.turn = 0
        self.rounds = 0
        """Rounds of tool calls since the caller said something."""
        self.group = group
        self.clock = clock
        self._prompt = Template(prompt)
        self._publish = publish
        self._draft: Draft | None = None
        self._replying: Reply | None = None
        self._awaited = 0
        self._before: Agent | None = None

    @property
    def awaits_results(self) -> bool:
        """Whether the caller waits for what a tool is to bring later, also one of the agent before."""
        return self._awaited > 0 or (self._before is not None and self._before.awaits_results)

    @contextlib.contextmanager
    def awaiting(self) -> Iterator[None]:
        """A late result is awaited meanwhile."""
        self._awaited += 1
        try:
            yield
        finally:
            self._awaited -= 1

    @property
    def history(self) -> list[Message]:
        """The conversation so far, without the system prompt; anybody may append to it."""
        return self.writer.messages

    def stream(self, text: str) -> Reply:
        """Answer `text` as a stream. An empty text adds no message: the model goes on from the history as it is.

        What came late of a tool is told then.
        """
        asked = self.writer.user(text) if text else None
        if text:
            self.turn += 1
            self.rounds = 0
        draft, self._draft = self._draft, None
        if draft is not None and (draft.failed or not draft.answers(text)):
            draft.drop()
            draft = None
        self._replying = Reply(self, asked, draft)
        if not text:
            news, self.news = self.news, []
            self._replying.about(news)
        return self._replying

    async def respond(self, text: str) -> Reply:
        """Answer `text` and wait for the whole of it. Raises `ProviderError`."""
        reply = self.stream(text)
        async for _ in reply:
            pass
        return reply

    def reply_saying(self, text: str) -> Reply | None:
        """The reply that was given last, if this is its text: whoever says it says the reply."""
        reply = self._replying
        return reply if reply is not None and reply.text.strip() == text.strip() else None

    def next_filler(self) -> str | None:
        """What a tool under way has to say to a caller who waits."""
        return self._replying.next_filler() if self._replying is not None else None

    def add_tool_result(self, call_id: str, result: JSON) -> None:
        """The result of a tool that a handler has run, as text or anything JSON has; `respond("")` then goes on."""
        self.writer.tool_result(call_id, self.toolbox.finished(call_id, result))

    def add_news(self, news: News) -> None:
        """Something came late of a tool."""
        self.news.append(news)
        self.on_news()

    def pass_on(self, other: Agent) -> None:
        """Another agent has the call from now on: what comes late of this one's tools is that one's to tell."""

        def hand() -> None:
            news, self.news = self.news, []
            for one in news:
                other.variables.update(one.answer.variables)
                other.add_news(one)

        self.on_news = hand
        other._before = self
        hand()

    def draft(self, text: str) -> None:
        """The caller has probably finished, and said this: begin to think."""
        self.forget_draft()
        stream = self._stream([*self._messages(), Message("user", text)], self.offered())
        self._draft = Draft(text, stream, self.group, self.clock())

    def forget_draft(self) -> None:
        if self._draft is not None:
            self._draft.drop()
            self._draft = None

    def ask(self, tools: Sequence[ToolSpec]) -> AsyncGenerator[LLMEvent, None]:
        """One request to the model with the history as it is now."""
        return self._stream(self._messages(), tools)

    def _stream(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> AsyncGenerator[LLMEvent, None]:
        events = self.model.stream(messages, tools, variables=self.namespaces())
        return patiently(aiter(events), STALLED, provider=self.model.name, what="the next words of the answer")

    def offered(self) -> Sequence[ToolSpec]:
        """The tools that the model may call now."""
        return self.toolbox.offered(self.variables)

    def count(self, usage: Usage) -> None:
        self._publish(
            TokensUsed(
                call_id=str(self.facts.get("id", "")),
                agent=self.name,
                provider=self.model.name,
                prompt_tokens=usage.prompt_tokens,
                completion_tokens=usage.completion_tokens,
            )
        )

    def namespaces(self) -> dict[str, Mapping[str, JSON]]:
        """What templates may name: `call.` and `vars.`."""
        return {"call": self.facts, "vars": self.variables}

    def _messages(self) -> list[Message]:
        prompt = self._prompt.render(**self.namespaces()).strip()
        return [*([Message("system", prompt)] if prompt else []), *self.writer.messages]
