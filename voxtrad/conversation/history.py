"""The history of a conversation, and the only place that writes it: what the caller said, what the agent did, and of
what the agent said only what was heard.

The history itself is a plain list of messages that anybody may read and append to.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from voxtrad.conversation.speech_text import says_anything
from voxtrad.providers.base import Message, ToolCall

PENDING = '{"status": "still running"}'
"""Stands in for the result of a tool that is under way: an LLM API refuses a tool call without a result."""


@dataclass(slots=True)
class Part:
    """A stretch of a reply's text and the message that holds it."""

    message: Message
    text: str = ""


class History:
    def __init__(self, messages: list[Message] | None = None) -> None:
        self.messages: list[Message] = messages if messages is not None else []

    def user(self, text: str) -> Message:
        message = Message("user", text)
        self.messages.append(message)
        return message

    def begin(self, text: str = "", calls: Iterable[ToolCall] = ()) -> Part:
        """A part of an answer begins; it is in the history while it is being written."""
        part = Part(Message("assistant", text, tool_calls=tuple(calls)), text)
        self.messages.append(part.message)
        return part

    def write(self, part: Part, text: str, calls: tuple[ToolCall, ...] = ()) -> None:
        """Set what a part says and which tools it calls."""
        part.text = text
        part.message = self._replace(part.message, replace(part.message, content=text, tool_calls=calls))

    def tool_started(self, call: ToolCall) -> Message:
        """A stand-in for the result of a tool that was called."""
        message = Message("tool", PENDING, tool_call_id=call.id, pending=True)
        self.messages.append(message)
        return message

    def tool_result(self, call_id: str, result: str, *, pending: bool = False) -> None:
        """A tool's result: in the place of its stand-in, or of the result before; at the end where it has none.

        `pending`: it stands in for another that is to come.
        """
        message = Message("tool", result, tool_call_id=call_id, pending=pending)
        for index in range(len(self.messages) - 1, -1, -1):
            if self.messages[index].role == "tool" and self.messages[index].tool_call_id == call_id:
                self.messages[index] = message
                return
        self.messages.append(message)

    def called(self, call_id: str) -> bool:
        """Whether a tool's call stands in it."""
        return any(call.id == call_id for message in self.messages for call in message.tool_calls)

    def settle(self, parts: list[Part], heard: int, *, whole: bool, interrupted: bool) -> None:
        """Keep of a reply's parts the first `heard` characters, all of them if `whole`; an unheard part goes.

        So does one in which there is nothing to be heard.
        """
        for part in parts:
            all_of_it = whole or heard >= len(part.text.rstrip())
            kept = (part.text if all_of_it else part.text[: max(0, heard)]).rstrip()
            kept = kept if says_anything(kept) else ""
            heard -= len(part.text)
            part.text = kept
            if kept or part.message.tool_calls:
                message = replace(part.message, content=kept, interrupted=interrupted and not all_of_it)
                part.message = self._replace(part.message, message)
            else:
                self._remove(part.message)

    def said(self, heard: str, *, interrupted: bool) -> None:
        """Something was said that no reply of the agent's was: a greeting, a prompt, a handler's own words."""
        if heard:
            self.messages.append(Message("assistant", heard.rstrip(), interrupted=interrupted))

    def note(self, text: str, call_id: str | None = None) -> Message:
        """Something that the model is to know; `call_id`: of a tool's call."""
        message = Message("system", text, tool_call_id=call_id)
        self.messages.append(message)
        return message

    def withdraw(self, messages: Iterable[Message]) -> None:
        """Take messages back, as if they had never been."""
        for message in messages:
            self._remove(message)

    def _replace(self, old: Message, new: Message) -> Message:
        for index in range(len(self.messages) - 1, -1, -1):
            if self.messages[index] is old:
                self.messages[index] = new
                break
        return new

    def _remove(self, message: Message) -> None:
        self.messages[:] = [m for m in self.messages if m is not message]
