"""Chat completions by OpenAI or any server that speaks its API, streamed, with tools.

Source: OpenAI's API reference, "Chat completions: streaming".
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast
from uuid import uuid4

from pydantic import Field

from voxtrad.config.types import Boolean, ConfigModel, Integer, JSONObject, Name, Number
from voxtrad.providers.base import (
    JSON,
    LanguageModel,
    LLMEvent,
    Message,
    ProviderType,
    TextDelta,
    ToolCall,
    ToolSpec,
    Unreachable,
    Usage,
)
from voxtrad.providers.llm.arguments import written_arguments
from voxtrad.providers.vendors.openai import OpenAIConnection, make_client, make_http, typed_errors, warm_up

if TYPE_CHECKING:
    from openai import AsyncStream
    from openai.types.chat import (
        ChatCompletionAssistantMessageParam,
        ChatCompletionChunk,
        ChatCompletionFunctionToolParam,
        ChatCompletionMessageFunctionToolCallParam,
        ChatCompletionMessageParam,
    )
    from openai.types.chat.chat_completion_chunk import ChoiceDelta, ChoiceDeltaToolCall
    from openai.types.shared import ReasoningEffort


_NO_TOOLS_WHILE_THINKING = ("gpt-5.6", "gpt-6")
"""Models that OpenAI lets use tools over this API only if they do not think first."""


class OpenAIChatOptions(ConfigModel):
    model: Name = "gpt-6-luna"
    """The model's name, as the server knows it. OpenAI ends gpt-4o-mini on 2027-01-14."""
    temperature: Number | None = Field(default=None, ge=0, le=2)
    """How freely the model chooses its words; unset leaves it to the server."""
    top_p: Number | None = Field(default=None, gt=0, le=1)
    """Choose only among the likeliest words up to this total probability."""
    max_tokens: Integer | None = Field(default=None, ge=1)
    """At most this many tokens in one answer."""
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    """How long a reasoning model thinks before it speaks. On the telephone: as little as will do. Unset leaves it to
    the server; for OpenAI's gpt-5.6 and gpt-6 it is `none`, without which these take no tools here."""
    seed: Integer | None = None
    """Ask for the same answer to the same question, where the server can."""
    parallel_tool_calls: Boolean | None = None
    """Whether the model may ask for several tools at once; unset leaves it to the server."""
    stream_usage: Boolean = True
    """Ask for token counts with the stream. Switch off for a server that refuses the option."""
    extra_body: JSONObject = Field(default_factory=dict)
    """Further fields of the request, sent as they are, for what a compatible server has of its own."""

    def effort(self, *, official: bool) -> ReasoningEffort:
        """What is asked for; None leaves it to the server."""
        if self.reasoning_effort is None and official and self.model.startswith(_NO_TOOLS_WHILE_THINKING):
            return "none"
        return self.reasoning_effort


