"""What a conversation was about, for whoever takes the caller over: written by the agent's own model, or the last turns
as they were where that writes none."""

from __future__ import annotations

import asyncio
import contextlib

import structlog

from voxtrad.conversation.agent import Agent
from voxtrad.providers.base import Message, ProviderError, TextDelta, Usage

MARK = "SUMMARY:"
"""How a summary begins. What does not begin so was written by a model that does not write summaries."""
INSTRUCTION = f"""\
You sum up a telephone call for the colleague who takes it over. Say who is calling and why, what was done and what is \
still open, in the language of the call, in at most three short sentences that can be read out. Write nothing else. \
Begin with "{MARK}"."""
LONGEST = 600
"""Characters of a summary."""
LAST_TURNS = 4

log = structlog.stdlib.get_logger(__name__)


async def summary_of(agent: Agent, *, within: float) -> str:
    """A few sentences, ready after `within` seconds at the latest; empty when nothing was said."""
    said = transcript(agent.history)
    if not said:
        return ""
    try:
        async with asyncio.timeout(within):
            written = await _written(agent, "\n".join(said))
    except (ProviderError, TimeoutError) as error:
        log.info("no summary of the call; its last turns stand in for it", reason=str(error) or "time-out")
        written = ""
    _, mark, text = written.partition(MARK)
    summary = " ".join(text.split()) if mark else " ".join(said[-LAST_TURNS:])
    return summary if len(summary) <= LONGEST else summary[: LONGEST - 1] + "…"


def transcript(history: list[Message]) -> list[str]:
    """Who said what, a line for each."""
    names = {"user": "Caller", "assistant": "Agent"}
    return [
        f"{names[message.role]}: {' '.join(message.content.split())}"
        for message in history
        if message.role in names and message.content.strip()
    ]


async def _written(agent: Agent, said: str) -> str:
    text = ""
    asked = [Message("system", INSTRUCTION), Message("user", said)]
    events = aiter(agent.model.stream(asked, (), variables=agent.namespaces()))
    try:
        async for event in events:
            if isinstance(event, TextDelta):
                text += event.text
            elif isinstance(event, Usage):
                agent.count(event)
    finally:
        if (close := getattr(events, "aclose", None)) is not None:
            with contextlib.suppress(ProviderError):
                await close()
    return text
