"""Messages by Anthropic's Claude models over the vendor's SDK, streamed, with tools.

Source: the `anthropic` package and Anthropic's API reference, "Create a Message", "Streaming messages" and "Errors".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, cast

from pydantic import Field

from voxtrad.config.types import Boolean, ConfigModel, Integer, JSONObject, Name
from voxtrad.providers.base import (
    JSON,
    BadKey,
    BadRequest,
    LanguageModel,
    LLMEvent,
    MalformedAnswer,
    Message,
    ProviderError,
    ProviderTimeout,
    ProviderType,
    QuotaExceeded,
    RateLimited,
    TextDelta,
    ToolCall,
    ToolSpec,
    Unreachable,
    Usage,
)
from voxtrad.providers.extras import needs
from voxtrad.providers.llm.arguments import written_arguments
from voxtrad.providers.options import ApiKey, NetworkConnection, http_url
from voxtrad.providers.statuses import redirected, retry_after

if TYPE_CHECKING:
    from anthropic import APIStatusError, AsyncStream
    from anthropic.types import (
        MessageParam,
        RawMessageStreamEvent,
        TextBlockParam,
        ThinkingConfigAdaptiveParam,
        ThinkingConfigDisabledParam,
        ToolParam,
        ToolResultBlockParam,
        ToolUseBlockParam,
    )

    Block = TextBlockParam | ToolResultBlockParam | ToolUseBlockParam

OFFICIAL: Final = "https://api.anthropic.com"

_KEEP_IDLE = 300.0
"""Seconds an idle connection is kept, so that a caller's next turn finds it."""
_OPENING = "(A caller is on the line.)"
"""The API wants the first words to be the user's; on the telephone the agent speaks first."""


_SILENCE = "(The caller says nothing.)"
"""And so are the last ones."""


class AnthropicConnection(NetworkConnection):
    api_key: ApiKey
    """The API key."""


class AnthropicOptions(ConfigModel):
    model: Name = "claude-haiku-4-5"
    """The model's id."""
    max_tokens: Integer = Field(default=1024, ge=1)
    """At most this many tokens in one answer."""
    thinking: Literal["disabled", "adaptive"] | None = None
    """Whether the model thinks before it speaks, for models that let one choose; unset leaves it to the model."""
    cache_prompt: Boolean = True
    """Keep the instructions and tools in the API's cache between turns. Switch off for a server that refuses it."""
    parallel_tool_calls: Boolean = True
    """Whether the model may ask for several tools at once."""
    extra_body: JSONObject = Field(default_factory=dict)
    """Further fields of the request, sent as they are."""


class Anthropic:
    """The provider: one client, and so one pool of connections, for all calls."""

    def __init__(self, name: str, connection: AnthropicConnection, options: AnthropicOptions) -> None:
        self.name = name
        self._options = options
        self._base = http_url(connection.base_url or OFFICIAL)
        with needs("anthropic", name):
            from anthropic import AsyncAnthropic
        from httpx2 import AsyncClient, Limits, Timeout

        self._http = AsyncClient(
            limits=Limits(max_connections=1000, max_keepalive_connections=200, keepalive_expiry=_KEEP_IDLE),
            timeout=Timeout(connection.timeout, connect=min(connection.timeout, 5.0)),
        )
        self._client = AsyncAnthropic(
            api_key=connection.api_key.get_secret_value(),
            base_url=self._base,
            max_retries=0,  # another provider is tried instead
            timeout=self._http.timeout,
            http_client=self._http,
        )

    async def stream(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSpec] = (),
        *,
        variables: Mapping[str, Mapping[str, JSON]] | None = None,
    ) -> AsyncIterator[LLMEvent]:
        """See `LanguageModel.stream`. A stream that ends before the server said why it ended is `Unreachable`."""
        building: dict[int, _Building] = {}
        prompt = completion = 0
        finished = False
        with typed_errors(self.name):
            async with await self._request(messages, tools) as events:
                async for event in events:
                    match event.type:
                        case "message_start":
                            usage = event.message.usage
                            prompt = usage.input_tokens + (usage.cache_read_input_tokens or 0)
                            prompt += usage.cache_creation_input_tokens or 0
                        case "content_block_start" if event.content_block.type == "tool_use":
                            building[event.index] = _Building(event.content_block.id, event.content_block.name)
                        case "content_block_delta" if event.delta.type == "text_delta":
                            if event.delta.text:
                                yield TextDelta(event.delta.text)
                        case "content_block_delta" if event.delta.type == "input_json_delta":
                            building[event.index].arguments += event.delta.partial_json
                        case "message_delta":
                            finished = finished or event.delta.stop_reason is not None
                            completion = event.usage.output_tokens
                        case _:
                            pass  # the ends of blocks and of the message, and what is thought
        if not finished:
            raise Unreachable("the answer broke off", provider=self.name)
        for tool in building.values():
            yield ToolCall(tool.id, tool.name, written_arguments(tool.arguments))
        yield Usage(prompt, completion, self.name, self._options.model)

    async def warm(self) -> None:
        """Costs nothing and says nothing: the path has no resource."""
        from httpx2 import HTTPError

        try:
            await self._http.head(self._base)
        except HTTPError:
            return  # the request that needs it will tell

    async def aclose(self) -> None:
        await self._client.close()

    async def _request(
        self, messages: Sequence[Message], tools: Sequence[ToolSpec]
    ) -> AsyncStream[RawMessageStreamEvent]:
        from anthropic import omit

        options = self._options
        system, said = split(messages)
        prompt: TextBlockParam = {"type": "text", "text": system}
        if options.cache_prompt:
            prompt["cache_control"] = {"type": "ephemeral"}
        return await self._client.messages.create(
            stream=True,
            model=options.model,
            max_tokens=options.max_tokens,
            system=[prompt] if system else omit,
            messages=said,
            tools=[_tool(tool) for tool in tools] or omit,
            tool_choice={"type": "auto", "disable_parallel_tool_use": True}
            if tools and not options.parallel_tool_calls
            else omit,
            thinking=self._thinking() or omit,
            extra_body=dict(options.extra_body) or None,
        )

    def _thinking(self) -> ThinkingConfigDisabledParam | ThinkingConfigAdaptiveParam | None:
        match self._options.thinking:
            case "disabled":
                return {"type": "disabled"}
            case "adaptive":
                return {"type": "adaptive"}
            case None:
                return None


