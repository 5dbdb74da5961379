"""The thinking: what an agent knows, what it may use, and the requests to its language model.

The agent owns the conversation's history and variables. It speaks to nobody: a `Reply` is a stream of text, and what
became of that text is told back to it, so that the history holds what was heard.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from typing import Protocol

from voxtrad.config.templates import Template
from voxtrad.conversation.drafts import Draft
from voxtrad.conversation.history import History
from voxtrad.conversation.reply import News, Reply
from voxtrad.conversation.streams import patiently
from voxtrad.events.types import Event, TokensUsed
from voxtrad.providers.base import JSON, LanguageModel, LLMEvent, Message, ToolCall, ToolSpec, Usage
from voxtrad.tools.runner import RunningTool, ToolAnswer

STALLED = 15.0
"""Seconds in which a model has to write something, wherever it is in its answer."""


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
                provider=usage.provider or self.model.name,
                model=usage.model,
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