class OpenAIChat:
    """The provider: one client, and so one pool of connections, for all calls."""

    def __init__(self, name: str, connection: OpenAIConnection, options: OpenAIChatOptions) -> None:
        self.name = name
        self._official = connection.official
        self._options = options
        with typed_errors(name):
            self._http = make_http(connection)
            self._client = make_client(connection, self._http)

    async def stream(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec] = (),
        *,
        variables: Mapping[str, Mapping[str, JSON]] | None = None,
    ) -> AsyncIterator[LLMEvent]:
        """See `LanguageModel.stream`. A stream that ends before the server said why it ended is `Unreachable`."""
        assembly = ToolCalls()
        usage: Usage | None = None
        finished = False
        with typed_errors(self.name):
            async with await self._request(messages, tools) as chunks:
                async for chunk in chunks:
                    if chunk.usage is not None:
                        tokens = chunk.usage.prompt_tokens or 0, chunk.usage.completion_tokens or 0
                        usage = Usage(*tokens, self.name, self._options.model)
                    for choice in chunk.choices or ():
                        delta = cast("ChoiceDelta | None", choice.delta)  # null in some servers' last chunk
                        finished = finished or choice.finish_reason is not None
                        if delta is not None and (text := delta.content or delta.refusal):
                            yield TextDelta(text)
                        for piece in (delta.tool_calls if delta is not None else None) or ():
                            assembly.add(piece)
            if not finished:
                raise Unreachable("the answer broke off", provider=self.name)
            for call in assembly.calls():
                yield call
        if usage is not None:
            yield usage

    async def warm(self) -> None:
        await warm_up(self._http, str(self._client.base_url))

    async def aclose(self) -> None:
        await self._client.close()

    async def _request(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> AsyncStream[ChatCompletionChunk]:
        from openai import AsyncStream
        from openai.types.chat import ChatCompletionChunk

        # Not `chat.completions.create`: it looks through all messages, 0.1 ms for each, and changes nothing.
        return await self._client.post(
            "/chat/completions",
            body=self._body(messages, tools),
            cast_to=ChatCompletionChunk,
            stream=True,
            stream_cls=AsyncStream[ChatCompletionChunk],
        )

    def _body(self, messages: Sequence[Message], tools: Sequence[ToolSpec]) -> dict[str, object]:
        options = self._options
        most = "max_completion_tokens" if self._official else "max_tokens"
        body: dict[str, object | None] = {
            "model": options.model,
            "messages": [param for message in messages for param in _param(message)],
            "tools": [_tool(tool) for tool in tools] or None,
            "parallel_tool_calls": options.parallel_tool_calls if tools else None,
            "stream": True,
            "stream_options": {"include_usage": True} if options.stream_usage else None,
            "temperature": options.temperature,
            "top_p": options.top_p,
            most: options.max_tokens,
            "reasoning_effort": options.effort(official=self._official),
            "seed": options.seed,
        }
        return {**{name: value for name, value in body.items() if value is not None}, **options.extra_body}


class ToolCalls:
    """Puts the pieces of a stream's tool calls together.

    By the API reference the pieces of one call share an `index`, and the first carries `id` and `name`. Compatible
    servers also leave the index out, number every call 0, or give no id: a new id or a second name begins a new call.
    """

    def __init__(self) -> None:
        self._building: list[_Building] = []

    def add(self, piece: ChoiceDeltaToolCall) -> None:
        function = piece.function
        name = (function.name if function else None) or ""
        building = self._at(piece.index, piece.id or "", name)
        building.id = building.id or piece.id or ""
        building.name = building.name or name
        building.arguments += (function.arguments if function else None) or ""

    def calls(self) -> Iterator[ToolCall]:
        """The calls, whole. What has no name is no call."""
        for building in self._building:
            if building.name:
                arguments = written_arguments(building.arguments)
                yield ToolCall(building.id or f"call_{uuid4().hex}", building.name, arguments)

    def _at(self, index: int | None, id: str, name: str) -> _Building:
        same = [building for building in self._building if building.index == index]
        if same and not (id and same[-1].id and id != same[-1].id) and not (name and same[-1].complete(name)):
            return same[-1]
        self._building.append(_Building(index))
        return self._building[-1]


@dataclass(slots=True)
class _Building:
    index: int | None
    id: str = ""
    name: str = ""
    arguments: str = ""

    def complete(self, name: str) -> bool:
        """Whether a piece with this name cannot belong to it: it has its own, and arguments that are whole."""
        return bool(self.name) and (name != self.name or isinstance(written_arguments(self.arguments or "?"), dict))


def _param(message: Message) -> Iterator[ChatCompletionMessageParam]:
    """A message in the API's form; none for an answer of which nothing was heard."""
    if message.role == "system":
        yield {"role": "system", "content": message.content}
    elif message.role == "user":
        yield {"role": "user", "content": message.content}
    elif message.role == "tool":
        yield {"role": "tool", "content": message.content, "tool_call_id": message.tool_call_id or ""}
    elif message.content or message.tool_calls:
        # A dash says "cut off here" in the words of the transcript; a note in brackets would be imitated aloud.
        said = message.content.rstrip() + " —" if message.interrupted and message.content else message.content
        answer: ChatCompletionAssistantMessageParam = {"role": "assistant", "content": said or None}
        if message.tool_calls:
            answer["tool_calls"] = [_call_param(call) for call in message.tool_calls]
        yield answer


def _call_param(call: ToolCall) -> ChatCompletionMessageFunctionToolCallParam:
    arguments = call.arguments if isinstance(call.arguments, str) else json.dumps(call.arguments, ensure_ascii=False)
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}}


def _tool(tool: ToolSpec) -> ChatCompletionFunctionToolParam:
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)},
    }


def _build(name: str, connection: OpenAIConnection, options: OpenAIChatOptions) -> LanguageModel:
    return OpenAIChat(name, connection, options)


def _warning(connection: OpenAIConnection, options: OpenAIChatOptions) -> str | None:
    effort = options.effort(official=connection.official)
    if not connection.official or not options.model.startswith(_NO_TOOLS_WHILE_THINKING) or effort == "none":
        return None
    return (
        f"OpenAI refuses tools for {options.model} with reasoning_effort: {effort}; "
        "for an agent with tools say none, or leave it out"
    )


PROVIDER = ProviderType(
    kind="llm", connection=OpenAIConnection, options=OpenAIChatOptions, build=_build, warning=_warning
)