@dataclass(slots=True)
class _Building:
    id: str
    name: str
    arguments: str = ""


def split(messages: Sequence[Message]) -> tuple[str, list[MessageParam]]:
    """The instructions, and the conversation as the API takes it: user and assistant in turn, the user first.

    Instructions that come later in the conversation stand where they came, as the user's, marked.
    """
    system: list[str] = []
    said: list[MessageParam] = []
    for message in messages:
        if message.role == "system" and not said:
            system.append(message.content)
            continue
        blocks = list(_blocks(message))
        if not blocks:
            continue
        if message.role == "assistant":
            if not said:
                said.append({"role": "user", "content": [{"type": "text", "text": _OPENING}]})
            _add(said, "assistant", blocks)
        else:
            _add(said, "user", blocks)
    if not said or said[-1]["role"] == "assistant":
        _add(said, "user", [{"type": "text", "text": _SILENCE if said else _OPENING}])
    return "\n\n".join(system), said


def _add(said: list[MessageParam], role: Literal["user", "assistant"], blocks: list[Block]) -> None:
    """To the last message where it is of the same role: the results of several tools belong into one."""
    if said and said[-1]["role"] == role:
        cast("list[Block]", said[-1]["content"]).extend(blocks)
    elif role == "user":
        said.append({"role": "user", "content": blocks})
    else:
        said.append({"role": "assistant", "content": blocks})


def _blocks(message: Message) -> Iterator[Block]:
    """None for an answer of which nothing was heard: the API refuses empty text."""
    if message.role == "tool":
        yield {"type": "tool_result", "tool_use_id": message.tool_call_id or "", "content": message.content}
        return
    text = message.content.rstrip()
    if message.interrupted and text:
        text += " —"  # "cut off here" in the words of the transcript; a note in brackets would be imitated aloud
    if text:
        yield {"type": "text", "text": f"<system>{text}</system>" if message.role == "system" else text}
    for call in message.tool_calls:
        written = call.arguments
        given: dict[str, object] = {"unreadable": written} if isinstance(written, str) else dict(written)
        yield {"type": "tool_use", "id": call.id, "name": call.name, "input": given}


def _tool(tool: ToolSpec) -> ToolParam:
    return {"name": tool.name, "description": tool.description, "input_schema": {**tool.parameters, "type": "object"}}


@contextmanager
def typed_errors(provider: str) -> Iterator[None]:
    """The SDK's errors as ours. No message holds a key: what a vendor says of a refused key is left out."""
    from anthropic import APIConnectionError, APIStatusError, APITimeoutError
    from httpx2 import TimeoutException, TransportError

    try:
        yield
    except (APITimeoutError, TimeoutException) as error:
        raise ProviderTimeout("no answer in time", provider=provider) from error
    except (APIConnectionError, TransportError) as error:
        cause = error.__cause__ or error
        raise Unreachable(
            f"the connection failed ({type(cause).__name__})", provider=provider, hint="check base_url and the network"
        ) from error
    except APIStatusError as error:
        raise _of_status(error, provider) from None  # the answer's body may name the key
    except (ValueError, TypeError, AttributeError, KeyError) as error:  # the SDK parses answers as it finds them
        raise MalformedAnswer(f"an answer that the API does not allow: {error}", provider=provider) from error


def _of_status(error: APIStatusError, provider: str) -> ProviderError:
    """By the error's type: in the middle of a stream its status is still the 200 of the beginning."""
    status = error.status_code
    body = error.body
    told = body.get("error") if isinstance(body, Mapping) else None
    kind = told.get("type") if isinstance(told, Mapping) else None
    said = " ".join(str(told.get("message", "") if isinstance(told, Mapping) else "").split())[:300]
    if kind in ("authentication_error", "permission_error") or status in (401, 403):
        return BadKey("the credentials were refused", provider=provider, hint="check api_key and the model's access")
    if kind == "billing_error" or status == 402 or "credit balance" in said:
        return QuotaExceeded(f"the account is out of credit: {said}", provider=provider, hint="check the billing")
    if kind == "rate_limit_error" or status == 429:
        return RateLimited(
            f"too many requests: {said}", provider=provider, retry_after=retry_after(error.response.headers)
        )
    if kind == "timeout_error" or status in (408, 504):
        return ProviderTimeout("the server gave up waiting", provider=provider)
    if kind in ("invalid_request_error", "not_found_error") or status in (400, 404, 413, 422):
        return BadRequest(f"the request was refused: {said}", provider=provider, hint="check model and options")
    if 300 <= status < 400:
        return redirected(status, provider)
    return Unreachable(f"the server failed ({kind or status}): {said}", provider=provider)


def _build(name: str, connection: AnthropicConnection, options: AnthropicOptions) -> LanguageModel:
    return Anthropic(name, connection, options)


PROVIDER = ProviderType(kind="llm", connection=AnthropicConnection, options=AnthropicOptions, build=_build)
