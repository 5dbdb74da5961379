"""The closed sets that label values come from: what the configuration names, and words that are fixed.

A label value that is in no set would make a series for whatever a caller or a model says; it becomes `other`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import get_args

from voxtrad.config.models import AgentConfig, Config, McpTool
from voxtrad.config.tools import offered_name
from voxtrad.events.types import Outcome, Rejection, Stage

OTHER = "other"

DIRECTIONS = ("inbound", "outbound")
OUTCOMES: tuple[str, ...] = get_args(Outcome)
REJECTIONS: tuple[str, ...] = get_args(Rejection)
STAGES: tuple[str, ...] = get_args(Stage)
STAGE_KINDS: Mapping[str, str] = {
    "endpointing": "stt",
    "stt_final": "stt",
    "llm_first_token": "llm",
    "llm_first_sentence": "llm",
    "tts_first_byte": "tts",
}
"""Whose provider a stage waits for; a stage that is not here is voxtrad's own, and its provider is empty."""
KINDS = ("stt", "llm", "tts")
REQUEST_OUTCOMES = (
    "ok", "bad_key", "quota", "bad_request", "rate_limited", "timeout", "unreachable", "malformed", "error",
)  # fmt: skip
"""What becomes of a request to a provider (`providers/fallback`)."""
TOKEN_KINDS = ("prompt", "completion")
TOOL_OUTCOMES = ("ok", "error", "timeout", "refused")
INTERRUPTIONS: Mapping[str, str] = {"flush": "barge_in", "resume": "false", "merge_and_restart": "continued"}
"""Decisions about turns, as kinds of interruptions: the agent was interrupted; it paused for nothing and went on; the
caller went on speaking before the answer was heard."""
TRANSFER_OUTCOMES = ("answered", "handed_over", "busy", "no_answer", "unavailable", "declined", "abandoned", "failed")
TRANSFER_DENIALS = ("unknown_destination", "not_allowed")
DELIVERIES = ("delivered", "retry", "dead", "gone")
"""What becomes of one attempt to deliver an event (`outbound/delivery.py`)."""


@dataclass(frozen=True, slots=True)
class Names:
    """What a configuration names."""

    agents: tuple[str, ...]
    tools: tuple[str, ...]
    """An MCP server's tools are named where the configuration lists them; otherwise they go by the server's name."""
    servers: tuple[str, ...]
    """MCP servers: the beginnings of their tools' names."""
    endpoints: tuple[str, ...]
    destinations: tuple[str, ...]
    providers: Mapping[str, tuple[str, ...]]
    """By kind."""

    @classmethod
    def of(cls, config: Config) -> Names:
        tools: list[str] = []
        for name, tool in config.tools.items():
            listed = tool.mcp.tools if isinstance(tool, McpTool) else None
            tools += [name] if listed is None else [offered_name(name, one) for one in listed]
        return cls(
            agents=tuple(config.agents),
            tools=tuple(tools),
            servers=tuple(name for name, tool in config.tools.items() if isinstance(tool, McpTool)),
            endpoints=tuple(webhook.name for webhook in config.webhooks),
            destinations=tuple(config.destinations),
            providers={kind: _providers(kind, config.agents.values()) for kind in KINDS},
        )

    def __or__(self, other: Names) -> Names:
        """Both: what a call that began before a reload names is still known."""
        return Names(
            agents=_both(self.agents, other.agents),
            tools=_both(self.tools, other.tools),
            servers=_both(self.servers, other.servers),
            endpoints=_both(self.endpoints, other.endpoints),
            destinations=_both(self.destinations, other.destinations),
            providers={kind: _both(self.providers[kind], other.providers[kind]) for kind in KINDS},
        )

    def tool(self, name: str) -> str:
        """The label of a tool."""
        if name in self.tools:
            return name
        return next((server for server in self.servers if name.startswith(f"{server}_")), OTHER)


def fingerprint(config: Config) -> str:
    """A short hash of all values but secrets: the same on two servers that run with the same."""
    return hashlib.sha256(config.model_dump_json().encode()).hexdigest()[:12]


def known(name: str, names: Iterable[str]) -> str:
    """A label value: the name, where it is one of the set."""
    return name if name in names else OTHER


def _providers(kind: str, agents: Iterable[AgentConfig]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for agent in agents:
        choices = {"stt": agent.stt, "llm": agent.llm, "tts": agent.tts}[kind]
        if kind == "llm" and agent.analysis is not None:
            choices = (*choices, *agent.analysis.llm)
        found.update(dict.fromkeys(choice.provider for choice in choices))
    return tuple(found)


def _both(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*one, *other)))
